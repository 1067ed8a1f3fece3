"""Values every part of the domain shares.

Inside the domain an instant is an integer, microseconds since 1970-01-01T00:00Z, in
fields ending ``_at``: the same number in the bytes of the log, in the loop and in the
planner, so that nothing is rounded on the way (ADR 0002). The edges (HTTP, report, CLI)
convert to and from aware ``datetime``.
"""

import enum
from datetime import UTC, datetime, timedelta

import msgspec

from domain.errors import InvalidValue

Instant = int

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
QUARTER_HOUR = 15 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(moment: datetime) -> Instant:
    """Return the instant of an aware datetime; a naive one is refused."""
    if moment.tzinfo is None:
        raise InvalidValue(f"instant {moment.isoformat()} has no time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def datetime_of(instant: Instant) -> datetime:
    """Return the aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=instant)


def iso_of(instant: Instant) -> str:
    """Return the instant as RFC 3339 text in UTC; beyond the year 9999, as it is."""
    try:
        return datetime_of(instant).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{instant} µs since 1970"


def utc_day_of(instant: Instant) -> str:
    """Return the UTC day of an instant, as in the names of day streams."""
    return datetime_of(instant).strftime("%Y-%m-%d")


class Quality(enum.StrEnum):
    """What a recorded fact is worth.

    Facts of every quality are kept; only ``GOOD`` and ``LATE`` reach books, and only
    ``GOOD`` wakes the planner. What is ``UNREADABLE`` is kept as it came.
    """

    GOOD = "good"
    LATE = "late"
    DUPLICATE = "duplicate"
    CONTRADICTS = "contradicts"
    IMPLAUSIBLE = "implausible"
    UNREADABLE = "unreadable"


class Current(enum.StrEnum):
    """Kind of current an EVSE delivers."""

    AC = "AC"
    DC = "DC"


class Sealed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One declared group of personal fields, encrypted under a subject's key.

    ``key_id`` is opaque and names a key in the vault. Without the key the group stays
    what it is: bytes. No decision depends on the plaintext.
    """

    key_id: str
    nonce: bytes
    ciphertext: bytes


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of every event; a subclass says what happened, in the past tense.

    The state in the log is the msgpack map of the fields (defaults left out): integers,
    text and bytes only.
    """
