"""Upkeep of stations over HTTP: firmware, logs, lists, caches, profiles, data (7.3).

Each answers with the id of an activity, as in `station_activities`.
"""

from functools import partial
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Response
from pydantic import AfterValidator, Field

from api.errors import forbidden
from api.rest.asking_stations import DueWithin, ask_station
from api.rest.command_bodies import EvseId, Moment, Name, PathId, example
from api.rest.commanding import Body, Commanding, commanded
from api.rest.reading import needs, new_routes
from api.security.permissions import Permission
from api.security.reach import check_station
from domain.model.activity_events import ActivityKind
from domain.model.values import SECOND
from domain.use_cases.clause_7_3_passwords import RotatePassword, rotate_password
from domain.use_cases.s1_station_reservations import NUMBER
from domain.use_cases.s2_local_lists import (
    MOST_CONTRACTS,
    SendLocalList,
    send_local_list,
)

router = new_routes()


def _without_password(location: str) -> str:
    """Refuse what would stand in the log in the clear."""
    if "@" in urlsplit(location).netloc:
        raise ValueError("names no user and no password: it stands in the log as it is")
    return location


Location = Annotated[
    str,
    Field(
        pattern=r"^[a-z]{2,10}://[\x21-\x7e]{1,490}$",
        description="A URL without a password; stands in the log as it is.",
    ),
    AfterValidator(_without_password),
]
Retries = Annotated[int | None, Field(ge=0, le=20)]
RetryInterval = Annotated[int | None, Field(ge=1, le=86_400)]
DataText = Annotated[
    str | None,
    Field(max_length=500, description="Stands in the log as it is: no personal data."),
]


class DueBody(Body):
    """By when it is to be done."""

    model_config = example(due_within_s=300)

    due_within_s: DueWithin = 300


class FirmwareBody(Body):
    """Which firmware the station is to install; with certificate and signature: signed.

    Without ``retrieve_at`` it gets it now.
    """

    model_config = example(
        location="https://firmware.example/acme-2.4.bin", due_within_s=7_200
    )

    location: Location
    retrieve_at: Moment | None = None
    install_at: Moment | None = None
    signing_certificate: Annotated[str | None, Field(max_length=5_500)] = None
    signature: Annotated[str | None, Field(max_length=800)] = None
    retries: Retries = None
    retry_interval_s: RetryInterval = None
    due_within_s: DueWithin = 86_400


class LogUploadBody(Body):
    """Which log the station is to upload, where to and of when."""

    model_config = example(location="https://logs.example/cs-1/", log="diagnostics")

    location: Location
    log: Literal["diagnostics", "security"]
    from_at: Moment | None = None
    until_at: Moment | None = None
    retries: Retries = None
    retry_interval_s: RetryInterval = None
    due_within_s: DueWithin = 3_600


class LocalListBody(Body):
    """Contracts whose tokens the station is to let charge while it is on its own.

    ``full`` replaces its list, by all contracts that hold where none is named;
    ``differential`` puts those named on it, or takes off those that hold no more.
    """

    model_config = example(update="full", due_within_s=300)

    update: Literal["full", "differential"]
    contract_ids: Annotated[list[Name], Field(max_length=MOST_CONTRACTS)] = Field(
        default_factory=list
    )
    due_within_s: DueWithin = 300


class DataTransferBody(Body):
    """What a vendor's own extension is to be told."""

    model_config = example(vendor_id="com.example", message_id="lamp", data="on")

    vendor_id: Annotated[str, Field(min_length=1, max_length=255)]
    message_id: Annotated[str | None, Field(max_length=50)] = None
    data: DataText = None
    due_within_s: DueWithin = 300


class NetworkProfileBody(Body):
    """How the station is to connect, in one of its slots; 1.6 has none."""

    model_config = example(
        slot=1, url="wss://csms.example/ocpp", security_profile=2, interface="Wired0"
    )

    slot: Annotated[int, Field(ge=0, le=99)]
    url: Annotated[str, Field(pattern=r"^wss?://[\x21-\x7e]{1,490}$")]
    security_profile: Literal[1, 2, 3]
    interface: Annotated[str, Field(pattern=r"^(Wired|Wireless)[0-3]$|^Any$")]
    ocpp_version: Literal["OCPP20", "OCPP201", "OCPP21"] = "OCPP21"
    message_timeout_s: Annotated[int, Field(ge=5, le=300)] = 30
    due_within_s: DueWithin = 300


class ScheduleBody(Body):
    """For how long the station is to say what it will allow; without an EVSE: all."""

    model_config = example(evse_id="DE*ABC*E100", duration_s=600, unit="W")

    evse_id: EvseId | None = None
    duration_s: Annotated[int, Field(ge=1, le=86_400)]
    unit: Literal["A", "W"] | None = None
    due_within_s: DueWithin = 300


class ProfileBody(Body):
    """Which profile is to go, by its id in the station; not an ETP."""

    model_config = example(profile_id=77)

    profile_id: Annotated[int, Field(ge=0, le=2_147_483_647)]
    due_within_s: DueWithin = 300


class NumberBody(Body):
    """Which reservation the station is to forget, by the number it knows it by."""

    model_config = example(number=4711)

    number: Annotated[int, Field(ge=0, le=2_147_483_647)]
    due_within_s: DueWithin = 300


