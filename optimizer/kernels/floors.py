"""From a linear plan to powers that EVSEs have: 0 or at least the floor, whole steps.

`follow` carries what it cannot do over to the next step. EV i was to have G[i, t] Wh
gained by the end of step t and has g: it would need w = (G[i, t] - g) / h watts. It
gets w where that is at least its floor; the floor where w is at least half of it and
there is room; else nothing. With room for all an EV so is never further behind than
half a floor over the longest step, until less than a floor over a step is missing at
all. Only steps that the linear plan uses for the EV take part: they are the cheap ones.

`serve` gives what is then missing to the cheapest steps with room: more power first;
at last one more floor, for which other steps of the same EV give way. `save` moves
energy to cheaper steps. Both take one EV at a time, the others as they are: a `Row`.
`lift` serves lower bounds.

Compiled code counts references when it passes arrays, which costs more than most loops
here do: so they work on arrays of one EV, or take the arrays out of the tuple first.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from optimizer.kernels.floors_row import (
    NO_W,
    NO_WH,
    Row,
    battery_wh,
    fill,
    move_to_cheaper,
    one_more,
    settable,
)
from optimizer.kernels.floors_site import (
    Site,
    empty_row,
    give,
    has_others,
    is_inside,
    load,
    load_others,
    put,
    take,
    under_nodes,
    under_others,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Parts of a floor an EV must lack to be started, most lacking first.
LACKING = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
# The same in room that the linear plan uses and else nobody would.
LACKING_LESS = (0.4, 0.3, 0.2, 0.1, 0.0)


@njit(cache=True, nogil=True)
def follow(site: Site, order: Ints, linear_w: Floats) -> None:
    """Fill the plan step by step, close behind the linear one.

    Parameters
    ----------
    site : Site
        With an empty plan. Changed.
    order : ndarray of int64, shape (n,)
        EVs, those that go before others first. Not modified.
    linear_w : ndarray of float64, shape (n, T)
        Power of the linear plan [W]. Not modified.
    """
    n, n_step = linear_w.shape
    plan_wh, most_wh, least_wh = _course(site, linear_w)
    who, lack_w, can_w = np.empty(n, np.int64), np.empty(n), np.empty(n)
    for t in range(n_step):
        for sign in (-1.0, 1.0):
            count, total = 0, 0.0
            for i in order:
                if sign * linear_w[i, t] > NO_W:
                    who[count] = i
                    count += 1
                    total += sign * linear_w[i, t]
            if count == 0:
                continue
            here = who[:count]
            _lacks(site, here, t, sign, plan_wh, most_wh, least_wh, lack_w, can_w)
            used = 0.0
            for part in LACKING:
                used += _start(site, here, t, sign, part, np.inf, lack_w, can_w)
            for part in LACKING_LESS:
                used += _start(site, here, t, sign, part, total - used, lack_w, can_w)
            if sign > 0.0:
                _raise(site, here, t, total - used, can_w)
            _credit(site, here, t, sign)


@njit(cache=True, nogil=True)
def _course(site: Site, linear_w: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the energy gained by the plan after each step, and its later extremes."""
    n, n_step = linear_w.shape
    hours = site.hours
    plan_wh = np.empty((n, n_step))
    most_wh, least_wh = np.empty((n, n_step)), np.empty((n, n_step))
    for i in range(n):
        into, out = site.charge_efficiency[i], site.discharge_efficiency[i]
        lowest, highest = site.lowest_wh[i], site.highest_wh[i]
        if not site.both_ways[i]:
            highest = site.most_wh[i]
        wh = 0.0
        for t in range(n_step):
            wh += _gain(hours[t], into, out, linear_w[i, t])
            plan_wh[i, t] = wh
        most, least = -np.inf, np.inf
        for t in range(n_step - 1, -1, -1):
            most, least = max(most, plan_wh[i, t]), min(least, plan_wh[i, t])
            most_wh[i, t], least_wh[i, t] = min(most, highest), max(least, lowest)
    return plan_wh, most_wh, least_wh


@njit(cache=True, nogil=True)
def _lacks(
    site: Site,
    who: Ints,
    t: int,
    sign: float,
    plan_wh: Floats,
    most_wh: Floats,
    least_wh: Floats,
    lack_w: Floats,
    can_w: Floats,
) -> None:
    """Set the power that would be with the plan again, and the greatest power."""
    hours, gained_wh = site.hours, site.gained_wh
    into, out = site.charge_efficiency, site.discharge_efficiency
    high_w = site.high_w if sign > 0.0 else site.deep_w
    extreme_wh = most_wh if sign > 0.0 else least_wh
    for k, i in enumerate(who):
        per_w = hours[t] * (into[i] if sign > 0.0 else 1.0 / out[i])
        lack_w[k] = sign * (plan_wh[i, t] - gained_wh[i]) / per_w
        most = sign * (extreme_wh[i, t] - gained_wh[i]) / per_w
        can_w[k] = min(high_w[i, t], most)


@njit(cache=True, nogil=True)
def _credit(site: Site, who: Ints, t: int, sign: float) -> None:
    """Count what EVs gain in a step."""
    into, out = site.charge_efficiency, site.discharge_efficiency
    power_w, gained_wh, hours = site.power_w, site.gained_wh, site.hours[t]
    for i in who:
        gained_wh[i] += (
            power_w[i, t] * hours * (into[i] if sign > 0.0 else 1.0 / out[i])
        )


