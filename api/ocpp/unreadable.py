"""Messages about transactions that cannot be read are kept as they came, sealed (7.5).

A dropped one is somebody's money. What was not about a transaction is only counted, and
so is what a station that floods sends beyond its bound.
"""

from typing import Final

from api.ocpp.desk import Desk
from api.ocpp.facts import record_of_station
from api.ocpp.kept import may_keep_unreadable, sealed
from api.ocpp.peers import Peer
from domain.model import station_events as t
from domain.model.values import Quality

TRANSACTION_ACTIONS: Final = (
    "TransactionEvent",
    "StartTransaction",
    "StopTransaction",
    "MeterValues",
)
# Beyond, only the beginning is kept.
_LONGEST: Final = 256 * 1024


def keep_unreadable(
    desk: Desk, peer: Peer, action: str, rule: str, frame: bytes
) -> None:
    """Keep a message that breaks a rule, where it is about a transaction."""
    if not action:
        action = next((a for a in TRANSACTION_ACTIONS if a.encode() in frame), "")
    if action in TRANSACTION_ACTIONS and may_keep_unreadable(desk, peer):
        keep_message(desk, peer, action, Quality.UNREADABLE, rule, frame)


def keep_message(
    desk: Desk, peer: Peer, action: str, quality: Quality, rule: str, frame: bytes
) -> None:
    """Keep a message as it came, sealed."""
    event = t.StationMessageKept(
        station_id=peer.station_id,
        action=action,
        quality=quality,
        rule=rule,
        payload=sealed(desk, peer, frame[:_LONGEST]),
    )
    record_of_station(desk, peer, event)
