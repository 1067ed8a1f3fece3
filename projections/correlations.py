"""Which rows of the log belong together: those of one request or one train of work."""

import sqlite3
from pathlib import Path

from domain.model.registry import BY_CLASS
from domain.ports import Recorded
from projections.file import Reader
from projections.fold import Fold


class CorrelationsFold(Fold):
    """Writes ``correlations.sqlite``."""

    name = "correlations"
    schema = 1
    ddl = """
    CREATE TABLE correlation(
      correlation_id TEXT NOT NULL,
      position INTEGER NOT NULL,
      PRIMARY KEY (correlation_id, position)
    ) WITHOUT ROWID;
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._new: list[tuple[str, int]] = []
        self.handlers = dict.fromkeys(BY_CLASS, self._note)

    def save(self) -> None:
        """Write the rows of this batch."""
        self._new.sort()
        self.db.executemany("INSERT INTO correlation VALUES (?, ?)", self._new)
        self._new.clear()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._new.clear()

    def _note(self, row: Recorded, event: object) -> None:
        if row.correlation_id:
            self._new.append((row.correlation_id, row.position))


class Correlations:
    """Queries on ``correlations.sqlite``."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, CorrelationsFold.name)

    def positions(self, correlation_id: str, *, after: int, limit: int) -> list[int]:
        """Return the positions of rows that belong together, those behind one."""
        rows = self.reader.rows(
            "SELECT position FROM correlation WHERE correlation_id = ?"
            " AND position > ? ORDER BY position LIMIT ?",
            (correlation_id, after, limit),
        )
        return [position for (position,) in rows]
