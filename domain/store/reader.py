"""Reading a ledger: rows, claims and timers over one connection."""

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from domain.errors import RequestMismatch
from domain.model.registry import decode
from domain.model.values import Instant
from domain.ports import TENANT, Answer, Batch, Claim, Recorded, RowFilter, Timer
from domain.store.sqlite import connect_readonly

RECORDED = (
    "SELECT position, tenant, stream, version, decision_version, type, schema,"
    " occurred_at, recorded_at, command_id, correlation_id, causation, actor, state"
    " FROM rows"
)

# Rows are fetched so many at a time: the memory of one chunk's tuples serves the next.
_CHUNK = 500

_LAST_CHARACTER = "\U0010ffff"


def digest_of(request: bytes) -> bytes:
    """Return what the command register keeps of a request."""
    return sha256(request).digest()


def recorded(rows: Iterable[Any]) -> list[Recorded]:
    """Return the rows of a `RECORDED` query with their states decoded."""
    return [
        Recorded(
            position, tenant, stream, version, decided, name, schema, occurred_at,
            recorded_at, command_id, correlation_id, causation, actor,
            None if state is None else decode(name, schema, state),
        )
        for (
            position, tenant, stream, version, decided, name, schema, occurred_at,
            recorded_at, command_id, correlation_id, causation, actor, state,
        ) in rows
    ]  # fmt: skip


def _fetched(cursor: sqlite3.Cursor) -> list[Recorded]:
    found: list[Recorded] = []
    while rows := cursor.fetchmany(_CHUNK):
        found += recorded(rows)
        if len(rows) < _CHUNK:
            break
    return found


class LedgerReader:
    """The reading half of `ports.Log`; on a connection of its own, committed rows.

    For one thread at a time. Works while another process writes.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> "LedgerReader":
        """Open a ledger file for reading only."""
        return LedgerReader(connect_readonly(path))

    def select(self, query: str, values: Sequence[str | int]) -> list[Any]:
        """Return the raw rows of a query."""
        return self._connection.execute(query, values).fetchall()

    def answered(self, batch: Batch) -> Answer | None:
        """Return the first answer to a batch's command id; None when it is new."""
        found = self._connection.execute(
            "SELECT request, first, count FROM commands"
            " WHERE tenant = ? AND actor = ? AND command_id = ?",
            (batch.tenant, batch.actor, batch.command_id),
        ).fetchone()
        if found is None:
            return None
        request, first, count = found
        if request != digest_of(batch.request):
            raise RequestMismatch(
                f"command id {batch.command_id!r} of {batch.actor!r} was used before, "
                "for another request"
            )
        return Answer(first, count, repeated=True)

    def read_stream(
        self, stream: str, *, after_version: int = 0, tenant: str = TENANT
    ) -> Sequence[Recorded]:
        """Return the rows of a stream in order of version."""
        return _fetched(
            self._connection.execute(
                f"{RECORDED} WHERE tenant = ? AND stream = ? AND version > ?"
                " ORDER BY version",
                (tenant, stream, after_version),
            )
        )

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows with positions above ``after``, in order."""
        wanted = f" AND type IN ({','.join('?' * len(types))})" if types else ""
        return _fetched(
            self._connection.execute(
                f"{RECORDED} WHERE position > ?{wanted} ORDER BY position LIMIT ?",
                (after, *types, limit),
            )
        )

    def find(
        self, wanted: RowFilter, *, after: int, until: int, limit: int
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows of positions in (after, until], in order.

        Of a stream, its own rows are looked at, else all of these positions.
        """
        where, values = ["position > ?", "position <= ?"], list[str | int]()
        values += (after, until)
        index = ""
        if wanted.stream:
            index = " INDEXED BY rows_by_stream"
            where.append("tenant = ? AND stream = ?")
            values += (TENANT, wanted.stream)
        if wanted.types:
            where.append(f"type IN ({','.join('?' * len(wanted.types))})")
            values += wanted.types
        for condition, value in (
            ("actor = ?", wanted.actor or None),
            ("occurred_at >= ?", wanted.occurred_from_at),
            ("occurred_at < ?", wanted.occurred_until_at),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        return _fetched(
            self._connection.execute(
                f"{RECORDED}{index} WHERE {' AND '.join(where)}"
                " ORDER BY position LIMIT ?",
                (*values, limit),
            )
        )

    def read_at(self, positions: Sequence[int]) -> Sequence[Recorded]:
        """Return the rows at some positions, in order of position."""
        found: list[Recorded] = []
        for first in range(0, len(positions), _CHUNK):
            some = positions[first : first + _CHUNK]
            found += _fetched(
                self._connection.execute(
                    f"{RECORDED} WHERE position IN ({','.join('?' * len(some))})", some
                )
            )
        found.sort(key=lambda row: row.position)
        return found

    def recorded_by(self, at: Instant) -> int:
        """Return the last position recorded at or before ``at``; 0 before row 1.

        ``recorded_at`` never goes back along the log: a binary search finds it.
        """
        low, high = 0, self.last_position()
        while low < high:
            middle = (low + high + 1) // 2
            (recorded_at,) = self._connection.execute(
                "SELECT recorded_at FROM rows WHERE position = ?", (middle,)
            ).fetchone()
            low, high = (middle, high) if recorded_at <= at else (low, middle - 1)
        return low

    def last_position(self) -> int:
        """Return the last position; 0 when nothing was recorded."""
        (position,) = self._connection.execute(
            "SELECT max(position) FROM rows"
        ).fetchone()
        return int(position)

    def hash_at(self, position: int) -> bytes | None:
        """Return the hash of the row at a position."""
        found = self._connection.execute(
            "SELECT hash FROM rows WHERE position = ?", (position,)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def owner(self, kind: str, key: str, *, tenant: str = TENANT) -> str | None:
        """Return who holds a claim."""
        found = self._connection.execute(
            "SELECT owner FROM guards WHERE tenant = ? AND kind = ? AND key = ?",
            (tenant, kind, key),
        ).fetchone()
        return None if found is None else str(found[0])

    def claims(
        self, kind: str, key_prefix: str = "", *, tenant: str = TENANT
    ) -> Sequence[Claim]:
        """Return the claims of a kind whose key begins with a prefix, by key."""
        rows = self._connection.execute(
            "SELECT kind, key, owner FROM guards WHERE tenant = ? AND kind = ?"
            " AND key >= ? AND key < ? ORDER BY key",
            (tenant, kind, key_prefix, key_prefix + _LAST_CHARACTER),
        )
        return [Claim(*row) for row in rows]

    def due_timers(self, at: Instant, *, tenant: str = TENANT) -> Sequence[Timer]:
        """Return the timers due at or before ``at``, by due instant."""
        rows = self._connection.execute(
            "SELECT due_at, stream, kind, key FROM timers"
            " WHERE tenant = ? AND due_at <= ? ORDER BY due_at, stream, kind, key",
            (tenant, at),
        )
        return [Timer(*row) for row in rows]

    def next_timer_at(self, *, tenant: str = TENANT) -> Instant | None:
        """Return when the next timer is due."""
        (due_at,) = self._connection.execute(
            "SELECT min(due_at) FROM timers WHERE tenant = ?", (tenant,)
        ).fetchone()
        return None if due_at is None else int(due_at)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
