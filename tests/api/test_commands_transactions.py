"""Transactions over HTTP (6.2): reservations (S1), authorizations (S2), parking."""

import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from domain.model import session_events as s
from domain.model.values import HOUR, iso_of
from domain.use_cases.clause_6_2_service_sessions import credential_context
from tests.api.caller import Caller, as_sent
from tests.api.conftest import CallerFor, KeyFor, Served
from tests.projections.small_site import EVSES, ZONE

FREE = EVSES[0]
BOOKING = {"kind": "booking", "text": "B-1"}
TICKET = {"kind": "ticket", "text": "P-1-93d0c5a17be2"}
TOKEN = {"kind": "token", "text": "CAFE0042"}


@pytest.fixture
def cso(caller_for: CallerFor) -> Caller:
    return caller_for("cso", party="fleet", zones=(ZONE,))


@pytest.fixture
def parking(caller_for: CallerFor) -> Caller:
    return caller_for("parking-operator", party="park-co")


@pytest.fixture
def station(caller_for: CallerFor) -> Caller:
    return caller_for("station", stations=("s1",))


def hours(served: Served, first: int, last: int) -> dict[str, str]:
    now = served.clock.now()
    return {
        "from_at": iso_of(now + first * HOUR),
        "until_at": iso_of(now + last * HOUR),
    }


def types(served: Served, session_id: str) -> list[str]:
    rows = served.system.log.read_stream(f"session-{session_id}")
    return [row.type for row in rows]


def test_a_reservation_is_made_changed_matched_and_ended(
    cso: Caller, served: Served
) -> None:
    made = cso.done(
        "/reservations",
        {"reference": BOOKING, "evse_id": FREE, **hours(served, 1, 2)},
    )
    named = {"reference": BOOKING}
    cso.done("/reservations/changes", {**named, **hours(served, 1, 3)})
    cso.done("/reservations/matches", named)
    by_id = {"session_id": made["session_id"], "reason": "used"}
    last = cso.done("/reservations/ends", by_id)
    assert types(served, made["session_id"]) == [
        "session.opened",
        "session.reference_bound",
        "reservation.made",
        "reservation.changed",
        "reservation.matched",
        "reservation.ended",
    ]
    path = f"/service-sessions/{made['session_id']}"
    (bound,) = cso.get(path, after=last["position"])["references"]
    assert bound["event"]["party"] == "fleet"


@pytest.mark.parametrize("place", [{"station_id": "s1"}, {"evse_class": f"{ZONE}/AC"}])
def test_a_station_or_a_class_of_evses_is_reserved(
    cso: Caller, served: Served, place: dict[str, str]
) -> None:
    cso.done("/reservations", {**place, **hours(served, 1, 2)})


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ({}, "refused"),
        ({"station_id": "s1", "evse_id": FREE}, "refused"),
        ({"evse_class": f"{ZONE}/XC"}, "invalid-parameter"),
        ({"evse_id": FREE, "until_at": "2019-10-29T00:00:00Z"}, "refused"),
    ],
)
def test_a_reservation_that_cannot_be_is_refused(
    cso: Caller, served: Served, place: dict[str, str], code: str
) -> None:
    cso.refused(422, code, "/reservations", {**hours(served, 1, 2), **place})


def test_a_place_out_of_reach_is_as_one_that_is_not_there(
    cso: Caller, caller_for: CallerFor, served: Served
) -> None:
    yard = {"zone_id": "yard", "name": "", "limit_w": 5_000, "safe_upper_w": 1}
    evse = {"evse_id": "DE*ABC*E7", "current": "AC", "phases": 1, "voltage_v": 230}
    evse |= {"max_w": 3_680, "floor_w": 1_380}
    operator = caller_for("operator", zones=("*",))
    operator.done("/zones", yard)
    body = {"station_id": "s7", "zone_id": "yard", "evses": [evse]}
    operator.done("/stations", body)
    for name, there, not_there, code in (
        ("evse_id", "DE*ABC*E7", "DE*ABC*E8", "unknown-evse"),
        ("station_id", "s7", "s8", "unknown-station"),
        ("evse_class", "yard/AC", "lawn/AC", "unknown-zone"),
    ):
        when = hours(served, 1, 2)
        path = "/reservations"
        hidden = cso.refused(404, code, path, {name: there, **when})
        missing = cso.refused(404, code, path, {name: not_there, **when})
        ids = there.split("/")[0], not_there.split("/")[0]
        assert hidden["detail"].replace(*ids) == missing["detail"]
    asked = {"token": TOKEN, "evse_id": "DE*ABC*E7"}
    cso.refused(404, "unknown-evse", "/authorizations", asked)


def test_an_authorization_is_asked_answered_and_ended(
    cso: Caller, station: Caller, served: Served
) -> None:
    asked = station.done("/authorizations", {"evse_id": FREE, "token": TOKEN})
    named = {"session_id": asked["session_id"]}
    cso.done("/authorizations/answers", {**named, "accepted": True})
    cso.done("/authorizations/ends", named)
    cso.done("/authorizations/answers", {**named, "accepted": False, "reason": "debts"})
    rows = served.system.log.read_stream(asked["stream"])
    accepted, refused = (
        next(row.event for row in rows if row.type == f"authorization.{what}")
        for what in ("accepted", "refused")
    )
    assert isinstance(accepted, s.AuthorizationAccepted)
    assert isinstance(refused, s.AuthorizationRefused)
    assert (accepted.by, refused.by, refused.reason) == ("fleet", "fleet", "debts")
    cso.refused(422, "refused", "/authorizations/ends", named)


