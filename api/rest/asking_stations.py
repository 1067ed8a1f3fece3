"""What routes share that ask something of a station: it answers with an activity."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Protocol

from fastapi import Response
from pydantic import Field

from api.rest.commanding import Commands
from api.security.reach import check_station
from domain.model.activity_events import ActivityKind
from domain.model.values import SECOND
from domain.use_cases.clause_7_3_activities import AskActivity, ask_activity

DueWithin = Annotated[
    int,
    Field(
        ge=5,
        le=86_400,
        description="After so many seconds without an end it has timed out.",
    ),
]


class Due(Protocol):
    """A body that says by when it is to be done."""

    @property
    def due_within_s(self) -> int:
        """How long that may take [s]."""
        ...


async def ask_station(
    commands: Commands,
    kind: ActivityKind,
    station_id: str,
    body: Due,
    parameters: Mapping[str, str],
) -> Response:
    """Ask a station within the caller's reach for an activity."""
    command = AskActivity(
        kind=kind,
        station_id=station_id,
        due_after=body.due_within_s * SECOND,
        evse_id=getattr(body, "evse_id", None) or "",
        parameters=tuple(parameters.items()),
    )
    reach = partial(check_station, commands.system, commands.caller, station_id)
    return await commands.run(ask_activity, command, reach=reach)
