"""Service sessions over HTTP: needs and consents (7.4), corrections (7.5), the rest."""

from typing import Annotated

import msgspec
from fastapi import Header, Response
from pydantic import Field

from api.errors import Broken, Code, Problem
from api.rest.command_bodies import (
    Moment,
    Name,
    NothingBody,
    PathId,
    Reason,
    SessionId,
    WattHours,
    example,
    instant_of_text,
)
from api.rest.commanding import Body, Command, Commanding, Commands, UseCase, commanded
from api.rest.reading import needs, new_routes
from api.security.permissions import Permission
from api.security.reach import check_commanded
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.clause_6_2_merging import MergeSessions, merge_sessions
from domain.use_cases.clause_6_2_service_sessions import (
    BindReference,
    CloseSession,
    bind_reference,
    close_session,
)
from domain.use_cases.clause_7_4_ev_user import (
    ConsentToV2g,
    WithdrawV2g,
    consent_to_v2g,
    withdraw_v2g,
)
from domain.use_cases.clause_7_5_corrections import (
    CorrectTransaction,
    correct_transaction,
)
from domain.use_cases.e1_smart_charging import (
    COST_LIMIT_MINOR,
    StateNeeds,
    state_needs,
)

router = new_routes()

ContentDigest = Annotated[
    str,
    Header(
        alias="Content-Digest",
        max_length=500,
        description="sha-256 of the body (RFC 9530): it came as it was sent.",
    ),
]


class NeedsBody(Body):
    """What the EV user needs; all energies count from the arrival on."""

    model_config = example(
        departure_at="2026-06-01T17:30:00Z",
        energy_target_wh=20_000,
        energy_min_wh=5_000,
        cost_limit_minor=900,
        currency="EUR",
    )

    departure_at: Moment
    energy_target_wh: WattHours
    energy_min_wh: WattHours = 0
    energy_max_wh: WattHours | None = None
    cost_limit_minor: Annotated[
        int | None,
        Field(
            ge=0,
            le=COST_LIMIT_MINOR,
            description="The most that the EV user wants to pay, in minor units.",
        ),
    ] = None
    currency: Annotated[
        str, Field(pattern=r"^([A-Z]{3})?$", description="By ISO 4217.")
    ] = ""


class ConsentBody(Body):
    """The EV user lets the site take energy from the EV, never below the minimum."""

    model_config = example(contract="c-2026-17", energy_min_wh=10_000)

    contract: Name
    energy_min_wh: WattHours = 0


class PartyReferenceBody(Body):
    """What another party calls the session, so that it may add to it."""

    model_config = example(party="park-co", kind="ticket", text="P-4711-6c0e92b7f1")

    party: Name
    kind: Name
    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            description="Stands in the log as it is: no token, EMAID or name. For "
            "another party, one drawn for this, of 16 characters or more.",
        ),
    ]


class ClosingBody(Body):
    """Why the session is closed."""

    model_config = example(reason="user gone")

    reason: Reason


class MergingBody(Body):
    """The session that this one proved to be a part of."""

    model_config = example(into_session_id="9f2c41d07b3e5a68c1d2")

    into_session_id: SessionId


class CorrectionBody(Body):
    """A field of the transaction at a position of the log should have been another."""

    model_config = example(
        position=4711, field="energy_wh", value=18_400, reason="meter was read again"
    )

    position: Annotated[int, Field(ge=1, le=(1 << 63) - 1)]
    field: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    value: Annotated[
        Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1)]
        | bool
        | Annotated[str, Field(max_length=500)],
        Field(description="Of the field's type; an instant as RFC 3339 text."),
    ]
    reason: Reason


@router.post(
    "/service-sessions/{session_id}/needs",
    openapi_extra=needs(Permission.NEEDS_STATE),
    tags=["service sessions", "7.4", "E1"],
    responses=commanded(),
)
async def post_needs(
    commands: Commanding, session_id: PathId, body: NeedsBody
) -> Response:
    """State what the EV user needs: departure, energies, a limit of cost."""
    command = StateNeeds(session_id=session_id, **body.model_dump())
    return await _run(commands, state_needs, command, session_id)


