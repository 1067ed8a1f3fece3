"""Who is served first in a shortage; why is in docs/adr/0005."""

import numpy as np

from optimizer.checks import Ints
from optimizer.problem import Problem

# In the order of service an EV expected to take 1 kWh more comes this much later [h].
ORDER_H_PER_WH = 0.18 / 1_000
# Drivers leave late: nobody is expected to leave sooner than this [h].
LEAST_STAY_H = 2.0
# The class of EVs that are offered what is left.
OFFERED = 2


def service_order(problem: Problem) -> Ints:
    """Return the EVs in their order of service, those offered again last.

    By laxity, the hours an EV could wait and still take what it is expected to take,
    plus hours for that energy: who stays can be served when the shortage is over, who
    needs the whole stay cannot, and many small needs go before one large. An overdue
    EV counts like one that leaves within `LEAST_STAY_H`, and after it among equals.
    """
    expected_wh = problem.energy_expected_wh
    until_h = np.concatenate([[0.0], np.cumsum(problem.step_s)]) / 3600
    stay_h = np.maximum(until_h[problem.departure_step], LEAST_STAY_H)
    most_w = problem.power_max_w.max(axis=1)
    takes_h = np.divide(
        expected_wh, most_w, out=np.zeros_like(expected_wh), where=most_w > 0
    )
    lateness_h = stay_h - takes_h + ORDER_H_PER_WH * expected_wh
    is_offered = problem.priority == OFFERED
    return np.lexsort((expected_wh, problem.priority, lateness_h, is_offered))
