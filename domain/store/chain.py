"""The chained rows of a log file: what ADR 0001 says of rows, hash and row 0."""

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from domain.errors import ChainBroken
from domain.model import registry
from domain.model.plan_events import LogOpened
from domain.model.values import Instant
from domain.ports import TENANT

FORMAT = 1
OPENING_STREAM = "log"

ROWS = """
CREATE TABLE rows (
    tenant TEXT NOT NULL,
    log_id TEXT NOT NULL,
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    decision_version INTEGER NOT NULL,
    type TEXT NOT NULL,
    schema INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    command_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    causation INTEGER NOT NULL,
    actor TEXT NOT NULL,
    state_digest BLOB NOT NULL,
    state BLOB,
    hash BLOB NOT NULL
);
CREATE UNIQUE INDEX rows_by_stream ON rows (tenant, stream, version);
"""

_INSERT = "INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_FORMAT_BYTE = bytes([FORMAT])
_header = msgspec.msgpack.Encoder().encode


# What differs from row to row of one batch: stream, version, decision version, type,
# schema, occurred_at, state. A bare tuple, because one is made for every event.
Change = tuple[str, int, int, str, int, Instant, bytes]


class Origin(NamedTuple):
    """What the rows of one batch have in common, in the order of the columns."""

    tenant: str = TENANT
    command_id: str = ""
    correlation_id: str = ""
    causation: int = 0
    actor: str = ""


class Chain:
    """The end of a chained table: it knows the last row and adds the next ones.

    The attributes follow what was added on this connection, committed or not; after a
    rollback `reload` reads them again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.reload()

    def reload(self) -> None:
        """Read the end of the log from the file."""
        row = self._connection.execute(
            "SELECT log_id, position, recorded_at, hash FROM rows"
            " ORDER BY position DESC LIMIT 1"
        ).fetchone()
        if row is None:
            raise ChainBroken("the log has no row 0")
        self.log_id: str
        self.position: int
        self.recorded_at: Instant
        self.hash: bytes
        self.log_id, self.position, self.recorded_at, self.hash = row

    def add(self, origin: Origin, changes: Sequence[Change], now: Instant) -> None:
        """Write the changes as the next rows, in order."""
        recorded_at = max(now, self.recorded_at)
        rows = _linked(
            origin, changes, self.log_id, self.position, recorded_at, self.hash
        )
        self._connection.executemany(_INSERT, rows)
        if rows:
            self.position += len(rows)
            self.recorded_at = recorded_at
            self.hash = rows[-1][-1]


Row = tuple[
    str, str, int, str, int, int, str, int, int, int, str, str, int, str,
    bytes, bytes, bytes,
]  # fmt: skip


def _linked(
    origin: Origin,
    changes: Iterable[Change],
    log_id: str,
    position: int,
    recorded_at: Instant,
    last: bytes,
) -> list[Row]:
    tenant, command_id, correlation_id, causation, actor = origin
    rows: list[Row] = []
    for stream, version, decided, name, schema, occurred_at, state in changes:
        position += 1
        head = (
            tenant, log_id, position, stream, version, decided, name, schema,
            occurred_at, recorded_at, command_id, correlation_id, causation, actor,
        )  # fmt: skip
        digest = sha256(state).digest()
        last = sha256(_FORMAT_BYTE + last + _header(head) + digest).digest()
        rows.append((*head, digest, state, last))
    return rows


def create(
    connection: sqlite3.Connection,
    *,
    log_id: str,
    genesis: bytes,
    kind: str,
    now: Instant,
) -> None:
    """Create the table of rows with row 0, ``log.opened``."""
    opened = LogOpened(log_id=log_id, format=FORMAT, genesis=genesis, kind=kind)
    known = registry.BY_CLASS[LogOpened]
    state = registry.encode(opened)
    change = (OPENING_STREAM, 1, 1, known.name, known.schema, now, state)
    for statement in ROWS.split(";"):
        connection.execute(statement)
    rows = _linked(Origin(), (change,), log_id, -1, now, genesis)
    connection.executemany(_INSERT, rows)
