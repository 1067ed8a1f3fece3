"""Who did what, and what a guard should know (7.9.4.6): for auditors only.

Origins stay sealed here; only the API opens them. A change of the configuration is
known by the permission its command needed.
"""

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain.model.access_events import CommandAudited, SecurityCounted, SecurityNoted
from domain.model.values import Instant, Sealed, utc_day_of
from domain.ports import Recorded
from projections.file import Reader
from projections.fold import Fold

CONFIGURATION_CHANGED = "configuration-changed"
CONFIGURING = frozenset(
    {
        "zones.commission",
        "constraints.send",
        "contracts.keep",
        "evse.suspend",
        "stations.keep",
        "keys.keep",
    }
)


class Command(msgspec.Struct, kw_only=True):
    """One command: who gave it, when it was recorded, under which permission."""

    position: int
    recorded_at: Instant
    actor: str
    roles: tuple[str, ...]
    permission: str
    route: str
    request_id: str
    command_id: str


class AuditEntry(Command, array_like=True, kw_only=True):
    """A command, and where it came from."""

    origin: Sealed | None


class Note(msgspec.Struct, kw_only=True):
    """One note; a ``count`` above 1 stands for a flood between two instants."""

    position: int
    recorded_at: Instant
    kind: str
    count: int
    actor: str
    route: str
    detail: str
    from_at: Instant | None
    until_at: Instant | None


class SecurityEntry(Note, array_like=True, kw_only=True):
    """A note, and where what it tells of came from."""

    origin: Sealed | None
    origin_context: str


class Count(msgspec.Struct):
    """How often a kind was seen on a UTC day."""

    day: str
    kind: str
    count: int


