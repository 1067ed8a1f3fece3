"""Service in a shortage of floors: the policy that shares the PRE out to real cars.

Real cars draw nothing below their floor, taper, and finish early: a plan that gives all
to the first of an order strands PRE on them. `rounded` turns a linear plan into whole
watts, 0 or at least the floor, step by step: `optimizer.kernels.rounding`. Who comes
first is `optimizer.order_of_service`'s.
"""

import numpy as np

from optimizer.checks import Floats
from optimizer.kernels.rounding import NONE_WH, round_steps
from optimizer.order_of_service import service_order
from optimizer.problem import Problem


def rounded(problem: Problem, linear_w: Floats) -> Floats:
    """Return the plan to issue, whole watts, for a linear plan (n, T) [W]."""
    hours = problem.step_s / 3600
    meets_all = (linear_w @ hours >= problem.energy_target_wh - NONE_WH).all()
    power = np.zeros((problem.n_evse, problem.n_step))
    round_steps(
        linear_w,
        bool(meets_all),
        np.floor(np.where(problem.available(), problem.power_max_w, 0.0)),
        problem.power_floor_w,
        problem.energy_target_wh.copy(),
        problem.energy_max_wh.copy(),
        np.floor(problem.pre_upper_w),
        hours,
        service_order(problem),
        power,
    )
    return power
