"""The planner: sends a problem to the solver for its kind, and vouches for the plan.

======================================  ============================================
charging under PRE and groups           `optimizer.charging`, exact
V2G                                     `optimizer.v2g`
line currents                           `optimizer.phased`, where they may bind
energy windows, a price of the peak,    `optimizer.highs`
lower bounds of groups
floors and pilot steps                  `optimizer.floors` repairs the plan; HiGHS with
                                        integers where that is asked for
======================================  ============================================

Every plan gets the certificate of `optimizer.certificate`.
"""

from dataclasses import replace
from math import inf
from time import perf_counter

import numpy as np

from optimizer.certificate import certify
from optimizer.charging import Charging, NoKernel
from optimizer.checks import Floats
from optimizer.floors import has_floors, repaired
from optimizer.highs import Highs, solve_exact_floors
from optimizer.phased import Phased
from optimizer.problem import Problem
from optimizer.result import Result, Status
from optimizer.solution import Solution
from optimizer.tiers import NOTHING_W, Measures, measures_of, tier_values
from optimizer.v2g import V2g

# A line current up to this part of its limit is within it, whatever the rounding.
WITHIN_LIMIT = 1.0 + 1e-9


# EVs × steps up to which a second solver is asked about lines: some tenths of a second.
SMALL_CELLS = 400


class Planner:
    """Plans problem after problem, and keeps what speeds the next one up.

    Parameters
    ----------
    time_limit_s : float
        After this time the best plan so far is returned, with its gap.
    exact_floors : bool
        Whether floors and pilot steps are met by integer programming, not by repair.
    """

    def __init__(self, time_limit_s: float = inf, exact_floors: bool = False) -> None:
        self.time_limit_s = time_limit_s
        self.exact_floors = exact_floors
        self._charging = Charging()
        self._v2g, self._highs = V2g(), Highs()
        self._phased = Phased(self._highs)

    def plan(self, problem: Problem) -> Result:
        """Return the plan of a problem.

        Raises
        ------
        PlannerError
            when no solver finds a plan, though there always is one.
        """
        begun = perf_counter()
        solution = self._solve(problem, begun + self.time_limit_s)
        solved = perf_counter()
        power_w = solution.power_w
        if has_floors(problem) and not self.exact_floors:
            power_w = repaired(problem, power_w)
        result = _result(problem, power_w, solution)
        ended = perf_counter()
        timing = {"solve": solved - begun, "check": ended - solved}
        return replace(result, timing=timing | {"total": ended - begun})

    def _solve(self, problem: Problem, deadline: float) -> Solution:
        if self.exact_floors and has_floors(problem):
            return solve_exact_floors(problem, deadline)
        if problem.phases is not None:
            return self._within_lines(problem, deadline)
        if problem.has_v2g:
            return self._v2g.solve(problem, deadline)
        problem = _without_discharge_before(problem)
        try:
            return self._charging.solve(problem, deadline)
        except NoKernel:
            return self._highs.solve(problem, deadline)

    def _within_lines(self, problem: Problem, deadline: float) -> Solution:
        """Plan without the lines, which is exact where none of them binds."""
        assert problem.phases is not None
        free = self._solve(replace(problem, phases=None), deadline)
        current_a = problem.phases.current_a(free.power_w)
        if (current_a <= problem.phases.limit_a[:, None] * WITHIN_LIMIT).all():
            return free
        if any((group.lower_w > 0.0).any() for group in problem.groups):
            return self._highs.solve(problem, deadline)
        solution = self._phased.solve(problem, deadline)
        if _may_be_better(problem, measures_of(problem, solution.power_w)):
            return self._highs.solve(problem, deadline)
        return solution


def plan(problem: Problem) -> Result:
    """Return one plan, cold."""
    return Planner().plan(problem)


def _may_be_better(problem: Problem, measures: Measures) -> bool:
    """Whether another solver may find a plan that the one for lines cannot.

    That is where lines keep a PRE from being met, and where one EV's current takes from
    another's and somebody is not served: it charges nobody for the sake of others. The
    latter is only worth the time where the problem is small.
    """
    assert problem.phases is not None
    is_violated = (np.abs(measures.pre_violation_w) > NOTHING_W).any()
    if is_violated and (problem.pre_lower_w > 0.0).any():
        return True
    is_small = problem.n_evse * problem.n_step <= SMALL_CELLS
    is_short = (measures.unmet_target_wh > NOTHING_W).any()
    return bool(is_small and is_short and problem.phases.compensates())


def _without_discharge_before(problem: Problem) -> Problem:
    """Return the problem without power below 0 in the plan in force.

    An EV that may not discharge any more is nearest to that with none; what that lacks
    in ``moved_wh`` is the same for all plans. The kernel relies on it.
    """
    previous_w = problem.previous_power_w
    if previous_w is None or previous_w.min(initial=0.0) >= 0.0:
        return problem
    return replace(problem, previous_power_w=np.maximum(previous_w, 0.0))


def _result(problem: Problem, power_w: Floats, solution: Solution) -> Result:
    measures = measures_of(problem, power_w)
    certificate = certify(
        problem,
        power_w,
        solution.service_price,
        solution.pre_price_per_kwh,
        solution.group_price_per_kwh,
        solution.stored_price_per_kwh,
        solution.zone_price_per_kwh,
    )
    service = solution.service_price
    return Result(
        power_w=power_w,
        status=_status(measures, solution),
        unmet_min_wh=measures.unmet_min_wh,
        unmet_target_wh=measures.unmet_target_wh,
        pre_violation_w=measures.pre_violation_w,
        group_violation_w=measures.group_violation_w,
        pre_price_per_kwh=solution.pre_price_per_kwh,
        group_price_per_kwh=solution.group_price_per_kwh,
        pre_service_price=service[-1, 0] if service.size else np.zeros(problem.n_step),
        certificate=certificate,
        objective=tier_values(problem, measures),
    )


def _status(measures: Measures, solution: Solution) -> Status:
    if not solution.finished:
        return Status.TIME_LIMIT
    gave = (
        measures.unmet_target_wh.any()
        or measures.pre_violation_w.any()
        or measures.group_violation_w.any()
        or (np.abs(measures.window_violation_w) > NOTHING_W).any()
    )
    return Status.BEST_EFFORT if gave else Status.OPTIMAL
