"""7.3 What a 2.x station says of its EVSEs is held against their commissioning.

It is asked at each boot for the power, phases and connectors of its EVSEs. One that can
do less than it was commissioned with is planned at that: a limit like any other's. What
contradicts the commissioning is an alert, and changes nothing by itself. A station that
refuses, or does not know, is taken as it was commissioned.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from api.ocpp.calls import Answered, Call, Urgency
from api.ocpp.desk import Desk
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module, taking
from api.ocpp.facts import record_fact, record_of_station
from api.ocpp.gateway import Gateway
from api.ocpp.kept import keep
from api.ocpp.peers import EvseReport, Peer
from api.ocpp.v2 import V2_TYPES
from api.ocpp.v21 import messages as m21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as m201
from domain.model import ids
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.profile import POWER_LIMIT_W, PowerProfile
from domain.model.values import Current
from domain.ports import Recorded

# By which these limits are told from others'.
SOURCE: Final = "EVSE"
_ASKED: Final = (
    ("EVSE", "Power"),
    ("EVSE", "SupplyPhases"),
    ("Connector", "ConnectorType"),
)
_IN_W: Final = {"W": 1, "kW": 1_000}
Told = TypeVar("Told", int, str)
_MOST_CONNECTORS: Final = 8
# Connectors that give direct current only; others give alternating or both.
_DC: Final = frozenset({"cCCS1", "cCCS2", "cG105", "cChaoJi", "cMCS"})
_AC: Final = frozenset(
    {
        *("cType1", "cType2", "s309-1P-16A", "s309-1P-32A", "s309-3P-16A"),
        *("s309-3P-32A", "sBS1361", "sCEE-7-7", "sType2", "sType3"),
        *("Other1PhMax16A", "Other1PhOver16A", "Other3Ph"),
    }
)


def ask(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Ask a station that booted what its EVSEs can do."""
    if peer.version is None or peer.version == "1.6":
        return
    messages, types = V2_TYPES[peer.version]
    peer.report = EvseReport(
        number=1 if peer.report is None else peer.report.number + 1
    )
    wanted = tuple(
        types.ComponentVariable(
            component=types.Component(name=component),
            variable=types.Variable(name=variable),
        )
        for component, variable in _ASKED
    )
    request = messages.GetReportRequest(
        request_id=peer.report.number, component_variable=wanted
    )
    answered = partial(_answered, number=peer.report.number)
    call = Call("GetReport", request, answered, Urgency.REPORT, slot="evses")
    gateway.ask(desk, peer, call)


def _answered(
    gateway: Gateway, desk: Desk, peer: Peer, answered: Answered, *, number: int
) -> None:
    """Wait for no report of a station that sends none."""
    is_awaited = peer.report is not None and peer.report.number == number
    if is_awaited and getattr(answered, "status", "") != "Accepted":
        peer.report = EvseReport(number=number, is_over=True)


def _reported(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: m201.NotifyReportRequest | m21.NotifyReportRequest,
) -> None:
    report = peer.report
    if report is None or report.is_over or report.number != request.request_id:
        keep(desk, peer, "NotifyReport", request)
        return
    for data in request.report_data or ():
        _take(peer, report, data)
    if not request.tbc:
        report.is_over = True
        _compare(desk, peer, report)


def _take(peer: Peer, report: EvseReport, data: Any) -> None:
    """Take in what is told of one variable of one of our EVSEs."""
    evse = data.component.evse
    number = evse.id if evse else 0
    if peer.evse_id(number) is None:
        return
    values = [each.value for each in data.variable_attribute if each.value]
    match data.component.name, data.variable.name:
        case "EVSE", "Power":
            report.power_w[number] = _power_w(data)
        case "EVSE", "SupplyPhases":
            report.phases[number] = _phases(values)
        case "Connector", "ConnectorType":
            types = report.connectors.setdefault(number, set())
            if len(types) < _MOST_CONNECTORS:
                types.update(value[:20] for value in values[:1])


def _power_w(data: d201.ReportData | Any) -> int:
    """Return the most that an EVSE gives: by its maker, or as set; 0: not told."""
    about = data.variable_characteristics
    unit = _IN_W.get((about.unit or "W") if about else "W", 0)
    told = [about.max_limit] if about and about.max_limit else []
    told += [
        float(each.value)
        for each in data.variable_attribute
        if each.type == "MaxSet" and each.value and _is_number(each.value)
    ]
    powers_w = [int(value * unit) for value in told if 0 < value <= POWER_LIMIT_W]
    return min((w for w in powers_w if w > 0), default=0)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _phases(values: Sequence[str]) -> int:
    told = values[0] if values else ""
    return int(told) if told in ("1", "2", "3") else 0


