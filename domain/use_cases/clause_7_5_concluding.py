"""7.5 What the end of a station's transaction brings: its books, and a free EVSE.

The live state is left as soon as the end is known, whatever else is missing; the books
are closed when all is known, or given up.
"""

import msgspec

from domain.model import station_events as t
from domain.model.station_transaction import StationTransaction
from domain.model.values import Quality
from domain.ports import Batch, System
from domain.use_cases.clause_7_5_books import books_of, load_transaction, settle
from domain.use_cases.clause_7_5_drafts import Draft
from domain.use_cases.clause_7_5_finding import OPEN, adopt, stray_end_of
from domain.use_cases.clause_7_5_news import end, leads
from domain.use_cases.shared_path import By, record


def conclude(draft: Draft, known: StationTransaction, by: By) -> str:
    """Add what the end brings, where it is known; return the session it is booked in.

    An EVSE that an end of long ago tells to be free is free now.
    """
    if known.ended is None:
        return ""
    session_id = ""
    if known.is_complete:
        draft.release(OPEN, f"{known.station_id}/{known.stream}", known.stream)
        if _is_to_settle(draft.system, known):
            session_id = _settled(draft, known, by)
    if leads(draft, known):
        is_late = known.ended.event.quality == Quality.LATE
        now = max(draft.system.clock.now(), known.ended.at)
        at = now if is_late else known.ended.at
        end(draft, known, at, is_settled=bool(session_id))
    return session_id


def end_at_once(system: System, stream: str, command: msgspec.Struct, by: By) -> str:
    """Add the end that came before its start; return the session it is booked in.

    The start is recorded by now, so that it has its number.
    """
    session_id = ""

    def decide() -> Batch:
        nonlocal session_id
        known, draft = load_transaction(system, stream), Draft(system)
        stray = stray_end_of(system, known)
        if stray is not None:
            session_id = conclude(draft, adopt(draft, known, stray), by)
        return draft.batch()

    record(system, By(actor=by.actor, at=by.at), command, decide)
    return session_id


def _is_to_settle(system: System, known: StationTransaction) -> bool:
    """Whether what was recorded as it went does not tell the whole transfer."""
    assert known.ended is not None
    if known.is_given_up or not known.bindings:
        return True
    if any(each.event.quality == Quality.LATE for each in known.told):
        return True
    is_with_others = len({point.at for point in known.ended.event.points}) > 1
    return is_with_others or bool(books_of(system, known).course.implausible)


def _settled(draft: Draft, known: StationTransaction, by: By) -> str:
    state = settle(draft, known, by)
    if state is None:
        return ""
    if not known.bindings:
        bound = t.StationTransactionBound(
            station_id=known.station_id,
            transaction_id=known.name,
            session_id=state.session_id,
            evse_id=known.evse_id,
            is_settled=True,
        )
        version = known.decision_version
        draft.tell_transaction(known.stream, version, by.at, bound)
    return state.session_id
