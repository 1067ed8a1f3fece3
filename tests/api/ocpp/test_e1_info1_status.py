from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.peers import OpenTransaction
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import DAY, MINUTE, SECOND, Event, iso_of
from domain.use_cases.e1_smart_charging import PlugEv, plug_ev
from tests.api.ocpp.office import NOW, Office, Wire, evse_data, open_office

E1, E2 = "DE*VLT*E1", "DE*VLT*E2"
CONTRADICTIONS: tuple[type[Event], ...] = (s.FactKept, z.EvseFactKept)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1", evse_data(E1), evse_data(E2))
        yield office


def say_1_6(wire: Wire, status: str, connector: int = 1, **more: Any) -> None:
    request = {"connectorId": connector, "status": status, "errorCode": "NoError"}
    wire.ask("StatusNotification", request | more)


def say_2(wire: Wire, status: str, at: int = NOW, connector: int = 1) -> None:
    request = {
        "timestamp": iso_of(at),
        "connectorStatus": status,
        "evseId": 1,
        "connectorId": connector,
    }
    wire.ask("StatusNotification", request)


def statuses(office: Office) -> list[tuple[int, str]]:
    return [
        (e.evse_number, e.status)
        for e in office.events(t.StationStatusReported)
        if isinstance(e, t.StationStatusReported)
    ]


def kinds(office: Office) -> list[str]:
    """Return what became of EVs, in order; a test has no needs and no plans."""
    wanted = (z.EvseOccupied, s.TransferPaused, s.TransferResumed, z.EvseVacated)
    return [type(event).__name__ for event in office.events(*wanted, *CONTRADICTIONS)]


@pytest.mark.requirement("E1.Req1")
def test_a_day_of_a_connector_of_1_6_plugs_pauses_and_unplugs_once(
    office: Office,
) -> None:
    wire = office.connect("S1", "1.6")
    day = ["Available", "Preparing", "Charging", "SuspendedEV", "SuspendedEV"]
    for status in [*day, "SuspendedEVSE", "Charging", "Finishing", "Available"]:
        say_1_6(wire, status)
    assert kinds(office) == [
        "EvseOccupied",
        "TransferPaused",
        "TransferResumed",
        "EvseVacated",
    ]
    assert len(statuses(office)) == 8


