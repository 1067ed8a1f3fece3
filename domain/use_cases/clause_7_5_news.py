"""7.5 What news of a station's transaction changes now: E1's live state.

A transaction *leads* its EVSE from its first news until its end: the guard row
``live-transaction`` of the EVSE names it. Its transfer begins with the first register
that is known of it, and ends with it; the EV may stay.
"""

from typing import NamedTuple

import msgspec

from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.metering import MeterPoint, Register
from domain.model.session import Session
from domain.model.site import Evse
from domain.model.station_transaction import StationTransaction, after
from domain.model.values import Instant, Quality
from domain.ports import Authorization
from domain.use_cases.clause_6_2_joining import (
    Joined,
    Reference,
    binding,
    find_by_reference,
    join_or_open,
    resolve,
)
from domain.use_cases.clause_7_5_books import (
    Books,
    books_of,
    load_transaction,
    reference_of,
    total_wh,
)
from domain.use_cases.clause_7_5_drafts import Draft
from domain.use_cases.e1_smart_charging import arrived
from domain.use_cases.s2_back_office import answer_events
from domain.use_cases.shared_path import By

LEADS = "live-transaction"
# What triggers a message whose token ends the charge.
_STOPS = "StopAuthorized"


class News(NamedTuple):
    """A message that is news, of a transaction as it is known without it."""

    draft: Draft
    known: StationTransaction
    event: t.StationTransactionReported
    by: By

    @property
    def evse_id(self) -> str:
        """Return where it is."""
        return self.known.evse_id or self.event.evse_id

    @property
    def subject_id(self) -> str:
        """Return whose it is, as far as anybody told."""
        return self.event.subject_id or self.known.subject_id

    @property
    def register_wh(self) -> int | None:
        """Return the first import register it tells [Wh]."""
        told = first_point(self.event.points)
        return told.import_wh if told else None

    @property
    def reference(self) -> Reference | None:
        """Return the reference that came with it, or with an earlier message."""
        return reference_of(after(self.known, self.by.at, self.event))


def first_point(points: tuple[MeterPoint, ...]) -> MeterPoint | None:
    """Return the first point that has an import register."""
    told = [point for point in points if point.import_wh is not None]
    return min(told, key=lambda point: point.at) if told else None


def leads(draft: Draft, known: StationTransaction) -> bool:
    """Whether a transaction leads its EVSE."""
    if not known.evse_id:
        return False
    return draft.system.log.owner(LEADS, known.evse_id) == known.stream


def keep_out(draft: Draft, evse_id: str, at: Instant) -> None:
    """Record that an EV is at an EVSE that nobody may use, as a plug there would be."""
    rule = f"nobody may use a blocked EVSE: {draft.evse(evse_id).blocked}"
    kept = z.EvseFactKept(
        evse_id=evse_id,
        what="plugged",
        value=1,
        rule=rule,
        quality=Quality.CONTRADICTS,
    )
    draft.tell_evse(evse_id, at, kept)


def lead(news: News) -> Session:
    """Let a transaction lead its EVSE from now on."""
    draft, at = news.draft, news.by.at
    evse = draft.evse(news.evse_id)
    assert evse.commissioned is not None  # what names no EVSE of its station is no news
    stays = _staying(news, evse)
    joined = Joined(stays) if stays else _joined(news)
    bound = t.StationTransactionBound(
        station_id=news.event.station_id,
        transaction_id=(
            news.known.name if news.known.number else news.event.transaction_id
        ),
        session_id=joined.state.session_id,
        evse_id=news.evse_id,
        is_plug=stays is None,
    )
    # Before what it leads to, which is then found behind it.
    version = news.known.decision_version
    draft.tell_transaction(news.known.stream, version, at, bound)
    draft.claim(LEADS, news.evse_id, news.known.stream)
    return stays or _plug(news, joined, evse.commissioned)


def _staying(news: News, evse: Evse) -> Session | None:
    """Return the session that the transaction goes on with; else make room for it.

    A transaction that began where another one has not ended tells that the other one
    did; whether the EV is another one too, only its subject tells.
    """
    if not evse.session_id:
        return None
    draft = news.draft
    state = resolve(draft.system, evse.session_id)
    if other := draft.system.log.owner(LEADS, news.evse_id):
        lost = load_transaction(draft.system, other)
        # What the meter gave until then went to the one before.
        told = first_point(news.event.points)
        more = [Register(told.at, told.import_wh or 0)] if told else []
        end_lost(draft, state, lost, news.by.at, "another transaction began", *more)
    by_reference = news.reference and find_by_reference(draft.system, news.reference)
    if by_reference and by_reference.session_id == state.session_id:
        return state
    if not state.subject_id or news.subject_id in ("", state.subject_id):
        return state
    leave(draft, state, news.evse_id, news.by.at)
    return None


