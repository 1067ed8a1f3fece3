"""Parquet of events and samples, written row group by row group in bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from domain.model.plan_events import ReadingsTaken
from domain.model.values import DAY, Event, Instant, utc_day_of
from domain.ports import Recorded, RowFilter
from projections.readings import Reading, readings_of

# Rows of one row group: what of an export is in memory at a time.
_GROUP = 10_000

_INSTANT = pa.timestamp("us", tz="UTC")
_OF_EVENTS = pa.schema(
    [
        ("position", pa.int64()),
        ("tenant", pa.string()),
        ("stream", pa.string()),
        ("version", pa.int64()),
        ("is_decision", pa.bool_()),
        ("type", pa.string()),
        ("schema", pa.int32()),
        ("occurred_at", _INSTANT),
        ("recorded_at", _INSTANT),
        ("command_id", pa.string()),
        ("correlation_id", pa.string()),
        ("causation", pa.int64()),
        ("actor", pa.string()),
        ("zone_id", pa.string()),
        ("evse_id", pa.string()),
        ("session_id", pa.string()),
        ("state", pa.string()),
    ]
)
_OF_SAMPLES = pa.schema(
    [
        ("zone_id", pa.string()),
        ("evse_id", pa.string()),
        ("at", _INSTANT),
        ("power_w", pa.int64()),
        ("register_wh", pa.int64()),
    ]
)
# Columns that events have or have not; the others are of every row.
_OF_SOME = ("zone_id", "evse_id", "session_id")
_OF_ALL = _OF_EVENTS.names[: _OF_EVENTS.names.index(_OF_SOME[0])]


class FoundRows(Protocol):
    """The part of `domain.ports.Log` that an export needs."""

    def find(
        self, wanted: RowFilter, *, after: int, until: int, limit: int
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows of positions in (after, until], in order."""
        ...


class SampleDays(Protocol):
    """The part of `domain.ports.SampleLog` that an export needs."""

    def days(self) -> list[str]:
        """Return the days that have samples, in order."""
        ...

    def read_day(self, day: str) -> Iterator[Recorded]:
        """Yield the rows recorded on one UTC day."""
        ...


class Showing(NamedTuple):
    """What an export shows: which rows, and an event as text."""

    is_visible: Callable[[Recorded], bool]
    text_of: Callable[[Event], str]


def events(
    log: FoundRows, showing: Showing, *, after: int, until: int
) -> Iterator[bytes]:
    """Yield a Parquet file of the events of positions in (after, until]."""

    def groups() -> Iterator[list[dict[str, Any]]]:
        begin = after
        while rows := log.find(RowFilter(), after=begin, until=until, limit=_GROUP):
            begin = rows[-1].position
            yield [_event(row, showing) for row in rows if showing.is_visible(row)]

    return _parquet(_OF_EVENTS, groups())


def samples(
    log: SampleDays,
    is_visible: Callable[[str], bool],
    *,
    from_at: Instant,
    until_at: Instant,
) -> Iterator[bytes]:
    """Yield a Parquet file of the readings taken in a time, of visible zones.

    Those that were recorded more than a day after it are left out.
    """
    first, last = utc_day_of(from_at), utc_day_of(until_at + DAY)
    days = [day for day in log.days() if first <= day <= last]

    def groups() -> Iterator[list[dict[str, Any]]]:
        found: list[dict[str, Any]] = []
        for day in days:
            for row in log.read_day(day):
                event = row.event
                if not isinstance(event, ReadingsTaken) or not is_visible(
                    event.zone_id
                ):
                    continue
                found += (
                    _sample(event.zone_id, reading)
                    for reading in readings_of(event)
                    if from_at <= reading.taken_at < until_at
                )
                if len(found) >= _GROUP:
                    yield found
                    found = []
        yield found

    return _parquet(_OF_SAMPLES, groups())


def _event(row: Recorded, showing: Showing) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in _OF_ALL}
    for name in _OF_SOME:
        found[name] = getattr(row.event, name, None)
    found["state"] = None if row.event is None else showing.text_of(row.event)
    return found


def _sample(zone_id: str, reading: Reading) -> dict[str, Any]:
    return {
        "zone_id": zone_id,
        "evse_id": reading.evse_id,
        "at": reading.taken_at,
        "power_w": reading.power_w,
        "register_wh": reading.register_wh,
    }


class _Written:
    """A file that is handed on as it is written."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None:
        """Do nothing: what is written waits to be taken."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _parquet(
    schema: pa.Schema, groups: Iterable[list[dict[str, Any]]]
) -> Iterator[bytes]:
    written = _Written()
    with pq.ParquetWriter(written, schema, compression="zstd") as writer:
        for rows in groups:
            if rows:
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            yield written.take()
    yield written.take()
