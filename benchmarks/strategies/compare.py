"""Compares the strategies over ten real days, at several capacities.

``python -m benchmarks.strategies.compare`` takes the ten days of the Caltech file on
which the cars took most energy; 2019-10-29, on which rules were tuned, is left out.
Each day runs at 20, 30 and 40 kW, seed 0, under the PRE that `voltledger simulate`
takes when none is given (`benchmarks.simulator.building`), or a flat one. Uncontrolled
charging ignores the PRE, so it runs once a day: whom it serves is servable.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import msgspec

from benchmarks.data.sessions import Sessions, local_day, read_sessions
from benchmarks.data.site import site_of_stations
from benchmarks.simulator.day import (
    EQUAL_SHARE,
    OURS,
    UNCONTROLLED,
    DayFigures,
    DayRequest,
)
from benchmarks.simulator.memory_day import simulate_day
from benchmarks.system_factory import DEFAULT, system_factory
from optimizer import Planner

CALTECH = Path(__file__).parent.parent / "data" / "caltech-2019.csv.gz"
TZ = ZoneInfo("America/Los_Angeles")
TUNED_ON = date(2019, 10, 29)
DAYS = 10
CAPACITIES_KW = (20, 30, 40)

Job = tuple[str, bool, int, date, int, str]
"""One process' run: system factory, flat PRE, seed, day, capacity [kW], strategy."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One day at one capacity under the three strategies."""

    day: date
    capacity_kw: int
    ours: DayFigures
    equal_share: DayFigures
    uncontrolled: DayFigures


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """Means over days. ``energy_ratio`` is of all energy, ours to equal share's."""

    runs: int
    drivers_servable: float
    drivers_ours: float
    drivers_equal_share: float
    energy_ours_kwh: float
    energy_equal_share_kwh: float
    energy_uncontrolled_kwh: float
    energy_ratio: float
    violation_steps_ours: int


def busiest_days(sessions: Sessions, count: int) -> list[date]:
    """Return the days on which most energy was taken, but the one tuned on."""
    taken_wh: Counter[date] = Counter()
    for record in sessions.records:
        taken_wh[local_day(record)] += record.delivered_wh
    del taken_wh[TUNED_ON]
    ranked = sorted(taken_wh, key=lambda day: (-taken_wh[day], day))
    return sorted(ranked[:count])


def run(job: Job) -> DayFigures:
    """Run one day under one strategy, in a store that is thrown away."""
    factory, flat_pre, seed, day, capacity_kw, strategy = job
    sessions = read_sessions(CALTECH, TZ)
    request = DayRequest(
        sessions=sessions,
        site=site_of_stations(sessions.station_ids),
        day=day,
        capacity_w=capacity_kw * 1_000,
        tz=TZ,
        flat_pre=flat_pre,
        seed=seed,
    )
    with TemporaryDirectory() as folder:
        outcome = simulate_day(
            request,
            strategy,
            Planner().plan,
            system_factory(factory),
            Path(folder) / strategy,
        )
    return outcome.figures


def compare(
    factory: str,
    days: Sequence[date],
    capacities_kw: Sequence[int],
    processes: int,
    *,
    flat_pre: bool = False,
    seed: int = 0,
) -> Iterator[Compared]:
    """Yield every day at every capacity, as soon as its strategies have run."""
    jobs: list[Job] = []
    for day in days:
        asked = (factory, flat_pre, seed, day)
        jobs.append((*asked, capacities_kw[0], UNCONTROLLED))
        for capacity_kw in capacities_kw:
            jobs.append((*asked, capacity_kw, OURS))
            jobs.append((*asked, capacity_kw, EQUAL_SHARE))
    with ProcessPoolExecutor(processes) as pool:
        figures = pool.map(run, jobs)
        for day in days:
            uncontrolled = next(figures)
            for capacity_kw in capacities_kw:
                yield Compared(
                    day=day,
                    capacity_kw=capacity_kw,
                    ours=next(figures),
                    equal_share=next(figures),
                    uncontrolled=uncontrolled,
                )


def means_of(compared: Iterable[Compared]) -> Means:
    """Return the means over runs; there is at least one."""
    runs = list(compared)

    def mean(values: Iterable[int]) -> float:
        return round(sum(values) / len(runs), 2)

    ours_wh = [c.ours.energy_delivered_wh for c in runs]
    equal_wh = [c.equal_share.energy_delivered_wh for c in runs]
    uncontrolled_wh = [c.uncontrolled.energy_delivered_wh for c in runs]
    return Means(
        runs=len(runs),
        drivers_servable=mean(c.uncontrolled.drivers_served for c in runs),
        drivers_ours=mean(c.ours.drivers_served for c in runs),
        drivers_equal_share=mean(c.equal_share.drivers_served for c in runs),
        energy_ours_kwh=round(mean(ours_wh) / 1_000, 1),
        energy_equal_share_kwh=round(mean(equal_wh) / 1_000, 1),
        energy_uncontrolled_kwh=round(mean(uncontrolled_wh) / 1_000, 1),
        energy_ratio=round(sum(ours_wh) / sum(equal_wh), 4),
        violation_steps_ours=sum(c.ours.pre_violation_steps for c in runs),
    )


def table(compared: Sequence[Compared]) -> Iterator[str]:
    """Yield the lines of a Markdown table: each run, each capacity, all."""
    yield (
        "| day | kW | servable | drivers, ours | equal share | kWh, ours | equal share "
        "| uncontrolled | ratio | violations |"
    )
    yield "| --- " + "| ---: " * 9 + "|"
    for one in compared:
        yield _line(str(one.day), str(one.capacity_kw), means_of([one]))
    for capacity_kw in sorted({one.capacity_kw for one in compared}):
        group = [one for one in compared if one.capacity_kw == capacity_kw]
        yield _line("**mean**", str(capacity_kw), means_of(group))
    yield _line("**mean**", "all", means_of(compared))


def _line(day: str, capacity: str, m: Means) -> str:
    cells = [
        day,
        capacity,
        f"{m.drivers_servable:g}",
        f"{m.drivers_ours:g}",
        f"{m.drivers_equal_share:g}",
        f"{m.energy_ours_kwh:.1f}",
        f"{m.energy_equal_share_kwh:.1f}",
        f"{m.energy_uncontrolled_kwh:.1f}",
        f"{m.energy_ratio:.3f}",
        f"{m.violation_steps_ours}",
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument(
        "--capacity-kw", type=int, nargs="+", default=list(CAPACITIES_KW)
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--flat-pre", action="store_true", help="no building, no PV")
    parser.add_argument(
        "--seed", type=int, default=0, help="of cars, lags, lost answers"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument(
        "--system-factory",
        default=DEFAULT,
        help="module:function that opens a system in a folder, on a clock and ids",
    )
    given = parser.parse_args(arguments)
    days = busiest_days(read_sessions(CALTECH, TZ), given.days)
    compared: list[Compared] = []
    for one in compare(
        given.system_factory,
        days,
        given.capacity_kw,
        given.processes,
        flat_pre=given.flat_pre,
        seed=given.seed,
    ):
        compared.append(one)
        print(f"{one.day} {one.capacity_kw} kW", file=sys.stderr, flush=True)
    print(*table(compared), sep="\n")
    if given.json:
        found = {"runs": compared, "mean": means_of(compared)}
        given.json.write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
