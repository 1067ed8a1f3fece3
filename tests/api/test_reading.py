"""What the reading API answers about the small site's day. E1, E4."""

from typing import Any

import httpx
import msgspec
import pytest

from domain.model import site_events as z
from domain.model.values import MINUTE
from projections.runner import ALL
from tests.api.conftest import Served
from tests.projections.small_site import EVSES, ZONE, Told

pytestmark = pytest.mark.anyio


async def json_of(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def test_zones_are_shown_in_rfc_3339_time(client: httpx.AsyncClient) -> None:
    page = await json_of(client, "/zones")
    assert [zone["zone_id"] for zone in page["items"]] == [ZONE]
    assert page["next"] is None
    zone = await json_of(client, f"/zones/{ZONE}")
    assert zone == page["items"][0]
    assert zone["evse_ids"] == list(EVSES)
    assert zone["fallback_since_at"] == "2019-10-29T12:00:00Z"
    assert zone["last_plan"]["made_at"] == "2019-10-29T09:01:00Z"


async def test_the_pre_in_force_at_an_instant(client: httpx.AsyncClient) -> None:
    path = f"/zones/{ZONE}/pre"
    pre = await json_of(client, path, valid_at="2019-10-29T04:00:00Z", limit=2)
    assert (pre["lower_w"], pre["upper_w"], pre["covered"]) == (0, 20_000, True)
    assert pre["spans"][-1] == {
        "from_at": "2019-10-29T11:00:00Z",
        "until_at": "2019-10-29T12:00:00Z",
        "lower_w": 0,
        "upper_w": 10_000,
    }
    assert [told["type"] for told in pre["history"]] == [
        "pre.fallback_began",
        "pre.revoked",
    ]
    rest = await json_of(client, path, cursor=pre["next"])
    assert len(rest["history"]) == 3
    assert rest["history"][0]["event"]["envelope"]["ranges"][0]["upper_w"] == 1_000
    with_offset = await json_of(
        client, path, valid_at="2019-10-29T05:00:00+01:00", limit=2
    )
    assert with_offset == pre
    later = await json_of(client, path, valid_at="2019-10-29T13:00:00Z")
    assert (later["covered"], later["upper_w"]) == (False, 6_000)


async def test_aetp_and_etps_of_a_zone(client: httpx.AsyncClient) -> None:
    aetp = await json_of(client, f"/zones/{ZONE}/aetp")
    assert aetp["aetp"]["changes"][0] == {"offset_s": 0, "power_w": 3_000}
    plan = await json_of(client, f"/plans/{aetp['plan_position']}")
    assert plan["aetp"] == aetp["aetp"]
    etps = await json_of(client, f"/zones/{ZONE}/etps")
    first = etps["items"][0]
    assert first["in_force"]["number"] == 1
    assert first["in_force"]["state"] == "confirmed"
    assert first["delivery"] == "planned"


async def test_evses_by_state(client: httpx.AsyncClient) -> None:
    page = await json_of(client, "/evses", state="occupied", zone_id=ZONE)
    assert [evse["evse_id"] for evse in page["items"]] == [EVSES[2]]
    evse = await json_of(client, f"/evses/{EVSES[1]}")
    assert (evse["state"], evse["blocked"]) == ("blocked", "broken cable")


async def test_a_session_under_both_its_ids(client: httpx.AsyncClient) -> None:
    one = await json_of(client, "/service-sessions/b")
    assert one == await json_of(client, "/service-sessions/cso-1")
    assert one["session_ids"] == ["b", "cso-1"]
    assert one["session"]["needs"]["departure_at"] == "2019-10-29T10:00:00Z"
    kinds = ("authorizations", "reservations", "parkings", "transfers", "others")
    assert [len(one[kind]) for kind in kinds] == [2, 1, 1, 2, 1]


async def test_sealed_groups_stay_closed_everywhere(client: httpx.AsyncClient) -> None:
    session = await json_of(client, "/service-sessions/b")
    event = session["authorizations"][0]["event"]
    assert event["credential"] == {"sealed": True}
    page = await json_of(client, "/events", type="authorization.requested")
    assert page["items"][0]["state"]["credential"] == {"sealed": True}


async def test_pages_walk_through_everything_once(client: httpx.AsyncClient) -> None:
    for path, key in (
        ("/service-sessions", "session_id"),
        ("/evses", "evse_id"),
        ("/plans", "position"),
        ("/events", "position"),
        (f"/zones/{ZONE}/etps", "evse_id"),
    ):
        whole = await json_of(client, path, limit=1_000)
        walked: list[Any] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = await json_of(client, path, **query)
            walked += page["items"]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert walked == whole["items"]
        assert len({item[key] for item in walked}) == len(walked) > 2


async def test_plans_by_outcome(client: httpx.AsyncClient) -> None:
    page = await json_of(client, "/plans", outcome="superseded")
    assert [plan["reason"] for plan in page["items"]] == ["PRE shrank"]
    assert page["items"][0]["problem_digest"] == "00" * 32


async def test_events_by_stream_type_and_position(client: httpx.AsyncClient) -> None:
    page = await json_of(client, "/events", stream="session-a")
    assert page["items"][0]["type"] == "session.opened"
    assert {item["stream"] for item in page["items"]} == {"session-a"}
    ended = await json_of(client, "/events", stream="session-a", type="transfer.e")
    assert [item["type"] for item in ended["items"]] == ["transfer.ended"]
    position = ended["items"][0]["position"]
    behind = await json_of(client, "/events", after=position)
    assert behind["items"][0]["position"] == position + 1
    assert (await json_of(client, "/events", stream="session-z"))["items"] == []


async def test_key_figures_by_zone(client: httpx.AsyncClient) -> None:
    figures = await json_of(client, "/key-figures", zone_id=ZONE)
    (zone,) = figures["zones"]
    assert (zone["drivers_asked"], zone["drivers_served"]) == (1, 1)
    assert (zone["plans"], zone["plans_outside_pre"]) == (3, 1)


async def test_health_says_nothing_but_whether_it_works(
    client: httpx.AsyncClient,
) -> None:
    client.headers.clear()
    assert await json_of(client, "/health") == {"status": "ok"}


async def test_operation_names_store_projections_and_loop(
    client: httpx.AsyncClient,
) -> None:
    health = await json_of(client, "/operation")
    assert health["status"] == "ok"
    assert health["store"]["last_position"] > 50
    lags = {p["name"]: p["lag"] for p in health["projections"]}
    assert lags == {fold.name: 0 for fold in ALL}
    assert health["loop"]["plan_ms_p50"] == 4.5


async def test_a_timer_that_cannot_run_is_trouble(
    client: httpx.AsyncClient, served: Served
) -> None:
    context = served.app.state.tenants["main"]
    failing = msgspec.structs.replace(
        context, loop_metrics=lambda: {"running": 1, "failed_timers": 1}
    )
    served.app.state.tenants = {"main": failing}
    assert (await json_of(client, "/operation"))["status"] == "degraded"


async def test_own_writes_can_be_read(
    client: httpx.AsyncClient, served: Served
) -> None:
    at = served.clock.at + MINUTE
    changed = z.ZoneLimitsChanged(zone_id=ZONE, limit_w=25_000, safe_upper_w=5_000)
    for limit_w in range(1_000, 20_000, 1_000):
        changed = z.ZoneLimitsChanged(
            zone_id=ZONE, limit_w=limit_w, safe_upper_w=limit_w
        )
        position = served.tell(Told(f"zone-{ZONE}", at, changed))
        zone = await json_of(client, f"/zones/{ZONE}", after=position)
        assert zone["limit_w"] == limit_w


async def test_openapi_documents_what_is_answered(client: httpx.AsyncClient) -> None:
    document = await json_of(client, "/openapi.json")
    paths = document["paths"]
    assert "E1" in paths["/v1/zones/{zone_id}/aetp"]["get"]["tags"]
    assert "E4" in paths["/v1/zones/{zone_id}/pre"]["get"]["tags"]
    schemas = document["components"]["schemas"]
    references = set(_references(document))
    assert references <= {f"#/components/schemas/{name}" for name in schemas}
    for path in (
        "/zones/{zone_id}",
        "/zones/{zone_id}/pre",
        "/zones/{zone_id}/etps",
        "/evses/{evse_id}",
        "/service-sessions/{session_id}",
        "/events",
        "/plans",
        "/key-figures",
        "/health",
    ):
        answers = paths[f"/v1{path}"]["get"]["responses"]
        schema = answers["200"]["content"]["application/json"]["schema"]
        assert "application/problem+json" in answers["422"]["content"]
        filled = path.format(zone_id=ZONE, evse_id=EVSES[0], session_id="b")
        _check(await json_of(client, filled), schema, schemas, path)


JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "integer": int,
    "number": (int, float),
    "string": str,
    "boolean": bool,
}


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [ref for part in node.values() for ref in _references(part)]
    if isinstance(node, list):
        return [ref for part in node for ref in _references(part)]
    return []


def _check(
    value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str
) -> None:
    """Check a value against the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if value is None:
            assert {"type": "null"} in schema["anyOf"], where
            return
        schema = next(part for part in schema["anyOf"] if part != {"type": "null"})
        _check(value, schema, schemas, where)
        return
    fits = isinstance(value, JSON_TYPES[schema["type"]])
    assert fits, (where, value, schema)
    if "properties" in schema:
        assert set(value) == set(schema["properties"]), where
        for name, part in schema["properties"].items():
            _check(value[name], part, schemas, f"{where}.{name}")
    for item in value if isinstance(value, list) else ():
        _check(item, schema["items"], schemas, f"{where}[]")
