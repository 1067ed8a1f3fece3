"""What a station's sampled values come to: registers, power, and all else measured.

Values of all versions go the same way. What a value *is* (its measurand, unit, phase,
location, context) is worked out once for each form it comes in and then looked up.

A value counts in thousandths of its base unit, rounded; a register in watt-hours is the
floor of that. So differences of registers add up to the difference of the outer ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple

from msgspec import UNSET, UnsetType

from api.ocpp.samples import Measure
from api.ocpp.v16 import datatypes as v16
from api.ocpp.v21 import datatypes as v21
from api.ocpp.v201 import datatypes as v201
from domain.model.profile import POWER_LIMIT_W
from domain.model.values import HOUR, SECOND, Instant
from domain.use_cases.e1_smart_charging import ENERGY_LIMIT_WH

MeterValue = v16.MeterValue | v16.TransactionData | v201.MeterValue | v21.MeterValue

IMPORT: Final = "Energy.Active.Import.Register"
# What a value is for; all else is only kept.
_IMPORT, _EXPORT, _POWER_IN, _POWER_OUT, _VOLTAGE, _CURRENT, _SOC, _OTHER = range(8)
_USES: Final = {
    IMPORT: _IMPORT,
    "Energy.Active.Export.Register": _EXPORT,
    "Power.Active.Import": _POWER_IN,
    "Power.Active.Export": _POWER_OUT,
    "Voltage": _VOLTAGE,
    "Current.Import": _CURRENT,
    "SoC": _SOC,
}
# Where a value was taken, the nearest to what the EV gets first. What is measured
# upstream is others' too, and no EVSE's.
_RANKS: Final = {"": 0, "Outlet": 0, "Inlet": 1, "Cable": 2, "EV": 3, "Body": 4}
_PHASES: Final = {
    **{"": 0, "L1": 1, "L2": 2, "L3": 3, "L1-N": 1, "L2-N": 2, "L3-N": 3},
    # From one line to another: a voltage of two phases.
    **{"L1-L2": 4, "L2-L3": 5, "L3-L1": 6},
}
_TOTAL, _LINE_TO_LINE = 0, 4
_LINE_TO_PHASE: Final = 3**-0.5
# Units as multiples of a base unit, in thousandths of it.
_UNITS: Final = {
    **{"Wh": ("Wh", 1_000), "kWh": ("Wh", 1_000_000), "MWh": ("Wh", 10**9)},
    **{"W": ("W", 1_000), "kW": ("W", 1_000_000), "MW": ("W", 10**9)},
    **{"VA": ("VA", 1_000), "kVA": ("VA", 1_000_000)},
    **{"var": ("var", 1_000), "kvar": ("var", 1_000_000)},
    **{"varh": ("varh", 1_000), "kvarh": ("varh", 1_000_000)},
    **{"VAh": ("VAh", 1_000), "kVAh": ("VAh", 1_000_000)},
}
# The base unit of a measurand that begins so, the longest beginning first.
_BASES: Final = (
    ("Energy.Active", "Wh"),
    ("Energy.Reactive", "varh"),
    ("Energy.Apparent", "VAh"),
    ("EnergyRequest", "Wh"),
    ("Power.Factor", ""),
    ("Power.Reactive", "var"),
    ("Power", "W"),
    ("Current", "A"),
    ("Voltage", "V"),
    ("Frequency", "Hz"),
    ("Temperature", "Celsius"),
    ("SoC", "Percent"),
)
# Bounds [base unit] beyond which a value is no measurement.
_BOUNDS: Final = {
    _IMPORT: (0, ENERGY_LIMIT_WH),
    _EXPORT: (0, ENERGY_LIMIT_WH),
    _POWER_IN: (-POWER_LIMIT_W, POWER_LIMIT_W),
    _POWER_OUT: (-POWER_LIMIT_W, POWER_LIMIT_W),
    _VOLTAGE: (0, 10_000),
    _CURRENT: (-10_000, 10_000),
    _SOC: (0, 100),
    _OTHER: (-(10**15), 10**15),
}
_MOST_MULTIPLIER: Final = 18
# A phase with less than this is not in use, and a pilot without charge shows less.
_IN_USE_MILLIAMPERE: Final = 1_000
# Two registers closer than this tell no power: they count whole steps.
_APART: Final = 5 * SECOND
_FORMS_KEPT: Final = 10_000
# Where a signed value is for the books.
_ENDS: Final = frozenset({"Transaction.Begin", "Transaction.End", UNSET})

Text = str | UnsetType
_Key = tuple[Text, Text, Text, Text, Text, int | UnsetType]


class _Form(NamedTuple):
    """What every value is that comes with the same names."""

    name: str
    unit: str
    use: int
    phase: int
    rank: int
    factor: float
    least: float
    most: float
    context: str


@dataclass(slots=True)
class Meter:
    """What the meter of a transaction last showed, and where it sits.

    ``rank`` is the location of its registers: another location is another meter.
    ``register_milli`` is the last import register, ``import_milli`` and
    ``export_milli`` those at ``at``, from which on power is counted; ``power_w`` is the
    mean since ``mean_since``.
    """

    rank: int | None = None
    register_milli: int | None = None
    at: Instant = 0
    import_milli: int | None = None
    export_milli: int = 0
    power_w: int | None = None
    mean_since: Instant = 0

    def power(
        self, at: Instant, import_milli: int | None, export_milli: int | None
    ) -> int | None:
        """Return the power since the last registers; None while nothing tells it [W].

        Registers that ran backwards tell nothing.
        """
        if import_milli is None:
            return self.power_w
        self.register_milli = import_milli
        out = self.export_milli if export_milli is None else export_milli
        if self.import_milli is not None:
            if at - self.at < _APART:
                return self.power_w
            taken, given = import_milli - self.import_milli, out - self.export_milli
            is_forward = taken >= 0 and given >= 0
            net = (taken - given) * HOUR // ((at - self.at) * 1_000)
            self.power_w = net if is_forward else None
            self.mean_since = self.at
        self.at, self.import_milli, self.export_milli = at, import_milli, out
        return self.power_w


class _Sum:
    """One quantity: the total of the nearest location, else the sum of its phases."""

    __slots__ = ("phases", "rank", "sum", "total")

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.total: int | None = None
        self.sum = 0
        self.phases = 0

    def add(self, form: _Form, milli: int) -> None:
        if form.rank != self.rank:
            if form.rank > self.rank:
                return
            self.rank, self.total, self.sum, self.phases = form.rank, None, 0, 0
        if form.phase == _TOTAL:
            if self.total is None:
                self.total = milli
        elif not self.phases & 1 << form.phase:
            self.phases |= 1 << form.phase
            self.sum += milli

    @property
    def milli(self) -> int:
        return self.sum if self.total is None else self.total


@dataclass(slots=True)
class Metered:
    """What one meter value says, at one instant.

    ``power_w`` is from the grid to the EV, ``voltage_v`` of the phase with the highest,
    ``phases`` how many carry current. ``totals`` are the measures that a reading of the
    loop holds anyhow. ``faults`` are values that are none, and ``is_signed`` says that
    there is a signed one of the begin or end of a transaction.
    """

    at: Instant
    context: str = ""
    import_milli: int | None = None
    export_milli: int | None = None
    power_w: int | None = None
    voltage_v: float | None = None
    phases: int | None = None
    soc: float | None = None
    rank: int = 0
    totals: list[Measure] = field(default_factory=list)
    others: list[Measure] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    is_signed: bool = False

    @property
    def register_wh(self) -> int | None:
        """Return the import register, rounded as all are [Wh]."""
        return None if self.import_milli is None else self.import_milli // 1_000

    @property
    def export_wh(self) -> int | None:
        """Return the export register, rounded as all are [Wh]."""
        return None if self.export_milli is None else self.export_milli // 1_000


def metered(
    meter_value: MeterValue, evse_id: str, at: Instant, rank: int | None = None
) -> Metered:
    """Return what a meter value of an instant says.

    With ``rank`` only registers of that location count.
    """
    found = Metered(at)
    sums: dict[int, _Sum] = {}
    volts, current_phases = 0.0, 0
    for form, value in _values(meter_value.sampled_value, found):
        scaled = value * form.factor
        if not form.least <= scaled <= form.most:  # also catches NaN
            found.faults.append(f"{form.name} {value}")
            continue
        milli = round(scaled)
        use = form.use
        is_total = False
        if use <= _POWER_OUT:
            if use > _EXPORT or rank is None or form.rank == rank:
                is_total = form.phase == _TOTAL and use in (_IMPORT, _POWER_IN)
                if (of_use := sums.get(use)) is None:
                    of_use = sums[use] = _Sum(form.rank)
                of_use.add(form, milli)
                if use == _IMPORT or not found.context:
                    found.context = form.context
        elif use == _VOLTAGE:
            is_between = form.phase >= _LINE_TO_LINE
            volts = max(volts, milli * _LINE_TO_PHASE if is_between else milli)
        elif use == _CURRENT:
            current_phases |= (milli >= _IN_USE_MILLIAMPERE) << form.phase
        elif use == _SOC:
            found.soc = milli / 1_000
        measure = Measure(evse_id, at, form.name, form.unit, milli)
        (found.totals if is_total else found.others).append(measure)
    _conclude(found, sums)
    found.voltage_v = volts / 1_000 or None
    found.phases = (current_phases & 0b1110).bit_count() or None
    return found


def _conclude(found: Metered, sums: dict[int, _Sum]) -> None:
    if (imported := sums.get(_IMPORT)) is not None:
        found.import_milli, found.rank = imported.milli, imported.rank
    if (exported := sums.get(_EXPORT)) is not None:
        found.export_milli = exported.milli
    taken, given = sums.get(_POWER_IN), sums.get(_POWER_OUT)
    if taken is not None or given is not None:
        net = (taken.milli if taken else 0) - (given.milli if given else 0)
        found.power_w = (net + 500) // 1_000


def _values(sampled: Iterable[Any], found: Metered) -> Iterable[tuple[_Form, float]]:
    """Yield each value with its form; what is none is noted, what is signed too."""
    for one in sampled:
        value = one.value
        unit: Text
        multiplier: int | UnsetType = UNSET
        if type(value) is str:  # 1.6
            if one.format == "SignedData":
                found.is_signed |= one.context in _ENDS
                continue
            unit = one.unit
            try:
                # Python takes underscores between digits; nobody else does.
                value = float("nan" if "_" in value else value)
            except ValueError:
                value = float("nan")
        else:
            if one.signed_meter_value is not UNSET:
                found.is_signed |= one.context in _ENDS
            unit_of_measure = one.unit_of_measure
            if unit_of_measure is UNSET:
                unit = UNSET
            else:
                unit, multiplier = unit_of_measure.unit, unit_of_measure.multiplier
        key = (one.measurand, one.phase, one.location, one.context, unit, multiplier)
        form = _FORMS.get(key)
        yield (form if form is not None else _form(key)), value


_FORMS: Final[dict[_Key, _Form]] = {}


def _text(part: Text | int) -> str:
    return part if isinstance(part, str) else ""


def _form(key: _Key) -> _Form:
    measurand, phase, location, context = (_text(part) for part in key[:4])
    measurand = measurand or IMPORT
    base = next((b for start, b in _BASES if measurand.startswith(start)), "")
    told_unit = base if isinstance(key[4], UnsetType) else key[4]
    unit, per_unit = _UNITS.get(told_unit, (told_unit, 1_000))
    multiplier = 0 if isinstance(key[5], UnsetType) else key[5]
    factor = float(per_unit * Fraction(10) ** max(-99, min(multiplier, 99)))
    use = _USES.get(measurand, _OTHER)
    number = _PHASES.get(phase)
    rank = _RANKS.get(location)
    # What has another unit than its measurand, or is nobody's, is only kept.
    is_used = rank is not None and number is not None
    if unit != base and (use != _SOC or unit != "%"):
        is_used = False
    if use <= _POWER_OUT and number is not None and number >= _LINE_TO_LINE:
        is_used = False
    use = use if is_used else _OTHER
    least, most = _BOUNDS[use]
    form = _Form(
        name="/".join((measurand, phase, location, context)),
        unit=unit,
        use=use,
        phase=number or 0,
        rank=rank or 0,
        factor=factor if abs(multiplier) <= _MOST_MULTIPLIER else float("nan"),
        least=least * 1_000.0,
        most=most * 1_000.0,
        context=context or "Sample.Periodic",
    )
    if len(_FORMS) >= _FORMS_KEPT:  # a station makes up units
        _FORMS.clear()
    _FORMS[key] = form
    return form
