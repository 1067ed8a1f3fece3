"""7.5 Which transaction of a station a message belongs to.

By its id, where the station gives one (2.x). A station without ids of its own (1.6) is
given the number of the transaction's first row, and an end that comes with another
number is bound by EVSE, time and register: to a transaction that is open, or to one
whose start comes after it.
"""

import hashlib
from typing import NamedTuple

import msgspec

from domain.errors import DomainError
from domain.model import ids
from domain.model import station_events as t
from domain.model.station_transaction import StationTransaction, after
from domain.model.values import Instant, Quality
from domain.ports import System
from domain.use_cases.clause_6_2_joining import is_of_group
from domain.use_cases.clause_7_5_books import load_transaction
from domain.use_cases.clause_7_5_drafts import Draft
from domain.use_cases.shared_path import load_evse

Message = t.StationTransactionReported

# Guard rows: transactions of which more is to come, and ends of which no start is
# known; both by station.
OPEN = "station-transaction"
STRAY = "stray-end"


class Found(NamedTuple):
    """A message's transaction, and whether it can be of it; a stray one has none."""

    known: StationTransaction
    contradicts: bool = False
    is_stray: bool = False


def find(system: System, event: Message, content_key: str, at: Instant) -> Found:
    """Return the transaction of a message."""
    found = _find(system, event, content_key, at)
    is_elsewhere = event.evse_id and found.known.evse_id not in ("", event.evse_id)
    is_nowhere = event.kind == "started" and not event.evse_id
    if is_elsewhere or is_nowhere or not _is_of_station(system, event):
        return found._replace(contradicts=True)
    return found


def _is_of_station(system: System, event: Message) -> bool:
    """Whether the EVSE that a message names is one of its station."""
    if not event.evse_id:
        return True
    try:
        data = load_evse(system, event.evse_id).commissioned
    except DomainError:
        return False
    return data is not None and data.station_id == event.station_id


def _find(system: System, event: Message, content_key: str, at: Instant) -> Found:
    if event.seq_no is not None:
        return Found(_by_id(system, event, at))
    if event.transaction_id:
        return _by_number(system, event, at)
    stream = ids.transaction_stream(event.station_id, f"start/{content_key}")
    return Found(load_transaction(system, stream))


def _by_id(system: System, event: Message, at: Instant) -> StationTransaction:
    """Return the transaction of an id; a station may use one again after its end."""
    key = f"id/{event.transaction_id}"
    stream = ids.transaction_stream(event.station_id, key)
    known = load_transaction(system, stream)
    while known.ended is not None and at > known.ended.at:
        stream = ids.transaction_stream(event.station_id, f"{key}/{known.number}")
        again = load_transaction(system, stream)
        if not again.number and event.kind != "started":
            break
        known = again
    return known


def _by_number(system: System, event: Message, at: Instant) -> Found:
    known = _numbered(system, event.transaction_id)
    if known is not None and known.station_id == event.station_id:
        return Found(known)
    stray = load_transaction(system, _stray_stream(event, at))
    if known is not None:  # another station's
        return Found(stray, contradicts=True, is_stray=True)
    by_place = None if stray.number else _by_place(system, event, at)
    return Found(by_place) if by_place else Found(stray, is_stray=True)


def _numbered(system: System, text: str) -> StationTransaction | None:
    if not text.isdecimal() or not 0 < int(text) <= system.log.last_position():
        return None
    (row,) = system.log.read_at((int(text),))
    if not row.stream.startswith("transaction-"):
        return None
    known = load_transaction(system, row.stream)
    return known if known.number == row.position else None


def _stray_stream(event: Message, at: Instant) -> str:
    told = msgspec.msgpack.encode((event.kind, event.points, event.reason, at))
    digest = hashlib.sha256(told).hexdigest()
    key = f"stray/{event.transaction_id}/{digest}"
    return ids.transaction_stream(event.station_id, key)


def _by_place(system: System, event: Message, at: Instant) -> StationTransaction | None:
    """Return the one open transaction that a message without its number can be of.

    None where a later one has ended whose start is not known: it may be of that.
    """
    if event.kind != "ended" and _has_stray_since(system, event.station_id, at):
        return None
    candidates = [
        known
        for claim in system.log.claims(OPEN, f"{event.station_id}/")
        if (known := load_transaction(system, claim.owner)).started
        and known.ended is None
        and can_be(system, known, event, at)
    ]
    return candidates[0] if len(candidates) == 1 else None


def _has_stray_since(system: System, station_id: str, at: Instant) -> bool:
    claims = system.log.claims(STRAY, f"{station_id}/")
    return any(claim.key >= f"{station_id}/{at:020d}" for claim in claims)


def can_be(
    system: System, known: StationTransaction, event: Message, at: Instant
) -> bool:
    """Whether a message without its number can be of a transaction.

    Who is of one group may end another's.
    """
    theirs, shown = known.subject_id, event.subject_id
    first, last = _first_wh(known), max(_registers(event), default=None)
    return (
        known.began_at <= at
        and event.evse_id in ("", known.evse_id)
        and (
            not shown or theirs in ("", shown) or is_of_group(system, theirs, shown, at)
        )
        and (first is None or last is None or first <= last)
    )


def _first_wh(known: StationTransaction) -> int | None:
    told = [wh for each in known.told for wh in _registers(each.event)]
    return min(told, default=None)


def _registers(event: Message) -> list[int]:
    return [each.import_wh for each in event.points if each.import_wh is not None]


def keep_stray(draft: Draft, known: StationTransaction, at: Instant) -> None:
    """Let an end without a start be found when its start comes."""
    key = f"{known.station_id}/{at:020d}/{known.stream}"
    draft.claim(STRAY, key, known.stream)


def stray_end_of(
    system: System, known: StationTransaction
) -> StationTransaction | None:
    """Return the first end that came before the start of a transaction, if any."""
    for claim in system.log.claims(STRAY, f"{known.station_id}/"):
        stray = load_transaction(system, claim.owner)
        if stray.ended and can_be(system, known, stray.ended.event, stray.ended.at):
            return stray
    return None


def adopt(
    draft: Draft, known: StationTransaction, stray: StationTransaction
) -> StationTransaction:
    """Add the end that came before its start."""
    assert stray.ended is not None
    at, told = stray.ended
    event = msgspec.structs.replace(told, quality=Quality.LATE)
    draft.tell_transaction(known.stream, known.decision_version, at, event)
    key = f"{stray.station_id}/{at:020d}/{stray.stream}"
    draft.release(STRAY, key, stray.stream)
    return after(known, at, event)
