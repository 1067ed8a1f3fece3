"""7.3 What a station can do is read when it is new and when its firmware changed.

Then it is told what to report: power, registers of both ways and state of charge every
`EVERY_S`, registers each quarter of an hour for the books. A variable that it does not
have or would not have set is left as it is, and recorded. What is not known of it is
taken for the weakest.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

from api.ocpp import variables
from api.ocpp.calls import Answered, Call, NotAnswered, OnAnswer
from api.ocpp.desk import Desk, Pace
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module
from api.ocpp.facts import record_fact
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer, Standing
from api.ocpp.violations import Version
from domain.model import ids
from domain.model import station_events as t
from domain.model.values import MINUTE, SECOND, Current

EVERY_S: Final = 30
_BOOKS_EVERY_S: Final = 900
# A station that connects without a boot, and was never read, is left so long to boot.
_BOOTS_WITHIN: Final = MINUTE
# One that does not answer is not waited for as long as others: its ETPs wait behind.
_PATIENCE: Final = 20 * SECOND
# Of limits in all versions: at most one digit after the point.
_DECIMALS: Final = 1

_IMPORT: Final = "Energy.Active.Import.Register"
_EXPORT: Final = "Energy.Active.Export.Register"
_POWER: Final = "Power.Active.Import"
_REGISTERS: Final = (f"{_IMPORT},{_EXPORT}", _IMPORT)
# With their power: what whole watt-hours since the last reading tell of it is coarse,
# and of the time before.
_ALIGNED: Final = (f"{_POWER},{_IMPORT},{_EXPORT}", f"{_POWER},{_IMPORT}", *_REGISTERS)
# What is asked for, the best first; voltage and current say what amperes are in watts.
_SAMPLED: Final = (
    f"{_POWER},{_IMPORT},{_EXPORT},Voltage,Current.Import,SoC",
    f"{_POWER},{_IMPORT},{_EXPORT},Voltage,Current.Import",
    f"{_POWER},{_IMPORT},Voltage,Current.Import",
    f"{_POWER},{_IMPORT},SoC",
    f"{_POWER},{_IMPORT}",
    _IMPORT,
)


class _Names(NamedTuple):
    """What the versions call what is read and set."""

    unit: str
    max_periods: str
    max_stack_level: str
    can_switch_phases: str
    sampled: str
    interval: str
    # (name, values to try) of what else is set.
    others: tuple[tuple[str, tuple[str, ...]], ...]
    read: tuple[str, ...]


_1_6: Final = _Names(
    unit="ChargingScheduleAllowedChargingRateUnit",
    max_periods="ChargingScheduleMaxPeriods",
    max_stack_level="ChargeProfileMaxStackLevel",
    can_switch_phases="ConnectorSwitch3to1PhaseSupported",
    sampled="MeterValuesSampledData",
    interval="MeterValueSampleInterval",
    others=(
        ("MeterValuesAlignedData", _ALIGNED),
        ("ClockAlignedDataInterval", (str(_BOOKS_EVERY_S),)),
    ),
    read=("SupportedFeatureProfiles",),
)
_2: Final = _Names(
    unit="SmartChargingCtrlr.RateUnit",
    max_periods="SmartChargingCtrlr.PeriodsPerSchedule",
    max_stack_level="SmartChargingCtrlr.ProfileStackLevel",
    can_switch_phases="SmartChargingCtrlr.Phases3to1",
    sampled="SampledDataCtrlr.TxUpdatedMeasurands",
    interval="SampledDataCtrlr.TxUpdatedInterval",
    others=(
        ("SampledDataCtrlr.TxStartedMeasurands", _REGISTERS),
        ("SampledDataCtrlr.TxEndedMeasurands", _REGISTERS),
        ("AlignedDataCtrlr.Measurands", _ALIGNED),
        ("AlignedDataCtrlr.Interval", (str(_BOOKS_EVERY_S),)),
    ),
    read=(
        "SmartChargingCtrlr.Available",
        "SmartChargingCtrlr.Enabled",
        "TxCtrlr.TxStartPoint",
        "TxCtrlr.TxStopPoint",
    ),
)
_NAMES: Final[Mapping[Version, _Names]] = {"1.6": _1_6, "2.0.1": _2, "2.1": _2}
# Stands in a survey's values once a variable needs a reboot to take effect.
_REBOOT: Final = "\x00reboot"


class _Survey(NamedTuple):
    """One reading of a station's capabilities, step by step.

    ``values`` are by variable; ``refused`` are those that were not set, ``unanswered``
    those whose answer did not come once. They fill while it goes on, as long as it is
    the station's last one.
    """

    number: int
    version: Version
    values: dict[str, str]
    refused: list[str]
    unanswered: list[str]
    reads: list[Call]
    sets: list[tuple[str, tuple[str, ...]]]


def survey(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Read what the station can do, then tell it what to report."""
    if peer.connection is None:
        return
    version = peer.connection.version
    names = _NAMES[version]
    sets = [(names.sampled, _SAMPLED), (names.interval, (str(EVERY_S),)), *names.others]
    read = [*names[:4], *names.read, *(name for name, _ in sets)]
    if version != "1.6":
        read += [_phases(n) for n in range(1, len(peer.evse_ids) + 1)]
    peer.survey += 1
    begun = _Survey(
        number=peer.survey,
        version=version,
        values={},
        refused=[],
        unanswered=[],
        reads=list(variables.reads(version, read)),
        sets=sets,
    )
    _go_on(gateway, desk, peer, begun)


