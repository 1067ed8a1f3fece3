"""Service sessions with their transactions over HTTP; sealed groups stay closed."""

from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query, Response
from starlette.concurrency import run_in_threadpool

from api.errors import unknown
from api.rest.history import AsOf, kind_of, past_of
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    At,
    Caller,
    Cursor,
    Limit,
    Reading,
    Stored,
    caught_up,
    cursor_of,
    documented,
    instant_or,
    key_of,
    needs,
    new_routes,
)
from api.security.permissions import Permission
from api.security.principal import Principal
from api.security.reach import scope_of, sees_session
from api.security.views import detail_for, session_for
from projections.session_documents import Session
from projections.session_queries import ALL_SESSIONS, SessionDetail, SessionFilter

router = new_routes()

SessionState = Literal["open", "closed", "merged"]
_LAST = ((1 << 63) - 1, "")
Id = Annotated[str, Query(max_length=200)]
Order = Literal["latest-first", "earliest-first"]


class SessionPage(msgspec.Struct):
    """A page of service sessions."""

    items: list[Session]
    next: str | None


@router.get(
    "/service-sessions",
    openapi_extra=needs(Permission.SESSIONS_READ),
    tags=["service sessions"],
    responses=documented(SessionPage, 400),
)
async def list_sessions(
    context: Reading,
    caller: Caller,
    zone_id: Id = "",
    station_id: Id = "",
    evse_id: Id = "",
    state: SessionState | None = None,
    party: Id = "",
    opened_from_at: At = "",
    opened_until_at: At = "",
    order: Order = "latest-first",
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
    as_of: AsOf = "",
) -> Response:
    """List the service sessions within reach by their opening.

    With `as_of`, a page may be short while `next` goes on.
    """
    await caught_up(context, "sessions", after)
    wanted = SessionFilter(
        zone_id,
        station_id,
        evse_id,
        state or "",
        party,
        instant_or("query.opened_from_at", opened_from_at, ALL_SESSIONS.opened_from_at),
        instant_or(
            "query.opened_until_at", opened_until_at, ALL_SESSIONS.opened_until_at
        ),
        order == "earliest-first",
    )
    past = await past_of(context, "sessions", as_of, "service-sessions", cursor)
    kind = kind_of("service-sessions", past)
    behind = key_of(kind, cursor, tuple[Stored, str], _LAST) if cursor else None
    scope = scope_of(caller, wanted)
    if past is None:
        items = context.models.sessions.page(
            behind=behind, limit=limit, wanted=wanted, scope=scope
        )
        last = items[-1] if len(items) == limit else None
        behind = (last.opened_at, last.session_id) if last else None
    else:
        items, behind = await run_in_threadpool(
            past.sessions, behind=behind, limit=limit, wanted=wanted, scope=scope
        )
    shown = [session_for(caller, session) for session in items]
    return json_response(
        SessionPage(shown, cursor_of(kind, *behind) if behind else None)
    )


@router.get(
    "/service-sessions/{session_id}",
    openapi_extra=needs(Permission.SESSIONS_READ),
    tags=["service sessions"],
    responses=documented(SessionDetail, 404),
)
async def get_session(
    context: Reading,
    caller: Caller,
    session_id: Annotated[str, Path(max_length=200)],
    after: After = None,
    as_of: AsOf = "",
) -> Response:
    """Show a service session, under its own id or that of one merged into it."""
    await caught_up(context, "sessions", after)
    past = await past_of(context, "sessions", as_of)
    if past is None:
        detail = context.models.sessions.session(session_id)
    else:
        detail = await run_in_threadpool(past.session, session_id)
    if detail is None or not sees(caller, detail.session):
        raise unknown("session", session_id)
    return json_response(detail_for(caller, detail))


def sees(caller: Principal, session: Session) -> bool:
    """Whether a session is within the caller's reach."""
    parties = frozenset(session.parties)
    return sees_session(caller, session.zone_id, session.station_id, parties)
