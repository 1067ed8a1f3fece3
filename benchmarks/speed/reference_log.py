"""Makes the *reference log*: a million events of twenty zones, interleaved by time.

``python -m benchmarks.speed.reference_log --out DIR`` drives the real use cases, loops
and planners on one simulated timeline and in one store. Each zone has the Caltech site
under ids of its own, a capacity of 20 to 60 kW, a flat or a building PRE, and replays
its own real days: on a simulated day no two zones have the same one. The seed decides
everything, so that two runs end with the same chain head.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from benchmarks.data.sessions import (
    ChargingRecord,
    Sessions,
    day_bounds,
    local_day,
    read_sessions,
    separated,
    sessions_of_day,
)
from benchmarks.data.site import site_of_stations
from benchmarks.simulator.clock import SeededIds, SimulatedClock
from benchmarks.simulator.day import (
    DayRequest,
    commission,
    envelope_of,
    visits_of,
)
from benchmarks.simulator.site import SiteSimulation
from benchmarks.simulator.timeline import Timeline
from benchmarks.system_factory import DEFAULT, OpenSystem, system_factory
from domain.model.values import DAY, HOUR, Instant
from domain.ports import System
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.shared_path import By
from optimizer import Planner

CALTECH = Path(__file__).parent.parent / "data" / "caltech-2019.csv.gz"
TZ = ZoneInfo("America/Los_Angeles")
FIRST_DAY = date(2019, 6, 3)  # a Monday; no clock is set in the weeks after it
CAPACITY_KW = (20, 60)


class Made(NamedTuple):
    """What was made: a ledger of so many events, days and zones, up to its head."""

    events: int
    zones: int
    hours: int
    chain_head: str
    wall_s: float


class ReplayedZone:
    """One zone: the site under its own ids, and the real days it replays."""

    def __init__(self, number: int, zones: int, sessions: Sessions, seed: int) -> None:
        self.zone_id = f"Z{number + 1:02d}"
        dice = random.Random(f"voltledger-reference-{seed}-{number}")
        self._sessions = sessions
        self._days = sorted({local_day(record) for record in sessions.records})
        self._first = seed + number * len(self._days) // zones
        self._staying: tuple[ChargingRecord, ...] = ()
        stations = (f"{self.zone_id}-{name}" for name in sessions.station_ids)
        self.request = DayRequest(
            sessions=sessions,
            site=site_of_stations(stations),
            day=FIRST_DAY,
            capacity_w=dice.randint(*CAPACITY_KW) * 1_000,
            flat_pre=dice.random() < 0.5,
            seed=dice.randrange(2**31),
        )

    def join(self, system: System, timeline: Timeline, seed: int) -> None:
        """Commission the zone, send its first PRE and begin its loop."""
        now = timeline.clock.at
        evses = commission(system, self.request, now, self.zone_id)
        self.send_pre(system, 0, now)
        self.simulation = SiteSimulation(
            system, timeline, self.zone_id, evses, Planner().plan, seed=seed
        )

    def send_pre(self, system: System, number: int, now: Instant) -> None:
        """Let the RM send the PRE of a simulated day."""
        start_at, end_at = _bounds(self._sessions, number)
        order = ReceivePre(
            zone_id=self.zone_id,
            pre_id=f"{self.zone_id}-{FIRST_DAY + timedelta(days=number)}",
            envelope=envelope_of(self.request, start_at, end_at),
        )
        receive_pre(system, order, By(actor="rm", at=now))

    def add_day(self, number: int) -> None:
        """Let the cars of the next real day come on a simulated day."""
        records = self._arriving(number)
        request = msgspec.structs.replace(self.request, seed=self.request.seed + number)
        for visit in visits_of(request, records):
            self.simulation.add(visit)

    def _arriving(self, number: int) -> tuple[ChargingRecord, ...]:
        """Return a real day's sessions, shifted; a taken station is waited for."""
        real = self._days[(self._first + number) % len(self._days)]
        start_at, end_at = _bounds(self._sessions, number)
        shift = start_at - day_bounds(self._sessions, real)[0]
        shifted = [
            self._shifted(record, number, shift)
            for record in sessions_of_day(self._sessions, real)
        ]
        before = {record.session_id for record in self._staying}
        records = separated((*self._staying, *shifted)).records
        self._staying = tuple(r for r in records if r.departure_at >= end_at)
        return tuple(r for r in records if r.session_id not in before)

    def _shifted(
        self, record: ChargingRecord, number: int, shift: Instant
    ) -> ChargingRecord:
        return msgspec.structs.replace(
            record,
            session_id=f"{self.zone_id}-{number}-{record.session_id}",
            station_id=f"{self.zone_id}-{record.station_id}",
            arrival_at=record.arrival_at + shift,
            departure_at=record.departure_at + shift,
            estimated_departure_at=record.estimated_departure_at + shift,
        )


