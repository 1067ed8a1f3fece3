"""Follows the log in batches: read once, decode once, each event to every read model.

Rows and tracking (position and row hash) change in one transaction a projection, so
each event takes effect exactly once. A file whose tracked hash is not the log's, or
that was made for another schema, is built anew beside the old one and swapped in.
"""

import gc
import hashlib
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from eventsourcing.persistence import Tracking

from domain.model.registry import BY_NAME
from domain.ports import Recorded
from projections.activities import ActivitiesFold
from projections.contracts import ContractsFold
from projections.correlations import CorrelationsFold
from projections.evses import EvsesFold
from projections.file import Generations, ProjectionFile
from projections.fold import Fold
from projections.incentives import IncentivesFold
from projections.key_figures import KeyFiguresFold
from projections.plans import PlansFold
from projections.sdr import SdrFold
from projections.security import SecurityFold
from projections.sessions import SessionsFold
from projections.stations import StationsFold
from projections.zones import ZonesFold

APPLICATION = "ledger"
ALL: tuple[type[Fold], ...] = (
    ZonesFold,
    EvsesFold,
    StationsFold,
    SessionsFold,
    SdrFold,
    ContractsFold,
    ActivitiesFold,
    IncentivesFold,
    PlansFold,
    KeyFiguresFold,
    CorrelationsFold,
    SecurityFold,
)
BATCH = 20_000
_RETRY_S = 0.5
_LONGEST_REST_S = 0.05

_logger = logging.getLogger(__name__)


class ReadLog(Protocol):
    """The part of `domain.ports.Log` that a follower needs."""

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows with positions above ``after``, in order."""
        ...

    def last_position(self) -> int:
        """Return the last position; 0 when nothing was recorded."""
        ...

    def hash_at(self, position: int) -> bytes | None:
        """Return the hash of the row at a position; None when there is none."""
        ...


class Feed(Protocol):
    """Knows when the log grows."""

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until ``position`` is committed; False when the time ran out."""
        ...


class Health(msgspec.Struct, frozen=True):
    """How far a projection has followed; where and why it stopped, if it did."""

    name: str
    position: int
    state: str
    stopped_at_position: int | None = None
    reason: str = ""


class _Poison(Exception):
    """An event that a fold cannot take."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position


class _Follower:
    """One projection: its file, its fold, its position."""

    def __init__(self, fold_type: type[Fold], path: Path) -> None:
        self.fold_type = fold_type
        self.file = ProjectionFile(path, fold_type.ddl, schema_of(fold_type))
        self.is_ours = self.file.stored_schema == schema_of(fold_type)
        self.position, self.row_hash = 0, b""
        if self.is_ours:
            self.position, self.row_hash = self.file.tracked(APPLICATION)
            self.fold = fold_type(self.file.db)
        self.stop: _Poison | None = None

    def take(self, rows: Sequence[Recorded], log: ReadLog) -> None:
        """Fold the rows it has not seen; stop before one it cannot take."""
        rows = [row for row in rows if row.position > self.position]
        try:
            self._write(rows, log)
        except _Poison as poison:
            self.stop = poison
            self._write([row for row in rows if row.position < poison.position], log)
            _logger.error(
                "projection %s stopped at position %d: %s",
                self.fold_type.name,
                poison.position,
                poison,
            )

    def _write(self, rows: Sequence[Recorded], log: ReadLog) -> None:
        if not rows:
            return
        last = rows[-1].position
        row_hash = log.hash_at(last) or b""
        try:
            with self.file.transaction():
                fold_rows(self.fold, rows)
                self.fold.save()
                self.file.track(Tracking(APPLICATION, last), row_hash)
        except BaseException:
            self.fold.forget()
            raise
        self.position, self.row_hash = last, row_hash

    def health(self) -> Health:
        """Return how it stands."""
        name = self.fold_type.name
        if self.stop is None:
            return Health(name, self.position, "following")
        return Health(
            name, self.position, "stopped", self.stop.position, str(self.stop)
        )


def fold_rows(fold: Fold, rows: Sequence[Recorded]) -> None:
    """Give each row to the fold's handler of its event, if it has one."""
    if not rows:
        return
    handlers = fold.handlers
    row = rows[0]
    try:
        for row in rows:
            event = row.event
            handler = handlers.get(event.__class__)  # type: ignore[arg-type]
            if handler is not None:
                fold.position = row.position
                handler(row, event)
    # Whatever a fold cannot take stops this projection and no other.
    except Exception as error:
        reason = f"{row.type} of {row.stream}: {type(error).__name__}: {error}"
        raise _Poison(row.position, reason) from error


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the cycle collector from looking through a batch that has no cycles.

    It would look at every decoded row several times, which halves the speed.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def schema_of(fold_type: type[Fold]) -> str:
    """Return the schemas of fold and events that a projection's file is made for."""
    events = ",".join(f"{t.name}={t.schema}" for t in BY_NAME.values())
    digest = hashlib.sha256(f"{fold_type.ddl}{events}".encode()).hexdigest()[:16]
    return f"{fold_type.schema}-{digest}"


