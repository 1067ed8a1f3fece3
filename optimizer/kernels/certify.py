"""Least cost of each EV on its own, given prices of what the EVs share.

Dual bounds are sums of these, so they need only be the exact least cost of a small
problem each; nothing is taken from how a plan was made.

The cheapest steps come first, up to the energy that is due, and further while they cost
less than nothing. The multiplier m read from the plan (the dearest step it uses) gives
``m need + sum min(0, cost - m) most``; where that is not yet the plan's own cost, the
steps are filled in their order. `certify_batteries` has EVs that may discharge.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Power that counts as used when the dearest used step is sought [W].
USED_W = 1e-3
# The plan's cost and the bound of its multiplier agree: then it is the least cost.
SAME = 1e-13
# Sums may be reordered; that a NaN is in the plan is found in what they add up to.
_SUMS = {"reassoc", "nsz", "nnan", "contract"}


@njit(cache=True, nogil=True, fastmath=_SUMS)
def charging_plan(
    power_w: Floats,
    most_w: Floats,
    arrival_step: Ints,
    departure_step: Ints,
    hours: Floats,
    efficiency: Floats,
    due_wh: Floats,
    most_wh: Floats,
    node: Ints,
    cost_per_wh: Floats,
    order: Ints,
    energy_wh: Floats,
    node_w: Floats,
    wrong_w: Floats,
) -> float:
    """Measure a plan without discharge, and bound its cost from below.

    Parameters
    ----------
    power_w : ndarray of float64, shape (n, T)
        The plan [W]. Not modified.
    most_w : ndarray of float64, shape (n, T) or (n, 1)
        Greatest powers [W]. Not modified.
    arrival_step, departure_step : ndarray of int64, shape (n,)
        Presence, within 0..T. Not modified.
    hours : ndarray of float64, shape (T,)
        Length of each step [h]. Not modified.
    efficiency, due_wh, most_wh : ndarray of float64, shape (n,)
        Of charging; into the battery: energy that is due at most, energy it takes
        [Wh]. Due is what the plan gives of it. Not modified.
    node : ndarray of int64, shape (n,)
        Smallest group of each EV, 0 the zone itself. Not modified.
    cost_per_wh : ndarray of float64, shape (nodes, T)
        Price of energy to the members of a node, with the prices of all limits above
        them. Not modified.
    order : ndarray of int64, shape (nodes, T)
        Steps by that price. Not modified.
    energy_wh : ndarray of float64, shape (n,)
        Energy into the batteries [Wh]. Overwritten.
    node_w : ndarray of float64, shape (nodes, T)
        Power of the EVs whose smallest group the node is [W]. Added to.
    wrong_w : ndarray of float64, shape (n,)
        Power outside bounds and presence, summed over the steps [W]. Overwritten.

    Returns
    -------
    float
        Sum of the least costs.
    """
    n, n_step = power_w.shape
    cap_w = np.empty(n_step)
    total = 0.0
    for i in range(n):
        start, stop, at = arrival_step[i], departure_step[i], node[i]
        fill_row(most_w, i, start, stop, cap_w)
        power, price, sums = power_w[i], cost_per_wh[at], node_w[at]
        wrong, energy, spent, used = 0.0, 0.0, 0.0, -np.inf
        for t in range(start):
            wrong += abs(power[t])
        for t in range(stop, n_step):
            wrong += abs(power[t])
        for t in range(start, stop):
            sums[t] += power[t]
        for t in range(start, stop):
            wrong += max(power[t] - cap_w[t], 0.0) + max(-power[t], 0.0)
            grid_wh = power[t] * hours[t]
            energy += grid_wh
            spent += price[t] * grid_wh
            used = max(used, price[t] if power[t] > USED_W else -np.inf)
        energy_wh[i], wrong_w[i] = energy * efficiency[i], wrong
        due = min(energy, due_wh[i] / efficiency[i])
        most = most_wh[i] / efficiency[i]
        multiplier = _multiplier(energy, due, most, used, np.inf)
        least = _least(multiplier, due, most, price, cap_w, hours, start, stop)
        if spent - least > SAME * (abs(spent) + 1.0):
            steps = order[at]
            least = _filled(due, most, np.inf, price, steps, cap_w, hours, start, stop)
        total += least
    return total


@njit(cache=True, nogil=True, fastmath=_SUMS)
def charging_service(
    power_w: Floats,
    most_w: Floats,
    arrival_step: Ints,
    departure_step: Ints,
    hours: Floats,
    efficiency: Floats,
    wanted_wh: Floats,
    most_wh: Floats,
    node: Ints,
    cost: Floats,
    order: Ints,
    energy_wh: Floats,
) -> float:
    """Bound the energy left out of what is wanted, limits at their prices.

    Arguments as `charging_plan`; ``cost`` is energy left out per Wh of a limit, and
    ``energy_wh`` is not modified.

    Returns
    -------
    float
        Sum over EVs of the least of energy left out plus the price of what is used.
    """
    n, n_step = power_w.shape
    cap_w = np.empty(n_step)
    total = 0.0
    for i in range(n):
        start, stop, at = arrival_step[i], departure_step[i], node[i]
        fill_row(most_w, i, start, stop, cap_w)
        power, price, worth = power_w[i], cost[at], efficiency[i]
        spent, used = 0.0, -np.inf
        for t in range(start, stop):
            spent += price[t] * power[t] * hours[t]
            used = max(used, price[t] if power[t] > USED_W else -np.inf)
        energy, due = energy_wh[i] / worth, wanted_wh[i] / worth
        most = most_wh[i] / worth
        spent += worth * max(0.0, due - energy)
        multiplier = _multiplier(energy, due, most, used, worth)
        least = _least(multiplier, due, most, price, cap_w, hours, start, stop)
        if spent - least > SAME * (abs(spent) + 1.0):
            steps = order[at]
            least = _filled(due, most, worth, price, steps, cap_w, hours, start, stop)
        total += least
    return total


@njit(cache=True, nogil=True)
def fill_row(most_w: Floats, i: int, start: int, stop: int, cap_w: Floats) -> None:
    """Copy an EV's powers (n, T), or repeat the one of (n, 1), into (T,)."""
    if most_w.shape[1] == 1:
        most = most_w[i, 0]
        for t in range(start, stop):
            cap_w[t] = most
    else:
        for t in range(start, stop):
            cap_w[t] = most_w[i, t]


