"""Service by shares: one level for all, weighted; and round robin by small steps.

In each step floors are given in order while the limits allow; who has one takes

    power_i(level) = max(floor_i, min(wanted_i, level * weight_i))

at the largest level found, by bisection, at which all limits hold. Line currents need
not grow with every power (in a transformer's delta two phasors can be 120° apart), so
each level that is kept was itself checked against every limit.
"""

import numpy as np
from numba import njit

from benchmarks.strategies.kernels.headroom import (
    Bools,
    Floats,
    Ints,
    headroom_w,
    keeps_all,
    take,
)
from benchmarks.strategies.kernels.in_order import wanted_w

_HALVINGS = 45
# Weight of an EV whose target is met, in proportional shares [Wh].
_LEAST_WEIGHT = 1.0


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
    """Fill the first columns of a plan; arguments as `in_order.serve_in_order`.

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
    """Fill the first columns of a plan by round robin; arguments as `in_order`.

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
