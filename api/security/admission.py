"""Nobody comes in unknown: the middleware that asks the gate, before any route."""

from typing import Protocol

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, respond
from api.paths import PREFIX
from api.security.principal import Principal

# All that is answered to anybody.
OPEN_PATHS = frozenset({f"{PREFIX}/health"})


class Gate(Protocol):
    """Knows who comes with which credentials."""

    async def admit(self, scope: Scope) -> Principal:
        """Return who is asking.

        A gate whose credentials may end puts ``still_holds`` into the scope: asked
        before each part of an answer that goes on, as feeds do.

        Raises
        ------
        Problem
            401 without good credentials, 429 for one that asks too often.
        """
        ...

    def answered(self, scope: Scope, status: int) -> None:
        """Hear that an admitted request was answered with an error."""
        ...


class Admission:
    """Puts the caller into the scope as ``principal``, or answers the problem."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass that the gate admits."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            scope["principal"] = await self._gate.admit(scope)
        except Problem as problem:
            await respond(Request(scope), problem)(scope, receive, send)
            return
        await self._app(scope, receive, self._watched(scope, send))

    def _watched(self, scope: Scope, send: Send) -> Send:
        """Return a way to answer that ends when the caller's credential does."""
        still_holds = scope.get("still_holds")
        ended = False

        async def watched(message: Message) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.start":
                if message["status"] >= 400:
                    self._gate.answered(scope, message["status"])
            elif still_holds and message.get("more_body") and not still_holds():
                ended = True
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return watched
