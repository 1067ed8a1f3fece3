"""Variables and rules of the allocation problem in Pyomo, for `optimizer.reference`.

kW, kWh and hours inside; the symbols are those of `docs/planner.md`. Hard rules: power
bounds, presence, batteries, energy maxima, line currents. Soft ones, with the energy
outside them: PRE, groups, energy windows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo  # type: ignore[import-untyped]
from pyomo.contrib.appsi.base import (  # type: ignore[import-untyped]
    TerminationCondition,
)
from pyomo.contrib.appsi.solvers import Highs  # type: ignore[import-untyped]

from optimizer.checks import Floats
from optimizer.problem import Problem
from optimizer.result import PlannerError

# Less than this is no power [kW] and no unmet energy [kWh].
NOTHING = 1e-7
POLYGON_SIDES = 96


@dataclass(frozen=True)
class How:
    """How exactly to solve.

    ``floors``: with floors and pilot steps, a mixed-integer programme. ``inside``: the
    polygon of ``sides`` sides inside the circle of each line limit, else around it.
    """

    floors: bool = False
    sides: int = POLYGON_SIDES
    inside: bool = True


class Model:
    """Variables and hard rules."""

    def __init__(
        self, problem: Problem, how: How, exclusive: bool, slack: float
    ) -> None:
        self.problem, self.how, self.slack = problem, how, slack
        self.mixed = exclusive and (problem.has_v2g or how.floors)
        self.whole: list[Any] = []  # binaries and integers
        self.hours = problem.hours
        self.evs, self.steps = range(problem.n_evse), range(problem.n_step)
        self.m = m = pyo.ConcreteModel()
        m.rules = pyo.ConstraintList()
        m.bounds = pyo.ConstraintList()  # tiers already solved
        m.pivots = pyo.VarList(domain=pyo.NonNegativeReals)
        m.above = pyo.VarList(domain=pyo.NonNegativeReals)
        self._powers()
        self._batteries()
        self._unmet()
        self._limits()
        if problem.phases is not None:
            self._lines()
        self.solver = Highs()
        self.solver.config.load_solution = False
        self.solver.highs_options = {
            "primal_feasibility_tolerance": 1e-9,
            "dual_feasibility_tolerance": 1e-9,
            "mip_feasibility_tolerance": 1e-9,
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 1e-9,
            "threads": 1,
        }

    def _powers(self) -> None:
        """charge, discharge >= 0 [kW]; where exclusive, one of them is 0."""
        m, problem = self.m, self.problem
        there = problem.available()
        self.most = np.where(there, problem.power_max_w, 0.0) / 1000.0
        self.least = np.where(there, -problem.power_min_w, 0.0) / 1000.0
        m.charge = pyo.Var(
            self.evs, self.steps, bounds=lambda _, i, t: (0.0, self.most[i, t])
        )
        m.discharge = pyo.Var(
            self.evs, self.steps, bounds=lambda _, i, t: (0.0, self.least[i, t])
        )
        m.zone = pyo.Var(self.steps)
        self.zone_rows = [
            m.rules.add(m.zone[t] == sum(self.net(i, t) for i in self.evs))
            for t in self.steps
        ]
        if self.mixed:
            for i in self.evs:
                for t in self.steps:
                    self._direction(i, t)

    def _direction(self, i: int, t: int) -> None:
        """Add the binaries of one EV and step, and its floor and pilot steps."""
        m, problem = self.m, self.problem
        parts = (
            (m.charge[i, t], self.most[i, t]),
            (m.discharge[i, t], self.least[i, t]),
        )
        floor = problem.power_floor_w[i] / 1000.0 if self.how.floors else 0.0
        step = problem.power_step_w[i] / 1000.0 if self.how.floors else 0.0
        on = []
        for side, (power, most) in enumerate(parts):
            if most == 0.0 or (floor == 0.0 and min(parts[0][1], parts[1][1]) == 0.0):
                if most > 0.0 and step > 0.0:
                    m.rules.add(power == step * self._new(f"k{i}_{t}_{side}", False))
                continue
            on.append(self._new(f"on{i}_{t}_{side}", True))
            m.rules.add(power <= most * on[-1])
            m.rules.add(power >= floor * on[-1])
            if step > 0.0:
                m.rules.add(power == step * self._new(f"k{i}_{t}_{side}", False))
        if len(on) == 2:
            m.rules.add(on[0] + on[1] <= 1)

    def _new(self, name: str, binary: bool) -> Any:
        domain = pyo.Binary if binary else pyo.NonNegativeIntegers
        self.m.add_component(name, pyo.Var(domain=domain))
        self.whole.append(self.m.component(name))
        return self.whole[-1]

    def net(self, i: int, t: int) -> Any:
        """Return the power of an EV [kW]."""
        return self.m.charge[i, t] - self.m.discharge[i, t]

    def _batteries(self) -> None:
        """gain[i, t]: energy got into the battery by the end of step t [kWh]."""
        m, problem = self.m, self.problem
        m.gain = pyo.Var(self.evs, self.steps)
        self.stored_row = {}
        for i in self.evs:
            for t in self.steps:
                got = problem.charge_efficiency[i] * m.charge[i, t]
                gave = m.discharge[i, t] / problem.discharge_efficiency[i]
                before = m.gain[i, t - 1] if t else 0.0
                self.stored_row[i, t] = m.rules.add(
                    m.gain[i, t] == before + self.hours[t] * (got - gave)
                )
            last = m.gain[i, problem.n_step - 1]
            m.rules.add(last <= problem.energy_max_wh[i] / 1000.0)
            if problem.stored_wh is not None and problem.capacity_wh is not None:
                stored, capacity = problem.stored_wh[i], problem.capacity_wh[i]
                for t in self.steps if np.isfinite(stored + capacity) else ():
                    m.gain[i, t].setlb(-stored / 1000.0)
                    m.gain[i, t].setub((capacity - stored) / 1000.0)

    def _unmet(self) -> None:
        """unmet_min, unmet_beyond >= 0 [kWh], the latter at most its part."""
        m, problem = self.m, self.problem
        low, target = problem.energy_min_wh / 1000.0, problem.energy_target_wh / 1000.0
        m.unmet_min = pyo.Var(self.evs, domain=pyo.NonNegativeReals)
        m.unmet_beyond = pyo.Var(
            self.evs, bounds=lambda _, i: (0.0, target[i] - low[i])
        )
        for i in self.evs:
            energy = m.gain[i, problem.n_step - 1]
            m.rules.add(m.unmet_min[i] >= low[i] - energy)
            m.rules.add(m.unmet_min[i] + m.unmet_beyond[i] >= target[i] - energy)

    def _limits(self) -> None:
        """PRE, groups, energy windows: soft, with the energy outside them [kWh]."""
        m, problem = self.m, self.problem
        m.outside = pyo.VarList(domain=pyo.NonNegativeReals)
        lower, upper = problem.pre_lower_w / 1000.0, problem.pre_upper_w / 1000.0
        self.limit_rows: list[list[Any]] = [
            [self._between(m.zone[t], lower[t], upper[t], self.hours[t])]
            for t in self.steps
        ]
        for group in problem.groups:
            for t in self.steps:
                power = sum(self.net(i, t) for i in group.members.tolist())
                low, high = group.lower_w[t] / 1000.0, group.upper_w[t] / 1000.0
                self.limit_rows[t].append(
                    self._between(power, low, high, self.hours[t])
                )
        for window in problem.energy_windows:
            steps = range(window.start_step, window.stop_step)
            length = float(sum(self.hours[t] for t in steps))
            power = sum(self.hours[t] / length * m.zone[t] for t in steps)
            self._between(
                power, window.lower_w / 1000.0, window.upper_w / 1000.0, length
            )

    def _between(self, power: Any, lower: float, upper: float, hours: float) -> Any:
        """Bound a power; return the rows of its two bounds."""
        rows = []
        for sign, bound in ((1.0, upper), (-1.0, -lower)):
            if np.isfinite(bound):
                over = self.m.outside.add()
                rows.append(self.m.rules.add(sign * power - over / hours <= bound))
            elif bound < 0:
                raise PlannerError("an infinite bound that no power can meet")
            else:
                rows.append(None)
        return rows

    def _lines(self) -> None:
        """Bound |sum of phasors| of each line and step by a polygon."""
        phases, sides = self.problem.phases, self.how.sides
        assert phases is not None
        share = phases.matrix / phases.voltage_v * 1000.0  # A per kW
        limit = phases.limit_a * (np.cos(np.pi / sides) if self.how.inside else 1.0)
        biggest = np.maximum(self.most, self.least)
        for line in range(limit.size):
            own = np.flatnonzero(share[line]).tolist()
            for t in self.steps:
                if np.abs(share[line]) @ biggest[:, t] <= limit[line]:
                    continue
                for angle in 2 * np.pi * np.arange(sides) / sides:
                    part = share[line] * np.cos(phases.phase_rad - angle)
                    self.m.rules.add(
                        sum(float(part[i]) * self.net(i, t) for i in own) <= limit[line]
                    )

    def minimise(self, goal: Any) -> float:
        """Return the least value of an expression.

        With binaries it is the one of the linear programme that they leave: what a
        mixed-integer solver reports may be better by its tolerances than any plan, and
        the next tier would find no plan at all.
        """
        if self.m.component("goal") is not None:
            self.m.del_component("goal")
        self.m.goal = pyo.Objective(expr=goal)
        self._run()
        if self.whole:
            for variable in self.whole:
                variable.fix(round(variable.value))
            self._run()
            for variable in self.whole:
                variable.unfix()
        return float(pyo.value(goal))

    def _run(self) -> None:
        results = self.solver.solve(self.m)
        if results.termination_condition != TerminationCondition.optimal:
            raise PlannerError(f"HiGHS ended with {results.termination_condition}")
        results.solution_loader.load_vars()

    def bind(self, goal: Any, value: float) -> None:
        """Let no later tier worsen this one."""
        self.m.bounds.add(goal <= value + self.slack * max(1.0, abs(value)))

    def power(self) -> tuple[Floats, Floats]:
        """Return charge and discharge of the last solution (n, T) [kW]."""
        shape = (self.problem.n_evse, self.problem.n_step)
        charge, discharge = np.zeros(shape), np.zeros(shape)
        for i in self.evs:
            for t in self.steps:
                charge[i, t] = self.m.charge[i, t].value
                discharge[i, t] = self.m.discharge[i, t].value
        return charge.clip(0.0, self.most), discharge.clip(0.0, self.least)

    def does_both(self) -> bool:
        """Whether the last solution charges and discharges an EV at once, lossy."""
        charge, discharge = self.power()
        lossy = self.problem.charge_efficiency * self.problem.discharge_efficiency < 1
        both = np.minimum(charge, discharge).max(axis=1, initial=0.0)
        return bool((both[lossy] > NOTHING).any())
