"""E1 Info1 as connectors tell it: plugged, paused, gone, out of order; and alerts.

A status is what holds now, however old the change is that it tells; one that is older
than the last of its connector changes nothing.

1.6 says by it that an EV is plugged, pauses and leaves. Whoever comes first plugs, this
or StartTransaction; the other finds the EVSE occupied and changes nothing. In 2.x that
is TransactionEvent's to say; Occupied plugs only where the station is known to begin
its transactions later (TxStartPoint without EVConnected). Available unplugs what is
still thought to be there: at once when the connector is seen to become free and nothing
else is under way, else after a while, in which the transaction's own end may come.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

from api.ocpp.clock import measure_clock, our_time
from api.ocpp.desk import Desk
from api.ocpp.etp import CLOCK_TOLERANCE
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module, taking
from api.ocpp.exchanges.clause_7_10_safety import (
    report_unsafe,
    sign_of_alert,
    sign_of_status,
)
from api.ocpp.facts import record_of_station
from api.ocpp.gateway import Gateway
from api.ocpp.kept import keep, may_keep
from api.ocpp.peers import Peer
from api.ocpp.v16 import messages as v16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as v201
from domain.model import station_events as t
from domain.model.values import MINUTE, SECOND, Instant, instant_of
from domain.use_cases.clause_7_5_station_transactions import CableOut, cable_out
from domain.use_cases.e1_smart_charging import (
    PlugEv,
    SignalPause,
    plug_ev,
    signal_pause,
)
from domain.use_cases.shared_path import By, load_evse

# What is told of an earlier instant than this happened now, for all that follows.
_NEWS: Final = 5 * MINUTE
# So long the end of a transaction may come after the connector is told to be free.
_END_COMES_WITHIN: Final = 30 * SECOND

# Of 1.6: with a cable in, and one that may still charge. (After its transaction the
# connector is Finishing, which also follows an EV that has just been unplugged.)
_PLUGGED_1_6: Final = frozenset(
    {"Preparing", "Charging", "SuspendedEV", "SuspendedEVSE"}
)
_PLUGGED_2: Final = frozenset({"Occupied"})
_FREE: Final = "Available"
_AVAILABILITY: Final = "AvailabilityState"
# What these tell, as the id of a vehicle, is of a person, and is kept sealed.
_OF_PERSONS: Final = frozenset({"ConnectedEV", "TokenReader"})


class _Told(NamedTuple):
    """A status as all versions tell it; connector 0 is the whole EVSE.

    ``before`` is the status that it had before, empty where that is not known.
    """

    evse_number: int
    connector: int
    status: str
    error_code: str
    info: str
    told_at: Instant
    before: str = ""


def _status_1_6(
    gateway: Gateway, desk: Desk, peer: Peer, request: v16.StatusNotificationRequest
) -> None:
    """Take in a status of 1.6, in which connector n is EVSE n and 0 the station."""
    told = _Told(
        evse_number=request.connector_id,
        connector=1 if request.connector_id else 0,
        status=request.status,
        error_code="" if request.error_code == "NoError" else request.error_code,
        info=request.info or "",
        told_at=instant_of(request.timestamp) if request.timestamp else desk.now,
    )
    if request.timestamp:
        measure_clock(desk, peer, told.told_at)
    news = _news(desk, peer, told)
    if news is not None:
        _plug_or_free(gateway, desk, peer, news, plugged=_PLUGGED_1_6)
        _pause(desk, peer, news)


def _status_2(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v201.StatusNotificationRequest | v21.StatusNotificationRequest,
) -> None:
    told_at = instant_of(request.timestamp)
    measure_clock(desk, peer, told_at)
    told = _Told(
        evse_number=request.evse_id,
        connector=request.connector_id,
        status=request.connector_status,
        error_code="",
        info="",
        told_at=told_at,
    )
    _available_2(gateway, desk, peer, told)


def _events_2(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v201.NotifyEventRequest | v21.NotifyEventRequest,
) -> None:
    measure_clock(desk, peer, instant_of(request.generated_at))
    _events(gateway, desk, peer, request.event_data)


def _events(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    events: Iterable[d201.EventData | d21.EventData],
) -> None:
    for event in events:
        if event.variable.name == _AVAILABILITY:
            _available_2(gateway, desk, peer, _status_of(event))
        elif event.trigger == "Alerting" or event.variable.name == "Problem":
            _alert(desk, peer, event)


def _status_of(event: d201.EventData | d21.EventData) -> _Told:
    evse = event.component.evse
    return _Told(
        evse_number=evse.id if evse else 0,
        connector=(evse.connector_id or 0) if evse else 0,
        status=event.actual_value[:50],
        error_code=event.tech_code or "",
        info=(event.tech_info or "")[:200],
        told_at=instant_of(event.timestamp),
    )


def _alert(desk: Desk, peer: Peer, event: d201.EventData | d21.EventData) -> None:
    """Keep an alert within the station's bound; one of danger is always taken in."""
    evse, component = event.component.evse, event.component.name
    severity = getattr(event, "severity", None)
    is_of_person = component in _OF_PERSONS and event.variable.name != "Problem"
    alert = t.StationAlertReported(
        station_id=peer.station_id,
        evse_number=evse.id if evse else 0,
        component=component,
        variable=event.variable.name,
        value="" if is_of_person else event.actual_value[:200],
        severity=severity if isinstance(severity, int) else None,
        is_cleared=event.cleared is True,
        info="" if is_of_person else (event.tech_info or "")[:200],
    )
    if is_of_person:
        keep(desk, peer, "NotifyEvent", event)
    issue = sign_of_alert(alert)
    if may_keep(desk, peer) or issue:
        record_of_station(desk, peer, alert)
    if issue:
        report_unsafe(desk, peer, alert.evse_number, issue)
        desk.mark()  # it stays, whatever comes of the rest of the message


