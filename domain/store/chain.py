"""The chained rows of a log file: what ADR 0001 says of rows, hash and row 0."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from domain.errors import ChainBroken, UnknownSchema
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

_FORMAT_BYTE = bytes([FORMAT])
_pack = msgspec.msgpack.Encoder().encode


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
        self._check_format()
        self.reload()

    def reload(self) -> None:
        """Read the end of the log from the file."""
        self.log_id: str
        self.position: int
        self.recorded_at: Instant
        self.hash: bytes
        self.log_id, self.position, self.recorded_at, self.hash = (
            self._connection.execute(
                "SELECT log_id, position, recorded_at, hash FROM rows"
                " ORDER BY position DESC LIMIT 1"
            ).fetchone()
        )

    def _check_format(self) -> None:
        row = self._connection.execute(
            "SELECT type, schema, state FROM rows WHERE position = 0"
        ).fetchone()
        opened = row and registry.decode(*row)
        if not isinstance(opened, LogOpened):
            raise ChainBroken("the log has no row 0")
        if opened.format != FORMAT:
            raise UnknownSchema(
                f"the log has format {opened.format}; this release reads {FORMAT}"
            )

    def add(self, origin: Origin, changes: Sequence[Change], now: Instant) -> None:
        """Write the changes as the next rows, in order."""
        recorded_at = max(now, self.recorded_at)
        common = (self.log_id, recorded_at, *origin)
        values = _linked(common, changes, self.position + 1, self.hash)
        _insert(self._connection, common, values)
        if values:
            self.position += len(changes)
            self.recorded_at = recorded_at
            self.hash = values[-1]


# Columns that the rows of a batch have in common (bound once a statement), and those
# of each row.
Common = tuple[str, Instant, str, str, str, int, str]
_COMMON, _OWN = 7, 10
# Rows of one statement; more of them gain nothing (ADR 0003).
_TOGETHER = 25


def _linked(
    common: Common, changes: Sequence[Change], position: int, last: bytes
) -> list[Any]:
    """Return the own columns of each change's row, one row after the other."""
    log_id, recorded_at, tenant, command_id, correlation_id, causation, actor = common
    values: list[Any] = []
    for stream, version, decided, name, schema, occurred_at, state in changes:
        digest = sha256(state).digest()
        header = _pack(
            (
                tenant, log_id, position, stream, version, decided, name, schema,
                occurred_at, recorded_at, command_id, correlation_id, causation, actor,
            )
        )  # fmt: skip
        last = sha256(_FORMAT_BYTE + last + header + digest).digest()
        values += (
            position, stream, version, decided, name, schema, occurred_at,
            digest, state, last,
        )  # fmt: skip
        position += 1
    return values


def _insert(connection: sqlite3.Connection, common: Common, values: list[Any]) -> None:
    for first in range(0, len(values), _OWN * _TOGETHER):
        own = values[first : first + _OWN * _TOGETHER]
        connection.execute(_statement(len(own) // _OWN), (*common, *own))


@cache
def _statement(rows: int) -> str:
    """Return the statement that inserts so many rows."""
    places = []
    for first in range(_COMMON + 1, _COMMON + 1 + rows * _OWN, _OWN):
        (
            position,
            stream,
            version,
            decided,
            name,
            schema,
            occurred,
            digest,
            state,
            link,
        ) = (f"?{place}" for place in range(first, first + _OWN))
        places.append(
            f"(?3,?1,{position},{stream},{version},{decided},{name},{schema},"
            f"{occurred},?2,?4,?5,?6,?7,{digest},{state},{link})"
        )
    return f"INSERT INTO rows VALUES {','.join(places)}"


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
    common = (log_id, now, *Origin())
    _insert(connection, common, _linked(common, (change,), 0, genesis))
