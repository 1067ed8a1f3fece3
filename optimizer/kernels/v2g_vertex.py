"""From a point inside to a plan: what is at a bound exactly so, and all rows exact.

A step of ``theta`` = square of the way to the bounds, 0 for what is at one, moves the
others least in that measure until every row holds (`restore`). Where there is no time
left, `follow` makes any powers feasible, step by step.
"""

import numpy as np
from numba import njit

from optimizer.kernels.v2g_blocks import (
    Chains,
    Floats,
    Ints,
    Point,
    Step,
    chain_rhs,
    chain_step,
    eliminate,
    lacks,
)
from optimizer.kernels.v2g_newton import SIGNS, TINY_CURVE
from optimizer.kernels.v2g_tree import (
    factor_dense,
    factor_tree,
    solve_dense,
    solve_tree,
)


@njit(cache=True, nogil=True, error_model="numpy")
def snap(c: Chains, p: Point, s: Step, weight: float) -> None:
    """Put what is at a bound there, and the ``theta`` of `restore`.

    A variable is at a bound when the bound's multiplier is more than ``weight`` times
    the way to it.
    """
    for j in range(c.upper.size):
        s.g[j] = 0.0
        s.theta[j] = 0.0
        if c.free[j] == 0.0:
            continue
        if p.low[j] > weight * p.x[j]:
            p.x[j] = 0.0
        elif p.high[j] > weight * p.room[j]:
            p.x[j] = c.upper[j]
        else:
            way = min(p.x[j], p.room[j])
            s.theta[j] = way * way


@njit(cache=True, nogil=True, error_model="numpy")
def restore(c: Chains, p: Point, s: Step, order: Ints, dense: bool) -> float:
    """Make the rows hold; return the greatest residual before that.

    ``dense`` says to take coupling rows together.
    """
    n_row, n_step = c.base.shape
    n = c.want.size
    at = 3 * (c.first[-1] + n)
    answer = np.zeros((n_row, n_step, n_step))
    factor = np.zeros((n_row, n_step, n_step))
    power, net = np.zeros((n_row, n_step)), np.zeros((n_row, n_step))
    own, lack = np.full((n_row, n_step), TINY_CURVE), np.zeros((n_row, n_step))
    dlam, dprice = np.zeros((n_row, n_step)), np.zeros((n_row, n_step))
    worst = lacks(c, p, s, power, 0, n)
    eliminate(c, s, answer, 0, n)
    chain_rhs(c, s, net, 0, n)
    for r in order:
        if c.parent[r] >= 0:
            power[c.parent[r]] += power[r]
        for t in range(n_step):
            j = at + 4 * (r * n_step + t)
            lack[r, t] = c.base[r, t] - power[r, t]
            for k in range(4):
                lack[r, t] -= c.free[j + k] * SIGNS[k] * p.x[j + k]
                own[r, t] += s.theta[j + k]
            worst = max(worst, abs(lack[r, t]))
    if dense:
        whole = np.zeros((own.size, own.size))
        factor_dense(c.parent, own, answer, whole)
        solve_dense(order, c.parent, whole, lack, net, dlam, dprice)
    else:
        factor_tree(order, c.parent, own, answer, factor)
        solve_tree(order, c.parent, own, answer, factor, lack, net, dlam, dprice)
    chain_step(c, s, dprice, 0, n)
    for r in range(n_row):
        for t in range(n_step):
            for k in range(4):
                j = at + 4 * (r * n_step + t) + k
                s.dx[j] = s.theta[j] * SIGNS[k] * dlam[r, t]
    for j in range(c.upper.size):
        if s.theta[j] > 0.0:
            p.x[j] = min(max(p.x[j] + s.dx[j], 0.0), c.upper[j])
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def follow(
    c: Chains, wish: Floats, lower: Floats, upper: Floats, most: Floats, size: Floats
) -> Floats:
    """Return energies (N,) at the EVSEs near a wish that break no battery's limits.

    Step by step, EVs take what they wish within their limits and, from now on, at most
    ``most`` (n,); then all are moved, in proportion to what they can, to where the
    zone's energy is between ``lower`` and ``upper`` (T,), if that can be. ``size``
    (n,) is each battery's capacity, or infinite.
    """
    n_cell, n = c.first[-1], c.want.size
    out = np.zeros(n_cell)
    have = c.stored.copy()
    least, greatest = np.zeros(n), np.zeros(n)
    for t in range(c.base.shape[1]):
        total = down = up = 0.0
        for i in range(n):
            k = c.first[i] + t - c.arrival[i]
            if k < c.first[i] or k >= c.first[i + 1]:
                continue
            room = max(min(size[i], most[i]) - have[i], 0.0) / c.gain[i]
            rest = have[i] / c.loss[i] if c.stores[i] else np.inf
            greatest[i] = min(c.upper[k], room)
            least[i] = -min(c.upper[n_cell + k], rest)
            out[k] = min(max(wish[k], least[i]), greatest[i])
            total += out[k]
            down += out[k] - least[i]
            up += greatest[i] - out[k]
        share = 0.0
        if total > upper[t] and down > 0.0:
            share = -min((total - upper[t]) / down, 1.0)
        elif total < lower[t] and up > 0.0:
            share = min((lower[t] - total) / up, 1.0)
        for i in range(n):
            k = c.first[i] + t - c.arrival[i]
            if k < c.first[i] or k >= c.first[i + 1]:
                continue
            if share > 0.0:
                out[k] += share * (greatest[i] - out[k])
            elif share < 0.0:
                out[k] += share * (out[k] - least[i])
            energy = out[k]
            have[i] += c.gain[i] * max(energy, 0.0) + c.loss[i] * min(energy, 0.0)
    return out
