"""Drives the loops of all zones on the service's clock, in one thread."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from domain.errors import DomainError, Fenced
from domain.loop.observer import Reading
from domain.loop.router import Router, restore, state_of
from domain.loop.zone_loop import COUNTERS, Plan, Policy, ZoneLoop
from domain.model.site_events import ZoneDefined
from domain.model.values import SECOND, Instant
from domain.ports import Fence, Recorded, System, Timer

# Readings and time alone are looked at this often; events of the log wake at once.
LONGEST_WAIT = SECOND // 20
# A loop to which nothing happens is looked after this often all the same.
_LONGEST_REST = SECOND
# What a service sets as Python's switch interval: with the usual 5 ms every hand-over
# between committer, loops and readers may cost as much as a plan.
SWITCH_INTERVAL_S = 0.0005
_PAGE = 1_000

RunTimers = Callable[[System, Instant, dict[Timer, str]], int]


class Feed(Protocol):
    """Says when the log has grown."""

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until the log reaches a position; False when it did not in time."""
        ...


class LoopRunner:
    """Owns the loops of every zone of a log.

    ``new_plan`` makes a planner for a zone. With ``delivers`` ETPs are recorded as sent
    and somebody follows the log to carry them to their stations; without, zones are
    planned and nothing is recorded as sent. A zone that another process takes over is
    given up.
    """

    def __init__(
        self,
        system: System,
        feed: Feed,
        new_plan: Callable[[], Plan],
        run_timers: RunTimers,
        policy: Policy | None = None,
        *,
        delivers: bool,
    ) -> None:
        """Prepare; nothing runs before `start`."""
        self.system = system
        self.loops: dict[str, ZoneLoop] = {}
        self.trouble = ""
        self._feed = feed
        self._new_plan = new_plan
        self._run_timers = run_timers
        self._failed: dict[Timer, str] = {}
        self._policy = policy
        self._delivers = delivers
        self._router = Router()
        self._seen = 0
        # When each loop next has something to do; 0: now.
        self._due_at: dict[str, Instant] = {}
        self._readings: deque[tuple[str, Instant, Sequence[Reading]]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loops", daemon=True)

    def start(self) -> None:
        """Take over every zone, carry on with its plans in force, and run."""
        self._seen = self.system.log.last_position()
        for zone_id in self._zone_ids():
            self._take_over(zone_id)
        self._thread.start()

    def close(self) -> None:
        """Stop after what is under way."""
        self._stop.set()
        self._thread.join()

    def metrics(self) -> dict[str, float | int]:
        """Return counters and plan times of all loops since the start."""
        loops = list(self.loops.values())
        plan_ms = [1000 * s for loop in loops for s in list(loop.metrics.plan_s)]
        times = np.percentile(plan_ms or [0.0], (50, 99))
        counters = {
            name: sum(getattr(loop.metrics, name) for loop in loops)
            for name in COUNTERS
        }
        return {
            "running": int(self._thread.is_alive()),
            "zones": len(loops),
            "failed_timers": len(self._failed),
            **counters,
            "plan_ms_p50": round(float(times[0]), 3),
            "plan_ms_p99": round(float(times[1]), 3),
        }

    def take_readings(
        self, zone_id: str, at: Instant, readings: Sequence[Reading]
    ) -> None:
        """Hand in readings from any thread."""
        self._readings.append((zone_id, at, readings))

    def _zone_ids(self) -> list[str]:
        found: list[str] = []
        after, types = 0, ("zone.defined",)
        while rows := self.system.log.read(after=after, limit=_PAGE, types=types):
            found += [r.event.zone_id for r in rows if isinstance(r.event, ZoneDefined)]
            after = rows[-1].position
        return found

    def _take_over(self, zone_id: str) -> None:
        log, now = self.system.log, self.system.clock.now()
        fence = Fence("zone-epoch", zone_id, log.raise_epoch(zone_id))
        upto, rows = restore(log, zone_id, now)
        for row in rows:
            self._router.zone_of(row)
        state = state_of(zone_id, rows, upto)
        self.loops[zone_id] = ZoneLoop(
            self.system,
            state,
            self._new_plan(),
            fence,
            self._policy,
            delivers=self._delivers,
        )
        self._due_at[zone_id] = 0

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._catch_up()
                self._take_all_readings()
                self._run_due_timers()
                self._drive_due()
                self._wait()
        except DomainError as error:  # shown by health; the service's owner decides
            self.trouble = f"{type(error).__name__}: {error}"
        except BaseException:
            self.trouble = "the loops ended on an error in the code; see the log"
            raise

    def _run_due_timers(self) -> None:
        """Run what is due; a timer that cannot run is shown and ends no loop."""
        self._run_timers(self.system, self.system.clock.now(), self._failed)
        for timer, error in self._failed.items():
            self.trouble = f"timer {timer.kind} of {timer.stream} failed: {error}"

    def _wait(self) -> None:
        now = self.system.clock.now()
        first = min(self._due_at.values(), default=now + LONGEST_WAIT)
        wait = min(max(first - now, 0), LONGEST_WAIT)
        if wait:
            self._feed.wait_for(self._seen + 1, wait / SECOND)

    def _catch_up(self) -> None:
        while rows := self.system.log.read(after=self._seen, limit=_PAGE):
            for row in rows:
                self._observe(row)
            self._seen = rows[-1].position

    def _observe(self, row: Recorded) -> None:
        zone_id = self._router.zone_of(row)
        if zone_id is None:
            return
        if zone_id not in self.loops and isinstance(row.event, ZoneDefined):
            self._take_over(zone_id)
        loop = self.loops.get(zone_id)
        if loop is not None and row.position > loop.state.position:
            with self._giving_up(zone_id):
                loop.observe(row)
                self._due_at[zone_id] = 0

    def _take_all_readings(self) -> None:
        while self._readings:
            zone_id, at, readings = self._readings.popleft()
            if (loop := self.loops.get(zone_id)) is not None:
                with self._giving_up(zone_id):
                    if loop.take_readings(at, readings):
                        self._due_at[zone_id] = 0
                        self._catch_up()

    @contextmanager
    def _giving_up(self, zone_id: str) -> Iterator[None]:
        """Give a zone up that another process has taken over."""
        try:
            yield
        except Fenced:
            self.loops.pop(zone_id, None)
            self._due_at.pop(zone_id, None)

    def _drive_due(self) -> None:
        """Drive the loops that something happened to, or whose time has come."""
        now = self.system.clock.now()
        for zone_id, due_at in list(self._due_at.items()):
            # Also where the clock was set back.
            is_due = due_at <= now or due_at > now + _LONGEST_REST
            if is_due and zone_id in self.loops:
                self._drive(zone_id)

    def _drive(self, zone_id: str) -> None:
        loop, clock = self.loops[zone_id], self.system.clock
        with self._giving_up(zone_id):
            planning = loop.start(clock.now())
            if planning is not None and (result := loop.solve(planning)) is not None:
                self._catch_up()  # what came meanwhile may make the plan unsafe
                if loop.planning is planning:
                    loop.finish(result, clock.now())
                    self._catch_up()
            if loop.deliver(clock.now()):
                self._catch_up()
            now = clock.now()
            rest_at = now + _LONGEST_REST
            wake_at = loop.wake_at(now)
            self._due_at[zone_id] = min(rest_at, wake_at or rest_at)
