"""S1 Reservations at their stations: which one is told, under which number.

A reservation is ours; its station is told of it once it has begun, as what a station is
told holds at once. It knows it by a number, which stands for the session from then on.
One that came without a token is not told: nobody could use it there. By `shared_path`.
"""

from collections.abc import Sequence

import msgspec

from domain.model import session_events as s
from domain.model.activity_events import ActivityKind
from domain.model.session import Session
from domain.model.values import DAY, SECOND, Instant, Sealed
from domain.ports import Answer, Batch, Claim, System
from domain.use_cases.clause_6_2_guards import batch_of, step
from domain.use_cases.clause_6_2_joining import Reference, binding, resolve
from domain.use_cases.clause_6_2_service_sessions import AddTransaction, added
from domain.use_cases.clause_7_3_activities import (
    AskActivity,
    asked,
    asked_in_vain,
    request_number,
)
from domain.use_cases.s3_remote_start import TOKEN_KIND
from domain.use_cases.shared_path import By, load_evse, record

# Names of the activities' parameters.
NUMBER, UNTIL = "number", "until_at"
RESERVATION = "reservation"
NO_TOKEN = "no token was given with it: the station is not told"
_TOLD = "reservation-told"
_SHORTEST = 5 * SECOND


class ReserveFor(AddTransaction, frozen=True, kw_only=True):
    """A place is kept for whom a token names; its station is given the token."""

    credential: Sealed | None = None


def reserve_for(system: System, command: ReserveFor, by: By) -> Answer:
    """Record the reservation, with the token sealed."""
    made = msgspec.structs.replace(command.transaction, credential=command.credential)
    adding = msgspec.structs.replace(command, transaction=made)
    return record(system, by, command, lambda: added(system, adding, by))


class TellReservation(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation has begun, or changed since its station was told."""

    session_id: str


def tell_reservation(system: System, command: TellReservation, by: By) -> Answer:
    """Ask its station to keep the place; once for each time that it has."""

    def decide() -> Batch:
        state = resolve(system, command.session_id)
        made = state.reservation
        station_id = station_of(system, made)
        if made is None or not station_id or made.until_at <= by.at:
            return Batch(appends=())
        key = f"{state.session_id}/{station_id}/{made.from_at}/{made.until_at}"
        if system.log.owner(_TOLD, key) is not None:
            return Batch(appends=())
        number, bound = _number(system, state, station_id)
        asking = _asking(made, state.session_id, station_id, number, by.at)
        if made.credential is None:
            batch = asked_in_vain(system, asking, NO_TOKEN, by)
        else:
            batch = asked(system, asking, by)
            if bound:
                named = batch_of(system, [step(state, by.at, *bound)])
                batch = _together(named, batch)
        # Never released: a reservation is told once, also after it ended.
        told = Claim(_TOLD, key, str(number))
        return msgspec.structs.replace(batch, claims=(*batch.claims, told))

    return record(system, by, command, decide)


def station_of(system: System, made: s.ReservationMade | None) -> str:
    """Return the station that a reservation is at; of a class of EVSEs it is none."""
    if made is None or made.evse_class:
        return ""
    if made.station_id:
        return made.station_id
    data = load_evse(system, made.evse_id).commissioned
    return data.station_id if data is not None else ""


def _number(
    system: System, state: Session, station_id: str
) -> tuple[int, Sequence[s.ReferenceBound]]:
    """Return the number that the station knows the session by, and what binds it."""
    for party, kind, text in sorted(state.references):
        if (party, kind) == (station_id, RESERVATION) and text.isdigit():
            return int(text), ()
    while True:
        number = request_number(system.ids.new_id())
        reference = Reference(station_id, RESERVATION, str(number))
        bound = binding(system, state.session_id, reference)
        if bound:
            return number, [e for e in bound if isinstance(e, s.ReferenceBound)]


def _asking(
    made: s.ReservationMade,
    session_id: str,
    station_id: str,
    number: int,
    at: Instant,
) -> AskActivity:
    return AskActivity(
        kind=ActivityKind.RESERVE,
        station_id=station_id,
        due_after=min(max(made.until_at - at, _SHORTEST), DAY),
        evse_id=made.evse_id,
        session_id=session_id,
        subject_id=made.subject_id,
        credential=made.credential,
        parameters=(
            (NUMBER, str(number)),
            (UNTIL, str(made.until_at)),
            (TOKEN_KIND, made.token_kind),
        ),
    )


def _together(one: Batch, other: Batch) -> Batch:
    return msgspec.structs.replace(
        one,
        appends=one.appends + other.appends,
        claims=one.claims + other.claims,
        timers=one.timers + other.timers,
    )


def told_to(system: System, session_id: str) -> Sequence[tuple[str, int]]:
    """Return stations that were told of a session's reservations, and its numbers."""
    found = {
        (claim.key.split("/")[1], int(claim.owner))
        for claim in system.log.claims(_TOLD, f"{session_id}/")
    }
    return sorted(found)


def reservations_at(
    system: System, station_id: str, evse_ids: Sequence[str]
) -> Sequence[str]:
    """Return the sessions with a reservation for a station or one of its EVSEs."""
    places = [f"station/{station_id}/", *(f"evse/{each}/" for each in evse_ids)]
    claims = [c for place in places for c in system.log.claims(RESERVATION, place)]
    return [claim.owner for claim in claims]
