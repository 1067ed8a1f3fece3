"""The planner's problem in the forms that HiGHS takes.

Transport form: x[i, t] >= 0 where the EV is there, sum_t x = energy of each EV, sum_i x
<= limit of each step and each group. Stock form: every EV has a row and a state for
every step, as one writes a battery.

HiGHS has its defaults but for one thread. Tuned means what was found to help its
simplex most here: a greatest cost of 1 and tolerances of 1e-9. With the defaults' 1e-7,
on costs of hundredths, it took 2 to 16 times as many seconds, most at 2,000 EVs.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import highspy
import numpy as np

from benchmarks.speed.planner_instances import with_less_need, with_new_pre
from optimizer import Problem
from optimizer.checks import Floats, Ints
from optimizer.highs import objectives
from optimizer.highs.model import K, Model
from optimizer.highs.programme import Gathered
from optimizer.highs.sequence import TierSequence
from optimizer.tiers import measures_of, tier_values


@dataclass(frozen=True)
class Measured:
    """What a form's runs gave.

    ``total_s`` is the median from arrays to plan, ``solve_s`` the solver's part of it;
    ``objective`` the money of its plan, and ``problem`` what that plan is for: warm
    forms end at a changed one. ``tiers`` has the value of every tier where it is not
    money alone that was sought.
    """

    objective: float
    total_s: float
    solve_s: float
    problem: Problem
    tiers: Mapping[str, float] = field(default_factory=dict)


class _Transport:
    """The transport form of a problem, in kW and money."""

    def __init__(self, problem: Problem) -> None:
        p, self.gathered = problem, Gathered()
        self.ev, self.step = np.nonzero(p.available() & (p.power_max_w > 0))
        upper = p.power_max_w[self.ev, self.step] / K
        self.gathered.columns(np.zeros(upper.size), upper)
        self.cost = (p.price_per_kwh * p.hours)[self.step]
        cells = np.arange(self.ev.size)
        self.pre = self.gathered.rows(p.pre_lower_w / K, p.pre_upper_w / K)
        self.gathered.entries(self.pre.start + self.step, cells, 1.0)
        for group in p.groups:
            rows = self.gathered.rows(group.lower_w / K, group.upper_w / K)
            member = np.isin(self.ev, group.members)
            self.gathered.entries(rows.start + self.step[member], cells[member], 1.0)
        needs = p.energy_target_wh / K
        self.evs = self.gathered.rows(needs, needs)
        self.gathered.entries(self.evs.start + self.ev, cells, p.hours[self.step])

    def lp(self) -> highspy.HighsLp:
        """Return the programme."""
        lp = self.gathered.lp()
        lp.col_cost_ = self.cost
        return lp

    def cells_of(self, ev: int) -> Ints:
        """Return the columns of an EV, which are in order of EV."""
        return np.arange(*np.searchsorted(self.ev, [ev, ev + 1]))


def _highs(lp: highspy.HighsLp, tuned: bool = False, **options: str) -> highspy.Highs:
    """Return HiGHS with a programme and options."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    for name, value in options.items():
        highs.setOptionValue(name, value)
    if tuned:
        cost = np.array(lp.col_cost_)
        lp.col_cost_ = cost / np.abs(cost).max()
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            highs.setOptionValue(name, 1e-9)
    highs.passModel(lp)
    return highs


def _solved_s(highs: highspy.Highs) -> float:
    """Run; return the seconds."""
    begun = perf_counter()
    highs.run()
    took_s = perf_counter() - begun
    status = highs.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS ended with {status}")
    return took_s


def _values(highs: highspy.Highs) -> Floats:
    return np.array(highs.getSolution().col_value)


def measured(runs: Sequence[tuple[float, float, float]], problem: Problem) -> Measured:
    """Return the medians of runs (objective, total, solve)."""
    objective, total_s, solve_s = zip(*runs, strict=True)
    return Measured(
        objective[-1], statistics.median(total_s), statistics.median(solve_s), problem
    )


def _cold(
    make: Callable[[], tuple[highspy.HighsLp, Floats]],
    repeats: int,
    tuned: bool = False,
    **options: str,
) -> list[tuple[float, float, float]]:
    """Build, solve and read several times."""
    runs = []
    for _ in range(repeats):
        begun = perf_counter()
        lp, cost = make()
        highs = _highs(lp, tuned, **options)
        solve_s = _solved_s(highs)
        objective = float(cost @ _values(highs))
        runs.append((objective, perf_counter() - begun, solve_s))
    return runs


def _transport(
    problem: Problem, repeats: int, tuned: bool = False, **options: str
) -> Measured:
    def make() -> tuple[highspy.HighsLp, Floats]:
        form = _Transport(problem)
        return form.lp(), form.cost

    return measured(_cold(make, repeats, tuned, **options), problem)


def simplex(problem: Problem, repeats: int) -> Measured:
    """Solve the transport form by the dual simplex."""
    return _transport(problem, repeats, solver="simplex")


def tuned_simplex(problem: Problem, repeats: int) -> Measured:
    """Solve the transport form by the dual simplex, tuned."""
    return _transport(problem, repeats, tuned=True, solver="simplex")


def ipm(problem: Problem, repeats: int) -> Measured:
    """Solve the transport form by interior points, without crossover."""
    return _transport(problem, repeats, solver="ipm", run_crossover="off")


