"""Charging under limits: from arrays to the cheapest flow, its prices, and back.

`cheapest` raises columns by price, each as far as it goes. The loads that columns can
have form a polymatroid, so that this greedy order is optimal: see docs/planner.md.
`prices` labels every place of the tree with the dearest column that one more unit there
could relieve, the dual of the same fact.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from optimizer.kernels.bits import bit, lowest
from optimizer.kernels.fill import fill
from optimizer.kernels.flow import Flow, Ints, Words, clear
from optimizer.kernels.serve import climb, serve

Floats = NDArray[np.float64]
# Whole units of a Wh.
UNITS = 1_000_000.0
# More than any amount that can be sent, and less than an int64 by far.
PLENTY = 1 << 60


@njit(cache=True, nogil=True)
def set_caps(
    flow: Flow, power_w: Floats, hours: Floats, arrival: Ints, departure: Ints
) -> None:
    """Set what each EV can send in each step: power_w (n, T) or (n, 1) [W]."""
    constant = power_w.shape[1] == 1
    for i in range(flow.cap.shape[0]):
        for t in range(flow.cap.shape[1]):
            flow.cap[i, t] = 0
        for t in range(max(arrival[i], 0), min(departure[i], hours.size)):
            watts = power_w[i, 0] if constant else power_w[i, t]
            flow.cap[i, t] = np.int64(watts * hours[t] * UNITS + 1e-3)


@njit(cache=True, nogil=True)
def own_limits(flow: Flow, n_step: int, out: Ints) -> None:
    """Set out (n,) to what each EV could take if it were alone, up to PLENTY."""
    for i in range(flow.cap.shape[0]):
        total = 0
        for t in range(n_step):
            total += flow.cap[i, t]
        out[i] = total


@njit(cache=True, nogil=True)
def cheapest(flow: Flow, order: Ints, lower: Ints) -> int:
    """Send the supplies at least price; return what cannot be sent.

    ``order`` (K,) has the columns by price; each is first raised to ``lower`` (K,).
    """
    clear(flow)
    for t in order:
        if lower[t] > 0:
            fill(flow, t, lower[t])
    for t in order:
        fill(flow, t, flow.room[0, t])
    left = 0
    for i in range(flow.supply.size):
        left += flow.supply[i]
    return left


@njit(cache=True, nogil=True)
def serve_in_order(
    flow: Flow, evs: Ints, amounts: Ints, columns: Ints, served: Ints
) -> None:
    """Serve EVs one after the other, up to amounts[k]; set served[k]."""
    for k in range(evs.size):
        served[k] = serve(flow, evs[k], amounts[k], columns)


@njit(cache=True, nogil=True)
def dropped(flow: Flow, out: NDArray[np.bool_]) -> None:
    """Set out (n,) to whether the EV was dropped: it is on the full side of a cut."""
    out[:] = True
    for k in range(flow.n_active[0]):
        out[flow.active[k]] = False


@njit(cache=True, nogil=True)
def least_wanted_first(flow: Flow, n_step: int) -> Ints:
    """Return the steps by how much more EVs could take than there is room."""
    excess = np.empty(n_step)
    for t in range(n_step):
        excess[t] = -flow.room[0, t]
    for i in range(flow.cap.shape[0]):
        for t in range(n_step):
            excess[t] += flow.cap[i, t]
    return np.argsort(excess, kind="mergesort")


@njit(cache=True, nogil=True)
def prices(
    flow: Flow,
    price: Floats,
    order: Ints,
    load: Ints,
    lower: Ints,
    wants_more: NDArray[np.bool_],
    out: Floats,
) -> None:
    """Set out (g, K) to the potential of each place: price plus all limits' worth.

    A column whose load is at ``lower`` cannot be lowered and relieves nothing. EVs
    that would take more (n,) pay nothing for it: where energy is paid for, they count.
    """
    n, n_node = flow.x.shape[0], flow.parent.size
    flow.reached[:] = 0
    flow.closed[:] = 0
    unseen = np.full(flow.senders.shape[1], ~np.uint64(0))
    out[:] = -np.inf
    least, above_0 = price.min(), True
    for k in range(order.size - 1, -1, -1):
        s = order[k]
        if above_0 and price[s] < 0.0:
            above_0, end = False, 0
            for i in range(n):
                if wants_more[i] and unseen[i >> 6] & bit(i):
                    unseen[i >> 6] &= ~bit(i)
                    flow.queue[end] = i
                    end += 1
            _relieve(flow, unseen, end, 0.0, out)
        if load[s] > lower[s]:
            end = _take(flow.senders[s], flow.below[0], unseen, flow.queue, 0)
            _relieve(flow, unseen, end, price[s], out)
    for t in range(order.size):
        at_lower = lower[t] > 0 and load[t] <= lower[t]
        out[0, t] = max(out[0, t], least if at_lower else price[t])
        for v in range(1, n_node):
            out[v, t] = max(out[v, t], out[flow.parent[v], t])


@njit(cache=True, nogil=True)
def _relieve(flow: Flow, unseen: Words, end: int, price: float, out: Floats) -> None:
    """Label every place not labelled yet from which the EVs in the queue can send."""
    reached, fresh, give, leaf = flow.reached, flow.fresh, flow.give, flow.leaf
    senders, below, queue = flow.senders, flow.below, flow.queue
    begin = 0
    while begin < end:
        fresh[:] = 0
        for k in range(begin, end):
            i = queue[k]
            v = leaf[i]
            for word in range(fresh.shape[1]):
                fresh[v, word] |= give[i, word] & ~reached[v, word]
        climb(flow.open, flow.closed, flow.parent, reached, fresh, flow.opener)
        begin = end
        for v in range(fresh.shape[0]):
            for word in range(fresh.shape[1]):
                new = fresh[v, word]
                while new:
                    t = (word << 6) + lowest(new)
                    new &= new - np.uint64(1)
                    out[v, t] = max(out[v, t], price)
                    end = _take(senders[t], below[v], unseen, queue, end)


@njit(cache=True, nogil=True, inline="always")
def _take(some: Words, others: Words, unseen: Words, queue: Ints, end: int) -> int:
    """Put who is in all three sets into the queue, and out of the third one."""
    for b in range(unseen.size):
        evs = some[b] & others[b] & unseen[b]
        unseen[b] ^= evs
        while evs:
            queue[end] = (b << 6) + lowest(evs)
            evs &= evs - np.uint64(1)
            end += 1
    return end
