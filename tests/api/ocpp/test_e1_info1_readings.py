import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api.ocpp.violations import Version
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.plan_events import MeasuresTaken
from domain.model.values import MINUTE, SECOND, Instant, Quality
from tests.api.ocpp.office import (
    NOW,
    VERSIONS,
    Office,
    Wire,
    evse_data,
    iso,
    open_office,
)

EVSE = "DE*VLT*ES1*1"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1", evse_data(EVSE), evse_data("DE*VLT*ES1*2"))
        yield office


def begin(office: Office, wire: Wire, version: Version, number: int = 1) -> Any:
    """Begin a transaction, its meter at 1 kWh; return its id.

    In 2.x that register is a measure: power is not told yet.
    """
    if version == "1.6":
        told = {"connectorId": number, "idTag": "A", "meterStart": 1_000}
        answer = wire.ask("StartTransaction", {**told, "timestamp": iso(NOW)})
        return answer["transactionId"]
    value = {"timestamp": iso(NOW), "sampledValue": [{"value": 1_000}]}
    wire.ask(
        "TransactionEvent",
        {
            "eventType": "Started",
            "timestamp": iso(NOW),
            "triggerReason": "CablePluggedIn",
            "seqNo": 0,
            "transactionInfo": {"transactionId": f"tx-{number}"},
            "evse": {"id": number},
            "meterValue": [value],
        },
    )
    return f"tx-{number}"


def tell(
    wire: Wire,
    version: Version,
    at: Instant,
    *values: dict[str, Any],
    number: int = 1,
    **more: Any,
) -> None:
    """Send meter values; ``unit`` stands where the version has it."""
    told = []
    for value in values:
        each = dict(value)
        if version == "1.6":
            each["value"] = str(each["value"])
        elif "unit" in each:
            each["unitOfMeasure"] = {"unit": each.pop("unit")}
        told.append(each)
    place = "connectorId" if version == "1.6" else "evseId"
    payload = {
        place: number,
        "meterValue": [{"timestamp": iso(at), "sampledValue": told}],
    }
    assert wire.ask("MeterValues", {**payload, **more}) == {}


class Kept(NamedTuple):
    evse_id: str
    name: str
    value_milli: int


def measures(office: Office) -> list[Kept]:
    """Return all measures that were kept, read from their columns by hand."""
    found: list[Kept] = []
    for day in office.system.samples.days():
        for row in office.system.samples.read_day(day):
            if isinstance(event := row.event, MeasuresTaken):
                count = len(event.evse_index) // 4
                evses = struct.unpack(f"<{count}i", event.evse_index)
                names = struct.unpack(f"<{count}i", event.name_index)
                values = struct.unpack(f"<{count}q", event.value_milli)
                for evse, name, value in zip(evses, names, values, strict=True):
                    found.append(Kept(event.evse_ids[evse], event.names[name], value))
    return found


POWER = {"measurand": "Power.Active.Import", "unit": "kW"}


