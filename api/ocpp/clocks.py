"""Clocks of stations: how far they are off, by what they say of the present.

A message takes its time, so the least delayed of the last few tells the clock best. One
that was kept while the station was offline says nothing of it.
"""

from typing import Final

from api.ocpp.desk import Desk
from api.ocpp.etp import CLOCK_TOLERANCE
from api.ocpp.peers import Peer
from domain.model import ids
from domain.model import station_events as t
from domain.model.values import MINUTE, SECOND, Instant
from domain.ports import Append, Batch

# A message so much older than the clock is known to be was kept on the way.
KEPT_AFTER: Final = 5 * MINUTE


def take_time(desk: Desk, peer: Peer, told_at: Instant, *, is_sure: bool) -> None:
    """Learn from the time that a station gives to the present.

    ``is_sure``: the message cannot have waited at the station, so that it also shows
    that the clock was set back.
    """
    sample, known = told_at - desk.now, peer.clock_offset
    if known is None:
        if not is_sure and abs(sample) > KEPT_AFTER:
            return
    elif not is_sure and sample < known - KEPT_AFTER:
        return
    samples = peer.clock_samples
    samples.append(sample)
    offset = max(samples)
    if known is not None and abs(offset - known) <= SECOND:
        return
    peer.clock_offset = offset
    event = t.StationClockMeasured(
        station_id=peer.station_id, offset_ms=offset // 1_000
    )
    stream = ids.connectivity_stream(peer.station_id, desk.now)
    append = Append(stream, (event,), desk.now)
    desk.system.log.append(Batch(actor=peer.station_id, appends=(append,)))


def our_time(peer: Peer, told_at: Instant) -> Instant:
    """Return when something happened that a station gives this time, by our clock."""
    offset = peer.clock_offset
    if offset is None or abs(offset) <= CLOCK_TOLERANCE:
        return told_at
    return told_at - offset
