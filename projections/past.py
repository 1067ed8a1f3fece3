"""The read models as they were when the log ended at a position.

A document of the past is folded by the fold that writes the present ones, in memory,
from the rows that touched it: an EVSE, a station or a zone from its last checkpoint on
(see `projections.history`), a session from its streams, which are no longer than it is.
What lists filter and sort by is found in the listings; then each item is folded.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from domain.model.ids import session_stream
from domain.model.session_events import MergedInto, ReservationEnded
from domain.model.site_events import EvseReserved
from domain.ports import Recorded
from projections.evse_queries import EvseFilter, Evses
from projections.evses import Evse, EvsesFold
from projections.file import OneConnection, Reader
from projections.fold import Fold
from projections.history import Tracked, positions_of
from projections.plans import Plan
from projections.read_models import ReadModels
from projections.runner import fold_rows
from projections.scope import Scope
from projections.session_documents import Session
from projections.session_queries import (
    SessionDetail,
    SessionFilter,
    SessionKey,
    Sessions,
)
from projections.sessions import SessionsFold
from projections.station_documents import Station
from projections.station_queries import StationFilter, Stations
from projections.stations import StationsFold
from projections.zones import Zone, Zones, ZonesFold

AnyFold = TypeVar("AnyFold", bound=Fold)

# Listings looked at for one page of sessions at most.
_EXAMINED = 20_000
_PLACES = ("evse_id", "zone_id")


class PastLog(Protocol):
    """The part of `domain.ports.Log` that reads of the past need."""

    def read_at(self, positions: Sequence[int]) -> Sequence[Recorded]:
        """Return the rows at some positions, in order of position."""
        ...

    def read_stream(self, stream: str) -> Sequence[Recorded]:
        """Return the rows of a stream in order of version."""
        ...


class Checkpoint(NamedTuple):
    """A document as it was before the row at a position."""

    position: int
    key: str
    document: bytes


class PastPage(NamedTuple):
    """Sessions of a page, and behind which key the next one begins, if there is one.

    A page may be short and yet have a next one: it looks at so many at most.
    """

    items: list[Session]
    behind: SessionKey | None


class Past:
    """Reads of one position. The projections asked have followed the log up to it."""

    def __init__(self, log: PastLog, models: ReadModels, position: int) -> None:
        self._log = log
        self._models = models
        self._position = position

    @property
    def position(self) -> int:
        """The position that the log ended at."""
        return self._position

    def zone(self, zone_id: str) -> Zone | None:
        """Return one zone."""
        return next(iter(self._zones([zone_id])), None)

    def zones(
        self, *, after: str = "", limit: int = 100, zone_ids: Collection[str] | None
    ) -> list[Zone]:
        """Return zones by id, those after one; only some where these are given."""
        rows = self._models.zones.reader.rows(
            "SELECT zone_id FROM zone WHERE zone_id > ? AND EXISTS (SELECT 1 FROM"
            " zone_touch WHERE id = zone_id AND begin <= ?) ORDER BY zone_id",
            (after, self._position),
        )
        found = [i for (i,) in rows if zone_ids is None or i in zone_ids]
        return self._zones(found[:limit])

    def evse(self, evse_id: str) -> Evse | None:
        """Return one EVSE."""
        return next(iter(self._evses([evse_id])), None)

    def evses(
        self, *, after: str = "", limit: int, wanted: EvseFilter, scope: Scope | None
    ) -> list[Evse]:
        """Return EVSEs by id, those after one; within a scope if there is one."""
        return self._evses(
            self._listed(self._models.evses.reader, "evse", after, limit, wanted, scope)
        )

    def station(self, station_id: str) -> Station | None:
        """Return one station."""
        return next(iter(self._stations([station_id])), None)

    def stations(
        self, *, after: str = "", limit: int, wanted: StationFilter, scope: Scope | None
    ) -> list[Station]:
        """Return stations by id, those after one; within a scope if there is one."""
        return self._stations(
            self._listed(
                self._models.stations.reader, "station", after, limit, wanted, scope
            )
        )

    def session(self, session_id: str) -> SessionDetail | None:
        """Return a session with its transactions, under any of its ids."""
        with _folding(SessionsFold) as fold:
            sessions = self._sessions(fold, [session_id])
            return sessions.session(session_id)

    def sessions(
        self,
        *,
        behind: SessionKey | None = None,
        limit: int,
        wanted: SessionFilter,
        scope: Scope | None,
    ) -> PastPage:
        """Return sessions by opening, those behind an (instant, id)."""
        found, behind = self._found(behind, limit, wanted, scope)
        with _folding(SessionsFold) as fold:
            sessions = self._sessions(fold, found)
            items = [item for i in found if (item := sessions.in_short(i))]
        return PastPage(items, behind)

    def plan(self, position: int) -> Plan | None:
        """Return the plan at a position."""
        return self._models.plans.plan(position) if position <= self._position else None

    def _listed(
        self,
        reader: Reader,
        table: str,
        after: str,
        limit: int,
        wanted: EvseFilter | StationFilter,
        scope: Scope | None,
    ) -> list[str]:
        """Return the ids of a page: of what was listed as it is wanted and seen."""
        where, values = _matching(wanted._asdict(), scope)
        rows = reader.rows(
            f"SELECT e.{table}_id FROM {table} AS e JOIN {table}_listed AS l"
            f" ON l.id = e.{table}_id AND l.position = (SELECT max(position)"
            f" FROM {table}_listed WHERE id = e.{table}_id AND position <= ?)"
            f" WHERE e.{table}_id > ? AND {where} ORDER BY e.{table}_id LIMIT ?",
            (self._position, after, *values, limit),
        )
        return [key for (key,) in rows]

    def _zones(self, zone_ids: Sequence[str]) -> list[Zone]:
        with _folding(ZonesFold) as fold:
            reader = self._models.zones.reader
            checkpoints, positions = self._touched(reader, "zone", zone_ids)
            _replay(fold, fold.documents, self._log.read_at(positions), checkpoints)
            zones = Zones(OneConnection(fold.db))
            return [zone for i in zone_ids if (zone := zones.zone(i))]

    def _evses(self, evse_ids: Sequence[str]) -> list[Evse]:
        with _folding(EvsesFold) as fold:
            reader = self._models.evses.reader
            checkpoints, positions = self._touched(reader, "evse", evse_ids)
            rows = self._log.read_at(positions)
            reserving = self._reserving(rows) - set(positions)
            if reserving:
                rows = self._log.read_at(sorted(reserving.union(positions)))
            _replay(fold, fold.documents, rows, checkpoints)
            evses = Evses(OneConnection(fold.db))
            return [evse for i in evse_ids if (evse := evses.evse(i))]

    def _stations(self, station_ids: Sequence[str]) -> list[Station]:
        with _folding(StationsFold) as fold:
            reader = self._models.stations.reader
            checkpoints, positions = self._touched(reader, "station", station_ids)
            _replay(fold, fold.documents, self._log.read_at(positions), checkpoints)
            stations = Stations(OneConnection(fold.db))
            return [found for i in station_ids if (found := stations.station(i))]

    def _reserving(self, rows: Sequence[Recorded]) -> set[int]:
        """Return where else was told of the reservations that rows tell of.

        The end of a reservation means the EVSE that was kept before, or will be.
        """
        sessions = {
            row.event.session_id
            for row in rows
            if isinstance(row.event, EvseReserved | ReservationEnded)
        }
        found = set[int]()
        for session_id in sessions:
            touches = self._models.evses.reader.rows(
                "SELECT begin, offsets FROM reservation_touch"
                " WHERE id = ? AND begin <= ?",
                (session_id, self._position),
            )
            for touched in touches:
                found.update(positions_of(*touched))
        return {position for position in found if position <= self._position}

    def _touched(
        self, reader: Reader, table: str, keys: Sequence[str]
    ) -> tuple[list[Checkpoint], list[int]]:
        """Return the last checkpoints of documents, and all touches from there on."""
        checkpoints, positions = list[Checkpoint](), set[int]()
        for key in keys:
            touches = reader.rows(
                f"SELECT begin, offsets, document FROM {table}_touch AS t"
                f" LEFT JOIN {table}_checkpoint AS c"
                " ON c.id = t.id AND c.position = t.begin"
                " WHERE t.id = ? AND t.begin <= ? ORDER BY t.begin DESC LIMIT 1",
                (key, self._position),
            )
            for begin, offsets, document in touches:
                positions.update(positions_of(begin, offsets))
                if document is not None:
                    checkpoints.append(Checkpoint(begin, key, document))
        return checkpoints, sorted(n for n in positions if n <= self._position)

    def _sessions(self, fold: SessionsFold, session_ids: Sequence[str]) -> Sessions:
        """Fold sessions with all that were merged into them, or they into."""
        rows: list[Recorded] = []
        waiting, met = list(session_ids), set(session_ids)
        while waiting:
            session_id = waiting.pop()
            related = list[str]()
            for row in self._log.read_stream(session_stream(session_id)):
                if row.position > self._position:
                    break
                rows.append(row)
                if isinstance(row.event, MergedInto):
                    related.append(row.event.into_session_id)
            now = self._models.sessions.in_short(session_id)
            related += now.merged_from if now else ()
            waiting += set(related) - met
            met.update(related)
        rows.sort(key=lambda row: row.position)
        fold_rows(fold, rows)
        fold.save()
        fold.db.execute("COMMIT")
        return Sessions(OneConnection(fold.db))

    def _found(
        self,
        behind: SessionKey | None,
        limit: int,
        wanted: SessionFilter,
        scope: Scope | None,
    ) -> tuple[list[str], SessionKey | None]:
        """Return the ids of a page, and behind which key to go on."""
        found: list[str] = []
        last: SessionKey | None = None
        with self._models.sessions.reader.snapshot() as db:
            walk = self._walk(db, behind, wanted, scope)
            for examined, (session_id, opened_at, matches) in enumerate(walk):
                # The listings of one session may lie side by side.
                if examined >= _EXAMINED and last and last[1] != session_id:
                    return found, last
                last = (opened_at, session_id)
                if matches:
                    found.append(session_id)
                if len(found) == limit:
                    return found, last
        return found, None

    def _walk(
        self,
        db: sqlite3.Connection,
        behind: SessionKey | None,
        wanted: SessionFilter,
        scope: Scope | None,
    ) -> Iterator[tuple[str, int, int]]:
        """Yield listings in the order of the page, and whether each is wanted."""
        past, order = (">", "ASC") if wanted.ascending else ("<", "DESC")
        filters = {n: getattr(wanted, n) for n in ("station_id", "state", "party")}
        places = {name: value for name in _PLACES if (value := getattr(wanted, name))}
        index = next(iter(places), "opening").removesuffix("_id")
        where = ["l.position <= ?", "l.opened_at >= ?", "l.opened_at < ?"]
        values: list[Any] = [self._position]
        values += (wanted.opened_from_at, wanted.opened_until_at)
        # Nothing listed by then was opened later: the walk begins there.
        where.append(
            "l.opened_at <= (SELECT highest_opened_at FROM session_listed"
            " WHERE position <= ? ORDER BY position DESC, highest_opened_at DESC"
            " LIMIT 1)"
        )
        values.append(self._position)
        if behind is not None:
            where.append(f"(l.opened_at, l.id) {past} (?, ?)")
            values += behind
        for name, value in places.items():
            where.append(f"l.{name} = ?")
            values.append(value)
        matching, matched = _matching(filters, scope)
        yield from db.execute(
            f"SELECT l.id, l.opened_at, {matching} AND l.position = ("
            "SELECT max(position) FROM session_listed WHERE id = l.id"
            " AND position <= ?) FROM session_listed AS l"
            f" INDEXED BY session_listed_by_{index} WHERE {' AND '.join(where)}"
            f" ORDER BY l.opened_at {order}, l.id {order}",
            (*matched, self._position, *values),
        )


def _matching(filters: dict[str, Any], scope: Scope | None) -> tuple[str, list[Any]]:
    """Return the condition that a listing ``l`` is wanted and seen."""
    where, values = ["1"], list[Any]()
    for name, value in filters.items():
        if not value:
            continue
        if name == "party":
            where.append("instr(l.parties, ?)")
            value = f" {value} "
        else:
            where.append(f"l.{name} = ?")
        values.append(value)
    if scope is not None:
        seen = ["0"]
        for name, places in (("zone_id", scope.zones), ("station_id", scope.stations)):
            seen.append(f"l.{name} IN ({', '.join('?' * len(places))})")
            values += sorted(places)
        # As in lists of the present: another's party is not seen by the own one.
        if scope.party and filters.get("party") in (None, "", scope.party):
            seen.append("instr(l.parties, ?)")
            values.append(f" {scope.party} ")
        where.append(f"({' OR '.join(seen)})")
    return " AND ".join(where), values


@contextmanager
def _folding(fold_type: type[AnyFold]) -> Iterator[AnyFold]:
    """Give a fold that writes into memory, in a transaction."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(fold_type.ddl)
        db.execute("BEGIN")
        yield fold_type(db)


def _replay(
    fold: EvsesFold | StationsFold | ZonesFold,
    documents: Tracked[Any],
    rows: Sequence[Recorded],
    checkpoints: list[Checkpoint],
) -> None:
    """Fold rows in order; each checkpoint replaces what they made of its document."""
    checkpoints.sort()
    begin = 0
    for checkpoint in checkpoints:
        end = begin
        while rows[end].position < checkpoint.position:
            end += 1
        fold_rows(fold, rows[begin:end])
        documents.install(checkpoint.key, checkpoint.document)
        begin = end
    fold_rows(fold, rows[begin:])
    fold.save()
    fold.db.execute("COMMIT")
