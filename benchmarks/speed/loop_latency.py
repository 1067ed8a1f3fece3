"""From the commit of an arrival, departure or PRE to the commit of its plan.

``python -m benchmarks.speed.loop_latency``: one zone with 200 active EVs, 96 quarter
hours ahead, readings at 20 a second, on a real store (``synchronous=FULL``) with real
threads. An event is timed from the return of its append to the instant at which another
thread sees the first plan that has seen it.
"""

import argparse
import os
import platform
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.append import SeededIds, WallClock
from benchmarks.system_factory import named
from domain.loop.observer import Reading
from domain.loop.runner import SWITCH_INTERVAL_S, LoopRunner
from domain.model.plan_events import EtpAccepted, EtpSent, PlanMade
from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.values import HOUR, SECOND, Current
from domain.ports import Append, Batch, Recorded, System
from domain.use_cases.clause_6_2_service_sessions import run_due_timers
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.e1_smart_charging import (
    PlugEv,
    StateNeeds,
    UnplugEv,
    plug_ev,
    state_needs,
    unplug_ev,
)
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.shared_path import By
from optimizer import Planner

ZONE = "bench"
ACTIVE = 200
EVSES = 220
READINGS_PER_S = 20


class Bench:
    """A zone under load."""

    def __init__(self, system: System, feed: Any, seed: int) -> None:
        """Commission the zone and plug 200 EVs."""
        self.system, self.feed = system, feed
        self.dice = random.Random(seed)
        self.plugged: list[str] = []
        self.free: list[str] = []
        self.seen: list[tuple[float, int]] = []
        self.stop = threading.Event()
        self.sent: list[Recorded] = []
        self._commission()
        for _ in range(ACTIVE):
            self.arrive()
        self.begins_at = system.log.last_position()

    def by(self, actor: str) -> By:
        """Return who says so, now."""
        return By(actor=actor, at=self.system.clock.now())

    def _commission(self) -> None:
        zone = DefineZone(zone_id=ZONE, name=ZONE, limit_w=400_000, safe_upper_w=0)
        define_zone(self.system, zone, self.by("operator"))
        for number in range(EVSES):
            evse_id = f"DE*VLT*E{number:05d}"
            data = EvseData(
                evse_id=evse_id,
                current=Current.AC,
                phases=3,
                voltage_v=230,
                max_w=11_040,
                floor_w=4_140,
            )
            command = CommissionStation(
                station_id=f"S{number:05d}", zone_id=ZONE, evses=(data,)
            )
            commission_station(self.system, command, self.by("operator"))
            self.free.append(evse_id)
        self.send_pre()

    def arrive(self) -> int:
        """Plug an EV with needs; return the last position of the arrival."""
        evse_id = self.free.pop(self.dice.randrange(len(self.free)))
        plugged = plug_ev(self.system, PlugEv(evse_id=evse_id), self.by("station"))
        self.plugged.append(evse_id)
        now = self.system.clock.now()
        needs = StateNeeds(
            session_id=self.system.log.owner("occupant", evse_id) or "",
            departure_at=now + self.dice.randint(2 * HOUR, 20 * HOUR),
            energy_target_wh=self.dice.randint(5_000, 60_000),
        )
        state_needs(self.system, needs, By(actor="ev-user", at=now))
        return plugged.first + plugged.count - 1

    def leave(self) -> int:
        """Unplug an EV."""
        evse_id = self.plugged.pop(self.dice.randrange(len(self.plugged)))
        self.free.append(evse_id)
        answer = unplug_ev(
            self.system, UnplugEv(evse_id=evse_id, energy_wh=0), self.by("station")
        )
        return answer.first + answer.count - 1

    def send_pre(self) -> int:
        """Send a mandatory PRE of 96 quarter hours."""
        now = self.system.clock.now()
        ranges = tuple(
            Range(900, 0, self.dice.randint(250_000, 400_000)) for _ in range(97)
        )
        start_at = now - now % (900 * SECOND)
        command = ReceivePre(
            zone_id=ZONE,
            pre_id=f"p{now}",
            envelope=PowerRangeEnvelope(start_at, ranges),
            mandatory=True,
        )
        answer = receive_pre(self.system, command, self.by("rm"))
        return answer.first + answer.count - 1

    def follow(self) -> None:
        """Note when each plan is seen, and up to where it had seen the ledger."""
        after = self.begins_at
        while not self.stop.is_set():
            self.feed.wait_for(after + 1, 0.1)
            rows = self.system.log.read(after=after, limit=1000)
            now = time.perf_counter()
            for row in rows:
                after = row.position
                if isinstance(row.event, PlanMade):
                    self.seen.append((now, row.event.seen_position))
                elif isinstance(row.event, EtpSent):
                    self.sent.append(row)

    def answer(self) -> None:
        """Answer every ETP a little later, as stations do."""
        while not self.stop.is_set():
            time.sleep(0.05)
            taken, self.sent = self.sent, []
            now = self.system.clock.now()
            appends = tuple(
                Append(
                    row.stream,
                    (EtpAccepted(evse_id=sent.evse_id, number=sent.number),),
                    now,
                )
                for row in taken
                if isinstance(sent := row.event, EtpSent)
            )
            if appends:
                self.system.log.append(Batch(actor="stations", appends=appends))

    def read_meters(self, runner: LoopRunner) -> None:
        """Hand in 20 readings a second, EVSE by EVSE."""
        at = 0
        while not self.stop.is_set():
            time.sleep(1 / READINGS_PER_S)
            evses = list(self.plugged)
            at = (at + 1) % len(evses)
            now = self.system.clock.now()
            runner.take_readings(ZONE, now, [Reading(evses[at], now, 0, 0)])


