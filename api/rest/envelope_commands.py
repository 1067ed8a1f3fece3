"""What passes between a zone and its resource manager: constraints (E3), PRE (E4).

They come in by these routes where the CEM does not speak S2.
"""

from typing import Annotated, Self

from fastapi import Response
from pydantic import Field, model_validator

from api.rest.command_bodies import (
    Moment,
    Name,
    NothingBody,
    PathId,
    SignedWatts,
    example,
)
from api.rest.commanding import Body, Commanding, commanded
from api.rest.reading import needs, new_routes
from api.security.permissions import Permission
from api.security.reach import check_zone
from domain.model.profile import PowerRangeEnvelope, Range, envelope_of_spans
from domain.model.site_events import EnergyWindow
from domain.use_cases.e3_constraints_to_rm import SendConstraints, send_constraints
from domain.use_cases.e4_pre_from_rm import (
    ReceivePre,
    RevokePre,
    receive_pre,
    revoke_pre,
)

router = new_routes()

# As many as a body of 256 KiB has room for, however large their figures are.
_MOST_RANGES = 3_500
_MOST_SPANS = 1_800


class RangeBody(Body):
    """Lower and upper power for some seconds; + is from grid to EV."""

    duration_s: Annotated[int, Field(ge=1, le=366 * 86_400)]
    lower_w: SignedWatts
    upper_w: SignedWatts


class SpanBody(Body):
    """Lower and upper power from an instant to another; + is from grid to EV."""

    start_at: Moment
    end_at: Moment
    lower_w: SignedWatts
    upper_w: SignedWatts


class PreBody(Body):
    """A power range envelope: ``start_at`` and ``ranges``, or adjoining ``spans``."""

    model_config = example(
        pre_id="pre-1",
        start_at="2026-06-01T08:00:00Z",
        ranges=[{"duration_s": 900, "lower_w": 0, "upper_w": 20_000}],
    )

    pre_id: Name
    start_at: Moment | None = None
    ranges: Annotated[list[RangeBody], Field(max_length=_MOST_RANGES)] = Field(
        default_factory=list
    )
    spans: Annotated[list[SpanBody], Field(max_length=_MOST_SPANS)] = Field(
        default_factory=list
    )
    mandatory: Annotated[
        bool, Field(description="It holds whatever the EVs then lack.")
    ] = False
    source: Annotated[Name, Field(description="Who wants it.", examples=["rm"])] = "rm"

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if bool(self.spans) == (self.start_at is not None) or (
            bool(self.ranges) == bool(self.spans)
        ):
            raise ValueError("has either start_at and ranges, or spans")
        return self

    def envelope(self) -> PowerRangeEnvelope:
        """Return it as the domain has it."""
        if self.start_at is None:
            return envelope_of_spans(
                [(s.start_at, s.end_at, s.lower_w, s.upper_w) for s in self.spans]
            )
        ranges = (Range(r.duration_s, r.lower_w, r.upper_w) for r in self.ranges)
        return PowerRangeEnvelope(self.start_at, tuple(ranges))


class WindowBody(Body):
    """Energy needed at least and taken at most from ``from_at`` on until an instant."""

    until_at: Moment
    lower_wh: Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]
    upper_wh: Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]


class ConstraintsBody(Body):
    """What the zone could draw from ``from_at`` on, and what energy it would."""

    model_config = example(
        constraints_id="c-1",
        from_at="2026-06-01T08:00:00Z",
        lower_w=0,
        upper_w=44_000,
        windows=[
            {"until_at": "2026-06-01T16:00:00Z", "lower_wh": 30_000, "upper_wh": 90_000}
        ],
    )

    constraints_id: Name
    from_at: Moment
    lower_w: SignedWatts
    upper_w: SignedWatts
    windows: Annotated[list[WindowBody], Field(max_length=1_000)] = Field(
        default_factory=list
    )


@router.post(
    "/zones/{zone_id}/constraints",
    openapi_extra=needs(Permission.CONSTRAINTS_SEND),
    tags=["zones", "E3"],
    responses=commanded(),
)
async def post_constraints(
    commands: Commanding, zone_id: PathId, body: ConstraintsBody
) -> Response:
    """Tell the resource manager power and energy constraints of the zone."""
    windows = (EnergyWindow(w.until_at, w.lower_wh, w.upper_wh) for w in body.windows)
    command = SendConstraints(
        zone_id=zone_id,
        constraints_id=body.constraints_id,
        from_at=body.from_at,
        lower_w=body.lower_w,
        upper_w=body.upper_w,
        windows=tuple(windows),
    )
    return await commands.run(
        send_constraints,
        command,
        reach=lambda: check_zone(commands.caller, zone_id),
    )


@router.post(
    "/zones/{zone_id}/pre",
    openapi_extra=needs(Permission.PRE_SET),
    tags=["zones", "E4"],
    responses=commanded(),
)
async def post_pre(commands: Commanding, zone_id: PathId, body: PreBody) -> Response:
    """Set a power range envelope for the zone."""
    command = ReceivePre(
        zone_id=zone_id,
        pre_id=body.pre_id,
        envelope=body.envelope(),
        mandatory=body.mandatory,
        source=body.source,
    )
    return await commands.run(
        receive_pre, command, reach=lambda: check_zone(commands.caller, zone_id)
    )


@router.post(
    "/zones/{zone_id}/pre/{pre_id}/revocation",
    openapi_extra=needs(Permission.PRE_SET),
    tags=["zones", "E4"],
    responses=commanded(),
)
async def post_pre_revocation(
    commands: Commanding,
    zone_id: PathId,
    pre_id: PathId,
    body: NothingBody | None = None,
) -> Response:
    """Take a power range envelope back."""
    return await commands.run(
        revoke_pre,
        RevokePre(zone_id=zone_id, pre_id=pre_id),
        reach=lambda: check_zone(commands.caller, zone_id),
    )
