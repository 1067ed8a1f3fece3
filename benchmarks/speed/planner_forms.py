"""One allocation problem in each form a general solver takes it.

``python -m benchmarks.speed.planner_forms --n 200`` prints objective and median times.
Times are from the problem's arrays to the plan's: building, solving, reading; warm
forms have only the change, the solve and the reading. HiGHS runs on one thread.
Forms that would take more than a minute are left out, by their
known growth; what is left out is said.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import highspy
import numpy as np

from benchmarks.speed import highs_forms
from benchmarks.speed.highs_forms import Measured, measured
from benchmarks.speed.planner_instances import instance
from optimizer import Problem, Shortage
from optimizer.highs.model import K

LONGEST_S = 60.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Form:
    """A way to solve: what it fits, how long it takes about, and how to run it."""

    name: str
    fits: Callable[[Problem], bool]
    expected_s: Callable[[Problem], float]
    run: Callable[[Problem, int], Measured]


class TooLong(RuntimeError):
    """A form is expected to take longer than is allowed."""


def forms() -> dict[str, Form]:
    """Return every form by its name, those of HiGHS first."""
    of = highs_forms
    found = (
        Form("transport, simplex", _plain, _grows(1.0, 2.0, 5.0), of.simplex),
        Form("simplex, tuned", _plain, _grows(0.2, 1.4, 2.0), of.tuned_simplex),
        Form("transport, IPM", _plain, _grows(0.6, 1.3, 2.0), of.ipm),
        Form("transport, crossover", _plain, _grows(1.0, 1.3, 4.0), of.crossover),
        Form("stock", _one_limit, _grows(10.0, 1.5, 1.0), of.stock),
        Form("warm, one EV's need", _plain, _grows(0.3, 1.4, 2.0), of.warm_need),
        Form("warm, new PRE", _plain, _grows(0.5, 1.4, 2.0), of.warm_pre),
        Form("sequence of tiers", _tiers_fit, _tiers_s, of.tiers),
        Form("V2G, IPM", _is_v2g, _grows(8.0, 1.5, 2.0), of.v2g),
        Form("V2G, simplex, tuned", _is_v2g, _grows(2.0, 1.5, 2.0), of.tuned_v2g),
        Form("Pyomo + HiGHS", _one_limit, _grows(2.0, 1.3, 1.0), _pyomo),
        Form("OR-tools flow", _plain, _grows(0.05, 1.3, 4.0), _flow),
    )
    return {form.name: form for form in found}


def measure(
    form: Form, problem: Problem, repeats: int, longest_s: float = LONGEST_S
) -> Measured:
    """Run a form.

    Raises
    ------
    TooLong
        when one run is expected to take more than ``longest_s``.
    ValueError
        when the form does not fit the problem.
    """
    if not form.fits(problem):
        raise ValueError(f"{form.name} does not fit this problem")
    expected_s = form.expected_s(problem)
    if expected_s > longest_s:
        raise TooLong(f"about {expected_s:,.0f} s")
    # Where one run takes long, its spread matters less than the others' time.
    fewer = max(1, min(repeats, int(longest_s / max(expected_s, 1e-9))))
    return form.run(problem, fewer)


def _plain(problem: Problem) -> bool:
    """Return whether charging has hard energies and nothing but limits and prices."""
    hard = np.array_equal(problem.energy_target_wh, problem.energy_max_wh)
    return hard and not problem.has_v2g and not problem.energy_min_wh.any()


def _one_limit(problem: Problem) -> bool:
    return _plain(problem) and not problem.groups


def _tiers_fit(problem: Problem) -> bool:
    return bool(problem.energy_min_wh.any()) and not problem.has_v2g


def _is_v2g(problem: Problem) -> bool:
    return problem.has_v2g


def _grows(
    thousand_s: float, power: float, with_groups: float
) -> Callable[[Problem], float]:
    """Return seconds by size, from those of 1,000 EVs; grown by their measurements."""

    def expected_s(problem: Problem) -> float:
        cells = problem.n_evse * problem.n_step / 96_000
        groups = with_groups if problem.groups else 1.0
        return float(thousand_s * groups * cells**power)

    return expected_s


def _tiers_s(problem: Problem) -> float:
    """Return seconds of all tiers; the least served share takes a programme a step."""
    often = 4.0 if problem.shortage is Shortage.MAX_MIN else 1.0
    return often * _grows(2.0, 1.5, 10.0)(problem)


def _pyomo(problem: Problem, repeats: int) -> Measured:
    """Solve the transport form, written with Pyomo's sums, by its HiGHS interface."""
    pyo = importlib.import_module("pyomo.environ")
    appsi = importlib.import_module("pyomo.contrib.appsi.solvers")
    runs = []
    for _ in range(repeats):
        begun = perf_counter()
        model = _pyomo_model(pyo, problem)
        built = perf_counter()
        solver = appsi.Highs()
        solver.highs_options = {"threads": 1}
        solver.solve(model)
        solve_s = perf_counter() - built
        power_kw = np.array(list(model.power.get_values().values()))
        objective = float(model.cost())
        assert power_kw.size
        runs.append((objective, perf_counter() - begun, solve_s))
    return measured(runs, problem)


