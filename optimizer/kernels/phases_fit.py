"""Makes a nearly optimal plan exact: no limit broken, no need exceeded, no room left.

Powers and energies are scaled as in `optimizer.kernels.phases`.
"""

import math

from numba import njit

from optimizer.kernels.phases_linear import Floats, Ints

# Below the limits by more than any later summation can be wrong.
_MARGIN = 1e-12
_NONE = 1e-7


@njit(cache=True, nogil=True, error_model="numpy")
def fit(
    x: Floats,
    cap: Floats,
    gain: Floats,
    need: Floats,
    line_re: Floats,
    line_im: Floats,
    limit: Floats,
    row_of: Floats,
    row_upper: Floats,
    order: Ints,
) -> None:
    """Bring powers within every limit, then use what room is left, in order.

    Parameters
    ----------
    x : ndarray of float64, shape (T, n)
        Powers. Overwritten.
    cap : ndarray of float64, shape (T, n)
    gain : ndarray of float64, shape (T, n)
        Energy per power.
    need : ndarray of float64, shape (n,)
        Most energy each EV is to get.
    line_re, line_im : ndarray of float64, shape (m, n)
        Phasor of each EV's current in each line.
    limit : ndarray of float64, shape (m,)
        Of the lines' currents.
    row_of : ndarray of float64, shape (g, n)
        1 for the members of each row, else 0.
    row_upper : ndarray of float64, shape (T, g)
        Most power of each row's members.
    order : ndarray of int64, shape (n,)
        Who gets what room is left, first one first.
    """
    n_step, n = x.shape
    for i in range(n):
        got = 0.0
        for t in range(n_step):
            x[t, i] = min(max(x[t, i], 0.0), cap[t, i])
            if x[t, i] < _NONE:
                x[t, i] = 0.0
            got += gain[t, i] * x[t, i]
        if got > need[i]:
            for t in range(n_step):
                x[t, i] *= need[i] / got
    for t in range(n_step):
        _shrink(x[t], line_re, line_im, limit, row_of, row_upper[t])
    for i in order:
        left = need[i]
        for t in range(n_step):
            left -= gain[t, i] * x[t, i]
        for t in range(n_step):
            if left <= _NONE * need[i]:
                break
            more = min(cap[t, i] - x[t, i], left / gain[t, i])
            if more > 0.0:
                lines = (line_re, line_im, limit)
                more = _room(x[t], i, more, lines, row_of, row_upper[t])
                x[t, i] += more
                left -= gain[t, i] * more
    for t in range(n_step):
        _shrink(x[t], line_re, line_im, limit, row_of, row_upper[t])


@njit(cache=True, nogil=True, error_model="numpy")
def _shrink(
    x: Floats,
    line_re: Floats,
    line_im: Floats,
    limit: Floats,
    row_of: Floats,
    row_upper: Floats,
) -> None:
    """Scale a step's powers down until every line and row holds."""
    fits = 1.0
    for q in range(limit.size):
        re = im = 0.0
        for i in range(x.size):
            re += line_re[q, i] * x[i]
            im += line_im[q, i] * x[i]
        size, most = math.hypot(re, im), limit[q] * (1.0 - _MARGIN)
        if size > most:
            fits = min(fits, most / size)
    for g in range(row_upper.size):
        load = 0.0
        for i in range(x.size):
            load += row_of[g, i] * x[i]
        most = max(row_upper[g], 0.0) * (1.0 - _MARGIN)
        if load > most:
            fits = min(fits, most / load)
    if fits < 1.0:
        for i in range(x.size):
            x[i] *= fits


@njit(cache=True, nogil=True, error_model="numpy")
def _room(
    x: Floats,
    i: int,
    more: float,
    lines: tuple[Floats, Floats, Floats],
    row_of: Floats,
    row_upper: Floats,
) -> float:
    """Return how much more power an EV can get in a step."""
    line_re, line_im, limit = lines
    for g in range(row_upper.size):
        if row_of[g, i] > 0.0:
            load = 0.0
            for o in range(x.size):
                load += row_of[g, o] * x[o]
            more = min(more, row_upper[g] - load)
    for q in range(limit.size):
        a, b = line_re[q, i], line_im[q, i]
        size = a * a + b * b
        if size == 0.0:
            continue
        re = im = 0.0
        for o in range(x.size):
            re += line_re[q, o] * x[o]
            im += line_im[q, o] * x[o]
        under = limit[q] * limit[q] * (1.0 - 2.0 * _MARGIN) - re * re - im * im
        if under <= 0.0:
            return 0.0
        half = a * re + b * im
        # The root of |I + more z|² = limit², without a difference of near numbers.
        root = math.sqrt(half * half + size * under)
        more = min(more, (root - half) / size if half < 0.0 else under / (root + half))
    return max(more, 0.0)