@pytest.mark.parametrize("version", VERSIONS)
def test_readings_of_a_transaction_go_to_the_loop(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin(office, wire, version)
    office.readings.clear()
    office.pass_time(MINUTE)
    at = office.clock.at
    tell(wire, version, at, {"value": 1_120.7}, {"value": 7.2, **POWER})
    ((zone_id, reading),) = office.readings
    assert zone_id == "site"
    assert (reading.evse_id, reading.at) == (EVSE, at)
    assert (reading.power_w, reading.register_wh) == (7_200, 1_120)
    assert len(measures(office)) == (version != "1.6")


@pytest.mark.parametrize("version", VERSIONS)
def test_readings_without_a_transaction_are_kept_and_not_the_loops(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    tell(wire, version, NOW, {"value": 1_120}, {"value": 0, **POWER})
    assert office.readings == []
    assert [(m.evse_id, m.value_milli) for m in measures(office)] == [
        (EVSE, 1_120_000),
        (EVSE, 0),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_meter_of_the_main_is_kept_under_no_evse(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin(office, wire, version)
    office.readings.clear()
    tell(wire, version, NOW, {"value": 55.5, **POWER}, number=0)
    assert office.readings == []
    assert Kept("", "Power.Active.Import/// W", 55_500_000) in measures(office)


@pytest.mark.parametrize("version", VERSIONS)
def test_late_readings_never_reach_the_loop(office: Office, version: Version) -> None:
    wire = office.connect("S1", version)
    begin(office, wire, version)
    office.readings.clear()
    office.pass_time(30 * MINUTE)
    tell(wire, version, NOW + MINUTE, {"value": 1_100}, {"value": 6, **POWER})
    assert office.readings == []
    assert [m.value_milli for m in measures(office)][-2:] == [1_100_000, 6_000_000]


def test_late_readings_of_1_6_are_for_the_books_of_their_transaction(
    office: Office,
) -> None:
    wire = office.connect("S1", "1.6")
    number = begin(office, wire, "1.6")
    office.pass_time(30 * MINUTE)
    value = {"value": 2_100}
    tell(wire, "1.6", NOW + 10 * MINUTE, value, transactionId=number)
    reports = office.events(t.StationTransactionReported)
    assert isinstance(reports[-1], t.StationTransactionReported)
    assert [point.import_wh for point in reports[-1].points] == [2_100]
    assert reports[-1].quality == Quality.LATE


@pytest.mark.requirement("7.5.1")
def test_1_6_late_readings_come_to_the_books_in_whatever_order(office: Office) -> None:
    """All twice and backwards: first without a number, then with it."""
    wire = office.connect("S1", "1.6")
    office.pass_time(3 * 60 * MINUTE)
    number = -1
    for _ in range(2):
        stop = {"meterStop": 5_000, "timestamp": iso(NOW + 60 * MINUTE)}
        wire.ask("StopTransaction", {**stop, "transactionId": number})
        for minute in (40, 20):
            value = {"value": 1_000 + 50 * minute}
            tell(wire, "1.6", NOW + minute * MINUTE, value, transactionId=number)
        number = begin(office, wire, "1.6")
    settled = office.events(s.TransferSettled)[-1]
    assert isinstance(settled, s.TransferSettled)
    assert settled.energy_wh == 4_000
    assert [wh for _, _, wh in settled.intervals] == [1_000, 1_000]


def test_1_6_a_transaction_that_began_offline_is_the_loops_once_it_tells_news(
    office: Office,
) -> None:
    wire = office.connect("S1", "1.6")
    office.pass_time(30 * MINUTE)
    number = begin(office, wire, "1.6")
    assert office.events(s.EvseBound) == []
    for step in (1, 2):
        office.pass_time(30 * SECOND)
        at = office.clock.at
        tell(wire, "1.6", at, {"value": 4_000 + 60 * step}, transactionId=number)
    assert len(office.events(s.EvseBound)) == 1
    assert [r.power_w for _, r in office.readings][-1] == 7_200
    assert len(office.events(t.StationTransactionReported)) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_power_is_told_by_registers_where_nothing_else_does(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin(office, wire, version)
    office.readings.clear()
    for step in (1, 2):
        office.pass_time(30 * SECOND)
        tell(wire, version, office.clock.at, {"value": 1_000 + 60 * step})
    assert [r.power_w for _, r in office.readings][-1] == 7_200


@pytest.mark.parametrize("version", VERSIONS)
def test_values_that_are_none_are_kept_once_a_run_and_count_for_nothing(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin(office, wire, version)
    office.readings.clear()
    office.pass_time(MINUTE)
    absurd = {"value": 5_000, "measurand": "Power.Active.Import", "unit": "kW"}
    for register in (1_100, 1_110):
        office.pass_time(10 * SECOND)
        tell(wire, version, office.clock.at, {"value": register}, absurd)
    assert all(reading.power_w < 40_000 for _, reading in office.readings)
    (kept,) = office.events(t.StationMessageKept)
    assert isinstance(kept, t.StationMessageKept)
    assert (kept.quality, kept.action) == (Quality.IMPLAUSIBLE, "MeterValues")
    peer = office.gateway.peers.by_id["S1"]
    assert peer.unreadable["IMPLAUSIBLE_VALUE"] == 2


def test_a_register_that_no_row_holds_is_kept_and_takes_nothing_down(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.1")
    begin(office, wire, "2.1")
    office.readings.clear()
    tell(wire, "2.1", NOW, {"value": 3e9}, {"value": 1, **POWER})
    assert office.readings == []
    assert [m.value_milli for m in measures(office)][-2:] == [3 * 10**12, 1_000_000]


def test_1_6_signed_data_is_kept_sealed_where_it_is_for_the_books(
    office: Office,
) -> None:
    wire = office.connect("S1", "1.6")
    number = begin(office, wire, "1.6")
    signed = {"value": "OCMF|secret", "format": "SignedData"}
    periodic = {**signed, "context": "Sample.Periodic"}
    tell(wire, "1.6", NOW, periodic, transactionId=number)
    assert office.events(t.StationMessageKept) == []
    tell(
        wire, "1.6", NOW, {**signed, "context": "Transaction.End"}, transactionId=number
    )
    (kept,) = office.events(t.StationMessageKept)
    assert isinstance(kept, t.StationMessageKept)
    assert (kept.rule, kept.quality) == ("signed", Quality.GOOD)
    assert kept.payload is not None
    assert b"secret" not in kept.payload.ciphertext


def test_a_voltage_that_cannot_be_is_not_counted_with(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    begin(office, wire, "2.1")
    transaction = office.gateway.peers.by_id["S1"].transactions[1]
    for volts, known in ((12.0, None), (239.5, 239.5), (0.0, 239.5), (900.0, 239.5)):
        office.pass_time(SECOND)
        value = {"value": volts, "measurand": "Voltage", "phase": "L1-N"}
        tell(wire, "2.1", office.clock.at, value)
        assert transaction.measured_v == known


def test_phases_only_add_up_while_a_transaction_lasts(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    begin(office, wire, "2.1")
    transaction = office.gateway.peers.by_id["S1"].transactions[1]
    for amperes, known in (
        ((0, 0, 0), None),
        ((9, 0, 0), 1),
        ((9, 9, 9), 3),
        ((6, 0, 0), 3),
    ):
        office.pass_time(SECOND)
        values = [
            {"value": a, "measurand": "Current.Import", "phase": f"L{n}"}
            for n, a in enumerate(amperes, start=1)
        ]
        tell(wire, "2.1", office.clock.at, *values)
        assert transaction.phases_in_use == known
