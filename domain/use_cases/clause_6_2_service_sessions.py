"""6.2 Service sessions and their transactions (IEC 63110-1 6.2, 7.5); by `shared_path`.

A session begins with its first transaction, whoever brings it, and closes by command or
`CLOSE_AFTER` the last one, when it is neither plugged nor has parking, a reservation or
another service open. `clause_6_2_joining` says which session a transaction belongs to,
`clause_6_2_guards` which guard rows and timers a session has, `clause_6_2_merging` how
two become one.
"""

from collections.abc import Callable, Container, Mapping

import msgspec

from domain.errors import InvalidValue, Refused, StoreError, Unknown
from domain.model import ids
from domain.model import session_events as s
from domain.model.session import Session
from domain.model.values import DAY, Event, Instant, iso_of
from domain.ports import Answer, Batch, System, Timer
from domain.use_cases.clause_6_2_guards import (
    CLOSING,
    RESERVATION_OVER,
    batch_of,
    step,
    timers_of,
)
from domain.use_cases.clause_6_2_joining import (
    Joined,
    Reference,
    binding,
    check_place,
    find_by_reference,
    join_or_open,
    resolve,
    zone_of_place,
)
from domain.use_cases.clause_7_3_activities import ACTIVITY, time_out
from domain.use_cases.e2_demand_response import INCENTIVE
from domain.use_cases.e2_demand_response import run_timer as run_incentive
from domain.use_cases.s6_sdr_information import closing_events
from domain.use_cases.shared_path import By, load_evse, load_session, record

LONGEST_AHEAD = 2 * 366 * DAY

# A text that is drawn and no party comes upon by itself has this many characters.
SHORTEST_DRAWN = 16

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


def credential_context(evse_id: str) -> str:
    """Return the context under which presented credentials are sealed (ADR 0001)."""
    return f"authorization.requested/{evse_id}"


class AddTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """Add one transaction to a session.

    ``transaction`` is one of `TRANSACTIONS` with an empty ``session_id``. The session
    is the one of ``session_id``, else the one that `clause_6_2_joining` finds.
    """

    transaction: Event
    session_id: str = ""
    reference: Reference | None = None


def add_transaction(system: System, command: AddTransaction, by: By) -> Answer:
    """Record an authorization, reservation, parking or other transaction."""
    return record(system, by, command, lambda: added(system, command, by))


def added(system: System, command: AddTransaction, by: By, *more: Event) -> Batch:
    """Return the batch that adds a transaction, and more that follow from it at once.

    As the transaction, they come without the id of their session.
    """
    event = command.transaction
    if type(event) not in TRANSACTIONS:
        raise InvalidValue(f"{type(event).__name__} is no transaction of this command")
    if command.reference:
        command.reference.check()
    joined = _joined(system, command, by)
    _check(system, joined.state, event, by.at)
    session_id = joined.state.session_id
    placed = _placed(system, event)
    filled = [
        msgspec.structs.replace(each, session_id=session_id) for each in (placed, *more)
    ]
    bound = binding(system, session_id, command.reference)
    taken = step(joined.state, by.at, *joined.opening, *bound, *filled)
    return batch_of(system, [taken])


def _placed(system: System, event: Event) -> Event:
    """Return the transaction with the zone and station of the place it names."""
    match event:
        case s.AuthorizationRequested() if event.evse_id:
            data = load_evse(system, event.evse_id).commissioned
            assert data is not None  # checked: an EVSE nobody commissioned is unusable
            return msgspec.structs.replace(
                event, zone_id=data.zone_id, station_id=data.station_id
            )
        case s.AuthorizationRequested() if event.station_id:
            zone_id = system.log.owner("station", event.station_id) or ""
            return msgspec.structs.replace(event, zone_id=zone_id)
        case s.ReservationMade():
            return msgspec.structs.replace(event, zone_id=zone_of_place(system, event))
        case _:
            return event


