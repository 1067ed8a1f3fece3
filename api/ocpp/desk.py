"""The desk: where everything of the gateway is decided, one thing after the other.

Works run inside the ledger's own transaction, so that what one appends the next can
read, and no other writer comes between. What a batch of works says to stations goes out
when all that it recorded is durable, or, where it could not be, not at all. One thing
of a work that ends in an error (a message, a row followed) leaves nothing behind.

All state of the gateway (peers, connections, queues) is touched by works alone. So it
needs no lock, whatever thread runs them.
"""

import enum
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import msgspec

from api.ocpp.samples import Measure, Sampled
from api.security.notes import Kind, Origin, SecurityLog
from domain.errors import StoreError
from domain.loop.observer import Reading
from domain.model.values import Instant
from domain.ports import Log, System
from domain.store.committer import Committer
from domain.store.ledger import Ledger

_logger = logging.getLogger(__name__)

# Most works of one transaction, and how long it takes more: a bound on how long other
# writers wait.
BATCH = 256
_BATCH_S = 0.025
# Where both wait, one of so many works is one that can wait.
_PATIENT_EACH = 4
# What comes soon is decided after so long, or once there are so many: each batch costs
# its threads more than a message of it.
_GATHER_S = 0.025
_GATHERED = 32


class Link(Protocol):
    """The way to one station; both are called on the gateway's own thread."""

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End the connection."""
        ...


class Pace(enum.Enum):
    """When a work is done: with the next batch, with others like it, after others."""

    NOW = enum.auto()
    SOON = enum.auto()
    LATER = enum.auto()


TakeReadings = Callable[[str, Instant, list[Reading]], None]


class Desk:
    """What a work has to work with; one for all works, in the order they came."""

    def __init__(
        self,
        system: System,
        take_readings: TakeReadings,
        security: SecurityLog | None = None,
    ) -> None:
        """Decide on ``system``, whose log may be another's view of the same ledger."""
        self.system = system
        self.sampled = Sampled()
        self.outbox: list[tuple[Link, bytes]] = []
        self.closing: list[tuple[Link, int, str]] = []
        self._after: list[Callable[[], None]] = []
        # Called when what was decided is lost, and with it what was learned by it.
        self.on_lost: Callable[[], None] | None = None
        self._take_readings = take_readings
        self._security = security
        # Since the mark: how much was to be said and done before, and what takes back
        # what was done else.
        self._marked = (0, 0, 0)
        self._to_undo: list[Callable[[], None]] = []

    @property
    def now(self) -> Instant:
        """The present instant."""
        return self.system.clock.now()

    def send(self, link: Link, frame: bytes) -> None:
        """Send a frame when all that was recorded before it is durable."""
        self.outbox.append((link, frame))

    def close(self, link: Link, code: int, reason: str) -> None:
        """End a connection after what is still to be sent."""
        self.closing.append((link, code, reason))

    def after(self, do: Callable[[], None]) -> None:
        """Do something on the gateway's thread once all is durable."""
        self._after.append(do)

    def reading(self, zone_id: str, reading: Reading) -> None:
        """Keep a reading of power and import register, and hand it to the loop."""
        self.sampled.reading(zone_id, reading)

    def measure(self, zone_id: str, measure: Measure) -> None:
        """Keep what else was measured."""
        self.sampled.measure(zone_id, measure)

    def note(
        self, kind: Kind, origin: Origin, *, actor: str = "", detail: str = ""
    ) -> None:
        """Note what a guard should know; a flood is counted."""
        if self._security is not None:
            self._security.note(kind, origin, actor=actor, route="ocpp", detail=detail)

    def mark(self) -> None:
        """Begin a thing that is done as a whole; what was done before it stays."""
        self._ledger.mark()
        self.sampled.mark()
        self._marked = (len(self.outbox), len(self.closing), len(self._after))
        self._to_undo.clear()

    def unmark(self) -> None:
        """Let all stay that was done; others may append to the ledger now."""
        self._ledger.unmark()

    def undo(self) -> None:
        """Leave nothing of what was done since the mark."""
        for stream in self._ledger.undo():
            self.system.folds.pop(stream, None)
        self.sampled.undo()
        said, closed, due = self._marked
        del self.outbox[said:], self.closing[closed:], self._after[due:]
        while self._to_undo:
            self._to_undo.pop()()

    def alone(self, of: str, do: Callable[[], None]) -> None:
        """Do one thing of several: an error leaves nothing of it, and the others be."""
        self.mark()
        try:
            do()
        except StoreError:
            raise
        except Exception:
            _logger.exception("something of %s failed", of)
            self.undo()
        self.mark()

    def to_undo(self, take_back: Callable[[], None]) -> None:
        """Have something taken back should what is done since the mark be undone."""
        self._to_undo.append(take_back)

    @property
    def _ledger(self) -> Ledger:
        """The ledger itself, on which works decide."""
        log = self.system.log
        assert isinstance(log, Ledger)
        return log

    def flush(self) -> None:
        """Keep the samples, then say and do what was to be said and done."""
        now = self.now
        self.sampled.keep(self.system.samples, now)
        readings = self.sampled.taken()
        outbox, closing, after = self.outbox, self.closing, self._after
        self.outbox, self.closing, self._after = [], [], []
        for link, frame in outbox:
            link.send(frame)
        for link, code, reason in closing:
            link.close(code, reason)
        for zone_id, of_zone in readings.items():
            self._take_readings(zone_id, now, of_zone)
        for do in after:
            do()

    def drop(self, error: Exception) -> None:
        """Say nothing of what could not be kept; who waits will ask again."""
        _logger.error("nothing of a batch of messages was kept: %s", error)
        self.outbox, self.closing, self._after = [], [], []
        self.sampled = Sampled()
        self.system.folds.clear()
        if self.on_lost is not None:
            self.on_lost()