def run(bench: Bench, events: int, pause_s: float) -> dict[str, list[float]]:
    """Return the latencies by kind of event [s]."""
    runner = LoopRunner(
        bench.system,
        bench.feed,
        lambda: Planner().plan,
        run_due_timers,
        delivers=True,
    )
    runner.start()
    threads = [
        threading.Thread(target=bench.follow),
        threading.Thread(target=bench.answer),
        threading.Thread(target=lambda: bench.read_meters(runner)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(3.0)
    kinds: list[tuple[str, Callable[[], int]]] = [
        ("arrival", bench.arrive),
        ("departure", bench.leave),
        ("PRE", bench.send_pre),
    ]
    done: list[tuple[str, float, int]] = []
    for number in range(events):
        kind, act = kinds[number % 3]
        position = act()
        done.append((kind, time.perf_counter(), position))
        time.sleep(pause_s * (0.5 + bench.dice.random()))
    time.sleep(1.0)
    bench.stop.set()
    for thread in threads:
        thread.join()
    runner.close()
    if runner.trouble:
        raise RuntimeError(runner.trouble)
    loop = runner.loops[ZONE]
    solve = np.array(loop.metrics.plan_s) * 1000
    print(
        f"plans {loop.metrics.plans}, superseded {loop.metrics.superseded}, "
        f"planner p50 {np.percentile(solve, 50):.1f} ms, "
        f"p99 {np.percentile(solve, 99):.1f} ms"
    )
    latencies: dict[str, list[float]] = {}
    for kind, at, position in done:
        first = next((t for t, seen in bench.seen if seen >= position), None)
        if first is None:
            raise RuntimeError(f"no plan has seen the {kind} at position {position}")
        latencies.setdefault(kind, []).append(max(first - at, 0.0))
    return latencies


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store-factory", default="domain.store.store:Store")
    parser.add_argument("--events", type=int, default=300)
    parser.add_argument("--pause-s", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    factory = named(given.store_factory)
    clock, new_ids = WallClock(), SeededIds(given.seed)
    version, cores = platform.python_version(), os.cpu_count()
    print(f"Python {version}, {platform.machine()}, {cores} cores")
    with (
        tempfile.TemporaryDirectory() as folder,
        factory(Path(folder), clock=clock, ids=new_ids, master_key=bytes(32)) as store,
    ):
        system = System(store.log, store.samples, store.vault, clock, new_ids)
        bench = Bench(system, store.log, given.seed)
        latencies = run(bench, given.events, given.pause_s)
    every = [value for values in latencies.values() for value in values]
    for kind, values in [*latencies.items(), ("all", every)]:
        ms = np.array(values) * 1000
        print(
            f"{kind:10} n {ms.size:4}  p50 {np.percentile(ms, 50):6.1f} ms  "
            f"p99 {np.percentile(ms, 99):6.1f} ms  max {ms.max():6.1f} ms"
        )


if __name__ == "__main__":
    main()
