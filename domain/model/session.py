"""State of a service session: one fold for live, replay and as-of (IEC 63110-1 6.2).

``evolve`` gives the same state whatever the order in which facts arrive: a fact only
replaces what an earlier one (by its own time, then by content) left. Decisions come in
the order of the stream.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from domain.errors import Refused
from domain.model import session_events as s
from domain.model.values import Event, Instant, Quality

# A rule takes the event type it is listed under in _EVOLVE.
Rule = Callable[["Session", Any, Instant], "Session"]

USABLE = (Quality.GOOD, Quality.LATE)

# Begins the place of credentials that were presented at no EVSE; no EVSE id does.
_AT = "@"


def at_station(station_id: str) -> str:
    """Return the place of credentials that were presented at a station."""
    return f"{_AT}{station_id}"


def station_at(place: str) -> str:
    """Return the station that a place names; empty where it is an EVSE."""
    return place.removeprefix(_AT) if place.startswith(_AT) else ""


class Session(msgspec.Struct, frozen=True):
    """What decisions about a session need to know.

    ``party`` brought the first transaction, ``accepted_by`` are all who accepted its
    credentials. ``presented`` are the (place, subject) of all credentials, the place an
    EVSE or, where none was chosen yet, `at_station`,
    ``waiting_at`` the EVSE at which one waits for its plug, ``other`` the services that
    run, ``consent`` that to V2G, ``active_at`` the last transaction that counts for
    closing. ``expected_zone_id`` and ``expected_station_id`` are where it was reserved
    or credentials were presented, ``merged_from`` the sessions that were merged into it
    and ``merged_parties`` who took part in them.
    """

    session_id: str = ""
    decision_version: int = 0
    opened: bool = False
    closed: bool = False
    merged_into: str = ""
    party: str = ""
    subject_id: str = ""
    evse_id: str = ""
    station_id: str = ""
    zone_id: str = ""
    authorized: bool = False
    accepted_by: frozenset[str] = frozenset()
    expected_zone_id: str = ""
    expected_station_id: str = ""
    merged_from: tuple[str, ...] = ()
    merged_parties: frozenset[str] = frozenset()
    presented: frozenset[tuple[str, str]] = frozenset()
    waiting_at: str = ""
    reservation: s.ReservationMade | None = None
    parking: int = 0
    other: tuple[str, ...] = ()
    needs: s.NeedsStated | None = None
    consent: s.V2gConsented | None = None
    references: frozenset[tuple[str, str, str]] = frozenset()
    transferring: bool = False
    energy_wh: int = 0
    energy_at: Instant = 0
    transfer_ended_at: Instant = 0
    transfer_started_at: Instant = 0
    active_at: Instant = 0

    @property
    def is_open(self) -> bool:
        """Whether transactions may still be added."""
        return self.opened and not self.closed and not self.merged_into

    @property
    def parties(self) -> frozenset[str]:
        """Return who takes part: who opened it and whose references it has."""
        named = (party for party, _, _ in self.references)
        return frozenset({self.party, *named}) | self.merged_parties

    @property
    def expected_subject_id(self) -> str:
        """Whose session it is, or is to be: who was authorized, or has reserved."""
        if self.subject_id or self.reservation is None:
            return self.subject_id
        return self.reservation.subject_id

    @property
    def has_open_transactions(self) -> bool:
        """Whether parking, a reservation or another service still runs."""
        return bool(self.parking or self.other or self.reservation)

    @property
    def is_idle(self) -> bool:
        """Whether nothing but time stands between the session and its closing."""
        return self.is_open and not self.evse_id and not self.has_open_transactions

    def check_open(self) -> None:
        """Refuse a session that was never opened, is closed or was merged."""
        if not self.opened:
            raise Refused(f"service session {self.session_id!r} was never opened")
        if self.merged_into:
            raise Refused(
                f"service session {self.session_id} was merged into {self.merged_into}"
            )
        if self.closed:
            raise Refused(f"service session {self.session_id} is closed")


def evolve(state: Session, event: Event, occurred_at: Instant) -> Session:
    """Return the session after an event."""
    rule = _EVOLVE.get(type(event))
    if rule is not None:
        state = rule(state, event, occurred_at)
    if type(event) in _ACTIVITY and occurred_at > state.active_at:
        state = _replace(state, active_at=occurred_at)
    return state


def _replace(state: Session, **changes: Any) -> Session:
    return msgspec.structs.replace(state, **changes)


def _opened(state: Session, event: s.SessionOpened, at: Instant) -> Session:
    return _replace(
        state,
        session_id=event.session_id,
        opened=True,
        party=event.party,
        subject_id=event.subject_id,
    )


def _reference(state: Session, event: s.ReferenceBound, at: Instant) -> Session:
    key = (event.party, event.kind, event.reference)
    return _replace(state, references=state.references | {key})


def _bound(state: Session, event: s.EvseBound, at: Instant) -> Session:
    return _replace(
        state,
        evse_id=event.evse_id,
        station_id=event.station_id,
        zone_id=event.zone_id,
        waiting_at="",
    )


def _released(state: Session, event: s.EvseReleased, at: Instant) -> Session:
    return _replace(state, evse_id="")


def _merged(state: Session, event: s.MergedInto, at: Instant) -> Session:
    return _replace(state, merged_into=event.into_session_id, evse_id="")


def _merged_from(state: Session, event: s.MergedFrom, at: Instant) -> Session:
    return _replace(
        state,
        subject_id=state.subject_id or event.subject_id,
        authorized=state.authorized or event.authorized,
        presented=state.presented | frozenset(event.presented),
        waiting_at=state.waiting_at or event.waiting_at,
        reservation=state.reservation or event.reservation,
        parking=state.parking + event.parking,
        other=state.other + event.other,
        merged_from=(*state.merged_from, event.from_session_id),
        merged_parties=state.merged_parties | frozenset(event.parties),
    )


def _closed(state: Session, event: s.SessionClosed, at: Instant) -> Session:
    return _replace(state, closed=True)


def _requested(state: Session, event: s.AuthorizationRequested, at: Instant) -> Session:
    state = _replace(state, subject_id=event.subject_id or state.subject_id)
    if not (event.evse_id or event.station_id):
        return state
    place = event.evse_id or at_station(event.station_id)
    waiting_at = event.evse_id or state.waiting_at
    return _replace(
        state,
        expected_zone_id=event.zone_id,
        expected_station_id=event.station_id,
        presented=state.presented | {(place, event.subject_id)},
        waiting_at="" if state.evse_id else waiting_at,
    )


def _accepted(state: Session, event: s.AuthorizationAccepted, at: Instant) -> Session:
    accepted_by = state.accepted_by | {event.by}
    return _replace(state, authorized=True, accepted_by=accepted_by)


def _not_authorized(state: Session, event: Event, at: Instant) -> Session:
    return _replace(state, authorized=False, waiting_at="")


def _reserved(state: Session, event: s.ReservationMade, at: Instant) -> Session:
    return _replace(
        state,
        reservation=event,
        expected_zone_id=event.zone_id,
        expected_station_id=event.station_id,
    )


def _reservation_changed(
    state: Session, event: s.ReservationChanged, at: Instant
) -> Session:
    if state.reservation is None:
        return state
    changed = msgspec.structs.replace(
        state.reservation, from_at=event.from_at, until_at=event.until_at
    )
    return _replace(state, reservation=changed)


def _reservation_ended(
    state: Session, event: s.ReservationEnded, at: Instant
) -> Session:
    return _replace(state, reservation=None)


def _parking(delta: int) -> Rule:
    def rule(state: Session, event: Event, at: Instant) -> Session:
        return _replace(state, parking=state.parking + delta)

    return rule


def _other_started(state: Session, event: s.OtherStarted, at: Instant) -> Session:
    return _replace(state, other=(*state.other, event.service))


def _other_ended(state: Session, event: s.OtherEnded, at: Instant) -> Session:
    left = list(state.other)
    if event.service in left:
        left.remove(event.service)
    return _replace(state, other=tuple(left))


def _needs(state: Session, event: s.NeedsStated, at: Instant) -> Session:
    return _replace(state, needs=event)


def _consented(state: Session, event: s.V2gConsented, at: Instant) -> Session:
    return _replace(state, consent=event)


def _withdrawn(state: Session, event: s.V2gWithdrawn, at: Instant) -> Session:
    return _replace(state, consent=None)


def _started(state: Session, event: s.TransferStarted, at: Instant) -> Session:
    if event.quality not in USABLE or at < state.transfer_started_at:
        return state
    return _replace(
        state, transfer_started_at=at, transferring=at > state.transfer_ended_at
    )


def _ended(state: Session, event: s.TransferEnded, at: Instant) -> Session:
    if event.quality not in USABLE or at < state.transfer_ended_at:
        return state
    state = _replace(
        state,
        transfer_ended_at=at,
        transferring=state.transfer_started_at > at,
    )
    return _energy(state, event.energy_wh, at)


def _settled(state: Session, event: s.TransferSettled, at: Instant) -> Session:
    started_at = max(state.transfer_started_at, event.begun_at)
    ended_at = max(state.transfer_ended_at, event.ended_at)
    state = _replace(
        state,
        subject_id=state.subject_id or event.subject_id,
        expected_zone_id=state.expected_zone_id or event.zone_id,
        expected_station_id=state.expected_station_id or event.station_id,
        transfer_started_at=started_at,
        transfer_ended_at=ended_at,
        transferring=started_at > ended_at,
    )
    return _energy(state, event.energy_wh, event.ended_at)


def _observed(state: Session, event: s.TransferObserved, at: Instant) -> Session:
    if event.quality not in USABLE:
        return state
    return _energy(state, event.energy_wh, at)


def _energy(state: Session, energy_wh: int, at: Instant) -> Session:
    if (at, energy_wh) <= (state.energy_at, state.energy_wh):
        return state
    return _replace(state, energy_wh=energy_wh, energy_at=at)


_EVOLVE: dict[type[Event], Rule] = {
    s.SessionOpened: _opened,
    s.ReferenceBound: _reference,
    s.EvseBound: _bound,
    s.EvseReleased: _released,
    s.MergedInto: _merged,
    s.MergedFrom: _merged_from,
    s.SessionClosed: _closed,
    s.AuthorizationRequested: _requested,
    s.AuthorizationAccepted: _accepted,
    s.AuthorizationRefused: _not_authorized,
    s.AuthorizationEnded: _not_authorized,
    s.ReservationMade: _reserved,
    s.ReservationChanged: _reservation_changed,
    s.ReservationEnded: _reservation_ended,
    s.ParkingStarted: _parking(1),
    s.ParkingEnded: _parking(-1),
    s.OtherStarted: _other_started,
    s.OtherEnded: _other_ended,
    s.NeedsStated: _needs,
    s.V2gConsented: _consented,
    s.V2gWithdrawn: _withdrawn,
    s.TransferStarted: _started,
    s.TransferEnded: _ended,
    s.TransferSettled: _settled,
    s.TransferObserved: _observed,
}

# Transactions after which an idle session stays open for a while.
_ACTIVITY = frozenset(
    {
        s.SessionOpened,
        s.EvseBound,
        s.EvseReleased,
        s.MergedFrom,
        s.AuthorizationRequested,
        s.AuthorizationAccepted,
        s.AuthorizationRefused,
        s.AuthorizationEnded,
        s.ReservationMade,
        s.ReservationChanged,
        s.ReservationMatched,
        s.ReservationEnded,
        s.ParkingStarted,
        s.ParkingEnded,
        s.OtherStarted,
        s.OtherEnded,
        s.TransferSettled,
    }
)
