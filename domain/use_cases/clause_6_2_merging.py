"""6.2 Two service sessions that prove to be one (IEC 63110-1 6.2); by `shared_path`."""

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.session import Session
from domain.model.values import Event
from domain.ports import Answer, Batch, System
from domain.use_cases.clause_6_2_guards import batch_of, step
from domain.use_cases.clause_6_2_joining import with_merged
from domain.use_cases.shared_path import By, decision, load_evse, load_session, record

# No site proves more sessions to be one; readers follow twice as many.
MOST_MERGED = 50


class MergeSessions(msgspec.Struct, frozen=True, kw_only=True):
    """Two sessions proved to be one: ``session_id`` goes on in ``into_session_id``."""

    session_id: str
    into_session_id: str


def merge_sessions(system: System, command: MergeSessions, by: By) -> Answer:
    """Record the merge; all that is open goes on in the session that stays."""

    def decide() -> Batch:
        if command.session_id == command.into_session_id:
            raise InvalidValue(f"session {command.session_id} cannot merge into itself")
        gone = load_session(system, command.session_id)
        kept = load_session(system, command.into_session_id)
        _check_merge(gone, kept)
        _check_count(system, gone, kept)
        merged = s.MergedInto(
            session_id=gone.session_id, into_session_id=kept.session_id
        )
        steps = [
            step(gone, by.at, merged),
            step(kept, by.at, *_carried_over(gone, kept)),
        ]
        if not gone.evse_id:
            return batch_of(system, steps)
        occupied = z.EvseOccupied(evse_id=gone.evse_id, session_id=kept.session_id)
        evse = load_evse(system, gone.evse_id)
        stream = ids.evse_stream(gone.evse_id)
        # Before the needs, so that the loop knows whose they are.
        others = [decision(stream, evse, by.at, occupied)]
        return batch_of(system, steps, others=others)

    return record(system, by, command, decide)


def _check_merge(gone: Session, kept: Session) -> None:
    gone.check_open()
    kept.check_open()
    if gone.evse_id and kept.evse_id:
        raise Refused(
            f"sessions {gone.session_id} at {gone.evse_id} and {kept.session_id} "
            f"at {kept.evse_id} are both plugged"
        )
    if gone.reservation and kept.reservation:
        raise Refused(
            f"sessions {gone.session_id} and {kept.session_id} both have a "
            "reservation: end one before"
        )


def _check_count(system: System, gone: Session, kept: Session) -> None:
    count = sum(len(with_merged(system, each.session_id)) for each in (gone, kept))
    if count > MOST_MERGED:
        raise Refused(
            f"sessions {gone.session_id} and {kept.session_id} would be {count} "
            f"sessions in one, more than {MOST_MERGED}"
        )


def _carried_over(gone: Session, kept: Session) -> list[Event]:
    """Return the events by which the session that stays takes over what was open."""
    events: list[Event] = [
        s.MergedFrom(
            session_id=kept.session_id,
            from_session_id=gone.session_id,
            subject_id=gone.subject_id,
            authorized=gone.authorized,
            presented=tuple(sorted(gone.presented)),
            waiting_at="" if kept.evse_id else gone.waiting_at,
            reservation=gone.reservation,
            parking=gone.parking,
            other=gone.other,
            parties=tuple(sorted(gone.parties | gone.accepted_by)),
        )
    ]
    events += [
        s.ReferenceBound(session_id=kept.session_id, party=p, kind=k, reference=r)
        for p, k, r in sorted(gone.references - kept.references)
    ]
    if gone.evse_id:
        events.append(
            s.EvseBound(
                session_id=kept.session_id,
                evse_id=gone.evse_id,
                station_id=gone.station_id,
                zone_id=gone.zone_id,
            )
        )
    if gone.consent and not kept.consent:
        events.append(msgspec.structs.replace(gone.consent, session_id=kept.session_id))
    needs = _needs_of_both(gone, kept)
    if needs is not None and (gone.evse_id or needs != kept.needs):
        events.append(needs)
    return events


def _needs_of_both(gone: Session, kept: Session) -> s.NeedsStated | None:
    """Return the needs that hold after a merge: stated ones before default ones."""
    stated = [needs for needs in (kept.needs, gone.needs) if needs is not None]
    stated.sort(key=lambda needs: needs.source != "user")
    if not stated:
        return None
    return msgspec.structs.replace(stated[0], session_id=kept.session_id)
