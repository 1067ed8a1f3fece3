"""What the export routes and ``voltledger export`` share."""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Protocol

import msgspec

from api.rest.presentation import present
from domain.errors import InvalidValue
from domain.model.values import DAY, Event, Instant, instant_of
from domain.ports import Log, Recorded, SampleLog

# Instants between which there can be samples.
EARLIEST, LATEST = 0, 253_402_300_799_000_000 - 2 * DAY

_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)
_EPOCH_DAY = date(1970, 1, 1)


class RecordedBy(Protocol):
    """The part of `domain.ports.Log` that knows when rows were recorded."""

    def recorded_by(self, at: Instant) -> int:
        """Return the last position recorded at or before ``at``."""
        ...


def first_position(log: RecordedBy, text: str, default: int) -> int:
    """Return the position that text names, or the first one recorded from then on.

    Raises
    ------
    InvalidValue
        for what is neither a position nor an instant.
    """
    if not text:
        return default
    if _POSITION.fullmatch(text):
        return int(text)
    return log.recorded_by(instant_from(text) - 1) + 1


def instant_from(text: str) -> Instant:
    """Return the instant of an RFC 3339 text."""
    try:
        return instant_of(datetime.fromisoformat(text.replace(" ", "+")))
    except (ValueError, OverflowError, InvalidValue):
        rule = "is a position, or an RFC 3339 instant as 2019-10-29T08:00:00Z"
        raise InvalidValue(rule) from None


def day_span(day: date) -> tuple[Instant, Instant]:
    """Return begin and end of a UTC day."""
    begin = (day - _EPOCH_DAY).days * DAY
    return begin, begin + DAY


def events_of(
    log: Log, is_visible: Callable[[Recorded], bool], *, after: int, until: int
) -> Iterator[bytes]:
    """Yield a Parquet file of events; sealed groups stay closed."""
    # It loads pyarrow, which nothing else of a server needs.
    from projections.export import Showing, events

    return events(log, Showing(is_visible, _text_of), after=after, until=until)


def samples_of(
    log: SampleLog,
    is_visible: Callable[[str], bool],
    from_at: Instant,
    until_at: Instant,
) -> Iterator[bytes]:
    """Yield a Parquet file of readings of visible zones."""
    # It loads pyarrow, which nothing else of a server needs.
    from projections.export import samples

    return samples(log, is_visible, from_at=from_at, until_at=until_at)


def _text_of(event: Event) -> str:
    return msgspec.json.encode(present(event)).decode()
