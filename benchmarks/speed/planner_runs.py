"""Rows of the speed table that are whole runs: a million EVs, a month, a process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.data.sessions import read_sessions
from benchmarks.laboratory.fleet import Fleet, fleet_of
from benchmarks.laboratory.loop import Outcome, run_loop
from benchmarks.laboratory.prices import DEFAULT_PER_KWH, price_steps
from benchmarks.laboratory.setting import STANDARD
from benchmarks.laboratory.site import CALTECH, EVSE_MAX_W, site_of
from benchmarks.speed.planner_first import KINDS
from benchmarks.speed.planner_rows import Scale
from benchmarks.speed.planner_table import Goal, Row, Times
from benchmarks.strategies.protocol import Strategy
from benchmarks.strategies.registry import OWN, make_strategy
from optimizer import Problem, Result
from optimizer.planner import Planner

_ROOT = Path(__file__).parents[2]
SESSIONS = _ROOT / "benchmarks" / "data" / "caltech-2019.csv.gz"
FIRST, LAST = date(2019, 5, 1), date(2019, 5, 31)
OURS = ("finish-most", "max-min")
MONTH_KW = 20.0
GIB = 2.0**30


class Face:
    """Ours as an outside program calls it: the problem is built and checked anew."""

    name = "ours"

    def __init__(self) -> None:
        self._planner = Planner()

    def plan(self, problem: Problem) -> Result:
        """Return the plan of the same arrays."""
        return self._planner.plan(replace(problem))


def zone_rows(scale: Scale) -> Iterator[Row]:
    """Yield a million EVs by threads and by processes, the faster one with goals."""
    zones, evs = (4, 20) if scale.quick else (1_000, 1_000)
    found = []
    for workers in ("threads", "processes"):
        sizes = ("--zones", str(zones), "--evs", str(evs), "--workers", workers)
        runs = []
        for _ in range(min(scale.repeat, 3)):
            done = _python("-m", "benchmarks.speed.planner_zones", *sizes)
            runs.append(json.loads(done))
        times = Times(
            tuple(1e3 * run["seconds"] for run in runs),
            tuple(1e3 * run["cpu_seconds"] for run in runs),
        )
        found.append((times, max(run["bytes"] for run in runs) / GIB, workers))
    fastest = min(found, key=lambda each: each[0].median_ms)
    for times, gib, workers in found:
        goals = (
            Goal(2_500.0, times.median_ms),
            Goal(3.0, gib, "memory", "GiB"),
        )
        yield Row(
            work=f"{zones:,} zones × {evs:,} EVs, plans kept, two {workers}",
            ours=times,
            goals=goals if workers == fastest[2] else (),
            notes=(f"{gib:.2f} GiB", "inputs made before, 100 different ones"),
        )


def _python(*arguments: str) -> str:
    """Return what another Python printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[1]} failed: {done.stderr[-500:]}")
    return done.stdout


def _environment() -> dict[str, str]:
    given = os.environ.get("PYTHONPATH")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [given])])
    }


def may(scale: Scale) -> Fleet:
    """Return Caltech's cars of May 2019, or of its first days."""
    last = FIRST if scale.quick else LAST
    return fleet_of(
        read_sessions(SESSIONS), FIRST, last, STANDARD, evse_max_w=EVSE_MAX_W
    )


def _span(scale: Scale) -> str:
    return "1 May 2019" if scale.quick else "May 2019"


def closed_loop(fleet: Fleet, strategy: Strategy, capacity_kw: float) -> Outcome:
    """Run a strategy over cars in the standard setting."""
    site = site_of(CALTECH, capacity_kw, fleet.station_ids)
    prices = price_steps(DEFAULT_PER_KWH, fleet.n_step, STANDARD.step_s)
    return run_loop(fleet, site, STANDARD, strategy, prices)


def caltech_rows(scale: Scale) -> Iterator[Row]:
    """Yield the plan calls of a month by capacity."""
    fleet = may(scale)
    for capacity_kw in (20.0,) if scale.quick else (15.0, 20.0, 30.0, 50.0):
        _warm_up(fleet, Face(), capacity_kw)
        cpu_begun = time.process_time()
        outcome = closed_loop(fleet, Face(), capacity_kw)
        cpu_ms = 1e3 * (time.process_time() - cpu_begun) / outcome.plan_s.size
        ms = 1e3 * outcome.plan_s
        share = outcome.energy_wh.sum() / fleet.need_wh.sum()
        yield Row(
            work=f"Caltech with phases, {_span(scale)}, {capacity_kw:.0f} kW,"
            f" {ms.size:,} plan calls",
            ours=Times(tuple(ms.tolist()), (cpu_ms,)),
            goals=(
                Goal(6.0, float(ms.mean()), "mean"),
                Goal(20.0, float(np.percentile(ms, 99.0)), "p99"),
                Goal(50.0, float(ms.max()), "max"),
            ),
            notes=(
                f"{100.0 * share:.2f} % of the energy",
                "CPU is the loop's, cars included, by call",
            ),
        )


def month_rows(scale: Scale) -> Iterator[Row]:
    """Yield a month in closed loop by strategy."""
    fleet = may(scale)
    for name in OWN:
        _warm_up(fleet, _made(name), MONTH_KW)
        begun, cpu_begun = time.perf_counter(), time.process_time()
        outcome = closed_loop(fleet, _made(name), MONTH_KW)
        cpu_ms = 1e3 * (time.process_time() - cpu_begun)
        ms = 1e3 * (time.perf_counter() - begun)
        share = outcome.energy_wh.sum() / fleet.need_wh.sum()
        yield Row(
            work=f"{_span(scale)} in closed loop, {MONTH_KW:.0f} kW, {name}",
            ours=Times((ms,), (cpu_ms,)),
            goals=(Goal(8.0 if name in OURS else 5.0, ms / 1e3, unit="s"),),
            notes=(f"{100.0 * share:.2f} % of the energy",),
        )


def _made(name: str) -> Strategy:
    """Return a new strategy; ours by the planner's own face."""
    return Face() if name == OURS[0] else make_strategy(name)


def _warm_up(fleet: Fleet, strategy: Strategy, capacity_kw: float) -> None:
    """Compile or load what a strategy needs, in a shortage too."""
    for share in (1.0, 0.2):
        closed_loop(fleet.head(20), strategy, share * capacity_kw)


def first_rows(scale: Scale) -> Iterator[Row]:
    """Yield the first plan of a process, its kernels compiled before."""
    for kind in KINDS[:1] if scale.quick else KINDS:
        command = ("-m", "benchmarks.speed.planner_first", kind)
        _python(*command)  # fills the cache
        wall, inside = [], []
        for _ in range(scale.repeat):
            took_s, from_import_s = _until_plan(*command)
            wall.append(1e3 * took_s)
            inside.append(from_import_s)
        times = Times(tuple(wall), ())
        yield Row(
            work=f"first plan of a process, {kind}",
            ours=times,
            goals=(Goal(2.0, times.median_ms / 1e3, unit="s"),),
            notes=(f"{float(np.median(inside)):.2f} s from the first import on",),
        )


def _until_plan(*arguments: str) -> tuple[float, float]:
    """Return seconds from the start of a Python to its line, and what the line says."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took_s = time.perf_counter() - begun
    if process.returncode:
        raise RuntimeError(f"{arguments[1]} ended with {process.returncode}")
    return took_s, float(line)
