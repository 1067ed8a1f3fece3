"""State of a station's own transaction: a fold of its stream (IEC 63110-1 7.5).

Messages count by their number (2.x) or their instant, not by when they arrive.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from domain.model import station_events as t
from domain.model.session import USABLE
from domain.model.values import Event, Instant, Quality

# Ranges of numbers, both ends included, in order and apart.
Ranges = tuple[tuple[int, int], ...]


def with_range(ranges: Ranges, first: int, last: int) -> Ranges:
    """Return the ranges and one more."""
    apart = [each for each in ranges if each[1] < first - 1 or each[0] > last + 1]
    joined = [each for each in ranges if each not in apart]
    first = min([first, *(each[0] for each in joined)])
    last = max([last, *(each[1] for each in joined)])
    return tuple(sorted([*apart, (first, last)]))


def holds(ranges: Ranges, number: int) -> bool:
    """Whether a number is in one of the ranges."""
    return any(first <= number <= last for first, last in ranges)


class Row(Protocol):
    """A row of the transaction's stream, as the log has it."""

    @property
    def position(self) -> int:
        """Return where it stands in the log."""
        ...

    @property
    def stream(self) -> str:
        """Return the transaction's stream."""
        ...

    @property
    def occurred_at(self) -> Instant:
        """Return when the message was told of."""
        ...

    @property
    def recorded_at(self) -> Instant:
        """Return when it was recorded."""
        ...

    @property
    def decision_version(self) -> int:
        """Return the version of the stream's last decision."""
        ...

    @property
    def event(self) -> Event | None:
        """Return its event; None when that was dropped."""
        ...


class Told(NamedTuple):
    """A message and its instant."""

    at: Instant
    event: t.StationTransactionReported


class Binding(NamedTuple):
    """Where the transaction led the live state: a position of the log, a session."""

    position: int
    event: t.StationTransactionBound


class StationTransaction(msgspec.Struct, frozen=True):
    """What is known of a station's transaction.

    ``number`` is the position of its first row. ``told`` are the messages that count,
    ``contradicting`` those that do not; ``state`` is the last that was news; since the
    transaction leads its EVSE, a register ``has_begun`` its transfer;
    what is still missing ``is_given_up``, or was found missing at ``gap_since``.
    """

    stream: str = ""
    number: int = 0
    decision_version: int = 0
    station_id: str = ""
    transaction_id: str = ""
    evse_id: str = ""
    connector: int = 0
    subject_id: str = ""
    told: tuple[Told, ...] = ()
    contradicting: tuple[Told, ...] = ()
    started: Told | None = None
    ended: Told | None = None
    numbers: Ranges = ()
    last_at: Instant = 0
    state: str = ""
    bindings: tuple[Binding, ...] = ()
    has_begun: bool = False
    is_given_up: bool = False
    gap_since: Instant = 0

    @property
    def name(self) -> str:
        """Return how its station names it, or was told to."""
        return self.transaction_id or str(self.number)

    @property
    def session_id(self) -> str:
        """Return the session it is in; empty when it is in none yet."""
        return self.bindings[-1].event.session_id if self.bindings else ""

    @property
    def began_at(self) -> Instant:
        """Return when it began, as far as is known."""
        return self.started.at if self.started else min(each.at for each in self.told)

    @property
    def last_seq_no(self) -> int | None:
        """Return the highest number of its messages."""
        return self.numbers[-1][1] if self.numbers else None

    @property
    def is_metered(self) -> bool:
        """Whether a register of it is known."""
        return any(
            point.import_wh is not None
            for each in self.told
            for point in each.event.points
        )

    @property
    def is_complete(self) -> bool:
        """Whether all of it is known, or given up."""
        if self.ended is None:
            return False
        return self.is_given_up or (self.started is not None and not self.lacking)

    @property
    def lacking(self) -> Ranges:
        """Return the numbers of messages that are missing."""
        if not self.numbers:
            return ()
        begin = () if self.started else ((0, self.numbers[0][0] - 1),)
        gaps = zip(self.numbers, self.numbers[1:], strict=False)
        between = tuple((before[1] + 1, after[0] - 1) for before, after in gaps)
        return tuple(each for each in (*begin, *between) if each[1] >= each[0])