def test_credentials_are_sealed_under_the_key_of_their_subject(
    station: Caller, served: Served
) -> None:
    body = {"evse_id": FREE, "token": TOKEN}
    first = station.done("/authorizations", body, key="a")
    again = station.done("/authorizations", body, key="a")
    assert again == {**first, "repeated": True}
    other = {**body, "token": {**TOKEN, "text": "CAFE0043"}}
    answer = station.post("/authorizations", other, key="a")
    assert answer.json()["code"] == "idempotency-key-reused"
    rows = served.system.log.read_stream(first["stream"])
    event = next(r.event for r in rows if r.type == "authorization.requested")
    assert isinstance(event, s.AuthorizationRequested)
    assert event.credential is not None
    vault = served.system.vault
    assert event.subject_id == vault.find_subject("token", "CAFE0042")
    assert vault.open(event.credential, credential_context(FREE)) == b"CAFE0042"


def test_parking_and_other_services_are_told_by_who_operates_them(
    parking: Caller, served: Served
) -> None:
    named = {"reference": TICKET}
    began = iso_of(served.clock.now() - HOUR)
    start = {**named, "place": "P7", "occurred_at": began}
    parked = parking.done("/parking/starts", start)
    parking.done("/other-services/starts", {**named, "service": "valet"})
    parking.done("/other-services/ends", {**named, "service": "valet"})
    parking.done("/parking/ends", named)
    assert types(served, parked["session_id"])[2:] == [
        "parking.started",
        "other.started",
        "other.ended",
        "parking.ended",
    ]
    rows = served.system.log.read_stream(parked["stream"])
    assert iso_of(rows[2].occurred_at) == began
    parking.refused(422, "refused", "/parking/ends", named)


ENDS: list[tuple[str, dict[str, Any]]] = [
    ("/parking/ends", {}),
    ("/other-services/ends", {"service": "valet"}),
]


@pytest.mark.parametrize(("path", "body"), ENDS)
def test_what_ends_is_of_a_session_there_is_and_that_is_named(
    parking: Caller, served: Served, path: str, body: dict[str, Any]
) -> None:
    before = served.system.log.last_position()
    named = {**body, "reference": TICKET}
    problem = parking.refused(404, "unknown-reference", path, named)
    assert "park-co/ticket/P-1" in problem["detail"]
    parking.refused(422, "invalid-parameter", path, body)
    parking.refused(404, "unknown-session", path, {**body, "session_id": "gone"})
    rows = served.system.log.read(after=before, limit=9, types=["session.opened"])
    assert not rows


def test_the_session_of_others_is_as_one_that_is_not_there(
    parking: Caller, cso: Caller, served: Served
) -> None:
    """Also under the reference of the party that has one."""
    booked = cso.done(
        "/reservations", {"reference": BOOKING, "evse_id": FREE, **hours(served, 1, 2)}
    )
    named = {"session_id": booked["session_id"]}
    hidden = parking.refused(404, "unknown-session", "/parking/starts", named)
    missing = parking.refused(
        404, "unknown-session", "/parking/starts", {"session_id": "gone"}
    )
    assert hidden["detail"].replace(booked["session_id"], "gone") == missing["detail"]
    own = parking.done("/parking/starts", {"reference": BOOKING})
    assert own["session_id"] != booked["session_id"]


def test_who_takes_part_by_a_reference_adds_to_the_session(
    parking: Caller, cso: Caller, served: Served
) -> None:
    booked = cso.done("/reservations", {"evse_id": FREE, **hours(served, 1, 2)})
    path = f"/service-sessions/{booked['session_id']}/references"
    cso.done(path, {"party": "park-co", **TICKET})
    parked = parking.done("/parking/starts", {"reference": TICKET})
    assert parked["session_id"] == booked["session_id"]


def test_a_party_is_never_told_in_the_body(parking: Caller) -> None:
    body = {"reference": {**TICKET, "party": "fleet"}}
    problem = parking.refused(422, "invalid-parameter", "/parking/starts", body)
    assert problem["errors"][0]["where"] == "body.reference.party"


def test_who_acts_for_no_party_has_no_references_and_answers_nothing(
    station: Caller, caller_for: CallerFor
) -> None:
    body = {"reference": TICKET}
    station.refused(422, "party-needed", f"/evses/{FREE}/plugs", body)
    station.refused(422, "party-needed", "/authorizations", {**body, "token": TOKEN})


@pytest.mark.parametrize("kind", ["token", "licence-plate", "Name"])
def test_personal_data_is_no_reference(parking: Caller, kind: str) -> None:
    body = {"reference": {"kind": kind, "text": "HH-AB 123"}}
    parking.refused(422, "refused", "/parking/starts", body)


def test_a_command_whose_caller_hangs_up_is_done_once(
    address: str, key_for: KeyFor, caller_for: CallerFor, served: Served
) -> None:
    headers = key_for("parking-operator", party="park-co")
    body = {"reference": TICKET}
    before = served.system.log.last_position()
    where = urlsplit(address)
    assert where.hostname
    assert where.port
    for _ in range(20):
        with socket.create_connection((where.hostname, where.port)) as connection:
            connection.sendall(request("/v1/parking/starts", headers, as_sent(body)))
    wait_for(served, "parking.started", before)
    caller = Caller(caller_for("admin", zones=("*",)).client, headers)
    answer = caller.done("/parking/starts", body, key="hung-up")
    assert answer["repeated"]
    rows = served.system.log.read(after=before, limit=99, types=["parking.started"])
    assert len(rows) == 1


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: test",
        "Idempotency-Key: hung-up",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def wait_for(served: Served, kind: str, before: int) -> None:
    until = time.monotonic() + 10
    while not served.system.log.read(after=before, limit=1, types=[kind]):
        assert time.monotonic() < until, f"{kind} was never recorded"
        time.sleep(0.01)
