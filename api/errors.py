"""Errors over HTTP: problem+json (RFC 9457) with a stable code, value and rule.

``code`` is what clients may rely on; ``detail`` and ``errors`` are for people.
"""

import enum
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import (
    Conflict,
    DomainError,
    Occupied,
    Refused,
    RequestMismatch,
    StoreError,
    Unknown,
)

MEDIA_TYPE = "application/problem+json"

_logger = logging.getLogger(__name__)

# What is echoed of a value: enough to find it, not a copy of an attack.
_LONGEST_VALUE = 200


class Code(enum.StrEnum):
    """What a problem is, for programs; a code never changes its meaning."""

    BAD_CURSOR = "bad-cursor"
    BODY_TOO_LARGE = "body-too-large"
    BODY_TOO_SLOW = "body-too-slow"
    CONFLICT = "conflict"
    DIGEST_MISMATCH = "digest-mismatch"
    DIGEST_MISSING = "digest-missing"
    FAULTY_MESSAGE = "faulty-message"
    FORBIDDEN = "forbidden"
    HTTP_ERROR = "http-error"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    INTERNAL_ERROR = "internal-error"
    INVALID_PARAMETER = "invalid-parameter"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NO_HISTORY_HERE = "no-history-here"
    NOT_AUTHENTICATED = "not-authenticated"
    NOT_YET_PROJECTED = "not-yet-projected"
    OCCUPIED = "occupied"
    PARTY_NEEDED = "party-needed"
    POSITION_AHEAD = "position-ahead"
    REFUSED = "refused"
    STORE_UNAVAILABLE = "store-unavailable"
    TOO_MANY_REQUESTS = "too-many-requests"
    UNKNOWN_ACTIVITY = "unknown-activity"
    UNKNOWN_CONTRACT = "unknown-contract"
    UNKNOWN_EVSE = "unknown-evse"
    UNKNOWN_KEY = "unknown-key"
    UNKNOWN_PARAMETER = "unknown-parameter"
    UNKNOWN_PATH = "unknown-path"
    UNKNOWN_PLAN = "unknown-plan"
    UNKNOWN_REFERENCE = "unknown-reference"
    UNKNOWN_SESSION = "unknown-session"
    UNKNOWN_STATION = "unknown-station"
    UNKNOWN_STREAM = "unknown-stream"
    UNKNOWN_THING = "unknown-thing"
    UNKNOWN_ZONE = "unknown-zone"


class Broken(msgspec.Struct, frozen=True):
    """One rule that a request breaks: where, by which value."""

    where: str
    value: str
    rule: str


class ProblemDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A problem as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: Code
    request_id: str
    errors: tuple[Broken, ...] = ()
    current_version: int | None = None


class Problem(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        status: int,
        code: Code,
        detail: str,
        errors: Sequence[Broken] = (),
        headers: Mapping[str, str] | None = None,
        current_version: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.current_version = current_version
        self.status = status
        self.code = code
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def unknown(kind: str, identifier: str) -> Problem:
    """Return the problem of an id that names nothing."""
    shown = identifier[:_LONGEST_VALUE]
    broken = Broken(f"path.{kind}_id", shown, "names something there is")
    return Problem(
        404, Code(f"unknown-{kind}"), f"there is no {kind} {shown!r}", [broken]
    )


def forbidden(permission: str) -> Problem:
    """Return the problem of a caller whose roles do not have a permission."""
    rule = f"has a role with the permission {permission}"
    return Problem(
        403,
        Code.FORBIDDEN,
        f"the caller may not: it needs the permission {str(permission)!r}",
        [Broken("header.authorization", "", rule)],
    )


def invalid(where: str, value: object, rule: str) -> Problem:
    """Return the problem of a parameter that breaks a rule."""
    shown = str(value)[:_LONGEST_VALUE]
    return Problem(
        422,
        Code.INVALID_PARAMETER,
        f"{where} is {shown!r}: {rule}",
        [Broken(where, shown, rule)],
    )


def respond(request: Request, problem: Problem) -> Response:
    """Return the answer for a problem."""
    # For the gate, which notes what was forbidden or faulty.
    request.scope["problem_code"] = problem.code
    detail = ProblemDetail(
        type=f"urn:voltledger:problem:{problem.code}",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=str(problem),
        instance=request.url.path,
        code=problem.code,
        request_id=request.scope.get("request_id", ""),
        errors=problem.errors,
        current_version=problem.current_version,
    )
    return Response(
        msgspec.json.encode(detail),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Let every error of the app be answered as problem+json."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DomainError, _on_domain)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(request, error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    broken = [_broken(found) for found in error.errors()]
    first = broken[0]
    detail = f"{first.where} is {first.value!r}: {first.rule}"
    return respond(request, Problem(422, Code.INVALID_PARAMETER, detail, broken))


def _broken(found: Mapping[str, Any]) -> Broken:
    where = ".".join(str(part) for part in found["loc"])
    return Broken(where, str(found.get("input"))[:_LONGEST_VALUE], str(found["msg"]))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Problem):
        # What a check of the body said; FastAPI makes one error of all of them.
        return respond(request, error.__cause__)
    path = request.url.path[:_LONGEST_VALUE]
    match error.status_code:
        case 404:
            code, detail = Code.UNKNOWN_PATH, f"there is no {path!r}"
        case _:
            code, detail = Code.HTTP_ERROR, str(error.detail)
    return respond(
        request, Problem(error.status_code, code, detail, headers=error.headers)
    )


async def _on_domain(request: Request, error: Exception) -> Response:
    match error:
        case Unknown():
            problem = Problem(404, Code.UNKNOWN_THING, str(error))
        case Occupied():
            problem = Problem(409, Code.OCCUPIED, str(error))
        case Refused():
            problem = Problem(422, Code.REFUSED, str(error))
        case Conflict():
            version = error.version
            problem = Problem(409, Code.CONFLICT, str(error), current_version=version)
        case RequestMismatch():
            problem = Problem(422, Code.IDEMPOTENCY_KEY_REUSED, str(error))
        case StoreError():
            headers = {"Retry-After": "1"}
            problem = Problem(503, Code.STORE_UNAVAILABLE, str(error), headers=headers)
        case _:
            return _mistake(request, error)
    return respond(request, problem)


class Answered:
    """Answers for every error in the code that nothing inside has answered for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; 500 when that fails."""
        began = False

        async def sent(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:
            answer = _mistake(Request(scope), error)
            # What has begun is left without an end: the server then closes.
            if not began:
                await answer(scope, receive, send)


def _mistake(request: Request, error: Exception) -> Response:
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # The cause is in the server's log; what it says may not be for this reader.
    detail = "the server made a mistake"
    return respond(request, Problem(500, Code.INTERNAL_ERROR, detail))
