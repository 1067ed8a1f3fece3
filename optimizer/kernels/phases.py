"""A primal-dual interior point for charging under limits on the norms of line currents.

Everything is scaled by the caller. Cells k are pairs of an EV and a step at which it
can charge; EVs of one step with the same column of the network form a block b, and S_b
is the sum of its cells. With a segment j for each piece of an EV's piecewise linear
(or quadratic) price of energy left out::

    minimise  sum_k cost_k x_k + sum_j (weight_j s_j + bend_j s_j² / 2)
                               + sum_r dear_r e_r
    subject   sum_k gain_k x_k + sum_j s_j = need_i         every EV i      (y)
              sum_b coefficient_rb S_b - e_r + v_r = bound_r  every row r   (pi)
              |sum_b z_lb S_b| <= limit_l, z_lb complex     every disc l
              0 <= x <= cap, 0 <= s <= width, e >= 0, v >= 0

Rows have an e only where ``dear_r`` is finite: a lower bound that may be broken. All
variables have bounds and the slack segments take up every need, so primal and dual
start feasible and stay so: each iterate is a plan with a bound.

Mehrotra's predictor and corrector, with the scaling of Nesterov and Todd for the cones
(limit, current) of the discs. (Tried: a disc as a smooth function of the current with
one multiplier. A step was cheaper, but the multipliers left what is feasible. That was
while changes still went by P, see below, so it may be worth another try.)

A Newton step first eliminates the cells of a step. They meet the others of the step
only by the block sums, so with D the diagonal of the cells' bounds, F_b the sum of 1/D
in block b and H the (small) matrix of rows and discs, it takes ``P = (F^-1 + H)^-1``:
no difference of large numbers is formed, which is where the plain Woodbury formula
loses its digits. For the same reason changes go by the Cholesky factor and not by P.
What is left is one symmetric system over the EVs' y. Where H has a smaller rank than
the step has blocks and all of them are free, the multipliers may still lose digits (the
plan does not, and its bound stays one, but a loose one); solving for the multipliers
instead of the block sums would cure that.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from optimizer.kernels.phases_cone import (
    longest,
    product,
    quotient,
    scaled,
    scaling,
    unscaled,
)
from optimizer.kernels.phases_linear import Floats, Ints, back, factor, forward, inverse

# Part of the way to the boundary that a step may go.
_NEARLY = 0.995
# Steps in a row that may leave the gap as it is, or greater.
_MISSES = 4


class Layout(NamedTuple):
    """The problem. Cells lie by block, blocks by step, rows and discs by step.

    Parameters
    ----------
    ev : ndarray of int64, shape (N,)
        Of each cell.
    cells : ndarray of float64, shape (3, N)
        Cap, gain, cost.
    block_start : ndarray of int64, shape (B + 1,)
        First cell of each block.
    steps : ndarray of int64, shape (3, T + 1)
        First block, row and disc of each step.
    rows : ndarray of float64, shape (2, R)
        Bound, dear.
    coefficients : ndarray of float64, shape (R, C)
        By the block's place within its step.
    phasors : ndarray of float64, shape (2, K, C)
        Real and imaginary part, by the block's place within its step.
    limit : ndarray of float64, shape (K,)
    part_ev : ndarray of int64, shape (J,)
        Of each segment.
    parts : ndarray of float64, shape (3, J)
        Width, weight, bend.
    need : ndarray of float64, shape (n,)
    """

    ev: Ints
    cells: Floats
    block_start: Ints
    steps: Ints
    rows: Floats
    coefficients: Floats
    phasors: Floats
    limit: Floats
    part_ev: Ints
    parts: Floats
    need: Floats


class State(NamedTuple):
    """Primal and dual variables, or a direction of them.

    Parameters
    ----------
    cells : ndarray of float64, shape (4, N)
        x, its distance to the cap, and the multipliers of both bounds.
    parts : ndarray of float64, shape (4, J)
        The same for s.
    rows : ndarray of float64, shape (4, R)
        v, e, and the multipliers pi and that of e.
    discs : ndarray of float64, shape (2, K, 3)
        Limit and current, and the point of the dual cone.
    y : ndarray of float64, shape (n,)
    """

    cells: Floats
    parts: Floats
    rows: Floats
    discs: Floats
    y: Floats


class Work(NamedTuple):
    """What a Newton step computes once for its two right sides.

    Parameters
    ----------
    cells : ndarray of float64, shape (3, N)
        1 / D, share of the cell in its block's sum of them, right side.
    blocks : ndarray of float64, shape (3, B)
        F, mean of the right sides by share, change of the sum.
    p : ndarray of float64, shape (T, C, C)
    h : ndarray of float64, shape (T, C, C)
        Cholesky factor of P^-1.
    parts : ndarray of float64, shape (2, J)
        Diagonal, right side.
    rows : ndarray of float64, shape (2, R)
        Diagonal, constant part of the change of pi.
    discs : ndarray of float64, shape (K, 13)
        Scaling (4), its square's inverse (3), scaled point (3), constant part of the
        change of the dual point (3).
    schur : ndarray of float64, shape (n, n)
    """

    cells: Floats
    blocks: Floats
    p: Floats
    h: Floats
    parts: Floats
    rows: Floats
    discs: Floats
    schur: Floats


@njit(cache=True, nogil=True, error_model="numpy")
def complementarity(
    lay: Layout, st: State, d: State, primal: float, dual: float
) -> float:
    """Return the gap of primal and dual after a step along a direction."""
    gap = 0.0
    for a in range(2):
        for k in range(st.cells.shape[1]):
            x = st.cells[a, k] + primal * d.cells[a, k]
            gap += x * (st.cells[a + 2, k] + dual * d.cells[a + 2, k])
        for j in range(st.parts.shape[1]):
            s = st.parts[a, j] + primal * d.parts[a, j]
            gap += s * (st.parts[a + 2, j] + dual * d.parts[a + 2, j])
        for r in range(st.rows.shape[1]):
            v = st.rows[a, r] + primal * d.rows[a, r]
            gap += v * (st.rows[a + 2, r] + dual * d.rows[a + 2, r])
    for q in range(lay.limit.size):
        for c in range(3):
            s = st.discs[0, q, c] + primal * d.discs[0, q, c]
            gap += s * (st.discs[1, q, c] + dual * d.discs[1, q, c])
    return gap


@njit(cache=True, nogil=True, error_model="numpy")
def _diagonals(lay: Layout, st: State, w: Work) -> None:
    """Set what each variable's bounds and each row and disc add to the system."""
    x, up, low, high = st.cells[0], st.cells[1], st.cells[2], st.cells[3]
    free, share = w.cells[0], w.cells[1]
    for k in range(x.size):
        free[k] = 1.0 / (low[k] / x[k] + high[k] / up[k])
    for b in range(w.blocks.shape[1]):
        total = 0.0
        for k in range(lay.block_start[b], lay.block_start[b + 1]):
            total += free[k]
        w.blocks[0, b] = total
        for k in range(lay.block_start[b], lay.block_start[b + 1]):
            share[k] = free[k] / total
    for j in range(st.parts.shape[1]):
        bounds = st.parts[2, j] / st.parts[0, j] + st.parts[3, j] / st.parts[1, j]
        w.parts[0, j] = bounds + lay.parts[2, j]
    for r in range(st.rows.shape[1]):
        soft = st.rows[1, r] / st.rows[3, r] if lay.rows[1, r] < np.inf else 0.0
        w.rows[0, r] = 1.0 / (st.rows[0, r] / st.rows[2, r] + soft)
    for q in range(lay.limit.size):
        s, z, out = st.discs[0, q], st.discs[1, q], w.discs[q]
        scale = scaling(s[0], s[1], s[2], z[0], z[1], z[2])
        out[0], out[1], out[2], out[3] = scale
        less = 1.0 / (scale[0] * scale[0])
        out[4] = less * (1.0 + 2.0 * scale[2] * scale[2])
        out[5] = less * 2.0 * scale[2] * scale[3]
        out[6] = less * (1.0 + 2.0 * scale[3] * scale[3])
        out[7], out[8], out[9] = scaled(scale, z[0], z[1], z[2])


