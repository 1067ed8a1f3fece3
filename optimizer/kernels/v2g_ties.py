"""Whether an optimum leaves the power of the zone open.

Open cells, those at no bound, tie their EV's energy to their step, and an EV's energy
stays one as long as what is stored is at no bound between steps. Energy can move along
such ties only; it is the zone's plan that moves when a tie joins two outlets: steps
whose limits do not bind, EVs that may take more or less.
"""

import numpy as np
from numba import njit

from optimizer.kernels.v2g_blocks import Bools, Chains, Ints


@njit(cache=True, nogil=True)
def _root(parent: Ints, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def zone_is_tied(
    c: Chains, cells: Bools, stored: Bools, ends: Bools, rows: Bools
) -> bool:
    """Return whether two outlets are tied.

    Parameters
    ----------
    cells, stored : ndarray of bool, shape (N,)
        Cells with an open power, and after which what is stored is open.
    ends : ndarray of bool, shape (n,)
        EVs whose energy at departure is open.
    rows : ndarray of bool, shape (T,)
        Steps in which the zone's power is open.
    """
    n, n_step = c.want.size, rows.size
    parent = np.arange(n_step + c.first[-1] + n)
    outlets = np.zeros(parent.size, np.int64)
    for t in range(n_step):
        outlets[t] = 1 if rows[t] else 0
    for i in range(n):
        end = n_step + c.first[-1] + i
        outlets[end] = 1 if ends[i] else 0
        for k in range(c.first[i], c.first[i + 1]):
            node = n_step + k if c.stores[i] else end
            if cells[k]:
                parent[_root(parent, c.arrival[i] + k - c.first[i])] = _root(
                    parent, node
                )
            if c.stores[i] and stored[k]:
                after = node + 1 if k + 1 < c.first[i + 1] else end
                parent[_root(parent, node)] = _root(parent, after)
    total = np.zeros(parent.size, np.int64)
    for node in range(parent.size):
        total[_root(parent, node)] += outlets[node]
    return bool((total > 1).any())
