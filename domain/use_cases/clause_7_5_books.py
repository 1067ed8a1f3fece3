"""7.5 The books of a station's transaction, from all that is known of its registers.

What its messages tell and what was recorded while it led its EVSE are put together, so
that a transfer that was told late, twice or in parts has the books of one that was told
at once.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from domain.model import ids
from domain.model import session_events as s
from domain.model.metering import Course, Register, course_of, intervals_of
from domain.model.sdr_energy import energy_of
from domain.model.sdr_settled import with_settled
from domain.model.session import USABLE, Session
from domain.model.station_transaction import StationTransaction, Told, take
from domain.model.values import Instant, Quality
from domain.ports import Recorded, System
from domain.use_cases.clause_6_2_joining import (
    Joined,
    Reference,
    binding,
    find_past,
    opened,
    resolve,
    with_merged,
)
from domain.use_cases.clause_7_5_drafts import Draft
from domain.use_cases.s6_sdr_information import increments_of
from domain.use_cases.shared_path import By, load_evse, taken

_OF_TRANSFER = (
    s.EvseBound,
    s.TransferStarted,
    s.TransferIntervalMetered,
    s.TransferEnded,
)


class Books(NamedTuple):
    """What is known of a transfer: its course, export [Wh] and what the log has of it.

    It begins at ``begun_at``, with the first message that has a register.
    """

    course: Course
    export_wh: int
    begun_at: Instant
    live: Sequence[Recorded]

    @property
    def energy_wh(self) -> int:
        """Return the energy to the EV, less that from it [Wh]."""
        return self.course.energy_wh - self.export_wh


def load_transaction(system: System, stream: str) -> StationTransaction:
    """Return a station's transaction by its stream; an empty one when it is new."""
    return taken(system, stream, StationTransaction(stream=stream), take)


def books_of(system: System, known: StationTransaction, *more: Register) -> Books:
    """Return the books of a transaction, as far as it and more registers tell."""
    live = _live_rows(system, known)
    until = known.ended.at if known.ended else None
    max_w = _max_w(system, known.evse_id)
    imports = [*_told(known, "import_wh"), *_last(known), *_metered(live), *more]
    course = course_of(_until(imports, until), max_w)
    exports = course_of(_until(_told(known, "export_wh"), until), max_w)
    begun_at = min((at for at in _registered(known)), default=known.began_at)
    return Books(course, exports.energy_wh, begun_at, live)


def _registered(known: StationTransaction) -> Iterable[Instant]:
    """Yield when messages with a register were told."""
    for each in known.told:
        if any(point.import_wh is not None for point in each.event.points):
            yield each.at


def _told(known: StationTransaction, name: str) -> Iterable[Register]:
    """Yield registers; some stations date them a little after their message."""
    for each in known.told:
        for point in each.event.points:
            if (register_wh := getattr(point, name)) is not None:
                yield Register(min(point.at, each.at), register_wh)


def _last(known: StationTransaction) -> Iterable[Register]:
    """Yield the registers there were before news that tells none, or a lower one."""
    for at, told in known.told:
        if told.quality != Quality.GOOD or told.last_wh is None:
            continue
        registers = [p.import_wh for p in told.points if p.import_wh is not None]
        if not registers:
            yield Register(at, told.last_wh)
        elif min(registers) < told.last_wh:
            yield Register(at - 1, told.last_wh)


def _until(registers: Iterable[Register], until: Instant | None) -> list[Register]:
    return [each for each in registers if until is None or each.at <= until]


def _max_w(system: System, evse_id: str) -> int:
    data = load_evse(system, evse_id).commissioned if evse_id else None
    return data.max_w if data else 0


def _live_rows(system: System, known: StationTransaction) -> list[Recorded]:
    """Return what was recorded of the transfer while its transaction led the EVSE."""
    found: dict[int, Recorded] = {}
    for position, bound in known.bindings:
        if bound.is_settled:
            continue
        for row in _session_rows(system, bound.session_id):
            if row.position <= position or not _is_of(row, known.evse_id):
                continue
            found[row.position] = row
            if isinstance(row.event, s.TransferEnded):
                break
    return [found[position] for position in sorted(found)]


def _session_rows(system: System, session_id: str) -> list[Recorded]:
    names = with_merged(system, resolve(system, session_id).session_id)
    rows = [
        row
        for each in names
        for row in system.log.read_stream(ids.session_stream(each))
    ]
    return sorted(rows, key=lambda row: row.position)


def _is_of(row: Recorded, evse_id: str) -> bool:
    return isinstance(row.event, _OF_TRANSFER) and (
        getattr(row.event, "evse_id", evse_id) == evse_id
    )


def _metered(live: Iterable[Recorded]) -> Iterable[Register]:
    """Yield the registers that intervals ended with."""
    register_wh: int | None = None
    for row in live:
        match row.event:
            case s.TransferStarted() as started:
                register_wh = started.register_wh
            case s.TransferIntervalMetered() as metered if register_wh is not None:
                if metered.quality in USABLE:
                    register_wh += metered.energy_wh
                    yield Register(row.occurred_at, register_wh)
            case _:
                pass