def _news(desk: Desk, peer: Peer, told: _Told) -> _Told | None:
    """Return a status that is not older than the last; record it when it changed.

    What a clock that is ahead gives counts as now, so that it may be set right.
    """
    told_at = min(told.told_at, desk.now)
    place = (told.evse_number, told.connector)
    last = peer.statuses.get(place)
    if last is not None and told_at < last[2]:
        return None
    peer.statuses[place] = (told.status, told.error_code, told_at)
    if last is None or last[:2] != (told.status, told.error_code):
        event = t.StationStatusReported(
            station_id=peer.station_id,
            evse_number=told.evse_number,
            connector=told.connector,
            status=told.status,
            error_code=told.error_code,
            info=told.info,
        )
        record_of_station(desk, peer, event)
        if issue := sign_of_status(told.status, told.error_code):
            report_unsafe(desk, peer, told.evse_number, issue)
            desk.mark()  # it stays, whatever comes of the rest of the message
    return told._replace(before=last[0] if last else "")


def _available_2(gateway: Gateway, desk: Desk, peer: Peer, told: _Told) -> None:
    news = _news(desk, peer, told)
    if news is None:
        return
    starts_later = (
        peer.told is not None
        and bool(peer.told.start_points)
        and "EVConnected" not in peer.told.start_points
    )
    plugged = _PLUGGED_2 if starts_later else frozenset[str]()
    _plug_or_free(gateway, desk, peer, news, plugged=plugged)


def _plug_or_free(
    gateway: Gateway, desk: Desk, peer: Peer, told: _Told, *, plugged: frozenset[str]
) -> None:
    evse_id = peer.evse_id(told.evse_number)
    if evse_id is None:
        return
    evse = load_evse(desk.system, evse_id)
    if told.status in plugged and not evse.session_id:
        peer.paused.discard(told.evse_number)
        # Where the meter stands only the transaction tells.
        plug = PlugEv(evse_id=evse_id, register_wh=None)
        plug_ev(desk.system, plug, _by(desk, peer, told))
    elif told.status == _FREE and evse.session_id and not _is_beside(peer, told):
        free = partial(_free, peer=peer, told=told, session_id=evse.session_id)
        was_seen = told.before not in ("", _FREE)
        if was_seen and told.evse_number not in peer.transactions:
            free(desk)
        else:
            gateway.at(desk.now + _END_COMES_WITHIN, free)


def _is_beside(peer: Peer, told: _Told) -> bool:
    """Whether a status is another connector's than the one in use at its EVSE."""
    running = peer.transactions.get(told.evse_number)
    return running is not None and running.connector not in (0, told.connector)


def _free(desk: Desk, peer: Peer, told: _Told, session_id: str) -> None:
    """Unplug the EV of a session unless it left, or a connector has a cable again.

    What was free before the EV came says nothing of it.
    """
    evse_id = peer.evse_id(told.evse_number)
    if evse_id is None:
        return
    evse = load_evse(desk.system, evse_id)
    by = _by(desk, peer, told)
    if evse.session_id != session_id or by.at < evse.plugged_at - CLOCK_TOLERANCE:
        return
    of_evse = [s[0] for (n, _), s in peer.statuses.items() if n == told.evse_number]
    if any(status in _PLUGGED_1_6 | _PLUGGED_2 for status in of_evse):
        return
    peer.paused.discard(told.evse_number)
    by = By(actor=by.actor, at=max(by.at, evse.plugged_at))
    cable_out(desk.system, CableOut(evse_id=evse_id), by)


def _pause(desk: Desk, peer: Peer, told: _Told) -> None:
    """Signal that an EV paused by itself, or charges again (1.6).

    SuspendedEVSE says nothing of the EV: it is what our own limit leads to.
    """
    evse_id = peer.evse_id(told.evse_number)
    was_paused = told.evse_number in peer.paused
    is_paused = told.status == "SuspendedEV"
    is_change = is_paused != was_paused and told.status in ("Charging", "SuspendedEV")
    if evse_id is None or not is_change:
        return
    if not load_evse(desk.system, evse_id).session_id:
        return
    signal = SignalPause(evse_id=evse_id, paused=is_paused)
    signal_pause(desk.system, signal, _by(desk, peer, told))
    (peer.paused.add if is_paused else peer.paused.discard)(told.evse_number)


def _by(desk: Desk, peer: Peer, told: _Told) -> By:
    """Return who tells and when it was; what changed long ago holds from now on."""
    at = our_time(peer, told.told_at)
    is_told = desk.now - _NEWS <= at <= desk.now
    return By(actor=peer.station_id, at=at if is_told else desk.now)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "status of a connector: plugged, free, out of order",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("StatusNotification",),
                    "in",
                    "Preparing plugs, Available unplugs; no id: only the later "
                    "StartTransaction has one",
                ),
                Carrier(
                    V2,
                    "=",
                    ("StatusNotification", "NotifyEvent"),
                    "in",
                    "Occupied plugs only where transactions begin later",
                ),
            ),
        ),
        InformationExchange(
            "E1.Info1",
            "the EV pauses or wants energy, by the connector's status",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("StatusNotification",),
                    "in",
                    "SuspendedEV, Charging",
                ),
            ),
        ),
    ),
    handlers={
        ("1.6", "StatusNotification"): taking(_status_1_6),
        ("2.0.1", "StatusNotification"): taking(_status_2),
        ("2.1", "StatusNotification"): taking(_status_2),
        ("2.0.1", "NotifyEvent"): taking(_events_2),
        ("2.1", "NotifyEvent"): taking(_events_2),
    },
)
