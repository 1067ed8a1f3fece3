"""EVs, their limits and the plan so far: what fits, and what a change leaves."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from optimizer.kernels.floors_row import Row

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Site(NamedTuple):
    """EVs, limits and the plan so far; what `_put` changes is marked."""

    hours: Floats  # (T,)
    cheap: Ints  # (T,) steps, cheapest first
    price: Floats  # (T,)
    low_w: Floats  # (n,) least power that is not 0
    step_w: Floats  # (n,) 0 where any power will do
    high_w: Floats  # (n, T) greatest power, whole steps, 0 where below the floor
    deep_w: Floats  # (n, T) the same of discharge, or (1, 1)
    charge_efficiency: Floats  # (n,)
    discharge_efficiency: Floats  # (n,)
    both_ways: NDArray[np.bool_]  # (n,)
    most_wh: Floats  # (n,) at departure
    lowest_wh: Floats  # (n,) after any step
    highest_wh: Floats  # (n,)
    leaf: Ints  # (n,) node of the EV in the tree of limits
    parent: Ints  # (g,) -1 above node 0
    above_w: Floats  # (g, T) room under the upper bound; changed
    below_w: Floats  # (g, T) room over the lower bound; changed
    window: Ints  # (k, 2) first step and end
    window_wh: Floats  # (k, 2) room under the upper and over the lower bound; changed
    share: Floats  # (m, n, 2) current of a line per watt, two parts
    limit_a: Floats  # (m,)
    line_a: Floats  # (m, T, 2); changed
    power_w: Floats  # (n, T) the plan; changed
    gained_wh: Floats  # (n,) changed


@njit(cache=True, nogil=True)
def empty_row(site: Site) -> Row:
    """Return a row for `take` to fill."""
    n_step = site.hours.size
    return Row(
        np.empty(n_step),
        np.empty(n_step),
        np.empty(n_step),
        np.empty(n_step),
        np.empty(n_step),
        site.price,
        site.cheap,
    )


@njit(cache=True, nogil=True)
def take(site: Site, i: int, row: Row) -> None:
    """Fill the row of an EV: its plan, and what the limits leave it."""
    power_w, least_w, most_w = row.power_w, row.least_w, row.most_w
    above_w, below_w, parent = site.above_w, site.below_w, site.parent
    high_w, has_more, leaf = site.high_w, has_others(site), site.leaf[i]
    power_w[:] = site.power_w[i]
    row.wh[:] = site.hours * site.charge_efficiency[i]
    row.out_wh[:] = site.hours / site.discharge_efficiency[i]
    for t in range(power_w.size):
        more = under_nodes(above_w, parent, leaf, t, high_w[i, t] - power_w[t])
        less = under_nodes(below_w, parent, leaf, t, power_w[t])
        if has_more:
            more = under_others(site, i, t, 1.0, more)
            less = under_others(site, i, t, -1.0, less)
        if power_w[t] < 0.0:  # discharge stays
            more, less = 0.0, 0.0
        most_w[t], least_w[t] = power_w[t] + more, power_w[t] - less


@njit(cache=True, nogil=True)
def give(site: Site, i: int, row: Row) -> None:
    """Take over what changed in a row."""
    for t in range(row.power_w.size):
        if row.power_w[t] != site.power_w[i, t]:
            put(site, i, t, row.power_w[t])


@njit(cache=True, nogil=True)
def put(site: Site, i: int, t: int, power_w: float) -> None:
    """Set a charging power and what depends on it."""
    more_w = power_w - site.power_w[i, t]
    site.power_w[i, t] = power_w
    site.gained_wh[i] += more_w * site.hours[t] * site.charge_efficiency[i]
    load(site.above_w, site.below_w, site.parent, site.leaf[i], t, more_w)
    if has_others(site):
        load_others(site, i, t, more_w)


@njit(cache=True, nogil=True)
def has_others(site: Site) -> bool:
    """Whether there are limits beside the tree of nodes."""
    return bool(site.window.size + site.limit_a.size > 0)


@njit(cache=True, nogil=True)
def under_nodes(
    room_w: Floats, parent: Ints, node: int, t: int, most_w: float
) -> float:
    """Return how much of a power fits at a node and above it [W]."""
    while node >= 0:
        most_w = min(most_w, room_w[node, t])
        node = parent[node]
    return max(most_w, 0.0)


@njit(cache=True, nogil=True)
def under_others(site: Site, i: int, t: int, sign: float, most_w: float) -> float:
    """Return what energy windows and line currents leave of more power [W]."""
    for k in range(site.window.shape[0]):
        if site.window[k, 0] <= t < site.window[k, 1]:
            wh = site.window_wh[k, 0 if sign > 0.0 else 1]
            most_w = min(most_w, wh / site.hours[t])
    for m in range(site.limit_a.size):
        x, y = sign * site.share[m, i, 0], sign * site.share[m, i, 1]
        size = x * x + y * y
        if size > 0.0:
            a, b = site.line_a[m, t, 0], site.line_a[m, t, 1]
            along, over = a * x + b * y, a * a + b * b - site.limit_a[m] ** 2
            root = np.sqrt(max(along * along - size * over, 0.0))
            most_w = min(most_w, 0.0 if over > 0.0 else (root - along) / size)
    return max(most_w, 0.0)


@njit(cache=True, nogil=True)
def load(
    above_w: Floats, below_w: Floats, parent: Ints, node: int, t: int, more_w: float
) -> None:
    """Count more power at a node and above it."""
    while node >= 0:
        above_w[node, t] -= more_w
        below_w[node, t] += more_w
        node = parent[node]


@njit(cache=True, nogil=True)
def load_others(site: Site, i: int, t: int, more_w: float) -> None:
    """Count more power in energy windows and line currents."""
    for k in range(site.window.shape[0]):
        if site.window[k, 0] <= t < site.window[k, 1]:
            site.window_wh[k, 0] -= more_w * site.hours[t]
            site.window_wh[k, 1] += more_w * site.hours[t]
    for m in range(site.limit_a.size):
        site.line_a[m, t, 0] += more_w * site.share[m, i, 0]
        site.line_a[m, t, 1] += more_w * site.share[m, i, 1]


@njit(cache=True, nogil=True)
def is_inside(site: Site, i: int, node: int) -> bool:
    """Return whether an EV is at or below a node."""
    v = site.leaf[i]
    while v > node:
        v = site.parent[v]
    return bool(v == node)
