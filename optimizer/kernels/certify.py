"""Least cost of each EV on its own, given prices of what the EVs share.

Dual bounds are sums of these, so they need only be the exact least cost of a small
problem each; nothing is taken from how a plan was made.

* Charging: the cheapest steps first, up to the energy that is due, and further while
  they cost less than nothing. The multiplier m read from the plan (the dearest step it
  uses) gives ``m need + sum min(0, cost - m) most``; where that is not yet the plan's
  own cost, the steps are filled in their order.
* Batteries: the cost of having gained g Wh by the end of a step is convex and piecewise
  linear in g. A step adds a segment for discharging less and one for charging, merged
  by slope; the battery's bounds cut the ends off.
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
        _fill_row(most_w, i, start, stop, cap_w)
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
        _fill_row(most_w, i, start, stop, cap_w)
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
def _fill_row(most_w: Floats, i: int, start: int, stop: int, cap_w: Floats) -> None:
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


@njit(cache=True, nogil=True)
def battery_costs(
    least_w: Floats,
    most_w: Floats,
    arrival_step: Ints,
    departure_step: Ints,
    hours: Floats,
    charge_efficiency: Floats,
    discharge_efficiency: Floats,
    lowest_wh: Floats,
    highest_wh: Floats,
    due_wh: Floats,
    most_wh: Floats,
    worth: float,
    node: Ints,
    price_per_wh: Floats,
    wear_per_wh: float,
) -> float:
    """Bound the cost of EVs that may discharge, energy at the prices of their nodes.

    Parameters
    ----------
    least_w, most_w : ndarray of float64, shape (n, T) or (n, 1)
        Bounds of powers [W]. Not modified.
    lowest_wh, highest_wh : ndarray of float64, shape (n,)
        Bounds of the energy gained by the end of any step [Wh]. Not modified.
    due_wh, most_wh : ndarray of float64, shape (n,)
        Bounds of the energy gained by departure [Wh]; less than ``due_wh`` costs
        ``worth`` per Wh, infinite where it must be. Not modified.
    price_per_wh : ndarray of float64, shape (nodes, T)
        As ``cost_per_wh`` of `charging_plan`, as are the other arguments.
    wear_per_wh : float
        Price of energy discharged.

    Returns
    -------
    float
        Sum of the least costs; charge and discharge in one step are allowed.
    """
    n, n_step = arrival_step.size, hours.size
    out_w, in_w = np.empty(n_step), np.empty(n_step)
    slope, length = np.empty(2 * n_step), np.empty(2 * n_step)
    total = 0.0
    for i in range(n):
        start, stop, price = arrival_step[i], departure_step[i], price_per_wh[node[i]]
        out, into = discharge_efficiency[i], charge_efficiency[i]
        _fill_row(most_w, i, start, stop, in_w)
        _fill_row(least_w, i, start, stop, out_w)
        gain, cost, first, last = 0.0, 0.0, 0, 0
        for t in range(start, stop):
            out_wh, in_wh = -out_w[t] * hours[t], in_w[t] * hours[t]
            earned = price[t] - wear_per_wh
            if out_wh > 0.0:  # all of it; the segment is what is not discharged
                gain -= out_wh / out
                cost -= earned * out_wh
                last = _insert(slope, length, first, last, earned * out, out_wh / out)
            if in_wh > 0.0:
                price_in = price[t] / into
                last = _insert(slope, length, first, last, price_in, in_wh * into)
            first, gain, cost = _raise_low_end(
                slope, length, first, last, gain, cost, lowest_wh[i]
            )
            last = _lower_high_end(length, first, last, gain, highest_wh[i])
        total += cost + _departure_cost(
            slope, length, first, last, gain, due_wh[i], most_wh[i], worth
        )
    return total


@njit(cache=True, nogil=True)
def _insert(
    slope: Floats, length: Floats, first: int, last: int, new: float, new_length: float
) -> int:
    """Insert a segment by slope; return the new end of the list."""
    k = last
    while k > first and slope[k - 1] > new:
        slope[k], length[k] = slope[k - 1], length[k - 1]
        k -= 1
    slope[k], length[k] = new, new_length
    return last + 1


@njit(cache=True, nogil=True)
def _raise_low_end(
    slope: Floats,
    length: Floats,
    first: int,
    last: int,
    gain: float,
    cost: float,
    lowest: float,
) -> tuple[int, float, float]:
    """Cut off gains below the battery's; return first segment, least gain, its cost."""
    while first < last and gain < lowest:
        step = min(length[first], lowest - gain)
        gain += step
        cost += step * slope[first]
        length[first] -= step
        if length[first] <= 0.0:
            first += 1
    return first, gain, cost


@njit(cache=True, nogil=True)
def _lower_high_end(
    length: Floats, first: int, last: int, gain: float, highest: float
) -> int:
    """Cut off gains above the battery's; return the new end of the list."""
    over = gain - highest
    for k in range(first, last):
        over += length[k]
    while first < last and over > 0.0:
        step = min(length[last - 1], over)
        over -= step
        length[last - 1] -= step
        if length[last - 1] <= 0.0:
            last -= 1
    return last


@njit(cache=True, nogil=True)
def _departure_cost(
    slope: Floats,
    length: Floats,
    first: int,
    last: int,
    gain: float,
    due: float,
    most: float,
    worth: float,
) -> float:
    """Return what it costs to go on from the least gain to the best one."""
    cost = 0.0
    for k in range(first, last):
        if gain < due and slope[k] < worth:
            step = min(length[k], due - gain)
            gain += step
            cost += step * slope[k]
            length[k] -= step
        if slope[k] < 0.0:
            step = max(min(length[k], most - gain), 0.0)
            gain += step
            cost += step * slope[k]
    if gain < due and worth < np.inf:
        cost += worth * (due - gain)
    return cost
