"""E1 Info1: an EV's stay as a station tells it, by its transaction."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ocpp.exchanges import MODULES
from api.ocpp.gateway import Gateway
from api.ocpp.violations import Version
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.plan_events import MeasuresTaken, ReadingsTaken
from domain.model.values import MINUTE, SECOND, Quality
from tests.api.ocpp.office import (
    NOW,
    ONE,
    TWO,
    V2,
    Office,
    iso,
)
from tests.api.ocpp.transactions import (
    CARD,
    event,
    kinds,
    meter,
    only,
    open_with_contract,
    running,
    started,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_contract(tmp_path) as office:
        yield office


@pytest.mark.requirement("E1.Req2")
@pytest.mark.parametrize("version", V2)
def test_a_day_of_an_ev_is_told_by_its_transaction(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    answer = started(office, wire)
    assert answer["idTokenInfo"]["status"] == "Accepted"
    bound = only(office, s.EvseBound)
    assert (bound.evse_id, bound.station_id) == (ONE, "S1")
    assert only(office, s.TransferStarted).register_wh == 1_000
    assert running(office).session_id == bound.session_id
    for seq_no, state in enumerate(("Charging", "SuspendedEV", "Charging"), start=1):
        office.pass_time(MINUTE)
        told = event(
            office, "Updated", seq_no, "ChargingStateChanged", chargingState=state
        )
        assert wire.ask("TransactionEvent", told) == {}
    assert only(office, s.TransferPaused).by == "ev"
    assert only(office, s.TransferResumed).session_id == bound.session_id
    office.pass_time(MINUTE)
    ended = event(
        office,
        "Ended",
        4,
        "EVCommunicationLost",
        stoppedReason="EVDisconnected",
        chargingState="Idle",
        meterValue=[meter(office.clock.at, 1_600)],
    )
    assert wire.ask("TransactionEvent", ended) == {}
    transfer = only(office, s.TransferEnded)
    assert (transfer.energy_wh, transfer.quality) == (600, Quality.GOOD)
    assert only(office, s.EvseReleased).evse_id == ONE
    assert running(office) is None
    assert kinds(office) == ["started", "updated", "updated", "updated", "ended"]


@pytest.mark.parametrize("version", V2)
def test_messages_of_readings_alone_go_to_the_loop_and_not_to_the_ledger(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    started(office, wire)
    before = office.system.log.last_position()
    for seq_no in range(1, 5):
        office.pass_time(10 * SECOND)
        told = event(
            office,
            "Updated",
            seq_no,
            "MeterValuePeriodic",
            meterValue=[meter(office.clock.at, 1_000 + 20 * seq_no, 7_200)],
        )
        assert wire.ask("TransactionEvent", told) == {}
    assert office.system.log.last_position() == before
    told_w = [(r.power_w, r.register_wh) for _, r in office.readings]
    # That of the start tells no power yet.
    assert told_w == [(7_200, 1_000 + 20 * n) for n in range(1, 5)]
    office.pass_time(10 * SECOND)
    charging = event(
        office, "Updated", 5, "ChargingStateChanged", chargingState="Charging"
    )
    wire.ask("TransactionEvent", charging)
    reports = office.events(t.StationTransactionReported)
    assert isinstance(reports[-1], t.StationTransactionReported)
    assert reports[-1].seen == ((1, 4),)


@pytest.mark.parametrize("version", V2)
def test_a_refused_token_is_told_so_and_its_transaction_is_stopped(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    token = {"idToken": "FFFF0000", "type": "ISO14443"}
    answer = started(office, wire, idToken=token)
    assert answer["idTokenInfo"]["status"] == "Unknown"
    (stop,) = wire.calls("RequestStopTransaction")
    assert stop[3] == {"transactionId": "tx-1"}
    # After the answer that says why.
    assert wire.frames.index(stop) > [f[0] for f in wire.frames].index(3)


@pytest.mark.parametrize("version", V2)
def test_a_repeat_with_a_new_message_id_changes_nothing(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    told = event(office, "Started", 0, "CablePluggedIn", evse={"id": 1})
    for _ in range(2):
        assert wire.ask("TransactionEvent", told) == {}
    assert kinds(office) == ["started"]
    assert len(office.events(s.SessionOpened)) == 1


def test_a_transaction_goes_on_after_a_restart_of_the_gateway(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    started(office, wire)
    office.pass_time(MINUTE)
    plain = event(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        meterValue=[meter(office.clock.at, 1_100, 6_000)],
    )
    wire.ask("TransactionEvent", plain)
    session_id = running(office).session_id
    office.gateway = Gateway(office.system, office.desk, office, MODULES)
    wire = office.connect("S1", "2.1")
    assert running(office).session_id == session_id
    office.pass_time(MINUTE)
    before = office.system.log.last_position()
    plain = event(
        office,
        "Updated",
        3,
        "MeterValuePeriodic",
        meterValue=[meter(office.clock.at, 1_300, 6_000)],
    )
    wire.ask("TransactionEvent", plain)
    assert office.system.log.last_position() <= before + 1
    assert office.readings[-1][1].register_wh == 1_300
    wire.ask(
        "TransactionEvent",
        event(office, "Updated", 4, "ChargingStateChanged", chargingState="Charging"),
    )
    office.pass_time(15 * MINUTE)
    assert wire.calls("GetTransactionStatus") == []


@pytest.mark.requirement("7.5.1")
@pytest.mark.parametrize("version", V2)
def test_what_does_not_come_is_asked_for_and_then_recorded_as_lost(
    office: Office, version: Version
) -> None:
    office.ask_nothing()
    wire = office.connect("S1", version)
    started(office, wire)
    told = event(office, "Updated", 3, "ChargingStateChanged", chargingState="Charging")
    wire.ask("TransactionEvent", told)
    office.pass_time(5 * MINUTE + 2 * SECOND)
    (asked,) = wire.calls("GetTransactionStatus")
    assert asked[3] == {"transactionId": "tx-1"}
    wire.answer(asked, {"messagesInQueue": True})
    assert office.events(t.StationTransactionGap) == []
    office.pass_time(5 * MINUTE + 2 * SECOND)
    *_, again = wire.calls("GetTransactionStatus")
    wire.answer(again, {"messagesInQueue": False})
    gap = only(office, t.StationTransactionGap)
    assert (gap.from_seq_no, gap.until_seq_no) == (1, 2)


@pytest.mark.parametrize("evse", [{"id": 0}, {"id": 7}])
def test_a_transaction_where_no_evse_is_ours_is_kept_and_counted(
    office: Office, evse: dict[str, int]
) -> None:
    wire = office.connect("S1", "2.1")
    told = event(office, "Started", 0, "CablePluggedIn", evse=evse)
    assert wire.ask("TransactionEvent", told) == {}
    assert only(office, t.StationTransactionReported).quality == Quality.CONTRADICTS
    assert office.events(s.SessionOpened) == []
    assert office.gateway.peers.by_id["S1"].unreadable["UNKNOWN_EVSE"] == 1


@pytest.mark.parametrize("version", ["1.6", *V2])
def test_transactions_of_a_station_that_is_not_commissioned_are_kept(
    office: Office, version: Version
) -> None:
    office.register("S2")
    wire = office.connect("S2", version)
    if version == "1.6":
        told = {"connectorId": 1, "idTag": CARD, "meterStart": 5, "timestamp": iso(NOW)}
        answer = wire.ask("StartTransaction", told)
        assert answer["idTagInfo"]["status"] == "Invalid"
        assert answer["transactionId"] > 0
    else:
        told = event(office, "Started", 0, "CablePluggedIn", evse={"id": 1})
        assert wire.ask("TransactionEvent", told) == {}
    assert only(office, t.StationTransactionReported).station_id == "S2"


def test_phases_in_use_are_told_to_who_encodes_limits(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    started(office, wire, numberOfPhasesUsed=1)
    assert running(office).phases_in_use == 1
    values = [
        {"value": 16.0, "measurand": "Current.Import", "phase": f"L{n}"}
        for n in (1, 2, 3)
    ]
    values.append({"value": 236.5, "measurand": "Voltage", "phase": "L2-N"})
    told = event(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        meterValue=[{"timestamp": iso(office.clock.at), "sampledValue": values}],
    )
    wire.ask("TransactionEvent", told)
    assert running(office).phases_in_use == 3
    assert running(office).measured_v == 236.5


def test_phases_that_are_told_with_every_reading_cost_no_fact(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    started(office, wire, numberOfPhasesUsed=3)
    before = office.system.log.last_position()
    value = meter(office.clock.at, 1_010, 3_000)
    told = event(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        numberOfPhasesUsed=1,
        meterValue=[value],
    )
    wire.ask("TransactionEvent", told)
    assert running(office).phases_in_use == 1
    assert office.system.log.last_position() == before


def test_a_transaction_does_not_move_to_another_evse(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    started(office, wire)
    office.readings.clear()
    told = event(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        evse={"id": 2},
        meterValue=[meter(office.clock.at, 1_010, 3_000)],
    )
    wire.ask("TransactionEvent", told)
    assert office.readings == []
    reports = office.events(t.StationTransactionReported)
    assert isinstance(reports[-1], t.StationTransactionReported)
    assert reports[-1].quality == Quality.CONTRADICTS
    assert (running(office, 1) is None, running(office, 2)) == (False, None)


def test_an_ev_that_no_longer_talks_but_is_plugged_stays(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    started(office, wire)
    told = event(
        office, "Updated", 1, "EVCommunicationLost", chargingState="EVConnected"
    )
    wire.ask("TransactionEvent", told)
    assert office.events(s.EvseReleased) == []
    told = event(office, "Updated", 2, "EVCommunicationLost", chargingState="Idle")
    wire.ask("TransactionEvent", told)
    assert len(office.events(s.EvseReleased)) == 1
    assert running(office) is None
    # What the transaction tells after that plugs nobody in again.
    for seq_no, kind in ((3, "Updated"), (4, "Ended")):
        told = event(
            office,
            kind,
            seq_no,
            "MeterValuePeriodic" if kind == "Updated" else "Deauthorized",
            meterValue=[meter(office.clock.at, 1_500)],
        )
        wire.ask("TransactionEvent", told)
    assert len(office.events(s.EvseBound)) == 1


def test_a_gap_found_while_another_look_is_under_way_is_looked_into_too(
    office: Office,
) -> None:
    office.ask_nothing()
    wire = office.connect("S1", "2.1")
    started(office, wire)
    office.pass_time(4 * MINUTE)
    told = event(office, "Updated", 3, "ChargingStateChanged", chargingState="Charging")
    wire.ask("TransactionEvent", told)
    office.pass_time(4 * MINUTE)
    assert wire.calls("GetTransactionStatus") == []
    office.pass_time(2 * MINUTE)
    assert len(wire.calls("GetTransactionStatus")) == 1


def test_samples_keep_what_the_loop_does_not_need(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    started(office, wire)
    office.pass_time(MINUTE)
    values = [
        {"value": 1_100},
        {
            "value": 7.4,
            "measurand": "Power.Active.Import",
            "unitOfMeasure": {"unit": "kW"},
        },
        {"value": 55, "measurand": "SoC", "location": "EV"},
    ]
    told = event(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        meterValue=[{"timestamp": iso(office.clock.at), "sampledValue": values}],
    )
    wire.ask("TransactionEvent", told)
    (day,) = office.system.samples.days()
    rows = [row.event for row in office.system.samples.read_day(day)]
    (readings,) = [event for event in rows if isinstance(event, ReadingsTaken)]
    assert readings.evse_ids == (ONE,)
    names = [n for e in rows if isinstance(e, MeasuresTaken) for n in e.names]
    assert "SoC//EV/ Percent" in names
    assert running(office).soc == 55


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_transaction_stays_at_its_connector_over_a_restart_of_the_gateway(
    office: Office, is_restarted: bool
) -> None:
    wire = office.connect("S1", "2.0.1")
    started(office, wire, evse={"id": 1})
    office.pass_time(MINUTE)
    # Where it is comes with a message that brings nothing else but readings.
    told = event(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        evse={"id": 1, "connectorId": 2},
        meterValue=[meter(office.clock.at, 1_100, 6_000)],
    )
    wire.ask("TransactionEvent", told)
    if is_restarted:
        office.gateway = Gateway(office.system, office.desk, office, MODULES)
        wire = office.connect("S1", "2.0.1")
    assert running(office).connector == 2
    for connector, is_free in ((1, False), (2, True)):
        status = {
            "timestamp": iso(office.clock.at),
            "connectorStatus": "Available",
            "evseId": 1,
            "connectorId": connector,
        }
        wire.ask("StatusNotification", status)
        office.pass_time(MINUTE)
        assert bool(office.events(z.EvseVacated)) == is_free


def test_a_transaction_of_1_6_stays_at_its_connector_over_a_restart(
    office: Office,
) -> None:
    wire = office.connect("S1", "1.6")
    start = {
        "connectorId": 2,
        "idTag": CARD,
        "meterStart": 0,
        "timestamp": iso(office.clock.at),
    }
    number = wire.ask("StartTransaction", start)["transactionId"]
    office.gateway = Gateway(office.system, office.desk, office, MODULES)
    wire = office.connect("S1", "1.6")
    assert running(office) is None
    assert running(office, 2).transaction_id == number
    free = {"connectorId": 1, "status": "Available", "errorCode": "NoError"}
    wire.ask("StatusNotification", free)
    office.pass_time(MINUTE)
    assert office.events(z.EvseVacated) == []
    assert running(office, 2).evse_id == TWO


def test_a_message_that_was_recorded_without_its_connector_is_repeated_with_it(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.0.1")
    started(office, wire, evse={"id": 1})
    answer = started(office, wire, evse={"id": 1, "connectorId": 2})
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert kinds(office) == ["started"]
