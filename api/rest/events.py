"""The ledger's events over HTTP: pages, and a feed that resumes by position."""

from typing import Annotated, Any

import msgspec
from fastapi import Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.errors import invalid
from api.rest.event_pages import History, Visible, page_of
from api.rest.feed import EventFeed
from api.rest.log_tail import Line, LogTail
from api.rest.presentation import json_response
from api.rest.reading import (
    Caller,
    Context,
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
from api.security.event_reach import StreamPlaces
from api.security.permissions import Permission
from domain.model.registry import BY_NAME
from domain.model.values import Event, Instant
from domain.ports import Recorded, RowFilter

router = new_routes()

_MOST = (1 << 63) - 1
Stream = Annotated[str, Query(max_length=300, description="one stream's events only")]
TypePrefix = Annotated[
    str, Query(alias="type", max_length=100, description="as `transfer.`")
]
Exactly = Annotated[str, Query(max_length=200)]
FromAt = Annotated[str, Query(max_length=40, description="then or later")]
UntilAt = Annotated[str, Query(max_length=40, description="before then")]
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
    """A page of events, in order of position.

    It may be short, or empty, while `next` goes on.
    """

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
    caller: Caller,
    stream: Stream = "",
    type_prefix: TypePrefix = "",
    correlation_id: Exactly = "",
    actor: Exactly = "",
    recorded_from_at: FromAt = "",
    recorded_until_at: UntilAt = "",
    occurred_from_at: FromAt = "",
    occurred_until_at: UntilAt = "",
    after: Position = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List events by position: of a stream, type, actor or time, or of one request.

    For a page so much of the log is looked at, at most: it may be short, or empty,
    while `next` goes on.
    """
    if cursor and after is not None:
        raise invalid("query.after", after, "is not given together with a cursor")
    asked = History(
        RowFilter(
            stream,
            types_of(type_prefix),
            actor,
            instant_if("occurred_from_at", occurred_from_at),
            instant_if("occurred_until_at", occurred_until_at),
        ),
        correlation_id,
        instant_if("recorded_from_at", recorded_from_at),
        instant_if("recorded_until_at", recorded_until_at),
    )
    if correlation_id:
        await caught_up(
            context, "correlations", await run_in_threadpool(_last_position, context)
        )
    (last,) = key_of("events", cursor, tuple[Stored], (after or 0,))
    found = await run_in_threadpool(
        page_of, context, caller, asked, after=last, limit=limit
    )
    items = [view_of(row) for row in found.rows]
    following = None if found.behind is None else cursor_of("events", found.behind)
    return json_response(EventPage(items, following))


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

    visible = Visible(context, caller)

    def wanted(line: Line) -> bool:
        row = line.row
        asked = (not stream or row.stream == stream) and (
            not types or row.type in types
        )
        return asked and visible.at(row.stream, line.place)

    tails: dict[str, LogTail] = request.app.state.tails
    tail = tails.get(caller.tenant)
    if tail is None:
        places = StreamPlaces(context.system)
        tail = LogTail(context.system.log, _chunk_of, places.of)
        tails[caller.tenant] = tail
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


def instant_if(name: str, text: str) -> Instant | None:
    """Return the instant of a parameter; None when it is left out."""
    return instant_or(f"query.{name}", text, 0) if text else None


def _last_position(context: Context) -> int:
    return context.system.log.last_position()


def view_of(row: Recorded) -> EventView:
    """Return a row as the API shows it."""
    shared: dict[str, Any] = {
        name: getattr(row, name)
        for name in EventView.__struct_fields__
        if name not in ("is_decision", "state")
    }
    return EventView(is_decision=row.is_decision, state=row.event, **shared)
