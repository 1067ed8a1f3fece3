"""What the command routes share: who commands, idempotency, the answer."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from api.errors import MEDIA_TYPE, Broken, Code, Problem, ProblemDetail, invalid
from api.paths import route_name
from api.rest.presentation import json_response
from api.rest.reading import PERMISSION, SCHEMAS, Caller, Context, Reading
from api.security.principal import Principal
from api.serving import traces
from domain.errors import RequestMismatch
from domain.model.access_events import CommandAudited
from domain.model.ids import session_stream
from domain.model.values import DAY, SECOND, Instant, Sealed, iso_of
from domain.ports import Answer, Recorded, System
from domain.use_cases.clause_6_2_joining import resolve
from domain.use_cases.shared_path import By, answered

# How long ago what a party reports may have happened, and how far its clock may be off.
LONGEST_AGO = 31 * DAY
_CLOCK_MARGIN = 5 * SECOND

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
    ``stream`` is what it decided on first, ``version`` that of the stream's last
    decision, for ``If-Match``. An id is given where the command was about one only.
    """

    position: int
    stream: str
    version: int
    repeated: bool
    zone_id: str | None = None
    evse_id: str | None = None
    session_id: str | None = None
    activity_id: str | None = None


class Secret(msgspec.Struct, frozen=True):
    """What a command keeps sealed in one of its fields; empty: nothing."""

    field: str
    subject_id: str
    context: str
    group: bytes


Command = TypeVar("Command", bound=msgspec.Struct)
UseCase = Callable[[System, Command, By], Answer]


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

    @property
    def party(self) -> str:
        """Return whom the caller acts for.

        Raises
        ------
        Problem
            422 when that is nobody.
        """
        if self.caller.party:
            return self.caller.party
        rule = "is of a party, for whom the caller acts"
        raise Problem(
            422,
            Code.PARTY_NEEDED,
            f"the caller's key names no party: the one for this command {rule}",
            [Broken("header.authorization", "", rule)],
        )

    def by(self, told_at: Instant | None = None, step: str = "") -> By:
        """Return who commands; ``step`` tells the appends of one request apart."""
        return By(
            actor=self.caller.actor,
            at=self.system.clock.now() if told_at is None else told_at,
            command_id=f"{self.key}{step}",
            correlation_id=self.request_id,
            party=self.caller.party,
            audited=self._audited(),
            expected_version=self.expected_version,
            is_told=told_at is not None,
        )

    async def subject_of(self, kind: str, text: str, reach: Callable[[], None]) -> str:
        """Return the subject of a credential, in a thread, as it waits for the disk.

        One seen for the first time is kept only when ``reach`` allows the command.
        """
        vault = self.system.vault

        def work() -> str:
            found = vault.find_subject(kind, text)
            if found is None:
                reach()
                found = vault.subject_of(kind, text)
            return found

        return await run_in_threadpool(work)

    async def run(
        self,
        use_case: UseCase[Command],
        command: Command,
        *,
        reach: Callable[[], None] | None = None,
        secret: Secret | None = None,
        occurred_at: Instant | None = None,
    ) -> Response:
        """Run a use case and answer with what it recorded."""
        found = await self.result(
            use_case, command, reach=reach, secret=secret, occurred_at=occurred_at
        )
        return json_response(found)

    async def result(
        self,
        use_case: UseCase[Command],
        command: Command,
        *,
        reach: Callable[[], None] | None = None,
        secret: Secret | None = None,
        occurred_at: Instant | None = None,
        step: str = "",
    ) -> CommandResult:
        """Run a use case in a thread, as it waits for the disk.

        A repeated command gets its first answer, whatever has changed since. For a new
        one ``reach`` raises the problem of what is out of the caller's reach; then the
        ``secret`` is sealed. ``occurred_at`` is when it happened, as told, else now.
        """

        def work() -> CommandResult:
            by = self.by(occurred_at, step)
            answer = answered(self.system, by, command)
            if answer is None:
                if reach is not None:
                    reach()
                self._check_told(occurred_at)
                with traces.within(getattr(use_case, "__name__", "command")):
                    answer = use_case(self.system, self._sealed(command, secret), by)
            rows = self.system.log.read(after=answer.first - 1, limit=answer.count)
            if answer.repeated and secret is not None:
                self._check_same(rows, secret)
            told = [row for row in rows if row.type != AUDITED]
            return _told(answer, told) if told else self._stood(answer, command)

        return await run_in_threadpool(work)

    def _stood(self, answer: Answer, command: msgspec.Struct) -> CommandResult:
        """Return the answer where a session was already as the command wants it."""
        named: str = getattr(command, "session_id", "")
        session_id = resolve(self.system, named).session_id
        stream = session_stream(session_id)
        rows = self.system.log.read_stream(stream)
        return CommandResult(
            position=answer.first + answer.count - 1,
            stream=stream,
            version=max(r.decision_version for r in rows if r.position < answer.first),
            repeated=answer.repeated,
            session_id=session_id,
        )

    def _sealed(self, command: Command, secret: Secret | None) -> Command:
        if secret is None or not secret.group:
            return command
        vault = self.system.vault
        sealed = vault.seal(secret.subject_id, secret.context, secret.group)
        return msgspec.structs.replace(command, **{secret.field: sealed})

    def _check_same(self, rows: Sequence[Recorded], secret: Secret) -> None:
        """Refuse another secret than that of the command which was answered before.

        The log's own digest of a request leaves sealed groups out, as it could be
        guessed from; where the key was destroyed nobody can tell.
        """
        recorded = [
            self.system.vault.open(value, secret.context)
            for row in rows
            if row.event is not None and not isinstance(row.event, CommandAudited)
            for value in msgspec.structs.astuple(row.event)
            if isinstance(value, Sealed)
        ]
        told = [secret.group] if secret.group else []
        if None not in recorded and recorded != told:
            raise RequestMismatch(f"command {self.key!r} was used for another request")

    def _check_told(self, occurred_at: Instant | None) -> None:
        if occurred_at is None:
            return
        now = self.system.clock.now()
        if not now - LONGEST_AGO <= occurred_at <= now + _CLOCK_MARGIN:
            rule = f"is not after now, {iso_of(now)}, and not more than 31 days ago"
            raise invalid("body.occurred_at", iso_of(occurred_at), rule)

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


def _told(answer: Answer, rows: Sequence[Recorded]) -> CommandResult:
    """Return the answer of what a command recorded, of which the audit is no part."""
    first = next((row for row in rows if row.is_decision), rows[0])
    in_stream = (row.decision_version for row in rows if row.stream == first.stream)
    return CommandResult(
        position=answer.first + answer.count - 1,
        stream=first.stream,
        version=max(in_stream),
        repeated=answer.repeated,
        zone_id=_only(rows, "zone_id"),
        evse_id=_only(rows, "evse_id"),
        session_id=_only(rows, "session_id"),
        activity_id=_only(rows, "activity_id"),
    )


def _only(rows: Sequence[Recorded], name: str) -> str | None:
    found = {getattr(row.event, name, "") for row in rows} - {""}
    return found.pop() if len(found) == 1 else None


async def _commands(
    request: Request,
    context: Reading,
    caller: Caller,
    idempotency_key: IdempotencyKey,
    if_match: IfMatch = "",
    on_behalf_of: OnBehalfOf = "",
) -> Commands:
    return Commands(
        context=context,
        caller=caller,
        key=idempotency_key,
        expected_version=_version(if_match),
        permission=request.scope["route"].openapi_extra[PERMISSION],
        route=route_name(request.scope),
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
