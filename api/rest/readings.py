"""Readings of EVSEs over HTTP: the last one by an instant, those of a time."""

from typing import Annotated

import msgspec
from fastapi import Path, Query, Response
from starlette.concurrency import run_in_threadpool

from api.errors import invalid, unknown
from api.rest.history import ValidAt, instant_valid
from api.rest.presentation import json_response
from api.rest.reading import (
    Caller,
    Context,
    Cursor,
    Limit,
    Reading,
    Stored,
    cursor_of,
    documented,
    instant_or,
    key_of,
    needs,
    new_routes,
)
from api.security.permissions import Permission
from api.security.principal import Principal
from api.security.reach import check_zone
from domain.model.values import DAY, Instant
from projections import readings
from projections.readings import Place, Readings, Span, ZoneReading

router = new_routes()

# Instants between which there can be samples; a forged one may say more.
_EARLIEST, _LATEST = 0, 253_402_300_799_000_000 - 2 * DAY

FromAt = Annotated[str, Query(max_length=40, description="taken then or later")]
UntilAt = Annotated[str, Query(max_length=40, description="taken before then")]


class EvseReadings(msgspec.Struct):
    """Readings of an EVSE. A page may be short while `next` goes on."""

    evse_id: str
    items: list[readings.Reading]
    next: str | None


class EvseMeasures(msgspec.Struct):
    """What a station measured at an EVSE but power and register of its readings.

    A page may be short while `next` goes on.
    """

    evse_id: str
    items: list[readings.Measured]
    next: str | None


class ZoneReadings(msgspec.Struct):
    """Power of a zone, summed over the EVSEs that told it together.

    A page may be short while `next` goes on.
    """

    zone_id: str
    items: list[ZoneReading]
    next: str | None


@router.get(
    "/evses/{evse_id}/readings",
    openapi_extra=needs(Permission.READINGS_READ),
    tags=["evses", "history"],
    responses=documented(EvseReadings, 400, 404),
)
async def list_evse_readings(
    context: Reading,
    caller: Caller,
    evse_id: Annotated[str, Path(max_length=200)],
    valid_at: ValidAt = "",
    from_at: FromAt = "",
    until_at: UntilAt = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Show the last reading at or before an instant, or those of a time.

    The last one is at most a day older than the instant; without any, there is none.
    """
    told = Readings(context.system.samples, _zone_of(context, caller, evse_id))
    if not (from_at or until_at):
        if cursor:
            raise invalid("query.cursor", cursor, "is given with its time")
        at = _bounded(instant_valid(context, valid_at))
        last = await run_in_threadpool(told.last, evse_id, at)
        return json_response(EvseReadings(evse_id, [last] if last else [], None))
    if valid_at:
        raise invalid("query.valid_at", valid_at, "is not given with a time")
    page = await run_in_threadpool(
        told.of_evse,
        evse_id,
        _span(context, from_at, until_at),
        behind=_behind("readings of an evse", cursor),
        limit=limit,
    )
    following = _next("readings of an evse", page.behind)
    return json_response(EvseReadings(evse_id, page.items, following))


@router.get(
    "/evses/{evse_id}/measures",
    openapi_extra=needs(Permission.READINGS_READ),
    tags=["evses", "history"],
    responses=documented(EvseMeasures, 400, 404),
)
async def list_evse_measures(
    context: Reading,
    caller: Caller,
    evse_id: Annotated[str, Path(max_length=200)],
    from_at: FromAt,
    until_at: UntilAt = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List what else was measured at an EVSE, as voltage and state of charge.

    Late readings, and those without a transaction, are here with power and register.
    """
    told = Readings(context.system.samples, _zone_of(context, caller, evse_id))
    page = await run_in_threadpool(
        told.measured,
        evse_id,
        _span(context, from_at, until_at),
        behind=_behind("measures of an evse", cursor),
        limit=limit,
    )
    following = _next("measures of an evse", page.behind)
    return json_response(EvseMeasures(evse_id, page.items, following))


@router.get(
    "/zones/{zone_id}/readings",
    openapi_extra=needs(Permission.READINGS_READ),
    tags=["zones", "history"],
    responses=documented(ZoneReadings, 400, 404),
)
async def list_zone_readings(
    context: Reading,
    caller: Caller,
    zone_id: Annotated[str, Path(max_length=200)],
    from_at: FromAt,
    until_at: UntilAt = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """List the power of the zone over a time, where its EVSEs told it."""
    check_zone(caller, zone_id)
    if context.models.zones.zone(zone_id) is None:
        raise unknown("zone", zone_id)
    page = await run_in_threadpool(
        Readings(context.system.samples, zone_id).of_zone,
        _span(context, from_at, until_at),
        behind=_behind("readings of a zone", cursor),
        limit=limit,
    )
    following = _next("readings of a zone", page.behind)
    return json_response(ZoneReadings(zone_id, page.items, following))


def _zone_of(context: Context, caller: Principal, evse_id: str) -> str:
    evse = context.models.evses.evse(evse_id)
    if evse is None or not caller.reaches_station(evse.station_id, evse.zone_id):
        raise unknown("evse", evse_id)
    return evse.zone_id


def _span(context: Context, from_at: str, until_at: str) -> Span:
    now = context.system.clock.now()
    begin = _bounded(instant_or("query.from_at", from_at, _EARLIEST))
    end = _bounded(instant_or("query.until_at", until_at, now))
    if begin >= end:
        raise invalid("query.from_at", from_at, "is before until_at")
    return Span(begin, end)


def _bounded(instant: Instant) -> Instant:
    return min(max(instant, _EARLIEST + 2 * DAY), _LATEST)


def _behind(kind: str, cursor: str) -> Place | None:
    return (
        Place(*key_of(kind, cursor, tuple[Stored, Stored], (0, 0))) if cursor else None
    )


def _next(kind: str, behind: Place | None) -> str | None:
    return cursor_of(kind, *behind) if behind else None
