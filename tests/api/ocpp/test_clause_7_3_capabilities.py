from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.exchanges.clause_7_3_capabilities import report_every
from api.ocpp.violations import Version
from domain.model import station_events as t
from domain.model.values import MINUTE, SECOND, Current
from tests.api.ocpp.office import VERSIONS, Office, Wire, evse_data, open_office

E1, E2 = "DE*VLT*E1", "DE*VLT*E2"
ACTIONS = ("GetConfiguration", "ChangeConfiguration", "GetVariables", "SetVariables")

KEYS = {
    "ChargeProfileMaxStackLevel": "8",
    "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
    "ChargingScheduleMaxPeriods": "24",
    "ConnectorSwitch3to1PhaseSupported": "true",
    "SupportedFeatureProfiles": "Core,SmartCharging",
    "MeterValuesSampledData": "Energy.Active.Import.Register",
    "MeterValueSampleInterval": "60",
    "MeterValuesAlignedData": "Energy.Active.Import.Register",
    "ClockAlignedDataInterval": "0",
}
VARIABLES = {
    ("SmartChargingCtrlr", "RateUnit"): "A,W",
    ("SmartChargingCtrlr", "PeriodsPerSchedule"): "24",
    ("SmartChargingCtrlr", "ProfileStackLevel"): "8",
    ("SmartChargingCtrlr", "Phases3to1"): "true",
    ("SmartChargingCtrlr", "Enabled"): "true",
    ("TxCtrlr", "TxStartPoint"): "EVConnected,Authorized",
    ("TxCtrlr", "TxStopPoint"): "EVConnected",
    ("EVSE", "SupplyPhases"): "3",
    ("SampledDataCtrlr", "TxUpdatedMeasurands"): "",
    ("SampledDataCtrlr", "TxUpdatedInterval"): "60",
    ("SampledDataCtrlr", "TxStartedMeasurands"): "",
    ("SampledDataCtrlr", "TxEndedMeasurands"): "",
    ("AlignedDataCtrlr", "Measurands"): "",
    ("AlignedDataCtrlr", "Interval"): "0",
}


class Configured:
    """A station by hand that answers what it is asked of its variables."""

    def __init__(self, wire: Wire, version: Version, measurands: set[str]) -> None:
        self.wire = wire
        self.version = version
        self.measurands = measurands
        self.keys = dict(KEYS)
        self.variables = dict(VARIABLES)
        self.set: list[tuple[str, str]] = []
        self.statuses: dict[str, str] = {}
        self.largest = 0
        # Actions of which an answer is lost.
        self.lost: set[str] = set()
        self._answered = 0

    def boot(self, firmware: str = "1.0") -> None:
        """Boot, and answer all that is asked then."""
        station = {"vendorName": "A", "model": "B", "firmwareVersion": firmware}
        boot: dict[str, Any] = {"reason": "PowerUp", "chargingStation": station}
        if self.version == "1.6":
            boot = {"chargePointVendor": "A", "chargePointModel": "B"}
            boot["firmwareVersion"] = firmware
        self.wire.ask("BootNotification", boot)
        self.answer()

    def answer(self) -> None:
        """Answer the calls that wait, and those that follow."""
        answers = {
            "GetConfiguration": self._get_configuration,
            "ChangeConfiguration": self._change_configuration,
            "GetVariables": self._get_variables,
            "SetVariables": self._set_variables,
        }
        while len(self.wire.calls()) > self._answered:
            call = self.wire.calls()[self._answered]
            self._answered += 1
            if call[2] in self.lost:
                continue
            if call[2] in answers:
                self.wire.answer(call, answers[call[2]](call[3]))
            else:
                nothing = call[2] == "GetChargingProfiles"
                status = "NoProfiles" if nothing else "Accepted"
                self.wire.answer(call, {"status": status})

    def asked(self) -> list[Any]:
        """Return all that was asked of variables."""
        return [call for call in self.wire.calls() if call[2] in ACTIONS]

    def _status(self, name: str, value: str) -> str:
        is_list = "Measurands" in name or name.startswith("MeterValues")
        if is_list and not set(value.split(",")) <= self.measurands:
            return "Rejected"
        return self.statuses.get(name, "Accepted")

    def _get_configuration(self, request: Any) -> Any:
        known = [key for key in request["key"] if key in self.keys]
        return {
            "configurationKey": [
                {"key": key, "readonly": False, "value": self.keys[key]}
                for key in known
            ],
            "unknownKey": [key for key in request["key"] if key not in known],
        }

    def _change_configuration(self, request: Any) -> Any:
        name, value = request["key"], request["value"]
        status = self._status(name, value)
        if status == "Accepted":
            self.keys[name] = value
            self.set.append((name, value))
        return {"status": status}

    def _get_variables(self, request: Any) -> Any:
        data = request["getVariableData"]
        self.largest = max(self.largest, len(data))
        results = []
        for asked in data:
            key = asked["component"]["name"], asked["variable"]["name"]
            result = {"attributeStatus": "UnknownVariable", **asked}
            if key in self.variables:
                result["attributeStatus"] = "Accepted"
                result["attributeValue"] = self.variables[key]
            results.append(result)
        return {"getVariableResult": results}

    def _set_variables(self, request: Any) -> Any:
        (data,) = request["setVariableData"]
        value = data.pop("attributeValue")
        key = data["component"]["name"], data["variable"]["name"]
        status = self._status(key[1], value)
        if status == "Accepted":
            self.variables[key] = value
            self.set.append((key[1], value))
        return {"setVariableResult": [{"attributeStatus": status, **data}]}


