"""What all routes share: context, caller, permission, parameters, cursors."""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.errors import (
    MEDIA_TYPE,
    Broken,
    Code,
    Problem,
    ProblemDetail,
    forbidden,
    invalid,
)
from api.paths import PREFIX
from api.rest.checked_request import CheckedRequest
from api.rest.presentation import Schemas
from api.security.keys import KeyRegister
from api.security.notes import SecurityLog
from api.security.permissions import Permission, may
from api.security.principal import Principal
from domain.errors import InvalidValue
from domain.model.values import Instant, instant_of
from domain.ports import System
from projections.read_models import ReadModels

Metrics = Callable[[], Mapping[str, float | int]]
Key = TypeVar("Key")
Item = TypeVar("Item")
CursorKey = tuple[str | int, ...]

# What the text of a forged cursor raises; nested deeply enough, it is too deep.
_NO_CURSOR = (binascii.Error, UnicodeError, msgspec.MsgspecError, RecursionError)

# Longer than a projection ever needs while it goes on.
_WAIT_FOR_OWN_WRITES_S = 5.0


class Context(msgspec.Struct, frozen=True):
    """What the routes of one tenant read from and write to.

    After ``heartbeat_s`` silent seconds a feed says that it is still there; a reader
    that takes nothing for ``stall_s`` is cut. Where the store is only read, nobody has
    a key of its own and nothing is noted.
    """

    system: System
    models: ReadModels
    loop_metrics: Metrics
    station_metrics: Metrics = dict
    heartbeat_s: float = 15.0
    stall_s: float = 10.0
    keys: KeyRegister | None = None
    security: SecurityLog | None = None


def _caller_of(request: Request) -> Principal:
    caller: Principal = request.scope["principal"]
    return caller


def _context_of(request: Request) -> Context:
    context: Context = request.app.state.tenants[_caller_of(request).tenant]
    return context


# Coroutines: FastAPI calls plain functions in a thread.
async def _caller(request: Request) -> Principal:
    return _caller_of(request)


async def _context(request: Request) -> Context:
    return _context_of(request)


# What a route gets without FastAPI's solving of dependencies, which takes as long as
# many a read does.
_AT_HAND: dict[Any, Callable[[Request], Any]] = {
    _caller: _caller_of,
    _context: _context_of,
}


Caller = Annotated[Principal, Depends(_caller)]
Reading = Annotated[Context, Depends(_context)]
Limit = Annotated[int, Query(ge=1, le=1000, description="how many items a page has")]
Cursor = Annotated[
    str, Query(max_length=1_000, description="`next` of the page before")
]
# What a column of SQLite can hold; a forged cursor may say more.
Stored = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
After = Annotated[
    int | None,
    Query(
        ge=0,
        le=(1 << 63) - 1,
        description="position of an own write that the answer must have seen",
    ),
]
At = Annotated[str, Query(description="RFC 3339 instant; now when left out")]


PERMISSION = "x-permission"


def operation_id(route: APIRoute) -> str:
    """Return what a route is called: its function's name, a verb and a noun."""
    return route.name


def new_routes() -> APIRouter:
    """Return a router for the routes of one module, their paths under `PREFIX`.

    The application takes its routes as they are: FastAPI's included routers would look
    through every module's routes at each request, which took a quarter of its time.
    """
    return APIRouter(
        prefix=PREFIX,
        route_class=StrictRoute,
        generate_unique_id_function=operation_id,
    )


def needs(permission: Permission) -> dict[str, Any]:
    """Return what a route says in ``openapi_extra`` of the permission it needs."""
    return {PERMISSION: permission.value}


class StrictRoute(APIRoute):
    """Refuses callers without the permission, and queries that make no sense.

    Every route says what permission it needs, by ``openapi_extra=needs(...)``; one that
    does not is not built. Query parameters that are unknown or given twice are refused:
    a misspelt filter would else answer with everything, which nobody notices. Bodies
    are read by `CheckedRequest`.
    """

    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the check in front."""
        whole = self.dependant
        known = _query_names(whole)
        self.dependant = _with_what_is_at_hand(whole)
        handler = super().get_route_handler()
        self.dependant = whole
        permission = Permission((self.openapi_extra or {})[PERMISSION])

        async def checked(request: Request) -> Response:
            if not may(request.scope["principal"], permission):
                raise forbidden(permission)
            _check_query(request, known)
            return await handler(CheckedRequest(request.scope, request.receive))

        return checked


def _with_what_is_at_hand(dependant: Dependant) -> Dependant:
    """Return a route's needs without those that `_AT_HAND` answers."""
    at_hand = {
        str(d.name): _AT_HAND[d.call]
        for d in dependant.dependencies
        if d.call in _AT_HAND
    }
    others = [d for d in dependant.dependencies if d.call not in _AT_HAND]
    endpoint = dependant.call
    assert endpoint is not None
    asked = dependant.request_param_name or "_asked"

    async def called(**values: Any) -> Any:
        request = values[asked]
        if dependant.request_param_name is None:
            del values[asked]
        for name, of in at_hand.items():
            values[name] = of(request)
        return await endpoint(**values)

    return replace(
        dependant, dependencies=others, call=called, request_param_name=asked
    )


