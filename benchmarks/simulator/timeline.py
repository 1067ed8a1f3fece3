"""One queue of simulated instants for all zones of a store.

Between two instants every power is constant. At each instant the zones concerned do
what is due, their loops do all they have to, and the ledger is flushed.
"""

import heapq
from collections.abc import Callable
from typing import Protocol

from benchmarks.simulator.clock import SimulatedClock
from domain.loop.router import Router
from domain.model.values import Instant
from domain.ports import Recorded, System
from domain.use_cases.clause_6_2_service_sessions import run_due_timers


class Participant(Protocol):
    """A zone on the timeline."""

    @property
    def zone_id(self) -> str:
        """The zone."""
        ...

    def advance(self, instant: Instant) -> None:
        """Let the world go on to an instant."""
        ...

    def observe(self, row: Recorded) -> None:
        """Take in a row that concerns the zone."""
        ...

    def drive(self, now: Instant) -> None:
        """Do all there is to do at an instant."""
        ...


class Timeline:
    """Simulated time, shared."""

    def __init__(self, system: System, clock: SimulatedClock, end_at: Instant) -> None:
        """Begin at the clock's instant, with what the ledger has then."""
        self.system = system
        self.clock = clock
        self.end_at = end_at
        self._zones: dict[str, Participant] = {}
        self._queue: list[tuple[Instant, int, str, Callable[[], None]]] = []
        self._count = 0
        self._touched: dict[str, None] = {}
        self._router = Router()
        self._seen = 0

    def join(self, zone: Participant) -> None:
        """Add a zone; it has read the ledger up to now by itself."""
        self._zones[zone.zone_id] = zone
        self._touched[zone.zone_id] = None

    def at(
        self, instant: Instant, zone: Participant, action: Callable[[], None]
    ) -> None:
        """Do something for a zone at an instant, in the order of asking."""
        self._count += 1
        heapq.heappush(self._queue, (instant, self._count, zone.zone_id, action))

    def run(self) -> None:
        """Run to the end."""
        while self._queue and self._queue[0][0] <= self.end_at:
            self._run_instant(self._queue[0][0])
        self.clock.at = self.end_at

    def settle(self, until: Instant) -> None:
        """Let what is due by time alone happen after the end."""
        log = self.system.log
        while (due := log.next_timer_at()) is not None and due <= until:
            self.clock.at = max(due, self.clock.at)
            run_due_timers(self.system, due)
            self.catch_up()
            log.flush()

    def catch_up(self) -> None:
        """Hand every zone the rows that the ledger has got for it."""
        log = self.system.log
        while log.last_position() > self._seen:
            rows = log.read(after=self._seen, limit=1000)
            for row in rows:
                zone_id = self._router.zone_of(row)
                if zone_id is not None and zone_id in self._zones:
                    self._zones[zone_id].observe(row)
                    self._touched[zone_id] = None
            self._seen = rows[-1].position

    def _run_instant(self, instant: Instant) -> None:
        self.clock.at = instant
        while self._queue and self._queue[0][0] == instant:
            _, _, zone_id, action = heapq.heappop(self._queue)
            self._zones[zone_id].advance(instant)
            self._touched[zone_id] = None
            action()
        due = self.system.log.next_timer_at()
        if due is not None and due <= instant:
            run_due_timers(self.system, instant)
        self.catch_up()
        touched, self._touched = list(self._touched), {}
        for zone_id in touched:
            self._zones[zone_id].advance(instant)
            self._zones[zone_id].drive(instant)
        self.system.log.flush()