def _pyomo_model(pyo: Any, problem: Problem) -> Any:
    p, m = problem, pyo.ConcreteModel()
    ev, step = np.nonzero(p.available() & (p.power_max_w > 0))
    cells = list(zip(ev.tolist(), step.tolist(), strict=True))
    of_ev: dict[int, list[int]] = {i: [] for i in range(p.n_evse)}
    of_step: dict[int, list[int]] = {t: [] for t in range(p.n_step)}
    for i, t in cells:
        of_ev[i].append(t)
        of_step[t].append(i)
    most = dict(zip(cells, (p.power_max_w[ev, step] / K).tolist(), strict=True))
    hours, price = p.hours.tolist(), p.price_per_kwh.tolist()
    needs, limit = (p.energy_target_wh / K).tolist(), (p.pre_upper_w / K).tolist()
    m.power = pyo.Var(cells, bounds=lambda _, i, t: (0.0, most[i, t]))
    m.energy = pyo.Constraint(
        of_ev,
        rule=lambda m, i: sum(hours[t] * m.power[i, t] for t in of_ev[i]) == needs[i],
    )
    m.limit = pyo.Constraint(
        [t for t in of_step if of_step[t]],
        rule=lambda m, t: sum(m.power[i, t] for i in of_step[t]) <= limit[t],
    )
    m.cost = pyo.Objective(
        expr=sum(price[t] * hours[t] * m.power[i, t] for i, t in cells)
    )
    return m


def _flow(problem: Problem, repeats: int) -> Measured:
    """Solve in another process; its start is not counted."""
    ev, step = np.nonzero(problem.available() & (problem.power_max_w > 0))
    hours, none = problem.hours, np.zeros(problem.n_evse, np.int64)
    group_of = none.copy()
    for g, group in enumerate(problem.groups):
        group_of[group.members] = g
    room = np.array([group.upper_w * hours for group in problem.groups])
    arrays = {
        "ev": ev,
        "step": step,
        "most_wh": problem.power_max_w[ev, step] * hours[step],
        "needs_wh": problem.energy_target_wh,
        "price": problem.price_per_kwh * 1e6,
        "room_wh": problem.pre_upper_w * hours,
        "group_of": group_of,
        "group_room_wh": room.reshape(len(problem.groups), problem.n_step),
    }
    whole = {name: np.rint(value).astype(np.int64) for name, value in arrays.items()}
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.npz"
        np.savez(file, **whole)
        command = [sys.executable, "-m", "benchmarks.speed.min_cost_flow"]
        done = subprocess.run(
            [*command, str(file), str(repeats)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"OR-tools' process failed: {done.stderr[-500:]}")
    found = json.loads(done.stdout)
    # Wh times millionths of the price of a kWh.
    objective = found["cost"] / 1e9
    return Measured(
        objective,
        statistics.median(found["total_s"]),
        statistics.median(found["solve_s"]),
        problem,
    )


def lines(problem: Problem, repeats: int, longest_s: float) -> Iterator[str]:
    """Yield a table of the forms that fit, as they are measured."""
    yield f"{'form':28}{'objective':>16}{'total ms':>12}{'solver ms':>12}"
    for name, form in forms().items():
        if not form.fits(problem):
            continue
        try:
            found = measure(form, problem, repeats, longest_s)
        except TooLong as reason:
            yield f"{name:28}left out: {reason}"
            continue
        yield (
            f"{name:28}{found.objective:>16.6f}{1e3 * found.total_s:>12.2f}"
            f"{1e3 * found.solve_s:>12.2f}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the forms alone and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--shortage", action="store_true")
    parser.add_argument("--v2g", action="store_true")
    parser.add_argument("--longest-s", type=float, default=LONGEST_S)
    given = parser.parse_args(arguments)
    problem = instance(
        given.n,
        seed=given.seed,
        groups=given.groups,
        shortage=given.shortage,
        v2g=given.v2g,
    )
    print(
        f"{given.n} EVs, {given.groups} groups, seed {given.seed}, HiGHS "
        f"{highspy.Highs().version()}, {platform.machine()}, {given.repeat} runs"
    )
    for line in lines(problem, given.repeat, given.longest_s):
        print(line, flush=True)


if __name__ == "__main__":
    main()
