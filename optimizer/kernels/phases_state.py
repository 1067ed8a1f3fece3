"""The problem that `optimizer.kernels.phases` solves, and where it stands."""

from typing import NamedTuple

from numba import njit

from optimizer.kernels.phases_linear import Floats, Ints


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
def copy(st: State, out: State) -> None:
    """Set a state to another."""
    out.cells[:], out.parts[:], out.rows[:] = st.cells, st.parts, st.rows
    out.discs[:], out.y[:] = st.discs, st.y