def make(
    open_system: OpenSystem,
    folder: Path,
    *,
    zones: int,
    events: int,
    seed: int,
    on_hour: Callable[[int, int], None] = lambda hours, events: None,
) -> Made:
    """Make a log of at least ``events`` events; it ends with a whole simulated hour."""
    begun = time.perf_counter()
    sessions = read_sessions(CALTECH, TZ)
    start_at = _bounds(sessions, 0)[0]
    clock, ids = SimulatedClock(start_at), SeededIds(seed)
    with open_system(folder, clock, ids) as system:
        timeline = Timeline(system, clock, start_at)
        replayed = [ReplayedZone(n, zones, sessions, seed) for n in range(zones)]
        for zone in replayed:
            zone.join(system, timeline, seed)
        hours = 0
        while system.log.last_position() < events:
            if hours % 24 == 0:
                _begin_day(system, replayed, hours // 24)
            hours += 1
            timeline.end_at = start_at + hours * HOUR
            timeline.run()
            on_hour(hours, system.log.last_position())
        system.log.flush()
        last = system.log.last_position()
        head = system.log.hash_at(last)
    took_s = time.perf_counter() - begun
    return Made(last, zones, hours, head.hex() if head else "", took_s)


def _begin_day(system: System, zones: Sequence[ReplayedZone], number: int) -> None:
    now = system.clock.now()
    system.samples.close_days_before(now)
    for zone in zones:
        zone.add_day(number)
        # The RM sends each day's PRE a day ahead.
        zone.send_pre(system, number + 1, now)


def _bounds(sessions: Sessions, number: int) -> tuple[Instant, Instant]:
    start_at = day_bounds(sessions, FIRST_DAY)[0] + number * DAY
    return start_at, start_at + DAY


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the log and print what was made."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the store")
    parser.add_argument("--zones", type=int, default=20)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--system-factory",
        default=DEFAULT,
        help="module:function that opens a system in a folder, on a clock and ids",
    )
    given = parser.parse_args(arguments)
    if given.out.exists() and any(given.out.iterdir()):
        parser.error(f"--out {given.out}: there is something already")
    given.out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()

    def on_hour(hours: int, events: int) -> None:
        took_s = time.perf_counter() - begun
        line = f"{hours:4} h  {events:9,} events  {events / took_s:6,.0f}/s"
        print(f"{line}  {took_s:6.0f} s", file=sys.stderr, flush=True)

    made = make(
        system_factory(given.system_factory),
        given.out,
        zones=given.zones,
        events=given.events,
        seed=given.seed,
        on_hour=on_hour,
    )
    size_mb = sum(f.stat().st_size for f in given.out.glob("*.sqlite*")) / 1e6
    print(
        f"{made.events:,} events of {made.zones} zones in {made.hours} simulated "
        f"hours, {size_mb:,.0f} MB without samples, in {made.wall_s:,.0f} s; "
        f"chain head {made.chain_head}"
    )


if __name__ == "__main__":
    main()
