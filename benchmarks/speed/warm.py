"""How long planning takes when one EV came, left or needs less, beside planning anew.

``python -m benchmarks.speed.warm``: a chain of events at a site of
`benchmarks.speed.planner_instances`, with room for those who come. Timed is the whole
call, from arrays: the problem's checks, the plan, its prices, certificate and result
(``--cpu``: time on the processor alone, for a machine that others use too);
anew is the same call of a planner that has just planned for another limit. Printed are
medians, 99th percentiles and most, the share of EVs that stay and whose plan changes,
and the greatest difference of any tier's value. The last lines are HiGHS, warm, for
the change of a need alone (build and checks left out), at sites where it ends in time.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from time import perf_counter, thread_time

import numpy as np

from benchmarks.speed import highs_forms
from benchmarks.speed.planner_instances import instance, with_less_need
from optimizer import Problem
from optimizer.checks import Floats, Ints
from optimizer.planner import Planner
from optimizer.result import Result

ROOM = 1.05
MOVED_W = 1e-3
EVENTS = ("arrival", "departure", "need")
_PER_EV = (
    *("arrival_step", "departure_step", "priority", "row_key"),
    *("energy_min_wh", "energy_target_wh", "energy_max_wh"),
)


@dataclass
class Times:
    """What the events of a kind took [ms], and the shares of EVs they moved."""

    warm_ms: list[float] = field(default_factory=list)
    anew_ms: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)


def of_rows(problem: Problem, rows: Ints, row_key: Ints) -> Problem:
    """Return the problem of these rows, any of them twice."""
    parts = {name: getattr(problem, name)[rows] for name in _PER_EV}
    return Problem(
        step_s=problem.step_s,
        power_max_w=problem.power_max_w[rows, 0],
        pre_lower_w=problem.pre_lower_w,
        pre_upper_w=problem.pre_upper_w,
        buy_per_kwh=problem.buy_per_kwh,
        **parts | {"row_key": row_key},
    )


def after(problem: Problem, event: str, dice: np.random.Generator) -> Problem:
    """Return the problem after an event; who comes is like one of those there."""
    n, row = problem.n_evse, int(dice.integers(problem.n_evse))
    rows, key = np.arange(n), problem.row_key
    if event == "need":
        return with_less_need(problem, row)
    if event == "departure":
        return of_rows(problem, np.delete(rows, row), np.delete(key, row))
    return of_rows(problem, np.append(rows, row), np.append(key, key.max() + 1))


def timed(
    planner: Planner, problem: Problem, clock: Callable[[], float]
) -> tuple[Result, float]:
    """Return the result for a problem's arrays, and how long it took [ms]."""
    parts = {f.name: getattr(problem, f.name) for f in fields(problem)}
    began = clock()
    result = planner.plan(Problem(**parts))
    return result, 1e3 * (clock() - began)


def moved_share(before: Problem, was_w: Floats, now: Problem, is_w: Floats) -> float:
    """Return the share of EVs that are in both problems and whose plan differs."""
    _, old, new = np.intersect1d(before.row_key, now.row_key, return_indices=True)
    return float((np.abs(was_w[old] - is_w[new]) > MOVED_W).any(axis=1).mean())


def measure(
    n: int, runs: int, with_previous: bool, seed: int, clock: Callable[[], float]
) -> None:
    """Print a line for each kind of event."""
    dice = np.random.default_rng(seed)
    problem = instance(n, seed=seed)
    problem = replace(problem, pre_upper_w=ROOM * problem.pre_upper_w)
    planner, anew = Planner(), Planner()
    result, worst = planner.plan(problem), 0.0
    times = {event: Times() for event in EVENTS}
    for k in range((runs + 2) * len(EVENTS)):
        event = EVENTS[k % len(EVENTS)]
        changed = after(problem, event, dice)
        if with_previous:
            plans = dict(zip(problem.row_key.tolist(), result.power_w, strict=True))
            nothing = np.zeros(problem.n_step)
            in_force = [plans.get(key, nothing) for key in changed.row_key.tolist()]
            changed = replace(changed, previous_power_w=np.array(in_force))
        now, warm_ms = timed(planner, changed, clock)
        anew.plan(replace(changed, pre_upper_w=1.01 * changed.pre_upper_w))
        other, anew_ms = timed(anew, changed, clock)
        for name, value in other.objective.items():
            if name != "moved_wh" or with_previous:
                off = abs(value - now.objective[name]) / max(1.0, abs(value))
                worst = max(worst, off)
        if k >= 2 * len(EVENTS):  # the first ones compile
            times[event].warm_ms.append(warm_ms)
            times[event].anew_ms.append(anew_ms)
            share = moved_share(problem, result.power_w, changed, now.power_w)
            times[event].moved.append(share)
        problem, result = changed, now
    kind = "nearest" if with_previous else "plain"
    for event, found in times.items():
        print(
            f"{n:6} EVs, {kind:7} {event:9} {_spread(found.warm_ms)},"
            f" anew {_spread(found.anew_ms)},"
            f" {np.median(found.moved):.1%} of the EVs move"
            f" ({np.max(found.moved):.1%} at most),"
            f" {np.mean(np.array(found.moved) <= 0.05):.0%} of the events move <= 5 %"
        )
    print(f"{n:6} EVs, {kind:7} greatest difference of a tier {worst:.1e}", flush=True)


def _spread(times_ms: list[float]) -> str:
    median, most = np.median(times_ms), np.max(times_ms)
    return f"{median:.2f} ms (p99 {np.quantile(times_ms, 0.99):.2f}, most {most:.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evs", type=int, nargs="+", default=[200, 1000, 5000, 20000])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--highs-most", type=int, default=1000)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args(arguments)
    clock = thread_time if options.cpu else perf_counter
    for n in options.evs:
        runs = max(options.runs * 1000 // max(n, 1000), 5)
        for with_previous in (False, True):
            measure(n, runs, with_previous, options.seed, clock)
    for n in options.evs:
        if n <= options.highs_most:
            found = highs_forms.warm_need(instance(n, seed=options.seed), 7)
            print(f"{n:6} EVs, HiGHS warm, need {1e3 * found.total_s:.1f} ms")


if __name__ == "__main__":
    main()
