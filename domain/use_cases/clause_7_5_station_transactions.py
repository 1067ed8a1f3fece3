"""7.5 Transactions as stations report them: kept, bound to sessions, booked once.

A station numbers its transactions itself and reports them late, twice and out of order.
Each message is a fact of the transaction's own stream. What is news leads E1 (an EV is
plugged, pauses, leaves); what is late goes to the books alone. By `shared_path`.
"""

import msgspec

from domain.model.metering import MeterPoint
from domain.model.values import Sealed
from domain.ports import Authorization, System
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.shared_path import By


class ReportTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A station's message about one of its own transactions; ``By.at``: its instant.

    ``kind`` is ``started``, ``updated`` or ``ended``. ``transaction_id`` is how the
    station names it, or the text of the number it was given; empty: it has none yet
    and ``content_key`` tells a repeated start from another one. ``evse_id`` is empty
    where the message names none. ``seq_no`` is None where the protocol has none;
    ``seen`` are ranges of the numbers (both ends included) of messages that were news,
    held nothing but readings and went to the loop without being reported here.
    ``state`` is ``connected``, ``charging``, ``suspended-ev``, ``suspended-evse``,
    ``idle`` or empty; ``is_unplugged``: with this message the cable is out. ``points``
    are all registers of the message. ``reference`` names a remote start or reservation.
    """

    station_id: str
    kind: str
    evse_id: str = ""
    transaction_id: str = ""
    content_key: str = ""
    seq_no: int | None = None
    seen: tuple[tuple[int, int], ...] = ()
    trigger: str = ""
    state: str = ""
    is_offline: bool = False
    is_unplugged: bool = False
    points: tuple[MeterPoint, ...] = ()
    reason: str = ""
    subject_id: str = ""
    credential: Sealed | None = None
    reference: Reference | None = None


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a message of a station about a transaction.

    ``number`` is ours: the position of its first row in the ledger. ``is_new`` is False
    for a repeat. ``is_news``: the loop may have its readings (all its points with an
    import register). ``is_metered``: a register is known; until then every message with
    one is to be reported. ``authorization`` answers the token of the message; a refused
    transaction is to be stopped.
    """

    number: int
    session_id: str = ""
    is_new: bool = True
    is_news: bool = False
    is_metered: bool = False
    authorization: Authorization | None = None


class OpenTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A station's transaction whose end is not known yet."""

    number: int
    transaction_id: str
    evse_id: str
    started_at: int
    session_id: str
    is_metered: bool
    last_seq_no: int | None


def report_transaction(system: System, command: ReportTransaction, by: By) -> Reported:
    """Record the message and what follows from it, in one append; once."""
    raise NotImplementedError


def open_transactions(system: System, station_id: str) -> list[OpenTransaction]:
    """Return a station's transactions that have begun and not ended, by number."""
    raise NotImplementedError


def missing_messages(
    system: System, station_id: str, at: int
) -> dict[str, list[tuple[int, int]]]:
    """Return the numbers missing for more than 5 min, by transaction: to be asked for.

    The station is asked whether it still holds some; where it does not, `close_gap`.
    """
    raise NotImplementedError


class CloseGap(msgspec.Struct, frozen=True, kw_only=True):
    """The station holds no more messages of a transaction: what is missing is lost."""

    station_id: str
    transaction_id: str


def close_gap(system: System, command: CloseGap, by: By) -> None:
    """Record what is missing, and book the transaction without it."""
    raise NotImplementedError


class CableOut(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports, other than by a transaction, that no EV is plugged any more."""

    evse_id: str


def cable_out(system: System, command: CableOut, by: By) -> None:
    """Record that the EV left, with the energy by the registers known of it."""
    raise NotImplementedError
