"""What a solver hands to the planner: powers and prices, nothing derived from them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from optimizer.checks import Floats
from optimizer.problem import Problem


@dataclass(frozen=True, eq=False)
class Solution:
    """A plan before floors, steps and certificate.

    Parameters
    ----------
    power_w : (n, T)
        [W].
    pre_price_per_kwh : (T,)
        Multipliers of the PRE in the money tier: >= 0 where the upper limit binds, <= 0
        where the lower one does.
    group_price_per_kwh : (g, T)
        The same for the groups.
    service_price : (k, 1 + g, T)
        Multipliers (0..1) of PRE (first row) and groups in the tiers of asked-for
        energy, for the classes up to each of the k (in the order of their numbers)
        taken together. Empty (0, 1 + g, T) where every target is met.
    stored_price_per_kwh : (n, T), optional
        V2G: worth of a kWh in the battery after each step in the money tier.
    zone_price_per_kwh : (T,), optional
        Price of a kWh in the zone in the money tier: the grid's and those of all that
        limits the zone, energy windows and the peak among them. The grid's and the
        PRE's where not given.
    finished : bool
        False when a time limit ended it early.
    """

    power_w: Floats
    pre_price_per_kwh: Floats
    group_price_per_kwh: Floats
    service_price: Floats
    stored_price_per_kwh: Floats | None = None
    zone_price_per_kwh: Floats | None = None
    finished: bool = True

    @classmethod
    def without_prices(cls, problem: Problem, power_w: Floats) -> "Solution":
        """Return a solution that claims no worth of any limit."""
        rows, n_step = 1 + len(problem.groups), problem.n_step
        return cls(
            power_w,
            np.zeros(n_step),
            np.zeros((rows - 1, n_step)),
            np.zeros((0, rows, n_step)),
        )


class Solver(Protocol):
    """Solves every tier of a problem, floors and pilot steps left out."""

    def solve(self, problem: Problem, deadline: float = ...) -> Solution:
        """Return the plan; at ``deadline`` (perf_counter [s]) the best one so far."""
        ...
