"""How long reads of the past take: a long session, EVSEs and zones, lists.

``python -m benchmarks.speed.history`` makes a log of a zone in use for a year and of a
session of 2,000 events, projects it, and reads at positions drawn over the whole log.
Times are of the read model, without HTTP and JSON.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.simulator.clock import SeededIds, SimulatedClock
from benchmarks.system_factory import DEFAULT, system_factory
from domain.model import ids
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.profile import Etp, PowerProfile
from domain.model.values import DAY, HOUR, MINUTE, Current, Event, Instant
from domain.ports import Append, Batch, System
from projections.evse_queries import ALL_EVSES
from projections.past import Past
from projections.read_models import ReadModels
from projections.runner import Runner
from projections.session_queries import ALL_SESSIONS, SessionFilter

ZONE, STATION = "yard", "cs-1"
LONG = "long"
BEGIN = 1_559_520_000_000_000  # 2019-06-03T00:00Z
_TOGETHER = 50
_A_DAY = 5  # sessions of an EVSE


class Told(NamedTuple):
    """An event, its stream, and when it was."""

    stream: str
    at: Instant
    event: Event


def commissioned(evse_ids: Sequence[str]) -> Iterator[Told]:
    """Yield how the zone came to be."""
    stream = ids.zone_stream(ZONE)
    zone = z.ZoneDefined(zone_id=ZONE, name="", limit_w=90_000, safe_upper_w=9_000)
    yield Told(stream, BEGIN, zone)
    members = z.ZoneMembersChanged(zone_id=ZONE, evse_ids=tuple(evse_ids))
    yield Told(stream, BEGIN, members)
    for evse_id in evse_ids:
        event = z.EvseCommissioned(
            evse_id=evse_id,
            station_id=STATION,
            zone_id=ZONE,
            current=Current.AC,
            phases=3,
            voltage_v=230,
            max_w=11_000,
            floor_w=4_140,
        )
        yield Told(ids.evse_stream(evse_id), BEGIN, event)


def used(evse_ids: Sequence[str], days: int) -> Iterator[Told]:
    """Yield days of use: at each EVSE a session after the other, plans in between."""
    for number in range(days * _A_DAY):
        at = BEGIN + number * DAY // _A_DAY
        for place, evse_id in enumerate(evse_ids):
            yield from charged(evse_id, number, at + place * MINUTE)
        yield from planned(evse_ids, number, at + HOUR)


def charged(evse_id: str, number: int, at: Instant) -> Iterator[Told]:
    """Yield a session of an EVSE."""
    session_id = f"{evse_id}-{number}"
    end_at = at + 3 * HOUR
    here: dict[str, Any] = {"session_id": session_id, "evse_id": evse_id}
    at_evse, stream = ids.evse_stream(evse_id), ids.session_stream(session_id)
    bound = s.EvseBound(**here, station_id=STATION, zone_id=ZONE)
    ended = s.TransferEnded(session_id=session_id, energy_wh=9_000, reason="full")
    yield Told(stream, at, s.SessionOpened(session_id=session_id, party="cso"))
    yield Told(stream, at, bound)
    yield Told(at_evse, at, z.EvseOccupied(**here))
    yield Told(stream, at, s.TransferStarted(**here))
    for step in range(1, 5):
        seen = s.TransferObserved(**here, energy_wh=2_000 * step, power_w=4_000)
        yield Told(stream, at + step * 30 * MINUTE, seen)
    yield Told(stream, end_at, ended)
    yield Told(at_evse, end_at, z.EvseVacated(**here))
    yield Told(stream, end_at, s.SessionClosed(session_id=session_id, reason="left"))


def planned(evse_ids: Sequence[str], number: int, at: Instant) -> Iterator[Told]:
    """Yield three plans that change the ETP of each EVSE, and their deliveries."""
    for step in range(3):
        made_at = at + step * MINUTE
        count = 3 * number + step + 1
        profile = PowerProfile(made_at, tuple((900 * n, 4_140 + n) for n in range(8)))
        etps = tuple(
            Etp(
                evse_id=evse_id,
                session_id=f"{evse_id}-{number}",
                number=count,
                profile=profile,
            )
            for evse_id in evse_ids
        )
        plan = p.PlanMade(
            zone_id=ZONE,
            planned_at=made_at,
            seen_position=1,
            trigger="session.opened",
            status="optimal",
            problem_digest=bytes(32),
            etps_changed=etps,
            aetp=profile,
        )
        yield Told(ids.plan_stream(ZONE, made_at), made_at, plan)
        stream = ids.delivery_stream(STATION, made_at)
        for evse_id in evse_ids:
            sent = p.EtpSent(evse_id=evse_id, number=count, profile=profile)
            yield Told(stream, made_at, sent)
            accepted = p.EtpAccepted(evse_id=evse_id, number=count)
            yield Told(stream, made_at, accepted)


def long_session(evse_id: str, events: int, at: Instant) -> Iterator[Told]:
    """Yield one session of many events."""
    stream = ids.session_stream(LONG)
    yield Told(stream, at, s.SessionOpened(session_id=LONG, party="cso"))
    here: dict[str, Any] = {"session_id": LONG, "evse_id": evse_id}
    for number in range(events - 1):
        now = at + number * MINUTE
        event: Event = s.TransferObserved(**here, energy_wh=number, power_w=4_000)
        if number % 3 == 1:
            event = s.TransferPlanChanged(**here, number=1, power_w=1, energy_wh=1)
        elif number % 3 == 2:
            event = s.TransferIntervalMetered(
                **here, from_at=now - MINUTE, energy_wh=1, total_wh=number
            )
        yield Told(stream, now, event)


def tell(system: System, clock: SimulatedClock, told: Iterator[Told]) -> int:
    """Record what is told, some of it at a time; return the last position."""
    appends: list[Append] = []
    for stream, at, event in told:
        clock.at = max(clock.at, at)
        appends.append(Append(stream, (event,), at))
        if len(appends) == _TOGETHER:
            system.log.append(Batch(appends=tuple(appends)))
            appends = []
    system.log.append(Batch(appends=tuple(appends)))
    system.log.flush()
    return system.log.last_position()


def measure(name: str, positions: Sequence[int], read: Callable[[int], object]) -> None:
    """Print how long a read takes over positions."""
    times_ms = []
    for position in positions:
        begun = time.perf_counter()
        read(position)
        times_ms.append((time.perf_counter() - begun) * 1_000)
    times_ms.sort()
    least, most = times_ms[0], times_ms[-1]
    p99 = times_ms[int(0.99 * (len(times_ms) - 1))]
    median = statistics.median(times_ms)
    print(
        f"{name:38} {median:7.1f} ms median  {p99:7.1f} p99 ({least:.1f}-{most:.1f})",
        flush=True,
    )


def run(system: System, clock: SimulatedClock, folder: Path, *, days: int) -> None:
    """Make the log, project it, and measure."""
    evse_ids = [f"DE*ABC*E{number:03}" for number in range(10)]
    tell(system, clock, commissioned(evse_ids))
    last = tell(system, clock, used(evse_ids, days))
    begun = time.perf_counter()
    with closing(Runner(system.log, folder)) as runner:
        runner.catch_up()
        rate = last / (time.perf_counter() - begun)
        print(f"{last:,} events projected, {rate:,.0f}/s")
        end = tell(system, clock, long_session(evse_ids[0], 2_000, clock.at + HOUR))
        runner.catch_up()
        with closing(ReadModels(folder, runner)) as models:
            _measure_all(system, models, evse_ids, last, end)


def _measure_all(
    system: System, models: ReadModels, evse_ids: Sequence[str], last: int, end: int
) -> None:
    def then(position: int) -> Past:
        return Past(system.log, models, position)

    draw = random.Random(0)
    drawn = [draw.randrange(1, last) for _ in range(200)]
    opened = SessionFilter(state="open")
    measure("a session of 2,000 events", [end] * 50, lambda n: then(n).session(LONG))
    measure("an EVSE", drawn, lambda n: then(n).evse(evse_ids[0]))
    measure("the zone", drawn, lambda n: then(n).zone(ZONE))
    measure("all 10 EVSEs", drawn[:50], lambda n: _evses(then(n)))
    for name, wanted in (("of all", ALL_SESSIONS), ("open", opened)):
        measure(
            f"100 sessions, {name}",
            drawn[:50],
            lambda n, w=wanted: then(n).sessions(limit=100, wanted=w, scope=None),  # type: ignore[misc]
        )


def _evses(then: Past) -> object:
    return then.evses(limit=100, wanted=ALL_EVSES, scope=None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--system-factory", default=DEFAULT)
    options = parser.parse_args(arguments)
    clock = SimulatedClock(BEGIN)
    with tempfile.TemporaryDirectory() as folder:
        open_system = system_factory(options.system_factory)
        with open_system(Path(folder) / "store", clock, SeededIds(0)) as system:
            run(system, clock, Path(folder) / "projections", days=options.days)


if __name__ == "__main__":
    main()
