"""One thread that commits for all: callers queue batches, a group is one fsync."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from domain.errors import StoreError
from domain.model.values import Instant
from domain.ports import TENANT, Answer, Batch, Claim, Recorded, RowFilter, Timer
from domain.store.chain import Change, Origin
from domain.store.feed import CommitFeed, follow
from domain.store.ledger import Ledger
from domain.store.reader import LedgerReader

# Most jobs of one commit: a bound on how long the first of a group waits.
_GROUP = 512

Result = TypeVar("Result")


class _Job(Generic[Result]):
    """Work for the committer, and whom to tell when it is durable or has failed."""

    def __init__(
        self, work: Callable[[Ledger], Result], tell: Callable[[], None]
    ) -> None:
        self.work = work
        self.tell = tell
        self.result: Result | None = None
        self.error: Exception | None = None

    def run(self, ledger: Ledger) -> None:
        try:
            self.result = self.work(ledger)
        except Exception as error:  # it belongs to the caller, who waits for it
            self.error = error


class Committer:
    """`ports.Log` for many threads: `append` returns when its batch is durable.

    Each batch of a group succeeds, conflicts or repeats by itself. Reads have
    connections of their own and see committed rows only. Closing it closes the ledger.
    """

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self._ledger = ledger
        self._path = path
        self._jobs: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._idle: queue.SimpleQueue[LedgerReader] = queue.SimpleQueue()
        self.feed = CommitFeed(ledger.last_position())
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def log_id(self) -> str:
        """The node whose log it is."""
        return self._ledger.log_id

    def append(self, batch: Batch) -> Answer:
        """Record a batch durably and return where it stands."""
        return self._commit(lambda ledger: ledger.append(batch))

    def insert(self, origin: Origin, changes: Sequence[Change]) -> Answer:
        """Record rows whose versions the caller gives."""
        return self._commit(lambda ledger: ledger.insert(origin, changes))

    def raise_epoch(self, zone_id: str, *, tenant: str = TENANT) -> str:
        """Take a zone over: from now on only appends fenced by the new epoch pass."""
        return self._commit(lambda ledger: ledger.raise_epoch(zone_id, tenant=tenant))

    def decide(
        self, work: Callable[[Ledger], None], done: Callable[[Exception | None], None]
    ) -> None:
        """Have ``work`` done on the ledger itself, in the transaction of its group.

        What it appends it can read at once, nobody decides meanwhile, and ``done`` is
        told, in the committer's thread, when all is durable, or why nothing is.
        """
        job: _Job[None] = _Job(self._unless_lost(work), lambda: done(job.error))
        self._put(job)

    @staticmethod
    def _unless_lost(work: Callable[[Ledger], None]) -> Callable[[Ledger], None]:
        def whole(ledger: Ledger) -> None:
            rollbacks = ledger.rollbacks
            work(ledger)
            if ledger.rollbacks != rollbacks:
                raise StoreError("the transaction was lost: the disk may be full")

        return whole

    def queued(self) -> int:
        """Return how many appends wait for the disk."""
        return self._jobs.qsize()

    def flush(self) -> None:
        """Do nothing: what was answered is durable."""

    def answered(self, batch: Batch) -> Answer | None:
        """Return the first answer to a batch's command id; None when it is new."""
        with self.reader() as reader:
            return reader.answered(batch)

    def read_stream(
        self, stream: str, *, after_version: int = 0, tenant: str = TENANT
    ) -> Sequence[Recorded]:
        """Return the rows of a stream in order of version."""
        with self.reader() as reader:
            return reader.read_stream(
                stream, after_version=after_version, tenant=tenant
            )

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows with positions above ``after``, in order."""
        with self.reader() as reader:
            return reader.read(after=after, limit=limit, types=types)

    def find(
        self, wanted: RowFilter, *, after: int, until: int, limit: int
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows of positions in (after, until], in order."""
        with self.reader() as reader:
            return reader.find(wanted, after=after, until=until, limit=limit)

    def read_at(self, positions: Sequence[int]) -> Sequence[Recorded]:
        """Return the rows at some positions, in order of position."""
        with self.reader() as reader:
            return reader.read_at(positions)

    def recorded_by(self, at: Instant) -> int:
        """Return the last position recorded at or before ``at``; 0 before row 1."""
        with self.reader() as reader:
            return reader.recorded_by(at)

    def last_position(self) -> int:
        """Return the last committed position; 0 when nothing was recorded."""
        with self.reader() as reader:
            return reader.last_position()

    def hash_at(self, position: int) -> bytes | None:
        """Return the hash of the row at a position."""
        with self.reader() as reader:
            return reader.hash_at(position)

    def owner(self, kind: str, key: str, *, tenant: str = TENANT) -> str | None:
        """Return who holds a claim."""
        with self.reader() as reader:
            return reader.owner(kind, key, tenant=tenant)

    def claims(
        self, kind: str, key_prefix: str = "", *, tenant: str = TENANT
    ) -> Sequence[Claim]:
        """Return the claims of a kind whose key begins with a prefix, by key."""
        with self.reader() as reader:
            return reader.claims(kind, key_prefix, tenant=tenant)

    def due_timers(self, at: Instant, *, tenant: str = TENANT) -> Sequence[Timer]:
        """Return the timers due at or before ``at``, by due instant."""
        with self.reader() as reader:
            return reader.due_timers(at, tenant=tenant)

    def next_timer_at(self, *, tenant: str = TENANT) -> Instant | None:
        """Return when the next timer is due."""
        with self.reader() as reader:
            return reader.next_timer_at(tenant=tenant)

    def follow(
        self,
        *,
        after: int = 0,
        types: Sequence[str] = (),
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Recorded]:
        """Yield every row above ``after`` once, then what is committed next."""
        return follow(self, self.feed, after=after, types=types, stopped=stopped)

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until ``position`` is committed; False when the time ran out."""
        return self.feed.wait_for(position, timeout_s)

    def close(self) -> None:
        """Commit what is queued, then close the ledger and all readers."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        while not self._idle.empty():
            self._idle.get().close()
        self._ledger.close()

    @contextmanager
    def reader(self) -> Iterator[LedgerReader]:
        """Lend a reader of committed rows to one thread."""
        try:
            reader = self._idle.get_nowait()
        except queue.Empty:
            reader = LedgerReader.open(self._path)
        try:
            yield reader
        finally:
            if self._closed:
                reader.close()
            else:
                self._idle.put(reader)

    def _commit(self, work: Callable[[Ledger], Result]) -> Result:
        done = threading.Lock()
        done.acquire()
        job = _Job(work, done.release)
        self._put(job)
        done.acquire()
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]

    def _put(self, job: _Job[Result]) -> None:
        with self._closing:
            if self._closed:
                raise StoreError("the store is closed")
            self._jobs.put(job)  # type: ignore[arg-type]

    def _run(self) -> None:
        closing = False
        while not closing:
            group: list[_Job[object]] = []
            job = self._jobs.get()
            while job is not None:
                group.append(job)
                if len(group) == _GROUP:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            closing = job is None
            self._commit_group(group)
            for job in group:
                job.tell()

    def _commit_group(self, group: Sequence[_Job[object]]) -> None:
        """Run all jobs in one transaction; a failed one takes only itself down.

        When the transaction itself is lost (a full disk), all of it fails.
        """
        ledger, alive = self._ledger, list[_Job[object]]()
        for job in group:
            rollbacks = ledger.rollbacks
            job.run(ledger)
            if ledger.rollbacks != rollbacks:
                _fail(alive, job.error)
                alive.clear()
            if job.error is None:
                alive.append(job)
        try:
            ledger.flush()
        except StoreError as error:
            _fail(alive, error)
            return
        self.feed.advance(ledger.last_position())


def _fail(jobs: Sequence[_Job[object]], cause: Exception | None) -> None:
    """Give every job an error of its own: each is raised in another thread."""
    for job in jobs:
        kind = type(cause) if isinstance(cause, StoreError) else StoreError
        job.error = kind(str(cause))
