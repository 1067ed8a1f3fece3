"""Connections that say nothing for long, say too much, or are too many are closed."""

import asyncio
import logging
import time

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_logger = logging.getLogger(__name__)

# A request's line and headers; what is longer is no request of ours.
LARGEST_HEAD = 64 * 1024
_TELL_EACH_S = 10.0


class Settings(uvicorn.Config):
    """The settings of a server, and what it suffers from its connections."""

    most_connections = 1_000
    head_within_s = 10.0
    _told_at = float("-inf")

    def tell_crowd(self) -> None:
        """Log that connections are refused, but not for each of a flood."""
        if time.monotonic() - self._told_at > _TELL_EACH_S:
            self._told_at = time.monotonic()
            _logger.warning(
                "refusing connections: there are %d, which is what this process's "
                "limit of open files allows; raise it (ulimit -n) for more",
                self.most_connections,
            )


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 of which each request's head comes within a time and a size."""

    config: Settings
    _waiting: asyncio.TimerHandle | None = None
    # A head may come while the request before it is still being answered.
    _is_in_head = True
    _head_bytes = 0
    _part_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, unless there are too many who do."""
        super().connection_made(transport)
        if len(self.connections) > self.config.most_connections:
            self.config.tell_crowd()
            self._refuse(b"503 Service Unavailable", b"retry-after: 5\r\n")
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; the first one of its head begins the time."""
        if self._waiting is None and self._is_idle:
            self._wait_for_head()
        self._part_bytes = len(data)
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        """Begin to answer: the head is there."""
        self._stop_waiting()
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Count what follows as the next head, but for the part this came in."""
        self._is_in_head = True
        self._head_bytes = -self._part_bytes
        super().on_message_complete()

    @property
    def _is_idle(self) -> bool:
        """Whether no answer is under way."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._waiting = self.loop.call_later(self.config.head_within_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        self.transport.close()

    def _refuse(self, status: bytes, headers: bytes = b"") -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self._is_idle:
            self.transport.write(
                b"HTTP/1.1 %s\r\n%scontent-length: 0\r\nconnection: close\r\n\r\n"
                % (status, headers)
            )
        self.transport.close()
