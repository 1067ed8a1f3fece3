"""Queries on ``evses.sqlite``."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec

from projections.evses import Evse, EvseDocument, EvsesFold
from projections.file import Reader, reader_of
from projections.fold import Kept
from projections.scope import Scope, by_states, merged, parts_of


class EvseFilter(NamedTuple):
    """Which EVSEs to list; empty text asks for all."""

    zone_id: str = ""
    station_id: str = ""
    state: str = ""


ALL_EVSES = EvseFilter()
STATES = ("available", "reserved", "occupied", "blocked")


class Evses:
    """Queries on ``evses.sqlite``."""

    def __init__(self, source: Path | Reader) -> None:
        self.reader = reader_of(source, EvsesFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[EvseDocument]).decode

    def page(
        self,
        *,
        after: str = "",
        limit: int = 100,
        wanted: EvseFilter = ALL_EVSES,
        scope: Scope | None = None,
    ) -> list[Evse]:
        """Return EVSEs by id, those after one.

        Without a scope all are seen, with one those at its places.
        """
        filters = {name: value for name, value in wanted._asdict().items() if value}
        with self.reader.snapshot() as db:
            parts = [
                self._part(db, part, after, limit)
                for part in by_states(parts_of(filters, scope), STATES)
            ]
        return merged(parts, lambda evse: evse.evse_id, limit)

    def _part(
        self, db: sqlite3.Connection, part: dict[str, str], after: str, limit: int
    ) -> list[Evse]:
        index = next((name for name in ("station", "zone") if f"{name}_id" in part), "")
        columns = "".join(f" AND {column} = ?" for column in part)
        rows = db.execute(
            f"SELECT document FROM evse INDEXED BY evse_by_{index or 'state'}"
            f" WHERE evse_id > ?{columns} ORDER BY evse_id LIMIT ?",
            (after, *part.values(), limit),
        )
        return [self._decode(document).view.shown() for (document,) in rows]

    def evse(self, evse_id: str) -> Evse | None:
        """Return one EVSE."""
        rows = self.reader.rows(
            "SELECT document FROM evse WHERE evse_id = ?", (evse_id,)
        )
        return self._decode(rows[0][0]).view.shown() if rows else None