def _earlier(system: System, known: StationTransaction) -> list[Recorded]:
    """Return what was settled of the transaction before."""
    if not known.session_id:
        return []
    return [
        row
        for row in _session_rows(system, known.session_id)
        if isinstance(row.event, s.TransferSettled)
        and row.event.transaction_id == known.name
        and row.event.station_id == known.station_id
        and row.event.ended_at >= known.began_at
    ]


def _interval_wh(rows: Sequence[Recorded]) -> int:
    """Return the energy of all intervals that rows tell, the last settled ones or all.

    What was settled has taken the place of what was metered.
    """
    for row in reversed(rows):
        if isinstance(row.event, s.TransferSettled):
            return sum(energy_wh for _, _, energy_wh in row.event.intervals)
    return sum(
        row.event.energy_wh
        for row in rows
        if isinstance(row.event, s.TransferIntervalMetered)
        and row.event.quality in USABLE
    )


def total_wh(system: System, session_id: str, books: Books) -> int:
    """Return the energy of a session with a transfer that is about to end [Wh]."""
    told = with_settled(increments_of(system, session_id))
    told.sort(key=lambda each: (each.occurred_at, each.sequence))
    energy = energy_of(told)
    before_wh = energy.to_ev_wh - energy.from_ev_wh - _interval_wh(books.live)
    return before_wh + books.energy_wh


def settle(draft: Draft, known: StationTransaction, by: By) -> Session | None:
    """Book a transfer as all its messages tell it; None where nobody knows where."""
    if known.ended is None or not known.evse_id:
        return None
    data = load_evse(draft.system, known.evse_id).commissioned
    assert data is not None  # a message that names no EVSE of the station is kept apart
    books = books_of(draft.system, known)
    joined = _joined(draft.system, known, by)
    references = binding(draft.system, joined.state.session_id, reference_of(known))
    state = joined.state
    if joined.opening or references:
        state = draft.tell(state, known.began_at, *joined.opening, *references)
    settled = _settled(draft.system, known, books, data.zone_id, state)
    return draft.tell(state, known.ended.at, settled)


def _joined(system: System, known: StationTransaction, by: By) -> Joined:
    if known.session_id:
        return Joined(resolve(system, known.session_id))
    past = find_past(
        system,
        known.began_at,
        reference=reference_of(known),
        evse_id=known.evse_id,
        subject_id=known.subject_id,
    )
    return Joined(past) if past else opened(system, by, known.subject_id)


def reference_of(known: StationTransaction) -> Reference | None:
    """Return the reference that the messages of a transaction name."""
    for _, event in known.told:
        if event.reference:
            return Reference(event.party, event.reference_kind, event.reference)
    return None


def _asking(known: StationTransaction, state: Session) -> Told | None:
    """Return the message whose token nobody was asked for yet."""
    late = [
        each
        for each in sorted(known.told, key=lambda each: each.at)
        if each.event.subject_id
        and each.event.kind != "ended"
        and each.event.quality == Quality.LATE
    ]
    if not late:
        return None
    is_known = state.authorized and state.subject_id == late[0].event.subject_id
    return None if is_known else late[0]


def _settled(
    system: System,
    known: StationTransaction,
    books: Books,
    zone_id: str,
    state: Session,
) -> s.TransferSettled:
    assert known.ended is not None
    ended_at, told = known.ended.at, known.ended.event
    bindings = [each for _, each in known.bindings if not each.is_settled]
    totals = [each for each in books.course.totals if each.at < ended_at]
    if totals:
        totals[0] = Register(books.begun_at, totals[0].wh)
    replaced = [*books.live, *_earlier(system, known)]
    asked = _asking(known, state)
    said = None
    if asked:
        said = system.cso.answer(asked.event.subject_id, known.evse_id, asked.at)
    return s.TransferSettled(
        session_id=state.session_id,
        station_id=known.station_id,
        evse_id=known.evse_id,
        zone_id=zone_id,
        transaction_id=known.name,
        begun_at=books.begun_at,
        ended_at=ended_at,
        energy_wh=books.energy_wh,
        reason=told.reason or told.trigger,
        plugged_at=(
            known.began_at
            if not bindings or any(each.is_plug for each in bindings)
            else 0
        ),
        unplugged_at=ended_at if not bindings or told.is_unplugged else 0,
        intervals=tuple(each[:3] for each in intervals_of(totals)),
        subject_id=asked.event.subject_id if asked else "",
        credential=asked.event.credential if asked else None,
        asked_at=asked.at if asked else 0,
        is_accepted=said.accepted if said else None,
        answered_by=said.by if said else "",
        refusal=said.reason if said else "",
        missing=known.lacking,
        implausible=tuple(books.course.implausible),
        replaces=tuple(row.position for row in replaced),
        replaced_wh=_interval_wh(replaced),
    )
