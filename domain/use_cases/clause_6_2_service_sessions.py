"""Service sessions and their transactions (IEC 63110-1 6.2, 7.5); by `shared_path`.

A session begins with its first transaction, whoever brings it. Credentials or a plug
join an open session in this order: reference given; reservation for that EVSE, station
or class within its time; authorization waiting at that EVSE; same subject at that
station; else a new session opens. Which session holds which key stands in guard rows:
`reference`, `reservation`, `waiting`, `subject-at` and `occupant`.
"""

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.session import Session
from domain.model.values import MINUTE, Event, Instant, iso_of
from domain.ports import Answer, Batch, Claim, System, Timer
from domain.use_cases.shared_path import (
    By,
    decision,
    load_evse,
    load_session,
    record,
)

CLOSE_AFTER = 15 * MINUTE


class Reference(msgspec.Struct, frozen=True):
    """What a party calls a session; unique per party and kind."""

    party: str
    kind: str
    text: str

    @property
    def key(self) -> str:
        """Return the key of the guard row."""
        return f"{self.party}/{self.kind}/{self.text}"

    def check(self) -> None:
        """Refuse an empty reference and parties or kinds that are no names."""
        ids.name_of("party", self.party)
        ids.name_of("kind of reference", self.kind)
        if not 0 < len(self.text) <= 255:
            raise InvalidValue(f"reference {self.text!r} is not 1 to 255 characters")


class Joined(msgspec.Struct, frozen=True):
    """The session a plug or credential belongs to, and the events that open it."""

    session_id: str
    state: Session
    opening: tuple[Event, ...] = ()


def resolve(system: System, session_id: str) -> Session:
    """Return a session by its id, or the one it was merged into."""
    state = load_session(system, session_id)
    while state.merged_into:
        state = load_session(system, state.merged_into)
    return state


def find_open(
    system: System,
    at: Instant,
    *,
    reference: Reference | None = None,
    evse_id: str = "",
    subject_id: str = "",
) -> Session | None:
    """Return the open session that a plug or credential joins, by the stated order."""
    log = system.log
    if reference and (owner := log.owner("reference", reference.key)):
        return resolve(system, owner)
    if not evse_id:
        return None
    evse = load_evse(system, evse_id).check_usable(evse_id)
    places = (
        f"evse/{evse_id}/",
        f"station/{evse.station_id}/",
        f"class/{evse.zone_id}/{evse.current.value}/",
    )
    for place in places:
        for claim in log.claims("reservation", place):
            from_at, until_at, _ = claim.key[len(place) :].split("/")
            if int(from_at) <= at < int(until_at) and not _elsewhere(
                system, claim.owner, evse_id
            ):
                return resolve(system, claim.owner)
    if owner := log.owner("waiting", evse_id):
        return resolve(system, owner)
    if subject_id:
        key = f"{evse.station_id}/{subject_id}"
        owner = log.owner("subject-at", key)
        if owner and not _elsewhere(system, owner, evse_id):
            return resolve(system, owner)
    return None


def _elsewhere(system: System, session_id: str, evse_id: str) -> bool:
    """Whether the session is plugged at another EVSE: nobody charges two cars."""
    bound = resolve(system, session_id).evse_id
    return bound not in ("", evse_id)


def join_or_open(
    system: System,
    by: By,
    *,
    reference: Reference | None = None,
    evse_id: str = "",
    subject_id: str = "",
) -> Joined:
    """Return the session to add a transaction to, with opening events when it is new."""
    known = find_open(
        system, by.at, reference=reference, evse_id=evse_id, subject_id=subject_id
    )
    if known is not None:
        known.check_open()
        return Joined(known.session_id, known)
    session_id = system.ids.new_id()
    opened = s.SessionOpened(
        session_id=session_id, party=by.actor, subject_id=subject_id
    )
    opening: tuple[Event, ...] = (opened,)
    if reference:
        opening += (
            s.ReferenceBound(
                session_id=session_id,
                party=reference.party,
                kind=reference.kind,
                reference=reference.text,
            ),
        )
    return Joined(session_id, Session(session_id=session_id), opening)


TRANSACTIONS: tuple[type[Event], ...] = (
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
)


class AddTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """Add one transaction to a session.

    ``transaction`` is one of `TRANSACTIONS` with an empty ``session_id``. The session is
    the one of ``session_id``, else the one found in the order the module states.
    """

    transaction: Event
    session_id: str = ""
    reference: Reference | None = None