@njit(cache=True, nogil=True, error_model="numpy")
def _step_matrix(lay: Layout, w: Work, t: int) -> None:
    """Set P = (F^-1 + H)^-1 of a step."""
    first = lay.steps[0, t]
    size, h = lay.steps[0, t + 1] - first, w.h[t]
    for a in range(size):
        for b in range(a + 1):
            h[a, b] = 1.0 / w.blocks[0, first + a] if a == b else 0.0
    for r in range(lay.steps[1, t], lay.steps[1, t + 1]):
        c = lay.coefficients[r]
        for a in range(size):
            for b in range(a + 1):
                h[a, b] += w.rows[0, r] * c[a] * c[b]
    for q in range(lay.steps[2, t], lay.steps[2, t + 1]):
        re, im, m = lay.phasors[0, q], lay.phasors[1, q], w.discs[q]
        for a in range(size):
            left, right = m[4] * re[a] + m[5] * im[a], m[5] * re[a] + m[6] * im[a]
            for b in range(a + 1):
                h[a, b] += left * re[b] + right * im[b]
    factor(h, size)
    inverse(h, size, w.p[t])


@njit(cache=True, nogil=True, error_model="numpy")
def _add_step(lay: Layout, w: Work, t: int) -> None:
    """Add a step's part to the system over the EVs."""
    gain, share, start = lay.cells[1], w.cells[1], lay.block_start
    first, last = lay.steps[0, t], lay.steps[0, t + 1]
    for a in range(first, last):
        f = w.blocks[0, a]
        for k in range(start[a], start[a + 1]):
            row, of_k = w.schur[lay.ev[k]], gain[k] * share[k]
            others = 0.0
            for o in range(start[a], start[a + 1]):
                if o != k:
                    others += share[o]
                    row[lay.ev[o]] -= of_k * gain[o] * share[o] * f
            row[lay.ev[k]] += of_k * gain[k] * others * f
            for b in range(first, last):
                p = w.p[t, a - first, b - first] * of_k
                for o in range(start[b], start[b + 1]):
                    row[lay.ev[o]] += p * gain[o] * share[o]


