"""What sampled values come to, checked against a re-computation in decimals."""

import json
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ocpp.codec import CODECS
from api.ocpp.meter_values import Meter, Metered, metered
from api.ocpp.violations import Version
from domain.model.values import SECOND
from tests.api.ocpp.office import NOW

AT = "2026-11-20T19:00:00Z"
POWERS = ("Power.Active.Import", "Power.Active.Export")
REGISTERS = ("Energy.Active.Import.Register", "Energy.Active.Export.Register")
RANKS = {"": 0, "Outlet": 0, "Inlet": 1, "Cable": 2, "EV": 3, "Body": 4}
PHASES = {"L1": 1, "L2": 2, "L3": 3, "L1-N": 1, "L2-N": 2, "L3-N": 3}


class Value(NamedTuple):
    """A sampled value, whatever the version."""

    value: Decimal
    measurand: str = ""
    phase: str = ""
    location: str = ""
    unit: str = ""
    multiplier: int | None = None


def wire(value: Value, version: Version) -> dict[str, Any]:
    """Return a value as a version writes it."""
    names = {k: getattr(value, k) for k in ("measurand", "phase", "location")}
    found: dict[str, Any] = {k: v for k, v in names.items() if v}
    if version == "1.6":
        unit = {"unit": value.unit} if value.unit else {}
        return {**found, **unit, "value": f" {value.value:f}"}
    unit_of: dict[str, Any] = {"unit": value.unit} if value.unit else {}
    if value.multiplier is not None:
        unit_of["multiplier"] = value.multiplier
    return {**found, "value": float(value.value), "unitOfMeasure": unit_of}


def taken(
    version: Version, *values: dict[str, Any], rank: int | None = None
) -> Metered:
    """Return what a MeterValues of these values comes to."""
    number = {"connectorId": 1} if version == "1.6" else {"evseId": 1}
    meter_value = {"timestamp": AT, "sampledValue": values}
    raw = json.dumps({**number, "meterValue": [meter_value]}).encode()
    request: Any = CODECS[version].request("MeterValues", raw)
    return metered(request.meter_value[0], "E", NOW, rank)


def scaled(value: Value) -> Decimal:
    """Return a value in its base unit."""
    kilo = 3 if value.unit.startswith("k") else 0
    return value.value.scaleb(kilo + (value.multiplier or 0))


def quantity(values: list[Value], measurand: str) -> Decimal | None:
    """Return a measurand: of the nearest location its total, else its phases' sum."""
    of_it = [v for v in values if v.measurand == measurand and v.location in RANKS]
    of_it = [v for v in of_it if v.phase == "" or v.phase in PHASES]
    nearest = min((RANKS[v.location] for v in of_it), default=None)
    of_it = [v for v in of_it if RANKS[v.location] == nearest]
    for value in of_it:
        if not value.phase:
            return scaled(value)
    phases: dict[int, Decimal] = {}
    for value in of_it:
        phases.setdefault(PHASES[value.phase], scaled(value))
    return sum(phases.values(), Decimal()) if phases else None


def whole(value: Decimal | None, half: str = "0") -> int | None:
    """Return the floor of a value and half a unit."""
    if value is None:
        return None
    return int((value + Decimal(half)).to_integral_value(ROUND_FLOOR))


@st.composite
def sampled(draw: st.DrawFn, multipliers: bool) -> Value:
    measurand = draw(st.sampled_from((*POWERS, *REGISTERS)))
    base = "W" if measurand in POWERS else "Wh"
    unit = draw(st.sampled_from(("", base, f"k{base}")))
    multiplier = draw(st.sampled_from((None, 0, 1, 3, -1))) if multipliers else None
    # As many places as leave whole thousandths, to which values are rounded.
    places = 3 if unit.startswith("k") else 2
    # And at most the 100 MW that are a power, with a multiplier.
    most = 10**8 if measurand in REGISTERS else 10 ** (8 - places)
    digits = draw(st.integers(0, most - 1))
    return Value(
        value=Decimal(digits).scaleb(-places),
        measurand=measurand,
        phase=draw(st.sampled_from(("", "L1", "L2", "L3", "L1-N", "N", "L1-L2"))),
        location=draw(st.sampled_from(("", "Outlet", "Inlet", "EV"))),
        unit=unit,
        multiplier=multiplier,
    )


def agree(found: Metered, values: list[Value]) -> None:
    assert found.faults == []
    assert found.register_wh == whole(quantity(values, REGISTERS[0]))
    assert found.export_wh == whole(quantity(values, REGISTERS[1]))
    taken_w, given_w = (quantity(values, measurand) for measurand in POWERS)
    if taken_w is None and given_w is None:
        assert found.power_w is None
    else:
        net = (taken_w or Decimal()) - (given_w or Decimal())
        assert found.power_w == whole(net, "0.5")
    assert len(found.totals) + len(found.others) == len(values)


