"""Commissioning over HTTP (7.3): zones, stations, EVSEs and their limits."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.rest.commanding import Body, Commanding, commanded
from api.rest.reading import StrictRoute, needs
from api.security.permissions import Permission
from domain.use_cases.clause_7_3_commissioning import DefineZone, define_zone

router = APIRouter(route_class=StrictRoute)

Watts = Annotated[int, Field(ge=0, le=100_000_000, examples=[50_000])]


class ZoneBody(Body):
    """A charging site zone: its limit, and the envelope where no PRE holds."""

    zone_id: Annotated[str, Field(min_length=1, max_length=64, examples=["yard"])]
    name: Annotated[str, Field(max_length=200, examples=["The yard"])]
    limit_w: Watts
    safe_upper_w: Watts
    min_plan_gap_s: Annotated[int, Field(ge=1, le=3_600)] = 10
    reaction_time_s: Annotated[int, Field(ge=1, le=3_600)] = 30
    default_energy_wh: Annotated[int, Field(ge=1, le=100_000_000)] = 5_000
    default_stay_s: Annotated[int, Field(ge=1, le=31 * 86_400)] = 7_200


@router.post(
    "/zones",
    openapi_extra=needs(Permission.ZONES_COMMISSION),
    tags=["zones", "7.3"],
    responses=commanded(),
)
async def post_zone(commands: Commanding, body: ZoneBody) -> Response:
    """Define a charging site zone."""
    return await commands.run(define_zone, DefineZone(**body.model_dump()))
