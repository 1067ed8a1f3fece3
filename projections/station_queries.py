"""Queries on ``stations.sqlite``."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec

from projections.file import Reader, reader_of
from projections.fold import Kept
from projections.scope import Scope, merged, parts_of
from projections.station_documents import Station, StationDocument
from projections.stations import StationsFold


class StationFilter(NamedTuple):
    """Which stations to list; empty text asks for all."""

    zone_id: str = ""
    standing: str = ""
    connection: str = ""


ALL_STATIONS = StationFilter()


class Stations:
    """Queries on ``stations.sqlite``."""

    def __init__(self, source: Path | Reader) -> None:
        self.reader = reader_of(source, StationsFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[StationDocument]).decode

    def page(
        self,
        *,
        after: str = "",
        limit: int = 100,
        wanted: StationFilter = ALL_STATIONS,
        scope: Scope | None = None,
    ) -> list[Station]:
        """Return stations by id, those after one.

        Without a scope all are seen, with one those at its places.
        """
        filters = {name: value for name, value in wanted._asdict().items() if value}
        with self.reader.snapshot() as db:
            parts = [
                self._part(db, part, after, limit) for part in parts_of(filters, scope)
            ]
        return merged(parts, lambda station: station.station_id, limit)

    def _part(
        self, db: sqlite3.Connection, part: dict[str, str], after: str, limit: int
    ) -> list[Station]:
        columns = "".join(f" AND {column} = ?" for column in part)
        rows = db.execute(
            f"SELECT document FROM station WHERE station_id > ?{columns}"
            " ORDER BY station_id LIMIT ?",
            (after, *part.values(), limit),
        )
        return [self._decode(document).view.shown() for (document,) in rows]

    def station(self, station_id: str) -> Station | None:
        """Return one station."""
        rows = self.reader.rows(
            "SELECT document FROM station WHERE station_id = ?", (station_id,)
        )
        return self._decode(rows[0][0]).view.shown() if rows else None
