"""S6 SDR information production (IEC 63110-1 8.4.8, 7.5); by `shared_path`.

What a session's SDR needs is in the log as soon as it is recorded; `domain.model.sdr`
numbers it. The append that closes a session says what was collected, so that session
and transactions are stored before a CSO is sent the final information. The CSO says up
to which increment it has it.
"""

from collections.abc import Iterator

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model import session_events as s
from domain.model.registry import BY_CLASS
from domain.model.sdr import Increment, collected, increment_of, numbered
from domain.model.values import Event, Instant
from domain.ports import Answer, Append, Batch, Recorded, System
from domain.use_cases.clause_6_2_joining import with_merged
from domain.use_cases.shared_path import By, load_session, record


class _Closing(msgspec.Struct, frozen=True):
    """The closing as a row of the log that is not recorded yet."""

    occurred_at: Instant
    actor: str
    event: Event
    type: str = BY_CLASS[s.SessionClosed].name
    position: int = 0


def closing_events(
    system: System, session_id: str, reason: str, by: By
) -> tuple[Event, ...]:
    """Return what closes a session: the closing, and what was collected with it."""
    closed = s.SessionClosed(session_id=session_id, reason=reason)
    known = increments_of(system, session_id)
    last = increment_of(
        _Closing(by.at, by.actor, closed), len(known) + 1, after_closing=False
    )
    return closed, collected(known, last)


def increments_of(system: System, session_id: str) -> list[Increment]:
    """Return what the log has of a session's information now."""
    rows = sorted(_rows(system, session_id), key=lambda row: row.position)
    return numbered(rows, session_id)


def _rows(system: System, session_id: str) -> Iterator[Recorded]:
    for each in with_merged(system, session_id):
        yield from system.log.read_stream(ids.session_stream(each))


class ReceiveSdr(msgspec.Struct, frozen=True, kw_only=True):
    """A CSO has a session's information up to the increment ``sequence``."""

    session_id: str
    sequence: int


def receive_sdr(system: System, command: ReceiveSdr, by: By) -> Answer:
    """Record the receipt; one of less than is known to be received changes nothing.

    A merged session's increments have other numbers in the session that stays, so its
    receipts name that one.
    """

    def decide() -> Batch:
        state = load_session(system, command.session_id)
        if state.merged_into:
            raise Refused(
                f"service session {state.session_id} was merged into "
                f"{state.merged_into}: its increments are numbered there"
            )
        last = len(increments_of(system, state.session_id))
        if not 1 <= command.sequence <= last:
            raise InvalidValue(
                f"sequence {command.sequence} is not one of the increments 1 to "
                f"{last} of service session {state.session_id}"
            )
        received = s.SdrReceived(
            session_id=state.session_id, by=by.party_name, sequence=command.sequence
        )
        stream = ids.session_stream(state.session_id)
        return Batch(appends=(Append(stream, (received,), by.at),))

    return record(system, by, command, decide)
