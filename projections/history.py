"""What reads of the past stand on: which rows touched a document, how it was listed.

A *touch* is the position of a row whose handler asked for a document. Some touches hold
the document as it was before them: a read of the past begins there and folds the few
touches up to its position (`projections.past`). A *listing* is what lists filter and
sort by, from a position on. Both are exact to the row, in whatever batches it came.
"""

import sqlite3
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from projections.fold import Documents, Fold, Kept

T = TypeVar("T", bound=msgspec.Struct)

# More make reads of the past longer, fewer the file larger: a document as it was is
# as large as some thirty touches.
TOUCHES_A_CHECKPOINT = 64

# An offset takes four bytes.
_FARTHEST = (1 << 32) - 1
# Keys whose last touches and listings are kept in memory; beyond, all are read again.
_KEYS_KEPT = 100_000


def touches_ddl(table: str) -> str:
    """Return the tables of a document table's touches and checkpoints.

    A row of touches has those from ``begin`` on, as offsets from it. At its beginning,
    but for the first one, is the checkpoint.
    """
    return f"""
    CREATE TABLE {table}_touch(
      id TEXT NOT NULL,
      begin INTEGER NOT NULL,
      offsets BLOB NOT NULL,
      PRIMARY KEY (id, begin)
    ) WITHOUT ROWID;
    CREATE TABLE {table}_checkpoint(
      id TEXT NOT NULL,
      position INTEGER NOT NULL,
      document BLOB NOT NULL,
      PRIMARY KEY (id, position)
    ) WITHOUT ROWID;
    """


def listings_ddl(table: str, *columns: str) -> str:
    """Return the table of a document table's listings."""
    return f"""
    CREATE TABLE {table}_listed(
      id TEXT NOT NULL,
      position INTEGER NOT NULL,
      {"".join(f"{column} NOT NULL, " for column in columns)}
      PRIMARY KEY (id, position)
    ) WITHOUT ROWID;
    """


class Chunk(NamedTuple):
    """Touches from one on: how many there were, and the offsets of what is new."""

    begin: int
    saved: int
    new: list[int]


class Touches:
    """The positions that touched each document, and now and then the document."""

    def __init__(self, db: sqlite3.Connection, table: str) -> None:
        self._db = db
        self._table = table
        self._encode = msgspec.msgpack.Encoder().encode
        self._last: dict[str, Chunk] = {}
        self._new: dict[tuple[str, int], list[int]] = {}
        self._checkpoints: list[tuple[str, int, bytes]] = []

    def add(self, key: str, position: int, kept: Kept[Any]) -> None:
        """Note that a row touches a document, which is still as it was before it."""
        chunk = self._last.get(key)
        if chunk is None:
            chunk = self._stored(key)
        if (
            chunk is None
            or chunk.saved + len(chunk.new) >= TOUCHES_A_CHECKPOINT
            or position - chunk.begin > _FARTHEST
        ):
            if chunk is not None:
                self._checkpoints.append((key, position, self._encode(kept)))
            chunk = Chunk(position, 0, [])
        if not chunk.new:
            self._last[key] = chunk
            self._new[key, chunk.begin] = chunk.new
        chunk.new.append(position - chunk.begin)

    def save(self) -> None:
        """Write what is new."""
        rows = [
            (key, begin, struct.pack(f"<{len(new)}I", *new))
            for (key, begin), new in sorted(self._new.items())
        ]
        self._db.executemany(
            f"INSERT INTO {self._table}_touch VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET offsets = CAST(offsets || excluded.offsets AS BLOB)",
            rows,
        )
        self._db.executemany(
            f"INSERT INTO {self._table}_checkpoint VALUES (?, ?, ?)", self._checkpoints
        )
        self._checkpoints.clear()
        for key, _ in self._new:
            begin, saved, new = self._last[key]
            self._last[key] = Chunk(begin, saved + len(new), [])
        self._new.clear()
        if len(self._last) > _KEYS_KEPT:
            self._last.clear()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._last.clear()
        self._new.clear()
        self._checkpoints.clear()

    def _stored(self, key: str) -> Chunk | None:
        row = self._db.execute(
            f"SELECT begin, length(offsets) / 4 FROM {self._table}_touch"
            " WHERE id = ? ORDER BY begin DESC LIMIT 1",
            (key,),
        ).fetchone()
        return Chunk(row[0], row[1], []) if row else None


