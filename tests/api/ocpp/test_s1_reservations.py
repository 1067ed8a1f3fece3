"""S1: reservations are told to stations, which know them by a number of ours."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from api.ocpp.violations import Version
from domain.errors import Refused
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.values import HOUR, MINUTE, Event, Instant, iso_of
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    add_transaction,
    credential_context,
    run_due_timers,
)
from domain.use_cases.clause_7_3_stations import RetireStation, retire_station
from domain.use_cases.clause_7_10_safety import (
    ReportSafetyIssue,
    report_safety_issue,
)
from domain.use_cases.s1_station_reservations import ReserveFor, reserve_for
from domain.use_cases.shared_path import load_evse
from tests.api.ocpp.activities import connected, ended, steps
from tests.api.ocpp.office import (
    NOW,
    ONE,
    TWO,
    V2,
    VERSIONS,
    Office,
    evse_data,
    open_with_station,
)
from tests.api.ocpp.sockets import HEARTBEAT, ask, open_yard

TOKEN = "04AABBCC"
BOOKING = Reference("fleet", "booking", "B-1")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path, is_asked=False) as office:
        yield office


def reserve(
    office: Office,
    from_at: Instant = NOW,
    until_at: Instant = NOW + HOUR,
    token: str = TOKEN,
    **place: Any,
) -> str:
    """Reserve EVSE 2, or another place; return the session."""
    place = place or {"evse_id": TWO}
    vault = office.system.vault
    subject_id = vault.subject_of("rfid", token)
    context = credential_context(place.get("evse_id", ""))
    made = s.ReservationMade(
        session_id="",
        from_at=from_at,
        until_at=until_at,
        subject_id=subject_id,
        token_kind="rfid",
        **place,
    )
    command = ReserveFor(
        transaction=made,
        reference=BOOKING,
        credential=vault.seal(subject_id, context, token.encode()),
    )
    reserve_for(office.system, command, office.by("fleet"))
    office.follow()
    return office.system.log.owner("reference", BOOKING.key) or ""


def add(office: Office, event: Event) -> None:
    command = AddTransaction(transaction=event, reference=BOOKING)
    add_transaction(office.system, command, office.by("fleet"))
    office.follow()


@pytest.mark.requirement("S1.Req4")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_reservation_that_has_begun_is_told_to_its_station(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    session_id = reserve(office)
    (call,) = wire.calls("ReserveNow")
    told = dict(call[3])
    number = told.pop("reservationId" if version == "1.6" else "id")
    if version == "1.6":
        expiry = told.pop("expiryDate")
        assert told == {"connectorId": 2, "idTag": TOKEN}
    else:
        expiry = told.pop("expiryDateTime")
        token = {"idToken": TOKEN, "type": "ISO14443"}
        assert told == {"evseId": 2, "idToken": token}
    assert expiry[:19] == iso_of(NOW + HOUR)[:19]
    key = f"S1/reservation/{number}"
    assert office.system.log.owner("reference", key) == session_id
    wire.answer(call, {"status": "Accepted"})
    assert steps(office) == ["sent", "done"]


@pytest.mark.requirement("S1.Req5")
@pytest.mark.parametrize("status", ["Occupied", "Faulted", "Rejected", "Unavailable"])
def test_a_station_that_will_not_keep_the_place_is_on_record(
    office: Office, status: str
) -> None:
    wire = connected(office, "1.6")
    session_id = reserve(office)
    wire.answer(wire.calls("ReserveNow")[0], {"status": status})
    assert (ended(office).outcome, ended(office).detail) == ("refused", status)
    assert office.system.log.claims("reservation", f"evse/{TWO}/")[0].owner == (
        session_id
    )


@pytest.mark.requirement("S1.Req5")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("status", "is_kept"),
    [("Faulted", False), ("Unavailable", False), ("Accepted", True)],
)
def test_over_a_socket_a_station_that_is_out_of_order_says_so_itself(
    tmp_path: Path, version: Version, status: str, is_kept: bool
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            yard.office.commission("S1", evse_data(ONE), evse_data(TWO))
            async with yard.connect("S1", f"ocpp{version}") as client:
                await talk(yard.office, client)

    async def talk(office: Office, client: ClientConnection) -> None:
        told: dict[str, Any] = {"connectorId": 2, "status": "Faulted"}
        told |= {"errorCode": "InternalError"}
        if version != "1.6":
            told = {"evseId": 2, "connectorId": 1, "connectorStatus": "Faulted"}
            told |= {"timestamp": iso_of(office.clock.at)}
        assert (await ask(client, 2, "s", "StatusNotification", told))[0] == 3
        assert load_evse(office.system, TWO).blocked
        session_id = reserve(office)
        call: Any = []
        while call[2:3] != ["ReserveNow"]:
            call = json.loads(await client.recv())
            if call[2] != "ReserveNow":  # it is kept from use
                answer = [3, call[1], {"status": "Accepted"}]
                await client.send(json.dumps(answer))
        info = {"statusInfo": {"reasonCode": "Door", "additionalInfo": "is open"}}
        more = {} if version == "1.6" else info
        answer = [3, call[1], {"status": status, **more}]
        await client.send(json.dumps(answer))
        assert (await ask(client, *HEARTBEAT))[0] == 3
        reason = status if version == "1.6" else f"{status}: Door: is open"
        assert office.events(s.ReservationAnswered) == [
            s.ReservationAnswered(
                session_id=session_id, station_id="S1", is_kept=is_kept, reason=reason
            )
        ]

    asyncio.run(asyncio.wait_for(check(), 20))


def test_where_no_station_is_asked_a_blocked_evse_is_refused(office: Office) -> None:
    issue = ReportSafetyIssue(evse_id=TWO, issue="smoke")
    report_safety_issue(office.system, issue, office.by())
    made = s.ReservationMade(
        session_id="", from_at=NOW, until_at=NOW + HOUR, evse_id=TWO
    )
    with pytest.raises(Refused, match="blocked: smoke"):
        add(office, made)


def test_a_reservation_of_later_is_told_when_it_begins(office: Office) -> None:
    wire = connected(office, "2.1")
    now = office.clock.at
    reserve(office, now + 10 * MINUTE, now + HOUR)
    office.pass_time(9 * MINUTE)
    assert wire.calls("ReserveNow") == []
    office.pass_time(MINUTE)
    assert len(wire.calls("ReserveNow")) == 1


def test_a_restarted_gateway_tells_of_what_begins_since(office: Office) -> None:
    now = office.clock.at
    reserve(office, now + 10 * MINUTE, now + HOUR)
    again = Office(office.system, office.clock)
    again.ask_nothing()
    wire = again.connect("S1", "2.1")
    again.pass_time(10 * MINUTE)
    assert len(wire.calls("ReserveNow")) == 1


def test_a_reservation_whose_time_changed_keeps_its_number(office: Office) -> None:
    wire = connected(office, "2.1")
    reserve(office)
    first = wire.calls("ReserveNow")[0]
    wire.answer(first, {"status": "Accepted"})
    later = NOW + 2 * HOUR
    add(office, s.ReservationChanged(session_id="", from_at=NOW, until_at=later))
    second = wire.calls("ReserveNow")[1]
    assert second[3]["id"] == first[3]["id"]
    assert second[3]["expiryDateTime"][:19] == iso_of(later)[:19]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", ["Accepted", "Rejected"])
def test_a_reservation_that_is_cancelled_is_so_at_its_station(
    office: Office, version: Version, status: str
) -> None:
    wire = connected(office, version)
    reserve(office)
    told = wire.calls("ReserveNow")[0]
    wire.answer(told, {"status": "Accepted"})
    add(office, s.ReservationEnded(session_id="", reason="cancelled"))
    (call,) = wire.calls("CancelReservation")
    number = told[3]["reservationId" if version == "1.6" else "id"]
    assert call[3] == {"reservationId": number}
    wire.answer(call, {"status": status})
    assert ended(office).outcome == ("done" if status == "Accepted" else "refused")


def test_a_station_knows_by_itself_that_a_reservation_expired(office: Office) -> None:
    wire = connected(office, "2.1")
    reserve(office)
    wire.answer(wire.calls("ReserveNow")[0], {"status": "Accepted"})
    office.pass_time(HOUR)
    run_due_timers(office.system, office.clock.at)
    office.follow()
    assert office.events(s.ReservationEnded)
    assert wire.calls("CancelReservation") == []


def test_a_reservation_that_ended_before_its_station_came_is_not_told(
    office: Office,
) -> None:
    reserve(office)
    add(office, s.ReservationEnded(session_id="", reason="cancelled"))
    assert ended(office).outcome == "refused"
    wire = connected(office, "2.1")
    assert wire.calls() == []


def test_a_whole_station_is_reserved(office: Office) -> None:
    wire = connected(office, "1.6")
    reserve(office, station_id="S1")
    assert wire.calls("ReserveNow")[0][3]["connectorId"] == 0
    assert "evseId" not in wire.calls("ReserveNow")[0][3]


def test_without_a_token_the_station_is_not_told(office: Office) -> None:
    wire = connected(office, "1.6")
    made = s.ReservationMade(
        session_id="", from_at=NOW, until_at=NOW + HOUR, evse_id=TWO
    )
    add(office, made)
    assert wire.calls() == []
    assert ended(office).detail.startswith("no token was given")


def test_the_token_of_a_reservation_is_nowhere_in_the_clear(
    office: Office, tmp_path: Path
) -> None:
    connected(office, "2.1")
    reserve(office)
    office.system.log.flush()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(TOKEN.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("version", V2)
def test_a_station_that_drops_a_reservation_is_on_record(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    session_id = reserve(office)
    number = wire.calls("ReserveNow")[0][3]["id"]
    told = {"reservationId": number, "reservationUpdateStatus": "Removed"}
    assert wire.ask("ReservationStatusUpdate", told) == {}
    (dropped,) = office.events(t.StationReservationDropped)
    assert isinstance(dropped, t.StationReservationDropped)
    assert (dropped.session_id, dropped.status) == (session_id, "Removed")
    other = {"reservationId": number + 1, "reservationUpdateStatus": "Expired"}
    assert wire.ask("ReservationStatusUpdate", other) == {}
    assert len(office.events(t.StationReservationDropped)) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_who_begins_with_the_reservations_number_is_of_its_session(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    session_id = reserve(office)
    call = wire.calls("ReserveNow")[0]
    wire.answer(call, {"status": "Accepted"})
    at = iso_of(office.clock.at)
    if version == "1.6":
        begun: dict[str, Any] = {"connectorId": 2, "idTag": TOKEN, "meterStart": 1_000}
        number = {"reservationId": call[3]["reservationId"]}
        wire.ask("StartTransaction", {**begun, **number, "timestamp": at})
    else:
        event = {
            "eventType": "Started",
            "timestamp": at,
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "t-1"},
            "evse": {"id": 2, "connectorId": 1},
            "idToken": {"idToken": TOKEN, "type": "ISO14443"},
            "reservationId": call[3]["id"],
        }
        wire.ask("TransactionEvent", event)
    office.follow()
    bound = office.events(t.StationTransactionBound)[-1]
    assert isinstance(bound, t.StationTransactionBound)
    assert bound.session_id == session_id
    assert office.system.log.owner("occupant", TWO) == session_id


def test_another_ev_user_does_not_join_what_is_reserved_for_one(
    office: Office,
) -> None:
    wire = connected(office, "1.6")
    session_id = reserve(office)
    begun = {"connectorId": 2, "idTag": "04FFFFFF", "meterStart": 1_000}
    wire.ask("StartTransaction", {**begun, "timestamp": iso_of(office.clock.at)})
    office.follow()
    assert office.system.log.owner("occupant", TWO) != session_id


def test_a_reservation_whose_car_is_there_is_not_cancelled_at_its_station(
    office: Office,
) -> None:
    wire = connected(office, "1.6")
    reserve(office)
    call = wire.calls("ReserveNow")[0]
    wire.answer(call, {"status": "Accepted"})
    begun = {"connectorId": 2, "idTag": TOKEN, "meterStart": 1_000}
    number = {"reservationId": call[3]["reservationId"]}
    at = iso_of(office.clock.at)
    wire.ask("StartTransaction", {**begun, **number, "timestamp": at})
    add(office, s.ReservationEnded(session_id="", reason="used"))
    assert wire.calls("CancelReservation") == []


def test_a_retired_station_is_told_of_no_reservation(office: Office) -> None:
    retire = RetireStation(station_id="S1", reason="sold")
    retire_station(office.system, retire, office.by())
    office.follow()
    reserve(office)
    add(office, s.ReservationEnded(session_id="", reason="cancelled"))
    assert steps(office) == []


def test_a_station_is_told_once(office: Office) -> None:
    wire = connected(office, "2.1")
    reserve(office)
    wire.answer(wire.calls("ReserveNow")[0], {"status": "Occupied"})
    assert wire.connection is not None
    office.gateway.disconnect(wire.connection, "gone")
    assert connected(office, "2.1").calls("ReserveNow") == []