class SecurityFold(Fold):
    """Writes ``security.sqlite``."""

    name = "security"
    schema = 2
    ddl = """
    CREATE TABLE audit(
      position INTEGER PRIMARY KEY,
      recorded_at INTEGER NOT NULL,
      actor TEXT NOT NULL,
      permission TEXT NOT NULL,
      document BLOB NOT NULL
    );
    CREATE INDEX audit_by_time ON audit(recorded_at, position);
    CREATE INDEX audit_by_actor ON audit(actor, position);
    CREATE INDEX audit_by_permission ON audit(permission, position);
    CREATE TABLE entry(
      position INTEGER PRIMARY KEY,
      recorded_at INTEGER NOT NULL,
      kind TEXT NOT NULL,
      document BLOB NOT NULL
    );
    CREATE INDEX entry_by_time ON entry(recorded_at, position);
    CREATE INDEX entry_by_kind ON entry(kind, position);
    CREATE TABLE counter(
      day TEXT NOT NULL,
      kind TEXT NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY (day, kind)
    ) WITHOUT ROWID;
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._audited: list[tuple[int, Instant, str, str, bytes]] = []
        self._entries: list[tuple[int, Instant, str, bytes]] = []
        self._counted: list[tuple[str, str, int]] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self.handlers = {
            CommandAudited: self._on_audited,
            SecurityNoted: self._on_noted,
            SecurityCounted: self._on_counted,
        }

    def save(self) -> None:
        """Write what this batch told."""
        self.db.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?)", self._audited)
        self.db.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", self._entries)
        self.db.executemany(
            "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT (day, kind)"
            " DO UPDATE SET count = count + excluded.count",
            self._counted,
        )
        self.forget()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._audited.clear()
        self._entries.clear()
        self._counted.clear()

    def _on_audited(self, row: Recorded, event: CommandAudited) -> None:
        entry = AuditEntry(
            position=row.position,
            recorded_at=row.recorded_at,
            actor=event.actor,
            roles=event.roles,
            permission=event.permission,
            route=event.route,
            request_id=event.request_id,
            command_id=row.command_id,
            origin=event.origin,
        )
        keys = (row.position, row.recorded_at, event.actor, event.permission)
        self._audited.append((*keys, self._encode(entry)))
        if event.permission in CONFIGURING:
            self._told(row, CONFIGURATION_CHANGED, event, event.permission)

    def _on_noted(self, row: Recorded, event: SecurityNoted) -> None:
        self._told(row, event.kind, event, event.detail)

    def _on_counted(self, row: Recorded, event: SecurityCounted) -> None:
        counted = SecurityEntry(
            position=row.position,
            recorded_at=row.recorded_at,
            kind=event.kind,
            count=event.count,
            actor="",
            route="",
            detail="",
            from_at=event.from_at,
            until_at=event.until_at,
            origin=None,
            origin_context="",
        )
        self._keep(counted)

    def _told(
        self, row: Recorded, kind: str, event: CommandAudited | SecurityNoted, what: str
    ) -> None:
        told = SecurityEntry(
            position=row.position,
            recorded_at=row.recorded_at,
            kind=kind,
            count=1,
            actor=event.actor,
            route=event.route,
            detail=what,
            from_at=None,
            until_at=None,
            origin=event.origin,
            origin_context=row.type,
        )
        self._keep(told)

    def _keep(self, entry: SecurityEntry) -> None:
        keys = (entry.position, entry.recorded_at, entry.kind)
        self._entries.append((*keys, self._encode(entry)))
        day = utc_day_of(entry.recorded_at)
        self._counted.append((day, entry.kind, entry.count))


class Window(NamedTuple):
    """Which rows to list: those before a position, as many, recorded within a time."""

    before: int
    limit: int
    from_at: Instant | None = None
    until_at: Instant | None = None


class Security:
    """Queries on ``security.sqlite``; the last entries first."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, SecurityFold.name)
        self._audit = msgspec.msgpack.Decoder(AuditEntry).decode
        self._entry = msgspec.msgpack.Decoder(SecurityEntry).decode

    def audit(
        self, window: Window, *, actor: str = "", permission: str = ""
    ) -> list[AuditEntry]:
        """Return commands that were given."""
        rows = self._page("audit", window, actor=actor, permission=permission)
        return [self._audit(document) for (document,) in rows]

    def entries(self, window: Window, *, kind: str = "") -> list[SecurityEntry]:
        """Return what was noted."""
        rows = self._page("entry", window, kind=kind)
        return [self._entry(document) for (document,) in rows]

    def counts(self, *, before: tuple[str, str], limit: int) -> list[Count]:
        """Return the counters, the last day first."""
        rows = self.reader.rows(
            "SELECT day, kind, count FROM counter WHERE (day, kind) < (?, ?)"
            " ORDER BY day DESC, kind DESC LIMIT ?",
            (*before, limit),
        )
        return [Count(*row) for row in rows]

    def _positions(self, table: str, window: Window) -> tuple[int, int]:
        """Return a time as positions: along these ``recorded_at`` never decreases."""
        begin, end = 0, window.before
        if window.from_at is not None:
            begin = self._first(table, window.from_at)
        if window.until_at is not None:
            end = min(end, self._first(table, window.until_at))
        return begin, end

    def _first(self, table: str, at: Instant) -> int:
        ((position,),) = self.reader.rows(
            f"SELECT min(position) FROM (SELECT position FROM {table}"
            " WHERE recorded_at >= ? ORDER BY recorded_at, position LIMIT 1)",
            (at,),
        )
        return (1 << 63) - 1 if position is None else int(position)

    def _page(self, table: str, window: Window, **equal: str) -> list[Any]:
        begin, end = self._positions(table, window)
        wanted = {name: value for name, value in equal.items() if value}
        where = ["position >= ?", "position < ?", *(f"{name} = ?" for name in wanted)]
        return self.reader.rows(
            f"SELECT document FROM {table} WHERE {' AND '.join(where)}"
            " ORDER BY position DESC LIMIT ?",
            (begin, end, *wanted.values(), window.limit),
        )