@njit(cache=True, nogil=True)
def _start(
    site: Site,
    who: Ints,
    t: int,
    sign: float,
    part: float,
    rest: float,
    lack_w: Floats,
    can_w: Floats,
) -> float:
    """Start who lacks this part of a floor, in order; return the power used."""
    low_w, step_w, power_w = site.low_w, site.step_w, site.power_w
    room_w = site.above_w if sign > 0.0 else site.below_w
    leaf, parent, has_more = site.leaf, site.parent, has_others(site)
    used = 0.0
    for k, i in enumerate(who):
        lack, low = lack_w[k], low_w[i]
        if lack < part * low or lack <= NO_W or can_w[k] < low - NO_W:
            continue
        if power_w[i, t] != 0.0:
            continue
        want = min(max(lack + 0.5 * step_w[i], low), can_w[k], rest - used)
        want = under_nodes(room_w, parent, leaf[i], t, want)
        if has_more and want > 0.0:
            want = under_others(site, i, t, sign, want)
        power = settable(step_w[i], low, want)
        if power > NO_W:
            power_w[i, t] = sign * power
            used += power
            load(site.above_w, site.below_w, parent, leaf[i], t, sign * power)
            if has_more:
                load_others(site, i, t, sign * power)
    return used


@njit(cache=True, nogil=True)
def _raise(site: Site, who: Ints, t: int, rest: float, can_w: Floats) -> None:
    """Raise who charges, ahead of the linear plan, up to what that uses in the step."""
    for k, i in enumerate(who):
        if rest <= NO_W:
            return
        was = site.power_w[i, t]
        if 0.0 < was < can_w[k]:
            more = min(rest, can_w[k] - was)
            more = under_nodes(site.above_w, site.parent, site.leaf[i], t, more)
            if has_others(site):
                more = under_others(site, i, t, 1.0, more)
            new = settable(site.step_w[i], site.low_w[i], was + more)
            if new > was:
                site.power_w[i, t] = new
                rest -= new - was
                leaf, more = site.leaf[i], new - was
                load(site.above_w, site.below_w, site.parent, leaf, t, more)
                if has_others(site):
                    load_others(site, i, t, more)


@njit(cache=True, nogil=True)
def serve(site: Site, order: Ints, goal_wh: Floats, below_price: float) -> None:
    """Give what EVs lack of their goals, in order, the cheapest steps first.

    Parameters
    ----------
    site : Site
        Changed.
    order : ndarray of int64, shape (n,)
        EVs, those that go before others first. Not modified.
    goal_wh : ndarray of float64, shape (n,)
        What each is to gain [Wh]. Not modified.
    below_price : float
        Only steps below this price are used.
    """
    row = empty_row(site)
    shortest = site.hours.min()
    for i in order:
        most = site.most_wh[i]
        goal = min(goal_wh[i], most)
        lack = goal - site.gained_wh[i]
        low, step = site.low_w[i], site.step_w[i]
        unit = step * shortest * site.charge_efficiency[i]
        if lack <= NO_WH or (lack < unit and most - goal < unit - lack):
            continue  # less than a pilot step
        take(site, i, row)
        lack = fill(row, low, step, lack, below_price, site.highest_wh[i])
        if lack > NO_WH and not site.both_ways[i]:
            one_more(row, low, step, lack, most - goal, below_price)
        give(site, i, row)


@njit(cache=True, nogil=True)
def save(site: Site) -> None:
    """Move energy of each EV that cannot discharge from dear to cheaper steps.

    Parameters
    ----------
    site : Site
        Changed.
    """
    row = empty_row(site)
    for i in range(site.low_w.size):
        if not site.both_ways[i]:
            take(site, i, row)
            move_to_cheaper(row, site.low_w[i], site.step_w[i])
            give(site, i, row)


@njit(cache=True, nogil=True)
def lift(site: Site) -> None:
    """Raise EVs, then start them, where a node is under its lower bound.

    Parameters
    ----------
    site : Site
        Changed.
    """
    row = empty_row(site)
    for t in range(site.hours.size):
        for node in range(site.parent.size - 1, -1, -1):
            for running in (True, False):
                if site.below_w[node, t] < -NO_W:
                    _lift(site, row, node, t, running)


@njit(cache=True, nogil=True)
def _lift(site: Site, row: Row, node: int, t: int, running: bool) -> None:
    for i in range(site.low_w.size):
        was, lacks = site.power_w[i, t], -site.below_w[node, t]
        if lacks <= NO_W:
            return
        if was < 0.0 or running != (was > 0.0) or not is_inside(site, i, node):
            continue
        take(site, i, row)
        can = site.most_wh[i] - site.gained_wh[i]
        can = min(can, battery_wh(row, t, site.highest_wh[i])) / row.wh[t]
        want = max(lacks + 0.999 * site.step_w[i], site.low_w[i] - was)
        new = min(row.most_w[t], was + min(want, can))
        new = settable(site.step_w[i], site.low_w[i], new)
        if new > was:
            put(site, i, t, new)


@njit(cache=True, nogil=True)
def _gain(hours: float, into: float, out: float, power_w: float) -> float:
    """Return the energy a power brings into the battery in a step [Wh]."""
    gain: float = power_w * hours * (into if power_w >= 0.0 else 1.0 / out)
    return gain
