"""V2G with losses: every tier by a structured interior point method.

EV i charges ``c`` and discharges ``d`` [kWh at the EVSE] in each of its steps and has
``s`` in its battery after it; ``u`` of its promised and ``v`` of its asked-for energy
is left out, ``b`` is taken beyond it::

    s[t] = s[t-1] + eta c[t] - d[t] / eta',   0 <= s <= capacity
    s[last] + u + v - b = s[start] + target
    sum over members (c - d)[t] = segments of the power of the zone, of each group

A row's segments are its power within its limits (the zone's split at 0 where buying and
selling differ) and, at a price, beyond them: with those and u, v nothing is impossible,
so that there always is a point inside. Newton's method on the optimality conditions
(`kernels.v2g_newton`) eliminates each EV by scalar recursions (`kernels.v2g_blocks`)
and leaves T x T systems along the tree of groups (`kernels.v2g_tree`).

**Tiers.** First money is minimised, all that is left out at high prices. Where nothing
is left out, that is the optimum: every earlier tier is 0 and no plan that leaves
nothing out is cheaper. Else the tiers are solved in their order. An interior point is
strictly complementary: it tells which variables are at a bound in *every* optimum.
Those have their distance to that bound priced at `KEEP` from then on, more than later
tiers can offer. At last the money is minimised with what is left out given: its
multipliers are the prices.

**One direction.** A plan has one power for a step: c - d. Where both are used, netting
loses less energy and suits as long as it fits the battery. Where it does not, which
takes negative prices or a lower limit to fill, the larger one stays and all is solved
again; what that costs beyond `NO_GAP` of the bound goes to HiGHS with binaries, as do
line currents, energy windows, peak prices and MAX_MIN in a shortage.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from optimizer.checks import Floats
from optimizer.highs import Highs
from optimizer.kernels.v2g_ties import zone_is_tied
from optimizer.problem import Problem, Shortage
from optimizer.solution import Solution
from optimizer.tiers import NOTHING_WH, gaps_wh, measures_of, tier_values
from optimizer.v2g_form import Form, form_of
from optimizer.v2g_optimum import Late, NotReached, at_once, optimum

# What leaving an optimal face costs, where a tier's greatest cost is 1.
KEEP = 30.0
# Relative difference of values that are the same, and gap that is none.
SAME, NO_GAP = 1e-7, 1e-8
# Energy both charged and discharged in a step that is more than rounding.
BOTH = 1e-8
MOST_TURNS = 3


class NeedsHighs(Exception):
    """HiGHS is asked for the reason given."""


class V2g:
    """Solves every tier of problems whose EVs discharge; keeps nothing between calls.

    Attributes
    ----------
    fell_back : str
        Why the last problem was handed to HiGHS; empty where it was not.
    """

    def __init__(self) -> None:
        self.fell_back = ""

    def solve(self, problem: Problem, deadline: float = inf) -> Solution:
        """Return the plan; at ``deadline`` (perf_counter [s]) the best one so far.

        Among equal plans the earliest; nearness to the plan in force is not looked at.

        Raises
        ------
        PlannerError
            when HiGHS, where it is needed, fails by every method.
        """
        self.fell_back = _beyond(problem)
        form = form_of(problem)
        if form.ev.size == 0:
            empty = np.zeros((problem.n_evse, problem.n_step))
            return Solution.without_prices(problem, empty)
        if not self.fell_back:
            try:
                return _one_way(form, deadline)
            except Late as late:
                plan_w = at_once(form, late.values)
                return replace(Solution.without_prices(problem, plan_w), finished=False)
            except (NotReached, NeedsHighs) as reason:
                self.fell_back = str(reason)
        return Highs().solve(problem, deadline)


def _beyond(problem: Problem) -> str:
    if problem.phases is not None:
        return "line currents"
    if problem.energy_windows:
        return "energy windows"
    return "peak price" if problem.peak_per_kw > 0.0 else ""


def _one_way(form: Form, deadline: float) -> Solution:
    """Return the solution in which no EV charges and discharges in one step."""
    tiers = _Tiers(form, deadline)
    tiers.run()
    solution = tiers.solution()
    bound = None
    for _ in range(MOST_TURNS):
        burning = _burning(form, tiers.best.values)
        if not burning.any():
            break
        bound = bound or _objective(form, tiers.best.values, netted=False)
        form = form.bounded(_turned(form, tiers.best.values, burning))
        tiers = _Tiers(form, deadline)
        tiers.run()
        solution = replace(solution, power_w=form.power_w(tiers.best.values))
    else:
        raise NeedsHighs("both directions")
    if bound is not None:
        reached = _objective(form, tiers.best.values, netted=True)
        if not _as_good(reached, bound):
            raise NeedsHighs("both directions")
    return solution


def _objective(form: Form, values: Floats, netted: bool) -> dict[str, float]:
    """Return the tiers up to money, what is burnt included where not ``netted``."""
    p = form.problem
    if netted:
        tiers = tier_values(p, measures_of(p, form.power_w(values)))
    else:
        into, out = form.directions_w(values)
        tiers = tier_values(p, measures_of(p, into - out, into, out))
    return {k: v for k, v in tiers.items() if k not in ("early", "moved_wh")}


def _as_good(reached: dict[str, float], bound: dict[str, float]) -> bool:
    return all(
        value - bound[name] <= NO_GAP * max(1.0, abs(value))
        for name, value in reached.items()
    )


def _burning(form: Form, values: Floats) -> NDArray[np.bool_]:
    """Return the cells of EVs whose batteries would not hold what netting saves."""
    p, parts, chains = form.problem, form.parts(values), form.chains
    both = (parts.charge > BOTH) & (parts.discharge > BOTH)
    if not both.any():
        return both
    energy = parts.charge - parts.discharge
    into = np.where(energy > 0.0, chains.gain[form.ev], chains.loss[form.ev]) * energy
    table = np.zeros((p.n_evse, p.n_step))
    table[form.ev, form.step] = into
    stored = chains.stored[:, None] + np.cumsum(table, axis=1)
    bounds = form.parts(chains.upper)
    most = chains.want + bounds.left[:, 2] + BOTH
    fits = stored[:, -1] <= most
    cell_fits = stored[form.ev, form.step] <= bounds.stored + BOTH
    bad = chains.stores[form.ev] & ~cell_fits
    fits &= np.bincount(form.ev, bad, p.n_evse) == 0
    return both & ~fits[form.ev]


def _turned(form: Form, values: Floats, burning: NDArray[np.bool_]) -> Floats:
    """Return bounds that leave burning cells their larger direction."""
    parts, upper = form.parts(values), form.chains.upper.copy()
    new = form.parts(upper)
    into = parts.charge >= parts.discharge
    new.discharge[burning & into] = 0.0
    new.charge[burning & ~into] = 0.0
    return upper


class _Tiers:
    """One pass through the tiers: ``best`` is the last optimum."""

    def __init__(self, form: Form, deadline: float) -> None:
        self.form, self.deadline = form, deadline
        self.service = np.zeros((0, *form.chains.base.shape))
        none = np.zeros(form.chains.upper.size, np.bool_)
        self._low, self._high = none, none.copy()

    def run(self) -> None:
        """Solve every tier."""
        self.best = self.priced = optimum(self.form, self.deadline)
        costs = list(_left_out(self.form))
        worth = [_dot(cost, self.best.values) for _, cost in costs]
        nothing = NOTHING_WH / (self.form.kwh * 1e3)
        if max(worth) > nothing:
            try:
                self._shortage(nothing)
            except Late as late:
                late.values = self.best.values
                raise
        if self._is_tied():
            self._early()

    def solution(self) -> Solution:
        """Return the plan and the multipliers of the money."""
        form, p = self.form, self.form.problem
        price = -self.priced.lam * form.price
        worth = np.where(
            p.pre_lower_w > 0.0,
            p.price_per_kwh,
            np.where(
                p.pre_upper_w < 0.0,
                p.worth_per_kwh,
                np.clip(price[0], p.worth_per_kwh, p.price_per_kwh),
            ),
        )
        return Solution(
            form.power_w(self.best.values),
            price[0] - worth,
            price[1:],
            self.service,
            self._stored_price(),
        )

    def _stored_price(self) -> Floats:
        """Return the worth of a kWh in each battery, (n, T)."""
        form, chains = self.form, self.form.chains
        worth = np.repeat(self.priced.nu[:, None], form.problem.n_step, axis=1)
        kept = chains.stores[form.ev]
        worth[form.ev[kept], form.step[kept]] = self.priced.mu[kept]
        for i in np.flatnonzero(chains.stores):
            worth[i, : chains.arrival[i]] = worth[i, chains.arrival[i]]
        return worth * form.price

    def _shortage(self, nothing: float) -> None:
        """Solve the tiers before money, then money; set service and prices."""
        form = self.form
        for name, cost in (*_left_out(form), *_policies(form)):
            value = _dot(cost, self.best.values)
            if value > (nothing if cost.max() <= 1.0 else nothing * cost.max()):
                if (
                    name.startswith("short")
                    and form.problem.shortage is Shortage.MAX_MIN
                ):
                    raise NeedsHighs("MAX_MIN")
                self._settle(cost / np.median(cost[cost > 0.0]))
            else:
                self._low = self._low | (cost > 0.0)
        cost = form.money()
        if cost.any():
            self._settle(cost)
        given = form.given(self.best.values)
        given = given.costing(form.money() + form.leaving_out())
        self.priced = optimum(given, self.deadline)
        self.service = self._services(form)

    def _settle(self, cost: Floats) -> None:
        """Minimise on the optimal face of the tiers so far; go to that of this one."""
        upper = np.where(self._high, self.form.chains.upper, 0.0)
        keep = KEEP * max(1.0, float(np.abs(cost).max()))
        kept = keep * (self._low.astype(np.float64) - self._high)
        self.best = optimum(
            self.form.costing(cost + kept), self.deadline, keep * float(upper.sum())
        )
        self._low, self._high = (
            self._low | self.best.at_low,
            self._high | self.best.at_high,
        )

    def _early(self) -> None:
        """Move what the money leaves open to the earliest steps."""
        form = self.form
        cost = form.zeros()
        parts = form.parts(cost)
        when = form.step / form.problem.n_step
        parts.charge[:], parts.discharge[:] = when, -when
        self._low, self._high = (
            self._low | self.best.at_low,
            self._high | self.best.at_high,
        )
        self._settle(cost)

    def _is_tied(self) -> bool:
        """Return whether the money leaves the zone's plan open."""
        form, chains = self.form, self.form.chains
        is_open = (chains.free > 0.0) & ~self.best.at_low & ~self.best.at_high
        parts = form.parts(is_open.astype(np.float64))
        return zone_is_tied(
            chains,
            (parts.charge + parts.discharge) > 0.0,
            parts.stored > 0.0,
            np.asarray(parts.left.sum(axis=1) > 0.0),
            np.asarray(parts.rows[0].sum(axis=1) > 0.0),
        )

    def _services(self, form: Form) -> Floats:
        """Return what more of each limit serves, for the classes up to each."""
        priority = form.problem.priority
        values = self.best.values
        given = form.outside_given(values)
        out = []
        for c in np.unique(priority):
            cost = form.zeros()
            parts = form.parts(cost)
            parts.left[:, 0] = 1.0
            parts.left[:, 1] = priority <= c
            parts.rows[:, :, 2:] = KEEP
            out.append(-optimum(given.costing(cost), self.deadline).lam)
        return np.clip(np.array(out), -1.0, 1.0)


def _dot(left: Floats, right: Floats) -> float:
    """Return the sum of products; BLAS would wake threads for it, and wait for them."""
    return float(np.einsum("i,i->", left, right))


def _left_out(form: Form) -> Iterator[tuple[str, Floats]]:
    """Yield what the tiers of energy cost, in their order."""
    cost = form.zeros()
    form.parts(cost).rows[:, :, 2:] = 1.0
    yield "violation", cost
    priority = form.problem.priority
    for name, parts in (("unmet_min", [0]), ("unmet_target", [0, 1])):
        for c in np.unique(priority):
            cost = form.zeros()
            left = form.parts(cost).left
            left[:, parts] = (priority == c)[:, None]
            yield f"{name}/{c}", cost


def _policies(form: Form) -> Iterator[tuple[str, Floats]]:
    """Yield what FINISH_MOST costs per unit of energy left out."""
    priority = form.problem.priority
    for part, gap in enumerate(gaps_wh(form.problem)):
        per_kwh = 1.0 / np.maximum(gap, 1.0)
        for c in np.unique(priority):
            cost = form.zeros()
            form.parts(cost).left[:, part] = np.where(priority == c, per_kwh, 0.0)
            yield f"short/{part}/{c}", cost
