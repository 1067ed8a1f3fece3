"""Least cost of each EV that may discharge, given prices of what the EVs share.

The cost of having gained g Wh by the end of a step is convex and piecewise linear in g.
A step adds a segment for discharging less and one for charging, merged by slope; the
battery's bounds cut the ends off. So the least cost is exact, battery and losses
included; charge and discharge in one step are allowed.
"""

import numpy as np
from numba import njit

from optimizer.kernels.certify import Floats, Ints, fill_row


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
        fill_row(most_w, i, start, stop, in_w)
        fill_row(least_w, i, start, stop, out_w)
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
