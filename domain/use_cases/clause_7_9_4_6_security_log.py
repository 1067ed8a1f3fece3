"""7.9.4.6 Security log (IEC 63110-1): what a guard should know, recorded as facts.

Who did what stands beside each command, by `shared_path`. What else a guard should know
comes from the edge, which notes logins, refusals and faulty messages and counts floods.
Where something came from is sealed: under the key of who it was, else under one key a
UTC day, so that destroying that key ends the retention of all that day's origins.
"""

from collections.abc import Sequence

import msgspec

from domain.errors import Refused
from domain.model.access_events import SecurityCounted, SecurityNoted
from domain.model.ids import security_stream
from domain.model.values import Instant, Sealed, utc_day_of
from domain.ports import Answer, Append, Batch, System

NOTED = "security.noted"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing seen; ``origin`` is sealed for ``subject_id`` where that is known."""

    at: Instant
    event: SecurityNoted
    subject_id: str
    origin: bytes


Told = Note | SecurityCounted


def origins_subject(at: Instant) -> str:
    """Return the subject of that day's unknown origins."""
    return f"origins-{utc_day_of(at)}"


def record_notes(system: System, told: Sequence[Told]) -> Answer:
    """Record what was seen and counted, in one append."""
    return system.log.append(Batch(appends=tuple(_append(system, t) for t in told)))


def _append(system: System, told: Told) -> Append:
    if isinstance(told, SecurityCounted):
        return Append(security_stream(told.until_at), (told,), told.until_at)
    event = msgspec.structs.replace(told.event, origin=_sealed(system, told))
    return Append(security_stream(told.at), (event,), told.at)


def _sealed(system: System, note: Note) -> Sealed | None:
    subject_id = note.subject_id or origins_subject(note.at)
    try:
        return system.vault.seal(subject_id, NOTED, note.origin)
    except Refused:
        # Its key was destroyed: where it came from is not kept any more.
        return None
