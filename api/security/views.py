"""What a caller is shown of a session: what concerns it, and nothing more (7.9.4.5).

Staff sees all of it. A partner sees its own references only, and not who else takes
part, corrected, answered or was sent what; a parking operator nothing but the parking
and the other services.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from api.security.principal import Principal, Role
from domain.model.sdr import Increment
from domain.model.sdr_information import SdrPart
from domain.model.session_events import MergedFrom, ReferenceBound, SessionOpened
from domain.model.values import Event
from domain.use_cases.s2_back_office import BACK_OFFICE
from projections.sdr import SdrView
from projections.session_documents import Session
from projections.session_queries import SessionDetail, Transaction

_STAFF = frozenset({Role.ADMIN, Role.OPERATOR, Role.ANALYST})
# What of SDR information is told by increments.
_OF_INCREMENTS = ("needs", "v2g", "modes", "etp_changes", "incidents")


def session_for(caller: Principal, session: Session) -> Session:
    """Return what the caller is shown of a session in short."""
    if caller.roles & _STAFF:
        return session
    own = caller.party
    party = own if session.party == own else ""
    parties = (own,) if own in session.parties else ()
    if Role.CSO in caller.roles:
        return msgspec.structs.replace(session, party=party, parties=parties)
    return Session(
        session_id=session.session_id,
        state=session.state,
        party=party,
        parties=parties,
        opened_at=session.opened_at,
        closed_at=session.closed_at,
        close_reason=session.close_reason,
        merged_into=session.merged_into,
        merged_from=session.merged_from,
    )


def detail_for(caller: Principal, detail: SessionDetail) -> SessionDetail:
    """Return what the caller is shown of a session with its transactions."""
    if caller.roles & _STAFF:
        return detail
    session = session_for(caller, detail.session)
    references = _own(caller, detail.references)
    if Role.CSO in caller.roles:
        lists: dict[str, Any] = {
            name: tuple(_transaction_for(caller, each) for each in found)
            for name, found in msgspec.structs.asdict(detail).items()
            if isinstance(found, tuple) and name != "session_ids"
        }
        lists["references"] = references
        return msgspec.structs.replace(detail, session=session, **lists)
    return SessionDetail(
        session=session,
        session_ids=detail.session_ids,
        energy_wh=0,
        metered_wh=0,
        references=references,
        parkings=detail.parkings,
        others=detail.others,
    )


def _own(
    caller: Principal, references: Sequence[Transaction]
) -> tuple[Transaction, ...]:
    return tuple(
        bound
        for bound in references
        if isinstance(bound.event, ReferenceBound) and bound.event.party == caller.party
    )


def sdr_for(caller: Principal, view: SdrView) -> SdrView:
    """Return what the caller is shown of a session's SDR information."""
    if caller.roles & _STAFF:
        return view
    own, told = caller.party, view.information
    return msgspec.structs.replace(
        view,
        information=msgspec.structs.replace(
            told,
            parties=tuple(party for party in told.parties if party == own),
            actors=tuple(each for each in told.actors if _by(caller, each)),
            references=tuple(r for r in told.references if r.party == own),
            parts=tuple(_part_for(caller, part) for part in told.parts),
            **{
                name: tuple(increment_for(caller, each) for each in getattr(told, name))
                for name in _OF_INCREMENTS
            },
            corrections=tuple(
                msgspec.structs.replace(each, by=_by(caller, each.by))
                for each in told.corrections
            ),
        ),
        increments=tuple(increment_for(caller, each) for each in view.increments),
        received={by: n for by, n in view.received.items() if by == own},
    )


def increment_for(caller: Principal, increment: Increment) -> Increment:
    """Return an increment without what tells of other parties."""
    if caller.roles & _STAFF:
        return increment
    return msgspec.structs.replace(
        increment,
        by=_by(caller, increment.by),
        event=_event_for(caller, increment.event),
    )


def _transaction_for(caller: Principal, told: Transaction) -> Transaction:
    return msgspec.structs.replace(told, event=_event_for(caller, told.event))


def _event_for(caller: Principal, event: Event) -> Event:
    match event:
        case ReferenceBound() if event.party != caller.party:
            return msgspec.structs.replace(event, party="", reference="")
        case SessionOpened() if event.party != caller.party:
            return msgspec.structs.replace(event, party="")
        case MergedFrom():
            own = tuple(party for party in event.parties if party == caller.party)
            return msgspec.structs.replace(event, parties=own)
    by = getattr(event, "by", "")
    shown = _by(caller, by)
    return event if shown == by else msgspec.structs.replace(event, by=shown)


def _part_for(caller: Principal, part: SdrPart) -> SdrPart:
    outcome, spoken, by = part.outcome.partition(" by ")
    if part.kind != "authorization" or not spoken or _by(caller, by):
        return part
    return msgspec.structs.replace(part, outcome=outcome)


def _by(caller: Principal, name: str) -> str:
    """Return who it was, when that is the caller or the site's own back office."""
    is_told = name in (caller.party, caller.actor) or name.startswith(BACK_OFFICE)
    return name if is_told else ""
