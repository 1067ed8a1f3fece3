"""Reservations over HTTP (S1): made, changed, matched, ended.

They come from a CSO. One with a token is told to its station when it begins.
"""

from functools import partial
from typing import Annotated

import msgspec
from fastapi import Response
from pydantic import Field

from api.rest.command_bodies import (
    EvseId,
    InSessionBody,
    Moment,
    Name,
    OnSessionBody,
    Reason,
    TokenBody,
    example,
    own_reference,
    subject_of,
)
from api.rest.commanding import Commanding, Commands, Secret, commanded
from api.rest.reading import needs, new_routes
from api.rest.transaction_commands import add_to_session, check_session
from api.security.permissions import Permission
from api.security.reach import check_evse, check_station, check_zone
from domain.model import session_events as s
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.s1_station_reservations import ReserveFor, reserve_for

router = new_routes()

_BOOKING = {"kind": "booking", "text": "B-2026-0601"}


class ReservationBody(OnSessionBody):
    """A place is kept: exactly one EVSE, station or class of EVSEs of a zone."""

    model_config = example(
        reference=_BOOKING,
        evse_id="DE*ABC*E100",
        from_at="2026-06-01T08:00:00Z",
        until_at="2026-06-01T10:00:00Z",
    )

    from_at: Moment
    until_at: Moment
    evse_id: EvseId | None = None
    station_id: Name | None = None
    evse_class: Annotated[
        str | None,
        Field(
            max_length=70,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._*-]*/(AC|DC)$",
            description="A kind of current in a zone.",
            examples=["yard/AC"],
        ),
    ] = None
    token: Annotated[
        TokenBody | None,
        Field(description="Who it is for: the station is told, and keeps the place."),
    ] = None


class ReservationChangeBody(InSessionBody):
    """The reservation's new time."""

    model_config = example(
        reference=_BOOKING,
        from_at="2026-06-01T09:00:00Z",
        until_at="2026-06-01T11:00:00Z",
    )

    from_at: Moment
    until_at: Moment


class ReservationMatchBody(InSessionBody):
    """The EV user with the reservation arrived."""

    model_config = example(reference=_BOOKING)


class ReservationEndBody(InSessionBody):
    """The reservation is over."""

    model_config = example(reference=_BOOKING, reason="cancelled")

    reason: Reason


@router.post(
    "/reservations",
    openapi_extra=needs(Permission.RESERVATION_MAKE),
    tags=["reservations", "S1"],
    responses=commanded(),
)
async def post_reservation(commands: Commanding, body: ReservationBody) -> Response:
    """Keep a place for an EV user."""
    made = s.ReservationMade(
        session_id="",
        from_at=body.from_at,
        until_at=body.until_at,
        evse_id=body.evse_id or "",
        station_id=body.station_id or "",
        evse_class=body.evse_class or "",
    )
    place = partial(_check_place, commands, made)
    if body.token is None:
        return await add_to_session(commands, body, made, place)
    subject_id = await subject_of(commands, body.token, place)
    command = ReserveFor(
        transaction=msgspec.structs.replace(
            made, subject_id=subject_id, token_kind=body.token.kind
        ),
        session_id=body.session_id or "",
        reference=own_reference(commands, body.reference),
    )

    def check() -> None:
        place()
        check_session(commands, command)

    context = credential_context(made.evse_id)
    secret = Secret("credential", subject_id, context, body.token.text.encode())
    return await commands.run(reserve_for, command, reach=check, secret=secret)


@router.post(
    "/reservations/changes",
    openapi_extra=needs(Permission.RESERVATION_MAKE),
    tags=["reservations", "S1"],
    responses=commanded(),
)
async def post_reservation_change(
    commands: Commanding, body: ReservationChangeBody
) -> Response:
    """Change the time of a reservation."""
    changed = s.ReservationChanged(
        session_id="", from_at=body.from_at, until_at=body.until_at
    )
    return await add_to_session(commands, body, changed)


@router.post(
    "/reservations/matches",
    openapi_extra=needs(Permission.RESERVATION_MAKE),
    tags=["reservations", "S1"],
    responses=commanded(),
)
async def post_reservation_match(
    commands: Commanding, body: ReservationMatchBody
) -> Response:
    """Say that the EV user with the reservation arrived."""
    return await add_to_session(commands, body, s.ReservationMatched(session_id=""))


@router.post(
    "/reservations/ends",
    openapi_extra=needs(Permission.RESERVATION_MAKE),
    tags=["reservations", "S1"],
    responses=commanded(),
)
async def post_reservation_end(
    commands: Commanding, body: ReservationEndBody
) -> Response:
    """End a reservation."""
    ended = s.ReservationEnded(session_id="", reason=body.reason)
    return await add_to_session(commands, body, ended)


def _check_place(commands: Commands, made: s.ReservationMade) -> None:
    if made.evse_id:
        check_evse(commands.system, commands.caller, made.evse_id)
    if made.station_id:
        check_station(commands.system, commands.caller, made.station_id)
    if made.evse_class:
        check_zone(commands.caller, made.evse_class.rpartition("/")[0])