@router.post(
    "/service-sessions/{session_id}/v2g-consent",
    openapi_extra=needs(Permission.V2G_CONSENT),
    tags=["service sessions", "7.4"],
    responses=commanded(),
)
async def post_consent(
    commands: Commanding, session_id: PathId, body: ConsentBody
) -> Response:
    """Say that the EV user lets the site take energy from the EV."""
    command = ConsentToV2g(session_id=session_id, **body.model_dump())
    return await _run(commands, consent_to_v2g, command, session_id)


@router.post(
    "/service-sessions/{session_id}/v2g-consent/withdrawal",
    openapi_extra=needs(Permission.V2G_CONSENT),
    tags=["service sessions", "7.4"],
    responses=commanded(),
)
async def post_withdrawal(
    commands: Commanding, session_id: PathId, body: NothingBody | None = None
) -> Response:
    """Say that the EV user does so no longer."""
    command = WithdrawV2g(session_id=session_id)
    return await _run(commands, withdraw_v2g, command, session_id)


@router.post(
    "/service-sessions/{session_id}/references",
    openapi_extra=needs(Permission.REFERENCE_BIND),
    tags=["service sessions", "6.2"],
    responses=commanded(),
)
async def post_reference(
    commands: Commanding, session_id: PathId, body: PartyReferenceBody
) -> Response:
    """Bind what another party calls the session, which then takes part in it."""
    reference = Reference(body.party, body.kind, body.text)
    command = BindReference(
        session_id=session_id,
        reference=reference,
        is_by_staff=commands.caller.is_staff,
    )
    return await _run(commands, bind_reference, command, session_id)


@router.post(
    "/service-sessions/{session_id}/closing",
    openapi_extra=needs(Permission.SESSION_CLOSE),
    tags=["service sessions", "6.2"],
    responses=commanded(),
)
async def post_closing(
    commands: Commanding, session_id: PathId, body: ClosingBody
) -> Response:
    """Close a service session that is not plugged.

    Where other parties take part, nothing may be open any more; the site's staff closes
    it all the same.
    """
    command = CloseSession(
        session_id=session_id,
        reason=body.reason,
        is_by_staff=commands.caller.is_staff,
    )
    return await _run(commands, close_session, command, session_id)


@router.post(
    "/service-sessions/{session_id}/merging",
    openapi_extra=needs(Permission.SESSION_CLOSE),
    tags=["service sessions", "6.2"],
    responses=commanded(),
)
async def post_merging(
    commands: Commanding, session_id: PathId, body: MergingBody
) -> Response:
    """Merge a session into another that it proved to be a part of."""
    into = body.into_session_id
    command = MergeSessions(session_id=session_id, into_session_id=into)
    return await _run(commands, merge_sessions, command, session_id, into)


@router.post(
    "/service-sessions/{session_id}/corrections",
    openapi_extra=needs(Permission.SESSION_CORRECT),
    tags=["service sessions", "7.5"],
    responses=commanded(),
)
async def post_correction(
    commands: Commanding,
    session_id: PathId,
    body: CorrectionBody,
    content_digest: ContentDigest = "",
) -> Response:
    """Correct a recorded transaction; the first record stays readable."""
    if not content_digest:
        rule = "is sha-256=:base64 of the body's SHA-256:"
        raise Problem(
            400,
            Code.DIGEST_MISSING,
            f"header Content-Digest is missing: it {rule}",
            [Broken("header.content-digest", "", rule)],
        )
    value = body.value
    if body.field.endswith("_at") and isinstance(value, str):
        value = instant_of_text("body.value", value)
    command = CorrectTransaction(
        session_id=session_id,
        position=body.position,
        field=body.field,
        value=msgspec.json.encode(value).decode(),
        reason=body.reason,
    )
    return await _run(commands, correct_transaction, command, session_id)


async def _run(
    commands: Commands,
    use_case: UseCase[Command],
    command: Command,
    *session_ids: str,
) -> Response:
    def reach() -> None:
        for session_id in session_ids:
            check_commanded(commands.system, commands.caller, session_id)

    return await commands.run(use_case, command, reach=reach)
