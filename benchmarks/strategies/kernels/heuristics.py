"""The compiled heuristics: service in order, by a common level, in turns.

All in one file: numba compiles a function again when its own file changes, not when
that of one it calls does.

**Limits** are of two kinds. A sum limit: the members' powers together stay at most its
room. A line: with phasor a of the EV [A/W] and z the current the line carries, the EV
may add p as long as ``|z + a p| <= limit``, a quadratic in p::

    p = (sqrt(b² + |a|² (limit² - |z|²)) - b) / |a|²,   b = Re(conj(z) a)

The powers that keep a norm are an interval with 0 in it while z keeps it, so the least
p over all lines and sums keeps all of them.

**In order**, step by step: each EV in turn takes all that the limits leave it; first
what the EVs lack of their targets, then, in the same order, up to the most they may
get. An EV whose power would be below its floor takes nothing in the step, and the next
ones go on.

**By a level**: floors are given in order while the limits allow; who has one takes

    power_i(level) = max(floor_i, min(wanted_i, level * weight_i))

at the largest level found, by bisection, at which all limits hold. Line currents need
not grow with every power (in a transformer's delta two phasors can be 120° apart), so
each level that is kept was itself checked against every limit.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Part of a limit left unused, so that rounding breaks none.
MARGIN = 1e-9
# Less energy than this is none [Wh].
NONE_WH = 1e-6
_HALVINGS = 45
# Weight of an EV whose target is met, in proportional shares [Wh].
_LEAST_WEIGHT = 1.0


@njit(cache=True, nogil=True)
def headroom_w(
    i: int,
    room_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    z_re: Floats,
    z_im: Floats,
    limit_a: Floats,
) -> float:
    """Return what EV i may take more [W], at least 0.

    Parameters
    ----------
    i : int
        The EV.
    room_w : ndarray of float64, shape (g,)
        What is left of each sum limit [W].
    member : ndarray of bool, shape (g, n)
        Who counts in each sum limit.
    re, im : ndarray of float64, shape (m, n)
        Phasor that a watt of each EV adds to each line [A/W].
    z_re, z_im : ndarray of float64, shape (m,)
        Current of each line [A].
    limit_a : ndarray of float64, shape (m,)
        Limit of each line [A].
    """
    most = np.inf
    for g in range(room_w.size):
        if member[g, i]:
            most = min(most, room_w[g])
    for line in range(limit_a.size):
        square = re[line, i] ** 2 + im[line, i] ** 2
        if square == 0.0:
            continue
        limit = limit_a[line] * (1.0 - MARGIN)
        free = limit**2 - z_re[line] ** 2 - z_im[line] ** 2
        along = re[line, i] * z_re[line] + im[line, i] * z_im[line]
        root = np.sqrt(max(along**2 + square * free, 0.0))
        # The form without cancellation where the EV drives the current up.
        if along > 0.0:
            most = min(most, free / (root + along))
        else:
            most = min(most, (root - along) / square)
    return max(most, 0.0)


@njit(cache=True, nogil=True)
def take(
    i: int,
    power_w: float,
    room_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    z_re: Floats,
    z_im: Floats,
) -> None:
    """Let EV i take a power more: sum limits shrink, lines carry it."""
    for g in range(room_w.size):
        if member[g, i]:
            room_w[g] -= power_w
    for line in range(z_re.size):
        z_re[line] += re[line, i] * power_w
        z_im[line] += im[line, i] * power_w


@njit(cache=True, nogil=True)
def keeps_all(
    power_w: Floats,
    upper_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    limit_a: Floats,
) -> bool:
    """Return whether powers (n,) keep every sum limit and every line."""
    for g in range(upper_w.size):
        total = 0.0
        for i in range(power_w.size):
            if member[g, i]:
                total += power_w[i]
        if total > upper_w[g]:
            return False
    for line in range(limit_a.size):
        x = y = 0.0
        for i in range(power_w.size):
            x += re[line, i] * power_w[i]
            y += im[line, i] * power_w[i]
        if x * x + y * y > (limit_a[line] * (1.0 - MARGIN)) ** 2:
            return False
    return True


@njit(cache=True, nogil=True)
def wanted_w(left_wh: float, hours: float, can_w: float, floor_w: float) -> float:
    """Return the power that fills what is left within a step, as far as the EV can."""
    if left_wh <= NONE_WH or can_w <= 0.0 or can_w < floor_w:
        return 0.0
    return min(can_w, max(left_wh / hours, floor_w))


@njit(cache=True, nogil=True)
def laxity_h(
    left_wh: Floats, can_w: Floats, departure_h: Floats, now_h: float
) -> Floats:
    """Return the time each EV could still wait [h], (n,)."""
    laxity = np.empty(left_wh.size)
    for i in range(left_wh.size):
        needed_h = left_wh[i] / can_w[i] if can_w[i] > 0.0 else 0.0
        laxity[i] = departure_h[i] - now_h - needed_h
    return laxity


@njit(cache=True, nogil=True)
def serve_in_order(
    key: Floats,
    by_laxity: bool,
    begin_h: Floats,
    hours: Floats,
    departure_h: Floats,
    can_w: Floats,
    floor_w: Floats,
    target_wh: Floats,
    most_wh: Floats,
    upper_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    limit_a: Floats,
    power_w: Floats,
) -> None:
    """Fill the first columns of a plan.

    Parameters
    ----------
    key : ndarray of float64, shape (n,)
        Who has least is served first; ties by row. Not looked at with ``by_laxity``.
    by_laxity : bool
        Order by laxity, found anew in each step.
    begin_h, hours : ndarray of float64, shape (k,)
        Begin and length of each column [h].
    departure_h : ndarray of float64, shape (n,)
        When each EV leaves, from the first column's begin [h].
    can_w : ndarray of float64, shape (n, k)
        Most each EV takes, 0 where it is away [W].
    floor_w : ndarray of float64, shape (n,)
        Least power that is not 0 [W].
    target_wh, most_wh : ndarray of float64, shape (n,)
        Energy to take at the EVSE until the target and at most [Wh]. Overwritten.
    upper_w : ndarray of float64, shape (g, k)
        Sum limits [W], of the members ``member`` (g, n).
    re, im, limit_a
        Lines, as `headroom_w` has them.
    power_w : ndarray of float64, shape (n, k)
        The plan [W]. Zeros on entry.
    """
    n, n_column = power_w.shape
    z_re, z_im = np.zeros(limit_a.size), np.zeros(limit_a.size)
    for t in range(n_column):
        z_re[:], z_im[:] = 0.0, 0.0
        room = upper_w[:, t].copy()
        if by_laxity:
            key = laxity_h(target_wh, can_w[:, t], departure_h, begin_h[t])
        order = np.argsort(key, kind="mergesort")
        for goes_beyond in (False, True):
            left_wh = most_wh if goes_beyond else target_wh
            for i in order:
                want = wanted_w(left_wh[i], hours[t], can_w[i, t], floor_w[i])
                more = want - power_w[i, t]
                if more <= 0.0:
                    continue
                more = min(
                    more, headroom_w(i, room, member, re, im, z_re, z_im, limit_a)
                )
                if more <= 0.0 or power_w[i, t] + more < floor_w[i]:
                    continue
                power_w[i, t] += more
                take(i, more, room, member, re, im, z_re, z_im)
        for i in range(n):
            taken_wh = power_w[i, t] * hours[t]
            target_wh[i] = max(target_wh[i] - taken_wh, 0.0)
            most_wh[i] = max(most_wh[i] - taken_wh, 0.0)


@njit(cache=True, nogil=True)
def share_by_level(
    proportional: bool,
    redistributes: bool,
    rank: Floats,
    hours: Floats,
    can_w: Floats,
    floor_w: Floats,
    target_wh: Floats,
    most_wh: Floats,
    upper_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    limit_a: Floats,
    power_w: Floats,
) -> None:
    """Fill the first columns of a plan; arguments as `serve_in_order`.

    ``proportional`` weighs by the energy left, else all alike. ``redistributes``: what
    an EV cannot use, and what lines leave to some EVs alone, goes to the others by
    ``rank``; else the level ends at the first sum limit's power over the EVs that
    share, whatever they use of it.
    """
    n, n_column = power_w.shape
    order = np.argsort(rank, kind="mergesort")
    z_re, z_im = np.zeros(limit_a.size), np.zeros(limit_a.size)
    want, base, weight = np.zeros(n), np.zeros(n), np.ones(n)
    shares = np.zeros(n, np.bool_)
    for t in range(n_column):
        room = upper_w[:, t].copy()
        z_re[:], z_im[:], base[:], shares[:] = 0.0, 0.0, 0.0, False
        n_share, least_weight = 0, np.inf
        for i in order:
            want[i] = wanted_w(most_wh[i], hours[t], can_w[i, t], floor_w[i])
            if not redistributes and want[i] > 0.0:
                want[i] = can_w[i, t]
            if want[i] <= 0.0:
                continue
            free = headroom_w(i, room, member, re, im, z_re, z_im, limit_a)
            if floor_w[i] > free:
                continue
            take(i, floor_w[i], room, member, re, im, z_re, z_im)
            base[i], shares[i] = floor_w[i], True
            n_share += 1
            if proportional:
                weight[i] = max(target_wh[i], _LEAST_WEIGHT)
            least_weight = min(least_weight, weight[i])
        if n_share > 0:
            most = can_w[:, t].max() / least_weight
            if not redistributes:
                most = min(most, upper_w[0, t] / n_share)
            power_w[:, t] = _level(
                most, want, base, weight, shares, upper_w[:, t], member, re, im, limit_a
            )
            if redistributes:
                _top_up(
                    order, shares, want, power_w[:, t], upper_w[:, t], member, re, im,
                    limit_a,
                )  # fmt: skip
        for i in range(n):
            taken_wh = power_w[i, t] * hours[t]
            target_wh[i] = max(target_wh[i] - taken_wh, 0.0)
            most_wh[i] = max(most_wh[i] - taken_wh, 0.0)


@njit(cache=True, nogil=True)
def _level(
    most: float,
    want: Floats,
    base: Floats,
    weight: Floats,
    shares: Bools,
    upper_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    limit_a: Floats,
) -> Floats:
    """Return the powers (n,) at the largest level up to ``most`` that keeps limits."""
    kept = base.copy()
    trial = np.zeros(want.size)
    low, high = 0.0, most
    for halving in range(_HALVINGS):
        level = high if halving == 0 else 0.5 * (low + high)
        for i in range(want.size):
            if shares[i]:
                trial[i] = max(base[i], min(want[i], level * weight[i]))
        if keeps_all(trial, upper_w, member, re, im, limit_a):
            kept[:] = trial
            if halving == 0:
                break
            low = level
        else:
            high = level
    return kept


@njit(cache=True, nogil=True)
def _top_up(
    order: Ints,
    shares: Bools,
    want: Floats,
    power_w: Floats,
    upper_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    limit_a: Floats,
) -> None:
    """Give in order what the common level left."""
    room = upper_w.copy()
    z_re, z_im = np.zeros(limit_a.size), np.zeros(limit_a.size)
    for i in range(power_w.size):
        take(i, power_w[i], room, member, re, im, z_re, z_im)
    for i in order:
        if not shares[i] or want[i] <= power_w[i]:
            continue
        more = min(
            want[i] - power_w[i],
            headroom_w(i, room, member, re, im, z_re, z_im, limit_a),
        )
        power_w[i] += more
        take(i, more, room, member, re, im, z_re, z_im)


@njit(cache=True, nogil=True)
def serve_in_turns(
    rank: Floats,
    turn_w: Floats,
    hours: Floats,
    can_w: Floats,
    floor_w: Floats,
    most_wh: Floats,
    upper_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    limit_a: Floats,
    power_w: Floats,
) -> None:
    """Fill the first columns of a plan by round robin; arguments as `serve_in_order`.

    In turns each EV gets ``turn_w`` (n,) more, from 0 at least its floor, and drops out
    when it wants no more or that would break a limit. Who begins moves on by one EV in
    each step.
    """
    n, n_column = power_w.shape
    order = np.argsort(rank, kind="mergesort")
    z_re, z_im = np.zeros(limit_a.size), np.zeros(limit_a.size)
    asks = np.zeros(n, np.bool_)
    for t in range(n_column):
        room = upper_w[:, t].copy()
        z_re[:], z_im[:], asks[:] = 0.0, 0.0, True
        n_asking = n
        while n_asking > 0:
            for place in range(n):
                i = order[(place + t) % n]
                if not asks[i]:
                    continue
                want = wanted_w(most_wh[i], hours[t], can_w[i, t], floor_w[i])
                more = min(want - power_w[i, t], turn_w[i])
                if power_w[i, t] == 0.0 and want > 0.0:
                    more = min(want, max(turn_w[i], floor_w[i]))
                free = headroom_w(i, room, member, re, im, z_re, z_im, limit_a)
                if more <= 0.0 or more > free:
                    asks[i] = False
                    n_asking -= 1
                    continue
                power_w[i, t] += more
                take(i, more, room, member, re, im, z_re, z_im)
        for i in range(n):
            most_wh[i] = max(most_wh[i] - power_w[i, t] * hours[t], 0.0)
