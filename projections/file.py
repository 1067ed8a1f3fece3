"""The SQLite file of a projection: its rows, and how far it has followed the log.

The file a reader opens, ``<name>.sqlite``, is a link to ``<name>-<generation>.sqlite``.
A rebuild writes the next generation and swaps the link: readers of the old one read on,
and a write-ahead log never meets a database it does not belong to.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventsourcing.persistence import IntegrityError, Tracking, TrackingRecorder

_OWN_DDL = """
CREATE TABLE meta(schema TEXT NOT NULL);
CREATE TABLE tracking(
  application_name TEXT PRIMARY KEY,
  notification_id INTEGER NOT NULL,
  row_hash BLOB NOT NULL
) WITHOUT ROWID;
"""

# Catching up touches pages all over a file: small caches and frequent checkpoints
# write the same pages again and again.
_CACHE_KIB = 65_536
_CHECKPOINT_PAGES = 8_000

# The guard makes a repeated or older position change nothing, so that it is noticed.
_TRACK = """
INSERT INTO tracking VALUES (?, ?, ?)
ON CONFLICT (application_name) DO UPDATE
SET notification_id = excluded.notification_id, row_hash = excluded.row_hash
WHERE excluded.notification_id > notification_id
"""


class ProjectionFile(TrackingRecorder):
    """The writer's side: rows and tracking change in one transaction.

    ``schema`` says what the file must have been made for; `stored_schema` tells what it
    was made for.
    """

    def __init__(self, path: Path, ddl: str, schema: str) -> None:
        self.path = path
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(ddl, schema)
        except sqlite3.Error:
            self.db.close()
            raise

    def _prepare(self, ddl: str, schema: str) -> None:
        self.db.execute("PRAGMA journal_mode=WAL")
        # A lost last transaction is followed again: the ledger is the durable one.
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self.db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        if not self.db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            self.db.executescript(f"BEGIN;{_OWN_DDL}{ddl}")
            self.db.execute("INSERT INTO meta VALUES (?)", (schema,))
            self.db.execute("COMMIT")

    @property
    def stored_schema(self) -> str:
        """Return the schema the file was made for; empty when it is none of ours."""
        try:
            row = self.db.execute("SELECT schema FROM meta").fetchone()
        except sqlite3.OperationalError:
            return ""
        return str(row[0]) if row else ""

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write everything of the block, or nothing when it raises."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def track(self, tracking: Tracking, row_hash: bytes) -> None:
        """Note the position followed, within the caller's transaction."""
        changed = self.db.execute(
            _TRACK, (tracking.application_name, tracking.notification_id, row_hash)
        ).rowcount
        if changed != 1:
            raise IntegrityError(
                f"position {tracking.notification_id} of {tracking.application_name!r} "
                "was followed before"
            )

    def tracked(self, application_name: str) -> tuple[int, bytes]:
        """Return the position followed and the hash of its row; 0 at the beginning."""
        row = self.db.execute(
            "SELECT notification_id, row_hash FROM tracking WHERE application_name = ?",
            (application_name,),
        ).fetchone()
        return (int(row[0]), bytes(row[1])) if row else (0, b"")

    def insert_tracking(self, tracking: Tracking) -> None:
        """Note a position in a transaction of its own (the library's contract)."""
        with self.transaction():
            self.track(tracking, b"")

    def max_tracking_id(self, application_name: str) -> int | None:
        """Return the position followed, None at the beginning (the contract)."""
        return self.tracked(application_name)[0] or None

    def close(self) -> None:
        """Close the connection."""
        self.db.close()


class Generations:
    """The generations of one projection's file in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.link = folder / f"{name}.sqlite"
        # As text, for this is asked at each read.
        self._link = str(self.link)
        self._name = name

    def current(self) -> Path:
        """Return the file readers read; the first generation when there is none."""
        return self.link.parent / (self.name() or self._path(1).name)

    def name(self) -> str:
        """Return the name of the file readers read; empty when there is no link yet."""
        try:
            return os.readlink(self._link)
        except OSError:
            return ""

    def next(self) -> Path:
        """Return the path of the next generation, with nothing there."""
        path = self._path(self._number(self.current()) + 1)
        _remove(path)
        return path

    def swap_in(self, path: Path) -> None:
        """Make ``path`` the file that readers open from now on."""
        fresh = self.link.with_suffix(".link")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path.name)
        os.replace(fresh, self.link)

    def drop_old(self, *, keep: int) -> None:
        """Remove generations older than the current one but the ``keep`` youngest."""
        current = self._number(self.current())
        for path in self.link.parent.glob(f"{self._name}-*.sqlite"):
            if self._number(path) < current - keep:
                _remove(path)

    def _path(self, number: int) -> Path:
        return self.link.parent / f"{self._name}-{number:06}.sqlite"

    def _number(self, path: Path) -> int:
        return int(path.stem.rpartition("-")[2])


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class _Local(threading.local):
    known: tuple[str, sqlite3.Connection] | None = None


class Reader:
    """The readers' side: read-only connections, one a thread, to the current file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._generations = Generations(folder, name)
        self._local = _Local()
        self._open: list[sqlite3.Connection] = []

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose queries in the block all see one state."""
        db = self._connection()
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of one query."""
        return self._connection().execute(sql, values).fetchall()

    def dump(self) -> str:
        """Return all rows of the read model as text, in a stable order."""
        lines: list[str] = []
        with self.snapshot() as db:
            tables = db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' "
                "AND name NOT IN ('meta', 'tracking') ORDER BY name"
            ).fetchall()
            for (table,) in tables:
                lines += sorted(
                    f"{table} {row!r}" for row in db.execute(f"SELECT * FROM {table}")
                )
        return "\n".join(lines)

    def close(self) -> None:
        """Close all connections."""
        for db in self._open:
            db.close()
        self._open.clear()
        self._local = _Local()

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        name = self._generations.name()
        known = self._local.known
        if known is not None and known[0] == name:
            return known[1]
        if known is not None:
            self._open.remove(known[1])
            known[1].close()
        uri = f"file:{self._generations.current()}?mode=ro"
        db = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False
        )
        self._open.append(db)
        self._local.known = (name, db)
        return db


class OneConnection(Reader):
    """A reader of a database that one thread has made for itself, in memory."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _connection(self) -> sqlite3.Connection:
        return self._db


def reader_of(source: Path | Reader, name: str) -> Reader:
    """Return the reader of a projection: of the file in a folder, or the given one."""
    return source if isinstance(source, Reader) else Reader(source, name)
