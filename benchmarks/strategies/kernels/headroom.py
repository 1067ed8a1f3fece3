"""How much more one EV may take while every limit holds.

Limits are of two kinds. A sum limit g: the members' powers together stay at most its
room. A line l: with phasor a of the EV [A/W] and z the current the line carries, the EV
may add p as long as ``|z + a p| <= limit``, a quadratic in p:

    p = (sqrt(b² + |a|² (limit² - |z|²)) - b) / |a|²,   b = Re(conj(z) a)

The set of powers that keep a norm is an interval with 0 in it while z keeps it, so the
least p over all lines and sums keeps all of them.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Part of a limit left unused, so that rounding breaks none.
MARGIN = 1e-9


@njit(cache=True, nogil=True)
def headroom_w(
    i: int,
    room_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    z_re: Floats,
    z_im: Floats,
    limit_a: Floats,
) -> float:
    """Return what EV i may take more [W], at least 0.

    Parameters
    ----------
    i : int
        The EV.
    room_w : ndarray of float64, shape (g,)
        What is left of each sum limit [W].
    member : ndarray of bool, shape (g, n)
        Who counts in each sum limit.
    re, im : ndarray of float64, shape (m, n)
        Phasor that a watt of each EV adds to each line [A/W].
    z_re, z_im : ndarray of float64, shape (m,)
        Current of each line [A].
    limit_a : ndarray of float64, shape (m,)
        Limit of each line [A].
    """
    most = np.inf
    for g in range(room_w.size):
        if member[g, i]:
            most = min(most, room_w[g])
    for line in range(limit_a.size):
        square = re[line, i] ** 2 + im[line, i] ** 2
        if square == 0.0:
            continue
        limit = limit_a[line] * (1.0 - MARGIN)
        free = limit**2 - z_re[line] ** 2 - z_im[line] ** 2
        along = re[line, i] * z_re[line] + im[line, i] * z_im[line]
        root = np.sqrt(max(along**2 + square * free, 0.0))
        # The form without cancellation where the EV drives the current up.
        if along > 0.0:
            most = min(most, free / (root + along))
        else:
            most = min(most, (root - along) / square)
    return max(most, 0.0)


@njit(cache=True, nogil=True)
def take(
    i: int,
    power_w: float,
    room_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    z_re: Floats,
    z_im: Floats,
) -> None:
    """Let EV i take a power more: sum limits shrink, lines carry it."""
    for g in range(room_w.size):
        if member[g, i]:
            room_w[g] -= power_w
    for line in range(z_re.size):
        z_re[line] += re[line, i] * power_w
        z_im[line] += im[line, i] * power_w


@njit(cache=True, nogil=True)
def keeps_all(
    power_w: Floats,
    upper_w: Floats,
    member: Bools,
    re: Floats,
    im: Floats,
    limit_a: Floats,
) -> bool:
    """Return whether powers (n,) keep every sum limit and every line."""
    for g in range(upper_w.size):
        total = 0.0
        for i in range(power_w.size):
            if member[g, i]:
                total += power_w[i]
        if total > upper_w[g]:
            return False
    for line in range(limit_a.size):
        x = y = 0.0
        for i in range(power_w.size):
            x += re[line, i] * power_w[i]
            y += im[line, i] * power_w[i]
        if x * x + y * y > (limit_a[line] * (1.0 - MARGIN)) ** 2:
            return False
    return True