def said(event: t.StationTransactionReported) -> t.StationTransactionReported:
    """Return what a message says, by which a repeat is told from another one.

    Its instants are left out: what the station's clock is off may be known better when
    the message comes again; and its transaction, which may not have been told its
    number when the message came first.
    """
    points = tuple(msgspec.structs.replace(each, at=0) for each in event.points)
    return msgspec.structs.replace(
        event,
        evse_id="",
        connector=0,
        transaction_id="",
        credential=None,
        is_offline=False,
        seen=(),
        points=points,
        last_wh=None,
        quality=Quality.GOOD,
    )


def repeats(
    state: StationTransaction, at: Instant, event: t.StationTransactionReported
) -> bool:
    """Whether a message was told before, as it is."""
    if event.seq_no is not None and not holds(state.numbers, event.seq_no):
        return False
    # Without a number, readings of one instant are told from another's by that alone.
    is_timed = event.seq_no is None and event.kind == "updated"
    told = said(event)
    return any(
        said(each.event) == told
        for each in (*state.told, *state.contradicting)
        if each.event.seq_no == event.seq_no and (each.at == at or not is_timed)
    )


def take(state: StationTransaction, rows: Iterable[Row]) -> StationTransaction:
    """Return the state after some rows of its stream."""
    for row in rows:
        match row.event:
            case t.StationTransactionReported() as event:
                state = with_told(state, row, event)
            case t.StationTransactionBound() as event:
                binding = Binding(row.position, event)
                # The message that it came with is the last one told.
                state = _replace(
                    state,
                    bindings=(*state.bindings, binding),
                    has_begun=_begins(state.told[-1].event),
                )
            case t.StationTransactionGap():
                state = _replace(state, is_given_up=True)
            case _:
                pass
        if state.decision_version != row.decision_version:
            state = _replace(state, decision_version=row.decision_version)
    return state


def with_told(
    state: StationTransaction, row: Row, event: t.StationTransactionReported
) -> StationTransaction:
    """Return the state after one message."""
    if not state.number:
        state = _replace(
            state,
            stream=row.stream,
            number=row.position,
            transaction_id=event.transaction_id,
        )
    state = after(state, row.occurred_at, event)
    is_lacking = bool(state.lacking) or (state.ended and not state.started)
    gap_since = (state.gap_since or row.recorded_at) if is_lacking else 0
    return _replace(state, gap_since=gap_since)


def after(
    state: StationTransaction, at: Instant, event: t.StationTransactionReported
) -> StationTransaction:
    """Return what is known with one more message, wherever it stands."""
    numbers = state.numbers
    for first, last in event.seen:
        numbers = with_range(numbers, first, last)
    if event.seq_no is not None:
        numbers = with_range(numbers, event.seq_no, event.seq_no)
    state = _replace(state, station_id=state.station_id or event.station_id)
    one = Told(at, event)
    if event.quality not in USABLE:
        contradicting = (*state.contradicting, one)
        return _replace(state, numbers=numbers, contradicting=contradicting)
    is_news = event.quality == Quality.GOOD
    return _replace(
        state,
        numbers=numbers,
        told=(*state.told, one),
        evse_id=state.evse_id or event.evse_id,
        connector=event.connector or state.connector,
        subject_id=state.subject_id or event.subject_id,
        started=_first(state.started, one)
        if event.kind == "started"
        else state.started,
        ended=_last(state.ended, one) if event.kind == "ended" else state.ended,
        last_at=max(state.last_at, at),
        state=event.state or state.state if is_news else state.state,
        has_begun=state.has_begun or _begins(event),
    )


def _begins(event: t.StationTransactionReported) -> bool:
    """Whether a message is news that tells a register."""
    return event.quality == Quality.GOOD and any(
        point.import_wh is not None for point in event.points
    )


def _replace(known: StationTransaction, /, **changes: Any) -> StationTransaction:
    return msgspec.structs.replace(known, **changes)


def _first(known: Told | None, one: Told) -> Told:
    return one if known is None or one.at < known.at else known


def _last(known: Told | None, one: Told) -> Told:
    return one if known is None or one.at > known.at else known
