"""Server-sent events from a log: each reader in its own time, none can hold memory.

A reader gets what it missed in small batches read when it is ready for them, then what
is recorded as it comes. One that takes nothing for a while is cut; it resumes by the
position of the last event it got.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from fastapi import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from domain.ports import Recorded

_logger = logging.getLogger(__name__)

# Rows read ahead of what a reader took; with the socket's own buffer all that is held.
_BATCH = 100
_POLL_S = 0.05
_HEARTBEAT = b": still here\n\n"


class FollowedLog(Protocol):
    """The part of `domain.ports.Log` that a feed needs."""

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows with positions above ``after``, in order."""
        ...

    def last_position(self) -> int:
        """Return the last position; 0 when nothing was recorded."""
        ...


class EventFeed(Response):
    """An answer that does not end until the reader leaves or stops reading."""

    media_type = "text/event-stream"

    def __init__(
        self,
        log: FollowedLog,
        *,
        after: int,
        chunk_of: Callable[[Recorded], bytes],
        heartbeat_s: float,
        stall_s: float,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._log = log
        self._after = after
        self._chunk_of = chunk_of
        self._heartbeat_s = heartbeat_s
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reader is gone."""
        gone = asyncio.ensure_future(_until_gone(receive))
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": self.raw_headers,
        }
        try:
            await send(start)
            async for chunk in self._chunks(gone):
                async with asyncio.timeout(self._stall_s):
                    body = {"type": "http.response.body", "body": chunk}
                    await send({**body, "more_body": True})
        except TimeoutError:
            # Left without an end, so that the server closes and the reader, should it
            # read again, knows that it was cut.
            _logger.warning("a reader of the feed stopped reading at %d", self._after)
        finally:
            gone.cancel()

    async def _chunks(self, gone: "asyncio.Future[None]") -> AsyncIterator[bytes]:
        sent_at = time.monotonic()
        yield _HEARTBEAT
        while not gone.done():
            rows = await self._next_rows()
            chunk = b"".join(self._chunk_of(row) for row in rows)
            if rows:
                self._after = rows[-1].position
            if chunk:
                yield chunk
                sent_at = time.monotonic()
            elif time.monotonic() - sent_at >= self._heartbeat_s:
                yield _HEARTBEAT
                sent_at = time.monotonic()
            if not rows:
                await asyncio.wait([gone], timeout=_POLL_S)

    async def _next_rows(self) -> Sequence[Recorded]:
        if await run_in_threadpool(self._log.last_position) <= self._after:
            return ()
        return await run_in_threadpool(self._log.read, after=self._after, limit=_BATCH)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
