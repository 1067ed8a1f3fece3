"""Every problem on HiGHS: the tiers in strict order, as linear programmes.

For what has no kernel of its own, and to check those that have one. Charging within
PRE, groups and windows is one linear programme a tier (`model`, `sequence`); line
currents are cut when a plan would exceed them (`cuts`); one direction at a time in V2G
takes integers only where burning energy pays (`directions`).
"""

from dataclasses import replace
from math import inf

import numpy as np

from optimizer.checks import Floats
from optimizer.highs.directions import Directions
from optimizer.highs.fallback import greedy_w
from optimizer.highs.model import Model
from optimizer.highs.prices import Prices, prices_of
from optimizer.highs.programme import OutOfTime
from optimizer.highs.sequence import TierSequence
from optimizer.problem import Problem
from optimizer.result import PlannerError
from optimizer.solution import Solution
from optimizer.tiers import measures_of, tier_values

# What a tier that integers keep may lose to later ones, tried in turn.
MORE_ROOM = (1e-8, 1e-7, 1e-6)

__all__ = ["Highs", "solve_exact_floors"]


class Highs:
    """Solves every tier on HiGHS; nothing is kept between calls.

    Attributes
    ----------
    gaps : dict
        Of the last call, by tier: how much better than the plan's value one on the
        exact norms of line currents could be at most [kWh, price, step kWh]. Each is
        given what the tiers before it reached; empty without phases.
    """

    def __init__(self) -> None:
        self.gaps: dict[str, float] = {}

    def solve(self, problem: Problem, deadline: float = inf) -> Solution:
        """Return the plan; at ``deadline`` (perf_counter [s]) the best one so far.

        Raises
        ------
        PlannerError
            when HiGHS fails by every method.
        """
        return self._solve(problem, deadline, with_floors=False)

    def _solve(self, problem: Problem, deadline: float, with_floors: bool) -> Solution:
        self.gaps = {}
        model = Model(problem)
        if model.n_cell == 0:
            return _idle(problem)
        relaxed = TierSequence(model, deadline)
        integer: TierSequence | None = None
        rooms = iter(MORE_ROOM)
        try:
            x = relaxed.run()
            prices = prices_of(relaxed, x)
            self.gaps = relaxed.gaps
            directions = Directions(model, with_floors)
            if with_floors or directions.burning(x).any():
                while True:
                    integer = TierSequence(model, deadline, directions, next(rooms))
                    try:
                        x = integer.run(known_impossible=relaxed.gave_way)
                        break
                    except PlannerError:
                        # A kept tier may leave integers no point within tolerances.
                        if integer.room == MORE_ROOM[-1]:
                            raise
                        directions = Directions(model, with_floors)
        except OutOfTime:
            # A relaxed plan may burn energy or fall below floors.
            last = relaxed if integer is None and not with_floors else integer
            power_w = _best_so_far(model, last)
            return replace(Solution.without_prices(problem, power_w), finished=False)
        return _solution(model.power_w(x), prices)


def solve_exact_floors(problem: Problem, deadline: float = inf) -> Solution:
    """Return the plan whose powers are 0 or at least the floor, in whole pilot steps.

    Every tier by branch and bound. Prices are those without floors and steps: they
    still bound what a plan can reach.

    Raises
    ------
    PlannerError
        when HiGHS fails by every method.
    """
    return Highs()._solve(problem, deadline, with_floors=True)


def _solution(power_w: Floats, prices: Prices) -> Solution:
    return Solution(
        power_w,
        prices.pre_per_kwh,
        prices.group_per_kwh,
        prices.service,
        prices.stored_per_kwh,
        zone_price_per_kwh=prices.zone_per_kwh,
    )


def _idle(problem: Problem) -> Solution:
    """Return the plan of EVs that can take nothing; more of a limit serves nobody."""
    shape = (problem.n_evse, problem.n_step)
    return Solution.without_prices(problem, np.zeros(shape))


def _best_so_far(model: Model, sequence: TierSequence | None) -> Floats:
    """Return the better of what the tiers came to and what takes no solver."""
    plans = [greedy_w(model)]
    directions = Directions(model)
    for x in () if sequence is None else sequence.candidates():
        if not directions.burning(x).any():
            plans.append(model.power_w(x))
    return min(plans, key=lambda power_w: _rounded_values(model.problem, power_w))


def _rounded_values(problem: Problem, power_w: Floats) -> list[float]:
    values = tier_values(problem, measures_of(problem, power_w))
    return [round(value, 3) for value in values.values()]
