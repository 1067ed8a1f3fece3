"""Parquet of events and samples: everything, nothing open, in bounded memory."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from domain.model.access_events import ALL, SecurityNoted
from domain.model.contract_events import ContractRegistered
from domain.model.values import MINUTE
from projections import export
from tests.api.conftest import KeyFor, Served
from tests.api.small_day import run
from tests.api.test_history_readings import EIGHT, taken
from tests.projections.small_site import EVSES, ZONE, Site, Told, day

pytestmark = pytest.mark.anyio


async def rows_of(client: httpx.AsyncClient, path: str, **query: Any) -> list[Any]:
    answer = await client.get(f"/exports/{path}.parquet", params=query)
    assert answer.status_code == 200, answer.text
    assert b"04AABBCCDD" not in answer.content
    rows: list[Any] = pq.read_table(io.BytesIO(answer.content)).to_pylist()
    return rows


async def test_events_in_parquet_are_the_events_of_the_log(
    client: httpx.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_GROUP", 7)
    rows = await rows_of(client, "events")
    last = served.system.log.last_position()
    assert [row["position"] for row in rows] == list(range(1, last + 1))
    page = (await client.get("/events", params={"limit": 1_000})).json()["items"]
    for row, item in zip(rows, page, strict=True):
        for name in ("stream", "version", "is_decision", "type", "actor", "causation"):
            assert row[name] == item[name]
        occurred_at = datetime.fromisoformat(item["occurred_at"])
        assert row["occurred_at"] == occurred_at
        state = item["state"]
        for name in ("zone_id", "evse_id", "session_id"):
            assert row[name] == state.get(name)
    ended = next(row for row in rows if row["type"] == "transfer.ended")
    assert '"energy_wh":4000' in ended["state"]
    asked = next(row for row in rows if row["type"] == "authorization.requested")
    assert '"credential":{"sealed":true}' in asked["state"]


async def test_events_of_some_positions_or_a_time(client: httpx.AsyncClient) -> None:
    rows = await rows_of(client, "events")
    some = await rows_of(client, "events", **{"from": 10, "until": 20})
    assert some == rows[9:19]
    begin, end = "2019-10-29T01:00:00Z", "2019-10-29T12:00:00Z"
    timed = await rows_of(client, "events", **{"from": begin, "until": end})
    assert timed == [
        row
        for row in rows
        if datetime.fromisoformat(begin)
        <= row["recorded_at"]
        < datetime.fromisoformat(end)
    ]
    assert timed
    assert await rows_of(client, "events", **{"from": 10_000}) == []


async def test_what_is_for_auditors_only_is_left_out(
    client: httpx.AsyncClient, served: Served, key_for: KeyFor
) -> None:
    noted = SecurityNoted(kind="login")
    served.tell(Told("security-2019-10-29", served.clock.at, noted))
    assert "security.noted" in [r["type"] for r in await rows_of(client, "events")]
    client.headers.update(key_for("analyst", zones=(ALL,)))
    types = {row["type"] for row in await rows_of(client, "events")}
    assert "security.noted" not in types
    assert "key.issued" not in types
    client.headers.update(key_for("operator", zones=(ALL,)))
    assert (await client.get("/exports/events.parquet")).status_code == 403


async def test_contracts_are_left_out_for_who_may_not_read_contracts(
    client: httpx.AsyncClient, served: Served, key_for: KeyFor
) -> None:
    registered = ContractRegistered(contract_id="c1", subject_id="s", valid_from_at=0)
    served.tell(Told("contract-c1", served.clock.at, registered))
    for role, is_shown in (("admin", True), ("analyst", False)):
        client.headers.update(key_for(role, zones=(ALL,)))
        types = {row["type"] for row in await rows_of(client, "events")}
        assert ("contract.registered" in types) == is_shown


async def test_samples_in_parquet(client: httpx.AsyncClient, served: Served) -> None:
    for minute in range(3):
        at = EIGHT + minute * MINUTE
        row = taken(at, (EVSES[0], 0, minute), (EVSES[1], 2, 500))
        served.system.samples.append(f"samples-{ZONE}", row, at)
    rows = await rows_of(client, "samples")
    assert len(rows) == 6
    assert rows[1] == {
        "zone_id": ZONE,
        "evse_id": EVSES[1],
        "at": datetime(2019, 10, 29, 8, 0, 2, tzinfo=UTC),
        "power_w": 500,
        "register_wh": 2,
    }
    assert await rows_of(client, "samples", day="2019-10-29") == rows
    assert await rows_of(client, "samples", day="2019-10-30") == []
    assert await rows_of(client, "samples", day="9999-12-31") == []
    span = {"from_at": "2019-10-29T08:00:01Z", "until_at": "2019-10-29T08:01:02Z"}
    assert await rows_of(client, "samples", **span) == rows[1:3]
    both = {**span, "day": "2019-10-29"}
    answer = await client.get("/exports/samples.parquet", params=both)
    assert answer.status_code == 422


@pytest.mark.parametrize("bound", ["noon", "-1", "2019-10-29", "1" * 30])
async def test_odd_bounds_are_refused(client: httpx.AsyncClient, bound: str) -> None:
    answer = await client.get("/exports/events.parquet", params={"until": bound})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid-parameter"


def test_a_store_is_exported_by_the_command_line(tmp_path: Path) -> None:
    site = Site(tmp_path / "store")
    last = site.tell(day(site))
    store = f"sqlite:///{site.folder}"
    out = tmp_path / "events.parquet"
    # The writer is still there, as a server would be.
    result = run("export", "--store", store, "--out", out, "--until", last)
    assert result.exit_code == 0, result.output
    assert pq.read_table(out).num_rows == last - 1
    assert b"04AABBCCDD" not in out.read_bytes()
    part = run(
        "export", "--store", store, "--out", out, "--what", "samples",
        "--from", "2019-10-29T08:00:00Z",
    )  # fmt: skip
    assert part.exit_code == 0, part.output
    assert pq.read_table(out).num_rows == 0
    for wrong in (("--from", "noon"), ("--out", tmp_path / "no" / "folder")):
        arguments = ("export", "--store", store, "--out", out, *wrong)
        assert run(*arguments).exit_code == 2
    assert not list(tmp_path.glob("*.part"))
    site.close()
