"""Waiting for what comes next in a log, and following it without gaps."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from domain.ports import Recorded
from domain.store.reader import LedgerReader
from domain.store.sqlite import connect_readonly

_POLL_S = 0.05
_CHUNK = 500


class Feed(Protocol):
    """Knows the last committed position and waits for a later one."""

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until ``position`` is committed; False when the time ran out."""
        ...


class CommitFeed:
    """A feed in the writer's process: every commit tells it."""

    def __init__(self, position: int) -> None:
        self._position = position
        self._advanced = threading.Condition()

    def advance(self, position: int) -> None:
        """Tell everybody who waits that the log is committed up to ``position``."""
        with self._advanced:
            # A group that recorded nothing concerns nobody who waits.
            if position != self._position:
                self._position = position
                self._advanced.notify_all()

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until ``position`` is committed; False when the time ran out."""
        with self._advanced:
            return self._advanced.wait_for(
                lambda: self._position >= position, timeout_s
            )


class PolledFeed:
    """A feed in another process than the writer's: it looks at the file."""

    def __init__(self, path: Path) -> None:
        self._connection = connect_readonly(path)
        self._lock = threading.Lock()

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until ``position`` is committed; False when the time ran out."""
        until = time.monotonic() + timeout_s
        seen = -1
        while True:
            with self._lock:
                (version,) = self._connection.execute("PRAGMA data_version").fetchone()
                # It changes with every commit of somebody else, and costs no page.
                if version != seen:
                    seen = version
                    (last,) = self._connection.execute(
                        "SELECT max(position) FROM rows"
                    ).fetchone()
                    if last >= position:
                        return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_POLL_S, left))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class Readable(Protocol):
    """The part of a log that following needs; it shows committed rows only."""

    def last_position(self) -> int:
        """Return the last position; 0 when nothing was recorded."""
        ...

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows with positions above ``after``, in order."""
        ...


def follow(
    log: Readable,
    feed: Feed,
    *,
    after: int = 0,
    types: Sequence[str] = (),
    stopped: Callable[[], bool] = lambda: False,
    wait_s: float = 1.0,
) -> Iterator[Recorded]:
    """Yield every row above ``after`` once and in order, then what is committed next.

    ``stopped`` is asked before each row and at least every ``wait_s`` seconds.
    """
    while not stopped():
        # Asked for first: all rows up to it are there when `read` runs.
        end = log.last_position()
        rows = log.read(after=after, limit=_CHUNK, types=types)
        for row in rows:
            if stopped():
                return
            yield row
        if rows:
            after = rows[-1].position
        if len(rows) < _CHUNK:
            # Up to `end` there is nothing more of these types.
            after = max(after, end)
            feed.wait_for(after + 1, wait_s)


def follow_file(
    path: Path,
    *,
    after: int = 0,
    types: Sequence[str] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Recorded]:
    """Follow a ledger that another process writes."""
    feed = PolledFeed(path)
    try:
        with LedgerReader.open(path) as log:
            yield from follow(log, feed, after=after, types=types, stopped=stopped)
    finally:
        feed.close()
