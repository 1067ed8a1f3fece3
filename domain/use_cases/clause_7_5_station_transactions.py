"""7.5 Transactions as stations report them: kept, bound to sessions, booked once.

A station numbers its transactions itself and reports them late, twice and out of order.
Each message is a fact of the transaction's own stream. What is news leads E1 (an EV is
plugged, pauses, leaves); what is late goes to the books alone. By `shared_path`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from domain.model import station_events as t
from domain.model.metering import MeterPoint
from domain.model.station_transaction import (
    Ranges,
    StationTransaction,
    after,
    holds,
    repeats,
)
from domain.model.values import MINUTE, Instant, Quality, Sealed
from domain.ports import Authorization, Batch, System
from domain.use_cases.clause_6_2_joining import Reference, resolve
from domain.use_cases.clause_7_5_books import load_transaction
from domain.use_cases.clause_7_5_concluding import conclude, end_at_once
from domain.use_cases.clause_7_5_drafts import Draft
from domain.use_cases.clause_7_5_finding import (
    OPEN,
    find,
    keep_stray,
    stray_end_of,
)
from domain.use_cases.clause_7_5_news import (
    LEADS,
    News,
    authorize,
    end_lost,
    go_on,
    keep_out,
    lead,
    leads,
    leave,
)
from domain.use_cases.shared_path import By, load_evse, record

# What is older than this when it comes is late, and what is missing for longer a gap.
NEWS_FOR = 5 * MINUTE


class ReportTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A station's message about one of its own transactions; ``By.at``: its instant.

    ``kind`` is ``started``, ``updated`` or ``ended``. ``transaction_id`` is how the
    station names it, or the text of the number it was given; empty: it has none yet
    and ``content_key`` tells a repeated start from another one. ``evse_id`` is empty
    where the message names none, and ``connector`` 0. ``seq_no`` is None where the
    protocol has none; ``seen`` are ranges of the numbers (both ends included) of those
    that were news of readings alone, which the loop has without being reported here.
    ``state`` is ``connected``, ``charging``, ``suspended-ev``, ``suspended-evse``,
    ``idle`` or empty; ``is_unplugged``: the cable is out now. ``points`` are all
    registers of the message; ``last_wh`` is the last import register that the
    loop was given, where an end tells none or a register has been reset.
    ``reference`` names a remote start or reservation.
    """

    station_id: str
    kind: str
    evse_id: str = ""
    connector: int = 0
    transaction_id: str = ""
    content_key: str = ""
    seq_no: int | None = None
    seen: tuple[tuple[int, int], ...] = ()
    trigger: str = ""
    state: str = ""
    is_offline: bool = False
    is_unplugged: bool = False
    points: tuple[MeterPoint, ...] = ()
    last_wh: int | None = None
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
    connector: int
    started_at: int
    session_id: str
    is_metered: bool
    last_seq_no: int | None


def report_transaction(system: System, command: ReportTransaction, by: By) -> Reported:
    """Record the message and what follows from it, in one append; once."""
    outcome = _Outcome()

    def decide() -> Batch:
        nonlocal outcome
        outcome = _Outcome()
        return _decided(system, command, by, outcome)

    answer = record(system, by, command, decide)
    if outcome.has_ended_before:
        outcome.session_id = end_at_once(system, outcome.known.stream, command, by)
    return Reported(
        number=outcome.known.number or answer.first,
        session_id=outcome.session_id or outcome.known.session_id,
        is_new=outcome.is_new,
        is_news=outcome.is_news,
        is_metered=outcome.known.is_metered,
        authorization=outcome.authorization,
    )


@dataclass
class _Outcome:
    """What a decision came to; ``known`` is the transaction with the message."""

    known: StationTransaction = field(default_factory=StationTransaction)
    session_id: str = ""
    is_new: bool = True
    is_news: bool = False
    has_ended_before: bool = False
    authorization: Authorization | None = None


