"""Readings of EVSEs from the samples: the last one, those of a time, sums of a zone."""

import struct
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from domain.model.plan_events import MeasuresTaken, ReadingsTaken
from domain.model.values import DAY, HOUR, Instant
from domain.ports import Recorded

# A row holds the readings of one group commit: its last ones are no later after it.
_LONGEST_ROW = HOUR
# A reading older than this says nothing of an instant.
_LOOKED_BACK = DAY
# Rows of a zone looked at for one page at most.
_EXAMINED = 5_000
_A_MILLISECOND = 1_000


class ReadSamples(Protocol):
    """The part of `domain.ports.SampleLog` that is read here."""

    def read_span(
        self,
        stream: str,
        from_at: Instant,
        until_at: Instant,
        *,
        latest_first: bool = False,
    ) -> Iterator[Recorded]:
        """Yield a stream's rows of a time, ordered by when they occurred."""
        ...


class Reading(msgspec.Struct, frozen=True):
    """What an EVSE's meter said: power, and the import register."""

    evse_id: str
    taken_at: Instant
    power_w: int
    register_wh: int


class ZoneReading(msgspec.Struct, frozen=True):
    """The power of the EVSEs of a zone that told it together, and how many did."""

    taken_at: Instant
    power_w: int
    evses: int


class Measured(msgspec.Struct, frozen=True):
    """What else an EVSE's station measured, in the words of its protocol."""

    evse_id: str
    taken_at: Instant
    measurand: str
    phase: str
    location: str
    context: str
    unit: str
    value: float


class Span(NamedTuple):
    """A time: from an instant on, up to and without another."""

    from_at: Instant
    until_at: Instant


class Place(NamedTuple):
    """Behind which row a page goes on: its instant, and how many of that instant."""

    row_at: Instant
    rows: int


Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    """What whole rows tell, and behind which the next page begins, if there is one.

    A page may be short and yet have a next one: it looks at so many rows at most.
    """

    items: list[Item]
    behind: Place | None


def readings_of(event: ReadingsTaken) -> list[Reading]:
    """Return the readings of a row."""
    columns = zip(
        _column(event.evse_index),
        _column(event.offset_ms),
        _column(event.power_w),
        _column(event.register_wh),
        strict=True,
    )
    return [
        Reading(
            event.evse_ids[index],
            event.from_at + offset_ms * _A_MILLISECOND,
            power_w,
            register_wh,
        )
        for index, offset_ms, power_w, register_wh in columns
    ]


def measures_of(event: MeasuresTaken) -> list[Measured]:
    """Return the measures of a row."""
    columns = zip(
        _column(event.evse_index),
        _column(event.name_index),
        _column(event.offset_ms),
        struct.unpack(f"<{len(event.value_milli) // 8}q", event.value_milli),
        strict=True,
    )
    names = [_names(text) for text in event.names]
    return [
        Measured(
            event.evse_ids[index],
            event.from_at + offset_ms * _A_MILLISECOND,
            *names[name],
            value_milli / 1_000,
        )
        for index, name, offset_ms, value_milli in columns
    ]


def _names(text: str) -> tuple[str, str, str, str, str]:
    name, _, unit = text.partition(" ")
    measurand, phase, location, context = name.split("/")
    return measurand, phase, location, context, unit


def _column(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}i", data)


class Readings:
    """Queries on the samples of one zone."""

    def __init__(self, samples: ReadSamples, zone_id: str) -> None:
        self._samples = samples
        self._stream = f"samples-{zone_id}"
        self._measures = f"measures-{zone_id}"

    def last(self, evse_id: str, at: Instant) -> Reading | None:
        """Return the last reading at or before an instant, at most a day older."""
        rows = self._samples.read_span(
            self._stream, at - _LOOKED_BACK, at + 1, latest_first=True
        )
        found: Reading | None = None
        for row in rows:
            if found and row.occurred_at + _LONGEST_ROW < found.taken_at:
                break
            for reading in _readings(row):
                ours = reading.evse_id == evse_id and reading.taken_at <= at
                if ours and (found is None or reading.taken_at > found.taken_at):
                    found = reading
        return found

    def of_evse(
        self, evse_id: str, span: Span, *, behind: Place | None = None, limit: int
    ) -> Page[Reading]:
        """Return an EVSE's readings of a time, in the order of their rows."""

        def told(row: Recorded) -> list[Reading]:
            return [one for one in _within(row, span) if one.evse_id == evse_id]

        return self._page(self._stream, told, span, behind, limit)

    def of_zone(
        self, span: Span, *, behind: Place | None = None, limit: int
    ) -> Page[ZoneReading]:
        """Return the sums of the power of the EVSEs that told it together."""

        def told(row: Recorded) -> list[ZoneReading]:
            return _sums(_within(row, span))

        return self._page(self._stream, told, span, behind, limit)

    def measured(
        self, evse_id: str, span: Span, *, behind: Place | None = None, limit: int
    ) -> Page[Measured]:
        """Return what else was measured at an EVSE, in the order of the rows."""

        def told(row: Recorded) -> list[Measured]:
            if not isinstance(row.event, MeasuresTaken):
                return []
            return [
                one
                for one in measures_of(row.event)
                if one.evse_id == evse_id
                and span.from_at <= one.taken_at < span.until_at
            ]

        return self._page(self._measures, told, span, behind, limit)

    def _page(
        self,
        stream: str,
        told: Callable[[Recorded], list[Item]],
        span: Span,
        behind: Place | None,
        limit: int,
    ) -> Page[Item]:
        found: list[Item] = []
        place = behind
        for examined, (here, row) in enumerate(self._rows(stream, span, behind)):
            items = told(row)
            full = bool(items) and bool(found) and len(found) + len(items) > limit
            if full or examined >= _EXAMINED:
                return Page(found, place)
            found += items
            place = here
        return Page(found, None)

    def _rows(
        self, stream: str, span: Span, behind: Place | None
    ) -> Iterator[tuple[Place, Recorded]]:
        """Yield the rows of a time behind a place, each with its own place."""
        from_at = span.from_at - _LONGEST_ROW
        if behind is not None:
            from_at = min(max(from_at, behind.row_at), span.until_at)
        place = Place(from_at, 0)
        for row in self._samples.read_span(stream, from_at, span.until_at):
            rows = place.rows + 1 if row.occurred_at == place.row_at else 1
            place = Place(row.occurred_at, rows)
            if behind is None or place > behind:
                yield place, row


def _within(row: Recorded, span: Span) -> list[Reading]:
    begin, end = span
    return [one for one in _readings(row) if begin <= one.taken_at < end]


def _sums(readings: list[Reading]) -> list[ZoneReading]:
    told: dict[Instant, list[int]] = {}
    for reading in readings:
        told.setdefault(reading.taken_at, []).append(reading.power_w)
    return [ZoneReading(at, sum(w), len(w)) for at, w in sorted(told.items())]


def _readings(row: Recorded) -> list[Reading]:
    return readings_of(row.event) if isinstance(row.event, ReadingsTaken) else []