def positions_of(begin: int, offsets: bytes) -> list[int]:
    """Return the positions of a row of touches."""
    return [begin + n for n in struct.unpack(f"<{len(offsets) // 4}I", offsets)]


class Listings:
    """As what each document was listed, from which position on.

    ``highest`` is a column whose highest value so far, in order of position, is noted
    with each listing: no earlier listing has more.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        table: str,
        listed: Callable[[Any], tuple[Any, ...]],
        highest: int | None = None,
    ) -> None:
        self._db = db
        self._table = f"{table}_listed"
        self._listed = listed
        self._highest = highest
        self._last: dict[str, tuple[Any, ...]] = {}
        self._new: list[tuple[Any, ...]] = []
        self._width = len(db.execute(f"PRAGMA table_info({self._table})").fetchall())

    def settle(self, key: str, position: int, view: Any) -> None:
        """Note as what a document is listed after a row, if that changed."""
        now = self._listed(view)
        last = self._last.get(key)
        if now == (self._stored(key) if last is None else last):
            return
        self._new.append((key, position, *now))
        self._last[key] = now

    def save(self) -> None:
        """Write what is new."""
        if self._highest is not None:
            self._new = self._with_highest(2 + self._highest)
        places = ", ".join("?" * self._width)
        self._db.executemany(f"INSERT INTO {self._table} VALUES ({places})", self._new)
        self._new.clear()
        if len(self._last) > _KEYS_KEPT:
            self._last.clear()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._new.clear()
        self._last.clear()

    def _stored(self, key: str) -> tuple[Any, ...] | None:
        row = self._db.execute(
            f"SELECT * FROM {self._table} WHERE id = ? ORDER BY position DESC LIMIT 1",
            (key,),
        ).fetchone()
        if row is None:
            return None
        last: tuple[Any, ...] = row[2:] if self._highest is None else row[2:-1]
        self._last[key] = last
        return last

    def _with_highest(self, column: int) -> list[tuple[Any, ...]]:
        if not self._new:
            return []
        row = self._db.execute(
            f"SELECT * FROM {self._table} ORDER BY position DESC LIMIT 1"
        ).fetchone()
        highest = row[-1] if row else self._new[0][column]
        found = []
        for new in sorted(self._new, key=lambda new: new[1]):
            highest = max(highest, new[column])
            found.append((*new, highest))
        return found


class Tracked(Documents[T]):
    """Documents whose past can be read: each row that asks for one is noted."""

    def __init__(
        self,
        fold: Fold,
        table: str,
        view: type[T],
        columns: Callable[[T], tuple[Any, ...]] = lambda _: (),
        *,
        touches: Touches | None = None,
        listings: Listings | None = None,
    ) -> None:
        super().__init__(fold.db, table, view, columns)
        self._fold = fold
        self._touches = touches
        self._listings = listings
        # By which row of this batch each document was asked for last.
        self._at: dict[str, int] = {}

    def get(self, key: str) -> Kept[T]:
        """Return the document to change, and note that the present row asked."""
        kept = self._touched.get(key)
        if kept is None:
            kept = super().get(key)
        position, before = self._fold.position, self._at.get(key)
        if before != position:
            self._at[key] = position
            if self._listings is not None and before is not None:
                self._listings.settle(key, before, kept.view)
            if self._touches is not None:
                self._touches.add(key, position, kept)
        return kept

    def install(self, key: str, document: bytes) -> None:
        """Take a document as it was before the row that comes next."""
        self._cache[key] = self._touched[key] = self._decode(document)

    def save(self) -> None:
        """Write back what this batch changed, and what it noted."""
        if self._listings is not None:
            for key, position in self._at.items():
                self._listings.settle(key, position, self._touched[key].view)
            self._listings.save()
        if self._touches is not None:
            self._touches.save()
        self._at.clear()
        super().save()

    def forget(self) -> None:
        """Drop everything in memory: the file is what counts."""
        super().forget()
        self._at.clear()
        for noted in (self._touches, self._listings):
            if noted is not None:
                noted.forget()
