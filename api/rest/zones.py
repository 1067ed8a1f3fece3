"""Zones over HTTP: limits and members, PRE (E4), AETP and ETPs (E1)."""

from typing import Annotated

import msgspec
from fastapi import Path, Response
from starlette.concurrency import run_in_threadpool

from api.errors import unknown
from api.rest.history import AsOf, ValidAt, instant_valid, kind_of, past_of
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Caller,
    Context,
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
from api.security.principal import Principal
from api.security.reach import check_zone
from domain.model.profile import PowerProfile
from domain.model.values import Instant
from projections.evse_queries import EvseFilter
from projections.evses import Delivery
from projections.pre_history import PreEvent
from projections.zones import Zone

router = new_routes()

ZoneId = Annotated[str, Path(max_length=200)]
_LAST = ((1 << 63) - 1, 0)


class ZonePage(msgspec.Struct):
    """A page of zones."""

    items: list[Zone]
    next: str | None


class PowerSpan(msgspec.Struct):
    """Lower and upper power over a time."""

    from_at: Instant
    until_at: Instant
    lower_w: int
    upper_w: int


class PreView(msgspec.Struct):
    """The PRE in force at an instant and after, as it was known then, and its history.

    Where no span covers an instant, the safe envelope from 0 to `safe_upper_w` holds;
    both within the zone's limit. `history` has the last telling first.
    """

    zone_id: str
    asked_at: Instant
    lower_w: int
    upper_w: int
    covered: bool
    spans: list[PowerSpan]
    safe_upper_w: int
    limit_w: int
    history: list[PreEvent]
    next: str | None


class AetpView(msgspec.Struct):
    """The aggregated energy transfer plan (AETP) in force, and the plan it is of.

    `power_w` is its power at the instant asked for.
    """

    zone_id: str
    asked_at: Instant
    plan_position: int | None
    made_at: Instant | None
    power_w: int | None
    aetp: PowerProfile | None


class EvseEtps(msgspec.Struct):
    """The ETPs of an EVSE: planned last, sent last, and in force (accepted last)."""

    evse_id: str
    session_id: str
    delivery: str
    planned: Delivery | None
    last_sent: Delivery | None
    in_force: Delivery | None


class EtpPage(msgspec.Struct):
    """A page of the ETPs of a zone's EVSEs."""

    items: list[EvseEtps]
    next: str | None


@router.get(
    "/zones",
    openapi_extra=needs(Permission.ZONES_READ),
    tags=["zones"],
    responses=documented(ZonePage, 400),
)
async def list_zones(
    context: Reading,
    caller: Caller,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
    as_of: AsOf = "",
) -> Response:
    """List the zones within reach by id, as they stand or as they were."""
    await caught_up(context, "zones", after)
    past = await past_of(context, "zones", as_of, "zones", cursor)
    kind = kind_of("zones", past)
    (last,) = key_of(kind, cursor, tuple[str], ("",))
    zones = None if caller.reaches_all else caller.zones
    if past is None:
        items = context.models.zones.page(after=last, limit=limit, zone_ids=zones)
    else:
        items = await run_in_threadpool(
            past.zones, after=last, limit=limit, zone_ids=zones
        )
    behind = next_of(kind, items, limit, lambda zone: (zone.zone_id,))
    return json_response(ZonePage(items, behind))


@router.get(
    "/zones/{zone_id}",
    openapi_extra=needs(Permission.ZONES_READ),
    tags=["zones"],
    responses=documented(Zone, 404),
)
async def get_zone(
    context: Reading,
    caller: Caller,
    zone_id: ZoneId,
    after: After = None,
    as_of: AsOf = "",
) -> Response:
    """Show a zone, as it stands or as it was."""
    check_zone(caller, zone_id)
    past = await past_of(context, "zones", as_of)
    if past is None:
        return json_response(await _zone(context, caller, zone_id, after))
    zone = await run_in_threadpool(past.zone, zone_id)
    if zone is None:
        raise unknown("zone", zone_id)
    return json_response(zone)


@router.get(
    "/zones/{zone_id}/pre",
    openapi_extra=needs(Permission.ENVELOPES_READ),
    tags=["zones", "E4"],
    responses=documented(PreView, 400, 404),
)
async def get_pre(
    context: Reading,
    caller: Caller,
    zone_id: ZoneId,
    valid_at: ValidAt = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """Show the PRE in force, and what the RM told."""
    await _zone(context, caller, zone_id, after)
    instant = instant_valid(context, valid_at)
    zones = context.models.zones
    before = key_of("pre", cursor, tuple[Stored, Stored], _LAST)
    history = zones.pre_history(zone_id, before=before, limit=limit)
    pre = zones.pre_in_force(zone_id, instant)
    lower_w, upper_w = pre.range_w(instant)
    return json_response(
        PreView(
            zone_id=zone_id,
            asked_at=instant,
            lower_w=lower_w,
            upper_w=upper_w,
            covered=pre.covers(instant),
            spans=[PowerSpan(*span) for span in pre.spans if span[1] > instant],
            safe_upper_w=pre.safe_upper_w,
            limit_w=pre.limit_w,
            history=history,
            next=next_of(
                "pre", history, limit, lambda last: (last.occurred_at, last.position)
            ),
        )
    )


@router.get(
    "/zones/{zone_id}/aetp",
    openapi_extra=needs(Permission.ENVELOPES_READ),
    tags=["zones", "E1"],
    responses=documented(AetpView, 404),
)
async def get_aetp(
    context: Reading,
    caller: Caller,
    zone_id: ZoneId,
    valid_at: ValidAt = "",
    after: After = None,
) -> Response:
    """Show the AETP in force at an instant, by all that is known today."""
    await _zone(context, caller, zone_id, after)
    await caught_up(context, "plans", after)
    instant = instant_valid(context, valid_at)
    plan = context.models.plans.in_force(zone_id, instant)
    aetp = plan.aetp if plan else None
    return json_response(
        AetpView(
            zone_id,
            instant,
            plan.position if plan else None,
            plan.occurred_at if plan else None,
            aetp.power_w(instant) if aetp else None,
            aetp,
        )
    )


@router.get(
    "/zones/{zone_id}/etps",
    openapi_extra=needs(Permission.PLANS_READ),
    tags=["zones", "E1"],
    responses=documented(EtpPage, 400, 404),
)
async def list_etps(
    context: Reading,
    caller: Caller,
    zone_id: ZoneId,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List the ETPs of the zone's EVSEs, on their way and in force."""
    await _zone(context, caller, zone_id, after)
    await caught_up(context, "evses", after)
    (last,) = key_of("etps", cursor, tuple[str], ("",))
    evses = context.models.evses.page(
        after=last, limit=limit, wanted=EvseFilter(zone_id)
    )
    items = [
        EvseEtps(
            evse.evse_id,
            evse.session_id,
            evse.delivery,
            evse.etp_planned,
            evse.etp_last_sent,
            evse.etp_in_force,
        )
        for evse in evses
    ]
    behind = next_of("etps", items, limit, lambda etps: (etps.evse_id,))
    return json_response(EtpPage(items, behind))


async def _zone(
    context: Context, caller: Principal, zone_id: str, after: int | None
) -> Zone:
    check_zone(caller, zone_id)
    await caught_up(context, "zones", after)
    zone = context.models.zones.zone(zone_id)
    if zone is None:
        raise unknown("zone", zone_id)
    return zone
