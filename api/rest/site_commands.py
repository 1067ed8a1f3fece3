"""Commissioning over HTTP (7.3): zones, stations, EVSEs and their limits."""

from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import Field

from api.rest.command_bodies import (
    EvseId,
    Name,
    PathId,
    SignedWatts,
    Watts,
    example,
)
from api.rest.commanding import Body, Commanding, commanded
from api.rest.reading import needs, new_routes
from api.security.permissions import Permission
from api.security.reach import check_evse, check_station, check_zone
from domain.model.site_events import MOST_PAUSES
from domain.model.values import Current
from domain.use_cases.clause_7_3_commissioning import (
    ChangeEnforcement,
    ChangeEvseLimits,
    ChangeZoneLimits,
    CommissionEvse,
    CommissionStation,
    DefineZone,
    EvseData,
    change_enforcement,
    change_evse_limits,
    change_zone_limits,
    commission_evse,
    commission_station,
    define_zone,
)

router = new_routes()

_EVSE: dict[str, Any] = {
    "evse_id": "DE*ABC*E100",
    "current": "AC",
    "phases": 3,
    "voltage_v": 230,
    "max_w": 22_000,
    "floor_w": 4_140,
}


class ZoneBody(Body):
    """A charging site zone: its limit, and the envelope where no PRE holds."""

    model_config = example(
        zone_id="yard", name="The yard", limit_w=50_000, safe_upper_w=9_000
    )

    zone_id: Name
    name: Annotated[str, Field(max_length=200)]
    limit_w: Watts
    safe_upper_w: Watts
    min_plan_gap_s: Annotated[int, Field(ge=1, le=3_600)] = 10
    reaction_time_s: Annotated[int, Field(ge=1, le=3_600)] = 30
    default_energy_wh: Annotated[int, Field(ge=1, le=100_000_000)] = 5_000
    default_stay_s: Annotated[int, Field(ge=1, le=31 * 86_400)] = 7_200
    min_on_s: Annotated[int, Field(ge=0, le=3_600)] = 0
    max_pauses: Annotated[int, Field(ge=1, le=MOST_PAUSES)] = 4


class ZoneLimitsBody(Body):
    """The zone's own limit, and the envelope where no PRE holds."""

    model_config = example(limit_w=40_000, safe_upper_w=8_000)

    limit_w: Watts
    safe_upper_w: Watts


class EnforcementBody(Body):
    """Whether a session may be ended, so that its EVSE gives nothing.

    To stop the transaction ends it, and so does a reset of the EVSE (of OCPP 1.6: of
    its whole station). Who may not stop may not reset.
    """

    model_config = example(may_stop=True, may_reset=False)

    may_stop: bool
    may_reset: bool


class EvseBody(Body):
    """An EVSE with its limits; below ``floor_w`` an EV draws nothing."""

    model_config = example(**_EVSE)

    evse_id: EvseId
    current: Literal["AC", "DC"]
    phases: Annotated[int, Field(ge=1, le=3)]
    voltage_v: Annotated[int, Field(ge=1, le=2_000)]
    max_w: Annotated[Watts, Field(ge=1)]
    floor_w: Watts
    v2g: bool = False
    min_w: Annotated[SignedWatts, Field(le=0)] = 0

    def data(self) -> EvseData:
        """Return it as the domain has it."""
        told = self.model_dump()
        return EvseData(**{**told, "current": Current(self.current)})


class StationBody(Body):
    """A charging station of a zone with all its EVSEs."""

    model_config = example(station_id="cs-1", zone_id="yard", evses=[_EVSE])

    station_id: Name
    zone_id: Name
    evses: Annotated[list[EvseBody], Field(min_length=1, max_length=200)]


class EvseLimitsBody(Body):
    """The power limits of an EVSE; ``min_w`` is below 0 with V2G only."""

    model_config = example(max_w=11_000, floor_w=4_140)

    max_w: Annotated[Watts, Field(ge=1)]
    floor_w: Watts
    min_w: Annotated[SignedWatts, Field(le=0)] = 0


@router.post(
    "/zones",
    openapi_extra=needs(Permission.ZONES_COMMISSION),
    tags=["zones", "7.3"],
    responses=commanded(),
)
async def post_zone(commands: Commanding, body: ZoneBody) -> Response:
    """Define a charging site zone."""
    return await commands.run(
        define_zone,
        DefineZone(**body.model_dump()),
        reach=lambda: check_zone(commands.caller, body.zone_id),
    )


@router.post(
    "/zones/{zone_id}/limits",
    openapi_extra=needs(Permission.ZONES_COMMISSION),
    tags=["zones", "7.3"],
    responses=commanded(),
)
async def post_zone_limits(
    commands: Commanding, zone_id: PathId, body: ZoneLimitsBody
) -> Response:
    """Change the zone's own limit and its safe envelope."""
    return await commands.run(
        change_zone_limits,
        ChangeZoneLimits(zone_id=zone_id, **body.model_dump()),
        reach=lambda: check_zone(commands.caller, zone_id),
    )


@router.post(
    "/zones/{zone_id}/enforcement",
    openapi_extra=needs(Permission.ZONES_COMMISSION),
    tags=["zones", "7.3"],
    responses=commanded(),
)
async def post_zone_enforcement(
    commands: Commanding, zone_id: PathId, body: EnforcementBody
) -> Response:
    """Say how far the zone goes where a mandatory ETP is not followed."""
    return await commands.run(
        change_enforcement,
        ChangeEnforcement(zone_id=zone_id, **body.model_dump()),
        reach=lambda: check_zone(commands.caller, zone_id),
    )


@router.post(
    "/stations",
    openapi_extra=needs(Permission.ZONES_COMMISSION),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_station(commands: Commanding, body: StationBody) -> Response:
    """Commission a station with its EVSEs into a zone."""
    command = CommissionStation(
        station_id=body.station_id,
        zone_id=body.zone_id,
        evses=tuple(evse.data() for evse in body.evses),
    )
    return await commands.run(
        commission_station,
        command,
        reach=lambda: check_zone(commands.caller, body.zone_id),
    )


@router.post(
    "/stations/{station_id}/evses",
    openapi_extra=needs(Permission.ZONES_COMMISSION),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_evse(
    commands: Commanding, station_id: PathId, body: EvseBody
) -> Response:
    """Commission one more EVSE of a station."""
    return await commands.run(
        commission_evse,
        CommissionEvse(station_id=station_id, evse=body.data()),
        reach=lambda: check_station(commands.system, commands.caller, station_id),
    )


@router.post(
    "/evses/{evse_id}/limits",
    openapi_extra=needs(Permission.ZONES_COMMISSION),
    tags=["evses", "7.3"],
    responses=commanded(),
)
async def post_evse_limits(
    commands: Commanding, evse_id: PathId, body: EvseLimitsBody
) -> Response:
    """Change the power limits of an EVSE."""
    return await commands.run(
        change_evse_limits,
        ChangeEvseLimits(evse_id=evse_id, **body.model_dump()),
        reach=lambda: check_evse(commands.system, commands.caller, evse_id),
    )
