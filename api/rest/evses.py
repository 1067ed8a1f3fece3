"""EVSEs over HTTP."""

from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query, Response
from starlette.concurrency import run_in_threadpool

from api.errors import unknown
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
from projections.evse_queries import EvseFilter
from projections.evses import Evse

router = new_routes()

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
    as_of: AsOf = "",
) -> Response:
    """List the EVSEs within reach by id, of one zone, station or state if asked."""
    await caught_up(context, "evses", after)
    past = await past_of(context, "evses", as_of, "evses", cursor)
    kind = kind_of("evses", past)
    (last,) = key_of(kind, cursor, tuple[str], ("",))
    wanted = EvseFilter(zone_id, station_id, state or "")
    scope = places_of(caller)
    if past is None:
        items = context.models.evses.page(
            after=last, limit=limit, wanted=wanted, scope=scope
        )
    else:
        items = await run_in_threadpool(
            past.evses, after=last, limit=limit, wanted=wanted, scope=scope
        )
    behind = next_of(kind, items, limit, lambda evse: (evse.evse_id,))
    return json_response(EvsePage(items, behind))


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
    as_of: AsOf = "",
) -> Response:
    """Show an EVSE: what it is, who occupies it, its ETPs, what was observed."""
    await caught_up(context, "evses", after)
    past = await past_of(context, "evses", as_of)
    if past is None:
        evse = context.models.evses.evse(evse_id)
    else:
        evse = await run_in_threadpool(past.evse, evse_id)
    if evse is None or not caller.reaches_station(evse.station_id, evse.zone_id):
        raise unknown("evse", evse_id)
    return json_response(evse)
