"""What the bodies of commands are made of: ids, energies, instants, references."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import Path
from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from api.errors import invalid
from api.rest.commanding import Body, Commands
from domain.errors import InvalidValue
from domain.model.values import DAY, Instant, instant_of
from domain.use_cases.clause_6_2_joining import Reference

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_YEAR_2200 = 84_006 * DAY


def example(**body: Any) -> ConfigDict:
    """Return the configuration of a body that shows an example of it."""
    return ConfigDict(json_schema_extra={"examples": [body]})


def instant_of_text(where: str, text: str) -> Instant:
    """Return the instant of RFC 3339 text somewhere in a request."""
    try:
        return _instant(text)
    except ValueError as error:
        raise invalid(where, text, str(error)) from None


def _instant(text: Any) -> Instant:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise ValueError(
            "is RFC 3339 text with its offset, to microseconds at most, "
            "as 2026-06-01T08:00:00Z"
        )
    try:
        instant = instant_of(datetime.fromisoformat(text))
    except (ValueError, OverflowError, InvalidValue) as error:
        raise ValueError(f"is an instant: {error}") from None
    if not 0 <= instant < _YEAR_2200:
        raise ValueError("is within the years 1970 to 2199")
    return instant


Moment = Annotated[
    int,
    PlainValidator(_instant),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "examples": ["2026-06-01T08:00:00Z"],
        }
    ),
]
OccurredAt = Annotated[
    Moment | None,
    Field(
        description="When it happened: not after now and at most 31 days ago; "
        "now when left out.",
    ),
]
# As a part of a path: what it is like is said by the domain, in a 404 or 422.
PathId = Annotated[str, Path(max_length=200)]
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._*-]{0,63}$", examples=["yard"]),
]
EvseId = Annotated[str, Field(min_length=7, max_length=40, examples=["DE*ABC*E100"])]
SessionId = Annotated[
    str,
    Field(min_length=1, max_length=64, examples=["9f2c41d07b3e5a68c1d2"]),
]
Watts = Annotated[int, Field(ge=0, le=100_000_000, examples=[50_000])]
SignedWatts = Annotated[
    int,
    Field(
        ge=-100_000_000,
        le=100_000_000,
        description="+ is from grid to EV.",
        examples=[11_000],
    ),
]
WattHours = Annotated[int, Field(ge=0, le=100_000_000, examples=[20_000])]
Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="Stands in the log as it is: no personal data.",
        examples=["broken cable"],
    ),
]
FreeText = Annotated[
    str,
    Field(max_length=4_000, description="Kept sealed; may name persons."),
]


class NothingBody(Body):
    """Nothing more to say: ``{}``."""

    model_config = example()


class ReferenceBody(Body):
    """What the caller's party calls a service session."""

    model_config = example(kind="booking", text="B-2026-0601")

    kind: Annotated[Name, Field(description="What sort of reference it is.")]
    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            description="Stands in the log as it is: no token, EMAID or name.",
        ),
    ]


def own_reference(commands: Commands, told: ReferenceBody | None) -> Reference | None:
    """Return what the caller's own party calls a session."""
    if told is None:
        return None
    return Reference(commands.party, told.kind, told.text)


class TokenBody(Body):
    """Credentials of an EV user; kept sealed."""

    model_config = example(kind="rfid", text="04A2B3C4D5E6F7")

    kind: Annotated[Name, Field(description="What sort of credential it is.")]
    text: Annotated[str, Field(min_length=1, max_length=255)]


async def subject_of(
    commands: Commands, token: TokenBody | None, reach: Callable[[], None]
) -> str:
    """Return whose credentials they are; empty when there are none."""
    if token is None:
        return ""
    return await commands.subject_of(token.kind, token.text, reach)


class InSessionBody(Body):
    """A service session, by its id or by a reference of the caller's party."""

    session_id: SessionId | None = None
    reference: ReferenceBody | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if self.session_id is None and self.reference is None:
            raise ValueError("has a session_id or a reference")
        return self


class OnSessionBody(Body):
    """A transaction of a session: one there is, by id or reference, or a new one.

    A reference that the caller's party has not used yet is bound to the session.
    """

    session_id: SessionId | None = None
    reference: ReferenceBody | None = None