def _decided(
    system: System, command: ReportTransaction, by: By, outcome: _Outcome
) -> Batch:
    event = _event(command)
    place = find(system, event, command.content_key, by.at)
    known = outcome.known = place.known
    event = msgspec.structs.replace(event, evse_id=event.evse_id or known.evse_id)
    if _is_repeat(known, by.at, event):
        outcome.is_new = False
        outcome.authorization = _answer(system, known, event, by.at)
        return Batch(appends=())
    draft = Draft(system)
    if event.kind == "started" and event.seq_no is None:
        stray = stray_end_of(system, after(known, by.at, event))
        outcome.has_ended_before = stray is not None
    is_adrift = place.is_stray or outcome.has_ended_before
    quality = Quality.LATE
    if place.contradicts or _is_other(known, event):
        quality = Quality.CONTRADICTS
    elif not is_adrift and _is_news(draft, known, event, by.at):
        quality = Quality.GOOD
    told = msgspec.structs.replace(event, quality=quality)
    outcome.known = after(known, by.at, told)
    draft.tell_transaction(known.stream, known.decision_version, by.at, told)
    if quality == Quality.CONTRADICTS:
        outcome.has_ended_before = False
        return draft.batch()
    if place.is_stray:
        if event.kind == "ended":
            keep_stray(draft, outcome.known, by.at)
        return draft.batch()
    draft.claim(OPEN, f"{event.station_id}/{known.stream}", known.stream)
    _follow(draft, News(draft, known, told, by), outcome)
    return draft.batch()


def _event(command: ReportTransaction) -> t.StationTransactionReported:
    reference = command.reference
    return t.StationTransactionReported(
        station_id=command.station_id,
        evse_id=command.evse_id,
        connector=command.connector,
        transaction_id=command.transaction_id,
        kind=command.kind,
        seq_no=command.seq_no,
        seen=command.seen,
        trigger=command.trigger,
        state=command.state,
        is_offline=command.is_offline,
        is_unplugged=command.is_unplugged,
        points=command.points,
        last_wh=command.last_wh,
        reason=command.reason,
        subject_id=command.subject_id,
        credential=command.credential,
        party=reference.party if reference else "",
        reference_kind=reference.kind if reference else "",
        reference=reference.text if reference else "",
    )


def _is_other(known: StationTransaction, event: t.StationTransactionReported) -> bool:
    """Whether it has the number of another message, or ends what ended otherwise."""
    if event.seq_no is not None:
        return holds(known.numbers, event.seq_no)
    return event.kind == "ended" and known.ended is not None


def _is_repeat(
    known: StationTransaction, at: Instant, event: t.StationTransactionReported
) -> bool:
    if event.seq_no is None:
        is_start_again = event.kind == "started" and known.started is not None
        return is_start_again or repeats(known, at, event)
    if not holds(known.numbers, event.seq_no):
        return False
    kept = any(each.event.seq_no == event.seq_no for each in known.told)
    # A number among those of mere readings, which are in the samples.
    return not kept or repeats(known, at, event)


def _is_current(
    system: System, event: t.StationTransactionReported, at: Instant
) -> bool:
    return not event.is_offline and at >= system.clock.now() - NEWS_FOR


def _is_news(
    draft: Draft,
    known: StationTransaction,
    event: t.StationTransactionReported,
    at: Instant,
) -> bool:
    """Whether a message tells what is the case now; what it tells is in order then."""
    last = known.last_seq_no
    is_next = event.seq_no is None or last is None or event.seq_no > last
    if (
        not _is_current(draft.system, event, at)
        or not is_next
        or at < known.last_at
        or known.ended is not None
        or not event.evse_id
    ):
        return False
    if leads(draft, known):
        return True
    # It led its EVSE before, and its EV has gone.
    if known.bindings and (event.state or known.state) == "idle":
        return False
    other = draft.system.log.owner(LEADS, event.evse_id)
    if other and (known.bindings or load_transaction(draft.system, other).last_at > at):
        return False  # another one came since
    # Nobody may use a blocked EVSE: what is told of one goes to the books.
    return event.kind != "ended" and not draft.evse(event.evse_id).blocked


def _answer(
    system: System,
    known: StationTransaction,
    event: t.StationTransactionReported,
    at: Instant,
) -> Authorization | None:
    if not event.subject_id or event.kind == "ended" or not event.evse_id:
        return None
    return system.cso.answer(event.subject_id, event.evse_id, at)