@njit(cache=True, nogil=True, error_model="numpy")
def prepare(lay: Layout, st: State, w: Work) -> None:
    """Compute and factor everything that does not depend on the right side."""
    _diagonals(lay, st, w)
    w.schur[:] = 0.0
    for j in range(lay.part_ev.size):
        w.schur[lay.part_ev[j], lay.part_ev[j]] += 1.0 / w.parts[0, j]
    for t in range(lay.steps.shape[1] - 1):
        if lay.steps[0, t + 1] > lay.steps[0, t]:
            _step_matrix(lay, w, t)
            _add_step(lay, w, t)
    factor(w.schur, w.schur.shape[0])


@njit(cache=True, nogil=True, error_model="numpy")
def _limit_sides(lay: Layout, st: State, w: Work, aim: float, pre: State) -> None:
    """Set the constant part of the change of each row's and disc's multiplier."""
    for r in range(st.rows.shape[1]):
        v, e, pi, low = st.rows[0, r], st.rows[1, r], st.rows[2, r], st.rows[3, r]
        side = (aim - pre.rows[0, r] * pre.rows[2, r]) / pi - v
        if lay.rows[1, r] < np.inf:
            side -= (aim - pre.rows[1, r] * pre.rows[3, r]) / low - e
        w.rows[1, r] = w.rows[0, r] * side
    for q in range(lay.limit.size):
        out = w.discs[q]
        if aim == 0.0:  # the predictor: the multiplier wants to vanish
            for c in range(3):
                out[10 + c] = -st.discs[1, q, c]
            continue
        ds, dz = pre.discs[0, q], pre.discs[1, q]
        scale, point = (out[0], out[1], out[2], out[3]), (out[7], out[8], out[9])
        more = product(
            unscaled(scale, ds[0], ds[1], ds[2]), scaled(scale, dz[0], dz[1], dz[2])
        )
        # The square of the point itself is taken off by the point.
        side = quotient(point, (aim - more[0], -more[1], -more[2]))
        out[10], out[11], out[12] = unscaled(
            scale, side[0] - point[0], side[1] - point[1], side[2] - point[2]
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _cell_sides(lay: Layout, st: State, w: Work, aim: float, pre: State) -> None:
    """Set the right side of each cell and segment."""
    for t in range(lay.steps.shape[1] - 1):
        first = lay.steps[0, t]
        for b in range(first, lay.steps[0, t + 1]):
            dear, place = 0.0, b - first
            for r in range(lay.steps[1, t], lay.steps[1, t + 1]):
                dear += lay.coefficients[r, place] * (st.rows[2, r] + w.rows[1, r])
            for q in range(lay.steps[2, t], lay.steps[2, t + 1]):
                re, im = lay.phasors[0, q, place], lay.phasors[1, q, place]
                dear -= re * (st.discs[1, q, 1] + w.discs[q, 11])
                dear -= im * (st.discs[1, q, 2] + w.discs[q, 12])
            w.blocks[1, b] = dear
    for b in range(w.blocks.shape[1]):
        for k in range(lay.block_start[b], lay.block_start[b + 1]):
            cost = lay.cells[2, k] - lay.cells[1, k] * st.y[lay.ev[k]]
            low = (aim - pre.cells[0, k] * pre.cells[2, k]) / st.cells[0, k]
            high = (aim - pre.cells[1, k] * pre.cells[3, k]) / st.cells[1, k]
            w.cells[2, k] = low - high - cost - w.blocks[1, b]
    for j in range(st.parts.shape[1]):
        cost = lay.parts[1, j] + lay.parts[2, j] * st.parts[0, j]
        cost -= st.y[lay.part_ev[j]]
        low = (aim - pre.parts[0, j] * pre.parts[2, j]) / st.parts[0, j]
        high = (aim - pre.parts[1, j] * pre.parts[3, j]) / st.parts[1, j]
        w.parts[1, j] = low - high - cost


@njit(cache=True, nogil=True, error_model="numpy")
def _cells(lay: Layout, w: Work, out: Floats) -> None:
    """Solve the cells' part of the system, and set the change of the block sums."""
    free, share, right = w.cells[0], w.cells[1], w.cells[2]
    for t in range(lay.steps.shape[1] - 1):
        first, last = lay.steps[0, t], lay.steps[0, t + 1]
        for b in range(first, last):
            mean = 0.0
            for k in range(lay.block_start[b], lay.block_start[b + 1]):
                mean += share[k] * right[k]
            w.blocks[1, b] = mean
        # By the factor: multiplying by P would lose what a full disc has left.
        change = w.blocks[2, first:last]
        change[:] = w.blocks[1, first:last]
        forward(w.h[t], change)
        back(w.h[t], last - first, change)
        for b in range(first, last):
            total = w.blocks[2, b]
            for k in range(lay.block_start[b], lay.block_start[b + 1]):
                out[k] = (right[k] - w.blocks[1, b]) * free[k] + share[k] * total


@njit(cache=True, nogil=True, error_model="numpy")
def _limit_changes(
    lay: Layout, st: State, w: Work, aim: float, pre: State, out: State
) -> None:
    """Set the change of rows and discs from that of the block sums."""
    for t in range(lay.steps.shape[1] - 1):
        first = lay.steps[0, t]
        size = lay.steps[0, t + 1] - first
        for r in range(lay.steps[1, t], lay.steps[1, t + 1]):
            load, soft = 0.0, 0.0
            for b in range(size):
                load += lay.coefficients[r, b] * w.blocks[2, first + b]
            change = w.rows[1, r] + w.rows[0, r] * load
            if lay.rows[1, r] < np.inf:
                side = aim - pre.rows[1, r] * pre.rows[3, r] + st.rows[1, r] * change
                soft = side / st.rows[3, r] - st.rows[1, r]
                out.rows[3, r] = -change
            out.rows[0, r], out.rows[1, r], out.rows[2, r] = soft - load, soft, change
        for q in range(lay.steps[2, t], lay.steps[2, t + 1]):
            re = im = 0.0
            for b in range(size):
                re += lay.phasors[0, q, b] * w.blocks[2, first + b]
                im += lay.phasors[1, q, b] * w.blocks[2, first + b]
            m = w.discs[q]
            scale = (m[0], m[1], m[2], m[3])
            half = unscaled(scale, 0.0, re, im)
            part = unscaled(scale, half[0], half[1], half[2])
            out.discs[0, q, 0], out.discs[0, q, 1], out.discs[0, q, 2] = 0.0, re, im
            for c in range(3):
                out.discs[1, q, c] = m[10 + c] - part[c]


@njit(cache=True, nogil=True, error_model="numpy")
def direction(
    lay: Layout, st: State, w: Work, aim: float, pre: State, out: State
) -> None:
    """Set the Newton direction to products of ``aim``, given the predicted one."""
    _limit_sides(lay, st, w, aim, pre)
    _cell_sides(lay, st, w, aim, pre)
    _cells(lay, w, out.cells[0])
    y, x, gain = out.y, st.cells[0], lay.cells[1]
    y[:] = lay.need
    for k in range(x.size):
        y[lay.ev[k]] -= gain[k] * (x[k] + out.cells[0, k])
    for j in range(lay.part_ev.size):
        whole = st.parts[0, j] + w.parts[1, j] / w.parts[0, j]
        y[lay.part_ev[j]] -= whole
    forward(w.schur, y)
    back(w.schur, y.size, y)
    for k in range(x.size):
        w.cells[2, k] += gain[k] * y[lay.ev[k]]
    _cells(lay, w, out.cells[0])
    for j in range(lay.part_ev.size):
        side = w.parts[1, j] + y[lay.part_ev[j]]
        out.parts[0, j] = side / w.parts[0, j]
    _bound_changes(st.cells, aim, pre.cells, out.cells)
    _bound_changes(st.parts, aim, pre.parts, out.parts)
    _limit_changes(lay, st, w, aim, pre, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _bound_changes(st: Floats, aim: float, pre: Floats, out: Floats) -> None:
    """Set the change of bounded variables' distances and multipliers."""
    for k in range(st.shape[1]):
        dx, low, high = out[0, k], pre[0, k] * pre[2, k], pre[1, k] * pre[3, k]
        out[1, k] = -dx
        out[2, k] = (aim - low - st[2, k] * dx) / st[0, k] - st[2, k]
        out[3, k] = (aim - high + st[3, k] * dx) / st[1, k] - st[3, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _stay_above(values: Floats, change: Floats, most: float) -> float:
    """Return the longest step that keeps values at least 0."""
    for a in range(values.shape[0]):
        for k in range(values.shape[1]):
            if values[a, k] + most * change[a, k] < 0.0:
                most = -values[a, k] / change[a, k]
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def step_lengths(st: State, d: State) -> tuple[float, float]:
    """Return the longest primal and dual steps, at most 1 / 0.995."""
    longest_w = [1.0 / _NEARLY, 1.0 / _NEARLY]
    for side in range(2):
        at, to = 2 * side, 2 * side + 2
        most = _stay_above(st.cells[at:to], d.cells[at:to], longest_w[side])
        most = _stay_above(st.parts[at:to], d.parts[at:to], most)
        most = _stay_above(st.rows[at:to], d.rows[at:to], most)
        for q in range(st.discs.shape[1]):
            s, ds = st.discs[side, q], d.discs[side, q]
            most = min(most, longest((s[0], s[1], s[2]), (ds[0], ds[1], ds[2])))
        longest_w[side] = most
    return longest_w[0], longest_w[1]


@njit(cache=True, nogil=True, error_model="numpy")
def iterate(lay: Layout, st: State, w: Work, pre: State, d: State, gap: float) -> float:
    """Take one step of the method and return the gap after it."""
    n = 2 * (st.cells.shape[1] + st.parts.shape[1]) + st.rows.shape[1] + lay.limit.size
    prepare(lay, st, w)
    d.cells[:2], d.parts[:2], d.rows[:2] = 0.0, 0.0, 0.0
    direction(lay, st, w, 0.0, d, pre)
    primal, dual = step_lengths(st, pre)
    primal, dual = min(1.0, primal), min(1.0, dual)
    left = complementarity(lay, st, pre, primal, dual) / gap
    aim = max(left, 1e-4) ** 3 * gap / n
    direction(lay, st, w, aim, pre, d)
    primal, dual = step_lengths(st, d)
    primal, dual = _NEARLY * primal, _NEARLY * dual
    if lay.parts[2].max() > 0.0:
        primal = dual = min(primal, dual)  # what bends mixes the two
    st.cells[:2] += primal * d.cells[:2]
    st.cells[2:] += dual * d.cells[2:]
    st.parts[:2] += primal * d.parts[:2]
    st.parts[2:] += dual * d.parts[2:]
    st.rows[:2] += primal * d.rows[:2]
    st.rows[2:] += dual * d.rows[2:]
    st.discs[0] += primal * d.discs[0]
    st.discs[1] += dual * d.discs[1]
    st.y[:] += dual * d.y
    return complementarity(lay, st, d, 0.0, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def run(
    lay: Layout,
    st: State,
    w: Work,
    pre: State,
    d: State,
    best: State,
    enough: float,
    most: int,
) -> tuple[float, int]:
    """Iterate until the gap is small enough; return it and the iterations.

    Stops at the best state when rounding takes over and the gap no longer falls.
    """
    gap = complementarity(lay, st, d, 0.0, 0.0)
    least, misses, used = np.inf, 0, 0
    for i in range(most):
        if gap < least:
            _copy(st, best)
            least, misses = gap, 0
        else:
            misses += 1
        if least <= enough or misses > _MISSES or not gap < np.inf:
            break
        gap = iterate(lay, st, w, pre, d, gap)
        used = i + 1
    if not gap < least:
        _copy(best, st)
    return min(gap, least) if gap < np.inf else least, used


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(st: State, out: State) -> None:
    out.cells[:], out.parts[:], out.rows[:] = st.cells, st.parts, st.rows
    out.discs[:], out.y[:] = st.discs, st.y
