"""Uncontrolled charging: every EV at its EVSE's limit, whatever the PRE says."""

import numpy as np

from optimizer.checks import Floats
from optimizer.problem import Problem
from optimizer.result import Result


def plan(problem: Problem) -> Result:
    """Return the plan that lets every EV take all its EVSE gives."""
    return Result.of_power(problem, _power_w(problem))


class Uncontrolled:
    """The same, as a strategy of the laboratory."""

    name = "uncontrolled"

    def plan(self, problem: Problem) -> Floats:
        """Return powers (n, T) [W]."""
        return _power_w(problem)


def _power_w(problem: Problem) -> Floats:
    return np.where(problem.available(), problem.evse_max_w[:, None], 0.0)
