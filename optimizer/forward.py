"""Forward pass"""
import numpy as np
from optimizer.problem import Problem
from optimizer.result import Result, Status

MODE = "floors"

def plan(problem: Problem) -> Result:
    n, T = problem.n_evse, problem.n_step
    power = np.zeros((n, T))
    left_t = problem.energy_target_wh.copy()
    left_m = problem.energy_max_wh.copy()
    avail = problem.available()
    floor = problem.power_floor_w
    order = np.lexsort((np.arange(n), problem.energy_expected_wh, problem.priority))
    for t in range(T):
        dt = problem.step_s[t] / 3600
        room = problem.pre_upper_w[t]
        x = power[:, t]
        cap = np.where(avail[:, t], problem.power_max_w[:, t], 0)
        ok = (cap >= floor) & (left_m > 1e-6)
        want = np.minimum(cap, np.maximum(left_t / dt, floor)); want[(left_t <= 0)] = 0; want[~ok] = 0
        most = np.minimum(cap, np.maximum(left_m / dt, floor)); most[~ok] = 0
        for cls in (want, most):
            o = order if cls is want else order
            if MODE == "floors":
                for i in o:
                    if x[i] == 0 and cls[i] > 0 and floor[i] <= room:
                        x[i] = floor[i]; room -= floor[i]
                for i in o:
                    if x[i] > 0:
                        add = min(cls[i] - x[i], room)
                        if add > 0: x[i] += add; room -= add
            elif MODE == "conc":
                for i in o:
                    add = min(cls[i] - x[i], room)
                    if add > 0 and x[i] + add >= floor[i]:
                        x[i] += add; room -= add
            elif MODE == "even":
                for i in o:
                    if x[i] == 0 and cls[i] > 0 and floor[i] <= room:
                        x[i] = floor[i]; room -= floor[i]
                act = [i for i in o if x[i] > 0 and cls[i] > x[i]]
                act.sort(key=lambda i: cls[i] - x[i])
                for k, i in enumerate(act):
                    add = min(cls[i] - x[i], room / (len(act) - k))
                    x[i] += add; room -= add
        e = x * dt
        left_t = np.maximum(left_t - e, 0); left_m = left_m - e
    unmet = left_t
    return Result(power, Status.OPTIMAL if unmet.sum() < 1 else Status.BEST_EFFORT, unmet)
