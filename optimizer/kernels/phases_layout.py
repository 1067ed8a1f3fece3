"""Lays a charging problem out for `optimizer.kernels.phases`, all in its scaled units.

What cannot bind in a step is left out: a row whose members' caps fit together, a line
that all its EVs at once do not fill. A line that only one block of the step feeds is
no disc but a bound on that block's sum, of which the least stays.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from optimizer.kernels.phases_linear import Bools, Floats, Ints

_NONE = 1e-7


@njit(cache=True, nogil=True, error_model="numpy")
def classes(columns: Floats) -> tuple[Ints, int]:
    """Return the class of each EV (n,), by equal rows of ``columns``, and their number.

    Parameters
    ----------
    columns : ndarray of float64, shape (n, a)
        What tells EVs apart for the limits. Not modified.
    """
    n = columns.shape[0]
    of_ev = np.empty(n, np.int64)
    first = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        found = count
        for c in range(count):
            same = True
            for a in range(columns.shape[1]):
                if columns[i, a] != columns[first[c], a]:
                    same = False
                    break
            if same:
                found = c
                break
        if found == count:
            first[count] = i
            count += 1
        of_ev[i] = found
    return of_ev, count


@njit(cache=True, nogil=True, error_model="numpy")
def cells(cap: Floats, of_class: Ints, order: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return (cell_ev, block_start, block_class, step_block).

    Parameters
    ----------
    cap : ndarray of float64, shape (n, T)
        Most power, 0 where the step is not to be used. Not modified.
    of_class : ndarray of int64, shape (n,)
    order : ndarray of int64, shape (n,)
        EVs by class.
    """
    n_step = cap.shape[1]
    most = np.count_nonzero(cap > _NONE)
    ev = np.empty(most, np.int64)
    block_start = np.empty(most + 1, np.int64)
    block_class = np.empty(most, np.int64)
    step_block = np.zeros(n_step + 1, np.int64)
    at = blocks = 0
    for t in range(n_step):
        last = -1
        for i in order:
            if cap[i, t] > _NONE:
                if of_class[i] != last:
                    last = of_class[i]
                    block_start[blocks] = at
                    block_class[blocks] = last
                    blocks += 1
                ev[at] = i
                at += 1
        step_block[t + 1] = blocks
    block_start[blocks] = at
    return ev[:at], block_start[: blocks + 1], block_class[:blocks], step_block


class Network(NamedTuple):
    """What may bind, by class of EVs.

    Parameters
    ----------
    row_of : ndarray of float64, shape (g, C)
        1 for the classes that are members of a row (the PRE's, the groups'), else 0.
    upper, lower : ndarray of float64, shape (g, T)
        Bounds of the rows.
    phasors : ndarray of float64, shape (2, m, C)
        Real and imaginary part of a class's current in a line.
    limit : ndarray of float64, shape (m,)
    dear : float
        Price of breaking a lower bound.
    """

    row_of: Floats
    upper: Floats
    lower: Floats
    phasors: Floats
    limit: Floats
    dear: float


class Limits(NamedTuple):
    """What limits each step; `Layout` has what the arrays mean.

    Parameters
    ----------
    rows : ndarray of float64, shape (2, R)
    coefficients : ndarray of float64, shape (R, C)
    kind : ndarray of int64, shape (R,)
        g of an upper bound, -1 - g of a lower one, and the number of rows + l of the
        bound that line l is for one block.
    phasors : ndarray of float64, shape (2, K, C)
    limit : ndarray of float64, shape (K,)
    line : ndarray of int64, shape (K,)
    starts : ndarray of int64, shape (2, T + 1)
        First row and disc of each step.
    """

    rows: Floats
    coefficients: Floats
    kind: Ints
    phasors: Floats
    limit: Floats
    line: Ints
    starts: Ints


