"""Parquet of events and samples over HTTP, streamed."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.errors import invalid
from api.exporting import (
    EARLIEST,
    LATEST,
    day_span,
    events_of,
    first_position,
    samples_of,
)
from api.rest.event_pages import Visible
from api.rest.reading import (
    Caller,
    Context,
    Reading,
    documented,
    instant_or,
    needs,
    new_routes,
)
from api.security.permissions import Permission
from domain.errors import InvalidValue
from domain.model.values import Instant

router = new_routes()

_PARQUET = "application/vnd.apache.parquet"
Bound = Annotated[
    str,
    Query(
        max_length=40,
        description="a position, or an RFC 3339 instant of recording",
    ),
]
FromAt = Annotated[str, Query(max_length=40, description="taken then or later")]
UntilAt = Annotated[str, Query(max_length=40, description="taken before then")]


def _downloaded() -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "description": "A Parquet file.",
            "content": {_PARQUET: {"schema": {"type": "string", "format": "binary"}}},
        },
        **{k: v for k, v in documented(dict[str, str]).items() if k != 200},
    }


@router.get(
    "/exports/events.parquet",
    openapi_extra=needs(Permission.EXPORTS_READ),
    tags=["history"],
    responses=_downloaded(),
)
async def export_events(
    context: Reading,
    caller: Caller,
    begin: Annotated[Bound, Query(alias="from")] = "",
    until: Bound = "",
) -> Response:
    """Download events as Parquet: from a position or instant, up to another.

    Personal data stays sealed, and what is for auditors only is left out.
    """
    log = context.system.log
    first = await run_in_threadpool(_position, context, "from", begin, 1)
    last = await run_in_threadpool(log.last_position)
    end = await run_in_threadpool(_position, context, "until", until, last + 1)
    visible = Visible(context, caller).row
    return _answer("events", events_of(log, visible, after=first - 1, until=end - 1))


@router.get(
    "/exports/samples.parquet",
    openapi_extra=needs(Permission.EXPORTS_READ),
    tags=["history"],
    responses=_downloaded(),
)
async def export_samples(
    context: Reading,
    caller: Caller,
    from_at: FromAt = "",
    until_at: UntilAt = "",
    day: Annotated[date | None, Query(description="a UTC day, instead")] = None,
) -> Response:
    """Download readings as Parquet, of a time or a UTC day; all when neither is given.

    Those that were recorded more than a day after it are left out.
    """
    if day is not None:
        if from_at or until_at:
            raise invalid("query.day", day, "is not given with a time")
        begin, end = map(_bounded, day_span(day))
    else:
        begin = _bounded(instant_or("query.from_at", from_at, EARLIEST))
        end = _bounded(instant_or("query.until_at", until_at, LATEST))
    chunks = samples_of(context.system.samples, caller.reaches_zone, begin, end)
    return _answer("samples", chunks)


def _position(context: Context, name: str, text: str, default: int) -> int:
    try:
        return first_position(context.system.log, text, default)
    except InvalidValue as error:
        raise invalid(f"query.{name}", text, str(error)) from None


def _bounded(instant: Instant) -> Instant:
    return min(max(instant, EARLIEST), LATEST)


def _answer(name: str, chunks: Iterator[bytes]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.parquet"'}
    return StreamingResponse(chunks, media_type=_PARQUET, headers=headers)