def _plug(news: News, joined: Joined, data: z.EvseCommissioned) -> Session:
    draft, at = news.draft, news.by.at
    references = binding(draft.system, joined.state.session_id, news.reference)
    state = draft.tell(joined.state, at, *joined.opening, *references)
    occupied = z.EvseOccupied(evse_id=data.evse_id, session_id=state.session_id)
    draft.tell_evse(data.evse_id, at, occupied)
    return draft.tell(state, at, *arrived(draft.system, state, data, at))


def _joined(news: News) -> Joined:
    if news.known.session_id:
        before = resolve(news.draft.system, news.known.session_id)
        if before.is_open and not before.evse_id:
            return Joined(before)
    return join_or_open(
        news.draft.system,
        news.by,
        reference=news.reference,
        evse_id=news.evse_id,
        subject_id=news.subject_id,
    )


def authorize(news: News, state: Session) -> Authorization | None:
    """Ask the CSO for the token of a message; return what it answers, or has said."""
    subject_id = news.event.subject_id
    if not subject_id:
        return None
    state = news.draft.session(state)
    system, at = news.draft.system, news.by.at
    if state.authorized and news.event.trigger == _STOPS:
        # Its owner goes on paying: who ends it may be another one of the group.
        return system.cso.answer(subject_id, news.evse_id, at)
    if state.authorized and state.subject_id == subject_id:
        return Authorization(True, max(state.accepted_by, default=""))
    data = news.draft.evse(news.evse_id).commissioned
    assert data is not None  # a transaction leads only at an EVSE that is there
    asked = s.AuthorizationRequested(
        session_id=state.session_id,
        evse_id=news.evse_id,
        subject_id=subject_id,
        credential=news.event.credential,
        zone_id=data.zone_id,
        station_id=data.station_id,
    )
    said = system.cso.answer(subject_id, news.evse_id, at)
    answers = [
        msgspec.structs.replace(each, session_id=state.session_id)
        for each in answer_events(said)
    ]
    news.draft.tell(state, at, asked, *answers)
    return said


def go_on(news: News, state: Session) -> None:
    """Record where the transfer began, and that it pauses or goes on."""
    draft, at, session_id = news.draft, news.by.at, state.session_id
    register_wh = news.register_wh
    has_begun = leads(draft, news.known) and news.known.has_begun
    if register_wh is not None and not has_begun:
        started = s.TransferStarted(
            session_id=session_id, evse_id=news.evse_id, register_wh=register_wh
        )
        draft.tell(state, at, started)
    was, now = news.known.state, news.event.state
    if now in ("suspended-ev", "suspended-evse") and now != was:
        by = now.removeprefix("suspended-")
        draft.tell(state, at, s.TransferPaused(session_id=session_id, by=by))
    elif now == "charging" and was.startswith("suspended"):
        draft.tell(state, at, s.TransferResumed(session_id=session_id))


def end(
    draft: Draft, known: StationTransaction, at: Instant, *, is_settled: bool
) -> None:
    """Record the end of the transaction that leads its EVSE, by its last message.

    Where the books have the transfer settled, the end that is recorded for the loop is
    a duplicate to them.
    """
    assert known.ended is not None
    told = known.ended.event
    state = draft.session(resolve(draft.system, known.session_id))
    quality = Quality.DUPLICATE if is_settled else Quality.GOOD
    books = books_of(draft.system, known)
    _end_transfer(draft, state, books, at, told.reason or told.trigger, quality)
    if told.is_unplugged:
        leave(draft, state, known.evse_id, at)
    draft.release(LEADS, known.evse_id, known.stream)


def end_lost(
    draft: Draft,
    state: Session,
    known: StationTransaction,
    at: Instant,
    reason: str,
    *more: Register,
) -> None:
    """Record the end of a transfer whose transaction did not tell it."""
    books = books_of(draft.system, known, *more)
    _end_transfer(draft, state, books, at, reason, Quality.GOOD)


def _end_transfer(
    draft: Draft,
    state: Session,
    books: Books,
    at: Instant,
    reason: str,
    quality: Quality,
) -> None:
    if not books.course.totals and quality == Quality.GOOD:
        quality = Quality.IMPLAUSIBLE
    ended = s.TransferEnded(
        session_id=state.session_id,
        energy_wh=books.energy_wh,
        reason=reason,
        quality=quality,
    )
    draft.tell(state, at, ended)
    if resolve(draft.system, state.session_id).transfer_ended_at:
        # Of several transfers the end tells one; what the session has is their sum.
        observed = s.TransferObserved(
            session_id=state.session_id,
            evse_id=state.evse_id,
            energy_wh=total_wh(draft.system, state.session_id, books),
            power_w=0,
        )
        draft.tell(state, at, observed)


def leave(draft: Draft, state: Session, evse_id: str, at: Instant) -> None:
    """Record that the EV left its EVSE."""
    released = s.EvseReleased(session_id=state.session_id, evse_id=evse_id)
    vacated = z.EvseVacated(evse_id=evse_id, session_id=state.session_id)
    draft.tell(state, at, released)
    draft.tell_evse(evse_id, at, vacated)
