"""Cholesky for the small dense systems of `optimizer.kernels.phases`."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@njit(cache=True, nogil=True, error_model="numpy")
def factor(h: Floats, size: int) -> None:
    """Replace the lower triangle of a positive definite matrix by its Cholesky factor.

    A pivot that rounding made vanish becomes very large: its variable stays.
    """
    for j in range(size):
        pivot = h[j, j]
        for c in range(j):
            pivot -= h[j, c] * h[j, c]
        root = math.sqrt(pivot) if pivot > 1e-15 * h[j, j] else 1e60
        h[j, j] = root
        for i in range(j + 1, size):
            total = h[i, j]
            for c in range(j):
                total -= h[i, c] * h[j, c]
            h[i, j] = total / root


@njit(cache=True, nogil=True, error_model="numpy")
def inverse(h: Floats, size: int, out: Floats) -> None:
    """Set the inverse from a Cholesky factor."""
    for column in range(size):
        x = out[column]  # its transposed is the same
        for i in range(size):
            total = 1.0 if i == column else 0.0
            for c in range(column, i):
                total -= h[i, c] * x[c]
            x[i] = total / h[i, i]
        back(h, size, x)


@njit(cache=True, nogil=True, error_model="numpy")
def back(h: Floats, size: int, x: Floats) -> None:
    """Solve with the transposed Cholesky factor, in place."""
    for i in range(size - 1, -1, -1):
        total = x[i]
        for c in range(i + 1, size):
            total -= h[c, i] * x[c]
        x[i] = total / h[i, i]


@njit(cache=True, nogil=True, error_model="numpy")
def forward(h: Floats, x: Floats) -> None:
    """Solve with a Cholesky factor, in place."""
    for i in range(x.size):
        total = x[i]
        for c in range(i):
            total -= h[i, c] * x[c]
        x[i] = total / h[i, i]
