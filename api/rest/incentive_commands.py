"""Demand response over HTTP (E2): incentives come in, EV users take part or refuse."""

from functools import partial
from typing import Annotated

import msgspec
from fastapi import Response
from pydantic import Field

from api.errors import unknown
from api.rest.command_bodies import Moment, Name, PathId, Reason, Watts, example
from api.rest.commanding import Body, Commanding, commanded
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
from api.security.reach import check_commanded, check_zone
from domain.model.profile import Change
from domain.use_cases.e2_demand_response import (
    CO2_LIMIT_G,
    MOST_CHANGES,
    PRICE_LIMIT_MINOR,
    AnswerIncentive,
    ReceiveIncentive,
    WithdrawIncentive,
    answer_incentive,
    receive_incentive,
    withdraw_incentive,
)
from projections.incentives import Incentive

router = new_routes()

_LONGEST_S = 7 * 86_400

Offset = Annotated[
    int,
    Field(ge=0, lt=_LONGEST_S, description="Seconds from the incentive's begin on."),
]


class PriceBody(Body):
    """What a kWh costs from an offset on, in minor units of the currency."""

    offset_s: Offset
    minor_per_kwh: Annotated[int, Field(ge=-PRICE_LIMIT_MINOR, le=PRICE_LIMIT_MINOR)]


class Co2Body(Body):
    """What a kWh emits from an offset on."""

    offset_s: Offset
    g_per_kwh: Annotated[int, Field(ge=0, le=CO2_LIMIT_G)]


class IncentiveBody(Body):
    """An incentive of a secondary actor: one of its parts at least.

    ``maximum_w`` is the most that each EVSE of the zone is to give meanwhile.
    """

    model_config = example(
        incentive_id="evening-peak",
        from_at="2026-06-01T17:00:00Z",
        until_at="2026-06-01T20:00:00Z",
        currency="EUR",
        tariff=[
            {"offset_s": 0, "minor_per_kwh": 45},
            {"offset_s": 7_200, "minor_per_kwh": 30},
        ],
        co2=[{"offset_s": 0, "g_per_kwh": 380}],
        maximum_w=7_000,
        peak="Peak hour: charging is dearer and slower until ten.",
    )

    incentive_id: Name
    from_at: Moment
    until_at: Moment
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""
    tariff: Annotated[list[PriceBody], Field(max_length=MOST_CHANGES)] = Field(
        default_factory=list
    )
    co2: Annotated[list[Co2Body], Field(max_length=MOST_CHANGES)] = Field(
        default_factory=list
    )
    maximum_w: Watts | None = None
    peak: Annotated[
        str,
        Field(
            max_length=200,
            description="What users at the EVSEs are told; no personal data.",
        ),
    ] = ""

    def changes(self) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return tariff and CO2 as the domain has them."""
        tariff = tuple((each.offset_s, each.minor_per_kwh) for each in self.tariff)
        return tariff, tuple((each.offset_s, each.g_per_kwh) for each in self.co2)


class IncentiveWithdrawalBody(Body):
    """Why the incentive holds no longer."""

    model_config = example(reason="the peak stayed away")

    reason: Reason


class IncentiveAnswerBody(Body):
    """Whether the EV user takes part: in one incentive, or in all that hold or will."""

    model_config = example(is_accepted=False)

    is_accepted: bool
    incentive_id: Name | None = None


class IncentivePage(msgspec.Struct):
    """A page of incentives."""

    items: list[Incentive]
    next: str | None


@router.get(
    "/zones/{zone_id}/incentives",
    openapi_extra=needs(Permission.INCENTIVES_READ),
    tags=["zones", "E2"],
    responses=documented(IncentivePage, 400, 404),
)
async def list_incentives(
    context: Reading,
    caller: Caller,
    zone_id: PathId,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List a zone's incentives by their begin: who was told, who takes part."""
    check_zone(caller, zone_id)
    await caught_up(context, "incentives", after)
    if context.models.zones.zone(zone_id) is None:
        raise unknown("zone", zone_id)
    behind = key_of("incentives", cursor, tuple[Stored, str], (-1, ""))
    items = context.models.incentives.page(zone_id, after=behind, limit=limit)
    more = next_of("incentives", items, limit, lambda last: (last.from_at, last.key))
    return json_response(IncentivePage(items, more))


@router.post(
    "/zones/{zone_id}/incentives",
    openapi_extra=needs(Permission.INCENTIVES_SEND),
    tags=["zones", "E2"],
    responses=commanded(),
)
async def post_incentive(
    commands: Commanding, zone_id: PathId, body: IncentiveBody
) -> Response:
    """Bring an incentive for a zone: its stations, users and EVs are told.

    Its maximum limits each EVSE while it holds, but for users who refuse.
    """
    tariff, co2 = body.changes()
    command = ReceiveIncentive(
        zone_id=zone_id,
        incentive_id=body.incentive_id,
        from_at=body.from_at,
        until_at=body.until_at,
        currency=body.currency,
        tariff=tariff,
        co2=co2,
        maximum_w=body.maximum_w,
        peak=body.peak,
    )
    reach = partial(check_zone, commands.caller, zone_id)
    return await commands.run(receive_incentive, command, reach=reach)


@router.post(
    "/zones/{zone_id}/incentives/{incentive_id}/withdrawal",
    openapi_extra=needs(Permission.INCENTIVES_SEND),
    tags=["zones", "E2"],
    responses=commanded(),
)
async def post_incentive_withdrawal(
    commands: Commanding,
    zone_id: PathId,
    incentive_id: PathId,
    body: IncentiveWithdrawalBody,
) -> Response:
    """Take an incentive back."""
    command = WithdrawIncentive(
        zone_id=zone_id, incentive_id=incentive_id, reason=body.reason
    )
    reach = partial(check_zone, commands.caller, zone_id)
    return await commands.run(withdraw_incentive, command, reach=reach)


@router.post(
    "/service-sessions/{session_id}/incentive-answer",
    openapi_extra=needs(Permission.NEEDS_STATE),
    tags=["service sessions", "E2"],
    responses=commanded(),
)
async def post_incentive_answer(
    commands: Commanding, session_id: PathId, body: IncentiveAnswerBody
) -> Response:
    """Say whether the EV user takes part; a refusal binds until the next answer."""
    command = AnswerIncentive(
        session_id=session_id,
        is_accepted=body.is_accepted,
        incentive_id=body.incentive_id or "",
    )
    reach = partial(check_commanded, commands.system, commands.caller, session_id)
    return await commands.run(answer_incentive, command, reach=reach)
