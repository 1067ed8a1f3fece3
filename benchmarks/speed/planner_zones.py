"""Many zones planned on both cores, every plan kept, in a process of its own.

``python -m benchmarks.speed.planner_zones --zones 1000 --evs 1000 --workers threads``
prints JSON: seconds from the first problem's building to the last plan, those of CPU
time on both cores together, and the greatest memory the process (or both) ever had.
Input arrays are made before, of 100 different zones that are planned again and again;
what is compiled or loaded was so before.
"""

import argparse
import json
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

from benchmarks.speed.planner_cases import Arrays, arrays_of
from benchmarks.speed.planner_instances import instance
from optimizer import Problem, Result
from optimizer.planner import Planner

DIFFERENT = 100
WORKERS = 2
# What a process waits for the other one to have its inputs [s].
BARRIER_S = 600.0


class Took(NamedTuple):
    """What planning all zones took."""

    seconds: float
    cpu_seconds: float
    bytes: int


def inputs(zones: int, evs: int) -> list[Arrays]:
    """Return the arrays of so many zones."""
    different = [arrays_of(instance(evs, seed=s)) for s in range(min(zones, DIFFERENT))]
    return [different[zone % len(different)] for zone in range(zones)]


def planned(zones: Sequence[Arrays]) -> list[Result]:
    """Return the plan of each zone, made by one planner in turn."""
    planner = Planner()
    return [planner.plan(Problem(**arrays)) for arrays in zones]


def peak_bytes() -> int:
    """Return the most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def by_threads(zones: Sequence[Arrays]) -> Took:
    """Return what it took with a planner in each thread."""
    planned(zones[:2])
    with ThreadPoolExecutor(WORKERS) as pool:
        begun, cpu_begun = time.perf_counter(), time.process_time()
        parts = [zones[k::WORKERS] for k in range(WORKERS)]
        kept = list(pool.map(planned, parts))
        took_s = time.perf_counter() - begun
        cpu_s = time.process_time() - cpu_begun
    assert sum(len(plans) for plans in kept) == len(zones)
    return Took(took_s, cpu_s, peak_bytes())


_ready: list[Barrier] = []


def _start(ready: Barrier) -> None:
    _ready.append(ready)


def _own(zones: int, evs: int, part: int) -> Took:
    """Plan a process's part when all are ready."""
    mine = inputs(zones, evs)[part::WORKERS]
    planned(mine[:2])
    _ready[0].wait()
    begun, cpu_begun = time.perf_counter(), time.process_time()
    kept = planned(mine)
    took_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    assert len(kept) == len(mine)
    return Took(took_s, cpu_s, peak_bytes())


def by_processes(zones: int, evs: int) -> Took:
    """Return the slowest process's seconds, and CPU and memory of all together."""
    context = get_context("spawn")
    ready = context.Barrier(WORKERS, timeout=BARRIER_S)
    with ProcessPoolExecutor(WORKERS, context, _start, (ready,)) as pool:
        jobs = [pool.submit(_own, zones, evs, part) for part in range(WORKERS)]
        found = [job.result() for job in jobs]
    return Took(
        max(took.seconds for took in found),
        sum(took.cpu_seconds for took in found),
        sum(took.bytes for took in found),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zones", type=int, default=1_000)
    parser.add_argument("--evs", type=int, default=1_000)
    parser.add_argument("--workers", choices=["threads", "processes"])
    given = parser.parse_args(arguments)
    if given.workers == "processes":
        took = by_processes(given.zones, given.evs)
    else:
        took = by_threads(inputs(given.zones, given.evs))
    print(json.dumps(took._asdict()))


if __name__ == "__main__":
    main()