def _follow(draft: Draft, news: News, outcome: _Outcome) -> None:
    """Add what follows from a message: for now where it is news, and for the books."""
    known, event, at = news.known, news.event, news.by.at
    outcome.is_news = event.quality == Quality.GOOD
    if event.kind == "ended" or not outcome.is_news:
        is_current = _is_current(draft.system, event, at)
        is_blocked = event.evse_id and draft.evse(event.evse_id).blocked
        if event.kind == "started" and is_current and is_blocked:
            keep_out(draft, event.evse_id, at)
        outcome.authorization = _answer(draft.system, known, event, at)
        outcome.session_id = conclude(draft, outcome.known, news.by)
        return
    if leads(draft, known):
        state = resolve(draft.system, known.session_id)
    else:
        state = lead(news)
    outcome.session_id = state.session_id
    outcome.authorization = authorize(news, state)
    go_on(news, state)


def _of_station(system: System, station_id: str) -> Iterator[StationTransaction]:
    for claim in system.log.claims(OPEN, f"{station_id}/"):
        yield load_transaction(system, claim.owner)


def open_transactions(system: System, station_id: str) -> list[OpenTransaction]:
    """Return a station's transactions that have begun and not ended, by number."""
    known = [each for each in _of_station(system, station_id) if each.ended is None]
    return [
        OpenTransaction(
            number=each.number,
            transaction_id=each.name,
            evse_id=each.evse_id,
            connector=each.connector,
            started_at=each.began_at,
            session_id=each.session_id,
            is_metered=each.is_metered,
            last_seq_no=each.last_seq_no,
        )
        for each in sorted(known, key=lambda each: each.number)
    ]


def missing_messages(system: System, station_id: str, at: Instant) -> dict[str, Ranges]:
    """Return the numbers missing for more than 5 min, by transaction: to be asked for.

    None are named where it is the start of a transaction that is missing. The station
    is asked whether it still holds some; where it does not, `close_gap`.
    """
    return {
        each.name: each.lacking
        for each in _of_station(system, station_id)
        if each.gap_since and each.gap_since + NEWS_FOR <= at and not each.is_given_up
    }


class CloseGap(msgspec.Struct, frozen=True, kw_only=True):
    """The station holds no more messages of a transaction: what is missing is lost."""

    station_id: str
    transaction_id: str


def close_gap(system: System, command: CloseGap, by: By) -> None:
    """Record what is missing; a transaction that has ended is booked without it.

    What comes all the same is booked then.
    """

    def decide() -> Batch:
        known = _named(system, command)
        if known is None or known.is_given_up or not known.gap_since:
            return Batch(appends=())
        gaps = [
            t.StationTransactionGap(
                station_id=known.station_id,
                transaction_id=known.name,
                from_seq_no=first,
                until_seq_no=last,
            )
            for first, last in known.lacking or ((0, 0),)
        ]
        draft = Draft(system)
        version = known.decision_version
        draft.tell_transaction(known.stream, version, by.at, *gaps)
        given_up = msgspec.structs.replace(known, is_given_up=True)
        conclude(draft, given_up, by)
        return draft.batch()

    record(system, by, command, decide)


def _named(system: System, command: CloseGap) -> StationTransaction | None:
    known = _of_station(system, command.station_id)
    return next((each for each in known if each.name == command.transaction_id), None)


class CableOut(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports, other than by a transaction, that no EV is plugged."""

    evse_id: str


def cable_out(system: System, command: CableOut, by: By) -> None:
    """Record that the EV left, with the energy by the registers known of it.

    A transaction that led the EVSE leads it no more; what it tells yet is booked.
    """

    def decide() -> Batch:
        evse = load_evse(system, command.evse_id)
        if not evse.session_id or by.at < evse.plugged_at:
            return Batch(appends=())
        draft = Draft(system)
        state = resolve(system, evse.session_id)
        if stream := system.log.owner(LEADS, command.evse_id):
            lost = load_transaction(system, stream)
            end_lost(draft, state, lost, by.at, "cable out")
            draft.release(LEADS, command.evse_id, stream)
        leave(draft, state, command.evse_id, by.at)
        return draft.batch()

    record(system, by, command, decide)
