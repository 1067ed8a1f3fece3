"""One step of Mehrotra's predictor and corrector, in passes over a range of EVs.

``0 <= x <= upper`` with multipliers ``low``, ``high``; a step to the aim ``a`` solves
``x low = a``, ``room high = a`` and the rows to first order (second order: less the
products of the predictor's steps)::

    theta = 1 / (low / x + high / room),    dx = theta (A^T dy - g)
    g = cost - A^T y - (a - dx dlow) / x + (a - droom dhigh) / room

Passes only write to their EVs and to the sums they are given, so that ranges of EVs can
run beside each other; sums of ranges are taken in their order. Within a pass blocks of
EVs stay in the processor's cache.
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
    reduced_costs,
)

# Segments of a row's power: up and down within its limits, up and down beyond them.
SIGNS = np.array([-1.0, 1.0, -1.0, 1.0])
BLOCK = 16
# Curvature of their own that all rows and variables get. It keeps what only rounding
# decides, such as a row whose variables are all at bounds, from being decided by it; at
# the optimum it vanishes with the step.
TINY_CURVE = 1e-9
RHO = 1e-9
_SUMS_MAY_BE_REORDERED = {"reassoc", "nnan", "nsz", "contract"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS_MAY_BE_REORDERED)
def move(
    c: Chains, p: Point, s: Step, begin: int, end: int, by_x: float, by_z: float
) -> None:
    """Go the step, its primal and dual part so far; put ``theta`` there."""
    for j in range(begin, end):
        x = p.x[j] + by_x * s.dx[j]
        room = p.room[j] - by_x * s.dx[j]
        low = p.low[j] + by_z * s.dlow[j]
        high = p.high[j] + by_z * s.dhigh[j]
        per_x, per_room = 1.0 / x, 1.0 / room
        p.x[j], p.room[j], p.low[j], p.high[j] = x, room, low, high
        s.per_x[j], s.per_room[j] = per_x, per_room
        s.theta[j] = c.free[j] / (low * per_x + high * per_room + RHO)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS_MAY_BE_REORDERED)
def gradients(s: Step, begin: int, end: int, aim: float) -> None:
    """Turn ``g``, the reduced cost, into the right-hand side of a step to ``aim``.

    ``dlow`` and ``dhigh`` hold the products of the predictor's steps.
    """
    for j in range(begin, end):
        s.g[j] += (aim - s.dhigh[j]) * s.per_room[j] - (aim - s.dlow[j]) * s.per_x[j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS_MAY_BE_REORDERED)
def first_direction(
    c: Chains, p: Point, s: Step, begin: int, end: int, sums: Floats
) -> None:
    """Put the predictor's products into ``dlow`` and ``dhigh``; gather its ``sums``.

    Sums are complementarity, its change by the primal, by the dual and by both steps,
    and the greatest ratios of primal and dual steps to their variables.
    """
    now = primal = dual = both = 0.0
    ratio_x, ratio_z = sums[4], sums[5]
    for j in range(begin, end):
        x, room, low, high = p.x[j], p.room[j], p.low[j], p.high[j]
        dx = s.dx[j]
        over_x, over_room = dx * s.per_x[j], -dx * s.per_room[j]
        dlow = -c.free[j] * (low + low * over_x)
        dhigh = -c.free[j] * (high + high * over_room)
        now += c.free[j] * (x * low + room * high)
        primal += dx * (low - high)
        dual += x * dlow + room * dhigh
        both += dx * (dlow - dhigh)
        ratio_x = max(ratio_x, max(-over_x, -over_room))
        # -dlow / low = 1 + over_x
        ratio_z = max(ratio_z, 1.0 + max(over_x, over_room))
        s.dlow[j] = dx * dlow
        s.dhigh[j] = -dx * dhigh
    sums[0] += now
    sums[1] += primal
    sums[2] += dual
    sums[3] += both
    sums[4] = ratio_x
    sums[5] = ratio_z


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS_MAY_BE_REORDERED)
def last_direction(
    c: Chains, p: Point, s: Step, begin: int, end: int, aim: float, sums: Floats
) -> None:
    """Turn the products in ``dlow`` and ``dhigh`` into the step; gather the ratios."""
    ratio_x, ratio_z = sums[4], sums[5]
    for j in range(begin, end):
        low, high = p.low[j], p.high[j]
        over_x, over_room = s.dx[j] * s.per_x[j], -s.dx[j] * s.per_room[j]
        dlow = (aim - s.dlow[j]) * s.per_x[j] - low - low * over_x
        dhigh = (aim - s.dhigh[j]) * s.per_room[j] - high - high * over_room
        s.dlow[j] = c.free[j] * dlow
        s.dhigh[j] = c.free[j] * dhigh
        ratio_x = max(ratio_x, max(-over_x, -over_room))
        ratio_z = max(ratio_z, max(-s.dlow[j] / low, -s.dhigh[j] / high))
    sums[4] = ratio_x
    sums[5] = ratio_z


@njit(cache=True, nogil=True, error_model="numpy")
def factor_pass(
    c: Chains,
    p: Point,
    s: Step,
    begin: int,
    end: int,
    by: Floats,
    price: Floats,
    answer: Floats,
    power: Floats,
    net: Floats,
) -> float:
    """Go the last step, then factor EVs begin..end for the predictor.

    Adds to ``answer`` (R, T, T), ``power`` and ``net`` (R, T); returns the greatest
    residual of the EVs' rows.
    """
    n_cell = c.first[-1]
    by_x, by_z = by[0], by[1]
    worst = 0.0
    for i in range(begin, end, BLOCK):
        to = min(i + BLOCK, end)
        a, b = c.first[i], c.first[to]
        for kind in range(3):
            move(c, p, s, kind * n_cell + a, kind * n_cell + b, by_x, by_z)
        move(c, p, s, 3 * (n_cell + i), 3 * (n_cell + to), by_x, by_z)
        for k in range(a, b):
            p.mu[k] += by_z * s.dmu[k]
        for k in range(i, to):
            p.nu[k] += by_z * s.dnu[k]
        worst = max(worst, lacks(c, p, s, power, i, to))
        reduced_costs(c, p, s, price, i, to)
        eliminate(c, s, answer, i, to)
        chain_rhs(c, s, net, i, to)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def aim_pass(c: Chains, s: Step, begin: int, end: int, aim: float, net: Floats) -> None:
    """Put the corrector's right-hand sides of EVs begin..end; add to ``net`` (R, T)."""
    n_cell = c.first[-1]
    for i in range(begin, end, BLOCK):
        to = min(i + BLOCK, end)
        a, b = c.first[i], c.first[to]
        for kind in range(3):
            gradients(s, kind * n_cell + a, kind * n_cell + b, aim)
        gradients(s, 3 * (n_cell + i), 3 * (n_cell + to), aim)
        chain_rhs(c, s, net, i, to)


