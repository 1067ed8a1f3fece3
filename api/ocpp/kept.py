"""Messages of a station that are kept as they came, sealed, in bounds.

Of each station so many are kept in an hour: of those that nobody asked for, and, as
more depends on them, of those about transactions that cannot be read. What comes beyond
is counted, so that a flood costs a row.
"""

from typing import Final

from api.ocpp.codec import encode
from api.ocpp.desk import Desk
from api.ocpp.facts import record_of_station
from api.ocpp.peers import Kept, Peer
from api.ocpp.wire import Wire
from domain.errors import Refused
from domain.model import station_events as t
from domain.model.values import HOUR, Quality, Sealed

CONTEXT: Final = "station.message_kept"
MOST_AN_HOUR: Final = 120
MOST_UNREADABLE_AN_HOUR: Final = 720


def messages_subject(station_id: str) -> str:
    """Return the subject under whose key a station's messages are sealed."""
    return f"messages-{station_id}"


def keep(desk: Desk, peer: Peer, action: str, request: Wire) -> None:
    """Keep a message, within the station's bound."""
    if not may_keep(desk, peer):
        return
    event = t.StationMessageKept(
        station_id=peer.station_id,
        action=action,
        quality=Quality.GOOD,
        payload=sealed(desk, peer, encode(request)),
    )
    record_of_station(desk, peer, event)


def may_keep(desk: Desk, peer: Peer) -> bool:
    """Whether one more row of the station is within its bound; count it if not."""
    return _is_within(desk, peer, peer.kept, MOST_AN_HOUR)


def may_keep_unreadable(desk: Desk, peer: Peer) -> bool:
    """Whether one more message that cannot be read is; count it if not."""
    return _is_within(desk, peer, peer.kept_unreadable, MOST_UNREADABLE_AN_HOUR)


def _is_within(desk: Desk, peer: Peer, bound: Kept, most: int) -> bool:
    hour = desk.now - desk.now % HOUR
    if bound.from_at != hour:
        if bound.beyond:
            counted = t.StationMessagesCounted(
                station_id=peer.station_id, count=bound.beyond, from_at=bound.from_at
            )
            record_of_station(desk, peer, counted)
        bound.from_at, bound.count, bound.beyond = hour, 0, 0
    if bound.count >= most:
        bound.beyond += 1
        return False
    bound.count += 1
    return True


def sealed(desk: Desk, peer: Peer, payload: bytes) -> Sealed | None:
    """Seal what a station said."""
    subject_id = messages_subject(peer.station_id)
    try:
        return desk.system.vault.seal(subject_id, CONTEXT, payload)
    except Refused:  # its key was destroyed: what it said is not kept any more
        return None
