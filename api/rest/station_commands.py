"""Stations over HTTP (7.3): registered, given credentials, blocked, retired.

A station is commissioned by ``POST /stations`` and may connect once it is registered;
the two may come in either order.
"""

from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import Response
from pydantic import Field

from api.rest.command_bodies import Name, PathId, Reason, example
from api.rest.commanding import (
    Body,
    Command,
    Commanding,
    CommandResult,
    Commands,
    UseCase,
    commanded,
)
from api.rest.presentation import json_response
from api.rest.reading import documented, needs, new_routes
from api.security.permissions import Permission
from api.security.reach import check_station
from domain.use_cases.clause_7_3_stations import (
    BlockStation,
    ChangeCredentials,
    RegisterStation,
    RetireStation,
    TolerateDeviations,
    UnblockStation,
    block_station,
    change_credentials,
    digest_of,
    draw_password,
    register_station,
    retire_station,
    tolerate_deviations,
    unblock_station,
)

router = new_routes()

_SHOWN = "set it at the station: it is shown this once and kept nowhere"
_GONE = "it was shown when it was drawn; draw another if it was lost"
_NONE = "the station proves itself by its certificate"

SecurityProfile = Annotated[
    Literal[1, 2, 3],
    Field(
        description="1: password on a trusted network; 2: password over TLS; "
        "3: client certificate."
    ),
]
CertificateName = Annotated[
    str,
    Field(
        max_length=200,
        description="With profile 3: the common name of its certificate.",
    ),
]
Deviations = Annotated[list[Name], Field(max_length=20, examples=[["null-member"]])]


class RegistrationBody(Body):
    """How a station calls itself when it connects, and what it proves that by."""

    model_config = example(identity="CS-0001", security_profile=2)

    identity: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9*_=:+|@.-]{1,48}$",
            description="The last part of the URL that it connects to.",
        ),
    ]
    security_profile: SecurityProfile
    certificate_name: CertificateName = ""
    via: Annotated[
        Name | None, Field(description="The local controller that carries it.")
    ] = None
    deviations: Deviations = Field(default_factory=list)


class CredentialsBody(Body):
    """What the station proves itself by from now on; a password is drawn for it."""

    model_config = example(security_profile=2)

    security_profile: SecurityProfile
    certificate_name: CertificateName = ""


class DeviationsBody(Body):
    """All deviations from its protocol that are tolerated; none: an empty list."""

    model_config = example(deviations=["instant-without-offset"])

    deviations: Deviations


class StationReasonBody(Body):
    """Why."""

    model_config = example(reason="stolen from its post")

    reason: Reason


class CredentialsView(msgspec.Struct, kw_only=True):
    """What a station proves itself by; ``password`` is null when this is a repeat."""

    station_id: str
    password: str | None
    note: str
    position: int
    stream: str
    version: int
    repeated: bool


@router.post(
    "/stations/{station_id}/registration",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses={**commanded(), 200: documented(CredentialsView)[200]},
)
async def post_station_registration(
    commands: Commanding, station_id: PathId, body: RegistrationBody
) -> Response:
    """Let a station connect; its password is in this answer and nowhere else.

    One that no zone has yet is registered by who reaches the whole tenant.
    """
    command = RegisterStation(
        station_id=station_id,
        identity=body.identity,
        security_profile=body.security_profile,
        certificate_name=body.certificate_name,
        via=body.via or "",
        deviations=tuple(body.deviations),
    )
    password, digest = _drawn(commands, body.security_profile)
    use_case = partial(register_station, password_digest=digest)
    found = await commands.result(
        use_case, command, reach=partial(_reach, commands, station_id)
    )
    return _shown(found, station_id, password)


@router.post(
    "/stations/{station_id}/credentials",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses={**commanded(), 200: documented(CredentialsView)[200]},
)
async def post_station_credentials(
    commands: Commanding, station_id: PathId, body: CredentialsBody
) -> Response:
    """Give a station new credentials; those before open nothing any more."""
    command = ChangeCredentials(
        station_id=station_id,
        security_profile=body.security_profile,
        certificate_name=body.certificate_name,
    )
    password, digest = _drawn(commands, body.security_profile)
    use_case = partial(change_credentials, password_digest=digest)
    found = await commands.result(
        use_case, command, reach=partial(_reach, commands, station_id)
    )
    return _shown(found, station_id, password)


@router.post(
    "/stations/{station_id}/deviations",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_station_deviations(
    commands: Commanding, station_id: PathId, body: DeviationsBody
) -> Response:
    """Say which deviations of a station from its protocol are tolerated."""
    command = TolerateDeviations(
        station_id=station_id, deviations=tuple(body.deviations)
    )
    return await _run(commands, station_id, tolerate_deviations, command)


@router.post(
    "/stations/{station_id}/block",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_station_block(
    commands: Commanding, station_id: PathId, body: StationReasonBody
) -> Response:
    """Reject a station until it is unblocked."""
    command = BlockStation(station_id=station_id, reason=body.reason)
    return await _run(commands, station_id, block_station, command)


@router.post(
    "/stations/{station_id}/unblock",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_station_unblock(
    commands: Commanding, station_id: PathId, body: StationReasonBody
) -> Response:
    """Accept a blocked station again."""
    command = UnblockStation(station_id=station_id, reason=body.reason)
    return await _run(commands, station_id, unblock_station, command)


@router.post(
    "/stations/{station_id}/retire",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_station_retire(
    commands: Commanding, station_id: PathId, body: StationReasonBody
) -> Response:
    """Take a station out of service, for good: its identity is given to no other."""
    command = RetireStation(station_id=station_id, reason=body.reason)
    return await _run(commands, station_id, retire_station, command)


async def _run(
    commands: Commands, station_id: str, use_case: UseCase[Command], command: Command
) -> Response:
    return await commands.run(
        use_case, command, reach=partial(_reach, commands, station_id)
    )


def _reach(commands: Commands, station_id: str) -> None:
    check_station(commands.system, commands.caller, station_id)


def _drawn(commands: Commands, security_profile: int) -> tuple[str | None, bytes]:
    """Return a new password and what is kept of it, where the profile has one."""
    if security_profile == 3:
        return None, b""
    password = draw_password(commands.system.ids)
    return password, digest_of(password)


def _shown(found: CommandResult, station_id: str, password: str | None) -> Response:
    note = _NONE if password is None else _GONE if found.repeated else _SHOWN
    view = CredentialsView(
        station_id=station_id,
        password=None if found.repeated else password,
        note=note,
        position=found.position,
        stream=found.stream,
        version=found.version,
        repeated=found.repeated,
    )
    return json_response(view)
