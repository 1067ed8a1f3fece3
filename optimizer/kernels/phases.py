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
while changes still went by P, see `phases_newton`, so it may be worth another try.)
"""

import numpy as np
from numba import njit

from optimizer.kernels.phases_cone import longest
from optimizer.kernels.phases_linear import Floats
from optimizer.kernels.phases_newton import Work, direction, prepare
from optimizer.kernels.phases_state import Layout, State, complementarity, copy

# Part of the way to the boundary that a step may go.
_NEARLY = 0.995
# Steps in a row that may leave the gap as it is, or greater.
_MISSES = 4


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
            copy(st, best)
            least, misses = gap, 0
        else:
            misses += 1
        if least <= enough or misses > _MISSES or not gap < np.inf:
            break
        gap = iterate(lay, st, w, pre, d, gap)
        used = i + 1
    if not gap < least:
        copy(best, st)
    return min(gap, least) if gap < np.inf else least, used
