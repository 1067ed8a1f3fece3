"""EVSEs over HTTP: what a station reports (E1), suspension and safety (7.10)."""

from functools import partial
from typing import Annotated

from fastapi import Response
from pydantic import Field

from api.rest.command_bodies import (
    FreeText,
    Moment,
    OccurredAt,
    PathId,
    Reason,
    ReferenceBody,
    TokenBody,
    Watts,
    example,
    own_reference,
    subject_of,
)
from api.rest.commanding import (
    Body,
    Command,
    Commanding,
    Commands,
    Secret,
    UseCase,
    commanded,
)
from api.rest.reading import needs, new_routes
from api.security.permissions import Permission
from api.security.reach import check_evse
from domain.model import ids
from domain.model.values import Instant
from domain.use_cases.clause_7_10_safety import (
    RecordAssessment,
    ReleaseEvse,
    ReportSafetyIssue,
    SuspendEvse,
    assessment_context,
    issue_context,
    record_assessment,
    release_evse,
    report_safety_issue,
    suspend_evse,
)
from domain.use_cases.e1_operator_limits import LimitEvse, limit_evse
from domain.use_cases.e1_smart_charging import (
    ENERGY_LIMIT_WH,
    PlugEv,
    SignalPause,
    UnplugEv,
    plug_ev,
    signal_pause,
    unplug_ev,
)
from domain.use_cases.shared_path import load_evse

router = new_routes()

# Facts of a meter: one that cannot be is kept as such, so that it may be below 0.
MeteredWh = Annotated[
    int, Field(ge=-ENERGY_LIMIT_WH, le=ENERGY_LIMIT_WH, examples=[1_234_000])
]


class PlugBody(Body):
    """An EV was plugged; ``register_wh`` is what the import register showed."""

    model_config = example(register_wh=1_234_000)

    register_wh: MeteredWh = 0
    reference: ReferenceBody | None = None
    token: Annotated[
        TokenBody | None, Field(description="Credentials that came with the plug.")
    ] = None
    occurred_at: OccurredAt = None


class UnplugBody(Body):
    """The EV was unplugged; ``energy_wh`` is what was transferred in all."""

    model_config = example(energy_wh=18_400, reason="EV disconnected")

    energy_wh: MeteredWh
    reason: Reason = "EV disconnected"
    occurred_at: OccurredAt = None


class PauseBody(Body):
    """The EV paused, or wants energy again."""

    model_config = example(paused=True)

    paused: bool
    occurred_at: OccurredAt = None


class SuspensionBody(Body):
    """Why nobody may use the EVSE."""

    model_config = example(reason="broken cable")

    reason: Reason


class LimitBody(Body):
    """The most that the EVSE is to give for a while; null: the limit is over."""

    model_config = example(max_w=7_000, until_at="2026-06-01T18:00:00Z")

    max_w: Watts | None
    until_at: Annotated[
        Moment | None,
        Field(description="Left out: until another one comes, or its end."),
    ] = None


class ReleaseBody(Body):
    """Why the EVSE may be used again."""

    model_config = example(reason="cable replaced")

    reason: Reason


class SafetyIssueBody(Body):
    """A safety issue: a short code of what it is, and what else is to say, sealed."""

    model_config = example(
        issue="residual-current", details="seen by the janitor at the gate"
    )

    issue: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$",
            description="Stands in the log as it is: no personal data.",
        ),
    ]
    details: FreeText = ""


class AssessmentBody(Body):
    """What somebody found who assessed the safety of the EVSE."""

    model_config = example(
        issue_number=1, is_safe=True, notes="cable and breaker replaced, measured"
    )

    issue_number: Annotated[
        int,
        Field(
            ge=1,
            le=(1 << 31) - 1,
            description="The last issue that was known to the assessor, as the EVSE "
            "shows it: 409 when another was reported since.",
        ),
    ]
    is_safe: bool
    notes: FreeText = ""


@router.post(
    "/evses/{evse_id}/plugs",
    openapi_extra=needs(Permission.EVSE_REPORT),
    tags=["evses", "E1"],
    responses=commanded(),
)
async def post_plug(commands: Commanding, evse_id: PathId, body: PlugBody) -> Response:
    """Report an EV plugged into the EVSE."""
    command = PlugEv(
        evse_id=evse_id,
        register_wh=body.register_wh,
        reference=own_reference(commands, body.reference),
        subject_id=await subject_of(
            commands, body.token, partial(_reach, commands, evse_id)
        ),
    )
    return await _run(commands, evse_id, plug_ev, command, occurred_at=body.occurred_at)


