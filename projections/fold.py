"""Folding events into rows: the base of every read model and its write-back cache."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from domain.model.values import Event, Quality
from domain.ports import Recorded

T = TypeVar("T", bound=msgspec.Struct)

Mark = tuple[int, int]
"""When something happened and where it stands: what orders facts that came late."""

# What reaches books: facts of other qualities are kept, and never counted.
USABLE = frozenset({Quality.GOOD, Quality.LATE})

_CACHED_DOCUMENTS = 20_000


def mark_of(row: Recorded) -> Mark:
    """Return the order of a row among those that came out of order."""
    return (row.occurred_at, row.position)


class Kept(msgspec.Struct, Generic[T], array_like=True):
    """What readers see of one thing, and when each part of it was last told.

    The marks make the last *telling* win, not the last arrival: facts give the same
    state in whatever order they come.
    """

    view: T
    marks: dict[str, Mark] = {}

    def newer(self, part: str, row: Recorded) -> bool:
        """Whether ``row`` is the last to tell ``part``; if so it is noted."""
        mark = (row.occurred_at, row.position)
        if self.marks.get(part, (-1, -1)) >= mark:
            return False
        self.marks[part] = mark
        return True


class Documents(Generic[T]):
    """Documents of one table by their key, written back once a batch.

    The table has a text key, further columns for indexes, and the document last.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        table: str,
        view: type[T],
        columns: Callable[[T], tuple[Any, ...]] = lambda _: (),
    ) -> None:
        self._db = db
        self._view = view
        self._columns = columns
        self._cache: dict[str, Kept[T]] = {}
        self._touched: dict[str, Kept[T]] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Kept[view]).decode  # type: ignore[valid-type]
        info = db.execute(f"PRAGMA table_info({table})").fetchall()
        self._select = f"SELECT {info[-1][1]} FROM {table} WHERE {info[0][1]} = ?"
        places = ", ".join("?" * len(info))
        self._upsert = f"INSERT OR REPLACE INTO {table} VALUES ({places})"

    def get(self, key: str) -> Kept[T]:
        """Return the document to change; a new one when there is none."""
        kept = self._touched.get(key)
        if kept is None:
            kept = self.peek(key)
            if kept is None:
                kept = self._cache[key] = Kept(self._view(key))
            self._touched[key] = kept
        return kept

    def peek(self, key: str) -> Kept[T] | None:
        """Return the document to look at, if there is one."""
        kept = self._cache.get(key)
        if kept is None:
            row = self._db.execute(self._select, (key,)).fetchone()
            if row is not None:
                kept = self._cache[key] = self._decode(row[0])
        return kept

    def touched(self) -> Mapping[str, Kept[T]]:
        """Return what this batch asked to change so far."""
        return self._touched

    def save(self) -> None:
        """Write back what this batch changed."""
        columns, encode = self._columns, self._encode
        self._db.executemany(
            self._upsert,
            [
                (key, *columns(kept.view), encode(kept))
                for key, kept in self._touched.items()
            ],
        )
        self._touched.clear()
        if len(self._cache) > _CACHED_DOCUMENTS:
            self._cache.clear()

    def forget(self) -> None:
        """Drop everything in memory: the file is what counts."""
        self._touched.clear()
        self._cache.clear()


Handler = Callable[[Recorded, Any], None]


class Fold(ABC):
    """A read model being written: one handler an event class, rows saved once a batch.

    ``schema`` rises with every change of tables, documents or meaning: the runner then
    builds the projection anew.
    """

    name: ClassVar[str]
    schema: ClassVar[int]
    ddl: ClassVar[str]

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        # Of the row being folded; set by who folds.
        self.position = 0
        self.handlers: Mapping[type[Event], Handler] = {}

    @abstractmethod
    def save(self) -> None:
        """Write the rows of this batch, within the runner's transaction."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what is in memory after a batch that failed."""
