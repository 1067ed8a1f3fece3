"""Readings over HTTP: the last one by an instant, those of a time, sums of a zone."""

from typing import Any

import httpx
import numpy as np
import pytest

from domain.model.plan_events import MeasuresTaken, ReadingsTaken
from domain.model.values import DAY, MINUTE, SECOND
from tests.api.conftest import Served
from tests.projections.small_site import DAWN, EVSES, ZONE

pytestmark = pytest.mark.anyio

EIGHT = DAWN + 8 * 60 * MINUTE


def taken(at: int, *told: tuple[str, int, int]) -> ReadingsTaken:
    """Return a row of (EVSE, offset in s, power in W)."""

    def column(values: list[int]) -> bytes:
        return np.array(values, "<i4").tobytes()

    return ReadingsTaken(
        zone_id=ZONE,
        from_at=at,
        evse_ids=EVSES,
        evse_index=column([EVSES.index(evse_id) for evse_id, _, _ in told]),
        offset_ms=column([1_000 * offset_s for _, offset_s, _ in told]),
        power_w=column([power_w for _, _, power_w in told]),
        register_wh=column([offset_s for _, offset_s, _ in told]),
    )


def measured(at: int, *told: tuple[str, str, int]) -> MeasuresTaken:
    """Return a row of (EVSE, name and unit, value in thousandths) of an instant."""
    names = tuple(dict.fromkeys(name for _, name, _ in told))

    def column(values: list[int], kind: str = "<i4") -> bytes:
        return np.array(values, kind).tobytes()

    return MeasuresTaken(
        zone_id=ZONE,
        from_at=at,
        evse_ids=EVSES,
        names=names,
        evse_index=column([EVSES.index(evse_id) for evse_id, _, _ in told]),
        name_index=column([names.index(name) for _, name, _ in told]),
        offset_ms=column([0 for _ in told]),
        value_milli=column([milli for _, _, milli in told], "<i8"),
    )


@pytest.fixture
def sampled(served: Served) -> Served:
    """Ten minutes of readings; one of the first minute came a day late."""
    served.clock.at = EIGHT
    for minute in range(10):
        at = EIGHT + minute * MINUTE
        row = taken(at, (EVSES[0], 0, 1_000 + minute), (EVSES[1], 0, 500))
        served.clock.at = max(served.clock.at, at)
        served.system.samples.append(f"samples-{ZONE}", row, at)
    late = taken(EIGHT + 30 * SECOND, (EVSES[0], 0, 7), (EVSES[2], 5, 9))
    served.clock.at = DAWN + DAY + MINUTE
    served.system.samples.append(f"samples-{ZONE}", late, EIGHT + 30 * SECOND)
    return served