def _compare(desk: Desk, peer: Peer, report: EvseReport) -> None:
    """Hold what is told against the commissioning; what is not told stays as known."""
    known = _known(peer)
    types = {n: " ".join(sorted(each)) for n, each in report.connectors.items()}
    numbers = _numbers(peer)
    told = msgspec.structs.replace(
        known,
        power_w=tuple(
            report.power_w.get(n) or _at(known.power_w, n, 0) for n in numbers
        ),
        phases=tuple(report.phases.get(n) or _at(known.phases, n, 0) for n in numbers),
        connectors=tuple(types.get(n) or _at(known.connectors, n, "") for n in numbers),
    )
    _judge(desk, peer, told)


def _judge(desk: Desk, peer: Peer, told: t.StationEvsesTold) -> None:
    """Record what is told and what it comes to, where either is new."""
    known = _known(peer)
    event = msgspec.structs.replace(
        told,
        limits_w=tuple(_limit_w(peer, told, n) for n in _numbers(peer)),
        contradictions=tuple(
            each for n in _numbers(peer) for each in _contradictions(peer, told, n)
        ),
    )
    if event == known or not any((*event.power_w, *event.phases, *event.connectors)):
        return
    peer.evses_told = event
    record_fact(desk, peer, ids.station_stream(peer.station_id), event)
    _limit(desk, peer, known.limits_w, event.limits_w)
    for each in known.contradictions:
        if each not in event.contradictions:
            _alert(desk, peer, each, is_cleared=True)
    for each in event.contradictions:
        if each not in known.contradictions:
            _alert(desk, peer, each, is_cleared=False)


def _known(peer: Peer) -> t.StationEvsesTold:
    return peer.evses_told or t.StationEvsesTold(station_id=peer.station_id)


def _at(told: Sequence[Told], number: int, nothing: Told) -> Told:
    """Return what was told of an EVSE; it may have been commissioned since."""
    return told[number - 1] if number <= len(told) else nothing


def _numbers(peer: Peer) -> range:
    return range(1, len(peer.evse_ids) + 1)


def _limit_w(peer: Peer, told: t.StationEvsesTold, number: int) -> int:
    """Return the power of an EVSE that is less than it was commissioned with, or 0."""
    power_w = _at(told.power_w, number, 0)
    return power_w if power_w < peer.evses[peer.evse_ids[number - 1]].max_w else 0


def _contradictions(
    peer: Peer, told: t.StationEvsesTold, number: int
) -> list[t.Contradiction]:
    evse = peer.evses[peer.evse_ids[number - 1]]
    power_w = _at(told.power_w, number, 0)
    phases = _at(told.phases, number, 0)
    types = _at(told.connectors, number, "")
    is_dc = evse.current is Current.DC
    found = []
    if 0 < power_w < evse.floor_w:
        found.append(("EVSE", "Power", f"{power_w} W", f"a floor of {evse.floor_w} W"))
    if phases not in (0, evse.phases) and not is_dc:
        found.append(("EVSE", "SupplyPhases", str(phases), f"{evse.phases} phases"))
    if types and set(types.split()) <= (_AC if is_dc else _DC):
        found.append(("Connector", "ConnectorType", types, evse.current.value))
    return [t.Contradiction(number, *each) for each in found]


def _limit(
    desk: Desk, peer: Peer, before: tuple[int, ...], now: tuple[int, ...]
) -> None:
    for number, limit_w in enumerate(now, 1):
        if limit_w == _at(before, number, 0):
            continue
        event = t.LimitReported(
            station_id=peer.station_id,
            evse_id=peer.evse_ids[number - 1],
            source=SOURCE,
            profile=PowerProfile(desk.now, ((0, limit_w),)) if limit_w else None,
            is_over=not limit_w,
        )
        # It is told once and holds for good, as what stands in this stream does.
        record_fact(desk, peer, ids.station_stream(peer.station_id), event)


def _alert(desk: Desk, peer: Peer, found: t.Contradiction, *, is_cleared: bool) -> None:
    event = t.StationAlertReported(
        station_id=peer.station_id,
        evse_number=found.evse_number,
        component=found.component,
        variable=found.variable,
        value=found.told,
        is_cleared=is_cleared,
        info=f"commissioned with {found.commissioned}",
    )
    record_of_station(desk, peer, event)


def changed(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Hold what is known of the station against the EVSE's new limits."""
    assert isinstance(row.event, z.EvseLimitsChanged)
    peer = gateway.peers.of_evse(row.event.evse_id)
    if peer is not None and peer.evses_told is not None:
        _judge(desk, peer, peer.evses_told)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.3",
            "what its EVSEs can do: power, phases, connectors",
            (
                Carrier(V2, "=", ("GetReport",), "out", "at each boot"),
                Carrier(V2, "=", ("NotifyReport",), "in"),
                Carrier(("1.6",), "∅", note="taken as commissioned"),
            ),
        ),
    ),
    handlers={
        ("2.0.1", "NotifyReport"): taking(_reported),
        ("2.1", "NotifyReport"): taking(_reported),
    },
    followers={z.EvseLimitsChanged: changed},
    on_accepted=ask,
)
