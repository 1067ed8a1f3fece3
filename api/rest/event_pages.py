"""Histories of events: pages by stream, type, time, correlation, of bounded work."""

from typing import NamedTuple

from api.rest.reading import Context
from api.security.event_reach import Place, StreamPlaces, reaches
from api.security.permissions import may
from api.security.principal import Principal
from api.security.streams import NEEDED
from domain.model.values import Instant
from domain.ports import Recorded, RowFilter

# Positions looked at, and rows read of them, for one page at most.
_SCANNED = 50_000
_READ = 5_000
_AT_ONCE = 500


class History(NamedTuple):
    """What of the log is asked for; an instant of None bounds nothing."""

    rows: RowFilter
    correlation_id: str = ""
    recorded_from_at: Instant | None = None
    recorded_until_at: Instant | None = None


class Found(NamedTuple):
    """Rows of a page, and behind which position it goes on, if it does."""

    rows: list[Recorded]
    behind: int | None


class Visible:
    """Which rows a caller is shown."""

    def __init__(self, context: Context, caller: Principal) -> None:
        self._caller = caller
        self._places = StreamPlaces(context.system)
        self._hidden = tuple(
            prefix for prefix, needed in NEEDED.items() if not may(caller, needed)
        )

    def row(self, row: Recorded) -> bool:
        """Whether the caller is shown a row."""
        place = None if self._caller.reaches_all else self._places.of(row)
        return self.at(row.stream, place)

    def at(self, stream: str, place: Place | None) -> bool:
        """Whether the caller is shown what stands in a stream at a place."""
        return not stream.startswith(self._hidden) and reaches(self._caller, place)


def page_of(
    context: Context, caller: Principal, asked: History, *, after: int, limit: int
) -> Found:
    """Return a page of rows behind a position.

    It may be short and yet go on: so much is looked at for one page at most.
    """
    visible = Visible(context, caller)
    after, end = _bounds(context, asked, after)
    stop = end
    if not (asked.rows.stream or asked.correlation_id):
        stop = min(end, after + _SCANNED)
    found: list[Recorded] = []
    read = 0
    while after < stop and len(found) < limit and read < _READ:
        rows, seen, after = _next(context, asked, after, stop, limit - len(found))
        read += seen
        found += (row for row in rows if visible.row(row))
    return Found(found, after if after < end else None)


def _bounds(context: Context, asked: History, after: int) -> tuple[int, int]:
    """Return behind which position to begin, and the last one that is asked for."""
    log = context.system.log
    end = log.last_position()
    if asked.recorded_from_at is not None:
        after = max(after, log.recorded_by(asked.recorded_from_at - 1))
    if asked.recorded_until_at is not None:
        end = min(end, log.recorded_by(asked.recorded_until_at - 1))
    return after, end


def _next(
    context: Context, asked: History, after: int, stop: int, wanted: int
) -> tuple[list[Recorded], int, int]:
    """Return the next rows, how many were read for them, and up to which position."""
    log = context.system.log
    limit = min(wanted, _AT_ONCE)
    if not asked.correlation_id:
        rows = list(log.find(asked.rows, after=after, until=stop, limit=limit))
        return rows, len(rows), stop if len(rows) < limit else rows[-1].position
    positions = context.models.correlations.positions(
        asked.correlation_id, after=after, limit=_AT_ONCE
    )
    within = [position for position in positions if position <= stop]
    rows = [row for row in log.read_at(within) if asked.rows.matches(row)]
    if len(rows) > limit:
        rows = rows[:limit]
        return rows, len(within), rows[-1].position
    return rows, len(within), stop if len(within) < _AT_ONCE else within[-1]
