"""Time of a run in which parties talk over real sockets, accelerated.

Time stands still while a frame is under way or somebody still acts on one. Stations act
one at a time, in an order that the instants decide and never the arrival of bytes: a
frame that comes is only kept for its own instant, that of its sending and what the wire
takes. So a slow machine is slower, never wrong, and two runs give the same events.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from time import perf_counter
from typing import Protocol

from benchmarks.simulator.clock import SimulatedClock
from benchmarks.simulator.ocpp.socket_wire import SocketWire
from benchmarks.simulator.ocpp.world import Act
from domain.loop.observer import Reading
from domain.model.values import Instant
from domain.ports import Recorded, System
from domain.use_cases.clause_6_2_service_sessions import run_due_timers

# One-way times on the wire between CSMS and station [ms].
WIRE_MS = (50, 800)
# In the order in which they act at an instant: CSMS, drivers and site, stations.
CSMS, SITE, STATIONS = 0, 1, 2
_STUCK_AFTER_S = 60.0


class Stuck(Exception):
    """A frame that was sent never arrived."""


class Given(Protocol):
    """The product's gateway, as it is given; counts are of present connections."""

    @property
    def url(self) -> str:
        """Where stations connect to, before their identity."""
        ...

    def follow(self, rows: Sequence[Recorded]) -> None:
        """Act on rows of the log."""
        ...

    def connections(self) -> int:
        """Return how many stations are connected."""
        ...

    def frames(self) -> tuple[int, int]:
        """Return how many frames were taken from stations, and sent to them."""
        ...


class Scheduler(Protocol):
    """What the gateway has things done by."""

    def at(self, instant: Instant, do: Callable[[], None]) -> Callable[[], None]:
        """Do something at an instant; what is returned calls it off."""
        ...


TakeReadings = Callable[[str, Instant, list[Reading]], None]
OpenGateway = Callable[
    [System, Scheduler, TakeReadings], AbstractAsyncContextManager[Given]
]


class Zone(Protocol):
    """What the conductor drives beside the gateway."""

    def observe(self, row: Recorded) -> None:
        """Take in a row of the log."""
        ...

    def take_readings(
        self, zone_id: str, at: Instant, readings: Sequence[Reading]
    ) -> None:
        """Take readings."""
        ...

    def drive(self, now: Instant) -> None:
        """Do all there is to do at an instant."""
        ...