def add_transaction(system: System, command: AddTransaction, by: By) -> Answer:
    """Record an authorization, reservation, parking or other transaction."""
    event = command.transaction
    if type(event) not in TRANSACTIONS:
        raise InvalidValue(f"{type(event).__name__} is no transaction of this command")
    if command.reference:
        command.reference.check()
    if isinstance(event, s.ReservationMade | s.ReservationChanged):
        _check_reservation(event)

    def decide() -> Batch:
        joined = _joined(system, command, by)
        filled = msgspec.structs.replace(event, session_id=joined.session_id)
        keys = _keys(system, joined.state, filled, joined.session_id)
        if command.reference:
            keys += (Claim("reference", command.reference.key, joined.session_id),)
        binding: tuple[Event, ...] = ()
        if command.reference and not joined.opening:
            binding = _binding(joined.state, command.reference)
        stream = ids.session_stream(joined.session_id)
        after = ends(filled) and not joined.state.evse_id
        return Batch(
            appends=(
                decision(
                    stream, joined.state, by.at, *joined.opening, *binding, filled
                ),
            ),
            claims=keys,
            releases=_released_keys(joined.state, filled),
            timers=(Timer(by.at + CLOSE_AFTER, stream, "close"),) if after else (),
        )

    return record(system, by, command, decide)


def ends(event: Event) -> bool:
    """Whether the transaction may have been the last that kept a session open."""
    return isinstance(event, s.ParkingEnded | s.OtherEnded | s.ReservationEnded)


def _joined(system: System, command: AddTransaction, by: By) -> Joined:
    if command.session_id:
        state = resolve(system, command.session_id)
        state.check_open()
        return Joined(state.session_id, state)
    event = command.transaction
    evse_id = subject_id = ""
    if isinstance(event, s.AuthorizationRequested):
        evse_id, subject_id = event.evse_id, event.subject_id
    return join_or_open(
        system,
        by,
        reference=command.reference,
        evse_id=evse_id,
        subject_id=subject_id,
    )


def _binding(state: Session, reference: Reference) -> tuple[Event, ...]:
    key = (reference.party, reference.kind, reference.text)
    if key in state.references:
        return ()
    return (
        s.ReferenceBound(
            session_id=state.session_id,
            party=reference.party,
            kind=reference.kind,
            reference=reference.text,
        ),
    )


def _check_reservation(event: s.ReservationMade | s.ReservationChanged) -> None:
    if event.until_at <= event.from_at:
        raise InvalidValue(
            f"reservation until {iso_of(event.until_at)} is not after its begin "
            f"{iso_of(event.from_at)}"
        )
    if isinstance(event, s.ReservationMade):
        given = [x for x in (event.evse_id, event.station_id, event.evse_class) if x]
        if len(given) != 1:
            raise InvalidValue(
                f"reservation names {len(given)} of EVSE, station and class, not one"
            )


def reservation_key(reservation: s.ReservationMade, session_id: str) -> str:
    """Return the guard key of a reservation: its place, then its time."""
    if reservation.evse_id:
        place = f"evse/{reservation.evse_id}"
    elif reservation.station_id:
        place = f"station/{reservation.station_id}"
    else:
        place = f"class/{reservation.evse_class}"
    return f"{place}/{reservation.from_at}/{reservation.until_at}/{session_id}"


def _keys(
    system: System, state: Session, event: Event, session_id: str
) -> tuple[Claim, ...]:
    match event:
        case s.ReservationMade():
            key = reservation_key(event, session_id)
            return (Claim("reservation", key, session_id),)
        case s.ReservationChanged() if state.reservation:
            changed = msgspec.structs.replace(
                state.reservation, from_at=event.from_at, until_at=event.until_at
            )
            key = reservation_key(changed, session_id)
            return (Claim("reservation", key, session_id),)
        case s.AuthorizationRequested() if event.evse_id:
            station_id = (
                load_evse(system, event.evse_id).check_usable(event.evse_id).station_id
            )
            waiting = (Claim("waiting", event.evse_id, session_id),)
            if not event.subject_id:
                return () if state.evse_id else waiting
            at_station = Claim(
                "subject-at", f"{station_id}/{event.subject_id}", session_id
            )
            return (at_station,) if state.evse_id else (*waiting, at_station)
        case _:
            return ()


def _released_keys(state: Session, event: Event) -> tuple[Claim, ...]:
    if state.reservation and isinstance(
        event, s.ReservationEnded | s.ReservationChanged
    ):
        key = reservation_key(state.reservation, state.session_id)
        return (Claim("reservation", key, state.session_id),)
    return ()


