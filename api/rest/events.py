"""The ledger's events over HTTP: pages, and a feed that resumes by position."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.errors import invalid
from api.rest.feed import EventFeed
from api.rest.log_tail import LogTail
from api.rest.presentation import json_response
from api.rest.reading import (
    Caller,
    Context,
    Cursor,
    Limit,
    Reading,
    Stored,
    StrictRoute,
    cursor_of,
    documented,
    key_of,
    needs,
)
from api.security.permissions import Permission
from domain.model.registry import BY_NAME
from domain.model.values import Event, Instant
from domain.ports import Recorded

router = APIRouter(route_class=StrictRoute)

_MOST = (1 << 63) - 1
Stream = Annotated[str, Query(max_length=300, description="one stream's events only")]
TypePrefix = Annotated[
    str, Query(alias="type", max_length=100, description="as `transfer.`")
]
Position = Annotated[
    int | None, Query(ge=0, le=_MOST, description="events behind this position")
]


class EventView(msgspec.Struct):
    """One row of the ledger; ``state`` is null when it was dropped by retention."""

    position: int
    stream: str
    version: int
    is_decision: bool
    type: str
    schema: int
    occurred_at: Instant
    recorded_at: Instant
    command_id: str
    correlation_id: str
    causation: int
    actor: str
    state: Event | None


class EventPage(msgspec.Struct):
    """A page of events, in order of position."""

    items: list[EventView]
    next: str | None


@router.get(
    "/events",
    openapi_extra=needs(Permission.EVENTS_READ),
    tags=["events"],
    responses=documented(EventPage, 400),
)
async def list_events(
    context: Reading,
    stream: Stream = "",
    type_prefix: TypePrefix = "",
    after: Position = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List events by position, of one stream or type if asked."""
    if cursor and after is not None:
        raise invalid("query.after", after, "is not given together with a cursor")
    types = types_of(type_prefix)
    (last,) = key_of("events", cursor, tuple[Stored], (after or 0,))
    rows = await run_in_threadpool(_rows, context, stream, types, last, limit)
    items = [view_of(row) for row in rows]
    more = len(items) == limit
    return json_response(
        EventPage(items, cursor_of("events", items[-1].position) if more else None)
    )


@router.get(
    "/events/feed",
    openapi_extra=needs(Permission.EVENTS_READ),
    tags=["events"],
    responses={
        200: {
            "description": "Server-sent events: id is the position, data an EventView.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **{k: v for k, v in documented(EventView).items() if k != 200},
    },
)
async def follow_events(
    request: Request,
    context: Reading,
    caller: Caller,
    stream: Stream = "",
    type_prefix: TypePrefix = "",
    after: Position = None,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> Response:
    """Follow events as they are recorded.

    Begins behind `Last-Event-ID`, else behind `after`, else with what comes next.
    """
    types = frozenset(types_of(type_prefix))
    begin = _begin(last_event_id, after)
    if begin is None:
        begin = await run_in_threadpool(context.system.log.last_position)

    def wanted(row: Recorded) -> bool:
        return (not stream or row.stream == stream) and (not types or row.type in types)

    tails: dict[str, LogTail] = request.app.state.tails
    tail = tails.get(caller.tenant)
    if tail is None:
        tail = tails[caller.tenant] = LogTail(context.system.log, _chunk_of)
    return EventFeed(
        tail,
        after=begin,
        wanted=wanted,
        heartbeat_s=context.heartbeat_s,
        stall_s=context.stall_s,
    )


def _chunk_of(row: Recorded) -> bytes:
    data = bytes(json_response(view_of(row)).body)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row.position, row.type.encode(), data)


def _begin(last_event_id: str, after: int | None) -> int | None:
    if not last_event_id:
        return after
    if not last_event_id.isascii() or not last_event_id.isdigit():
        raise invalid("header.last-event-id", last_event_id, "is a position")
    return min(int(last_event_id), _MOST)


def types_of(prefix: str) -> tuple[str, ...]:
    """Return the event types that begin with a prefix; none for no prefix."""
    if not prefix:
        return ()
    found = tuple(name for name in BY_NAME if name.startswith(prefix))
    if not found:
        raise invalid("query.type", prefix, "begins the name of an event type")
    return found


def _rows(
    context: Context, stream: str, types: tuple[str, ...], after: int, limit: int
) -> list[Recorded]:
    log = context.system.log
    if not stream:
        return list(log.read(after=after, limit=limit, types=types))
    found = [
        row
        for row in log.read_stream(stream)
        if row.position > after and (not types or row.type in types)
    ]
    return found[:limit]


def view_of(row: Recorded) -> EventView:
    """Return a row as the API shows it."""
    shared: dict[str, Any] = {
        name: getattr(row, name)
        for name in EventView.__struct_fields__
        if name not in ("is_decision", "state")
    }
    return EventView(is_decision=row.is_decision, state=row.event, **shared)
