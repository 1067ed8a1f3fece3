"""What is asked of stations over HTTP: remote start and stop, reset, variables (S3).

Each answers with the id of an activity: what was asked for is recorded, and done when
the station is there and did it. `GET /activities/{activity_id}` tells how far it came.
"""

from functools import partial
from typing import Annotated, Literal, Self

from fastapi import Response
from pydantic import Field, model_validator

from api.errors import Problem, unknown
from api.rest.asking_stations import DueWithin, ask_station
from api.rest.command_bodies import (
    EvseId,
    Moment,
    PathId,
    ReferenceBody,
    SessionId,
    TokenBody,
    example,
    own_reference,
    subject_of,
)
from api.rest.commanding import Body, Commanding, Secret, commanded
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Caller,
    Reading,
    caught_up,
    documented,
    needs,
    new_routes,
)
from api.security.permissions import Permission
from api.security.reach import (
    check_commanded,
    check_evse,
    check_reference,
    check_station,
)
from domain.model.activity_events import ActivityKind
from domain.model.values import SECOND
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.clause_7_3_activities import EVSE_NUMBER
from domain.use_cases.clause_7_3_availability import (
    ChangeAvailability,
    change_availability,
)
from domain.use_cases.s3_remote_start import (
    StartRemotely,
    StopRemotely,
    start_remotely,
    stop_remotely,
)
from domain.use_cases.shared_path import load_evse
from projections.activities import Activity

router = new_routes()

VariableName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=120,
        pattern=r"^[\x21-\x7e]+$",
        description="`Component.Variable` of OCPP 2, `Component@2.Variable` for EVSE "
        "2, `Component.Variable[x]` for its instance x; a configuration key of 1.6.",
        examples=["OCPPCommCtrlr.HeartbeatInterval"],
    ),
]


class RemoteStartBody(Body):
    """Who is to charge at the EVSE; the station is given the token."""

    model_config = example(
        token={"kind": "rfid", "text": "04A2B3C4D5E6F7"}, due_within_s=120
    )

    token: TokenBody
    session_id: SessionId | None = None
    reference: ReferenceBody | None = None
    due_within_s: DueWithin = 300


class RemoteStopBody(Body):
    """The session's energy transfer is to end."""

    model_config = example(due_within_s=120)

    due_within_s: DueWithin = 120


class ResetBody(Body):
    """The station, or one EVSE of it where its version can, is to start anew.

    ``forced`` does so at once, ``orderly`` ends transactions before where the version
    tells the difference, ``on-idle`` waits until nobody charges.
    """

    model_config = example(how="on-idle", due_within_s=3_600)

    how: Literal["forced", "orderly", "on-idle"]
    evse_id: EvseId | None = None
    due_within_s: DueWithin = 900


class AvailabilityBody(Body):
    """The station, or one EVSE of it, is to be of use, or is not to be.

    What somebody charges on goes out of use afterwards.
    """

    model_config = example(operative=False, evse_id="DE*ABC*E100")

    operative: bool
    evse_id: EvseId | None = None
    due_within_s: DueWithin = 86_400


class UnlockBody(Body):
    """The connector of an EVSE is to be unlocked: one of ours, or by its number."""

    model_config = example(evse_id="DE*ABC*E100")

    evse_id: EvseId | None = None
    evse_number: Annotated[
        int | None,
        Field(
            ge=1,
            le=99_999,
            description="What the station counts it as; where it is none of ours.",
        ),
    ] = None
    due_within_s: DueWithin = 120

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.evse_id is None) == (self.evse_number is None):
            raise ValueError("has an evse_id or an evse_number")
        return self


class TriggerBody(Body):
    """The station is to send a message, by the name that its OCPP gives it."""

    model_config = example(message="StatusNotification", evse_id="DE*ABC*E100")

    message: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,50}$")]
    evse_id: EvseId | None = None
    due_within_s: DueWithin = 120


class VariableReadBody(Body):
    """Which variables the station is to tell: as many as any takes at once.

    None: all, which OCPP 1.6 can; what holds a secret is not kept.
    """

    model_config = example(names=["OCPPCommCtrlr.HeartbeatInterval"])

    names: Annotated[list[VariableName], Field(max_length=4)]
    due_within_s: DueWithin = 300


class VariableChangeBody(Body):
    """Which values variables are to have; they stand in the log as they are."""

    model_config = example(values={"OCPPCommCtrlr.HeartbeatInterval": "300"})

    values: Annotated[
        dict[VariableName, Annotated[str, Field(max_length=500)]],
        Field(min_length=1, max_length=4),
    ]
    due_within_s: DueWithin = 300


class DisplayMessageBody(Body):
    """What the station, or one EVSE of it, is to show; the one before is replaced."""

    model_config = example(
        text="The garage closes at ten.", until_at="2026-06-01T20:00:00Z"
    )

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="Stands in the log as it is: no personal data.",
        ),
    ]
    evse_id: EvseId | None = None
    until_at: Moment | None = None
    due_within_s: DueWithin = 300


