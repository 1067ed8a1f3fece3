from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.peers import OpenTransaction
from api.ocpp.violations import Version
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import MINUTE
from domain.ports import Append, Batch
from domain.use_cases.clause_7_10_safety import (
    RecordAssessment,
    ReleaseEvse,
    SuspendEvse,
    record_assessment,
    release_evse,
    suspend_evse,
)
from domain.use_cases.e1_smart_charging import PlugEv, plug_ev
from tests.api.ocpp.office import NOW, VERSIONS, Office, Wire, evse_data, open_office

E1, E2 = "DE*VLT*E1", "DE*VLT*E2"
BOOT_1_6 = {"chargePointVendor": "Acme", "chargePointModel": "One"}
BOOT_2 = {
    "reason": "PowerUp",
    "chargingStation": {"vendorName": "Acme", "model": "One"},
}
AT = "2024-10-04T00:00:00Z"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1", evse_data(E1), evse_data(E2))
        yield office


def told(wire: Wire) -> list[tuple[int, str]]:
    """Return what the station was told of its EVSEs, in order."""
    found = []
    for _, _, _, request in wire.calls("ChangeAvailability"):
        if "connectorId" in request:
            found.append((request["connectorId"], request["type"]))
        else:
            found.append((request["evse"]["id"], request["operationalStatus"]))
    return found


def take_in(wire: Wire, status: str = "Accepted") -> None:
    """Answer the last thing that the station was told."""
    wire.answer(wire.calls("ChangeAvailability")[-1], {"status": status})


def fault(office: Office, wire: Wire, version: Version, evse_number: int = 1) -> None:
    request: dict[str, Any]
    if version == "1.6":
        request = {
            "connectorId": evse_number,
            "status": "Faulted",
            "errorCode": "GroundFailure",
        }
    else:
        request = {
            "timestamp": AT,
            "connectorStatus": "Faulted",
            "evseId": evse_number,
            "connectorId": 1,
        }
    wire.ask("StatusNotification", request)
    office.follow()


def assess(office: Office, number: int = 1) -> None:
    command = RecordAssessment(
        evse_id=E1, issue_number=number, is_safe=True, assessor="electrician"
    )
    record_assessment(office.system, command, office.by())
    office.follow()


def boot(office: Office, wire: Wire, version: Version) -> None:
    wire.ask("BootNotification", BOOT_1_6 if version == "1.6" else BOOT_2)
    office.follow()


