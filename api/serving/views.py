"""What HTTP gives to readers: HEAD for every GET, and no view sent twice unchanged."""

from hashlib import blake2b

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Of which an answer with 304 still tells.
_KEPT = (b"etag", b"vary", b"cache-control")


class Heads:
    """Answers HEAD as GET is answered, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def sent(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})

        # The server has the scope of its own, in which the method stays.
        asked = {**scope, "method": "GET", "asked_method": "HEAD"}
        await self._app(asked, receive, sent)


class Zipped(GZipMiddleware):
    """Zips what is long for who asks for it; all others get it untouched."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and _asks_for_gzip(scope):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _asks_for_gzip(scope: Scope) -> bool:
    return any(
        name == b"accept-encoding" and b"gzip" in value
        for name, value in scope["headers"]
    )


class ETags:
    """Names each JSON view by a hash of it; 304 for a reader that has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def sent(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_view(message):
                start = message
            elif start is None:
                await send(message)
            else:
                body = message.get("body", b"")
                begun, start = start, None
                if message.get("more_body", False):
                    await send(begun)  # an export, whose end nobody knows yet
                    await send(message)
                else:
                    await _send_view(scope, begun, body, send)

        await self._app(scope, receive, sent)


def _is_view(message: Message) -> bool:
    headers = message["headers"]
    return (
        message["status"] == 200 and (b"content-type", b"application/json") in headers
    )


async def _send_view(scope: Scope, start: Message, body: bytes, send: Send) -> None:
    tag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["ETag"] = tag
    headers["Vary"] = "Authorization, Accept-Encoding"
    # Kept by its reader only, and asked for again each time.
    headers["Cache-Control"] = "private, no-cache"
    if _has(Headers(scope=scope).get("if-none-match", ""), tag):
        kept = [(name, value) for name, value in headers.raw if name in _KEPT]
        await send({"type": "http.response.start", "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({**start, "headers": headers.raw})
    await send({"type": "http.response.body", "body": body})


def _has(if_none_match: str, tag: str) -> bool:
    if not if_none_match:
        return False
    told = {part.strip() for part in if_none_match.split(",")}
    return "*" in told or tag in told or tag.removeprefix("W/") in told