class Runner:
    """Keeps the projections of a folder up with a log.

    Call `catch_up`, or `start` a thread that does: told by a feed when the log grows,
    or looking each ``poll_s``. One runner writes a folder. With a thread, the log must
    be one that several threads may read.
    """

    def __init__(
        self,
        log: ReadLog,
        folder: Path,
        folds: Sequence[type[Fold]] = ALL,
        *,
        batch: int = BATCH,
        feed: Feed | None = None,
        poll_s: float = 0.02,
    ) -> None:
        self._log = log
        self._folder = folder
        self._batch = batch
        self._feed = feed
        self._poll_s = poll_s
        self._work = threading.RLock()
        self._moved = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""
        folder.mkdir(parents=True, exist_ok=True)
        self._followers = [self._open(fold_type) for fold_type in folds]

    @property
    def trouble(self) -> str:
        """What keeps the following thread from reading or writing; empty when none."""
        return self._trouble

    def position(self) -> int:
        """Return how far every projection that goes on has followed."""
        going = [f.position for f in self._followers if f.stop is None]
        return min(going, default=0)

    def position_of(self, name: str) -> int:
        """Return how far one projection has followed."""
        return next(f.position for f in self._followers if f.fold_type.name == name)

    def health(self) -> list[Health]:
        """Return how each projection stands."""
        return [follower.health() for follower in self._followers]

    def catch_up(self) -> int:
        """Follow to the end of the log and return its position."""
        with self._work:
            while self._step():
                pass
            return self.position()

    def rebuild(self, name: str) -> None:
        """Build a projection anew from the whole log while readers read the old one."""
        index = [f.fold_type.name for f in self._followers].index(name)
        fresh = self._built(self._followers[index].fold_type)
        with self._work:
            # What came meanwhile, so that no reader sees an older state than before.
            while self._advance([fresh]):
                pass
            old, self._followers[index] = self._followers[index], fresh
            self._swap_in(fresh)
            old.file.close()
        with self._moved:
            self._moved.notify_all()

    def wait_for(self, position: int, timeout_s: float = 5.0) -> bool:
        """Wait until every projection that goes on has followed up to a position."""
        with self._moved:
            return self._moved.wait_for(
                lambda: self.position() >= position, timeout=timeout_s
            )

    def start(self) -> None:
        """Follow in a thread of its own until `close`."""
        self._thread = threading.Thread(
            target=self._follow, name="projections", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop following and close the files."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        with self._work:
            for follower in self._followers:
                follower.file.close()

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                self.catch_up()
                self._trouble = ""
                self._rest()
            # A full disk or an unreadable row is reported and tried again: everything
            # up to it stands, and somebody may make room.
            except Exception as error:
                if not self._trouble:
                    _logger.exception("projections cannot follow the log")
                self._trouble = f"{type(error).__name__}: {error}"
                self._closing.wait(_RETRY_S)

    def _rest(self) -> None:
        if self._feed is None:
            self._closing.wait(self._poll_s)
        else:
            # Short, so that closing is noticed.
            self._feed.wait_for(self.position() + 1, _LONGEST_REST_S)

    def _step(self) -> bool:
        moved = self._advance(self._followers)
        with self._moved:
            self._moved.notify_all()
        return moved

    def _advance(self, followers: Sequence[_Follower]) -> bool:
        """Read the next batch for the followers that go on; False at the log's end."""
        going = [follower for follower in followers if follower.stop is None]
        if not going:
            return False
        after = min(follower.position for follower in going)
        with _no_collections():
            rows = self._log.read(after=after, limit=self._batch)
            for follower in going:
                follower.take(rows, self._log)
        return bool(rows)

    def _open(self, fold_type: type[Fold]) -> _Follower:
        generations = Generations(self._folder, fold_type.name)
        path = generations.current()
        try:
            follower = _Follower(fold_type, path)
        except sqlite3.DatabaseError:
            return self._rebuilt(fold_type)
        if follower.is_ours and self._is_of_this_log(follower):
            if not generations.link.is_symlink():
                generations.swap_in(path)
            generations.drop_old(keep=0)
            return follower
        follower.file.close()
        return self._rebuilt(fold_type)

    def _is_of_this_log(self, follower: _Follower) -> bool:
        if follower.position == 0:
            return True
        return self._log.hash_at(follower.position) == follower.row_hash

    def _rebuilt(self, fold_type: type[Fold]) -> _Follower:
        follower = self._built(fold_type)
        self._swap_in(follower)
        return follower

    def _built(self, fold_type: type[Fold]) -> _Follower:
        path = Generations(self._folder, fold_type.name).next()
        follower = _Follower(fold_type, path)
        # Nobody reads it yet and a crash begins again, so nothing waits for the disk.
        follower.file.db.execute("PRAGMA synchronous=OFF")
        while self._advance([follower]):
            pass
        follower.file.db.execute("PRAGMA synchronous=FULL")
        follower.file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        follower.file.db.execute("PRAGMA synchronous=NORMAL")
        return follower

    def _swap_in(self, follower: _Follower) -> None:
        generations = Generations(self._folder, follower.fold_type.name)
        generations.swap_in(follower.file.path)
        generations.drop_old(keep=1)
