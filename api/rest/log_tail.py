"""The end of a log, read and encoded once for all who follow it."""

import asyncio
import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from api.security.event_reach import Place
from domain.errors import DomainError, StoreError
from domain.ports import Recorded

_logger = logging.getLogger(__name__)

_BATCH = 500
# Held for readers that are a little behind; who is further behind reads for itself.
_HELD_ROWS, _HELD_BYTES = 1_000, 4 * 1024 * 1024
# Between two wakings, so that they take little of a core: 100 ms for 500 readers.
_REST_PER_READER_S = 0.0002
# So that nobody else's request waits for all of them.
_WOKEN_AT_ONCE = 20
_WAIT_S = 0.25
_POLL_S = 0.05


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


class Line(NamedTuple):
    """A row, how it looks in a feed, and where its stream stands."""

    row: Recorded
    chunk: bytes
    place: Place | None


Encode = Callable[[Recorded], bytes]
PlaceOf = Callable[[Recorded], Place | None]


class LogTail:
    """Follows a log in one thread while there are readers, and wakes them.

    Where a row stands is asked there too, once for all of them. Its methods are
    called in the event loop.
    """

    def __init__(self, log: FollowedLog, encode: Encode, place_of: PlaceOf) -> None:
        self._log = log
        self._encode = encode
        self._place_of = place_of
        self._readers: set[asyncio.Event] = set()
        self._lines: list[Line] = []
        self._bytes = 0
        # All rows behind it are held; nobody knows before the thread has begun.
        self._begin: int | None = None
        self._stop = threading.Event()
        self._broken = False

    @property
    def readers(self) -> int:
        """How many follow."""
        return len(self._readers)

    def join(self, wake: asyncio.Event) -> None:
        """Set ``wake`` from now on when there are new rows."""
        if not self._readers:
            self._stop = threading.Event()
            loop = asyncio.get_running_loop()
            self._broken = False
            threading.Thread(
                target=self._run, args=(loop, self._stop), name="feed", daemon=True
            ).start()
        self._readers.add(wake)

    def leave(self, wake: asyncio.Event) -> None:
        """Set ``wake`` no more; without readers the thread ends."""
        self._readers.discard(wake)
        if not self._readers:
            self._stop.set()
            self._lines, self._bytes, self._begin = [], 0, None

    def since(self, after: int) -> Sequence[Line] | None:
        """Return the lines behind a position; None where they are not held.

        Raises
        ------
        StoreError
            when the log is followed no more: its readers are cut, and may come again.
        """
        if self._broken:
            raise StoreError("the log cannot be followed")
        if self._begin is None or after < self._begin:
            return None
        first = bisect_right(self._lines, after, key=lambda line: line.row.position)
        return self._lines[first:]

    def read(self, after: int, limit: int) -> Sequence[Line]:
        """Read lines that are not held; for a thread."""
        rows = self._log.read(after=after, limit=limit)
        return [Line(row, self._encode(row), self._place_of(row)) for row in rows]

    def _run(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        try:
            self._follow(loop, stop)
        finally:
            if not stop.is_set() and not loop.is_closed():
                loop.call_soon_threadsafe(self._break)

    def _break(self) -> None:
        self._broken = True
        for wake in self._readers:
            wake.set()

    def _follow(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        position = -1
        while not stop.is_set():
            try:
                if position < 0:
                    position, lines = self._log.last_position(), list[Line]()
                    self._tell(loop, stop, position, lines)
                elif lines := list(self.read(position, _BATCH)):
                    position = lines[-1].row.position
                    self._tell(loop, stop, position, lines)
                    stop.wait(_REST_PER_READER_S * len(self._readers))
                else:
                    self._wait(position + 1, stop)
            except DomainError as error:
                if not stop.is_set():
                    _logger.warning("the feed cannot read the log: %s", error)
                stop.wait(_WAIT_S)

    def _tell(
        self,
        loop: asyncio.AbstractEventLoop,
        stop: threading.Event,
        end: int,
        lines: Sequence[Line],
    ) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._take, stop, end, lines)

    def _wait(self, position: int, stop: threading.Event) -> None:
        wait_for = getattr(self._log, "wait_for", None)
        if wait_for is None:
            stop.wait(_POLL_S)
        else:
            wait_for(position, _WAIT_S)

    def _take(self, stop: threading.Event, end: int, lines: Sequence[Line]) -> None:
        if stop.is_set():
            return
        if self._begin is None:
            self._begin = end
        self._lines += lines
        self._bytes += sum(len(line.chunk) for line in lines)
        self._drop_oldest()
        self._wake(list(self._readers))

    def _wake(self, waiting: Sequence[asyncio.Event]) -> None:
        """Wake some readers, and the others after what else is waiting."""
        for wake in waiting[:_WOKEN_AT_ONCE]:
            wake.set()
        if rest := waiting[_WOKEN_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._wake, rest)

    def _drop_oldest(self) -> None:
        count, held = 0, self._bytes
        while len(self._lines) - count > _HELD_ROWS or held > _HELD_BYTES:
            held -= len(self._lines[count].chunk)
            count += 1
        if count:
            self._begin = self._lines[count - 1].row.position
            del self._lines[:count]
            self._bytes = held
