"""How long a plan call takes at Caltech in receding horizon, three phases and all.

``python -m benchmarks.speed.phased --month 10 --capacity-kw 15 20 30 50`` replays the
sessions of a month of 2019 with true departures, plans on every arrival and departure
and every hour, and prints the time of the calls (problem, network and plan), the gap
of their energy tier and how far the worst line stayed below its limit.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.data.sessions import read_sessions
from benchmarks.scenarios.caltech import ThreePhaseSite, caltech_network, columns
from domain.model.values import SECOND, datetime_of
from optimizer.checks import Floats, Ints
from optimizer.phased import Phased, PhasedSolution, energy_bound_wh
from optimizer.problem import Problem

DATA = Path(__file__).parents[1] / "data" / "caltech-2019.csv.gz"
STEP_S = 300
MAX_W = 6_656.0
REPLAN_STEPS = 12


class Stays(NamedTuple):
    """Sessions by arrival: steps, EVSE's row at the site, energy taken [Wh]."""

    arrival: Ints
    departure: Ints
    row: Ints
    need_wh: Floats


class Call(NamedTuple):
    """One plan call."""

    n_ev: int
    n_step: int
    seconds: float
    cpu_seconds: float
    gap: float
    line_share: float


def stays_of_month(site: ThreePhaseSite, month: int) -> Stays:
    """Return the sessions that begin in a month (UTC) and take any energy."""
    found = []
    for record in read_sessions(DATA).records:
        if datetime_of(record.arrival_at).month == month and record.delivered_wh > 0:
            first, last = (
                at // SECOND // STEP_S
                for at in (record.arrival_at, record.departure_at)
            )
            if last > first:
                row = site.rows([record.station_id])[0]
                found.append((first, last, row, record.delivered_wh))
    whole = np.array(sorted(found), np.int64)
    begin = whole[0, 0]
    return Stays(
        whole[:, 0] - begin, whole[:, 1] - begin, whole[:, 2], whole[:, 3].astype(float)
    )


def calls(site: ThreePhaseSite, stays: Stays, left_wh: Floats) -> Iterator[Call]:
    """Yield every plan call of a month; ``left_wh`` (n,) is what is still to be taken.

    Overwrites ``left_wh``.
    """
    events = set(stays.arrival.tolist()) | set(stays.departure.tolist())
    there, power_w, planned = np.empty(0, np.int64), np.empty((0, 0)), 0
    solver = Phased()
    for t in range(int(stays.departure.max()) + 1):
        if t in events or (there.size and t - planned >= REPLAN_STEPS):
            now = (stays.arrival <= t) & (stays.departure > t) & (left_wh > 1.0)
            there, planned = np.flatnonzero(now), t
            if there.size:
                begun, cpu_begun = time.perf_counter(), time.thread_time()
                problem = problem_of(site, stays, there, left_wh, t)
                solution = solver.solve(problem)
                cpu_seconds = time.thread_time() - cpu_begun
                seconds = time.perf_counter() - begun
                power_w = solution.power_w
                yield checked(problem, solution, seconds, cpu_seconds)
        if there.size:
            given_w = power_w[:, t - planned] if t - planned < power_w.shape[1] else 0.0
            left_wh[there] -= given_w * STEP_S / 3600.0


def problem_of(
    site: ThreePhaseSite, stays: Stays, there: Ints, left_wh: Floats, t: int
) -> Problem:
    """Return the problem of those who are there at a step."""
    n, stay = there.size, stays.departure[there] - t
    n_step = int(stay.max())
    return Problem(
        step_s=np.full(n_step, float(STEP_S)),
        power_max_w=np.full(n, MAX_W),
        arrival_step=np.zeros(n, np.int64),
        departure_step=stay,
        energy_target_wh=left_wh[there],
        energy_max_wh=left_wh[there],
        pre_lower_w=np.zeros(n_step),
        pre_upper_w=np.full(n_step, MAX_W * len(site.station_ids)),
        phases=columns(site.network, stays.row[there].tolist()),
    )


def checked(
    problem: Problem, solution: object, seconds: float, cpu_seconds: float
) -> Call:
    """Return what a call took and how good its plan is."""
    assert isinstance(solution, PhasedSolution)
    assert problem.phases is not None
    current_a = problem.phases.current_a(solution.power_w)
    share = float((current_a / problem.phases.limit_a[:, None]).max())
    gap = 0.0
    if solution.service_price.size and solution.line_price is not None:
        got_wh = float((solution.power_w @ problem.hours).sum())
        bound_wh = energy_bound_wh(
            problem,
            solution.service_price[-1],
            solution.line_price[-1],
            np.ones(problem.n_evse, np.bool_),
        )
        gap = (bound_wh - got_wh) / got_wh
    return Call(problem.n_evse, problem.n_step, seconds, cpu_seconds, gap, share)


def warm_up() -> None:
    """Load or compile the kernels."""
    stays = Stays(np.zeros(3, np.int64), np.full(3, 40), np.arange(3), np.full(3, 2e4))
    for _ in calls(caltech_network(5.0), stays, stays.need_wh.copy()):
        pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--month", type=int, default=10)
    parser.add_argument(
        "--capacity-kw", type=float, nargs="+", default=[15, 20, 30, 50]
    )
    options = parser.parse_args(arguments)
    print(
        "  kW calls  EVs steps  mean   p50   p99   max ms"
        "  CPU mean, p99, max   gap p99     max  line"
    )
    warm_up()
    for capacity_kw in options.capacity_kw:
        site = caltech_network(capacity_kw)
        stays = stays_of_month(site, options.month)
        left_wh = stays.need_wh.copy()
        found = list(calls(site, stays, left_wh))
        ms = [1000.0 * call.seconds for call in found]
        cpu_ms = [1000.0 * call.cpu_seconds for call in found]
        gaps = [call.gap for call in found]
        served = 1.0 - left_wh / stays.need_wh
        print(
            f"{capacity_kw:4.0f} {len(found):5d}"
            f" {statistics.mean(c.n_ev for c in found):4.1f}"
            f" {statistics.mean(c.n_step for c in found):5.0f}"
            f" {statistics.mean(ms):5.2f} {statistics.median(ms):5.2f}"
            f" {np.percentile(ms, 99):5.1f} {max(ms):8.1f}"
            f" {statistics.mean(cpu_ms):5.2f} {np.percentile(cpu_ms, 99):5.1f}"
            f" {max(cpu_ms):6.1f}"
            f" {np.percentile(gaps, 99):9.1e} {max(gaps):7.1e}"
            f" {max(c.line_share for c in found):.9f}"
            f"  {100.0 * (1.0 - left_wh.sum() / stays.need_wh.sum()):.2f} % energy"
            f" {100.0 * float((served >= 0.99).mean()):.2f} % of drivers"
        )


if __name__ == "__main__":
    main()
