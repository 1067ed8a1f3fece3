"""Bodies come whole, small and soon, or not at all."""

import asyncio

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Broken, Code, Problem, respond

LARGEST = 256 * 1024
WITHIN_S = 10.0
# Taken and thrown away, so that its sender gets to read the answer.
_DRAINED = 16 * 1024 * 1024


class Gone(Exception):
    """The caller left before its body was there."""


class Bodies:
    """Reads the whole body before anything is made of it; 413 or 408 when it cannot."""

    def __init__(
        self, app: ASGIApp, largest: int = LARGEST, within_s: float = WITHIN_S
    ) -> None:
        self._app = app
        self._largest = largest
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
        except Gone:
            return
        except Problem as problem:
            await respond(Request(scope), problem)(scope, receive, send)
            return
        await self._app(scope, _given(body, receive), send)

    async def _read(self, receive: Receive) -> bytes:
        """Return the body; what is too large is counted and not kept."""
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(self._within_s):
                while size <= _DRAINED:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    size += len(part := message.get("body", b""))
                    if size <= self._largest:
                        parts.append(part)
                    else:
                        parts.clear()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise _problem(
                408, Code.BODY_TOO_SLOW, f"arrives within {self._within_s:g} s"
            ) from None
        if size > self._largest:
            raise _problem(
                413, Code.BODY_TOO_LARGE, f"has at most {self._largest} bytes"
            )
        return b"".join(parts)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    length = headers.get("content-length", "0")
    return "transfer-encoding" in headers or length != "0"


def _given(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read, then what comes behind it."""
    begun = False

    async def given() -> Message:
        nonlocal begun
        if begun:
            return await receive()
        begun = True
        return {"type": "http.request", "body": body, "more_body": False}

    return given


def _problem(status: int, code: Code, rule: str) -> Problem:
    # What is still to come of the body is nobody's next request.
    headers = {"Connection": "close"}
    return Problem(
        status, code, f"the body {rule}", [Broken("body", "", rule)], headers
    )
