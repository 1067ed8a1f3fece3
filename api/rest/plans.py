"""Plans and key figures over HTTP (E1)."""

from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query, Response

from api.errors import unknown
from api.rest.history import AsOf, past_of
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Caller,
    Cursor,
    Limit,
    Reading,
    Stored,
    caught_up,
    documented,
    key_of,
    needs,
    new_routes,
    next_of,
)
from api.security.permissions import Permission
from api.security.reach import places_of
from projections.key_figures import Figures
from projections.plans import Plan

router = new_routes()

_LAST = ((1 << 63) - 1,)


class PlanPage(msgspec.Struct):
    """A page of plans."""

    items: list[Plan]
    next: str | None


class FiguresView(msgspec.Struct):
    """Key figures by zone."""

    zones: list[Figures]


@router.get(
    "/plans",
    openapi_extra=needs(Permission.PLANS_READ),
    tags=["plans", "E1"],
    responses=documented(PlanPage, 400),
)
async def list_plans(
    context: Reading,
    caller: Caller,
    zone_id: Annotated[str, Query(max_length=200)] = "",
    outcome: Literal["made", "superseded"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List plans, the last one first."""
    await caught_up(context, "plans", after)
    (before,) = key_of("plans", cursor, tuple[Stored], _LAST)
    items = context.models.plans.page(
        before=before,
        limit=limit,
        zone_id=zone_id,
        outcome=outcome or "",
        scope=places_of(caller),
    )
    behind = next_of("plans", items, limit, lambda plan: (plan.position,))
    return json_response(PlanPage(items, behind))


@router.get(
    "/plans/{position}",
    openapi_extra=needs(Permission.PLANS_READ),
    tags=["plans", "E1"],
    responses=documented(Plan, 404),
)
async def get_plan(
    context: Reading,
    caller: Caller,
    position: Annotated[int, Path(ge=1, le=(1 << 63) - 1)],
    after: After = None,
    as_of: AsOf = "",
) -> Response:
    """Show the plan at a position of the log."""
    await caught_up(context, "plans", after)
    past = await past_of(context, "plans", as_of)
    plan = (past or context.models.plans).plan(position)
    if plan is None or not caller.reaches_zone(plan.zone_id):
        raise unknown("plan", str(position))
    return json_response(plan)


@router.get(
    "/key-figures",
    openapi_extra=needs(Permission.FIGURES_READ),
    tags=["key figures", "E1"],
    responses=documented(FiguresView, 404),
)
async def get_key_figures(
    context: Reading,
    caller: Caller,
    zone_id: Annotated[str, Query(max_length=200)] = "",
    after: After = None,
) -> Response:
    """Show the key figures of all zones within reach, or of one."""
    await caught_up(context, "key_figures", after)
    found = context.models.key_figures.figures(zone_id)
    figures = [zone for zone in found if caller.reaches_zone(zone.zone_id)]
    if zone_id and not figures:
        raise unknown("zone", zone_id)
    return json_response(FiguresView(figures))