class MergeSessions(msgspec.Struct, frozen=True, kw_only=True):
    """Two sessions proved to be one: ``session_id`` goes on in ``into_session_id``."""

    session_id: str
    into_session_id: str


def merge_sessions(system: System, command: MergeSessions, by: By) -> Answer:
    """Record the merge; EVSE, references and claims go to the session that stays."""
    if command.session_id == command.into_session_id:
        raise InvalidValue(f"session {command.session_id} cannot merge into itself")

    def decide() -> Batch:
        gone = load_session(system, command.session_id)
        kept = load_session(system, command.into_session_id)
        gone.check_open()
        kept.check_open()
        if gone.evse_id and kept.evse_id:
            raise Refused(
                f"sessions {gone.session_id} at {gone.evse_id} and {kept.session_id} "
                f"at {kept.evse_id} are both plugged"
            )
        moved: list[Event] = [
            s.ReferenceBound(session_id=kept.session_id, party=p, kind=k, reference=r)
            for p, k, r in sorted(gone.references - kept.references)
        ]
        releases, claims = _moved_keys(gone, kept)
        if gone.evse_id:
            moved.append(
                s.EvseBound(
                    session_id=kept.session_id,
                    evse_id=gone.evse_id,
                    station_id=gone.station_id,
                    zone_id=gone.zone_id,
                )
            )
        merged = s.MergedInto(
            session_id=gone.session_id, into_session_id=kept.session_id
        )
        appends = [decision(ids.session_stream(gone.session_id), gone, by.at, merged)]
        if moved:
            stream = ids.session_stream(kept.session_id)
            appends.append(decision(stream, kept, by.at, *moved))
        if gone.evse_id:
            occupied = z.EvseOccupied(evse_id=gone.evse_id, session_id=kept.session_id)
            evse = load_evse(system, gone.evse_id)
            stream = ids.evse_stream(gone.evse_id)
            appends.append(decision(stream, evse, by.at, occupied))
        return Batch(appends=tuple(appends), claims=claims, releases=releases)

    return record(system, by, command, decide)


def _moved_keys(
    gone: Session, kept: Session
) -> tuple[tuple[Claim, ...], tuple[Claim, ...]]:
    keys = [("reference", f"{p}/{k}/{r}") for p, k, r in sorted(gone.references)]
    if gone.evse_id:
        keys.append(("occupant", gone.evse_id))
    return (
        tuple(Claim(kind, key, gone.session_id) for kind, key in keys),
        tuple(Claim(kind, key, kept.session_id) for kind, key in keys),
    )


class CloseSession(msgspec.Struct, frozen=True, kw_only=True):
    """Close a service session."""

    session_id: str
    reason: str


def close_session(system: System, command: CloseSession, by: By) -> Answer:
    """Record the closing; a session still plugged is refused."""

    def decide() -> Batch:
        state = resolve(system, command.session_id)
        state.check_open()
        if state.evse_id:
            raise Refused(
                f"service session {state.session_id} is plugged at {state.evse_id}"
            )
        return closing(state, command.reason, by.at)

    return record(system, by, command, decide)


def closing(state: Session, reason: str, at: Instant) -> Batch:
    """Return the batch that closes a session and gives its keys back."""
    releases: tuple[Claim, ...] = ()
    if state.subject_id and state.station_id:
        key = f"{state.station_id}/{state.subject_id}"
        releases = (Claim("subject-at", key, state.session_id),)
    if state.reservation:
        key = reservation_key(state.reservation, state.session_id)
        releases += (Claim("reservation", key, state.session_id),)
    event = s.SessionClosed(session_id=state.session_id, reason=reason)
    return Batch(
        appends=(decision(ids.session_stream(state.session_id), state, at, event),),
        releases=releases,
    )


def run_due_timers(system: System, at: Instant) -> int:
    """Turn every timer that is due into its command; return how many were."""
    due = system.log.due_timers(at)
    for timer in due:

        def decide(timer: Timer = timer) -> Batch:
            state = resolve(system, timer.stream.removeprefix("session-"))
            if (
                not state.is_open
                or state.evse_id
                or state.has_open_transactions
                or state.released_at + CLOSE_AFTER > timer.due_at
            ):
                return Batch(appends=(), timers_done=(timer,))
            closed = closing(state, "idle", timer.due_at)
            return msgspec.structs.replace(closed, timers_done=(timer,))

        record(system, By(actor="timer", at=timer.due_at), timer, decide)
    return len(due)
