"""EVSEs over HTTP."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Response

from api.errors import unknown
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Caller,
    Cursor,
    Limit,
    Reading,
    StrictRoute,
    caught_up,
    cursor_of,
    documented,
    key_of,
    needs,
)
from api.security.permissions import Permission
from api.security.reach import places_of
from projections.evses import Evse, EvseFilter

router = APIRouter(route_class=StrictRoute)

EvseState = Literal["available", "reserved", "occupied", "blocked"]


class EvsePage(msgspec.Struct):
    """A page of EVSEs."""

    items: list[Evse]
    next: str | None


@router.get(
    "/evses",
    openapi_extra=needs(Permission.EVSES_READ),
    tags=["evses"],
    responses=documented(EvsePage, 400),
)
async def list_evses(
    context: Reading,
    caller: Caller,
    zone_id: Annotated[str, Query(max_length=200)] = "",
    station_id: Annotated[str, Query(max_length=200)] = "",
    state: EvseState | None = None,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List the EVSEs within reach by id, of one zone, station or state if asked."""
    await caught_up(context, "evses", after)
    (last,) = key_of("evses", cursor, tuple[str], ("",))
    items = context.models.evses.page(
        after=last,
        limit=limit,
        wanted=EvseFilter(zone_id, station_id, state or ""),
        scope=places_of(caller),
    )
    more = len(items) == limit
    return json_response(
        EvsePage(items, cursor_of("evses", items[-1].evse_id) if more else None)
    )


@router.get(
    "/evses/{evse_id}",
    openapi_extra=needs(Permission.EVSES_READ),
    tags=["evses"],
    responses=documented(Evse, 404),
)
async def get_evse(
    context: Reading,
    caller: Caller,
    evse_id: Annotated[str, Path(max_length=200)],
    after: After = None,
) -> Response:
    """Show an EVSE: what it is, who occupies it, its ETPs, what was observed."""
    await caught_up(context, "evses", after)
    evse = context.models.evses.evse(evse_id)
    if evse is None or not caller.reaches_station(evse.station_id, evse.zone_id):
        raise unknown("evse", evse_id)
    return json_response(evse)
