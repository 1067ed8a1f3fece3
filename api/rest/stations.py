"""Stations over HTTP: as they stand, as they connect, what became of their ETPs."""

from typing import Annotated, Literal

import msgspec
from fastapi import Query, Response
from starlette.concurrency import run_in_threadpool

from api.errors import unknown
from api.rest.command_bodies import PathId
from api.rest.history import AsOf, kind_of, past_of
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Caller,
    Cursor,
    Limit,
    Reading,
    caught_up,
    documented,
    key_of,
    needs,
    new_routes,
    next_of,
)
from api.security.permissions import Permission
from api.security.reach import places_of
from projections.station_documents import Station
from projections.station_queries import StationFilter

router = new_routes()

Standing = Literal["unregistered", "pending", "accepted", "blocked", "retired"]
Connection = Literal["connected", "disconnected"]


class StationPage(msgspec.Struct):
    """A page of stations."""

    items: list[Station]
    next: str | None


@router.get(
    "/stations",
    openapi_extra=needs(Permission.STATIONS_READ),
    tags=["stations", "7.3"],
    responses=documented(StationPage, 400),
)
async def list_stations(
    context: Reading,
    caller: Caller,
    zone_id: Annotated[str, Query(max_length=200)] = "",
    standing: Standing | None = None,
    connection: Connection | None = None,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
    as_of: AsOf = "",
) -> Response:
    """List the stations within reach by id, of one zone or standing if asked."""
    await caught_up(context, "stations", after)
    past = await past_of(context, "stations", as_of, "stations", cursor)
    kind = kind_of("stations", past)
    (last,) = key_of(kind, cursor, tuple[str], ("",))
    wanted = StationFilter(zone_id, standing or "", connection or "")
    scope = places_of(caller)
    if past is None:
        items = context.models.stations.page(
            after=last, limit=limit, wanted=wanted, scope=scope
        )
    else:
        items = await run_in_threadpool(
            past.stations, after=last, limit=limit, wanted=wanted, scope=scope
        )
    behind = next_of(kind, items, limit, lambda station: (station.station_id,))
    return json_response(StationPage(items, behind))


@router.get(
    "/stations/{station_id}",
    openapi_extra=needs(Permission.STATIONS_READ),
    tags=["stations", "7.3"],
    responses=documented(Station, 404),
)
async def get_station(
    context: Reading,
    caller: Caller,
    station_id: PathId,
    after: After = None,
    as_of: AsOf = "",
) -> Response:
    """Show a station: how it stands, what it told, whether it follows its ETPs.

    The last readings of its EVSEs: ``GET /evses/{evse_id}/readings``.
    """
    await caught_up(context, "stations", after)
    past = await past_of(context, "stations", as_of)
    if past is None:
        station = context.models.stations.station(station_id)
    else:
        station = await run_in_threadpool(past.station, station_id)
    if station is None or not caller.reaches_station(station_id, station.zone_id):
        raise unknown("station", station_id)
    return json_response(station)
