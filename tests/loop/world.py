"""A zone on simulated time: the real store, use cases and loop, cars of the simulator.

What a station received is what its simulated EVSE was told to store.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from benchmarks.simulator.clock import SeededIds, SimulatedClock
from benchmarks.simulator.site import SiteSimulation, Visit
from benchmarks.simulator.station import SimulatedEvse
from benchmarks.simulator.timeline import Timeline
from domain.loop.zone_loop import Plan, Policy
from domain.model import site_events as z
from domain.model.plan_events import PlanMade, PreReceived, PreRevoked
from domain.model.profile import Etp, PowerProfile, PowerRangeEnvelope, Range
from domain.model.values import HOUR, MINUTE, SECOND, Current, Instant
from domain.ports import Answer, Batch, Log, Recorded, System
from domain.store.store import Store
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.shared_path import By
from optimizer import Planner
from tests.store.fakes import MONDAY

ZONE = "garage"
START = MONDAY + 9 * HOUR
GAP, REACTION, PLANNING, WIRE = 10 * SECOND, 30 * SECOND, SECOND, SECOND
MAX_W, FLOOR_W = 6_656, 1_248

# Whole simulations: the same examples in every run, none of them timed.
SIMULATED = settings(
    max_examples=40,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@dataclass(slots=True)
class RecordedEvse(SimulatedEvse):
    """An EVSE that remembers every ETP message it stored."""

    stored: list[tuple[Instant, PowerProfile]] = field(default_factory=list)

    def store(
        self, number: int, profile: PowerProfile, at: Instant
    ) -> list[tuple[Instant, int]]:
        self.stored.append((at, profile))
        return SimulatedEvse.store(self, number, profile, at)


def evse_id(i: int) -> str:
    return f"US*CAL*E{i:05d}"


class World:
    """A commissioned zone with its simulation; one station for each two EVSEs."""

    def __init__(
        self,
        store: Store,
        system: System,
        clock: SimulatedClock,
        evses: list[RecordedEvse],
        simulation: SiteSimulation,
    ) -> None:
        self.store = store
        self.system = system
        self.clock = clock
        self.evses = evses
        self.simulation = simulation
        self.loop = simulation.loop

    def at(self, instant: Instant, action: Callable[[], object]) -> None:
        self.simulation.at(instant, lambda: (action(), None)[1])

    def visit(
        self,
        evse: int,
        arrives_s: int,
        stays_s: int,
        wh: int,
        *,
        stated_wh: int | None = None,
        stated_s: int | None = None,
        max_w: float = MAX_W,
        lag_s: float = 10,
    ) -> None:
        """Let a car come and go; it states what it needs unless told otherwise."""
        arrival = START + arrives_s * SECOND
        self.simulation.add(
            Visit(
                label=f"{evse}/{arrives_s}",
                evse_id=evse_id(evse),
                arrival_at=arrival,
                departure_at=arrival + stays_s * SECOND,
                takes_wh=wh,
                stated_wh=wh if stated_wh is None else stated_wh,
                stated_departure_at=arrival + (stated_s or stays_s) * SECOND,
                max_w=max_w,
                lag=int(lag_s * SECOND),
            )
        )

    def pre(
        self,
        received_s: int,
        *ranges: tuple[int, int],
        starts_s: int | None = None,
        mandatory: bool = False,
    ) -> None:
        """Let the RM set a PRE of (seconds, upper W)."""
        at = START + received_s * SECOND
        start = at if starts_s is None else START + starts_s * SECOND
        command = ReceivePre(
            zone_id=ZONE,
            pre_id=f"pre-{received_s}",
            envelope=PowerRangeEnvelope(
                start, tuple(Range(s, 0, w) for s, w in ranges)
            ),
            mandatory=mandatory,
        )
        self.at(at, lambda: receive_pre(self.system, command, By(actor="rm", at=at)))

    def run(self) -> "World":
        self.simulation.timeline.run()
        self.simulation.finish()
        return self

    def rows(self) -> list[Recorded]:
        return rows_of(self.system)

    def session(self, evse: int) -> str:
        return self.system.log.owner("occupant", evse_id(evse)) or ""

    def upper_w(self) -> "UpperW":
        return UpperW(self.rows(), self.loop.state.safe_upper_w)


class AppendLog:
    """A log that remembers which rows were appended together."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.appended: dict[int, int] = {}

    def append(self, batch: Batch) -> Answer:
        answer = self._log.append(batch)
        for position in range(answer.first, answer.first + answer.count):
            self.appended[position] = answer.first
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def rows_of(system: System) -> list[Recorded]:
    found: list[Recorded] = []
    while rows := system.log.read(after=len(found), limit=5_000):
        found += rows
    return found


class UpperW:
    """The PRE's upper power at any instant, by its definition and nothing cleverer.

    The last instruction in effect decides: by its range, or the safe envelope.
    """

    def __init__(self, rows: Sequence[Recorded], safe_w: int) -> None:
        self.safe_w = safe_w
        self.received: list[tuple[Instant, PreReceived]] = []
        for row in rows:
            if isinstance(row.event, PreReceived):
                self.received.append((row.occurred_at, row.event))
            assert not isinstance(row.event, PreRevoked)

    def at(self, at: Instant, known_at: Instant | None = None) -> int:
        upper = self.safe_w
        for received_at, event in self.received:
            if known_at is not None and received_at > known_at:
                break
            begin = event.envelope.start_at
            if at < max(begin, received_at):
                continue
            upper = self.safe_w
            for r in event.envelope.ranges:
                if begin <= at < begin + r.duration_s * SECOND:
                    upper = r.upper_w
                begin += r.duration_s * SECOND
        return upper

    def changes(self) -> list[Instant]:
        found = []
        for received_at, event in self.received:
            at = event.envelope.start_at
            found += [received_at, at]
            for r in event.envelope.ranges:
                at += r.duration_s * SECOND
                found.append(at)
        return found

    def minutes(self, count: int) -> np.ndarray:
        """Return the mean of each UTC minute from START on [W]."""
        seconds = [self.at(START + s * SECOND) for s in range(count * 60)]
        means: np.ndarray = np.array(seconds).reshape(-1, 60).mean(axis=1)
        return means