class Conductor:
    """Simulated time for a site, a gateway and its stations."""

    def __init__(self, system: System, clock: SimulatedClock) -> None:
        """Begin at the clock's instant, with what the log has then."""
        self.system = system
        self.clock = clock
        self.wires: set[ConductedWire] = set()
        self._queue: list[tuple[Instant, int, int, list[Act]]] = []
        self._counts: dict[int, int] = {}
        self._seen = system.log.last_position()
        self._readings: list[tuple[str, Instant, list[Reading]]] = []
        self._gateway: Given | None = None
        self._zone: Zone | None = None

    def now(self) -> Instant:
        """Return the simulated instant."""
        return self.clock.at

    def at(self, instant: Instant, rank: int, act: Act) -> Callable[[], None]:
        """Act at an instant; of equal ones by rank, then in the order of asking."""
        count = self._counts[rank] = self._counts.get(rank, 0) + 1
        pending = [act]
        heapq.heappush(self._queue, (max(instant, self.clock.at), rank, count, pending))
        return pending.clear

    def take_readings(self, zone_id: str, at: Instant, readings: list[Reading]) -> None:
        """Keep readings until the zone is driven."""
        self._readings.append((zone_id, at, readings))

    def conduct(self, gateway: Given, zone: Zone) -> None:
        """Have these take part from now on."""
        self._gateway, self._zone = gateway, zone

    async def run(self, until: Instant) -> None:
        """Run to an instant, and what is due then."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.clock.at = queue[0][0]
            await self._run_instant()
        self.clock.at = until

    async def act(self, act: Act) -> None:
        """Act now, and let everybody react."""
        doing = act()
        if doing is not None:
            await doing
        await self._settled()
        self._react()
        await self._settled()
        self.system.log.flush()

    async def _run_instant(self) -> None:
        instant, queue = self.clock.at, self._queue
        while queue and queue[0][0] == instant:
            pending = heapq.heappop(queue)[3]
            if pending:
                doing = pending[0]()
                if doing is not None:
                    await doing
                await self._settled()
        self._react()
        await self._settled()
        self.system.log.flush()

    def _react(self) -> None:
        """Let everybody act on what was recorded and read."""
        assert self._zone is not None
        due = self.system.log.next_timer_at()
        is_due = due is not None and due <= self.clock.at
        if is_due:
            run_due_timers(self.system, self.clock.at)
        self._catch_up()
        while self._readings:
            readings, self._readings = self._readings, []
            for one in readings:
                self._zone.take_readings(*one)
            self._catch_up()
        self._zone.drive(self.clock.at)
        self._catch_up()

    def catch_up(self) -> None:
        """Hand the zone and the gateway the rows that the log has got."""
        self._catch_up()

    def _catch_up(self) -> None:
        assert self._zone is not None
        assert self._gateway is not None
        log = self.system.log
        while log.last_position() > self._seen:
            rows = log.read(after=self._seen, limit=1000)
            self._seen = rows[-1].position
            for row in rows:
                self._zone.observe(row)
            self._gateway.follow(rows)

    async def _settled(self) -> None:
        """Wait until every frame that was sent has been taken, on both sides."""
        rounds, begun = 0, 0.0
        while not self._is_quiet():
            await asyncio.sleep(0)
            rounds += 1
            if rounds % 1000 == 0:
                begun = begun or perf_counter()
                if perf_counter() - begun > _STUCK_AFTER_S:
                    raise Stuck(f"at {self.clock.at}: {self._counted()}")

    def _is_quiet(self) -> bool:
        ours, theirs = self._counted()
        return ours == theirs

    def _counted(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        if self._gateway is None:
            return (0, 0, 0), (0, 0, 0)
        sent = sum(wire.socket.frames_sent for wire in self.wires)
        received = sum(wire.socket.frames_received for wire in self.wires)
        theirs = (self._gateway.connections(), *self._gateway.frames())
        return (len(self.wires), sent, received), theirs


class ConductedWire:
    """A station's wire, over a real socket, that takes simulated time each way."""

    def __init__(self, conductor: Conductor, rank: int, socket: SocketWire) -> None:
        self.socket = socket
        self._conductor = conductor
        self._rank = rank
        self._random = random.Random(f"voltledger-wire-{rank}")
        self._sent_at: Instant = 0
        self._came_at: Instant = 0
        self._opened = 0

    async def open(self, on_frame: Callable[[bytes], None]) -> None:
        """Connect at once; frames come when the wire has taken its time."""
        self._opened += 1
        opened = self._opened

        def came(frame: bytes) -> None:
            at = max(self._conductor.now() + self._takes(), self._came_at)
            self._came_at = at
            take = partial(self._arrive, opened, on_frame, frame)
            self._conductor.at(at, self._rank, take)

        self._conductor.wires.add(self)
        await self.socket.open(came)

    def send(self, frame: bytes) -> None:
        """Send a frame when the wire has taken its time."""
        at = max(self._conductor.now() + self._takes(), self._sent_at)
        self._sent_at = at
        self._conductor.at(at, self._rank, partial(self._depart, self._opened, frame))

    async def close(self) -> None:
        """Disconnect at once; what is under way is lost."""
        if self in self._conductor.wires:
            self._opened += 1
            self._conductor.wires.discard(self)
            await self.socket.close()

    def _takes(self) -> Instant:
        return self._random.randint(*WIRE_MS) * 1000

    def _depart(self, opened: int, frame: bytes) -> None:
        if opened == self._opened:
            self.socket.send(frame)

    def _arrive(
        self, opened: int, on_frame: Callable[[bytes], None], frame: bytes
    ) -> None:
        if opened == self._opened:
            on_frame(frame)
