"""S1 Reservations are told to their stations, which then keep the place.

A station is told when the reservation has begun, again when it changed, and that it is
over when it ended before its time. What it answers is the activity's; the reservation
stays ours, whatever that is.
"""

from functools import partial
from typing import Any, Final

from api.ocpp.desk import Desk
from api.ocpp.exchange import (
    ALL_VERSIONS,
    V2,
    Carrier,
    InformationExchange,
    Module,
    taking,
)
from api.ocpp.facts import record_fact, record_of_station
from api.ocpp.gateway import Gateway
from api.ocpp.kept import keep, may_keep
from api.ocpp.peers import Peer
from domain.model import ids
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.activity_events import ActivityAsked, ActivityKind, Outcome
from domain.ports import Recorded
from domain.use_cases.clause_6_2_joining import Reference, find_by_reference, resolve
from domain.use_cases.clause_7_3_activities import (
    AskActivity,
    EndActivity,
    ask_activity,
    end_activity,
    load_activity,
    open_activities,
)
from domain.use_cases.s1_station_reservations import (
    NUMBER,
    RESERVATION,
    TellReservation,
    reservations_at,
    station_of,
    tell_reservation,
    told_to,
)
from domain.use_cases.shared_path import By


def begun(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Tell the station of a reservation, now or when it begins."""
    assert isinstance(row.event, s.ReservationMade | s.ReservationChanged)
    _look(gateway, desk, row.event.session_id)


def known(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Tell a station of what was reserved before it was known, or we were there."""
    for owner in reservations_at(desk.system, peer.station_id, peer.evse_ids):
        _look(gateway, desk, owner)


def _look(gateway: Gateway, desk: Desk, session_id: str) -> None:
    state = resolve(desk.system, session_id)
    made = state.reservation
    peer = gateway.peers.by_id.get(station_of(desk.system, made))
    if made is None or peer is None or not peer.identity or peer.retired:
        return
    if made.from_at <= desk.now:
        told = TellReservation(session_id=state.session_id)
        tell_reservation(desk.system, told, By(actor="gateway", at=desk.now))
    elif (state.session_id, made.from_at) not in peer.reservations:
        peer.reservations.add((state.session_id, made.from_at))
        later = partial(_later, gateway, session_id=state.session_id)
        gateway.at(made.from_at, later)


def _later(gateway: Gateway, desk: Desk, session_id: str) -> None:
    _look(gateway, desk, session_id)


def ended(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Tell the station that the place is free, unless it knows by time or plug."""
    assert isinstance(row.event, s.ReservationEnded)
    session_id = row.event.session_id
    is_used = bool(resolve(desk.system, session_id).evse_id)
    until_at = 0 if is_used else _until_at(desk, session_id)
    for station_id, number in told_to(desk.system, session_id):
        peer = gateway.peers.by_id.get(station_id)
        if peer is None or peer.retired or _is_called_off(desk, peer, session_id):
            continue
        if row.occurred_at < until_at:
            asking = AskActivity(
                kind=ActivityKind.CANCEL_RESERVATION,
                station_id=station_id,
                session_id=session_id,
                parameters=((NUMBER, str(number)),),
            )
            ask_activity(desk.system, asking, By(actor="gateway", at=desk.now))


def _until_at(desk: Desk, session_id: str) -> int:
    """Return the end of the session's last reservation."""
    until_at = 0
    for row in desk.system.log.read_stream(ids.session_stream(session_id)):
        if isinstance(row.event, s.ReservationMade | s.ReservationChanged):
            until_at = row.event.until_at
    return until_at


def _is_called_off(desk: Desk, peer: Peer, session_id: str) -> bool:
    """End what the station was not told yet; return whether that is all."""
    for activity in open_activities(desk.system, peer.station_id):
        is_its = (activity.kind, activity.session_id) == (
            ActivityKind.RESERVE,
            session_id,
        )
        state = load_activity(desk.system, activity.activity_id)
        if is_its and not state.last_step:
            over = EndActivity(
                activity_id=activity.activity_id,
                outcome=Outcome.REFUSED,
                detail="the reservation ended before the station was told",
            )
            end_activity(desk.system, over, By(actor="gateway", at=desk.now))
            return True
    return False


def answered_reservation(
    desk: Desk, peer: Peer, activity: ActivityAsked, outcome: Outcome, reason: str
) -> None:
    """Record for its session, and so for who reserved, what the station says."""
    session_id = resolve(desk.system, activity.session_id).session_id
    event = s.ReservationAnswered(
        session_id=session_id,
        station_id=peer.station_id,
        is_kept=outcome is Outcome.DONE,
        reason=reason,
    )
    record_fact(desk, peer, ids.session_stream(session_id), event)


def _status_told(gateway: Gateway, desk: Desk, peer: Peer, request: Any) -> None:
    """Take in that the station keeps a place no more."""
    number = request.reservation_id
    reference = Reference(peer.station_id, RESERVATION, str(number))
    state = find_by_reference(desk.system, reference)
    if state is None:
        keep(desk, peer, "ReservationStatusUpdate", request)
    elif may_keep(desk, peer):
        dropped = t.StationReservationDropped(
            station_id=peer.station_id,
            session_id=state.session_id,
            number=number,
            status=request.reservation_update_status,
        )
        record_of_station(desk, peer, dropped)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "S1.Info1",
            "a place is kept for an EV user, or no more",
            (
                Carrier(
                    ALL_VERSIONS,
                    "~",
                    ("ReserveNow", "CancelReservation"),
                    "out",
                    "sent when it begins; a class of EVSEs, and one without a token, "
                    "is not told",
                ),
                Carrier(V2, "=", ("ReservationStatusUpdate",), "in"),
                Carrier(
                    ("1.6",),
                    "=",
                    ("StartTransaction",),
                    "in",
                    "`reservationId` stands for the session",
                ),
                Carrier(
                    V2,
                    "=",
                    ("TransactionEvent",),
                    "in",
                    "`reservationId` stands for the session",
                ),
            ),
        ),
    ),
    handlers={
        ("2.0.1", "ReservationStatusUpdate"): taking(_status_told),
        ("2.1", "ReservationStatusUpdate"): taking(_status_told),
    },
    followers={
        s.ReservationMade: begun,
        s.ReservationChanged: begun,
        s.ReservationEnded: ended,
    },
    on_connected=known,
    on_accepted=known,
)
