"""Service in order: each EV in turn takes all that the limits leave it.

Step by step; first what the EVs lack of their targets, then, in the same order, up to
the most they may get. An EV whose power would be below its floor takes nothing in the
step, and the next ones go on.
"""

import numpy as np
from numba import njit

from benchmarks.strategies.kernels.headroom import (
    Bools,
    Floats,
    headroom_w,
    take,
)

# Less energy than this is none [Wh].
NONE_WH = 1e-6


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
        Lines, as `headroom.headroom_w` has them.
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