@njit(cache=True, nogil=True)
def _multiplier(
    energy: float, due: float, most: float, used: float, worth: float
) -> float:
    """Return the price at which the EV would stop where the plan stops."""
    slack = 1e-6 + 1e-9 * most
    if energy < due - slack:
        return worth
    if energy <= due + slack:
        return min(max(used, 0.0), worth)
    return min(used, 0.0) if energy >= most - slack else 0.0


@njit(cache=True, nogil=True, fastmath=_SUMS)
def _least(
    multiplier: float,
    due: float,
    most: float,
    price: Floats,
    cap_w: Floats,
    hours: Floats,
    start: int,
    stop: int,
) -> float:
    """Return the bound that a multiplier of the EV's energy gives."""
    least = multiplier * (due if multiplier >= 0.0 else most)
    for t in range(start, stop):
        least += min(price[t] - multiplier, 0.0) * cap_w[t] * hours[t]
    return least


@njit(cache=True, nogil=True)
def _filled(
    due: float,
    most: float,
    worth: float,
    price: Floats,
    order: Ints,
    cap_w: Floats,
    hours: Floats,
    start: int,
    stop: int,
) -> float:
    """Return the least cost: steps by price, with energy left out at its worth."""
    cost, energy = 0.0, 0.0
    for t in order:
        if start <= t < stop:
            if price[t] >= worth or (price[t] >= 0.0 and energy >= due):
                break
            upto = most if price[t] < 0.0 else min(due, most)
            more = min(cap_w[t] * hours[t], upto - energy)
            cost += price[t] * max(more, 0.0)
            energy += max(more, 0.0)
    if energy < due and worth < np.inf:
        cost += worth * (due - energy)
    return cost


@njit(cache=True, nogil=True)
def off_steps_w(power_w: Floats, floor_w: Floats, step_w: Floats) -> float:
    """Return how far powers are from what their EVSEs can set.

    Parameters
    ----------
    power_w : ndarray of float64, shape (n, T)
        The plan [W]. Not modified.
    floor_w, step_w : ndarray of float64, shape (n,)
        Least power that is not 0; whole multiples of the step, 0 for any [W]. Not
        modified.

    Returns
    -------
    float
        Greatest distance to 0, to the floor or to a multiple [W].
    """
    worst = 0.0
    for i in range(power_w.shape[0]):
        for t in range(power_w.shape[1]):
            size = abs(power_w[i, t])
            worst = max(worst, min(size, floor_w[i] - size))
            if step_w[i] > 0.0:
                worst = max(worst, abs(size - step_w[i] * np.round(size / step_w[i])))
    return worst
