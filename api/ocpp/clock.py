"""How far a station's clock is off, from what it says the time is in online messages.

A message that waited in a queue tells an instant too early, never one too late: what it
says is a lower bound. So a higher one counts at once, a lower one only when several
messages in a row, some time apart, agree: those of a queue that is emptied do not.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from api.ocpp.desk import Desk
from api.ocpp.etp import CLOCK_TOLERANCE
from api.ocpp.facts import record_of_station
from api.ocpp.peers import Peer
from domain.model import station_events as t
from domain.model.values import DAY, SECOND, Instant

# So many messages in a row must agree, this well, over so long.
_AGREEING: Final = 3
_TOLERANCE: Final = 2 * SECOND
_SPAN: Final = 10 * SECOND
# What is further off is no clock; one that lost its time begins in 1970 or 2000.
_NO_CLOCK: Final = 100 * 366 * DAY
# A change of more than this is recorded.
_NOTEWORTHY: Final = SECOND


def measure_clock(
    desk: Desk, peer: Peer, told_at: Instant, *, is_offline: bool = False
) -> None:
    """Take in the instant that a message of the station gives for just now."""
    now = desk.now
    if is_offline or abs(told_at - now) > _NO_CLOCK:
        return
    heard = peer.clock_heard
    heard.append((now, told_at - now))
    while len(heard) > _AGREEING:
        heard.popleft()
    offset = _offset(peer.clock_offset, heard)
    if offset is None:
        return
    peer.clock_offset = offset
    known = peer.clock_recorded
    if known is None or abs(offset - known) > _NOTEWORTHY:
        peer.clock_recorded = offset
        _record(desk, peer, offset)


def our_time(peer: Peer, told_at: Instant) -> Instant:
    """Return when something happened that a station gives this time, by our clock."""
    offset = peer.clock_offset
    if offset is None or abs(offset) <= CLOCK_TOLERANCE:
        return told_at
    return told_at - offset


def forget_clock(peer: Peer) -> None:
    """Know nothing of the station's clock any more: it booted, and may have set it.

    So what it tells next is news, whatever the instant that it gives.
    """
    peer.clock_offset = peer.clock_recorded = None
    peer.clock_heard = deque()
    for place, (status, error_code, _) in peer.statuses.items():
        peer.statuses[place] = (status, error_code, 0)


def _offset(
    known: Instant | None, heard: Sequence[tuple[Instant, Instant]]
) -> Instant | None:
    """Return the offset after the last sample; None while it is not known."""
    last = heard[-1][1]
    if known is None:
        if last >= -_TOLERANCE:
            return last
    elif last >= known:
        return last
    offsets = [offset for _, offset in heard]
    span = heard[-1][0] - heard[0][0]
    agree = max(offsets) - min(offsets) <= _TOLERANCE
    if len(heard) == _AGREEING and agree and span >= _SPAN:
        return max(offsets)
    return known


def _record(desk: Desk, peer: Peer, offset: Instant) -> None:
    event = t.StationClockMeasured(
        station_id=peer.station_id, offset_ms=round(offset / 1000)
    )
    record_of_station(desk, peer, event)