def crossover(problem: Problem, repeats: int) -> Measured:
    """Solve the transport form by interior points, to a vertex."""
    return _transport(problem, repeats, solver="ipm", run_crossover="on")


def _stock_form(problem: Problem) -> tuple[highspy.HighsLp, Floats]:
    """Return the form with a state of energy for every EV and step."""
    p, gathered = problem, Gathered()
    n, n_step = p.n_evse, p.n_step
    power_kw = np.where(p.available(), p.power_max_w, 0.0).ravel() / K
    x = gathered.columns(np.zeros(n * n_step), power_kw)
    needs = p.energy_target_wh / K
    most = np.repeat(needs[:, None], n_step, axis=1)
    least = np.where(np.arange(n_step) >= p.departure_step[:, None] - 1, most, 0.0)
    state = gathered.columns(least.ravel(), most.ravel())
    cells = np.arange(n * n_step)
    rows = gathered.rows(np.zeros(cells.size), np.zeros(cells.size))
    gathered.entries(rows.start + cells, state.start + cells, 1.0)
    later = cells[cells % n_step > 0]
    gathered.entries(rows.start + later, state.start + later - 1, -1.0)
    gathered.entries(rows.start + cells, x.start + cells, np.tile(-p.hours, n))
    pre = gathered.rows(p.pre_lower_w / K, p.pre_upper_w / K)
    gathered.entries(pre.start + cells % n_step, x.start + cells, 1.0)
    lp = gathered.lp()
    cost = np.concatenate([np.tile(p.price_per_kwh * p.hours, n), np.zeros(cells.size)])
    lp.col_cost_ = cost
    return lp, cost


def stock(problem: Problem, repeats: int) -> Measured:
    """Solve the stock form by what HiGHS chooses."""
    runs = _cold(lambda: _stock_form(problem), repeats, solver="choose")
    return measured(runs, problem)


def warm_need(problem: Problem, repeats: int) -> Measured:
    """Solve anew when one EV needs less and leaves sooner, each time from before."""
    form = _Transport(problem)
    highs = _highs(form.lp(), tuned=True, solver="simplex")
    _solved_s(highs)
    evs = np.random.default_rng(0).integers(0, problem.n_evse, repeats)
    runs, changed = [], problem
    for ev in evs.tolist():
        changed = with_less_need(problem, ev)
        cells, row = form.cells_of(ev), form.evs.start + ev
        last = int(cells[-1])
        begun = perf_counter()
        needs = float(changed.energy_target_wh[ev]) / K
        highs.changeRowBounds(row, needs, needs)
        highs.changeColBounds(last, 0.0, 0.0)
        solve_s = _solved_s(highs)
        objective = float(form.cost @ _values(highs))
        runs.append((objective, perf_counter() - begun, solve_s))
        needs = float(problem.energy_target_wh[ev]) / K
        highs.changeRowBounds(row, needs, needs)
        highs.changeColBounds(last, 0.0, float(problem.power_max_w[ev, 0]) / K)
        _solved_s(highs)
    return measured(runs, changed)


def warm_pre(problem: Problem, repeats: int) -> Measured:
    """Solve anew when every step's limit changes, and changes again."""
    form = _Transport(problem)
    highs = _highs(form.lp(), tuned=True, solver="simplex")
    _solved_s(highs)
    runs, changed = [], problem
    for seed in range(repeats):
        changed = with_new_pre(problem, seed)
        begun = perf_counter()
        for step, limit in enumerate((changed.pre_upper_w / K).tolist()):
            lower = float(changed.pre_lower_w[step]) / K
            highs.changeRowBounds(form.pre.start + step, lower, limit)
        solve_s = _solved_s(highs)
        objective = float(form.cost @ _values(highs))
        runs.append((objective, perf_counter() - begun, solve_s))
    return measured(runs, changed)


def tiers(problem: Problem, repeats: int) -> Measured:
    """Solve every tier in order, without prices and certificate."""
    runs, values = [], {}
    for _ in range(repeats):
        begun = perf_counter()
        model = Model(problem)
        built = perf_counter()
        x = TierSequence(model, np.inf).run()
        solve_s = perf_counter() - built
        power_w = model.power_w(x)
        total_s = perf_counter() - begun
        values = tier_values(problem, measures_of(problem, power_w))
        runs.append((values["money"], total_s, solve_s))
    return replace(measured(runs, problem), tiers=values)


def v2g(problem: Problem, repeats: int) -> Measured:
    """Solve V2G with hard targets by interior points, without crossover."""
    runs = _cold(lambda: _v2g_form(problem), repeats, solver="ipm", run_crossover="off")
    return measured(runs, problem)


def tuned_v2g(problem: Problem, repeats: int) -> Measured:
    """Solve V2G with hard targets by the dual simplex, tuned."""
    runs = _cold(lambda: _v2g_form(problem), repeats, tuned=True, solver="simplex")
    return measured(runs, problem)


def _v2g_form(problem: Problem) -> tuple[highspy.HighsLp, Floats]:
    """Return charging, discharging and stored energy, with nothing that gives."""
    model = Model(problem)
    lp, elastic = model.lp(), model.elastic()
    upper = np.array(lp.col_upper_)
    upper[elastic] = np.array(lp.col_lower_)[elastic]
    lp.col_upper_ = upper
    cost = objectives.money(model)
    lp.col_cost_ = cost
    return lp, cost