# Where what was can be asked for; anywhere else it is refused and said where.
_PLACES_OF_THE_PAST = {
    "as_of": "GET /zones, /evses, /stations and /service-sessions, each of their "
    "items, and /plans/{position}",
    "valid_at": "GET /zones/{zone_id}/pre, /zones/{zone_id}/aetp and "
    "/evses/{evse_id}/readings",
}


def _query_names(dependant: Dependant) -> set[str]:
    names = {parameter.alias for parameter in dependant.query_params}
    return names.union(*(_query_names(inner) for inner in dependant.dependencies))


def _check_query(request: Request, known: set[str]) -> None:
    met: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name in known and name not in met:
            met.add(name)
            continue
        shown = name[:100]
        if name in _PLACES_OF_THE_PAST and name not in known:
            rule = f"is answered by {_PLACES_OF_THE_PAST[name]}"
            raise Problem(
                422,
                Code.NO_HISTORY_HERE,
                f"query parameter {name!r} {rule}",
                [Broken(f"query.{name}", value[:100], rule)],
            )
        rule = "is given once" if name in met else f"is one of {sorted(known)}"
        raise Problem(
            422,
            Code.UNKNOWN_PARAMETER,
            f"query parameter {shown!r} {rule}",
            [Broken(f"query.{shown}", value[:100], rule)],
        )


async def caught_up(context: Context, name: str, after: int | None) -> None:
    """Wait until a projection has seen the caller's own write."""
    runner = context.models.runner
    if after is None or runner.position_of(name) >= after:
        return
    last = context.system.log.last_position()
    if after > last:
        raise Problem(
            422,
            Code.POSITION_AHEAD,
            f"after is {after}: the log ends at position {last}",
            [Broken("query.after", str(after), f"is at most {last}")],
        )
    until = time.monotonic() + _WAIT_FOR_OWN_WRITES_S
    while runner.position_of(name) < after:
        if time.monotonic() > until:
            raise Problem(
                503,
                Code.NOT_YET_PROJECTED,
                f"{name} stands at position {runner.position_of(name)}, not {after}",
                headers={"Retry-After": "1"},
            )
        await asyncio.sleep(0.005)


def instant_or(where: str, text: str, default: Instant) -> Instant:
    """Return the instant of a parameter; ``default`` when it is left out."""
    if not text:
        return default
    try:
        # A "+" of an offset that was not escaped arrives as a blank.
        return instant_of(datetime.fromisoformat(text.replace(" ", "+")))
    except (ValueError, OverflowError, InvalidValue):
        rule = "is an RFC 3339 instant with its offset, as 2019-10-29T08:00:00Z"
        raise invalid(where, text, rule) from None


def cursor_of(kind: str, *key: str | int) -> str:
    """Return the opaque cursor that continues a list behind a key."""
    packed = msgspec.json.encode([kind, list(key)])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def next_of(
    kind: str, found: Sequence[Item], limit: int, key: Callable[[Item], CursorKey]
) -> str | None:
    """Return the cursor behind the last of a full page; none where no more can come."""
    return cursor_of(kind, *key(found[-1])) if len(found) == limit else None


def key_of(kind: str, cursor: str, shape: type[Key], first: Key) -> Key:
    """Return the key a cursor stands for; ``first`` where the list begins."""
    if not cursor:
        return first
    rule = f"is the `next` of a page of {kind}"
    try:
        found, key = _unpacked(cursor)
        if found == kind:
            return msgspec.convert(key, shape)
    except _NO_CURSOR:
        pass
    raise Problem(
        400,
        Code.BAD_CURSOR,
        f"cursor {cursor[:100]!r} is not the `next` of a page of {kind}",
        [Broken("query.cursor", cursor[:200], rule)],
    )


def kind_in(cursor: str) -> str:
    """Return of which kind of list a cursor says it is; empty when it is none."""
    try:
        return _unpacked(cursor)[0]
    except _NO_CURSOR:
        return ""


def _unpacked(cursor: str) -> tuple[str, Any]:
    padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
    packed = base64.b64decode(padded, altchars=b"-_", validate=True)
    return msgspec.json.decode(packed, type=tuple[str, Any])


SCHEMAS = Schemas()


def documented(view: type[Any], *problems: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a route's answers for FastAPI."""
    found: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "As it stands.",
            "content": {"application/json": {"schema": SCHEMAS.of(view)}},
        }
    }
    schema = SCHEMAS.of(ProblemDetail)
    for status in sorted({401, 403, 422, 429, 500, 503, *problems}):
        found[status] = {
            "description": "A problem, as RFC 9457 has it.",
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
    return found
