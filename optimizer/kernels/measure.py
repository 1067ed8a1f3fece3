"""Sums over plans in one pass, where arrays in between would cost more than the sum."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


# Sums may be reordered; that a NaN is in the plan is found in what they add up to.
_SUMS = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True, fastmath=_SUMS)
def sums(power_w: Floats, hours: Floats, row_wh: Floats, step_w: Floats) -> None:
    """Set row_wh (n,) and step_w (T,) to the sums of a plan (n, T) [W]."""
    step_w[:] = 0.0
    for i in range(power_w.shape[0]):
        energy = 0.0
        for t in range(power_w.shape[1]):
            energy += power_w[i, t] * hours[t]
            step_w[t] += power_w[i, t]
        row_wh[i] = energy


@njit(cache=True, nogil=True, fastmath=_SUMS)
def moved_wh(power_w: Floats, previous_w: Floats, hours: Floats) -> float:
    """Return the energy by which plans (n, T) [W] differ, over steps (T,) [h]."""
    total = 0.0
    for i in range(power_w.shape[0]):
        for t in range(power_w.shape[1]):
            total += abs(power_w[i, t] - previous_w[i, t]) * hours[t]
    return total
