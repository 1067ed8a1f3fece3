"""Histories of events: by stream, type, time, actor, request; guarded ones hidden."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from api.rest import event_pages
from domain.model import site_events as z
from domain.model.access_events import ALL, SecurityNoted
from domain.model.contract_events import ContractRegistered
from domain.model.values import MINUTE
from domain.ports import Append, Batch
from tests.api.conftest import KeyFor, Served
from tests.projections.small_site import DAWN, ZONE, Told

pytestmark = pytest.mark.anyio


async def pages(client: httpx.AsyncClient, **query: Any) -> list[list[Any]]:
    found: list[list[Any]] = []
    while True:
        answer = await client.get("/events", params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append(page["items"])
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


async def walked(client: httpx.AsyncClient, **query: Any) -> list[Any]:
    return [item for page in await pages(client, **query) for item in page]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def limits(limit_w: int) -> z.ZoneLimitsChanged:
    return z.ZoneLimitsChanged(zone_id=ZONE, limit_w=limit_w, safe_upper_w=1)


async def test_events_by_when_they_were_recorded_and_occurred(
    client: httpx.AsyncClient,
) -> None:
    everything = await walked(client)
    for field in ("recorded", "occurred"):
        for begin, end in (
            ("2019-10-29T08:00:00Z", "2019-10-29T09:00:00Z"),
            ("2019-10-29T07:59:00.000001Z", "2019-10-29T08:00:00Z"),
            ("2019-10-29T00:00:00Z", "2030-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "2019-10-29T00:00:00Z"),
        ):
            span = {f"{field}_from_at": begin, f"{field}_until_at": end}
            expected = [
                item
                for item in everything
                if at(begin) <= at(item[f"{field}_at"]) < at(end)
            ]
            assert await walked(client, **span, limit=7) == expected


async def test_events_of_one_request_stand_together(
    client: httpx.AsyncClient, served: Served
) -> None:
    for number in range(5):
        served.system.log.append(
            Batch(
                appends=(
                    Append(f"zone-{ZONE}", (limits(number),), served.clock.at),
                    Append(f"pre-{ZONE}", (limits(number),), served.clock.at),
                ),
                correlation_id=f"request-{number % 2}",
                actor=f"actor-{number}",
            )
        )
    found = await walked(client, correlation_id="request-1", limit=1)
    assert [item["actor"] for item in found] == ["actor-1"] * 2 + ["actor-3"] * 2
    one = await walked(client, correlation_id="request-1", stream=f"pre-{ZONE}")
    assert [item["actor"] for item in one] == ["actor-1", "actor-3"]
    assert await walked(client, actor="actor-3") == found[2:]
    assert await walked(client, correlation_id="request-9") == []


async def test_a_page_of_one_request_is_short_where_much_is_read_for_little(
    client: httpx.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [Append(f"zone-{ZONE}", (limits(n),), served.clock.at) for n in range(30)]
    yard = z.ZoneDefined(zone_id="yard", name="Yard", limit_w=1, safe_upper_w=1)
    stored.append(Append("zone-yard", (yard,), served.clock.at))
    for append in stored:
        served.system.log.append(Batch(appends=(append,), correlation_id="train"))
    query = {"correlation_id": "train", "type": "zone.defined"}
    whole = await walked(client, **query)
    assert len(whole) == 1
    monkeypatch.setattr(event_pages, "_AT_ONCE", 4)
    monkeypatch.setattr(event_pages, "_READ", 8)
    short = await pages(client, **query)
    assert [item for page in short for item in page] == whole
    assert [len(page) for page in short] == [0, 0, 0, 1]


async def test_a_page_is_short_where_much_is_looked_at_for_little(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await walked(client, type="session.closed")
    monkeypatch.setattr(event_pages, "_SCANNED", 10)
    short = await pages(client, type="session.closed")
    assert [item for page in short for item in page] == whole
    assert [] in short


async def test_guarded_streams_are_for_auditors_only(
    client: httpx.AsyncClient, served: Served, key_for: KeyFor
) -> None:
    noted = SecurityNoted(kind="login")
    stream = "security-2019-10-29"
    position = served.tell(Told(stream, served.clock.at + MINUTE, noted))
    assert [e["position"] for e in await walked(client, stream=stream)] == [position]
    client.headers.update(key_for("analyst", zones=(ALL,)))
    assert await walked(client, stream=stream) == []
    assert position not in [e["position"] for e in await walked(client)]
    assert await walked(client, type="key.") == []


async def test_contracts_are_for_who_may_read_contracts(
    client: httpx.AsyncClient, served: Served, key_for: KeyFor
) -> None:
    registered = ContractRegistered(contract_id="c1", subject_id="s", valid_from_at=0)
    stream = "contract-c1"
    position = served.tell(Told(stream, served.clock.at + MINUTE, registered))
    client.headers.update(key_for("operator", zones=(ALL,)))
    for query in ({"stream": stream}, {"type": "contract."}):
        assert [e["position"] for e in await walked(client, **query)] == [position]
    client.headers.update(key_for("analyst", zones=(ALL,)))
    for query in ({"stream": stream}, {"type": "contract."}, {}):
        found = await walked(client, **query)
        assert position not in [e["position"] for e in found]


async def test_a_caller_of_one_zone_gets_its_events_only(
    client: httpx.AsyncClient, served: Served, key_for: KeyFor
) -> None:
    yard = z.ZoneDefined(zone_id="yard", name="Yard", limit_w=1, safe_upper_w=1)
    position = served.tell(Told("zone-yard", DAWN, yard))
    client.headers.update(key_for("operator", zones=("yard",)))
    assert [item["position"] for item in await walked(client)] == [position]
