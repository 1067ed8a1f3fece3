"""Transactions of a station that have not ended: those that run, and late ones.

All of it can be found in the log again, but for the numbers of messages that held
nothing but readings: what was acknowledged before a restart is taken for seen.
"""

from typing import Final

from msgspec import UnsetType

from api.ocpp.desk import Desk
from api.ocpp.gateway import Gateway
from api.ocpp.peers import OpenTransaction, Peer
from api.ocpp.wire import Wire
from domain.model.values import Instant
from domain.ports import System
from domain.use_cases import clause_7_5_station_transactions as station_transactions
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.s3_remote_start import remote_start_of

# Transactions whose end did not come, of one station.
_MOST: Final = 256


def recall(system: System, peer: Peer) -> None:
    """Read from the log what is known of a station's transactions, after a restart."""
    if peer.open_transactions:
        return
    for told in station_transactions.open_transactions(system, peer.station_id):
        number = peer.evse_number(told.evse_id) if told.evse_id in peer.evses else 0
        is_ours = peer.version == "1.6"
        known = OpenTransaction(
            told.number if is_ours else told.transaction_id,
            number,
            told.started_at,
            session_id=told.session_id,
            evse_id=told.evse_id if number else "",
            is_metered=told.is_metered,
            last_seq_no=told.last_seq_no,
            is_rebuilt=True,
            connector=told.connector,
        )
        peer.open_transactions[known.transaction_id] = known
        if number and known.session_id:
            peer.transactions[number] = known


def recall_anew(gateway: Gateway, desk: Desk, peer: Peer, request: Wire) -> None:
    """Know of a station what the log has, as after a restart: a message failed."""
    peer.open_transactions.clear()
    peer.transactions.clear()
    peer.statuses.clear()
    peer.clock_recorded = None
    recall(desk.system, peer)


def began(
    peer: Peer, transaction_id: int | str, number: int, at: Instant
) -> OpenTransaction:
    """Take in a transaction; of very many the oldest is forgotten."""
    known = OpenTransaction(
        transaction_id, number, at, evse_id=peer.evse_id(number) or ""
    )
    while len(peer.open_transactions) >= _MOST:
        ended(peer, next(iter(peer.open_transactions)))
    peer.open_transactions[transaction_id] = known
    return known


def runs(gateway: Gateway, peer: Peer, known: OpenTransaction) -> None:
    """Take a transaction for the one that runs at its EVSE."""
    number = known.evse_number
    older = peer.transactions.get(number)
    if older is known or not known.evse_id:
        return
    if older is not None:
        ended(peer, older.transaction_id)
    peer.transactions[number] = known
    gateway.transaction_began(peer, number)


def rests(peer: Peer, known: OpenTransaction) -> None:
    """Take in that a transaction goes on without an EV."""
    if peer.transactions.get(known.evse_number) is known:
        del peer.transactions[known.evse_number]


def ended(peer: Peer, transaction_id: int | str) -> None:
    """Take in that a transaction is over."""
    known = peer.open_transactions.pop(transaction_id, None)
    if known is not None:
        rests(peer, known)


def is_contiguous(known: OpenTransaction, seq_no: int) -> bool:
    """Take in the number of a message; whether it skips none."""
    last = known.last_seq_no
    if last is not None and seq_no <= last:
        return True
    skips = last is not None and seq_no > last + 1
    if skips and known.is_rebuilt and last is not None:
        known.unreported.append((last + 1, seq_no - 1))
        skips = False
    known.is_rebuilt = False
    known.last_seq_no = seq_no
    return not skips


def seen(known: OpenTransaction, seq_no: int) -> None:
    """Take in the number of a message that held nothing but readings."""
    ranges = known.unreported
    if ranges and ranges[-1][1] == seq_no - 1:
        ranges[-1] = (ranges[-1][0], seq_no)
    else:
        ranges.append((seq_no, seq_no))


def reference_of(
    desk: Desk,
    peer: Peer,
    remote_start_id: int | UnsetType,
    reservation_id: int | UnsetType,
) -> Reference | None:
    """Return what a station names that a session stands for; other numbers: nothing."""
    if isinstance(remote_start_id, int):
        reference = remote_start_of(peer.station_id, remote_start_id)
    elif isinstance(reservation_id, int):
        reference = Reference(peer.station_id, "reservation", str(reservation_id))
    else:
        return None
    is_ours = desk.system.log.owner("reference", reference.key) is not None
    return reference if is_ours else None
