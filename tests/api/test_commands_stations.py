"""7.3 Stations over HTTP: registered, given credentials, blocked, retired, seen."""

import hashlib
import json
from typing import Any

import pytest

from domain.model import ids
from domain.model import station_events as t
from domain.model.station_events import StationRegistered
from tests.api.caller import Caller
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import ZONE, Told

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
REGISTRATION = {"identity": "CS-0001", "security_profile": 2}
NEW = "/stations/cs-1/registration"


@pytest.fixture
def operator(caller_for: CallerFor) -> Caller:
    return caller_for("operator", zones=("*",))


@pytest.fixture
def yard(operator: Caller) -> Caller:
    operator.done("/zones", YARD)
    operator.done("/stations", STATION)
    return operator


def registered(served: Served, station_id: str = "cs-1") -> StationRegistered:
    rows = served.system.log.read_stream(f"station-{station_id}")
    (event,) = (r.event for r in rows if isinstance(r.event, StationRegistered))
    return event


@pytest.mark.requirement("7.9.4.2")
def test_a_password_is_drawn_shown_once_and_kept_as_its_digest(
    yard: Caller, served: Served
) -> None:
    shown = yard.done(NEW, REGISTRATION, key="r")
    assert len(bytes.fromhex(shown["password"])) * 8 >= 128
    kept = registered(served)
    digest = hashlib.sha256(shown["password"].encode()).digest()
    assert (kept.identity, kept.password_digest) == ("CS-0001", digest)
    again = yard.done(NEW, REGISTRATION, key="r")
    assert (again["password"], again["repeated"]) == (None, True)
    assert again["position"] == shown["position"]
    rows = served.system.log.read(after=0, limit=10_000)
    assert not any(shown["password"] in repr(row) for row in rows)


def test_new_credentials_have_another_password_or_none(yard: Caller) -> None:
    first = yard.done(NEW, REGISTRATION)["password"]
    rotated = yard.done("/stations/cs-1/credentials", {"security_profile": 1})
    assert rotated["password"] not in (first, None)
    by_certificate = {"security_profile": 3, "certificate_name": "cs-1.example"}
    last = yard.done("/stations/cs-1/credentials", by_certificate)
    assert last["password"] is None
    shown = yard.get("/stations/cs-1", after=last["position"])
    assert (shown["security_profile"], shown["certificate_name"]) == (3, "cs-1.example")


def test_a_station_is_registered_before_it_is_commissioned_too(
    operator: Caller,
) -> None:
    last = operator.done(NEW, REGISTRATION)
    shown = operator.get("/stations/cs-1", after=last["position"])
    assert (shown["standing"], shown["zone_id"]) == ("pending", "")
    operator.done("/zones", YARD)
    last = operator.done("/stations", STATION)
    shown = operator.get("/stations/cs-1", after=last["position"])
    assert (shown["standing"], shown["zone_id"]) == ("accepted", "yard")
    assert [evse["evse_id"] for evse in shown["evses"]] == ["DE*ABC*E100"]


def test_a_station_is_blocked_unblocked_and_retired(yard: Caller) -> None:
    yard.done(NEW, REGISTRATION)
    for command, standing, reason in (
        ("block", "blocked", "stolen"),
        ("unblock", "accepted", ""),
        ("retire", "retired", "sold"),
    ):
        body = {"reason": reason or "found"}
        last = yard.done(f"/stations/cs-1/{command}", body)["position"]
        shown = yard.get("/stations/cs-1", after=last)
        assert (shown["standing"], shown["reason"]) == (standing, reason)
    gone = yard.refused(422, "refused", "/stations/cs-1/block", {"reason": "x"})
    assert "was retired: sold" in gone["detail"]


def test_deviations_are_of_a_closed_list(yard: Caller) -> None:
    yard.done(NEW, REGISTRATION)
    path = "/stations/cs-1/deviations"
    last = yard.done(path, {"deviations": ["null-member"]})
    shown = yard.get("/stations/cs-1", after=last["position"])
    assert shown["deviations"] == ["null-member"]
    wrong = yard.refused(422, "refused", path, {"deviations": ["typos"]})
    assert "instant-without-offset" in wrong["detail"]


def test_what_breaks_a_rule_is_refused(yard: Caller) -> None:
    for body, code, named in (
        ({"security_profile": 3}, "refused", "certificate"),
        ({"security_profile": 1, "certificate_name": "x"}, "refused", "certificate"),
        ({"security_profile": 4}, "invalid-parameter", "security_profile"),
        ({"security_profile": "1"}, "invalid-parameter", "security_profile"),
        ({"security_profile": 1, "password": "x"}, "invalid-parameter", "password"),
        ({"identity": "a/b"}, "invalid-parameter", "identity"),
        ({"identity": "a" * 49}, "invalid-parameter", "identity"),
    ):
        problem = yard.refused(422, code, NEW, {**REGISTRATION, **body})
        assert named in json.dumps(problem), body


