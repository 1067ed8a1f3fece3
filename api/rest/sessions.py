"""Service sessions with their transactions over HTTP; sealed groups stay closed."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Response

from api.errors import unknown
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Cursor,
    Limit,
    Reading,
    Stored,
    StrictRoute,
    caught_up,
    cursor_of,
    documented,
    key_of,
    needs,
)
from api.security.permissions import Permission
from projections.session_queries import SessionDetail, SessionFilter
from projections.sessions import Session

router = APIRouter(route_class=StrictRoute)

SessionState = Literal["open", "closed", "merged"]
_LAST = ((1 << 63) - 1, "")


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
    zone_id: Annotated[str, Query(max_length=200)] = "",
    evse_id: Annotated[str, Query(max_length=200)] = "",
    state: SessionState | None = None,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List service sessions, the last opened first."""
    await caught_up(context, "sessions", after)
    before = key_of("service-sessions", cursor, tuple[Stored, str], _LAST)
    items = context.models.sessions.page(
        before=before,
        limit=limit,
        wanted=SessionFilter(zone_id, evse_id, state or ""),
    )
    last = items[-1] if len(items) == limit else None
    return json_response(
        SessionPage(
            items,
            cursor_of("service-sessions", last.opened_at, last.session_id)
            if last
            else None,
        )
    )


@router.get(
    "/service-sessions/{session_id}",
    openapi_extra=needs(Permission.SESSIONS_READ),
    tags=["service sessions"],
    responses=documented(SessionDetail, 404),
)
async def get_session(
    context: Reading,
    session_id: Annotated[str, Path(max_length=200)],
    after: After = None,
) -> Response:
    """Show a service session, under its own id or that of one merged into it."""
    await caught_up(context, "sessions", after)
    detail = context.models.sessions.session(session_id)
    if detail is None:
        raise unknown("session", session_id)
    return json_response(detail)
