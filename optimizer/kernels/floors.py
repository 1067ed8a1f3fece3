"""From a linear plan to powers that EVSEs have: 0 or at least the floor, whole steps.

`follow` carries what it cannot do over to the next step. EV i was to have G[i, t] Wh
gained by the end of step t and has g: it would need w = (G[i, t] - g) / h watts. It
gets w where that is at least its floor; the floor where w is at least half of it and
there is room; else nothing. With room for all an EV so is never further behind than
half a floor over the longest step, until less than a floor over a step is missing at
all. Only steps that the linear plan uses for the EV take part: they are the cheap ones.

`serve` gives what is then missing to the cheapest steps with room: more power first;
at last one more floor, for which other steps of the same EV give way. `make_room` lets
another EV move to steps with room where that is what it takes. `save` moves energy to
cheaper steps, `lift` more of it under the lower bounds.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Below these, nothing: energies [Wh], powers [W].
NO_WH = 1e-6
NO_W = 1e-6
# Parts of a floor an EV must lack to be started, most lacking first.
LACKING = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
# The same in room that the linear plan uses and else nobody would.
LACKING_LESS = (0.4, 0.3, 0.2, 0.1, 0.0)


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
    used = 0.0
    for k, i in enumerate(who):
        lack, low = lack_w[k], low_w[i]
        if lack < part * low or lack <= NO_W or can_w[k] < low - NO_W:
            continue
        if power_w[i, t] != 0.0:
            continue
        want = min(max(lack + 0.5 * step_w[i], low), can_w[k], rest - used)
        power = _whole(step_w[i], low, _fits(site, i, t, sign, want))
        if power > NO_W:
            _put(site, i, t, sign * power)
            used += power
    return used


@njit(cache=True, nogil=True)
def _raise(site: Site, who: Ints, t: int, rest: float, can_w: Floats) -> None:
    """Raise who charges, ahead of the linear plan, up to what that uses in the step."""
    low_w, step_w, power_w = site.low_w, site.step_w, site.power_w
    for k, i in enumerate(who):
        if rest <= NO_W:
            return
        was = power_w[i, t]
        if was > 0.0 and was < can_w[k]:
            more = _fits(site, i, t, 1.0, min(rest, can_w[k] - was))
            new = _whole(step_w[i], low_w[i], was + more)
            if new > was:
                _put(site, i, t, new)
                rest -= new - was


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
    for i in order:
        goal = min(goal_wh[i], site.most_wh[i])
        if goal - site.gained_wh[i] <= NO_WH:
            continue
        _fill(site, i, goal, below_price)
        if goal - site.gained_wh[i] > NO_WH and not site.both_ways[i]:
            _one_more(site, i, goal, below_price)


@njit(cache=True, nogil=True)
def _fill(site: Site, i: int, goal: float, below_price: float) -> None:
    for t in site.cheap:
        lack = goal - site.gained_wh[i]
        if site.price[t] >= below_price or lack <= NO_WH:
            return
        power_w = site.power_w[i, t]
        if power_w < 0.0 or power_w >= site.high_w[i, t]:
            continue
        lack = min(lack, _head(site, i, t))
        more = lack / (site.hours[t] * site.charge_efficiency[i])
        more = _fits(site, i, t, 1.0, min(more, site.high_w[i, t] - power_w))
        new_w = _whole(site.step_w[i], site.low_w[i], power_w + more)
        if new_w > power_w:
            _put(site, i, t, new_w)


@njit(cache=True, nogil=True)
def _one_more(site: Site, i: int, goal: float, below_price: float) -> None:
    """Start one more step, or raise one by a step, and give up the surplus elsewhere.

    What others cannot give up must not exceed the EV's maximum.
    """
    for t in site.cheap:
        if site.price[t] >= below_price:
            return
        power_w = site.power_w[i, t]
        more = site.low_w[i] if power_w == 0.0 else site.step_w[i]
        if power_w + more > site.high_w[i, t] + NO_W or more <= 0.0:
            continue
        if _fits(site, i, t, 1.0, more) < more - NO_W:
            continue
        surplus = (
            site.gained_wh[i]
            + _gain(
                site.hours[t],
                site.charge_efficiency[i],
                site.discharge_efficiency[i],
                more,
            )
            - goal
        )
        spare = site.most_wh[i] - goal
        if surplus > spare + NO_WH and surplus > spare + _spare(site, i, t) + NO_WH:
            continue
        _put(site, i, t, _whole(site.step_w[i], site.low_w[i], power_w + more))
        _give_up(site, i, t, surplus, surplus - spare)
        return


@njit(cache=True, nogil=True)
def _spare(site: Site, i: int, but: int) -> float:
    """Return the energy that other steps can give up above their floors."""
    total = 0.0
    for t in range(site.hours.size):
        less = site.power_w[i, t] - site.low_w[i]
        if t != but and less > 0.0 and _may_drop(site, i, t, less):
            total += _gain(
                site.hours[t],
                site.charge_efficiency[i],
                site.discharge_efficiency[i],
                less,
            )
    return total


@njit(cache=True, nogil=True)
def _give_up(site: Site, i: int, but: int, most: float, least: float) -> None:
    """Lower other steps, dearest first, by at most `most` and at least `least` Wh."""
    left = most
    for t in site.cheap[::-1]:
        power_w = site.power_w[i, t]
        less = power_w - site.low_w[i]
        if t == but or left <= NO_WH or less <= 0.0 or not _may_drop(site, i, t, less):
            continue
        less = min(
            less,
            left
            / _gain(
                site.hours[t],
                site.charge_efficiency[i],
                site.discharge_efficiency[i],
                1.0,
            ),
        )
        new_w = _whole(site.step_w[i], site.low_w[i], power_w - less)
        if new_w < power_w - less - NO_W:  # a step too far: only where it must be
            must = most - left < least - NO_WH
            new_w = max(new_w, site.low_w[i]) if must else new_w + site.step_w[i]
        left -= _gain(
            site.hours[t],
            site.charge_efficiency[i],
            site.discharge_efficiency[i],
            power_w - new_w,
        )
        _put(site, i, t, new_w)


@njit(cache=True, nogil=True)
def save(site: Site) -> None:
    """Move energy of each EV from dear to cheaper steps with room."""
    n, n_step = site.power_w.shape
    for i in range(n):
        if site.both_ways[i]:
            continue
        first = 0
        for dear in site.cheap[::-1]:
            if site.power_w[i, dear] <= 0.0:
                continue
            for k in range(first, n_step):
                t = site.cheap[k]
                if site.price[t] >= site.price[dear] - 1e-12:
                    break
                can_w = site.high_w[i, t] - site.power_w[i, t]
                can_w = _fits(site, i, t, 1.0, can_w)
                if can_w <= NO_W:
                    first += k == first
                    continue
                _move(site, i, dear, t, can_w)
                if site.power_w[i, dear] <= 0.0:
                    break


@njit(cache=True, nogil=True)
def _move(site: Site, i: int, source: int, target: int, can_w: float) -> None:
    """Move as much as both steps allow, at most `can_w` more in the target."""
    ratio = site.hours[target] / site.hours[source]
    was_w, had_w = site.power_w[i, target], site.power_w[i, source]
    new_w = _whole(site.step_w[i], site.low_w[i], was_w + min(can_w, had_w / ratio))
    left_w = had_w - (new_w - was_w) * ratio
    if site.low_w[i] > left_w > NO_W:
        new_w = _whole(
            site.step_w[i],
            site.low_w[i],
            was_w + max(had_w - site.low_w[i], 0.0) / ratio,
        )
        left_w = had_w - (new_w - was_w) * ratio
    kept_w = 0.0 if left_w <= NO_W else left_w
    if (
        new_w <= was_w
        or abs(kept_w - _whole(site.step_w[i], site.low_w[i], kept_w)) > NO_W
    ):
        return
    if _may_drop(site, i, source, had_w - kept_w):
        _put(site, i, source, kept_w)
        _put(site, i, target, new_w)


@njit(cache=True, nogil=True)
def lift(site: Site) -> None:
    """Raise EVs, then start them, where a node is under its lower bound."""
    n, n_step = site.power_w.shape
    for t in range(n_step):
        for node in range(site.parent.size - 1, -1, -1):
            for running in (True, False):
                for i in range(n):
                    lacks_w = -site.below_w[node, t]
                    if lacks_w <= NO_W:
                        break
                    power_w = site.power_w[i, t]
                    if power_w < 0.0 or running != (power_w > 0.0):
                        continue
                    if not _is_inside(site, i, node):
                        continue
                    more = _head(site, i, t) / _gain(
                        site.hours[t],
                        site.charge_efficiency[i],
                        site.discharge_efficiency[i],
                        1.0,
                    )
                    more = min(more, site.high_w[i, t] - power_w)
                    want_w = max(lacks_w + site.step_w[i], site.low_w[i] - power_w)
                    more = _fits(site, i, t, 1.0, min(more, want_w))
                    new_w = _whole(site.step_w[i], site.low_w[i], power_w + more)
                    if new_w > power_w:
                        _put(site, i, t, new_w)


@njit(cache=True, nogil=True)
def _is_inside(site: Site, i: int, node: int) -> bool:
    v = site.leaf[i]
    while v > node:
        v = site.parent[v]
    return bool(v == node)


@njit(cache=True, nogil=True)
def _head(site: Site, i: int, t: int) -> float:
    """Return how much more the EV may gain in a step [Wh]."""
    head = site.most_wh[i] - site.gained_wh[i]
    if site.both_ways[i]:
        wh = 0.0
        for u in range(site.hours.size):
            wh += _gain(
                site.hours[u],
                site.charge_efficiency[i],
                site.discharge_efficiency[i],
                site.power_w[i, u],
            )
            if u >= t:
                head = min(head, site.highest_wh[i] - wh)
    return max(head, 0.0)


@njit(cache=True, nogil=True)
def _gain(hours: float, into: float, out: float, power_w: float) -> float:
    """Return the energy a power brings into the battery in a step [Wh]."""
    gain: float = power_w * hours * (into if power_w >= 0.0 else 1.0 / out)
    return gain


@njit(cache=True, nogil=True)
def _whole(step_w: float, low_w: float, power_w: float) -> float:
    """Return the greatest power the EVSE can set up to this one."""
    if step_w > 0.0:
        power_w = np.floor(power_w / step_w + 1e-9) * step_w
    return power_w if power_w >= low_w and power_w > NO_W else 0.0


@njit(cache=True, nogil=True, inline="always")
def _fits(site: Site, i: int, t: int, sign: float, most_w: float) -> float:
    """Return how much more charge (sign 1) or discharge (-1) the limits allow [W]."""
    room_w = site.above_w if sign > 0.0 else site.below_w
    fits_w = _under_nodes(room_w, site.parent, site.leaf[i], t, most_w)
    if fits_w > 0.0 and site.window.size + site.limit_a.size > 0:
        fits_w = _under_others(site, i, t, sign, fits_w)
    return fits_w


@njit(cache=True, nogil=True)
def _under_nodes(
    room_w: Floats, parent: Ints, node: int, t: int, most_w: float
) -> float:
    while node >= 0:
        most_w = min(most_w, room_w[node, t])
        node = parent[node]
    return max(most_w, 0.0)


@njit(cache=True, nogil=True)
def _under_others(site: Site, i: int, t: int, sign: float, most_w: float) -> float:
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


@njit(cache=True, nogil=True, inline="always")
def _may_drop(site: Site, i: int, t: int, less_w: float) -> bool:
    """Whether the EV can charge that much less without breaking another limit."""
    return _fits(site, i, t, -1.0, less_w) >= less_w - NO_W


@njit(cache=True, nogil=True, inline="always")
def _put(site: Site, i: int, t: int, power_w: float) -> None:
    """Set a power and what depends on it."""
    was_w = site.power_w[i, t]
    into, out = site.charge_efficiency[i], site.discharge_efficiency[i]
    site.power_w[i, t] = power_w
    site.gained_wh[i] += _gain(site.hours[t], into, out, power_w)
    site.gained_wh[i] -= _gain(site.hours[t], into, out, was_w)
    more_w = power_w - was_w
    _load(site.above_w, site.below_w, site.parent, site.leaf[i], t, more_w)
    if site.window.size + site.limit_a.size > 0:
        _load_others(site, i, t, more_w)


@njit(cache=True, nogil=True)
def _load(
    above_w: Floats, below_w: Floats, parent: Ints, node: int, t: int, more_w: float
) -> None:
    while node >= 0:
        above_w[node, t] -= more_w
        below_w[node, t] += more_w
        node = parent[node]


@njit(cache=True, nogil=True)
def _load_others(site: Site, i: int, t: int, more_w: float) -> None:
    for k in range(site.window.shape[0]):
        if site.window[k, 0] <= t < site.window[k, 1]:
            site.window_wh[k, 0] -= more_w * site.hours[t]
            site.window_wh[k, 1] += more_w * site.hours[t]
    for m in range(site.limit_a.size):
        site.line_a[m, t, 0] += more_w * site.share[m, i, 0]
        site.line_a[m, t, 1] += more_w * site.share[m, i, 1]