@njit(cache=True, nogil=True, error_model="numpy")
def step_pass(
    c: Chains,
    p: Point,
    s: Step,
    begin: int,
    end: int,
    aim: float,
    dprice: Floats,
    sums: Floats,
) -> None:
    """Put the step of EVs begin..end: the predictor's where ``aim`` is below 0."""
    n_cell = c.first[-1]
    for i in range(begin, end, BLOCK):
        to = min(i + BLOCK, end)
        chain_step(c, s, dprice, i, to)
        for kind in range(4):
            low, high = kind * n_cell + c.first[i], kind * n_cell + c.first[to]
            if kind == 3:
                low, high = 3 * (n_cell + i), 3 * (n_cell + to)
            if aim < 0.0:
                first_direction(c, p, s, low, high, sums)
            else:
                last_direction(c, p, s, low, high, aim, sums)


@njit(cache=True, nogil=True, error_model="numpy")
def row_factor_pass(
    c: Chains,
    p: Point,
    s: Step,
    order: Ints,
    by: Floats,
    power: Floats,
    own: Floats,
    lack: Floats,
) -> float:
    """Do for the coupling rows what `factor_pass` does for EVs; return their residual.

    ``power`` (R, T) gets subtrees added; ``own`` and ``lack`` are overwritten.
    """
    n_step = c.base.shape[1]
    at = 3 * (c.first[-1] + c.want.size)
    move(c, p, s, at, c.upper.size, by[0], by[1])
    worst = 0.0
    for r in order:
        if c.parent[r] >= 0:
            power[c.parent[r]] += power[r]
        for t in range(n_step):
            j = at + 4 * (r * n_step + t)
            lack[r, t] = c.base[r, t] - power[r, t]
            own[r, t] = TINY_CURVE
            for k in range(j, j + 4):
                lack[r, t] -= c.free[k] * SIGNS[k - j] * p.x[k]
                s.g[k] = c.cost[k] - SIGNS[k - j] * p.lam[r, t]
                own[r, t] += s.theta[k]
            worst = max(worst, abs(lack[r, t]))
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def row_rhs(c: Chains, s: Step, lack: Floats, rho: Floats) -> None:
    """Put the rows' own right-hand sides, (R, T)."""
    n_row, n_step = c.base.shape
    j = 3 * (c.first[-1] + c.want.size)
    for r in range(n_row):
        for t in range(n_step):
            rho[r, t] = lack[r, t]
            for k in range(4):
                rho[r, t] += SIGNS[k] * s.theta[j + k] * s.g[j + k]
            j += 4


@njit(cache=True, nogil=True, error_model="numpy")
def row_step_pass(
    c: Chains, p: Point, s: Step, aim: float, dlam: Floats, sums: Floats
) -> None:
    """Do for the coupling rows what `step_pass` does for EVs."""
    n_row, n_step = c.base.shape
    at = 3 * (c.first[-1] + c.want.size)
    j = at
    for r in range(n_row):
        for t in range(n_step):
            for k in range(4):
                s.dx[j] = s.theta[j] * (SIGNS[k] * dlam[r, t] - s.g[j])
                j += 1
    if aim < 0.0:
        first_direction(c, p, s, at, j, sums)
    else:
        last_direction(c, p, s, at, j, aim, sums)
