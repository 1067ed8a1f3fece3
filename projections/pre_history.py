"""The PREs a zone's RM set, as received and revoked, and the PRE in force (E4)."""

import sqlite3
from bisect import insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from domain.model.plan_events import PreFallbackBegan, PreReceived, PreRevoked
from domain.model.pre import PreInForce, compose
from domain.model.registry import BY_NAME, decode, encode
from domain.model.site_events import ZoneDefined, ZoneLimitsChanged
from domain.model.values import Event, Instant
from domain.ports import Recorded
from projections.fold import Handler, Mark

DDL = """
CREATE TABLE pre_event(
  zone_id TEXT NOT NULL,
  occurred_at INTEGER NOT NULL,
  position INTEGER NOT NULL,
  type TEXT NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (zone_id, occurred_at, position)
) WITHOUT ROWID;
"""

_SELECT = """
SELECT occurred_at, position, type, state FROM pre_event
WHERE zone_id = ? AND occurred_at <= ? ORDER BY occurred_at, position
"""

_FOREVER = (1 << 63) - 1


class PreEvent(msgspec.Struct, frozen=True):
    """One telling of the RM, or the beginning of a fallback."""

    occurred_at: Instant
    position: int
    type: str
    event: Event


class Limits(NamedTuple):
    """What bounds a zone where and beyond what its RM says [W]."""

    mark: Mark
    safe_upper_w: int
    limit_w: int


class PreBook:
    """What is known of one zone's PREs, in the order of their own time."""

    def __init__(self, history: Iterable[PreEvent] = ()) -> None:
        self._received: list[tuple[Mark, PreReceived]] = []
        self._revoked: dict[str, Mark] = {}
        self._limits: list[Limits] = []
        for told in history:
            self.note((told.occurred_at, told.position), told.event)

    def note(self, mark: Mark, event: Event) -> None:
        """Take one more event of the zone or its RM."""
        match event:
            case PreReceived():
                insort(self._received, (mark, event), key=lambda known: known[0])
            case PreRevoked():
                last = self._revoked.get(event.pre_id, mark)
                self._revoked[event.pre_id] = max(mark, last)
            case ZoneDefined() | ZoneLimitsChanged():
                insort(self._limits, Limits(mark, event.safe_upper_w, event.limit_w))

    def in_force(self, from_at: Instant) -> PreInForce:
        """Return the PRE in force at ``from_at`` and after, by all that is known."""
        limits = self._limits[-1] if self._limits else Limits((0, 0), 0, 0)
        needed = list(self._needed(from_at))
        needed.reverse()
        return compose(needed, limits.safe_upper_w, limits.limit_w)

    def _needed(self, from_at: Instant) -> Iterator[tuple[Instant, PreReceived]]:
        """Yield the instructions that still matter, the last one first."""
        for mark, event in reversed(self._received):
            if self._revoked.get(event.pre_id, (-1, -1)) > mark:
                continue
            yield mark[0], event
            # What was received before says nothing of instants from here on.
            if max(event.envelope.start_at, mark[0]) <= from_at:
                return


class PreHistory:
    """The fold's side: rows to write, and the books of the zones met."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._books: dict[str, PreBook] = {}
        self._new: list[tuple[str, Instant, int, str, bytes]] = []
        self.handlers: dict[type[Event], Handler] = dict.fromkeys(
            (PreReceived, PreRevoked, PreFallbackBegan, ZoneDefined, ZoneLimitsChanged),
            self.note,
        )

    def book(self, zone_id: str) -> PreBook:
        """Return what is known of a zone's PREs."""
        book = self._books.get(zone_id)
        if book is None:
            # Rows not yet written are in the book already: it is made at first sight.
            book = self._books[zone_id] = PreBook(told(self._db, zone_id))
        return book

    def note(
        self,
        row: Recorded,
        event: PreReceived
        | PreRevoked
        | PreFallbackBegan
        | ZoneDefined
        | ZoneLimitsChanged,
    ) -> None:
        """Take one more event of a zone or its RM."""
        self.book(event.zone_id).note((row.occurred_at, row.position), event)
        self._new.append(
            (event.zone_id, row.occurred_at, row.position, row.type, encode(event))
        )

    def save(self) -> None:
        """Write the new rows."""
        self._db.executemany("INSERT INTO pre_event VALUES (?, ?, ?, ?, ?)", self._new)
        self._new.clear()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._books.clear()
        self._new.clear()


def told(
    db: sqlite3.Connection, zone_id: str, until_at: Instant = _FOREVER
) -> list[PreEvent]:
    """Return what was told of a zone's PREs and limits up to an instant."""
    return [pre_event(*row) for row in db.execute(_SELECT, (zone_id, until_at))]


def pre_event(occurred_at: Instant, position: int, name: str, state: bytes) -> PreEvent:
    """Return the event of a stored row."""
    return PreEvent(
        occurred_at, position, name, decode(name, BY_NAME[name].schema, state)
    )
