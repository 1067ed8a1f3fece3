"""Deviations of a station from its protocol that are tolerated: mended and counted.

Only what the decoder complains of is mended, and only as the station's setting says; so
a message that keeps to its protocol is read as ever, and everything else is refused.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from api.ocpp.desk import Desk
from api.ocpp.facts import record_of_station
from api.ocpp.peers import Peer
from api.ocpp.violations import Violation
from api.ocpp.wire import Wire
from domain.model import station_events as t
from domain.model.deviations import Deviation
from domain.model.values import HOUR

# A message with more than this many is not a model's habit.
_MOST: Final = 1_000
_PLACE: Final = re.compile(r" - at `\$(?P<path>.*)`$")
_STEP: Final = re.compile(r"\.(?P<member>[^.\[\]]+)|\[(?P<item>\d+)\]")
_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
# What the decoder says, and which deviation that may be.
_SAID: Final = (
    (re.compile(r"Expected `datetime` with a timezone"), "instant-without-offset"),
    (re.compile(r"Expected `[\w| ]+`, got `null`"), "null-member"),
    (re.compile(r"Object contains unknown field `(?P<name>.*?)`"), "unknown-member"),
    (re.compile(r"Expected `(int|float|int \| float)`, got `str`"), "number-as-text"),
    (re.compile(r"Expected `bool`, got `str`"), "boolean-as-text"),
)
_BOOLEANS: Final = {"true": True, "false": False}

Decode = Callable[[bytes], Wire]


def read(desk: Desk, peer: Peer, decode: Decode, payload: bytes) -> Wire:
    """Decode a station's payload with the deviations that are tolerated of it."""
    used = Counter[str]()
    message = _read(decode, payload, peer.deviations, used)
    for deviation, times in sorted(used.items()):
        _count(desk, peer, deviation, times)
    return message


def _read(
    decode: Decode, payload: bytes, tolerated: frozenset[str], used: Counter[str]
) -> Wire:
    while True:
        try:
            return decode(payload)
        except Violation as violation:
            if used.total() >= _MOST:
                raise
            found = _mended(payload, str(violation.args[1]), tolerated)
            if found is None:
                raise
            payload, deviation = found
            used[deviation] += 1


def _mended(
    payload: bytes, said: str, tolerated: frozenset[str]
) -> tuple[bytes, str] | None:
    """Return the payload without what was complained of; None: it is not tolerated."""
    for pattern, deviation in _SAID:
        complaint = pattern.match(said)
        if complaint is None or deviation not in tolerated:
            continue
        value = _value_of(payload)
        if value is None:
            return None
        *steps, last = _steps(said, complaint.groupdict().get("name"))
        holder = value
        for step in steps:
            holder = holder[step]
        if not _mend(holder, last, Deviation(deviation)):
            return None
        return msgspec.json.encode(value), deviation
    return None


def _value_of(payload: bytes) -> Any:
    """Return what the payload says; None when a name stands twice in an object."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _Twice
        return found

    try:
        return json.loads(payload, object_pairs_hook=once)
    except _Twice:
        return None


class _Twice(Exception):
    """A name stands twice in one object."""


def _steps(said: str, name: str | None) -> Iterator[str | int]:
    """Yield the way to what is complained of."""
    place = _PLACE.search(said)
    for step in _STEP.finditer(place["path"] if place else ""):
        yield step["member"] or int(step["item"])
    if name is not None:
        yield name


def _mend(holder: Any, at: str | int, deviation: Deviation) -> bool:
    """Mend a value where it stands; False when it cannot be."""
    value = holder[at]
    match deviation:
        case Deviation.INSTANT_WITHOUT_OFFSET:
            holder[at] = f"{value}Z"
        case Deviation.NULL_MEMBER | Deviation.UNKNOWN_MEMBER:
            if not isinstance(holder, dict):
                return False
            del holder[at]
        case Deviation.NUMBER_AS_TEXT:
            if not _NUMBER.fullmatch(value):
                return False
            holder[at] = float(value) if "." in value else int(value)
        case Deviation.BOOLEAN_AS_TEXT:
            if value not in _BOOLEANS:
                return False
            holder[at] = _BOOLEANS[value]
    return True


def _count(desk: Desk, peer: Peer, deviation: str, times: int) -> None:
    """Count uses; a row says how many there were, the first time and once an hour."""
    peer.tolerated[deviation] += times
    from_at = peer.tolerated_from.get(deviation)
    if from_at is not None and desk.now < from_at + HOUR:
        return
    event = t.StationDeviationTolerated(
        station_id=peer.station_id,
        deviation=deviation,
        count=peer.tolerated.pop(deviation),
        from_at=desk.now if from_at is None else from_at,
    )
    peer.tolerated_from[deviation] = desk.now
    record_of_station(desk, peer, event)
