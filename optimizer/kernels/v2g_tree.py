"""The coupling rows of a Newton step: a tree of groups, solved from its leaves.

Row r (zone or group) has its own curvature ``D`` (diagonal, of its segments), the
answer ``B`` (T, T) of the EVs below it to prices, and its multipliers ``lam``; EVs feel
as price the sum of ``lam`` over the rows that hold them. The net answer of row r and
all below it to the price from above is again of that form::

    (D + B) lam = rho + net - B price_above
    B_above = D (D + B)^-1 B = (V^-T U)^T (V^-T U),  B = U^T U,  V^T V = I + U D^-1 U^T

so a row costs O(T³) and rows are never taken together. The last form subtracts nothing;
still, deep trees whose limits all bind lose digits on the way, so that few rows are
taken together instead (`factor_dense`).
"""

import numpy as np
from numba import njit

from optimizer.kernels.v2g_blocks import Floats, Ints

# A pivot this small beside its diagonal element is rounding.
ROUNDING = 1e-15


@njit(cache=True, nogil=True, error_model="numpy")
def cholesky(a: Floats, least_pivot: float) -> None:
    """Factor the upper triangle in place into U^T U.

    Pivots are known to be at least ``least_pivot``; where that is 0, what is dependent
    but for rounding gets no row.
    """
    size = a.shape[0]
    least = np.empty(size)
    for k in range(size):
        least[k] = ROUNDING * a[k, k]
    for k in range(size):
        row = a[k]
        if not row[k] > least[k]:
            if least_pivot == 0.0:
                row[k:] = 0.0
                continue
            row[k] = max(row[k], least_pivot)
        scale = 1.0 / np.sqrt(row[k])
        for j in range(k, size):
            row[j] *= scale
        for i in range(k + 1, size):
            weight = row[i]
            if weight != 0.0:
                below = a[i]
                for j in range(i, size):
                    below[j] -= weight * row[j]


@njit(cache=True, nogil=True, error_model="numpy")
def solve(factor: Floats, x: Floats) -> None:
    """Solve U^T U x = x in place; rows of zeros give 0."""
    size = x.size
    for k in range(size):
        if factor[k, k] == 0.0:
            x[k] = 0.0
            continue
        x[k] /= factor[k, k]
        value, row = x[k], factor[k]
        for j in range(k + 1, size):
            x[j] -= value * row[j]
    for k in range(size - 1, -1, -1):
        row = factor[k]
        if row[k] == 0.0:
            x[k] = 0.0
            continue
        total = x[k]
        for j in range(k + 1, size):
            total -= row[j] * x[j]
        x[k] = total / row[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _in_series(below: Floats, own: Floats, above: Floats) -> None:
    """Add B in series with its row's own curvature to ``above``, upper triangles."""
    size = own.size
    root = below.copy()
    cholesky(root, 0.0)
    inner = np.zeros((size, size))
    for i in range(size):
        for j in range(i, size):
            total = 0.0
            for k in range(j, size):
                total += root[i, k] * root[j, k] / own[k]
            inner[i, j] = total
        inner[i, i] += 1.0
    cholesky(inner, 1.0)
    for i in range(size):
        root[i, :i] = 0.0
    for k in range(size):
        row = root[k]
        row /= inner[k, k]
        for i in range(k + 1, size):
            weight = inner[k, i]
            if weight != 0.0:
                other = root[i]
                for j in range(size):
                    other[j] -= weight * row[j]
    for k in range(size):
        row = root[k]
        for i in range(size):
            if row[i] != 0.0:
                target = above[i]
                for j in range(i, size):
                    target[j] += row[i] * row[j]


@njit(cache=True, nogil=True, error_model="numpy")
def factor_tree(
    order: Ints, parent: Ints, own: Floats, answer: Floats, factor: Floats
) -> None:
    """Factor all rows, leaves first; ``answer`` (R, T, T) gets its subtrees added."""
    for r in order:
        size = own.shape[1]
        for i in range(size):
            for j in range(i, size):
                factor[r, i, j] = answer[r, i, j]
            factor[r, i, i] += own[r, i]
        cholesky(factor[r], 0.0)
        if parent[r] >= 0:
            _in_series(answer[r], own[r], answer[parent[r]])


@njit(cache=True, nogil=True, error_model="numpy")
def _times(a: Floats, x: Floats, out: Floats) -> None:
    """Put the product of a symmetric matrix, given its upper triangle."""
    size = x.size
    out[:] = 0.0
    for i in range(size):
        total = a[i, i] * x[i]
        for j in range(i + 1, size):
            total += a[i, j] * x[j]
            out[j] += a[i, j] * x[i]
        out[i] += total


@njit(cache=True, nogil=True, error_model="numpy")
def solve_tree(
    order: Ints,
    parent: Ints,
    own: Floats,
    answer: Floats,
    factor: Floats,
    rho: Floats,
    net: Floats,
    dlam: Floats,
    dprice: Floats,
) -> None:
    """Put the step of multipliers and of the prices EVs feel, (R, T) each.

    ``rho`` are the rows' own right-hand sides; ``net``, what EVs whose smallest row it
    is give it, is overwritten.
    """
    size = own.shape[1]
    product = np.empty(size)
    for r in order:
        dlam[r] = rho[r] + net[r]
        solve(factor[r], dlam[r])
        if parent[r] >= 0:
            _times(answer[r], dlam[r], product)
            above = net[parent[r]]
            for t in range(size):
                if own[r, t] < answer[r, t, t]:
                    above[t] += own[r, t] * dlam[r, t] - rho[r, t]
                else:
                    above[t] += net[r, t] - product[t]
    for r in order[::-1]:
        dprice[r] = dlam[r]
        if parent[r] >= 0:
            _times(answer[r], dprice[parent[r]], product)
            solve(factor[r], product)
            dlam[r] -= product
            dprice[r] = dlam[r] + dprice[parent[r]]


@njit(cache=True, nogil=True, error_model="numpy")
def factor_dense(parent: Ints, own: Floats, answer: Floats, factor: Floats) -> None:
    """Factor all rows at once into ``factor`` (R T, R T)."""
    n_row, size = own.shape
    factor[...] = 0.0
    for home in range(n_row):
        r = home
        while r >= 0:
            q = r
            while q >= 0:
                low, high = min(r, q) * size, max(r, q) * size
                for i in range(size):
                    for j in range(size):
                        value = answer[home, min(i, j), max(i, j)]
                        if low < high or j >= i:
                            factor[low + i, high + j] += value
                q = parent[q]
            r = parent[r]
        for t in range(size):
            factor[home * size + t, home * size + t] += own[home, t]
    cholesky(factor, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def solve_dense(
    order: Ints,
    parent: Ints,
    factor: Floats,
    rho: Floats,
    net: Floats,
    dlam: Floats,
    dprice: Floats,
) -> None:
    """Do what `solve_tree` does."""
    for r in order:
        dlam[r] = rho[r] + net[r]
        if parent[r] >= 0:
            net[parent[r]] += net[r]
    solve(factor, dlam.reshape(dlam.size))
    for r in order[::-1]:
        dprice[r] = dlam[r]
        if parent[r] >= 0:
            dprice[r] += dprice[parent[r]]
