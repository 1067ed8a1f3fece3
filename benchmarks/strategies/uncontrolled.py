"""Uncontrolled charging: every EV at its EVSE's limit, whatever the PRE says."""

import numpy as np

from optimizer.problem import Problem
from optimizer.result import Result


def plan(problem: Problem) -> Result:
    """Return the plan that lets every EV take all its EVSE gives."""
    power = np.where(problem.available(), problem.evse_max_w[:, None], 0.0)
    return Result.of_power(problem, power)
