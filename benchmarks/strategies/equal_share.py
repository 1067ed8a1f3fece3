"""Equal share: the PRE split evenly over the EVs that ask."""

import numpy as np

from optimizer.problem import Problem
from optimizer.result import Result


def plan(problem: Problem) -> Result:
    """Return the plan that gives every EV the same share at each step.

    When a share is below the floor, as many EVs as fit get their floor, by arrival.
    What a car does not take is not given to another.
    """
    power = np.zeros((problem.n_evse, problem.n_step))
    asks = (problem.energy_max_wh > 0) & (problem.power_max_w > 0).any(axis=1)
    order = np.argsort(problem.arrival_rank, kind="stable")
    for t in range(problem.n_step):
        room = problem.pre_upper_w[t]
        asking = [
            i
            for i in order
            if asks[i] and problem.arrival_step[i] <= t < problem.departure_step[i]
        ]
        while asking:
            share = room / len(asking)
            if share >= max(problem.power_floor_w[i] for i in asking):
                break
            asking.pop()
        for i in asking:
            power[i, t] = np.floor(min(share, problem.evse_max_w[i]))
    return Result.of_power(problem, power)