@router.post(
    "/evses/{evse_id}/remote-start",
    openapi_extra=needs(Permission.REMOTE_START),
    tags=["evses", "S3"],
    responses=commanded(),
)
async def post_remote_start(
    commands: Commanding, evse_id: PathId, body: RemoteStartBody
) -> Response:
    """Authorize an EV user who is known by other means, and ask the station to start.

    Where another EV is there, or the EVSE is blocked or kept for another, nothing is
    recorded. A refusal of the back office is recorded, and ends the activity.
    """
    reference = own_reference(commands, body.reference)

    def check() -> None:
        check_evse(commands.system, commands.caller, evse_id)
        load_evse(commands.system, evse_id)
        if body.session_id:
            check_commanded(commands.system, commands.caller, body.session_id)
        if reference is not None:
            check_reference(commands.system, commands.caller, reference)

    command = StartRemotely(
        evse_id=evse_id,
        subject_id=await subject_of(commands, body.token, check),
        token_kind=body.token.kind,
        session_id=body.session_id or "",
        reference=reference,
        due_after=body.due_within_s * SECOND,
    )
    context, group = credential_context(evse_id), body.token.text.encode()
    secret = Secret("credential", command.subject_id, context, group)
    return await commands.run(start_remotely, command, reach=check, secret=secret)


@router.post(
    "/service-sessions/{session_id}/remote-stop",
    openapi_extra=needs(Permission.REMOTE_START),
    tags=["service sessions", "S3"],
    responses=commanded(),
)
async def post_remote_stop(
    commands: Commanding, session_id: PathId, body: RemoteStopBody
) -> Response:
    """Ask the station to end the session's energy transfer; the EV stays plugged."""
    command = StopRemotely(session_id=session_id, due_after=body.due_within_s * SECOND)
    reach = partial(check_commanded, commands.system, commands.caller, session_id)
    return await commands.run(stop_remotely, command, reach=reach)


@router.post(
    "/stations/{station_id}/reset",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_reset(
    commands: Commanding, station_id: PathId, body: ResetBody
) -> Response:
    """Ask a station to start anew."""
    told = {"how": body.how}
    return await ask_station(commands, ActivityKind.RESET, station_id, body, told)


@router.post(
    "/stations/{station_id}/availability",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_availability(
    commands: Commanding, station_id: PathId, body: AvailabilityBody
) -> Response:
    """Have a station, or one EVSE, be of use or not; it keeps that over reboots."""
    command = ChangeAvailability(
        station_id=station_id,
        is_operative=body.operative,
        evse_id=body.evse_id or "",
        due_after=body.due_within_s * SECOND,
    )
    reach = partial(check_station, commands.system, commands.caller, station_id)
    return await commands.run(change_availability, command, reach=reach)


@router.post(
    "/stations/{station_id}/unlock",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_unlock(
    commands: Commanding, station_id: PathId, body: UnlockBody
) -> Response:
    """Ask a station to unlock the connector of an EVSE."""
    number = body.evse_number
    told = {} if number is None else {EVSE_NUMBER: str(number)}
    return await ask_station(commands, ActivityKind.UNLOCK, station_id, body, told)


@router.post(
    "/stations/{station_id}/trigger",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_trigger(
    commands: Commanding, station_id: PathId, body: TriggerBody
) -> Response:
    """Ask a station for a message."""
    told = {"message": body.message}
    return await ask_station(commands, ActivityKind.TRIGGER, station_id, body, told)


@router.post(
    "/stations/{station_id}/variables/read",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_variable_read(
    commands: Commanding, station_id: PathId, body: VariableReadBody
) -> Response:
    """Ask a station for variables; the activity has their values when it is done."""
    told = dict.fromkeys(body.names, "")
    return await ask_station(
        commands, ActivityKind.GET_VARIABLES, station_id, body, told
    )


@router.post(
    "/stations/{station_id}/variables/change",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_variable_change(
    commands: Commanding, station_id: PathId, body: VariableChangeBody
) -> Response:
    """Ask a station to change variables; its password has a command of its own."""
    told = body.values
    return await ask_station(
        commands, ActivityKind.SET_VARIABLES, station_id, body, told
    )


@router.post(
    "/stations/{station_id}/display-message",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_display_message(
    commands: Commanding, station_id: PathId, body: DisplayMessageBody
) -> Response:
    """Ask a station to show a message to those who stand before it."""
    told = {"text": body.text}
    if body.until_at is not None:
        told["until_at"] = str(body.until_at)
    return await ask_station(
        commands, ActivityKind.DISPLAY_MESSAGE, station_id, body, told
    )


@router.get(
    "/activities/{activity_id}",
    openapi_extra=needs(Permission.ACTIVITIES_READ),
    tags=["stations", "S3"],
    responses=documented(Activity, 404),
)
async def get_activity(
    context: Reading, caller: Caller, activity_id: PathId, after: After = None
) -> Response:
    """Show how far an activity came, and how it ended."""
    await caught_up(context, "activities", after)
    activity = context.models.activities.activity(activity_id)
    if activity is None:
        raise unknown("activity", activity_id)
    try:
        check_station(context.system, caller, activity.station_id)
    except Problem:
        raise unknown("activity", activity_id) from None
    return json_response(activity)