class PlanInForce(NamedTuple):
    """A plan, and all ETPs in force after it by EVSE."""

    row: Recorded
    plan: PlanMade
    etps: dict[str, Etp]


def plans_in_force(rows: Sequence[Recorded]) -> Iterator[PlanInForce]:
    """Yield every plan with the ETPs in force after it; an ETP ends with its EV."""
    etps: dict[str, Etp] = {}
    for row in rows:
        if isinstance(row.event, z.EvseVacated):
            etps.pop(row.event.evse_id, None)
        if isinstance(row.event, PlanMade):
            etps |= {etp.evse_id: etp for etp in row.event.etps_changed}
            yield PlanInForce(row, row.event, dict(etps))


@contextmanager
def world(
    n_evse: int = 4,
    minutes: int = 60,
    *,
    folder: Path | None = None,
    limit_w: int = 60_000,
    safe_w: int = 0,
    gap_s: int = 10,
    min_on_s: int = 0,
    max_pauses: int = 4,
    plan: Plan | None = None,
    policy: Policy | None = None,
    seed: int = 1,
    reading_s: int = 10,
    lost: float = 0.0,
) -> Iterator[World]:
    """Open a zone with ``n_evse`` EVSEs at nine o'clock on a Monday."""
    clock, ids = SimulatedClock(START), SeededIds(seed)
    with (
        TemporaryDirectory() as made,
        Store(
            folder or Path(made),
            clock=clock,
            ids=ids,
            master_key=bytes(32),
            log_id="test",
            threaded=False,
            durability="NORMAL",
        ) as store,
    ):
        system = System(store.log, store.samples, store.vault, clock, ids)
        by = By(actor="operator", at=START)
        zone = DefineZone(
            zone_id=ZONE,
            name="Garage",
            limit_w=limit_w,
            safe_upper_w=safe_w,
            min_plan_gap_s=gap_s,
            min_on_s=min_on_s,
            max_pauses=max_pauses,
        )
        define_zone(system, zone, by)
        evses = commissioned(system, n_evse, by)
        timeline = Timeline(system, clock, START + minutes * MINUTE)
        simulation = SiteSimulation(
            system,
            timeline,
            ZONE,
            evses,
            plan or Planner().plan,
            seed=seed,
            policy=policy,
            reading_every=reading_s * SECOND,
            lost_answers=lost,
        )
        yield World(store, system, clock, evses, simulation)


def commissioned(system: System, n_evse: int, by: By) -> list[RecordedEvse]:
    evses: list[RecordedEvse] = []
    for first in range(0, n_evse, 2):
        station_id = f"s{first // 2}"
        names = [evse_id(i) for i in range(first, min(first + 2, n_evse))]
        data = tuple(
            EvseData(
                evse_id=name,
                current=Current.AC,
                phases=1,
                voltage_v=208,
                max_w=MAX_W,
                floor_w=FLOOR_W,
            )
            for name in names
        )
        command = CommissionStation(station_id=station_id, zone_id=ZONE, evses=data)
        commission_station(system, command, by)
        evses += [RecordedEvse(name, station_id) for name in names]
    return evses


class Stay(NamedTuple):
    evse: int
    arrives_s: int
    stays_s: int
    wh: int
    stated_wh: int
    stated_s: int
    max_w: float
    lag_s: int


@st.composite
def stays(
    draw: st.DrawFn, least: int = 3, most: int = 8, minutes: int = 60
) -> list[Stay]:
    """One stay at each of some EVSEs, within an hour or beyond its end."""
    n = draw(st.integers(least, most))
    return [
        Stay(
            evse=i,
            arrives_s=draw(st.integers(1, minutes * 40)),
            stays_s=draw(st.integers(60, minutes * 90)),
            wh=draw(st.integers(200, 20_000)),
            stated_wh=draw(st.integers(200, 25_000)),
            stated_s=draw(st.integers(60, minutes * 120)),
            max_w=draw(st.sampled_from([3_300.0, 6_656.0])),
            lag_s=draw(st.integers(1, 30)),
        )
        for i in range(n)
    ]


def uppers(least: int = 2, most: int = 6) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Ranges of minutes, zero among their powers."""
    power = st.one_of(st.just(0), st.integers(1_000, 30_000))
    return st.lists(
        st.tuples(st.integers(1, 20).map(lambda m: m * 60), power),
        min_size=least,
        max_size=most,
    )


def add_all(world: World, cars: Sequence[Stay]) -> None:
    for car in cars:
        world.visit(
            car.evse,
            car.arrives_s,
            car.stays_s,
            car.wh,
            stated_wh=car.stated_wh,
            stated_s=car.stated_s,
            max_w=car.max_w,
            lag_s=car.lag_s,
        )
