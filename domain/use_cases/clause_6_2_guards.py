"""6.2 Guard rows and timers of service sessions: what a session's state says it holds.

A step of a session claims what its state holds after it and not before, and releases
what it no longer holds; its timers likewise. So nothing of a closed or merged session
stays behind but its references, which name it for ever.
"""

from collections.abc import Sequence

import msgspec

from domain.model import ids
from domain.model import session_events as s
from domain.model.session import Session, evolve, station_at
from domain.model.values import MINUTE, Event, Instant
from domain.ports import Append, Batch, Claim, System, Timer
from domain.use_cases.shared_path import decision, load_evse

CLOSE_AFTER = 15 * MINUTE

# Kinds of timers.
CLOSING = "close"
RESERVATION_OVER = "reservation"


class Step(msgspec.Struct, frozen=True):
    """A session before and after a decision, and the append that records it."""

    before: Session
    after: Session
    append: Append


def step(state: Session, at: Instant, *events: Event) -> Step:
    """Return the step that these events are."""
    after = state
    for event in events:
        after = evolve(after, event, at)
    stream = ids.session_stream(state.session_id)
    return Step(state, after, decision(stream, state, at, *events))


def batch_of(
    system: System,
    steps: Sequence[Step],
    *,
    others: Sequence[Append] = (),
) -> Batch:
    """Return the batch of some steps, with the appends of others before the last."""
    before, after = set[Claim](), set[Claim]()
    timers_before, timers_after = set[Timer](), set[Timer]()
    for each in steps:
        before |= _held(system, each.before)
        after |= _held(system, each.after)
        timers_before |= timers_of(each.before)
        timers_after |= timers_of(each.after)
    releases, claims = before - after, after - before
    for claim in [claim for claim in claims if claim.kind == "waiting"]:
        _take_over(system, claim, steps, releases, claims)
    appends = [each.append for each in steps]
    return Batch(
        appends=(*appends[:-1], *others, *appends[-1:]),
        claims=tuple(sorted(claims, key=_order)),
        releases=tuple(sorted(releases, key=_order)),
        timers=tuple(sorted(timers_after - timers_before, key=_order)),
        timers_done=tuple(sorted(timers_before - timers_after, key=_order)),
    )


def _order(row: Claim | Timer) -> tuple[int | str, ...]:
    return msgspec.structs.astuple(row)


def _take_over(
    system: System,
    claim: Claim,
    steps: Sequence[Step],
    releases: set[Claim],
    claims: set[Claim],
) -> None:
    """Let the last credential presented at an EVSE be the one that waits there."""
    owner = system.log.owner(claim.kind, claim.key)
    if owner is None or owner in {each.before.session_id for each in steps}:
        return
    if any(
        isinstance(event, s.AuthorizationRequested)
        for each in steps
        for event in each.append.events
    ):
        releases.add(Claim(claim.kind, claim.key, owner))
    else:
        claims.discard(claim)


def _held(system: System, state: Session) -> set[Claim]:
    """Return the guard rows a session has in a state."""
    if state.merged_into:
        return set()
    keys = {("reference", "/".join(reference)) for reference in state.references}
    if state.is_open:
        keys |= _held_while_open(system, state)
    return {Claim(kind, key, state.session_id) for kind, key in keys}


def _held_while_open(system: System, state: Session) -> set[tuple[str, str]]:
    subjects = {
        (station_at(place) or _station_of(system, place), subject_id)
        for place, subject_id in state.presented
    }
    subjects.add((state.station_id, state.subject_id))
    keys = {
        ("subject-at", f"{station_id}/{subject_id}/{state.session_id}")
        for station_id, subject_id in subjects
        if station_id and subject_id
    }
    if state.evse_id:
        keys.add(("occupant", state.evse_id))
    elif state.waiting_at:
        keys.add(("waiting", state.waiting_at))
    if state.reservation:
        key = reservation_key(state.reservation, state.session_id)
        keys.add(("reservation", key))
    return keys


def _station_of(system: System, evse_id: str) -> str:
    data = load_evse(system, evse_id).commissioned
    return data.station_id if data else ""


def reservation_key(reservation: s.ReservationMade, session_id: str) -> str:
    """Return the guard key of a reservation: its place, then its time."""
    if reservation.evse_id:
        place = f"evse/{reservation.evse_id}"
    elif reservation.station_id:
        place = f"station/{reservation.station_id}"
    else:
        place = f"class/{reservation.evse_class}"
    return f"{place}/{reservation.from_at}/{reservation.until_at}/{session_id}"


def timers_of(state: Session) -> set[Timer]:
    """Return what becomes due for a session in a state."""
    if not state.is_open:
        return set()
    stream = ids.session_stream(state.session_id)
    due = set()
    if state.is_idle:
        due.add(Timer(state.active_at + CLOSE_AFTER, stream, CLOSING))
    if state.reservation:
        due.add(Timer(state.reservation.until_at, stream, RESERVATION_OVER))
    return due
