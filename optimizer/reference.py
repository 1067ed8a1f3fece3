"""The allocation problem as one writes it in a paper: slow and obviously right.

Pyomo and HiGHS (`optimizer.reference_model`). Each tier of `optimizer.tiers` is
minimised and then bound to what it reached, plus a slack, before the next one. The
symbols are those of `docs/planner.md`.

* A plan is first sought without forbidding an EV to charge and discharge at once. Where
  the best one nowhere does, it is the best of those that may not; else the problem is
  solved again with a binary for the direction of each EV and step.
* MAX_MIN minimises the greatest share, then the sum of the two greatest ones, of the
  three greatest ones, and so on, each a linear programme: that is the lexicographic
  order of sorted shares (Ogryczak and Śliwiński, 2003), and holds with binaries too.
* The norm of a line current is bounded by a polygon, inside the circle or outside it:
  by the one the plan keeps the exact norm, by both the exact optimum is enclosed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo  # type: ignore[import-untyped]

from optimizer.checks import Floats
from optimizer.problem import Problem, Shortage
from optimizer.reference_model import NOTHING, POLYGON_SIDES, How, Model
from optimizer.result import PlannerError
from optimizer.solution import Solution

EXACT = How()
# What a tier may lose to a later one [kWh, money, share, step · kWh].
SLACKS = (1e-8, 1e-7, 1e-6)


def reference(
    problem: Problem,
    *,
    floors: bool = False,
    sides: int = POLYGON_SIDES,
    inside: bool = True,
) -> Solution:
    """Return the best plan; prices where no binaries are needed, else zeros.

    Parameters
    ----------
    problem : Problem
    floors : bool
        With floors and pilot steps: a mixed-integer programme.
    sides, inside : int, bool
        Sides of the polygon that bounds line currents, inside the circle or outside.

    Raises
    ------
    PlannerError
        where HiGHS ends with anything but an optimum.
    """
    return solved(problem, How(floors, sides, inside)).solution


def reference_values(
    problem: Problem,
    *,
    floors: bool = False,
    sides: int = POLYGON_SIDES,
    inside: bool = True,
) -> dict[str, float]:
    """Return the least value of each tier by its name; arguments as `reference`."""
    return solved(problem, How(floors, sides, inside)).values


@dataclass(frozen=True, eq=False)
class Solved:
    """The plan, the least value of each tier, and what energy costs in the zone.

    ``zone_price_per_kwh`` (T,): price of the grid with all that limits the zone: PRE,
    energy windows, peak. None where binaries were needed.
    """

    solution: Solution
    values: dict[str, float]
    zone_price_per_kwh: Floats | None


def solved(problem: Problem, how: How = EXACT) -> Solved:
    """Solve all tiers; as `reference`."""
    tiers = _solved_tiers(problem, how, exclusive=how.floors)
    if not how.floors and tiers.model.does_both():
        tiers = _solved_tiers(problem, how, exclusive=True)
    return Solved(tiers.solution(), tiers.values, tiers.zone_price)


def _solved_tiers(problem: Problem, how: How, exclusive: bool) -> "_Tiers":
    """Solve with more slack between tiers where less leaves HiGHS no plan."""
    for slack in SLACKS[exclusive:-1]:
        try:
            return _Tiers(Model(problem, how, exclusive, slack))
        except PlannerError:
            continue
    return _Tiers(Model(problem, how, exclusive, SLACKS[-1]))


class _Tiers:
    """Solves every tier of a model in order."""

    def __init__(self, model: Model) -> None:
        self.model, self.values = model, dict[str, float]()
        problem, m = model.problem, model.m
        classes = [int(c) for c in np.unique(problem.priority)]
        members = {c: np.flatnonzero(problem.priority == c).tolist() for c in classes}
        self._tier("violation_wh", sum(m.outside.values()), 1000.0)
        self.service = self._service_prices(list(members.values()))
        for c in classes:
            goal = sum(m.unmet_min[i] for i in members[c])
            self._tier(f"unmet_min_wh/{c}", goal, 1000.0)
        for c in classes:
            goal = sum(m.unmet_min[i] + m.unmet_beyond[i] for i in members[c])
            self._tier(f"unmet_target_wh/{c}", goal, 1000.0)
        low = np.abs(problem.energy_min_wh) / 1000.0
        beyond = (problem.energy_target_wh - problem.energy_min_wh) / 1000.0
        for name, unmet, part in (
            ("short_min", m.unmet_min, low),
            ("short_target", m.unmet_beyond, beyond),
        ):
            for c in classes:
                shares = [unmet[i] / max(part[i], 1e-3) for i in members[c]]
                self._policy(f"{name}/{c}", shares)
        self._tier("money", self._money(), 1.0)
        self.prices = self._prices()
        self.stored = self._stored_prices()
        self.zone_price = None if model.mixed else self._zone_price()
        steps, hours = model.steps, model.hours
        self._tier("early", sum(t * hours[t] * m.zone[t] for t in steps), 1000.0)
        self.values["moved_wh"] = 0.0
        if problem.previous_power_w is not None and problem.n_evse:
            self._tier("moved_wh", self._moved(), 1000.0)

    def _tier(self, name: str, goal: Any, unit: float) -> None:
        value = self.model.minimise(goal)
        self.model.bind(goal, value)
        self.values[name] = value * unit

    def _policy(self, name: str, shares: list[Any]) -> None:
        if sum(pyo.value(share) for share in shares) <= NOTHING:
            # The unmet energies are bound to 0 already.
            self.values[name] = 0.0
        elif self.model.problem.shortage is Shortage.FINISH_MOST:
            self._tier(name, sum(shares), 1.0)
        else:
            for k in range(1, len(shares) + 1):
                greatest = self._sum_of_greatest(shares, k)
                value = self.model.minimise(greatest)
                self.model.bind(greatest, value)
                self.values.setdefault(name, value)

    def _sum_of_greatest(self, shares: list[Any], k: int) -> Any:
        """Return what is at least the sum of the k greatest, and can be just that."""
        m = self.model.m
        pivot = m.pivots.add()
        goal = k * pivot
        for share in shares:
            above = m.above.add()
            m.rules.add(above >= share - pivot)
            goal += above
        return goal

    def _money(self) -> Any:
        model, problem, m = self.model, self.model.problem, self.model.m
        buy, worth = problem.price_per_kwh, problem.worth_per_kwh
        m.bill = pyo.Var(model.steps)
        m.peak = pyo.Var(bounds=(problem.peak_so_far_w / 1000.0, None))
        for t in model.steps:
            m.rules.add(m.bill[t] >= buy[t] * model.hours[t] * m.zone[t])
            if problem.has_v2g:
                m.rules.add(m.bill[t] >= worth[t] * model.hours[t] * m.zone[t])
            m.rules.add(m.peak >= m.zone[t])
        worn = sum(
            model.hours[t] * m.discharge[i, t] for i in model.evs for t in model.steps
        )
        goal = sum(m.bill.values()) + problem.wear_per_kwh * worn
        return goal + problem.peak_per_kw * m.peak

    def _moved(self) -> Any:
        model, m = self.model, self.model.m
        previous = self.model.problem.previous_power_w
        assert previous is not None
        m.moved = pyo.Var(model.evs, model.steps)
        for i in model.evs:
            for t in model.steps:
                change = model.net(i, t) - previous[i, t] / 1000.0
                m.rules.add(m.moved[i, t] >= change)
                m.rules.add(m.moved[i, t] >= -change)
        return sum(
            model.hours[t] * m.moved[i, t] for i in model.evs for t in model.steps
        )

    def _service_prices(self, members: list[list[int]]) -> Floats:
        """Return `Solution.service_price`; energy windows are in the PRE's row.

        Row k: least energy left out of what the classes up to k ask for and the later
        ones were promised.
        """
        model, m = self.model, self.model.m
        rows = 1 + len(model.problem.groups)
        goals = [
            sum(m.unmet_min.values())
            + sum(m.unmet_beyond[i] for own in members[: k + 1] for i in own)
            for k in range(len(members))
        ]
        none = np.zeros((0, rows, model.problem.n_step))
        if model.mixed or not goals or model.minimise(goals[-1]) <= NOTHING:
            return none
        prices = []
        for goal in goals:
            model.minimise(goal)
            zone, groups = self._zone_price(), self._limit_prices()[1:]
            prices.append(np.vstack([zone, groups]))
        return np.array(prices)

    def _zone_price(self) -> Floats:
        """Return what one more kWh used in the zone costs, (T,)."""
        duals = self.model.solver.get_duals(self.model.zone_rows)
        price: Floats = np.array([duals[row] for row in self.model.zone_rows])
        return price / self.model.hours

    def _limit_prices(self) -> Floats:
        """Return what one more kWh of each limit saves, (1 + g, T)."""
        model = self.model
        rows = [
            row
            for at in model.limit_rows
            for pair in at
            for row in pair
            if row is not None
        ]
        duals = model.solver.get_duals(rows)
        prices = np.zeros((1 + len(model.problem.groups), model.problem.n_step))
        for t, at in enumerate(model.limit_rows):
            for r, (upper, lower) in enumerate(at):
                prices[r, t] -= duals[upper] if upper is not None else 0.0
                prices[r, t] += duals[lower] if lower is not None else 0.0
        per_kwh: Floats = prices / model.hours
        return per_kwh

    def _prices(self) -> Floats:
        if self.model.mixed:
            return np.zeros((1 + len(self.model.problem.groups), len(self.model.steps)))
        return self._limit_prices()

    def _stored_prices(self) -> Floats | None:
        model = self.model
        if model.mixed or not model.problem.has_v2g:
            return None
        duals = model.solver.get_duals(list(model.stored_row.values()))
        worth = [
            [-duals[model.stored_row[i, t]] for t in model.steps] for i in model.evs
        ]
        return np.array(worth)

    def solution(self) -> Solution:
        """Return the plan of the last tier."""
        charge, discharge = self.model.power()
        return Solution(
            power_w=(charge - discharge) * 1000.0,
            pre_price_per_kwh=self.prices[0],
            group_price_per_kwh=self.prices[1:],
            service_price=self.service,
            stored_price_per_kwh=self.stored,
        )