def _joined(system: System, command: AddTransaction, by: By) -> Joined:
    reference = command.reference
    known = find_by_reference(system, reference) if reference else None
    if command.session_id:
        state = resolve(system, command.session_id)
        if reference and known and known.session_id != state.session_id:
            raise _belongs_to_another(reference)
        known = state
    elif reference and known and isinstance(command.transaction, s.ReservationMade):
        _check_led(known, reference)
    if known is not None:
        known.check_open()
        return Joined(known)
    event = command.transaction
    evse_id = subject_id = station_id = ""
    if isinstance(event, s.AuthorizationRequested):
        evse_id, subject_id = event.evse_id, event.subject_id
        station_id = event.station_id
    return join_or_open(
        system,
        by,
        reference=reference,
        evse_id=evse_id,
        subject_id=subject_id,
        station_id=station_id,
    )


def _check_led(state: Session, reference: Reference) -> None:
    """Refuse to reserve by a reference in a session that another party opened.

    Another may have bound it, to be given the reservation. Who means that session
    names it.
    """
    if reference.party not in {state.party, *state.accepted_by}:
        raise Refused(
            f"reference {reference.key} stands for a service session that another "
            "party opened: name the session, or reserve under another reference"
        )


def _belongs_to_another(reference: Reference) -> Refused:
    """Return the refusal; which session it is concerns the parties of that one only."""
    return Refused(f"reference {reference.key} belongs to another service session")


def _check(system: System, state: Session, event: Event, at: Instant) -> None:
    """Refuse a transaction that its session has nothing for, or that is no such."""
    match event:
        case s.AuthorizationRequested():
            if event.evse_id:
                load_evse(system, event.evse_id).check_usable(event.evse_id)
            elif event.station_id:
                _check_commissioned(system, event.station_id)
            if event.subject_id:
                ids.name_of("subject id", event.subject_id)
        case s.ReservationMade():
            if state.reservation:
                raise Refused(
                    f"service session {state.session_id} has a reservation until "
                    f"{iso_of(state.reservation.until_at)} already"
                )
            _check_time(event, at)
            check_place(system, event)
        case s.ReservationChanged():
            _check_runs(state, "reservation", bool(state.reservation))
            _check_time(event, at)
        case s.ReservationMatched() | s.ReservationEnded():
            _check_runs(state, "reservation", bool(state.reservation))
        case s.ParkingEnded():
            _check_runs(state, "parking", bool(state.parking))
        case s.OtherStarted() if not event.service:
            raise InvalidValue("another service needs a name, not ''")
        case s.OtherEnded():
            _check_runs(
                state, f"service {event.service!r}", event.service in state.other
            )
        case s.AuthorizationEnded():
            _check_runs(state, "authorization", state.authorized)


def _check_commissioned(system: System, station_id: str) -> None:
    if system.log.owner("station", station_id) is None:
        raise Unknown(f"station {station_id!r} was never commissioned")


def _check_runs(state: Session, what: str, runs: bool) -> None:
    if not runs:
        raise Refused(f"service session {state.session_id} has no {what} open")


def _check_time(event: s.ReservationMade | s.ReservationChanged, at: Instant) -> None:
    if event.until_at <= event.from_at:
        raise InvalidValue(
            f"reservation until {iso_of(event.until_at)} is not after its begin "
            f"{iso_of(event.from_at)}"
        )
    if event.until_at <= at:
        raise InvalidValue(
            f"reservation until {iso_of(event.until_at)} was over before {iso_of(at)}"
        )
    if event.from_at < 0 or event.until_at > at + LONGEST_AHEAD:
        raise InvalidValue(
            f"reservation from {iso_of(event.from_at)} until {iso_of(event.until_at)} "
            "is more than 2 years away"
        )


class BindReference(msgspec.Struct, frozen=True, kw_only=True):
    """Another party's reference stands for a session, so that it may add to it.

    ``is_by_staff``: the site's staff binds it, which may bind any.
    """

    session_id: str
    reference: Reference
    is_by_staff: bool = False