def test_a_station_of_1_6_is_connector_0_and_plugs_nothing(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Available", 0)
    say_1_6(wire, "Charging", 9)
    assert statuses(office) == [(0, "Available"), (9, "Charging")]
    assert kinds(office) == []


def test_who_is_plugged_already_is_not_plugged_again(office: Office) -> None:
    """As when StartTransaction came first."""
    wire = office.connect("S1", "1.6")
    plug_ev(office.system, PlugEv(evse_id=E1), office.by("S1"))
    say_1_6(wire, "Preparing")
    say_1_6(wire, "Charging")
    assert kinds(office) == ["EvseOccupied"]


def test_finishing_after_an_ev_has_left_plugs_nothing(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Finishing")
    say_1_6(wire, "Available")
    assert kinds(office) == []


def test_a_free_connector_waits_for_the_end_of_its_transaction(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Charging")
    peer = office.gateway.peers.by_id["S1"]
    peer.transactions[1] = OpenTransaction(7, 1, NOW)
    say_1_6(wire, "Available")
    office.pass_time(29 * SECOND)
    assert kinds(office) == ["EvseOccupied"]
    office.pass_time(SECOND)
    assert kinds(office) == ["EvseOccupied", "EvseVacated"]


def test_a_cable_that_is_in_again_meanwhile_stays(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    plug_ev(office.system, PlugEv(evse_id=E1), office.by("S1"))
    say_1_6(wire, "Available")
    say_1_6(wire, "Preparing")
    office.pass_time(MINUTE)
    assert kinds(office) == ["EvseOccupied"]


def test_after_a_reconnection_what_left_meanwhile_is_unplugged(
    office: Office,
) -> None:
    plug_ev(office.system, PlugEv(evse_id=E1), office.by("S1"))
    office.pass_time(10 * MINUTE)
    wire = office.connect("S1", "2.0.1")
    say_2(wire, "Available", NOW + 9 * MINUTE)
    office.pass_time(MINUTE)
    assert kinds(office) == ["EvseOccupied", "EvseVacated"]


def test_a_connector_that_was_free_before_an_ev_came_unplugs_nothing(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.0.1")
    plug_ev(office.system, PlugEv(evse_id=E1), office.by("S1"))
    say_2(wire, "Available", NOW - MINUTE)
    office.pass_time(MINUTE)
    assert kinds(office) == ["EvseOccupied"]


def test_a_free_connector_beside_one_in_use_unplugs_nothing(office: Office) -> None:
    plug_ev(office.system, PlugEv(evse_id=E1), office.by("S1"))
    wire = office.connect("S1", "2.0.1")
    say_2(wire, "Available", connector=2)
    say_2(wire, "Occupied", connector=1)
    office.pass_time(MINUTE)
    assert kinds(office) == ["EvseOccupied"]


def test_a_status_that_is_older_than_the_last_changes_nothing(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Available", timestamp=iso_of(NOW))
    say_1_6(wire, "Preparing", timestamp=iso_of(NOW - MINUTE))
    assert statuses(office) == [(1, "Available")]
    assert kinds(office) == []


def test_a_clock_that_was_ahead_and_is_set_right_hides_nothing(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Preparing", timestamp=iso_of(NOW + 90 * SECOND))
    office.pass_time(10 * SECOND)
    say_1_6(wire, "Available", timestamp=iso_of(NOW + 10 * SECOND))
    assert statuses(office) == [(1, "Preparing"), (1, "Available")]


def test_a_clock_that_a_boot_has_lost_hides_nothing(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Preparing", timestamp=iso_of(NOW))
    boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
    wire.ask("BootNotification", boot)
    say_1_6(wire, "Available", timestamp="1970-01-01T00:00:05Z")
    assert statuses(office) == [(1, "Preparing"), (1, "Available")]


def test_a_status_that_has_held_for_long_holds_from_now_on(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Preparing", timestamp=iso_of(NOW - DAY))
    rows = office.system.log.read(after=0, limit=10_000)
    (plugged,) = [r for r in rows if isinstance(r.event, z.EvseOccupied)]
    assert plugged.occurred_at == NOW
    assert office.gateway.peers.by_id["S1"].clock_offset is None


def test_a_clock_that_is_ahead_is_measured_by_a_status(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    say_2(wire, "Available", NOW + 90 * SECOND)
    assert office.gateway.peers.by_id["S1"].clock_offset == 90 * SECOND


@pytest.mark.parametrize(
    ("start_points", "plugs"),
    [((), False), (("EVConnected",), False), (("Authorized", "PowerPathClosed"), True)],
)
def test_occupied_plugs_only_where_transactions_begin_later(
    office: Office, start_points: tuple[str, ...], plugs: bool
) -> None:
    wire = office.connect("S1", "2.1")
    peer = office.gateway.peers.by_id["S1"]
    peer.told = t.StationCapabilities(
        station_id="S1", version="2.1", start_points=start_points
    )
    say_2(wire, "Occupied")
    assert kinds(office) == (["EvseOccupied"] if plugs else [])
    say_2(wire, "Available")
    assert kinds(office) == (["EvseOccupied", "EvseVacated"] if plugs else [])


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_an_event_of_availability_is_a_status(office: Office, version: Any) -> None:
    wire = office.connect("S1", version)
    data = {
        "eventId": 1,
        "timestamp": iso_of(NOW),
        "trigger": "Delta",
        "actualValue": "Occupied",
        "eventNotificationType": "HardWiredNotification",
        "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
        "variable": {"name": "AvailabilityState"},
    }
    told = {"generatedAt": iso_of(NOW), "seqNo": 0, "eventData": [data]}
    wire.ask("NotifyEvent", told)
    say_2(wire, "Occupied")
    assert statuses(office) == [(1, "Occupied")]


def test_other_events_that_nobody_is_alerted_by_are_no_rows(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    before = office.system.log.last_position()
    data = {
        "eventId": 1,
        "timestamp": iso_of(NOW),
        "trigger": "Periodic",
        "actualValue": "21.5",
        "eventNotificationType": "CustomMonitor",
        "component": {"name": "EVSE", "evse": {"id": 1}},
        "variable": {"name": "Temperature"},
    }
    peer = office.gateway.peers.by_id["S1"]
    peer.clock_recorded = 0
    wire.ask(
        "NotifyEvent", {"generatedAt": iso_of(NOW), "seqNo": 0, "eventData": [data]}
    )
    assert office.system.log.last_position() == before


def answer_all(wire: Wire) -> None:
    """Take all that is asked at a connection."""
    answered = 0
    while len(wire.calls()) > answered:
        wire.answer(wire.calls()[answered], {"status": "Accepted"})
        answered += 1


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
def test_a_station_that_came_back_is_asked_whether_an_ev_is_still_there(
    office: Office, version: Any
) -> None:
    for evse_id in (E1, E2):
        plug_ev(office.system, PlugEv(evse_id=evse_id), office.by("S1"))
    peer = office.gateway.peers.by_id["S1"]
    peer.transactions[2] = OpenTransaction("tx-1", 2, NOW)
    wire = office.connect("S1", version)
    office.pass_time(MINUTE)
    answer_all(wire)
    (call,) = wire.calls("TriggerMessage")
    evse = {"evse": {"id": 1, "connectorId": 1}}
    place = {"connectorId": 1} if version == "1.6" else evse
    assert call[3] == {"requestedMessage": "StatusNotification", **place}


def test_a_station_that_tells_its_status_is_not_asked(office: Office) -> None:
    plug_ev(office.system, PlugEv(evse_id=E1), office.by("S1"))
    wire = office.connect("S1", "1.6")
    say_1_6(wire, "Charging")
    office.pass_time(MINUTE)
    assert wire.calls("TriggerMessage") == []
