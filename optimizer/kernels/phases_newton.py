"""The Newton step of `optimizer.kernels.phases`, where its variables are named.

It first eliminates the cells of a step. They meet the others of the step
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

from optimizer.kernels.phases_cone import product, quotient, scaled, scaling, unscaled
from optimizer.kernels.phases_linear import Floats, back, factor, forward, inverse
from optimizer.kernels.phases_state import Layout, State


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
