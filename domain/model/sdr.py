"""Increments of the SDR information: what each recorded transaction adds (S6, 8.4.8).

They are numbered from 1 in the order of recording, without gaps, and a number never
changes. When sessions merge, the one that stays takes the other's increments at that
moment, numbered next. Everything here is a function of the log's rows.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from domain.model import incentive_events as n
from domain.model import session_events as s
from domain.model.registry import BY_NAME, encode
from domain.model.values import Event, Instant

_KINDS = frozenset(
    {
        *("session", "authorization", "reservation", "parking", "other", "transfer"),
        *("needs", "v2g", "safety", "transaction", "fact", "incentive"),
    }
)

# What of these kinds is no session's, or what the loop observes between two meterings.
_LEFT_OUT: frozenset[type[Event]] = frozenset(
    {
        s.TransferObserved,
        n.IncentiveReceived,
        n.IncentiveWithdrawn,
        n.IncentiveTold,
    }
)

# What adds to the information.
COLLECTED: frozenset[type[Event]] = (
    frozenset(
        each.cls for name, each in BY_NAME.items() if name.partition(".")[0] in _KINDS
    )
    - _LEFT_OUT
)


class Row(Protocol):
    """The part of a row of the log that an increment is made of."""

    @property
    def position(self) -> int:
        """Return where it stands in the log."""
        ...

    @property
    def occurred_at(self) -> Instant:
        """Return when it happened."""
        ...

    @property
    def type(self) -> str:
        """Return the name of its event's type."""
        ...

    @property
    def actor(self) -> str:
        """Return who brought it."""
        ...

    @property
    def event(self) -> Event | None:
        """Return its event; None when that was dropped."""
        ...


class Increment(msgspec.Struct, frozen=True, kw_only=True):
    """What one recorded transaction adds to the SDR information of a session.

    ``kind`` is the first part of ``type``: ``parking`` and the like. ``by`` is who
    brought it; sealed groups of ``event`` stay sealed. ``after_closing``: it came when
    the information had been final already.
    """

    sequence: int
    position: int
    occurred_at: Instant
    kind: str
    type: str
    by: str
    event: Event
    after_closing: bool = False


def increment_of(row: Row, sequence: int, *, after_closing: bool) -> Increment:
    """Return the increment that a row of `COLLECTED` adds."""
    assert row.event is not None
    return Increment(
        sequence=sequence,
        position=row.position,
        occurred_at=row.occurred_at,
        kind=row.type.partition(".")[0],
        type=row.type,
        by=row.actor,
        event=row.event,
        after_closing=after_closing,
    )


def numbered(rows: Iterable[Row], session_id: str) -> list[Increment]:
    """Return a session's increments, from rows in the order of the log.

    The rows are those of the session and of all that were merged into it; of a session
    that was merged itself, the increments are those it had then.
    """
    known: dict[str, list[Increment]] = {session_id: []}
    into: dict[str, str] = {}
    closed: set[str] = set()
    for row in rows:
        event: Any = row.event
        if type(event) not in COLLECTED:
            continue
        own = event.session_id
        while own in into:
            own = into[own]
        mine = known.setdefault(own, [])
        mine.append(increment_of(row, len(mine) + 1, after_closing=own in closed))
        if isinstance(event, s.MergedInto):
            into[own] = event.into_session_id
            theirs = known.setdefault(event.into_session_id, [])
            is_late = event.into_session_id in closed
            theirs += [
                msgspec.structs.replace(
                    taken, sequence=len(theirs) + i, after_closing=is_late
                )
                for i, taken in enumerate(mine, start=1)
            ]
        elif isinstance(event, s.SessionClosed):
            closed.add(own)
    return known[session_id]


def digest_of(increments: Iterable[Increment]) -> bytes:
    """Return the SHA-256 of what increments tell, in their order.

    Where they stand in the log does not count: at closing nobody knows that yet.
    """
    digest = hashlib.sha256()
    for each in increments:
        told = (each.occurred_at, each.type, each.by, encode(each.event))
        digest.update(msgspec.msgpack.encode(told))
    return digest.digest()


def collected(known: list[Increment], closing: Increment) -> s.SdrCollected:
    """Return the record of what was known of a session, and its closing.

    A fact that is recorded between the look at the session and its closing is numbered
    before the closing, and is not covered by the digest.
    """
    event: Any = closing.event
    return s.SdrCollected(
        session_id=event.session_id,
        increments=len(known) + 1,
        digest=digest_of([*known, closing]),
    )
