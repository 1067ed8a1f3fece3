"""What the command routes share: who commands, idempotency, the answer."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from api.errors import MEDIA_TYPE, ProblemDetail, invalid
from api.rest.presentation import json_response
from api.rest.reading import PERMISSION, SCHEMAS, Caller, Context, Reading
from api.security.principal import Principal
from domain.model.access_events import CommandAudited
from domain.model.values import Instant
from domain.ports import Answer, System
from domain.use_cases.shared_path import By

AUDITED = "command.audited"

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="Names the command: sent again with the same body, it is answered "
        "again and not done again.",
    ),
]
IfMatch = Annotated[
    str,
    Header(
        alias="If-Match",
        max_length=30,
        description="The `version` a command's answer gave: 409 when somebody decided "
        "since.",
    ),
]
OnBehalfOf = Annotated[
    str,
    Header(
        alias="On-Behalf-Of",
        max_length=200,
        description="Whom the caller acts for; kept sealed.",
    ),
]


class Body(BaseModel):
    """Base of all bodies: strict types, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CommandResult(msgspec.Struct):
    """What a command recorded.

    ``position`` is the last position of it: reads with ``after=`` have seen it.
    ``version`` is the stream's, for ``If-Match``.
    """

    position: int
    stream: str
    version: int
    repeated: bool
    session_id: str | None = None


Command = TypeVar("Command", bound=msgspec.Struct)


class Commands(msgspec.Struct, frozen=True):
    """One command's request: gives it to a use case and answers."""

    context: Context
    caller: Principal
    key: str
    expected_version: int | None
    permission: str
    route: str
    request_id: str
    address: str
    user_agent: str
    on_behalf_of: str

    @property
    def system(self) -> System:
        """Return the caller's system."""
        return self.context.system

    def by(self, at: Instant | None = None, step: str = "") -> By:
        """Return who commands; ``step`` tells the appends of one request apart."""
        return By(
            actor=self.caller.actor,
            at=self.system.clock.now() if at is None else at,
            command_id=f"{self.key}{step}",
            correlation_id=self.request_id,
            party=self.caller.party,
            audited=self._audited(),
            expected_version=self.expected_version,
        )

    async def run(
        self,
        use_case: Callable[[System, Command, By], Answer],
        command: Command,
        *,
        at: Instant | None = None,
    ) -> Response:
        """Run a use case and answer with what it recorded."""
        return json_response(await self.result(use_case, command, at=at))

    async def result(
        self,
        use_case: Callable[[System, Command, By], Answer],
        command: Command,
        *,
        at: Instant | None = None,
        step: str = "",
    ) -> CommandResult:
        """Run a use case in a thread, as it waits for the disk."""

        def work() -> CommandResult:
            answer = use_case(self.system, command, self.by(at, step))
            return self._told(answer)

        return await run_in_threadpool(work)

    def _told(self, answer: Answer) -> CommandResult:
        row = self.system.log.read(after=answer.first - 1, limit=1)[0]
        session_id = getattr(row.event, "session_id", "") or None
        return CommandResult(
            position=answer.first + answer.count - 1,
            stream=row.stream,
            version=row.decision_version,
            repeated=answer.repeated,
            session_id=session_id,
        )

    def _audited(self) -> CommandAudited:
        origin = msgspec.msgpack.encode(
            [self.address, self.user_agent, self.on_behalf_of]
        )
        return CommandAudited(
            actor=self.caller.actor,
            roles=tuple(sorted(self.caller.roles)),
            permission=self.permission,
            route=self.route,
            request_id=self.request_id,
            origin=self.system.vault.seal(self.caller.subject_id, AUDITED, origin),
        )


async def _commands(
    request: Request,
    context: Reading,
    caller: Caller,
    idempotency_key: IdempotencyKey,
    if_match: IfMatch = "",
    on_behalf_of: OnBehalfOf = "",
) -> Commands:
    route = request.scope["route"]
    return Commands(
        context=context,
        caller=caller,
        key=idempotency_key,
        expected_version=_version(if_match),
        permission=route.openapi_extra[PERMISSION],
        route=f"{request.method} {route.path}",
        request_id=request.scope.get("request_id", ""),
        address=request.client.host if request.client else "",
        user_agent=request.headers.get("user-agent", "")[:200],
        on_behalf_of=on_behalf_of,
    )


Commanding = Annotated[Commands, Depends(_commands)]


def _version(if_match: str) -> int | None:
    text = if_match.strip().strip('"')
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise invalid("header.if-match", if_match, "is the version of an answer")
    return int(text)


def commanded(*problems: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a command's answers for FastAPI."""
    found: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "What it recorded, durably.",
            "content": {"application/json": {"schema": SCHEMAS.of(CommandResult)}},
        }
    }
    schema = SCHEMAS.of(ProblemDetail)
    for status in sorted({400, 401, 403, 404, 409, 413, 422, 429, 500, 503, *problems}):
        found[status] = {
            "description": "A problem, as RFC 9457 has it.",
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
    return found