def _phases(evse_number: int) -> str:
    return f"EVSE@{evse_number}.SupplyPhases"


def _go_on(gateway: Gateway, desk: Desk, peer: Peer, going: _Survey) -> None:
    if going.reads:
        call = going.reads[0]
        _ask(gateway, desk, peer, call, partial(_read, going=going))
        return
    while going.sets:
        name, candidates = going.sets.pop(0)
        if _is_set(going.values.get(name, ""), candidates[0]):
            continue
        call = variables.setting(going.version, name, candidates[0])
        on_answer = partial(_set, going=going, name=name, candidates=candidates)
        _ask(gateway, desk, peer, call, on_answer)
        return
    _record(desk, peer, going)


def _ask(
    gateway: Gateway, desk: Desk, peer: Peer, call: Call, on_answer: OnAnswer
) -> None:
    call = call._replace(on_answer=on_answer, answer_within=_PATIENCE)
    gateway.ask(desk, peer, call)


def _is_set(value: str, wanted: str) -> bool:
    return set(_listed(value)) == set(_listed(wanted))


def _listed(value: str) -> Iterable[str]:
    return (each.strip() for each in value.split(",") if each.strip())


def _read(
    gateway: Gateway, desk: Desk, peer: Peer, answered: Answered, *, going: _Survey
) -> None:
    if going.number != peer.survey:
        return
    if isinstance(answered, NotAnswered):  # the weakest form may be one it has not
        again = partial(_again, gateway=gateway, peer=peer, going=going)
        gateway.at(desk.now + _BOOTS_WITHIN, again, Pace.LATER)
        return
    going.reads.pop(0)
    going.values.update(variables.values_of(answered))
    _go_on(gateway, desk, peer, going)


def _set(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    answered: Answered,
    *,
    going: _Survey,
    name: str,
    candidates: tuple[str, ...],
) -> None:
    if going.number != peer.survey:
        return
    if isinstance(answered, NotAnswered):
        if answered is NotAnswered.TIMED_OUT:  # what was read is not to be lost for it
            if name not in going.unanswered:  # an answer may be lost: once more, last
                going.unanswered.append(name)
                going.sets.append((name, candidates))
            _go_on(gateway, desk, peer, going)
        return
    status = variables.status_of(answered)
    if status in (variables.ACCEPTED, variables.REBOOT_REQUIRED):
        going.values[name] = candidates[0]
        if status == variables.REBOOT_REQUIRED:
            going.values[_REBOOT] = status
    elif len(candidates) > 1 and status == "Rejected":
        going.sets.insert(0, (name, candidates[1:]))
    else:
        going.refused.append(name)
    _go_on(gateway, desk, peer, going)


def _record(desk: Desk, peer: Peer, done: _Survey) -> None:
    event = _capabilities(peer, done)
    peer.reports_every_s = event.reading_every_s
    if event != peer.told:
        peer.told = event
        record_fact(desk, peer, ids.station_stream(peer.station_id), event)


