"""What a caller is shown of a session: what concerns it, and nothing more (7.9.4.5).

Staff sees all of it. A partner sees its own references only, and not who else takes
part; a parking operator nothing but the parking and the other services.
"""

from collections.abc import Sequence

import msgspec

from api.security.principal import Principal, Role
from domain.model.sdr import Increment
from domain.model.session_events import ReferenceBound, SessionOpened
from projections.sdr import SdrView
from projections.session_queries import SessionDetail, Transaction
from projections.sessions import Session

_STAFF = frozenset({Role.ADMIN, Role.OPERATOR, Role.ANALYST})


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
        return msgspec.structs.replace(detail, session=session, references=references)
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
            references=tuple(r for r in told.references if r.party == own),
        ),
        increments=tuple(increment_for(caller, each) for each in view.increments),
        received={by: n for by, n in view.received.items() if by == own},
    )


def increment_for(caller: Principal, increment: Increment) -> Increment:
    """Return an increment without what other parties call the session."""
    event = increment.event
    if caller.roles & _STAFF or getattr(event, "party", caller.party) == caller.party:
        return increment
    if isinstance(event, ReferenceBound):
        event = msgspec.structs.replace(event, party="", reference="")
    elif isinstance(event, SessionOpened):
        event = msgspec.structs.replace(event, party="")
    return msgspec.structs.replace(increment, event=event)
