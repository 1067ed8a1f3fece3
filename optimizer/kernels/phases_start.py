"""Where `optimizer.kernels.phases` starts: inside every bound, primal and dual."""

import math

import numpy as np
from numba import njit

from optimizer.kernels.phases_linear import Floats
from optimizer.kernels.phases_state import Layout, State

# Products of variables and multipliers, and the price of energy, at the start.
_PRODUCT = 0.1
_PRICE = 0.5


@njit(cache=True, nogil=True, error_model="numpy")
def start(lay: Layout) -> State:
    """Return a feasible start."""
    n, n_part, n_row = lay.need.size, lay.part_ev.size, lay.rows.shape[1]
    st = State(
        np.zeros((4, lay.ev.size)),
        np.zeros((4, n_part)),
        np.zeros((4, n_row)),
        np.zeros((2, lay.limit.size, 3)),
        np.full(n, _PRICE),
    )
    sums = np.zeros(lay.block_start.size - 1)
    dear = np.zeros(lay.block_start.size - 1)
    x = st.cells[0]
    x[:] = 0.5 * lay.cells[0]
    _sum_blocks(lay, x, sums)
    _half_fill(lay, x, sums)
    _start_parts(lay, st)
    _sum_blocks(lay, x, sums)
    _start_limits(lay, st, sums, dear)
    for b in range(sums.size):
        for k in range(lay.block_start[b], lay.block_start[b + 1]):
            cost = lay.cells[2, k] - lay.cells[1, k] * _PRICE + dear[b]
            _pair(st.cells, k, lay.cells[0, k], cost)
    for j in range(n_part):
        cost = lay.parts[1, j] + lay.parts[2, j] * st.parts[0, j]
        _pair(st.parts, j, lay.parts[0, j], cost - _PRICE)
    return st


@njit(cache=True, nogil=True, error_model="numpy")
def _pair(bounded: Floats, k: int, cap: float, cost: float) -> None:
    """Set a variable's distance to its cap and the multipliers of both bounds."""
    bounded[1, k] = cap - bounded[0, k]
    low, high = _PRODUCT / bounded[0, k], _PRODUCT / bounded[1, k]
    more = cost - low + high
    bounded[2, k], bounded[3, k] = low + max(more, 0.0), high + max(-more, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_blocks(lay: Layout, x: Floats, sums: Floats) -> None:
    for b in range(sums.size):
        sums[b] = x[lay.block_start[b] : lay.block_start[b + 1]].sum()


@njit(cache=True, nogil=True, error_model="numpy")
def _half_fill(lay: Layout, x: Floats, sums: Floats) -> None:
    """Lower each step until its rows and lines are at most half full."""
    for t in range(lay.steps.shape[1] - 1):
        first, last = lay.steps[0, t], lay.steps[0, t + 1]
        fits = 1.0
        for r in range(lay.steps[1, t], lay.steps[1, t + 1]):
            load = 0.0
            for b in range(first, last):
                load += lay.coefficients[r, b - first] * sums[b]
            if load > 0.0:
                fits = min(fits, 0.5 * lay.rows[0, r] / load)
        for q in range(lay.steps[2, t], lay.steps[2, t + 1]):
            load = 0.0
            for b in range(first, last):
                re, im = lay.phasors[0, q, b - first], lay.phasors[1, q, b - first]
                load += math.hypot(re, im) * sums[b]
            fits = min(fits, 0.5 * lay.limit[q] / load)
        if last > first:
            x[lay.block_start[first] : lay.block_start[last]] *= fits


@njit(cache=True, nogil=True, error_model="numpy")
def _start_parts(lay: Layout, st: State) -> None:
    """Lower each EV to half its need, and share out what it lacks to its segments."""
    n = lay.need.size
    got, less = np.zeros(n), np.zeros(n)
    for k in range(lay.ev.size):
        got[lay.ev[k]] += lay.cells[1, k] * st.cells[0, k]
    for i in range(n):
        less[i] = min(1.0, 0.5 * lay.need[i] / got[i]) if got[i] > 0.0 else 1.0
    for k in range(lay.ev.size):
        st.cells[0, k] *= less[lay.ev[k]]
    for j in range(lay.part_ev.size):
        i = lay.part_ev[j]
        lacks = 1.0 - got[i] * less[i] / lay.need[i]
        st.parts[0, j] = lay.parts[0, j] * lacks


@njit(cache=True, nogil=True, error_model="numpy")
def _start_limits(lay: Layout, st: State, sums: Floats, dear: Floats) -> None:
    """Set rows and discs, and what they add to the price of each block."""
    for t in range(lay.steps.shape[1] - 1):
        first, last = lay.steps[0, t], lay.steps[0, t + 1]
        for r in range(lay.steps[1, t], lay.steps[1, t + 1]):
            load, bound, price = 0.0, lay.rows[0, r], lay.rows[1, r]
            for b in range(first, last):
                load += lay.coefficients[r, b - first] * sums[b]
            soft = max(0.0, load - bound) + 1.0 if price < np.inf else 0.0
            pi = min(_PRODUCT / (bound - load + soft), 0.5 * price)
            st.rows[0, r], st.rows[1, r], st.rows[2, r] = bound - load + soft, soft, pi
            st.rows[3, r] = price - pi if price < np.inf else 0.0
            for b in range(first, last):
                dear[b] += lay.coefficients[r, b - first] * pi
        for q in range(lay.steps[2, t], lay.steps[2, t + 1]):
            point = st.discs[0, q]
            point[0] = lay.limit[q]
            for b in range(first, last):
                point[1] += lay.phasors[0, q, b - first] * sums[b]
                point[2] += lay.phasors[1, q, b - first] * sums[b]
            st.discs[1, q, 0] = _PRODUCT / lay.limit[q]