async def json_of(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def walked(client: httpx.AsyncClient, path: str, **query: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        page = await json_of(client, path, **query)
        found += page["items"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


async def test_the_last_reading_by_an_instant(
    client: httpx.AsyncClient, sampled: Served
) -> None:
    path = f"/evses/{EVSES[0]}/readings"
    for valid_at, power_w in (
        ("08:00:00", 1_000),
        ("08:00:29", 1_000),
        ("08:00:30", 7),
        ("08:01:00", 1_001),
        ("23:59:59", 1_009),
    ):
        found = await json_of(client, path, valid_at=f"2019-10-29T{valid_at}Z")
        (reading,) = found["items"]
        assert reading["power_w"] == power_w
    assert (await json_of(client, path))["items"] == [reading]
    before = await json_of(client, path, valid_at="2019-10-29T07:59:59Z")
    assert before["items"] == []
    other = f"/evses/{EVSES[2]}/readings"
    early = await json_of(client, other, valid_at="2019-10-29T08:00:34Z")
    assert early["items"] == []
    (told,) = (await json_of(client, other, valid_at="2019-10-29T08:00:35Z"))["items"]
    assert told == {
        "evse_id": EVSES[2],
        "taken_at": "2019-10-29T08:00:35Z",
        "power_w": 9,
        "register_wh": 5,
    }


async def test_readings_of_a_time_in_pages(
    client: httpx.AsyncClient, sampled: Served
) -> None:
    path = f"/evses/{EVSES[0]}/readings"
    span = {"from_at": "2019-10-29T08:00:10Z", "until_at": "2019-10-29T08:03:00Z"}
    whole = (await json_of(client, path, **span))["items"]
    assert [reading["power_w"] for reading in whole] == [7, 1_001, 1_002]
    for limit in (1, 2, 3):
        assert await walked(client, path, **span, limit=limit) == whole


async def test_the_power_of_a_zone_where_it_was_told(
    client: httpx.AsyncClient, sampled: Served
) -> None:
    path = f"/zones/{ZONE}/readings"
    span = {"from_at": "2019-10-29T08:00:00Z", "until_at": "2019-10-29T08:02:00Z"}
    whole = (await json_of(client, path, **span))["items"]
    assert [(told["power_w"], told["evses"]) for told in whole] == [
        (1_500, 2),
        (7, 1),
        (9, 1),
        (1_501, 2),
    ]
    assert await walked(client, path, **span, limit=1) == whole


async def test_odd_times_are_refused(
    client: httpx.AsyncClient, sampled: Served
) -> None:
    path = f"/evses/{EVSES[0]}/readings"
    span = {"from_at": "2019-10-29T08:00:00Z", "until_at": "2019-10-29T08:09:00Z"}
    for query in (
        {"from_at": "noon"},
        {"from_at": span["until_at"], "until_at": span["from_at"]},
        {**span, "valid_at": "2019-10-29T08:00:00Z"},
        {"cursor": "x"},
    ):
        answer = await client.get(path, params=query)
        assert answer.status_code == 422, query
    ancient = {"from_at": "0001-01-01T00:00:00Z", "until_at": "9999-12-31T23:59:59Z"}
    assert len((await json_of(client, path, **ancient))["items"]) == 11
    assert (await client.get(f"/zones/{ZONE}/readings")).status_code == 422
    assert (await client.get("/evses/E9/readings")).status_code == 404
    assert (await client.get("/zones/nowhere/readings", params=span)).status_code == 404
    bad = await client.get(path, params={**span, "cursor": "x"})
    assert bad.status_code == 400


async def test_measures_of_a_time_page_by_page(
    client: httpx.AsyncClient, served: Served
) -> None:
    served.clock.at = EIGHT + 10 * MINUTE
    soc = (EVSES[0], "SoC//EV/Sample.Periodic Percent", 55_000)
    for minute in range(3):
        row = measured(
            EIGHT + minute * MINUTE,
            (EVSES[0], "Voltage/L1-N// V", 231_400 + minute),
            (EVSES[1], "Temperature///  deg/C ", -3_000),
            soc,
        )
        served.system.samples.append(f"measures-{ZONE}", row, row.from_at)
    path = f"/evses/{EVSES[0]}/measures"
    span = {"from_at": "2019-10-29T08:01:00Z", "until_at": "2019-10-29T08:05:00Z"}
    found = await walked(client, path, **span, limit=1)
    assert [item["value"] for item in found] == [231.401, 55.0, 231.402, 55.0]
    assert found[1] == {
        "evse_id": EVSES[0],
        "taken_at": "2019-10-29T08:01:00Z",
        "measurand": "SoC",
        "phase": "",
        "location": "EV",
        "context": "Sample.Periodic",
        "unit": "Percent",
        "value": 55.0,
    }
    (cold,) = (await json_of(client, f"/evses/{EVSES[1]}/measures", **span))["items"][
        :1
    ]
    assert (cold["measurand"], cold["unit"]) == ("Temperature", " deg/C ")
    answer = await client.get("/evses/US*NO*E1/measures", params=span)
    assert answer.status_code == 404
