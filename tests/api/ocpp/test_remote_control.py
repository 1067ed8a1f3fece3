"""S3 and operators' commands: activities become calls, answers their ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.peers import OpenTransaction
from api.ocpp.violations import Version
from domain.model import activity_events as y
from domain.model import station_events as t
from domain.model.activity_events import ActivityKind
from domain.model.values import MINUTE, SECOND, Event, iso_of
from domain.ports import Append, Batch
from domain.use_cases.clause_6_2_service_sessions import (
    run_due_timers,
)
from domain.use_cases.s3_remote_start import (
    StopRemotely,
    stop_remotely,
)
from tests.api.ocpp.activities import ask, connected, ended, start, steps
from tests.api.ocpp.etps_told import able, plug, record, send
from tests.api.ocpp.office import (
    NOW,
    ONE,
    TWO,
    V2,
    VERSIONS,
    Office,
    Wire,
    open_with_station,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path, is_asked=False) as office:
        yield office


def report(office: Office, event: Event) -> None:
    append = Append("transaction-x", (event,), office.clock.at)
    office.system.log.append(Batch(appends=(append,)))
    office.follow()


def begin_transaction(office: Office) -> None:
    """Report a transaction of the remote start's session, as its module does."""
    asked = office.events(y.ActivityAsked)[-1]
    assert isinstance(asked, y.ActivityAsked)
    bound = t.StationTransactionBound(
        station_id="S1", transaction_id="t-1", session_id=asked.session_id
    )
    report(office, bound)


def end_transaction(office: Office, evse_id: str) -> None:
    event = t.StationTransactionReported(
        station_id="S1", evse_id=evse_id, transaction_id="t-1", kind="ended"
    )
    report(office, event)


def open_transaction(office: Office, number: int, transaction_id: int | str) -> None:
    peer = office.gateway.peers.by_id["S1"]
    peer.transactions[number] = OpenTransaction(transaction_id, number, NOW)


@pytest.mark.requirement("S3.Req1")
@pytest.mark.requirement("S3.Req3")
def test_a_remote_start_of_1_6_is_done_when_its_transaction_begins(
    office: Office,
) -> None:
    wire = connected(office, "1.6")
    start(office)
    (call,) = wire.calls("RemoteStartTransaction")
    assert call[3] == {"idTag": "04AABBCC", "connectorId": 2}
    wire.answer(call, {"status": "Accepted"})
    assert steps(office) == ["sent", "accepted"]
    begin_transaction(office)
    assert steps(office) == ["sent", "accepted", "done"]


