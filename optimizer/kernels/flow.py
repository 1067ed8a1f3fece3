"""A charging plan as a flow: EVs give energy to steps, through a tree of limits.

Column t is a step (or, last, the place of energy that need not be transferred). EV i
sends ``x[i, t]`` of its ``supply`` there, at most ``cap[i, t]``. What EVs send in a
column passes the nodes of a tree from the EV's ``leaf`` up to node 0, the zone;
``room[v, t]`` is what node v still lets through. All amounts are whole units of 1 µWh:
costs are only compared and amounts only added, so nothing is ever rounded and two runs
are alike.

The bit sets say where something can move: ``give`` (x < cap), ``take`` (x > 0),
``open`` (room > 0). They are what makes the searches of `fill` and `serve` fast: one
level of a search is one pass over the EVs with one or two ANDs each.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from optimizer.kernels.bits import bit, words

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
NOBODY = -1


class Flow(NamedTuple):
    """The flow and what a search needs; all arrays are modified in place."""

    cap: Ints  # (n, K)
    x: Ints  # (n, K)
    supply: Ints  # (n,) not yet sent
    room: Ints  # (g, K)
    parent: Ints  # (g,), parents first; NOBODY for node 0
    leaf: Ints  # (n,)
    give: Words  # (n, W)
    take: Words  # (n, W)
    senders: Words  # (K, N) the same by column: EVs with x > 0
    below: Words  # (g, N) EVs at or below a node
    open: Words  # (g, W)
    closed: Words  # (g, W) columns full for good
    # Of a search:
    active: Ints  # (n,) EVs that may still matter, in order
    n_active: Ints  # (1,)
    seen: Ints  # (n,) number of the search that reached the EV last
    by_step: Ints  # (n,) column by which it was reached
    by_evse: Ints  # (n,) EV that came to that column, in `serve`
    path: Ints  # (3, K + 2) EVs, their columns and the nodes they meet at, in `fill`
    reached: Words  # (g, W)
    fresh: Words  # (g, W)
    opener: Ints  # (g, K) EV whose move opened a column at a node
    queue: Ints  # (n,)
    layer: Words  # (K + 2, N) EVs reached at each level, in `fill`
    live: Words  # (K + 2, g, W) columns reached at each level, not yet exhausted
    next: Ints  # (g, K) word of EVs to go on from
    left: Ints  # (n,) columns not yet filled where the EV can give
    largest: Ints  # (n,) greatest cap of the EV
    bucket: Ints  # (K + 2,)
    counts: Ints  # (4,) searches, paths


def empty_flow(n: int, n_column: int, n_node: int) -> Flow:
    """Return the arrays of a flow of a size, not filled."""
    n_word, n_evs = words(n_column), words(n)
    many, some = (n, n_column), (n,)
    return Flow(
        cap=np.empty(many, np.int64),
        x=np.empty(many, np.int64),
        supply=np.empty(some, np.int64),
        room=np.empty((n_node, n_column), np.int64),
        parent=np.empty(n_node, np.int64),
        leaf=np.empty(some, np.int64),
        give=np.empty((n, n_word), np.uint64),
        take=np.empty((n, n_word), np.uint64),
        senders=np.empty((n_column, n_evs), np.uint64),
        below=np.empty((n_node, n_evs), np.uint64),
        open=np.empty((n_node, n_word), np.uint64),
        closed=np.zeros((n_node, n_word), np.uint64),
        active=np.empty(some, np.int64),
        n_active=np.zeros(1, np.int64),
        seen=np.zeros(some, np.int64),
        by_step=np.empty(some, np.int64),
        by_evse=np.empty(some, np.int64),
        path=np.empty((3, n_column + 2), np.int64),
        reached=np.empty((n_node, n_word), np.uint64),
        fresh=np.empty((n_node, n_word), np.uint64),
        opener=np.empty((n_node, n_column), np.int64),
        queue=np.empty(some, np.int64),
        live=np.zeros((n_column + 2, n_node, n_word), np.uint64),
        layer=np.zeros((n_column + 2, n_evs), np.uint64),
        next=np.zeros((n_node, n_column), np.int64),
        left=np.empty(some, np.int64),
        largest=np.empty(some, np.int64),
        bucket=np.empty(n_column + 2, np.int64),
        counts=np.zeros(4, np.int64),
    )


@njit(cache=True, nogil=True)
def clear(flow: Flow) -> None:
    """Take everything out of the flow; caps, rooms and supplies are given anew."""
    n, n_column = flow.x.shape
    flow.x[:] = 0
    flow.take[:] = 0
    flow.senders[:] = 0
    flow.below[:] = 0
    flow.seen[:] = 0
    flow.counts[:] = 0
    for i in range(n):
        flow.active[i] = i
        v = flow.leaf[i]
        while v != NOBODY:
            flow.below[v, i >> 6] |= bit(i)
            v = flow.parent[v]
        for w in range(flow.give.shape[1]):
            flow.give[i, w] = 0
        columns, largest = 0, 0
        for t in range(n_column):
            if flow.cap[i, t] > 0:
                flow.give[i, t >> 6] |= bit(t)
                columns += 1
                largest = max(largest, flow.cap[i, t])
        flow.left[i] = columns
        flow.largest[i] = largest
    flow.n_active[0] = n
    flow.open[:] = 0
    flow.closed[:] = 0
    for v in range(flow.parent.size):
        for t in range(n_column):
            if flow.room[v, t] > 0:
                flow.open[v, t >> 6] |= bit(t)


# These take single arrays: each look into the tuple counts a reference, which in an
# inner loop costs more than what is done with the array.


@njit(cache=True, nogil=True, inline="always")
def put(
    cap: Ints,
    x: Ints,
    give: Words,
    take: Words,
    senders: Words,
    i: int,
    t: int,
    amount: int,
) -> None:
    """Let EV i send more in a column; rooms are the caller's."""
    more = x[i, t] + amount
    x[i, t] = more
    take[i, t >> 6] |= bit(t)
    senders[t, i >> 6] |= bit(i)
    if more == cap[i, t]:
        give[i, t >> 6] &= ~bit(t)


@njit(cache=True, nogil=True, inline="always")
def withdraw(
    x: Ints, give: Words, take: Words, senders: Words, i: int, t: int, amount: int
) -> None:
    """Let EV i send less in a column; rooms are the caller's."""
    less = x[i, t] - amount
    x[i, t] = less
    give[i, t >> 6] |= bit(t)
    if less == 0:
        take[i, t >> 6] &= ~bit(t)
        senders[t, i >> 6] &= ~bit(i)


@njit(cache=True, nogil=True, inline="always")
def use_room(
    room: Ints, open_: Words, parent: Ints, v: int, above: int, t: int, amount: int
) -> None:
    """Use room (free it where negative) from node v up to, but not at, ``above``."""
    while v != above:
        room[v, t] -= amount
        if room[v, t] > 0:
            open_[v, t >> 6] |= bit(t)
        else:
            open_[v, t >> 6] &= ~bit(t)
        v = parent[v]


@njit(cache=True, nogil=True, inline="always")
def least_room(
    room: Ints, parent: Ints, v: int, above: int, t: int, amount: int
) -> int:
    """Return the least of the amount and the rooms from v up to below ``above``."""
    while v != above:
        amount = min(amount, room[v, t])
        v = parent[v]
    return amount


@njit(cache=True, nogil=True, inline="always")
def meeting(parent: Ints, v: int, w: int) -> int:
    """Return the lowest node above both; a node's number is above its parent's."""
    while v != w:
        if v > w:
            v = parent[v]
        else:
            w = parent[w]
    return v