ALL = {
    *("Power.Active.Import", "Energy.Active.Import.Register", "Voltage"),
    *("Energy.Active.Export.Register", "Current.Import", "SoC"),
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1", evse_data(E1), evse_data(E2))
        yield office


def told(office: Office) -> list[t.StationCapabilities]:
    return [
        e
        for e in office.events(t.StationCapabilities)
        if isinstance(e, t.StationCapabilities)
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_new_station_is_read_and_told_what_to_report(
    office: Office, version: Version
) -> None:
    station = Configured(office.connect("S1", version, is_known=False), version, ALL)
    station.boot()
    (event,) = told(office)
    assert event.unit == "A"
    assert (event.max_periods, event.max_stack_level, event.decimals) == (24, 8, 1)
    assert event.can_switch_phases
    assert event.has_smart_charging
    assert set(event.measurands) == ALL
    assert event.reading_every_s == 30
    assert (event.refused, event.needs_reboot, event.firmware) == ((), False, "1.0")
    is_1_6 = version == "1.6"
    assert event.start_points == (() if is_1_6 else ("EVConnected", "Authorized"))
    assert event.evse_phases == (() if is_1_6 else (3, 3))
    interval = "ClockAlignedDataInterval" if is_1_6 else "Interval"
    assert (interval, "900") in station.set
    assert station.largest <= 4
    office.follow()
    capabilities = office.gateway.peers.by_id["S1"].capabilities
    assert (capabilities.unit, capabilities.max_periods) == ("A", 24)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_read_again_with_a_new_firmware_and_not_else(
    office: Office, version: Version
) -> None:
    station = Configured(office.connect("S1", version, is_known=False), version, ALL)
    station.boot()
    asked = len(station.asked())
    station.boot()
    assert len(station.asked()) == asked
    station.set.clear()
    station.boot("1.1")
    assert len(station.asked()) > asked
    assert station.set == []
    assert [event.firmware for event in told(office)] == ["1.0", "1.1"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_station_cannot_report_is_left_out(
    office: Office, version: Version
) -> None:
    few = {"Power.Active.Import", "Energy.Active.Import.Register"}
    station = Configured(office.connect("S1", version, is_known=False), version, few)
    station.boot()
    (event,) = told(office)
    assert set(event.measurands) == few
    assert event.refused == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_would_not_have_set_is_recorded_and_that_it_needs_a_reboot(
    office: Office, version: Version
) -> None:
    station = Configured(office.connect("S1", version, is_known=False), version, ALL)
    is_1_6 = version == "1.6"
    interval = "MeterValueSampleInterval" if is_1_6 else "TxUpdatedInterval"
    aligned = "ClockAlignedDataInterval" if is_1_6 else "Interval"
    station.statuses = {interval: "Rejected", aligned: "RebootRequired"}
    station.boot()
    (event,) = told(office)
    named = interval if is_1_6 else "SampledDataCtrlr.TxUpdatedInterval"
    assert (event.refused, event.needs_reboot) == ((named,), True)
    assert event.reading_every_s == 60
    peer = office.gateway.peers.by_id["S1"]
    asked = len(station.asked())
    report_every(office.gateway, office.desk.desk, peer, 10)
    assert len(station.asked()) == asked


def test_a_station_that_says_nothing_is_the_weakest(office: Office) -> None:
    wire = office.connect("S1", "2.0.1", is_known=False)
    station = Configured(wire, "2.0.1", set())
    station.variables = {}
    station.boot()
    (event,) = told(office)
    assert (event.unit, event.max_periods, event.max_stack_level) == ("A", 1, 0)
    assert event.evse_phases == (0, 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_that_has_no_smart_charging_says_so(
    office: Office, version: Version
) -> None:
    station = Configured(office.connect("S1", version, is_known=False), version, ALL)
    station.keys["SupportedFeatureProfiles"] = "Core,Reservation"
    station.variables["SmartChargingCtrlr", "Enabled"] = "false"
    station.boot()
    assert [event.has_smart_charging for event in told(office)] == [False]


def test_a_dc_station_is_told_watts_where_it_knows_them(tmp_path: Path) -> None:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1", evse_data(E1, current=Current.DC))
        station = Configured(office.connect("S1", "2.1", is_known=False), "2.1", ALL)
        station.boot()
        assert [event.unit for event in told(office)] == ["W"]


def test_a_reading_that_a_disconnection_broke_off_begins_anew(office: Office) -> None:
    wire = office.connect("S1", "2.0.1", is_known=False)
    wire.ask(
        "BootNotification",
        {"reason": "PowerUp", "chargingStation": {"vendorName": "A", "model": "B"}},
    )
    assert len(wire.calls("GetVariables")) == 1
    assert wire.connection is not None
    office.gateway.disconnect(wire.connection, "gone")
    assert told(office) == []
    station = Configured(office.connect("S1", "2.0.1", is_known=False), "2.0.1", ALL)
    assert station.asked() == []
    office.pass_time(MINUTE)
    station.answer()
    assert len(told(office)) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_answered_is_read_again_and_what_is_not_set_is_left(
    office: Office, version: Version
) -> None:
    station = Configured(office.connect("S1", version, is_known=False), version, ALL)
    station.lost = {"GetConfiguration", "GetVariables"}
    station.boot()
    office.pass_time(30 * SECOND)
    assert told(office) == []
    station.lost = {"ChangeConfiguration", "SetVariables"}
    office.pass_time(MINUTE)
    station.answer()
    office.pass_time(30 * SECOND)
    station.lost = set()
    station.answer()
    (event,) = told(office)
    assert event.max_periods == 24


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_set_is_set_again_where_the_first_answer_was_lost(
    office: Office, version: Version
) -> None:
    measurands = ALL - {"SoC"}
    wire = office.connect("S1", version, is_known=False)
    station = Configured(wire, version, measurands)
    station.lost = {"ChangeConfiguration", "SetVariables"}
    station.boot()
    station.lost = set()
    office.pass_time(30 * SECOND)
    station.answer()
    (event,) = told(office)
    assert set(event.measurands) == measurands  # of what it has, it tells all
    assert event.refused == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_reports_come_more_often_while_a_decrease_is_open(
    office: Office, version: Version
) -> None:
    station = Configured(office.connect("S1", version, is_known=False), version, ALL)
    station.boot()
    station.set.clear()
    peer = office.gateway.peers.by_id["S1"]
    for seconds in (30, 10, 10, 30):
        report_every(office.gateway, office.desk.desk, peer, seconds)
        office.desk.put(lambda desk: None)
        station.answer()
    name = "MeterValueSampleInterval" if version == "1.6" else "TxUpdatedInterval"
    assert station.set == [(name, "10"), (name, "30")]