def test_who_has_the_zone_registers_its_stations_and_no_others(
    yard: Caller, caller_for: CallerFor
) -> None:
    of_yard = caller_for("operator", zones=("yard",))
    of_garage = caller_for("operator", zones=(ZONE,))
    for path, body in (
        ("registration", REGISTRATION),
        ("credentials", {"security_profile": 1}),
        ("deviations", {"deviations": []}),
        ("block", {"reason": "x"}),
        ("unblock", {"reason": "x"}),
        ("retire", {"reason": "x"}),
    ):
        hidden = of_garage.refused(
            404, "unknown-station", f"/stations/cs-1/{path}", body
        )
        missing = of_garage.refused(
            404, "unknown-station", f"/stations/cs-9/{path}", body
        )
        assert hidden["detail"].replace("cs-1", "cs-9") == missing["detail"]
        of_yard.done(f"/stations/cs-1/{path}", body)
    # One that no zone has is nobody's who has zones only.
    path = "/stations/cs-9/registration"
    of_yard.refused(404, "unknown-station", path, {**REGISTRATION, "identity": "x"})


def test_stations_are_read_by_who_reaches_them(
    yard: Caller, caller_for: CallerFor, served: Served
) -> None:
    last = yard.done(NEW, REGISTRATION)["position"]
    everything = yard.get("/stations", after=last)["items"]
    assert [found["station_id"] for found in everything] == ["cs-1", "s1"]
    of_yard = caller_for("analyst", zones=("yard",))
    (mine,) = of_yard.get("/stations", after=last)["items"]
    assert mine["station_id"] == "cs-1"
    for station_id in ("s1", "none"):
        answer = of_yard.client.get(f"/stations/{station_id}", headers=of_yard.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-station")


def test_stations_are_listed_in_pages_and_by_what_they_are(
    yard: Caller, served: Served
) -> None:
    yard.done(NEW, REGISTRATION)
    now = served.clock.now()
    connected = t.StationConnected("cs-1", "2.1", 2)
    last = served.tell(Told(ids.connectivity_stream("cs-1", now), now, connected))

    def listed(**query: Any) -> list[str]:
        items = yard.get("/stations", after=last, **query)["items"]
        return [found["station_id"] for found in items]

    assert listed(connection="connected") == ["cs-1"]
    assert listed(standing="unregistered") == ["s1"]
    assert listed(zone_id=ZONE) == ["s1"]
    assert listed(zone_id=ZONE, standing="accepted") == []
    first = yard.get("/stations", limit=1, after=last)
    rest = yard.get("/stations", limit=1, cursor=first["next"])
    assert [f["station_id"] for f in rest["items"]] == ["s1"]
    answer = yard.client.get("/stations?standing=x", headers=yard.headers)
    assert answer.status_code == 422


def test_a_station_is_shown_as_it_was(yard: Caller) -> None:
    before = yard.done(NEW, REGISTRATION)["position"]
    yard.done("/stations/cs-1/block", {"reason": "stolen"})
    then = yard.get("/stations/cs-1", as_of=before)
    assert (then["standing"], then["reason"]) == ("accepted", "")
    listed = yard.get("/stations", as_of=before, standing="accepted", limit=1)
    assert [found["station_id"] for found in listed["items"]] == ["cs-1"]
    rest = yard.get("/stations", standing="accepted", cursor=listed["next"])
    assert rest["items"] == []
    assert yard.get("/stations", as_of=1)["items"] == []


def test_what_a_station_told_is_in_events_of_who_reaches_it(
    yard: Caller, caller_for: CallerFor, served: Served
) -> None:
    now = served.clock.now()
    told = [
        Told(
            ids.transaction_stream(station_id, "1"),
            now,
            t.StationTransactionGap(station_id, "1", 1, 2),
        )
        for station_id in ("cs-1", "s1")
    ]
    after = served.tell(*told) - len(told)
    for zone_id, station_id in (("yard", "cs-1"), (ZONE, "s1")):
        reader = caller_for("analyst", zones=(zone_id,))
        found = reader.get("/events", type="station_transaction.gap")
        states = [item["state"]["station_id"] for item in found["items"]]
        assert states == [station_id]
        heads = reader.headers
        with reader.client.stream(
            "GET", "/events/feed", params={"after": after}, headers=heads
        ) as feed:
            line = next(x for x in feed.iter_lines() if x.startswith("data: "))
        assert json.loads(line[6:])["state"]["station_id"] == station_id
