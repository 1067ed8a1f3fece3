"""From a linear plan to powers that EVSEs have: 0 or at least the floor, whole steps."""

import numpy as np

from optimizer.checks import Floats
from optimizer.lp import rounded
from optimizer.problem import Problem


def has_floors(problem: Problem) -> bool:
    """Return whether any EV has a floor or pilot steps."""
    return bool(problem.power_floor_w.any() or problem.power_step_w.any())


def repaired(problem: Problem, linear_w: Floats) -> Floats:
    """Return a plan within the rules, (n, T) [W], for one that ignores floors."""
    if not has_floors(problem):
        return linear_w
    if _only_order_matters(problem):
        return rounded(problem, linear_w)
    floor, step = problem.power_floor_w[:, None], problem.power_step_w[:, None]
    unit = np.where(step > 0, step, 1.0)
    size = np.abs(linear_w)
    size = np.where(step > 0, np.floor(size / unit + 1e-9) * unit, size)
    power: Floats = np.where(size >= floor, np.copysign(size, linear_w), 0.0)
    return power


def _only_order_matters(problem: Problem) -> bool:
    """Whether money says nothing about when, and the PRE is the only limit."""
    return bool(
        not problem.groups
        and problem.phases is None
        and not problem.has_v2g
        and not problem.energy_windows
        and not problem.power_step_w.any()
        and problem.peak_per_kw == 0
        and np.ptp(problem.price_per_kwh) == 0
    )