@pytest.mark.requirement("S3.Req1")
@pytest.mark.requirement("S3.Req3")
@pytest.mark.parametrize("version", V2)
def test_a_remote_start_of_2_x_names_its_session_by_a_number(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    start(office)
    (call,) = wire.calls("RequestStartTransaction")
    number = call[3].pop("remoteStartId")
    token = {"idToken": "04AABBCC", "type": "ISO14443"}
    assert call[3] == {"idToken": token, "evseId": 2}
    key = f"S1/remote-start/{number}"
    asked = office.events(y.ActivityAsked)[0]
    assert isinstance(asked, y.ActivityAsked)
    assert office.system.log.owner("reference", key) == asked.session_id
    wire.answer(call, {"status": "Accepted", "transactionId": "t-1"})
    assert steps(office) == ["sent", "done"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_that_rejects_a_remote_start_ends_it(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    start(office)
    answer: dict[str, Any] = {"status": "Rejected"}
    if version != "1.6":
        answer["statusInfo"] = {"reasonCode": "InternalError"}
    wire.answer(wire.calls()[-1], answer)
    assert steps(office) == ["sent", "refused"]
    assert ended(office).detail.startswith("Rejected")


def test_the_credential_of_a_remote_start_is_nowhere_in_the_clear(
    office: Office, tmp_path: Path
) -> None:
    connected(office, "2.1")
    start(office)
    office.system.log.flush()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"04AABBCC" in path.read_bytes() for path in files)


def test_a_token_that_1_6_has_no_room_for_is_not_sent(office: Office) -> None:
    wire = connected(office, "1.6")
    start(office, "x" * 21)
    assert wire.calls() == []
    assert ended(office).detail == "OCPP 1.6 takes tokens of 20 characters, not 21"


def test_what_is_asked_of_a_station_that_is_away_is_sent_when_it_connects(
    office: Office,
) -> None:
    ask(office, ActivityKind.RESET)
    assert steps(office) == []
    wire = office.connect("S1", "2.1")
    office.pass_time(9 * SECOND)
    assert wire.calls("Reset") == []  # it may boot first
    office.pass_time(SECOND)
    (call,) = wire.calls("Reset")
    assert call[3] == {"type": "Immediate"}
    office.pass_time(MINUTE)
    assert len(wire.calls("Reset")) == 1


def test_a_boot_after_the_reset_ends_it(office: Office) -> None:
    wire = connected(office, "1.6")
    ask(office, ActivityKind.RESET)
    (call,) = wire.calls("Reset")
    assert call[3] == {"type": "Hard"}
    wire.answer(call, {"status": "Accepted"})
    assert steps(office) == ["sent", "accepted"]
    wire = office.connect("S1", "1.6")
    boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
    wire.ask("BootNotification", boot)
    office.follow()
    assert steps(office) == ["sent", "accepted", "done"]


def test_what_is_waiting_is_sent_once_the_station_booted(office: Office) -> None:
    ask(office, ActivityKind.UNLOCK, evse_id=ONE)
    wire = office.connect("S1", "1.6")
    boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
    wire.ask("BootNotification", boot)
    (call,) = wire.calls("UnlockConnector")
    assert call[3] == {"connectorId": 1}


def test_a_reset_on_idle_of_1_6_waits_for_the_end_of_transactions(
    office: Office,
) -> None:
    wire = connected(office, "1.6")
    open_transaction(office, 1, 7)
    ask(office, ActivityKind.RESET, parameters={"how": "on-idle"})
    assert wire.calls("Reset") == []
    office.gateway.peers.by_id["S1"].transactions.clear()
    end_transaction(office, ONE)
    assert wire.calls("Reset")[0][3] == {"type": "Soft"}


def test_one_evse_is_reset_where_the_version_can(office: Office) -> None:
    wire = connected(office, "2.0.1")
    ask(office, ActivityKind.RESET, evse_id=TWO, parameters={"how": "on-idle"})
    (call,) = wire.calls("Reset")
    assert call[3] == {"type": "OnIdle", "evseId": 2}
    wire.answer(call, {"status": "Accepted"})
    assert steps(office) == ["sent", "done"]
    wire = connected(office, "1.6")
    ask(office, ActivityKind.RESET, evse_id=TWO)
    assert wire.calls("Reset") == []
    assert ended(office).detail == "OCPP 1.6 resets whole stations only"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_remote_stop_is_done_when_the_transaction_ended(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    transaction_id = 7 if version == "1.6" else "t-1"
    open_transaction(office, 2, transaction_id)
    ask(office, ActivityKind.REMOTE_STOP, evse_id=TWO)
    call = wire.calls()[-1]
    assert call[2] in ("RemoteStopTransaction", "RequestStopTransaction")
    assert call[3] == {"transactionId": transaction_id}
    wire.answer(call, {"status": "Accepted"})
    end_transaction(office, ONE)
    assert steps(office) == ["sent", "accepted"]
    end_transaction(office, TWO)
    assert steps(office) == ["sent", "accepted", "done"]


def test_without_a_transaction_there_is_nothing_to_stop(office: Office) -> None:
    connected(office, "2.1")
    ask(office, ActivityKind.REMOTE_STOP, evse_id=TWO)
    assert steps(office) == ["refused"]


def test_what_no_station_answers_times_out(office: Office) -> None:
    connected(office, "2.1")
    start(office)
    office.pass_time(MINUTE)
    assert steps(office) == ["sent", "unanswered"]
    run_due_timers(office.system, office.clock.at + 4 * MINUTE)
    assert steps(office) == ["sent", "unanswered", "timed out"]


@pytest.mark.parametrize("answer", ["Rejected", "Accepted"])
def test_nobody_else_charges_on_a_start_that_nothing_came_of(
    office: Office, answer: str
) -> None:
    wire = connected(office, "2.1")
    start(office)
    asked = office.events(y.ActivityAsked)[0]
    assert isinstance(asked, y.ActivityAsked)
    assert office.system.log.owner("waiting", TWO) == asked.session_id
    wire.answer(wire.calls("RequestStartTransaction")[0], {"status": answer})
    office.pass_time(6 * MINUTE)
    run_due_timers(office.system, office.clock.at)
    office.follow()
    assert steps(office)[-1] == ("refused" if answer == "Rejected" else "timed out")
    assert office.system.log.owner("waiting", TWO) is None
    plug(office, TWO)
    assert office.system.log.owner("occupant", TWO) != asked.session_id


def test_a_lost_connection_has_asked_again_what_does_no_harm(office: Office) -> None:
    wire = connected(office, "2.1")
    start(office)
    ask(office, ActivityKind.TRIGGER, parameters={"message": "Heartbeat"})
    wire.answer(wire.calls("RequestStartTransaction")[0], {"status": "Accepted"})
    assert wire.connection is not None
    office.gateway.disconnect(wire.connection, "gone")
    wire = connected(office, "2.1")
    assert [call[2] for call in wire.calls()] == ["TriggerMessage"]


def test_a_reset_that_a_lost_connection_left_open_is_not_sent_again(
    office: Office,
) -> None:
    wire = connected(office, "2.1")
    ask(office, ActivityKind.RESET)
    assert wire.connection is not None
    office.gateway.disconnect(wire.connection, "gone")
    assert connected(office, "2.1").calls("Reset") == []
    assert steps(office) == ["sent", "unanswered"]


def test_a_restarted_gateway_goes_on_with_what_is_open(office: Office) -> None:
    connected(office, "2.1")
    start(office)
    ask(office, ActivityKind.TRIGGER, parameters={"message": "Heartbeat"})
    ask(office, ActivityKind.RESET, evse_id=ONE)
    # Of the three only the first has left the queue: that is not known any more.
    again = Office(office.system, office.clock)
    again.ask_nothing()
    wire = again.connect("S1", "2.1")
    again.pass_time(MINUTE)
    assert [call[2] for call in wire.calls()] == ["TriggerMessage"]


def test_a_station_refuses_by_an_error_too(office: Office) -> None:
    wire = connected(office, "1.6")
    ask(office, ActivityKind.UNLOCK, evse_id=ONE)
    (call,) = wire.calls("UnlockConnector")
    wire.raw(f'[4,"{call[1]}","NotSupported","no lock",{{}}]'.encode())
    assert ended(office).detail == "NotSupported: no lock"


@pytest.mark.requirement("S3.Req3")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_transaction_that_a_station_begins_then_ends_the_remote_start(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    start(office)
    call = wire.calls()[-1]
    wire.answer(call, {"status": "Accepted"})
    office.follow()
    asked = office.events(y.ActivityAsked)[0]
    assert isinstance(asked, y.ActivityAsked)
    transaction_id = begun_by_station(office, wire, version, call[3])
    office.follow()
    assert steps(office) == ["sent", "accepted", "done"]
    owner = office.system.log.owner("occupant", TWO)
    assert owner == asked.session_id
    stop = StopRemotely(session_id=asked.session_id)
    stop_remotely(office.system, stop, office.by())
    office.follow()
    stopped = wire.calls()[-1]
    assert stopped[3] == {"transactionId": transaction_id}
    wire.answer(stopped, {"status": "Accepted"})
    ended_by_station(office, wire, version, transaction_id)
    office.follow()
    assert steps(office)[-3:] == ["sent", "accepted", "done"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_start_that_is_planned_brings_what_its_transaction_begins_with(
    office: Office, version: Version
) -> None:
    able(office, version)
    defaults = t.StationDefaultsInstalled(station_id="S1", default_w=8_000)
    record(office, "station-S1", defaults)
    wire = connected(office, version)
    plug(office, TWO)
    send(office, 1, (0, 7_000), (3_600, 5_000), evse_id=TWO)
    start(office)
    (call,) = wire.calls()
    profile = call[3]["chargingProfile"]
    assert profile["chargingProfilePurpose"] == "TxProfile"
    assert "transactionId" not in profile
    schedule = profile["chargingSchedule"]
    (schedule,) = schedule if version != "1.6" else [schedule]
    (period,) = schedule["chargingSchedulePeriod"]
    # The least of the ETP: nobody knows when the transaction begins.
    assert (period["startPeriod"], period["limit"]) == (0, 5_000)


def begun_by_station(office: Office, wire: Wire, version: Version, asked: Any) -> Any:
    """Let the station begin what it was asked for; return its transaction's id."""
    at = iso_of(office.clock.at)
    if version == "1.6":
        begun = {"connectorId": 2, "idTag": asked["idTag"], "meterStart": 1_000}
        answer = wire.ask("StartTransaction", {**begun, "timestamp": at})
        return answer["transactionId"]
    info = {"transactionId": "t-1", "remoteStartId": asked["remoteStartId"]}
    event = {
        "eventType": "Started",
        "timestamp": at,
        "triggerReason": "RemoteStart",
        "seqNo": 0,
        "transactionInfo": info,
        "evse": {"id": 2, "connectorId": 1},
        "idToken": asked["idToken"],
    }
    answer = wire.ask("TransactionEvent", event)
    assert answer["idTokenInfo"]["status"] == "Accepted"
    return "t-1"


def ended_by_station(
    office: Office, wire: Wire, version: Version, transaction_id: Any
) -> None:
    at = iso_of(office.clock.at)
    if version == "1.6":
        stop = {"transactionId": transaction_id, "meterStop": 1_000, "reason": "Remote"}
        wire.ask("StopTransaction", {**stop, "timestamp": at})
        return
    event = {
        "eventType": "Ended",
        "timestamp": at,
        "triggerReason": "RemoteStop",
        "seqNo": 1,
        "transactionInfo": {"transactionId": transaction_id, "stoppedReason": "Remote"},
        "evse": {"id": 2, "connectorId": 1},
    }
    wire.ask("TransactionEvent", event)
