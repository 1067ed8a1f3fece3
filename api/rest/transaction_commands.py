"""Transactions of service sessions over HTTP (6.2): who reports which, and its session.

Authorizations (S2) come from a CSO or a station, parking and other services from who
operates them. A reference is always of the caller's own party.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import Response
from pydantic import Field

from api.errors import unknown
from api.rest.command_bodies import (
    EvseId,
    InSessionBody,
    Name,
    OccurredAt,
    OnSessionBody,
    Reason,
    TokenBody,
    example,
    own_reference,
    subject_of,
)
from api.rest.commanding import Commanding, Commands, Secret, commanded
from api.rest.reading import needs, new_routes
from api.security.permissions import Permission
from api.security.reach import (
    check_commanded,
    check_evse,
    check_reference,
)
from domain.model import session_events as s
from domain.model.values import Event
from domain.use_cases.clause_6_2_joining import find_by_reference
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    add_transaction,
    credential_context,
)
from domain.use_cases.s2_back_office import AskAuthorization, authorize
from domain.use_cases.shared_path import load_evse

router = new_routes()

_TICKET = {"kind": "ticket", "text": "P-4711-6c0e92b7f1"}


class AuthorizationBody(OnSessionBody):
    """Credentials were presented, at an EVSE or for a session."""

    model_config = example(
        evse_id="DE*ABC*E100", token={"kind": "rfid", "text": "04A2B3C4D5E6F7"}
    )

    token: TokenBody
    evse_id: EvseId | None = None
    occurred_at: OccurredAt = None


class AuthorizationAnswerBody(InSessionBody):
    """Whether the EV user may charge; why, when not."""

    model_config = example(session_id="9f2c41d07b3e5a68c1d2", accepted=True)

    accepted: bool
    reason: Annotated[Reason, Field(min_length=0)] = ""


class AuthorizationEndBody(InSessionBody):
    """The authorization no longer holds."""

    model_config = example(session_id="9f2c41d07b3e5a68c1d2")

    occurred_at: OccurredAt = None


class ParkingStartBody(OnSessionBody):
    """Parking began."""

    model_config = example(reference=_TICKET, place="P7")

    place: Annotated[
        str, Field(max_length=64, description="What the operator calls the place.")
    ] = ""
    occurred_at: OccurredAt = None


class ParkingEndBody(InSessionBody):
    """Parking ended."""

    model_config = example(reference=_TICKET)

    occurred_at: OccurredAt = None


class OtherStartBody(OnSessionBody):
    """Another service began."""

    model_config = example(reference=_TICKET, service="valet")

    service: Name
    occurred_at: OccurredAt = None


class OtherEndBody(InSessionBody):
    """Another service ended."""

    model_config = example(reference=_TICKET, service="valet")

    service: Name
    occurred_at: OccurredAt = None


@router.post(
    "/authorizations",
    openapi_extra=needs(Permission.AUTHORIZATION_ASK),
    tags=["authorizations", "S2"],
    responses=commanded(),
)
async def post_authorization(commands: Commanding, body: AuthorizationBody) -> Response:
    """Ask whether the bearer of credentials may charge."""
    evse_id = body.evse_id or ""
    asked = AskAuthorization(
        evse_id=evse_id,
        subject_id="",
        session_id=body.session_id or "",
        reference=own_reference(commands, body.reference),
    )

    def check() -> None:
        if evse_id:
            check_evse(commands.system, commands.caller, evse_id)
            load_evse(commands.system, evse_id)
        check_session(commands, asked)

    subject_id = await subject_of(commands, body.token, check)
    command = msgspec.structs.replace(asked, subject_id=subject_id)
    context, group = credential_context(evse_id), body.token.text.encode()
    secret = Secret("credential", command.subject_id, context, group)
    at = body.occurred_at
    return await commands.run(
        authorize, command, reach=check, secret=secret, occurred_at=at
    )


@router.post(
    "/authorizations/answers",
    openapi_extra=needs(Permission.AUTHORIZATION_ANSWER),
    tags=["authorizations", "S2"],
    responses=commanded(),
)
async def post_authorization_answer(
    commands: Commanding, body: AuthorizationAnswerBody
) -> Response:
    """Answer an authorization request, as the caller's party."""
    answer: Event
    if body.accepted:
        answer = s.AuthorizationAccepted(session_id="", by=commands.party)
    else:
        answer = s.AuthorizationRefused(
            session_id="", by=commands.party, reason=body.reason
        )
    return await add_to_session(commands, body, answer)


@router.post(
    "/authorizations/ends",
    openapi_extra=needs(Permission.AUTHORIZATION_ANSWER),
    tags=["authorizations", "S2"],
    responses=commanded(),
)
async def post_authorization_end(
    commands: Commanding, body: AuthorizationEndBody
) -> Response:
    """Say that an authorization no longer holds."""
    return await add_to_session(commands, body, s.AuthorizationEnded(session_id=""))


@router.post(
    "/parking/starts",
    openapi_extra=needs(Permission.PARKING_REPORT),
    tags=["parking", "6.2"],
    responses=commanded(),
)
async def post_parking_start(commands: Commanding, body: ParkingStartBody) -> Response:
    """Report that parking began."""
    return await add_to_session(
        commands, body, s.ParkingStarted(session_id="", place=body.place)
    )


@router.post(
    "/parking/ends",
    openapi_extra=needs(Permission.PARKING_REPORT),
    tags=["parking", "6.2"],
    responses=commanded(),
)
async def post_parking_end(commands: Commanding, body: ParkingEndBody) -> Response:
    """Report that parking ended."""
    return await add_to_session(commands, body, s.ParkingEnded(session_id=""))


@router.post(
    "/other-services/starts",
    openapi_extra=needs(Permission.OTHER_REPORT),
    tags=["other services", "6.2"],
    responses=commanded(),
)
async def post_other_start(commands: Commanding, body: OtherStartBody) -> Response:
    """Report that another service began."""
    return await add_to_session(
        commands, body, s.OtherStarted(session_id="", service=body.service)
    )


@router.post(
    "/other-services/ends",
    openapi_extra=needs(Permission.OTHER_REPORT),
    tags=["other services", "6.2"],
    responses=commanded(),
)
async def post_other_end(commands: Commanding, body: OtherEndBody) -> Response:
    """Report that another service ended."""
    return await add_to_session(
        commands, body, s.OtherEnded(session_id="", service=body.service)
    )


async def add_to_session(
    commands: Commands,
    body: InSessionBody | OnSessionBody,
    transaction: Event,
    reach: Callable[[], None] | None = None,
) -> Response:
    """Add a transaction to the session that the body names."""
    command = AddTransaction(
        transaction=transaction,
        session_id=body.session_id or "",
        reference=own_reference(commands, body.reference),
    )

    def check() -> None:
        if reach is not None:
            reach()
        check_session(commands, command, must_be=isinstance(body, InSessionBody))

    return await commands.run(
        add_transaction,
        command,
        reach=check,
        occurred_at=getattr(body, "occurred_at", None),
    )


def check_session(
    commands: Commands,
    command: AddTransaction | AskAuthorization,
    *,
    must_be: bool = False,
) -> None:
    """Refuse a session or reference that is not the caller's to add to."""
    system, caller, reference = commands.system, commands.caller, command.reference
    if command.session_id:
        check_commanded(system, caller, command.session_id)
    if reference is None:
        return
    check_reference(system, caller, reference)
    if must_be and not command.session_id and not find_by_reference(system, reference):
        raise unknown("reference", reference.key)