def bind_reference(system: System, command: BindReference, by: By) -> Answer:
    """Record the binding; where it is bound to this session already, nothing is."""

    def decide() -> Batch:
        command.reference.check()
        state = resolve(system, command.session_id)
        state.check_open()
        _check_free(system, state, command, by)
        bound = binding(system, state.session_id, command.reference)
        return batch_of(system, [step(state, by.at, *bound)])

    return record(system, by, command, decide)


def _check_free(system: System, state: Session, command: BindReference, by: By) -> None:
    """Refuse what another session has, and what a party could itself come with.

    Both in the same words: nobody learns by trying which references others have.
    """
    reference = command.reference
    is_own = command.is_by_staff or reference.party == by.party_name
    is_drawn = is_own or len(reference.text) >= SHORTEST_DRAWN
    known = find_by_reference(system, reference)
    if is_drawn and (known is None or known.session_id == state.session_id):
        return
    raise Refused(
        f"reference {reference.key} is not free to bind: for another party it is one "
        f"that was drawn for this, of {SHORTEST_DRAWN} characters or more"
    )


class CloseSession(msgspec.Struct, frozen=True, kw_only=True):
    """Close a service session; ``is_by_staff``: the site's staff does."""

    session_id: str
    reason: str
    is_by_staff: bool = False


def close_session(system: System, command: CloseSession, by: By) -> Answer:
    """Record the closing, with all that is open; a plugged session is refused.

    What is open may be another party's, whose end would find no session any more:
    where others take part, only the site's staff closes over it.
    """

    def decide() -> Batch:
        state = resolve(system, command.session_id)
        state.check_open()
        if state.evse_id:
            raise Refused(
                f"service session {state.session_id} is plugged at {state.evse_id}"
            )
        if not command.is_by_staff:
            _check_ended(state, by)
        events = closing_events(system, state.session_id, command.reason, by)
        return batch_of(system, [step(state, by.at, *events)])

    return record(system, by, command, decide)


def _check_ended(state: Session, by: By) -> None:
    if state.has_open_transactions and state.parties - {by.party_name}:
        running = [*("parking" for _ in range(state.parking)), *state.other]
        running += ["a reservation"] if state.reservation else []
        raise Refused(
            f"service session {state.session_id} has other parties and still open: "
            f"{', '.join(running)}"
        )


def run_due_timers(
    system: System, at: Instant, failed: dict[Timer, str] | None = None
) -> int:
    """Turn every timer that is due into its command; return how many.

    One that its session no longer has, as something happened since, only goes. With
    ``failed``, one that cannot run is put there with its error and left alone.
    """
    count = 0
    left = {} if failed is None else failed
    while due := [t for t in system.log.due_timers(at) if _is_to_run(t, left)]:
        for timer in due:
            try:
                _BY_KIND[timer.kind](system, timer)
            except StoreError:
                raise
            # One stream's timer must not keep those of all others from running.
            except Exception as error:
                if failed is None:
                    raise
                failed[timer] = f"{type(error).__name__}: {error}"
        count += len(due)
    return count


def _is_to_run(timer: Timer, failed: Container[Timer]) -> bool:
    return timer.kind in _BY_KIND and timer not in failed


def _run_timer(system: System, timer: Timer) -> None:
    by = By(actor="timer", at=timer.due_at)

    def decide() -> Batch:
        state = load_session(system, timer.stream.removeprefix("session-"))
        if timer not in timers_of(state):
            return Batch(appends=(), timers_done=(timer,))
        events = _due(system, timer, state.session_id, by)
        return batch_of(system, [step(state, by.at, *events)])

    record(system, by, timer, decide)


def _due(system: System, timer: Timer, session_id: str, by: By) -> tuple[Event, ...]:
    if timer.kind == CLOSING:
        return closing_events(system, session_id, "idle", by)
    return (s.ReservationEnded(session_id=session_id, reason="its time is over"),)


# Whose timers they are says what is done when they are due.
_BY_KIND: Mapping[str, Callable[[System, Timer], None]] = {
    CLOSING: _run_timer,
    RESERVATION_OVER: _run_timer,
    ACTIVITY: time_out,
    INCENTIVE: run_incentive,
}
