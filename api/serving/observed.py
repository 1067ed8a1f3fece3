"""Each request gets an id and is told of: in the log, in a trace, in the figures."""

import re
import secrets
import time
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.serving import logs, traces
from api.serving.metrics import Metrics

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

# What a request is called whose path is no route's.
NO_ROUTE = "-"
# nginx's number for a caller that left before its answer began.
_LEFT = 499
_HEADER = b"x-request-id"
_GOOD = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Observed:
    """Gives each request an id and tells of it when it has ended."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, tracer: "Tracer | None" = None
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = _id_of(scope)
        logs.REQUEST_ID.set(request_id)
        begun, status, took_s = time.perf_counter(), _LEFT, 0.0

        async def sent(message: Message) -> None:
            nonlocal status, took_s
            if message["type"] == "http.response.start":
                # Until the answer begins: a feed goes on for hours.
                status, took_s = message["status"], time.perf_counter() - begun
                named = (_HEADER, request_id.encode())
                message["headers"] = [*message["headers"], named]
            await send(message)

        with traces.of_request(self._tracer, scope) as span:
            try:
                await self._app(scope, receive, sent)
            finally:
                route = route_of(scope)
                traces.finish(span, scope, route, status)
                self._tell(scope, route, status, took_s)

    def _tell(self, scope: Scope, route: str, status: int, took_s: float) -> None:
        caller = scope.get("principal")
        method = scope.get("asked_method", scope["method"])
        tenant = caller.tenant if caller else ""
        self._metrics.observe(tenant, method, route, status, took_s)
        logs.access(
            method=method,
            route=route,
            status=status,
            ms=1000 * took_s,
            actor=caller.actor if caller else "",
            request_id=scope["request_id"],
        )


def route_of(scope: Scope) -> str:
    """Return the template of the route that a request was answered by."""
    route = scope.get("route")
    return NO_ROUTE if route is None else str(route.path)


def _id_of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _HEADER and _GOOD.fullmatch(value):
            return str(value, "ascii")
    return secrets.token_hex(8)