@njit(cache=True, nogil=True, error_model="numpy")
def limits(
    network: Network, block_class: Ints, block_cap: Floats, step_block: Ints
) -> Limits:
    """Return what limits each step.

    Parameters
    ----------
    network : Network
    block_class : ndarray of int64, shape (B,)
    block_cap : ndarray of float64, shape (B,)
        Sum of the caps of each block's cells.
    step_block : ndarray of int64, shape (T + 1,)
    """
    n_step, n_row, wide = step_block.size - 1, network.upper.shape[0], 1
    for t in range(n_step):
        wide = max(wide, step_block[t + 1] - step_block[t])
    most = 2 * n_step * n_row + block_class.size
    most_discs = n_step * network.limit.size
    out = Limits(
        np.empty((2, most)),
        np.zeros((most, wide)),
        np.empty(most, np.int64),
        np.zeros((2, most_discs, wide)),
        np.empty(most_discs),
        np.empty(most_discs, np.int64),
        np.zeros((2, n_step + 1), np.int64),
    )
    rows = discs = 0
    for t in range(n_step):
        here = slice(step_block[t], step_block[t + 1])
        classes_here, caps = block_class[here], block_cap[here]
        rows = _add_rows(network, t, classes_here, caps, out, rows)
        rows, discs = _add_lines(network, classes_here, caps, out, rows, discs)
        out.starts[0, t + 1], out.starts[1, t + 1] = rows, discs
    return Limits(
        out.rows[:, :rows].copy(),
        out.coefficients[:rows],
        out.kind[:rows],
        out.phasors[:, :discs].copy(),
        out.limit[:discs],
        out.line[:discs],
        out.starts,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _add_rows(
    network: Network, t: int, of: Ints, caps: Floats, out: Limits, rows: int
) -> int:
    """Append the rows of a step and return how many there are now."""
    n_row = network.upper.shape[0]
    for g in range(n_row):
        load = 0.0
        for b in range(of.size):
            load += network.row_of[g, of[b]] * caps[b]
        if load <= 0.0:
            continue
        upper, lower = network.upper[g, t], network.lower[g, t]
        for sign in (1.0, -1.0):
            if sign > 0.0 and load <= upper:
                continue
            if sign < 0.0 and lower <= _NONE:
                continue
            for b in range(of.size):
                out.coefficients[rows, b] = sign * network.row_of[g, of[b]]
            out.rows[0, rows] = upper if sign > 0.0 else -lower
            out.rows[1, rows] = np.inf if sign > 0.0 else network.dear
            out.kind[rows] = g if sign > 0.0 else -1 - g
            rows += 1
    return rows


@njit(cache=True, nogil=True, error_model="numpy")
def _add_lines(
    network: Network, of: Ints, caps: Floats, out: Limits, rows: int, discs: int
) -> tuple[int, int]:
    """Append the discs of a step, and the bounds that lines are for one block."""
    bound, line = np.full(of.size, np.inf), np.zeros(of.size, np.int64)
    re, im = network.phasors[0], network.phasors[1]
    for q in range(network.limit.size):
        load, feeding, only = 0.0, 0, 0
        for b in range(of.size):
            size = math.hypot(re[q, of[b]], im[q, of[b]])
            if size > 0.0:
                load += size * caps[b]
                feeding += 1
                only = b
        if load <= network.limit[q]:
            continue
        if feeding == 1:
            least = network.limit[q] / math.hypot(re[q, of[only]], im[q, of[only]])
            if least < bound[only]:
                bound[only], line[only] = least, q
            continue
        for b in range(of.size):
            out.phasors[0, discs, b] = re[q, of[b]]
            out.phasors[1, discs, b] = im[q, of[b]]
        out.limit[discs], out.line[discs] = network.limit[q], q
        discs += 1
    for b in range(of.size):
        if bound[b] < np.inf:
            out.coefficients[rows, b] = 1.0
            out.rows[0, rows], out.rows[1, rows] = bound[b], np.inf
            out.kind[rows] = network.upper.shape[0] + line[b]
            rows += 1
    return rows, discs


@njit(cache=True, nogil=True, error_model="numpy")
def joined(changes: Bools, single: int, growth: float) -> Ints:
    """Return the joined step each step belongs to, (T,).

    Parameters
    ----------
    changes : ndarray of bool, shape (T,)
        Whether anything differs from the step before.
    single : int
        The first steps, which are never joined.
    growth : float
        Most steps to join, per step before them.
    """
    of_step = np.empty(changes.size, np.int64)
    at, length, room = -1, 0, 0
    for t in range(changes.size):
        if t < single or changes[t] or length >= room:
            at, length, room = at + 1, 0, max(1, int(t * growth))
        of_step[t] = at
        length += 1
    return of_step
