"""7.3 Commissioning over HTTP, and what all commands have in common."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.caller import Caller
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

YARD = {"zone_id": "yard", "name": "Yard", "limit_w": 50_000, "safe_upper_w": 9_000}
EVSE = {
    "evse_id": "DE*ABC*E100",
    "current": "AC",
    "phases": 3,
    "voltage_v": 230,
    "max_w": 22_000,
    "floor_w": 4_140,
}
STATION = {"station_id": "cs-1", "zone_id": "yard", "evses": [EVSE]}


@pytest.fixture
def operator(caller_for: CallerFor) -> Caller:
    return caller_for("operator", zones=("*",))


def test_a_site_is_commissioned_by_five_commands(operator: Caller) -> None:
    zone = operator.done("/zones", YARD)
    assert (zone["stream"], zone["zone_id"], zone["version"]) == (
        "zone-yard",
        "yard",
        1,
    )
    station = operator.done("/stations", STATION)
    assert station["stream"] == "station-cs-1"
    assert station["evse_id"] == "DE*ABC*E100"
    second = {**EVSE, "evse_id": "DE*ABC*E101", "current": "DC", "v2g": True}
    operator.done("/stations/cs-1/evses", {**second, "min_w": -10_000})
    operator.done("/zones/yard/limits", {"limit_w": 40_000, "safe_upper_w": 8_000})
    last = operator.done(
        "/evses/DE*ABC*E101/limits", {"max_w": 11_000, "floor_w": 0, "min_w": -5_000}
    )
    shown = operator.get("/zones/yard", after=last["position"])
    assert (shown["limit_w"], shown["safe_upper_w"]) == (40_000, 8_000)
    evse = operator.get("/evses/DE*ABC*E101", after=last["position"])
    assert (evse["max_w"], evse["floor_w"], evse["min_w"]) == (11_000, 0, -5_000)
    assert evse["station_id"] == "cs-1"


def test_a_zone_says_how_far_it_goes_to_enforce(operator: Caller) -> None:
    operator.done("/zones", YARD)
    path = "/zones/yard/enforcement"
    last = operator.done(path, {"may_stop": True, "may_reset": True})["position"]
    shown = operator.get("/zones/yard", after=last)
    assert (shown["may_stop"], shown["may_reset"]) == (True, True)
    wrong = {"may_stop": False, "may_reset": True}
    assert "reset" in operator.refused(422, "refused", path, wrong)["detail"]
    missing = "/zones/nowhere/enforcement"
    operator.refused(404, "unknown-thing", missing, {**wrong, "may_stop": True})


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/zones", {**YARD, "zone_id": ZONE}, ZONE),
        ("/zones", {**YARD, "safe_upper_w": 60_000}, "60000 W"),
        ("/stations", {**STATION, "zone_id": ZONE, "evses": [EVSE, EVSE]}, "twice"),
        (f"/zones/{ZONE}/limits", {"limit_w": 1, "safe_upper_w": 2}, "2 W"),
        (f"/evses/{EVSES[0]}/limits", {"max_w": 5, "floor_w": 6}, "6 W"),
        (f"/evses/{EVSES[0]}/limits", {"max_w": 5, "floor_w": 0, "min_w": -1}, "V2G"),
        ("/evses/E1/limits", {"max_w": 5, "floor_w": 0}, "E1"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_value_and_rule(
    operator: Caller, path: str, body: dict[str, object], named: str
) -> None:
    assert named in operator.refused(422, "refused", path, body)["detail"]


def test_a_station_and_an_evse_are_commissioned_once(operator: Caller) -> None:
    operator.done("/zones", YARD)
    operator.done("/stations", STATION)
    again = operator.refused(422, "refused", "/stations", STATION)
    assert "cs-1" in again["detail"]
    again = operator.refused(422, "refused", "/stations/cs-1/evses", EVSE)
    assert "DE*ABC*E100" in again["detail"]


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"limit_w": "50000"}, "body.limit_w"),
        ({"limit_w": 50_000.0}, "body.limit_w"),
        ({"limit_w": True}, "body.limit_w"),
        ({"limit_w": None}, "body.limit_w"),
        ({"limit_w": 1 << 70}, "body.limit_w"),
        ({"limit_w": -1}, "body.limit_w"),
        ({"zone_id": "a b"}, "body.zone_id"),
        ({"zone_id": ""}, "body.zone_id"),
        ({"colour": "red"}, "body.colour"),
    ],
)
def test_a_body_of_another_shape_is_refused_where_it_is_wrong(
    operator: Caller, changed: dict[str, object], where: str
) -> None:
    problem = operator.refused(422, "invalid-parameter", "/zones", {**YARD, **changed})
    assert problem["errors"][0]["where"] == where


def test_nothing_is_commissioned_that_is_not_there(operator: Caller) -> None:
    limits = {"max_w": 5, "floor_w": 0}
    for path, body in (
        ("/evses/DE*ABC*E9/limits", limits),
        ("/stations/nowhere/evses", EVSE),
        ("/zones/nowhere/limits", {"limit_w": 2, "safe_upper_w": 1}),
        ("/stations", {**STATION, "zone_id": "nowhere"}),
    ):
        operator.refused(404, "unknown-thing", path, body)


def test_what_is_out_of_reach_is_as_what_is_not_there(
    operator: Caller, caller_for: CallerFor
) -> None:
    operator.done("/zones", YARD)
    operator.done("/stations", STATION)
    of_garage = caller_for("operator", zones=(ZONE,))
    limits = {"limit_w": 2, "safe_upper_w": 1}
    for kind, there, not_there, body in (
        ("zone", "/zones/yard/limits", "/zones/nowhere/limits", limits),
        ("station", "/stations/cs-1/evses", "/stations/nowhere/evses", EVSE),
        (
            "evse",
            "/evses/DE*ABC*E100/limits",
            "/evses/DE*ABC*E999/limits",
            {"max_w": 5, "floor_w": 0},
        ),
    ):
        hidden = of_garage.refused(404, f"unknown-{kind}", there, body)
        missing = of_garage.refused(404, f"unknown-{kind}", not_there, body)
        there_id, missing_id = there.split("/")[2], not_there.split("/")[2]
        assert hidden["detail"].replace(there_id, missing_id) == missing["detail"]
    of_garage.refused(404, "unknown-zone", "/zones", {**YARD, "zone_id": "second"})
    of_garage.refused(404, "unknown-zone", "/stations", STATION)


def test_a_version_seen_before_is_asked_for_and_another_is_a_conflict(
    operator: Caller,
) -> None:
    limits = {"limit_w": 40_000, "safe_upper_w": 8_000}
    seen = operator.done("/zones", YARD)["version"]
    moved = operator.done("/zones/yard/limits", limits, if_match=str(seen))["version"]
    assert moved > seen
    problem = operator.refused(
        409, "conflict", "/zones/yard/limits", limits, if_match=str(seen)
    )
    assert problem["current_version"] == moved
    operator.done("/zones/yard/limits", limits, if_match=f'"{moved}"')


def test_the_version_told_is_that_of_the_last_decision_of_a_command(
    operator: Caller, caller_for: CallerFor
) -> None:
    """A plug decides on several rows of its session at once."""
    station = caller_for("station", stations=("s1",))
    plugged = station.done(f"/evses/{EVSES[0]}/plugs", {})
    cso = caller_for("cso", party="fleet", zones=(ZONE,))
    path = f"/service-sessions/{plugged['session_id']}/references"
    body = {"party": "fleet", "kind": "order", "text": "7"}
    bound = cso.done(path, body, if_match=str(plugged["version"]))
    # Nothing is new: told is the session as it stands, and not the audit's own row.
    again = cso.done(path, body, key="again", if_match=str(bound["version"]))
    assert again["session_id"] == plugged["session_id"]
    assert (again["stream"], again["version"]) == (bound["stream"], bound["version"])
    other = {**body, "text": "8"}
    cso.done(path, other, if_match=str(again["version"]))
    repeated = cso.done(path, body, key="again", if_match=str(bound["version"]))
    assert repeated == {**again, "repeated": True}


def test_a_key_again_with_another_body_is_refused(operator: Caller) -> None:
    first = operator.done("/zones", YARD, key="z")
    assert operator.done("/zones", YARD, key="z") == {**first, "repeated": True}
    for path, body in (
        ("/zones", {**YARD, "name": "x"}),
        ("/zones/yard/limits", {"limit_w": 2, "safe_upper_w": 1}),
    ):
        answer = operator.post(path, body, key="z")
        assert answer.json()["code"] == "idempotency-key-reused"


def test_one_key_at_the_same_time_is_done_once(
    operator: Caller, served: Served
) -> None:
    before = served.system.log.last_position()

    def define(_: int) -> dict[str, object]:
        answer: dict[str, object] = operator.done("/zones", YARD, key="at-once")
        return answer

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(define, range(48)))
    assert sum(not answer["repeated"] for answer in answers) == 1
    assert len({answer["position"] for answer in answers}) == 1
    types = ["zone.defined", "command.audited"]
    rows = served.system.log.read(after=before, limit=100, types=types)
    assert [row.type for row in rows] == types


def test_two_keys_of_one_caller_do_not_define_a_zone_twice(operator: Caller) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: operator.post("/zones", YARD), range(8)))
    assert sorted(a.status_code for a in answers) == [200] + [422] * 7
