"""Server-sent events from a log: each reader in its own time, none can hold memory.

A reader gets what it missed in small batches read when it is ready for them, then what
is recorded as it comes. One that takes nothing for a while is cut; it resumes by the
position of the last event it got.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from fastapi import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from api.rest.log_tail import Line, LogTail

_logger = logging.getLogger(__name__)

# Read ahead of what a reader took; with the socket's own buffer all that is held.
_BATCH = 100
_CHUNK_BYTES = 64 * 1024
_HEARTBEAT = b": still here\n\n"


class EventFeed(Response):
    """An answer that does not end until the reader leaves or stops reading."""

    media_type = "text/event-stream"

    def __init__(
        self,
        tail: LogTail,
        *,
        after: int,
        wanted: Callable[[Line], bool],
        heartbeat_s: float,
        stall_s: float,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._tail = tail
        self._after = after
        self._wanted = wanted
        self._batch = _BATCH
        self._heartbeat_s = heartbeat_s
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reader is gone."""
        wake = asyncio.Event()
        gone = asyncio.ensure_future(_until_gone(receive))
        gone.add_done_callback(lambda _: wake.set())
        self._tail.join(wake)
        beats = _Beats(wake, self._heartbeat_s / 2)
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": self.raw_headers,
        }
        try:
            await send(start)
            await self._send_all(gone, wake, send)
        except TimeoutError:
            # Left without an end, so that the server closes and the reader, should it
            # read again, knows that it was cut.
            _logger.warning("a reader of the feed stopped reading at %d", self._after)
        finally:
            self._tail.leave(wake)
            beats.end()
            gone.cancel()

    async def _send_all(
        self, gone: "asyncio.Future[None]", wake: asyncio.Event, send: Send
    ) -> None:
        await self._send(send, _HEARTBEAT)
        sent_at = time.monotonic()
        while not gone.done():
            wake.clear()
            lines = await self._next_lines()
            chunk = self._taken(lines)
            if not chunk and time.monotonic() - sent_at >= self._heartbeat_s:
                chunk = _HEARTBEAT
            if chunk:
                await self._send(send, chunk)
                sent_at = time.monotonic()
            if not lines:
                await wake.wait()

    async def _send(self, send: Send, chunk: bytes) -> None:
        async with asyncio.timeout(self._stall_s):
            body = {"type": "http.response.body", "body": chunk, "more_body": True}
            await send(body)

    async def _next_lines(self) -> Sequence[Line]:
        lines = self._tail.since(self._after)
        if lines is None:
            return await run_in_threadpool(self._tail.read, self._after, self._batch)
        return lines

    def _taken(self, lines: Sequence[Line]) -> bytes:
        """Go behind as many lines as one chunk holds; return it."""
        chunks, size = list[bytes](), 0
        for line in lines:
            self._after = line.row.position
            if self._wanted(line):
                chunks.append(line.chunk)
                size += len(line.chunk)
                if size >= _CHUNK_BYTES:
                    # Large rows: no more of them are read than can be sent.
                    self._batch = 2 * len(chunks)
                    break
        else:
            self._batch = _BATCH
        return b"".join(chunks)


class _Beats:
    """Wakes a reader now and then: cheaper than a time limit on each of its waits."""

    def __init__(self, wake: asyncio.Event, each_s: float) -> None:
        self._wake = wake
        self._each_s = each_s
        self._next = asyncio.get_running_loop().call_later(each_s, self._beat)

    def _beat(self) -> None:
        self._wake.set()
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(self._each_s, self._beat)

    def end(self) -> None:
        """Wake it no more."""
        self._next.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