@router.post(
    "/evses/{evse_id}/unplugs",
    openapi_extra=needs(Permission.EVSE_REPORT),
    tags=["evses", "E1"],
    responses=commanded(),
)
async def post_unplug(
    commands: Commanding, evse_id: PathId, body: UnplugBody
) -> Response:
    """Report the EV unplugged from the EVSE."""
    command = UnplugEv(evse_id=evse_id, energy_wh=body.energy_wh, reason=body.reason)
    return await _run(
        commands, evse_id, unplug_ev, command, occurred_at=body.occurred_at
    )


@router.post(
    "/evses/{evse_id}/pauses",
    openapi_extra=needs(Permission.EVSE_REPORT),
    tags=["evses", "E1"],
    responses=commanded(),
)
async def post_pause(
    commands: Commanding, evse_id: PathId, body: PauseBody
) -> Response:
    """Report that the EV at the EVSE paused, or wants energy again."""
    command = SignalPause(evse_id=evse_id, paused=body.paused)
    return await _run(
        commands, evse_id, signal_pause, command, occurred_at=body.occurred_at
    )


@router.post(
    "/evses/{evse_id}/suspension",
    openapi_extra=needs(Permission.EVSE_SUSPEND),
    tags=["evses", "7.10"],
    responses=commanded(),
)
async def post_suspension(
    commands: Commanding, evse_id: PathId, body: SuspensionBody
) -> Response:
    """Keep an EVSE from use."""
    command = SuspendEvse(evse_id=evse_id, reason=body.reason)
    return await _run(commands, evse_id, suspend_evse, command)


@router.post(
    "/evses/{evse_id}/limit",
    openapi_extra=needs(Permission.EVSE_SUSPEND),
    tags=["evses", "E1"],
    responses=commanded(),
)
async def post_evse_limit(
    commands: Commanding, evse_id: PathId, body: LimitBody
) -> Response:
    """Have an EVSE give less for a while: plans stay within it from now on."""
    command = LimitEvse(evse_id=evse_id, max_w=body.max_w, until_at=body.until_at or 0)
    return await _run(commands, evse_id, limit_evse, command)


@router.post(
    "/evses/{evse_id}/release",
    openapi_extra=needs(Permission.EVSE_SUSPEND),
    tags=["evses", "7.10"],
    responses=commanded(),
)
async def post_release(
    commands: Commanding, evse_id: PathId, body: ReleaseBody
) -> Response:
    """Let a suspended EVSE be used again; not while a safety issue is open."""
    command = ReleaseEvse(evse_id=evse_id, reason=body.reason)
    return await _run(commands, evse_id, release_evse, command)


@router.post(
    "/evses/{evse_id}/safety-issues",
    openapi_extra=needs(Permission.SAFETY_REPORT),
    tags=["evses", "7.10"],
    responses=commanded(),
)
async def post_safety_issue(
    commands: Commanding, evse_id: PathId, body: SafetyIssueBody
) -> Response:
    """Report a safety issue: the EVSE is blocked until it is assessed as safe."""
    command = ReportSafetyIssue(evse_id=evse_id, issue=body.issue)
    secret = _secret("details", evse_id, issue_context(evse_id), body.details)
    return await _run(commands, evse_id, report_safety_issue, command, secret=secret)


@router.post(
    "/evses/{evse_id}/assessments",
    openapi_extra=needs(Permission.SAFETY_ASSESS),
    tags=["evses", "7.10"],
    responses=commanded(),
)
async def post_assessment(
    commands: Commanding, evse_id: PathId, body: AssessmentBody
) -> Response:
    """Record a safety assessment, as the caller; a good one ends the safety issue."""
    command = RecordAssessment(
        evse_id=evse_id,
        issue_number=body.issue_number,
        is_safe=body.is_safe,
        assessor=commands.caller.actor,
    )
    secret = _secret("notes", evse_id, assessment_context(evse_id), body.notes)
    return await _run(commands, evse_id, record_assessment, command, secret=secret)


async def _run(
    commands: Commands,
    evse_id: str,
    use_case: UseCase[Command],
    command: Command,
    *,
    secret: Secret | None = None,
    occurred_at: Instant | None = None,
) -> Response:
    return await commands.run(
        use_case,
        command,
        reach=partial(_reach, commands, evse_id),
        secret=secret,
        occurred_at=occurred_at,
    )


def _reach(commands: Commands, evse_id: str) -> None:
    check_evse(commands.system, commands.caller, evse_id)
    # Nothing is kept in the vault for an EVSE that is not there.
    load_evse(commands.system, evse_id)


def _secret(field: str, evse_id: str, context: str, text: str) -> Secret:
    """Return a text about an EVSE: whom it names is not known, so it is the EVSE's."""
    return Secret(field, ids.evse_stream(evse_id), context, text.encode())
