"""Errors over HTTP: problem+json (RFC 9457) with a stable code, value and rule.

``code`` is what clients may rely on; ``detail`` and ``errors`` are for people. Codes:
``bad-cursor``, ``unknown-zone``, ``unknown-evse``, ``unknown-session``,
``unknown-plan``, ``unknown-path``, ``method-not-allowed``, ``invalid-parameter``,
``unknown-parameter``, ``position-ahead``, ``not-yet-projected``, ``refused``,
``unknown-thing``, ``occupied``, ``conflict`` (with ``current_version``),
``idempotency-key-reused``, ``faulty-message``, ``digest-mismatch``,
``not-authenticated``, ``forbidden``, ``store-unavailable``, ``http-error``,
``internal-error``.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

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
    code: str
    errors: tuple[Broken, ...] = ()
    current_version: int | None = None


class Problem(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        status: int,
        code: str,
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
    return Problem(404, f"unknown-{kind}", f"there is no {kind} {shown!r}", [broken])


def forbidden(permission: str) -> Problem:
    """Return the problem of a caller whose roles do not have a permission."""
    rule = f"has a role with the permission {permission}"
    return Problem(
        403,
        "forbidden",
        f"the caller may not: it needs the permission {permission!r}",
        [Broken("header.authorization", "", rule)],
    )


def invalid(where: str, value: object, rule: str) -> Problem:
    """Return the problem of a parameter that breaks a rule."""
    shown = str(value)[:_LONGEST_VALUE]
    return Problem(
        422,
        "invalid-parameter",
        f"{where} is {shown!r}: {rule}",
        [Broken(where, shown, rule)],
    )


def respond(request: Request, problem: Problem) -> Response:
    """Return the answer for a problem."""
    detail = ProblemDetail(
        type=f"urn:voltledger:problem:{problem.code}",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=str(problem),
        instance=request.url.path,
        code=problem.code,
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
    app.add_exception_handler(Exception, _on_anything)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(request, error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    broken = [_broken(found) for found in error.errors()]
    first = broken[0]
    detail = f"{first.where} is {first.value!r}: {first.rule}"
    return respond(request, Problem(422, "invalid-parameter", detail, broken))


def _broken(found: Mapping[str, Any]) -> Broken:
    where = ".".join(str(part) for part in found["loc"])
    return Broken(where, str(found.get("input"))[:_LONGEST_VALUE], str(found["msg"]))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:_LONGEST_VALUE]
    match error.status_code:
        case 404:
            code, detail = "unknown-path", f"there is no {path!r}"
        case 405:
            code, detail = "method-not-allowed", f"{request.method} of {path!r}"
        case _:
            code, detail = "http-error", str(error.detail)
    return respond(
        request, Problem(error.status_code, code, detail, headers=error.headers)
    )


async def _on_domain(request: Request, error: Exception) -> Response:
    match error:
        case Unknown():
            problem = Problem(404, "unknown-thing", str(error))
        case Occupied():
            problem = Problem(409, "occupied", str(error))
        case Refused():
            problem = Problem(422, "refused", str(error))
        case Conflict():
            version = error.version
            problem = Problem(409, "conflict", str(error), current_version=version)
        case RequestMismatch():
            problem = Problem(422, "idempotency-key-reused", str(error))
        case StoreError():
            headers = {"Retry-After": "1"}
            problem = Problem(503, "store-unavailable", str(error), headers=headers)
        case _:
            return await _on_anything(request, error)
    return respond(request, problem)


async def _on_anything(request: Request, error: Exception) -> Response:
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # The cause is in the server's log; what it says may not be for this reader.
    return respond(request, Problem(500, "internal-error", "the server made a mistake"))
