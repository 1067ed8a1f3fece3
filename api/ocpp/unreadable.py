"""Messages about transactions that cannot be read are kept as they came, sealed (7.5).

A dropped one is somebody's money. What was not about a transaction is only counted.
"""

from typing import Final

from api.ocpp.desk import Desk
from api.ocpp.peers import Peer
from domain.errors import Refused
from domain.model import ids
from domain.model import station_events as t
from domain.model.values import Quality
from domain.ports import Append, Batch

TRANSACTION_ACTIONS: Final = (
    "TransactionEvent",
    "StartTransaction",
    "StopTransaction",
    "MeterValues",
)
CONTEXT: Final = "station.message_kept"
# Beyond, only the beginning is kept.
_LONGEST: Final = 256 * 1024


def messages_subject(station_id: str) -> str:
    """Return the subject under whose key a station's unreadable messages are sealed."""
    return f"messages-{station_id}"


def keep_unreadable(
    desk: Desk, peer: Peer, action: str, rule: str, frame: bytes
) -> None:
    """Keep a message that breaks a rule, where it is about a transaction."""
    if not action:
        action = next((a for a in TRANSACTION_ACTIONS if a.encode() in frame), "")
    if action not in TRANSACTION_ACTIONS:
        return
    keep_message(desk, peer, action, Quality.UNREADABLE, rule, frame)


def keep_message(
    desk: Desk, peer: Peer, action: str, quality: Quality, rule: str, frame: bytes
) -> None:
    """Keep a message as it came, sealed."""
    system = desk.system
    try:
        payload = system.vault.seal(
            messages_subject(peer.station_id), CONTEXT, frame[:_LONGEST]
        )
    except Refused:  # its key was destroyed: what it said is not kept any more
        payload = None
    event = t.StationMessageKept(
        station_id=peer.station_id,
        action=action,
        quality=quality,
        rule=rule,
        payload=payload,
    )
    stream = ids.connectivity_stream(peer.station_id, desk.now)
    append = Append(stream, (event,), desk.now)
    system.log.append(Batch(actor=peer.station_id, appends=(append,)))