def _told(**values: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


@router.post(
    "/stations/{station_id}/firmware",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "M4"],
    responses=commanded(),
)
async def post_firmware(
    commands: Commanding, station_id: PathId, body: FirmwareBody
) -> Response:
    """Ask a station to install firmware; the activity ends when it did or could not."""
    now = commands.system.clock.now()
    told = _told(
        location=body.location,
        retrieve_at=now if body.retrieve_at is None else body.retrieve_at,
        install_at=body.install_at,
        signing_certificate=body.signing_certificate,
        signature=body.signature,
        retries=body.retries,
        retry_interval=body.retry_interval_s,
    )
    kind = ActivityKind.UPDATE_FIRMWARE
    return await ask_station(commands, kind, station_id, body, told)


@router.post(
    "/stations/{station_id}/log-upload",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "M8"],
    responses=commanded(),
)
async def post_log_upload(
    commands: Commanding, station_id: PathId, body: LogUploadBody
) -> Response:
    """Ask a station to upload a log; the activity ends when it did or could not."""
    told = _told(
        location=body.location,
        log=body.log,
        from_at=body.from_at,
        until_at=body.until_at,
        retries=body.retries,
        retry_interval=body.retry_interval_s,
    )
    return await ask_station(commands, ActivityKind.GET_LOG, station_id, body, told)


@router.post(
    "/stations/{station_id}/cache/clear",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "S2"],
    responses=commanded(),
)
async def post_cache_clear(
    commands: Commanding, station_id: PathId, body: DueBody
) -> Response:
    """Ask a station to forget whom it was told may charge."""
    return await ask_station(commands, ActivityKind.CLEAR_CACHE, station_id, body, {})


@router.post(
    "/stations/{station_id}/local-list",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "S2"],
    responses=commanded(),
)
async def post_local_list(
    commands: Commanding, station_id: PathId, body: LocalListBody
) -> Response:
    """Send a station a list of contracts; their tokens are opened when it is sent."""
    if not commands.caller.reaches_all:  # contracts are the whole tenant's
        raise forbidden(Permission.STATIONS_KEEP)
    command = SendLocalList(
        station_id=station_id,
        is_full=body.update == "full",
        contract_ids=tuple(body.contract_ids),
        due_after=body.due_within_s * SECOND,
    )
    reach = partial(check_station, commands.system, commands.caller, station_id)
    return await commands.run(send_local_list, command, reach=reach)


@router.post(
    "/stations/{station_id}/local-list/version",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "S2"],
    responses=commanded(),
)
async def post_local_list_version(
    commands: Commanding, station_id: PathId, body: DueBody
) -> Response:
    """Ask a station which version of its list it has."""
    kind = ActivityKind.LOCAL_LIST_VERSION
    return await ask_station(commands, kind, station_id, body, {})


@router.post(
    "/stations/{station_id}/data-transfer",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_data_transfer(
    commands: Commanding, station_id: PathId, body: DataTransferBody
) -> Response:
    """Tell a vendor's own extension something; the activity has what it answered."""
    told = _told(vendor_id=body.vendor_id, message_id=body.message_id, data=body.data)
    kind = ActivityKind.DATA_TRANSFER
    return await ask_station(commands, kind, station_id, body, told)


@router.post(
    "/stations/{station_id}/network-profile",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_network_profile(
    commands: Commanding, station_id: PathId, body: NetworkProfileBody
) -> Response:
    """Tell a station another way to connect; which it uses is one of its variables."""
    told = _told(
        slot=body.slot,
        url=body.url,
        security_profile=body.security_profile,
        interface=body.interface,
        ocpp_version=body.ocpp_version,
        message_timeout_s=body.message_timeout_s,
    )
    kind = ActivityKind.NETWORK_PROFILE
    return await ask_station(commands, kind, station_id, body, told)


@router.post(
    "/stations/{station_id}/charging-schedule",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_charging_schedule(
    commands: Commanding, station_id: PathId, body: ScheduleBody
) -> Response:
    """Ask a station what it will allow; the activity has the steps."""
    told = _told(duration_s=body.duration_s, unit=body.unit)
    kind = ActivityKind.COMPOSITE_SCHEDULE
    return await ask_station(commands, kind, station_id, body, told)


@router.post(
    "/stations/{station_id}/charging-profile/clear",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_charging_profile_clear(
    commands: Commanding, station_id: PathId, body: ProfileBody
) -> Response:
    """Ask a station to clear a charging profile; ours are installed again then."""
    told = _told(profile_id=body.profile_id)
    kind = ActivityKind.CLEAR_PROFILE
    return await ask_station(commands, kind, station_id, body, told)


@router.post(
    "/stations/{station_id}/reservation-cancel",
    openapi_extra=needs(Permission.STATIONS_OPERATE),
    tags=["stations", "S1"],
    responses=commanded(),
)
async def post_reservation_cancel(
    commands: Commanding, station_id: PathId, body: NumberBody
) -> Response:
    """Ask a station to forget a reservation that is none of ours, or no more."""
    told = {NUMBER: str(body.number)}
    kind = ActivityKind.CANCEL_RESERVATION
    return await ask_station(commands, kind, station_id, body, told)


@router.post(
    "/stations/{station_id}/credentials/rotation",
    openapi_extra=needs(Permission.STATIONS_KEEP),
    tags=["stations", "7.3"],
    responses=commanded(),
)
async def post_credentials_rotation(
    commands: Commanding, station_id: PathId, body: DueBody
) -> Response:
    """Draw a new password and tell the station by its connection; nobody else sees it.

    The one before holds until the station took it.
    """
    command = RotatePassword(
        station_id=station_id, due_after=body.due_within_s * SECOND
    )
    reach = partial(check_station, commands.system, commands.caller, station_id)
    return await commands.run(rotate_password, command, reach=reach)