@given(st.lists(sampled(multipliers=False), min_size=1, max_size=8))
def test_values_of_1_6_come_to_what_decimals_give(values: list[Value]) -> None:
    agree(taken("1.6", *(wire(v, "1.6") for v in values)), values)


@given(st.lists(sampled(multipliers=True), min_size=1, max_size=8))
def test_values_of_2_1_come_to_what_decimals_give(values: list[Value]) -> None:
    agree(taken("2.1", *(wire(v, "2.1") for v in values)), values)


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=20))
def test_differences_of_registers_add_up(steps: list[int]) -> None:
    registers, at = [], 0
    for step in [123_456_789, *steps]:
        at += step
        kwh = {"value": at / 1_000_000, "unitOfMeasure": {"unit": "kWh"}}
        registers.append(taken("2.0.1", kwh).register_wh or 0)
    parts = [after - before for before, after in pairwise(registers)]
    assert sum(parts) == registers[-1] - registers[0]
    assert registers[-1] == at // 1_000


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
def test_a_value_without_names_is_the_import_register(version: Version) -> None:
    value = "1234.9" if version == "1.6" else 1234.9
    assert taken(version, {"value": value}).register_wh == 1234


@pytest.mark.parametrize("text", ["nan", "inf", "-1e99", "1_000", "12,5", "", "0x1F"])
def test_text_that_is_no_number_is_a_fault_and_the_others_count(text: str) -> None:
    power = {"value": "7.4", "measurand": "Power.Active.Import", "unit": "kW"}
    found = taken("1.6", {"value": text}, power)
    assert (found.register_wh, found.power_w, len(found.faults)) == (None, 7_400, 1)


def test_absurd_values_are_faults() -> None:
    soc = {"value": 101, "measurand": "SoC"}
    backwards = {"value": -5}
    exponent = {"value": 1, "unitOfMeasure": {"unit": "Wh", "multiplier": 400}}
    found = taken("2.1", soc, backwards, exponent)
    assert (found.soc, found.register_wh, len(found.faults)) == (None, None, 3)


def test_a_unit_of_something_else_is_kept_and_not_counted() -> None:
    found = taken(
        "1.6", {"value": "5", "measurand": "Power.Active.Import", "unit": "A"}
    )
    assert found.power_w is None
    assert [(m.unit, m.value_milli) for m in found.others] == [("A", 5_000)]


def test_signed_data_is_set_aside() -> None:
    signed = {"value": "AbC=", "format": "SignedData"}
    assert taken("1.6", signed).is_signed
    signed_value = {"signedMeterData": "A", "encodingMethod": "OCMF"}
    found = taken(
        "2.0.1",
        {
            "value": 7,
            "signedMeterValue": {**signed_value, "signingMethod": "", "publicKey": ""},
        },
    )
    assert found.is_signed
    assert found.register_wh == 7


def test_voltage_is_the_highest_phase_and_phases_are_those_with_current() -> None:
    found = taken(
        "2.1",
        {"value": 229.5, "measurand": "Voltage", "phase": "L1-N"},
        {"value": 402.0, "measurand": "Voltage", "phase": "L1-L2"},
        {"value": 16, "measurand": "Current.Import", "phase": "L1"},
        {"value": 15.5, "measurand": "Current.Import", "phase": "L2"},
        {"value": 0.2, "measurand": "Current.Import", "phase": "L3"},
        {"value": 4, "measurand": "Current.Import", "phase": "N"},
    )
    assert found.voltage_v == pytest.approx(402 / 3**0.5)
    assert found.phases == 2


def test_registers_of_another_location_are_of_another_meter() -> None:
    inlet = {"value": 900, "location": "Inlet"}
    assert taken("2.1", inlet, {"value": 5}).register_wh == 5
    found = taken("2.1", inlet, rank=0)
    assert found.register_wh is None
    assert len(found.others) == 1


def test_power_is_told_by_registers_where_nothing_else_tells_it() -> None:
    meter = Meter()
    assert meter.power(NOW, 1_000_000, None) is None
    assert meter.power(NOW + 30 * SECOND, 1_060_000, None) == 7_200
    # Too soon after to tell: what was told before.
    assert meter.power(NOW + 32 * SECOND, 1_061_000, None) == 7_200
    assert meter.power(NOW + 60 * SECOND, 1_060_000, 30_000) == -3_600
    assert meter.power(NOW + 90 * SECOND, 5_000, 30_000) is None