@pytest.mark.requirement("7.10.1")
@pytest.mark.parametrize("version", VERSIONS)
def test_an_unsafe_evse_is_kept_from_use_over_reboots_until_it_was_assessed(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    fault(office, wire, version)
    (blocked,) = office.events(z.EvseBlocked)
    assert isinstance(blocked, z.EvseBlocked)
    assert (blocked.evse_id, blocked.is_safety) == (E1, True)
    assert blocked.reason == ("GroundFailure" if version == "1.6" else "Faulted")
    assert told(wire) == [(1, "Inoperative")]
    take_in(wire, "Scheduled")

    boot(office, wire, version)
    assert told(wire) == [(1, "Inoperative")] * 2
    take_in(wire)
    again = office.connect("S1", version)
    assert told(again) == [(1, "Inoperative")]
    take_in(again)

    assess(office)
    assert told(again) == [(1, "Inoperative"), (1, "Operative")]
    take_in(again)
    boot(office, again, version)
    assert len(told(again)) == 2
    changed = office.events(t.StationAvailabilityChanged)
    assert [
        c.is_operative for c in changed if isinstance(c, t.StationAvailabilityChanged)
    ] == [False, True]


@pytest.mark.requirement("7.10.2")
@pytest.mark.parametrize("version", VERSIONS)
def test_an_issue_in_a_session_is_told_to_it_and_its_transaction_stopped(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    plug_ev(office.system, PlugEv(evse_id=E1), office.by("S1"))
    peer = office.gateway.peers.by_id["S1"]
    transaction_id: int | str = 7 if version == "1.6" else "tx-7"
    peer.transactions[1] = OpenTransaction(transaction_id, 1, NOW)
    fault(office, wire, version)
    (reported,) = office.events(s.SafetyReported)
    assert isinstance(reported, s.SafetyReported)
    assert reported.evse_id == E1
    action = "RemoteStopTransaction" if version == "1.6" else "RequestStopTransaction"
    (stop,) = wire.calls(action)
    assert stop[3] == {"transactionId": transaction_id}
    assert told(wire) == []
    wire.answer(stop, {"status": "Accepted"})
    assert told(wire) == [(1, "Inoperative")]


def test_a_transaction_that_begins_at_a_blocked_evse_is_stopped(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.1")
    fault(office, wire, "2.1")
    take_in(wire)
    peer = office.gateway.peers.by_id["S1"]
    peer.transactions[1] = OpenTransaction("tx-8", 1, NOW)
    office.gateway.transaction_began(peer, 1)
    peer.transactions[2] = OpenTransaction("tx-9", 2, NOW)
    office.gateway.transaction_began(peer, 2)
    (stop,) = wire.calls("RequestStopTransaction")
    assert stop[3] == {"transactionId": "tx-8"}


def test_the_same_fault_told_again_is_no_new_issue(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    fault(office, wire, "1.6")
    fault(office, wire, "1.6")
    assert len(office.events(z.EvseBlocked)) == 1
    office.gateway.peers.by_id["S1"].statuses.clear()  # as after our restart
    fault(office, wire, "1.6")
    assert len(office.events(z.EvseBlocked)) == 1


def test_a_station_that_is_unsafe_is_so_with_all_its_evses(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    fault(office, wire, "1.6", 0)
    blocked = office.events(z.EvseBlocked)
    assert [b.evse_id for b in blocked if isinstance(b, z.EvseBlocked)] == [E1, E2]


def test_an_operators_suspension_is_told_and_its_release(office: Office) -> None:
    wire = office.connect("S1", "2.0.1")
    suspend = SuspendEvse(evse_id=E2, reason="works")
    suspend_evse(office.system, suspend, office.by())
    office.follow()
    assert told(wire) == [(2, "Inoperative")]
    take_in(wire)
    release_evse(office.system, ReleaseEvse(evse_id=E2, reason="done"), office.by())
    office.follow()
    assert told(wire) == [(2, "Inoperative"), (2, "Operative")]


def test_a_release_that_an_absent_station_could_not_hear_is_told_when_it_is_back(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.1")
    fault(office, wire, "2.1")
    take_in(wire)
    assert wire.connection is not None
    office.gateway.disconnect(wire.connection, "gone")
    assess(office)
    wire = office.connect("S1", "2.1")
    assert told(wire) == [(1, "Operative")]


def test_who_does_not_take_it_in_is_told_again_in_a_while(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    fault(office, wire, "1.6")
    take_in(wire, "Rejected")
    office.pass_time(4 * MINUTE)
    assert len(told(wire)) == 1
    office.pass_time(MINUTE)
    assert told(wire) == [(1, "Inoperative")] * 2
    assert office.events(t.StationAvailabilityChanged) == []


def alert(component: str, variable: str, value: str, **more: Any) -> dict[str, Any]:
    data = {
        "eventId": 1,
        "timestamp": AT,
        "trigger": "Alerting",
        "actualValue": value,
        "eventNotificationType": "HardWiredNotification",
        "component": {"name": component, "evse": {"id": 1}},
        "variable": {"name": variable},
        **more,
    }
    return {"generatedAt": AT, "seqNo": 0, "eventData": [data]}


@pytest.mark.requirement("7.10.1")
@pytest.mark.parametrize(
    ("message", "is_unsafe"),
    [
        (alert("ElectricalFeed", "Problem", "true"), True),
        (alert("ElectricalFeed", "Problem", "true", cleared=True), False),
        (alert("ElectricalFeed", "Problem", "false"), False),
        (alert("TokenReader", "Problem", "true"), False),
        (alert("EVSE", "Temperature", "120", severity=0), True),
        (alert("EVSE", "Temperature", "80", severity=5), False),
    ],
)
def test_an_alert_of_danger_blocks_its_evse(
    office: Office, message: dict[str, Any], is_unsafe: bool
) -> None:
    wire = office.connect("S1", "2.1")
    wire.ask("NotifyEvent", message)
    office.follow()
    assert told(wire) == ([(1, "Inoperative")] if is_unsafe else [])
    (kept,) = office.events(t.StationAlertReported)
    assert isinstance(kept, t.StationAlertReported)
    assert kept.component == message["eventData"][0]["component"]["name"]


def test_what_an_alert_tells_of_the_car_is_sealed(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    wire.ask("NotifyEvent", alert("ConnectedEV", "VehicleId", "WVWZZZ1KZ7W000001"))
    rows = office.system.log.read(after=0, limit=1_000)
    assert not [row for row in rows if "WVWZZZ1KZ7W000001" in repr(row)]
    (kept,) = office.events(t.StationMessageKept)
    assert isinstance(kept, t.StationMessageKept)
    assert kept.payload is not None


def test_an_alert_of_danger_is_heard_in_a_flood_of_others(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    for _ in range(130):
        wire.ask("NotifyEvent", alert("EVSE", "Temperature", "80", severity=5))
    assert len(office.events(t.StationAlertReported)) == 120
    wire.ask("NotifyEvent", alert("EVSE", "Temperature", "120", severity=0))
    office.follow()
    assert told(wire) == [(1, "Inoperative")]
    office.pass_time(60 * MINUTE)
    wire.ask("NotifyEvent", alert("EVSE", "Temperature", "80", severity=5))
    (counted,) = office.events(t.StationMessagesCounted)
    assert isinstance(counted, t.StationMessagesCounted)
    assert counted.count == 11


@pytest.mark.parametrize(
    ("reason", "trigger", "is_unsafe"),
    [
        ("GroundFault", "", True),
        ("EmergencyStop", "", True),
        ("", "AbnormalCondition", True),
        ("EVDisconnected", "EVCommunicationLost", False),
    ],
)
def test_a_transaction_that_ends_for_want_of_safety_blocks_its_evse(
    office: Office, reason: str, trigger: str, is_unsafe: bool
) -> None:
    wire = office.connect("S1", "2.1")
    event = t.StationTransactionReported(
        station_id="S1",
        evse_id=E1,
        transaction_id="tx-1",
        kind="ended",
        reason=reason,
        trigger=trigger,
    )
    append = Append("transaction-1", (event,), office.clock.at)
    office.system.log.append(Batch(appends=(append,)))
    office.follow()
    assert told(wire) == ([(1, "Inoperative")] if is_unsafe else [])
