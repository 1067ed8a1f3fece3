"""What was known at a position or an instant, and what was, over HTTP."""

from typing import Any

import httpx
import pytest

from domain.model import site_events as z
from domain.model.values import MINUTE
from tests.api.conftest import Served
from tests.projections.small_site import EVSES, ZONE, Told

pytestmark = pytest.mark.anyio


async def json_of(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(
    client: httpx.AsyncClient, path: str, **query: Any
) -> tuple[int, str]:
    answer = await client.get(path, params=query)
    problem = answer.json()
    assert problem["errors"], problem
    return answer.status_code, problem["code"]


ITEMS = (f"/zones/{ZONE}", f"/evses/{EVSES[0]}", "/service-sessions/b")
LISTS = ("/zones", "/evses", "/service-sessions")


async def test_as_of_now_is_as_it_stands(
    client: httpx.AsyncClient, served: Served
) -> None:
    last = served.system.log.last_position()
    for path in (*ITEMS, *LISTS):
        now = await json_of(client, path)
        assert await json_of(client, path, as_of=last) == now
        assert await json_of(client, path, as_of="2019-10-29T20:00:00Z") == now


async def test_what_came_later_is_not_known_yet(
    client: httpx.AsyncClient, served: Served
) -> None:
    before = served.system.log.last_position()
    zone = await json_of(client, f"/zones/{ZONE}")
    changed = z.ZoneLimitsChanged(zone_id=ZONE, limit_w=9_000, safe_upper_w=900)
    at = served.clock.at + MINUTE
    after = served.tell(Told(f"zone-{ZONE}", at, changed))
    assert (await json_of(client, f"/zones/{ZONE}", after=after))["limit_w"] == 9_000
    assert await json_of(client, f"/zones/{ZONE}", as_of=before) == zone
    just_before = "2019-10-29T20:00:59.999999Z"
    assert await json_of(client, f"/zones/{ZONE}", as_of=just_before) == zone


async def test_before_everything_there_is_nothing(client: httpx.AsyncClient) -> None:
    for moment in (0, "2019-10-28T23:59:59Z", "1969-01-01T00:00:00Z"):
        for path in LISTS:
            page = await json_of(client, path, as_of=moment)
            assert page == {"items": [], "next": None}
        for path in ITEMS:
            assert (await client.get(path, params={"as_of": moment})).status_code == 404


async def test_a_list_of_the_past_stays_in_the_past(
    client: httpx.AsyncClient, served: Served
) -> None:
    page = await json_of(client, "/evses", state="occupied")
    position = served.system.log.last_position()
    whole = await json_of(client, "/evses", as_of=position)
    first = await json_of(client, "/evses", as_of=position, limit=2)
    changed = z.EvseBlocked(evse_id=EVSES[2], reason="broken")
    served.tell(Told(f"evse-{EVSES[2]}", served.clock.at + MINUTE, changed))
    assert page["items"][0]["evse_id"] == EVSES[2]
    remembered = await json_of(client, "/evses", limit=2, cursor=first["next"])
    repeated = await json_of(
        client, "/evses", limit=2, cursor=first["next"], as_of=position
    )
    assert remembered == repeated
    assert first["items"] + remembered["items"] == whole["items"]
    other = await refused(client, "/evses", cursor=first["next"], as_of=position - 1)
    assert other == (400, "bad-cursor")
    present = await json_of(client, "/evses", limit=2)
    mixed = await refused(client, "/evses", cursor=present["next"], as_of=position)
    assert mixed == (400, "bad-cursor")


async def test_pages_of_the_past_walk_through_everything_once(
    client: httpx.AsyncClient, served: Served
) -> None:
    position = served.system.log.last_position() - 20
    for path, filters in (
        ("/zones", {}),
        ("/evses", {"zone_id": ZONE}),
        ("/service-sessions", {"order": "earliest-first"}),
        ("/service-sessions", {"party": "station"}),
    ):
        whole = await json_of(client, path, as_of=position, **filters)
        walked: list[Any] = []
        query: dict[str, Any] = {"limit": 1, "as_of": position, **filters}
        while True:
            page = await json_of(client, path, **query)
            walked += page["items"]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert walked == whole["items"]
        assert walked


async def test_what_has_not_been_is_refused(
    client: httpx.AsyncClient, served: Served
) -> None:
    last = served.system.log.last_position()
    for path in (*ITEMS, *LISTS, "/plans/5"):
        ahead = await refused(client, path, as_of=last + 1)
        assert ahead == (422, "position-ahead")
        for moment in ("2019-10-29T20:00:01Z", "tomorrow", "-1", "9" * 19, "2019-10"):
            found = await refused(client, path, as_of=moment)
            assert found == (422, "invalid-parameter"), moment


async def test_where_there_is_no_history_the_answer_says_where(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/events", "/plans", "/key-figures", f"/zones/{ZONE}/etps"):
        answer = await client.get(path, params={"as_of": "1"})
        assert answer.status_code == 422
        assert answer.json()["code"] == "no-history-here"
        assert "/service-sessions" in answer.json()["detail"]
    for path in ITEMS:
        answer = await client.get(path, params={"valid_at": "2019-10-29T08:00:00Z"})
        assert answer.json()["code"] == "no-history-here"
        assert "aetp" in answer.json()["detail"]


async def test_a_plan_as_of_before_it_was_made_is_unknown(
    client: httpx.AsyncClient,
) -> None:
    plan = (await json_of(client, "/plans"))["items"][0]
    path = f"/plans/{plan['position']}"
    assert await json_of(client, path, as_of=plan["position"]) == plan
    unknown = await refused(client, path, as_of=plan["position"] - 1)
    assert unknown == (404, "unknown-plan")


async def test_the_aetp_valid_at_an_instant(client: httpx.AsyncClient) -> None:
    path = f"/zones/{ZONE}/aetp"
    at_eight = await json_of(client, path, valid_at="2019-10-29T08:30:00Z")
    assert at_eight["power_w"] == 6_000
    assert at_eight["made_at"] == "2019-10-29T08:00:00Z"
    over = await json_of(client, path, valid_at="2019-10-29T09:00:30Z")
    assert over["power_w"] == 40_000
    early = await json_of(client, path, valid_at="2019-10-29T07:59:59Z")
    assert (early["aetp"], early["power_w"], early["plan_position"]) == (None,) * 3
    assert (await json_of(client, path))["made_at"] == "2019-10-29T09:01:00Z"
    assert await refused(client, path, valid_at="noon") == (422, "invalid-parameter")