def _capabilities(peer: Peer, done: _Survey) -> t.StationCapabilities:
    names, values = _NAMES[done.version], done.values
    numbers = range(1, len(peer.evse_ids) + 1)
    return t.StationCapabilities(
        station_id=peer.station_id,
        version=done.version,
        has_smart_charging=_has_smart_charging(values),
        unit=_unit(peer, values.get(names.unit, "")),
        max_periods=max(1, _number(values.get(names.max_periods, ""))),
        decimals=_DECIMALS,
        max_stack_level=max(0, _number(values.get(names.max_stack_level, ""))),
        can_switch_phases=_is_true(values.get(names.can_switch_phases, "")),
        measurands=tuple(_listed(values.get(names.sampled, ""))),
        start_points=tuple(_listed(values.get("TxCtrlr.TxStartPoint", ""))),
        stop_points=tuple(_listed(values.get("TxCtrlr.TxStopPoint", ""))),
        reading_every_s=max(0, _number(values.get(names.interval, ""))),
        firmware=_firmware(peer),
        refused=tuple(done.refused),
        needs_reboot=_REBOOT in values,
        evse_phases=()
        if done.version == "1.6"
        else tuple(_number(values.get(_phases(n), "")) for n in numbers),
    )


def _has_smart_charging(values: Mapping[str, str]) -> bool:
    """Whether nothing that the station says denies it."""
    profiles = values.get("SupportedFeatureProfiles", "")
    denied = ("SmartChargingCtrlr.Available", "SmartChargingCtrlr.Enabled")
    if any(values.get(name, "").lower() == "false" for name in denied):
        return False
    return not profiles or "SmartCharging" in _listed(profiles)


def _unit(peer: Peer, said: str) -> str:
    """Return the unit of limits: amperes for AC, watts for DC, as far as it has them.

    A limit in watts leaves it to an AC station what voltage and phases it counts with.
    """
    words = set(_listed(said))
    has_w, has_a = bool(words & {"W", "Power"}), bool(words & {"A", "Current"})
    is_dc = all(evse.current is Current.DC for evse in peer.evses.values())
    if has_w and has_a:
        return "W" if is_dc else "A"
    return "W" if has_w else "A"


def _number(said: str) -> int:
    said = said.strip()
    return int(said) if said.lstrip("-").isdecimal() and len(said) < 10 else 0


def _is_true(said: str) -> bool:
    return said.strip().lower() == "true"


def _firmware(peer: Peer) -> str:
    return peer.booted.firmware if peer.booted is not None else ""


def _accepted(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    told, connection = peer.told, peer.connection
    if connection is None:
        return
    is_known = told is not None and told.version == connection.version
    if not is_known or (told is not None and told.firmware != _firmware(peer)):
        survey(gateway, desk, peer)


def _connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    if peer.told is None and peer.standing is Standing.ACCEPTED:
        begun = peer.survey
        at = desk.now + _BOOTS_WITHIN
        unread = partial(_unread, gateway=gateway, peer=peer, begun=begun)
        gateway.at(at, unread, Pace.LATER)


def _unread(desk: Desk, gateway: Gateway, peer: Peer, begun: int) -> None:
    if peer.told is None and peer.survey == begun:
        survey(gateway, desk, peer)


def _again(desk: Desk, gateway: Gateway, peer: Peer, going: _Survey) -> None:
    if peer.connection is None or peer.standing is not Standing.ACCEPTED:
        return
    if peer.survey == going.number:
        is_same = peer.connection.version == going.version
        _go_on(gateway, desk, peer, going) if is_same else survey(gateway, desk, peer)


def report_every(gateway: Gateway, desk: Desk, peer: Peer, seconds: int) -> None:
    """Have the station report so often from now on, unless it does, or would not."""
    if peer.connection is None or peer.reports_every_s == seconds:
        return
    version = peer.connection.version
    name = _NAMES[version].interval
    if peer.told is not None and name in peer.told.refused:
        return
    peer.reports_every_s = seconds
    call = variables.setting(version, name, str(seconds))
    gateway.ask(desk, peer, call._replace(slot="report-every", on_answer=_reports))


def _reports(gateway: Gateway, desk: Desk, peer: Peer, answered: Answered) -> None:
    if answered is NotAnswered.SUPERSEDED:
        return
    if isinstance(answered, NotAnswered):
        peer.reports_every_s = 0


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.3",
            "what a station can do",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("GetConfiguration",),
                    "out",
                    "nothing of when transactions begin, nor of its EVSEs",
                ),
                Carrier(V2, "=", ("GetVariables",), "out"),
            ),
        ),
        InformationExchange(
            "7.3",
            "what a station is to report, and how often",
            (
                Carrier(("1.6",), "=", ("ChangeConfiguration",), "out"),
                Carrier(V2, "=", ("SetVariables",), "out"),
            ),
        ),
    ),
    on_connected=_connected,
    on_accepted=_accepted,
)