Work = Callable[[Desk], None]


class InlineDesk:
    """A desk in the one thread there is: a simulation's, or a test's."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._works: deque[Work] = deque()
        self._is_busy = False

    def put(self, work: Work, pace: Pace = Pace.NOW) -> None:
        """Do a work now, or after the one that is being done."""
        self._works.append(work)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._works:
                self._do(self._works.popleft())
                self.desk.flush()
        finally:
            self._is_busy = False

    def _do(self, work: Work) -> None:
        self.desk.mark()
        try:
            work(self.desk)
        except Exception:
            self.desk.undo()
            raise
        finally:
            self.desk.unmark()


class CommitterDesk:
    """A desk in the committer's thread; what it says goes out on the caller's thread.

    ``call_soon`` hands a function to the thread of the gateway's links, ``call_later``
    has one called there after some seconds and is called there, too.
    """

    def __init__(
        self,
        desk: Desk,
        committer: Committer,
        call_soon: Callable[[Callable[[], None]], None],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.desk = desk
        self._committer = committer
        self._call_soon = call_soon
        self._call_later = call_later
        self._works: deque[Work] = deque()
        self._patient: deque[Work] = deque()
        self._is_deciding = False
        self._is_gathering = False
        # Whether the next batch is to begin at once.
        self._is_pressing = False

    def put(self, work: Work, pace: Pace = Pace.NOW) -> None:
        """Have a work done with a batch; called on the links' thread, or by a work.

        Those that come later come in their order, but mostly after the others.
        """
        (self._patient if pace is Pace.LATER else self._works).append(work)
        if pace is not Pace.SOON or self.queued() >= _GATHERED:
            self._is_pressing = True
        if self._is_deciding:
            return
        if self._is_pressing:
            self._is_deciding = True
            self._call_later(0, self._decide)
        elif not self._is_gathering:
            self._gather()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not (self._is_deciding or self._is_gathering)

    def queued(self) -> int:
        """Return how many works wait."""
        return len(self._works) + len(self._patient)

    def _gather(self) -> None:
        self._is_gathering = True
        self._call_later(_GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._is_gathering = False
        if not self._is_deciding and self.queued():
            self._decide()

    def _decide(self) -> None:
        self._is_deciding, self._is_pressing = True, False
        try:
            self._committer.decide(self._batch, self._decided)
        except StoreError as error:  # it is closed: nothing more is taken
            self._works.clear()
            self._patient.clear()
            self.desk.drop(error)

    def _batch(self, ledger: Log) -> None:
        if self.desk.system.log is not ledger:
            self.desk.system = msgspec.structs.replace(self.desk.system, log=ledger)
        try:
            self._do_some()
        finally:
            if self.queued():  # what is left has waited long enough
                self._is_pressing = True

    def _do_some(self) -> None:
        ends_at = time.perf_counter() + _BATCH_S
        try:
            for queue in self._turns():
                if time.perf_counter() > ends_at:
                    break
                work = queue.popleft()
                self.desk.alone("the gateway", partial(work, self.desk))
        finally:
            self.desk.unmark()

    def _turns(self) -> Iterator[deque[Work]]:
        """Yield where the next work is, of those that wait now."""
        works, patient = len(self._works), len(self._patient)
        for n in range(min(works + patient, BATCH)):
            if patient and (not works or n % _PATIENT_EACH == 0):
                patient -= 1
                yield self._patient
            else:
                works -= 1
                yield self._works

    def _decided(self, error: Exception | None) -> None:
        self._call_soon(lambda: self._flush(error))

    def _flush(self, error: Exception | None) -> None:
        try:
            if error is not None:
                self.desk.drop(error)
            else:
                self.desk.flush()
        except StoreError as failed:
            self.desk.drop(failed)
        self._is_deciding = False
        if self._is_pressing and self.queued():
            self._decide()
        elif self.queued() and not self._is_gathering:
            self._gather()
