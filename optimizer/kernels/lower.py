"""Sending less from one EV, so that the dearest columns fall that can.

The mirror image of `serve`. The EV withdraws somewhere; another EV with room there
moves energy to it from elsewhere, and so on; the last column of such a path falls. Of
all columns that paths lead to the dearest falls first: on a plan of least cost that is
a cheapest path, and the plan stays one of least cost. A column that no path leads to
stays so, as paths along cheapest ones open none that are cheaper.
"""

import numpy as np
from numba import njit

from optimizer.kernels.bits import bit, lowest
from optimizer.kernels.flow import (
    NOBODY,
    Flow,
    Ints,
    Words,
    least_room,
    meeting,
    put,
    use_room,
    withdraw,
)

# In place of an EV's number: the one that sends less.
SOURCE = -2


@njit(cache=True, nogil=True)
def lower(flow: Flow, rank: Ints, source: int, cell: int, amount: int) -> None:
    """Send less from an EV; supplies are the caller's.

    ``rank`` (K,) has the columns' places in the order of prices. Where ``cell`` is not
    NOBODY the EV withdraws there and nowhere else: what it sends above its cap.
    """
    cap, x, give = flow.cap, flow.x, flow.give
    target = _dearest_used(flow.senders, rank)
    while amount > 0:
        target = _search(flow, rank, source, cell, target)
        amount -= _send_back(flow, source, target, amount)
        if cell != NOBODY and x[source, cell] >= cap[source, cell]:
            give[source, cell >> 6] &= ~bit(cell)


@njit(cache=True, nogil=True)
def _search(flow: Flow, rank: Ints, source: int, cell: int, target: int) -> int:
    """Reach columns from an EV, level by level, until the target is among them.

    Returns the target, or the dearest column of all where it cannot be reached.
    """
    reached, fresh, opener, seen = flow.reached, flow.fresh, flow.opener, flow.seen
    parent, leaf, take = flow.parent, flow.leaf, flow.take
    flow.counts[0] += 1
    number = flow.counts[0]
    reached[:] = 0
    fresh[:] = 0
    if cell == NOBODY:
        seen[source] = number
    v = leaf[source]
    while v != NOBODY:
        for w in range(fresh.shape[1]):
            new = take[source, w]
            if cell != NOBODY:
                new = bit(cell) if cell >> 6 == w else np.uint64(0)
            fresh[v, w] = new
            _note(opener, v, w, new, SOURCE)
        v = parent[v]
    begin, end = 0, 0
    while True:
        _descend(flow.open, parent, reached, fresh, opener)
        if reached[0, target >> 6] & bit(target):
            return target
        end = _reach_evs(flow, number, end)
        if begin == end or not _ascend(flow, begin, end):
            return _dearest(reached, rank)
        begin = end


@njit(cache=True, nogil=True, inline="always")
def _note(opener: Ints, v: int, w: int, new: int, i: int) -> None:
    """Note who opened the columns of a word at a node."""
    while new:
        opener[v, (w << 6) + lowest(new)] = i
        new &= new - np.uint64(1)  # type: ignore[assignment]


@njit(cache=True, nogil=True)
def _descend(
    open_: Words, parent: Ints, reached: Words, fresh: Words, opener: Ints
) -> None:
    """Let fresh columns open the nodes below that have room."""
    n_node, n_word = fresh.shape
    for v in range(n_node):
        for w in range(n_word):
            if v > 0:
                above = parent[v]
                new = fresh[above, w] & open_[v, w] & ~(reached[v, w] | fresh[v, w])
                fresh[v, w] |= new
                while new:
                    t = (w << 6) + lowest(new)
                    opener[v, t] = opener[above, t]
                    new &= new - np.uint64(1)
            reached[v, w] |= fresh[v, w]


@njit(cache=True, nogil=True)
def _reach_evs(flow: Flow, number: int, end: int) -> int:
    """Reach EVs that can send more in a fresh column."""
    fresh, leaf, give, seen = flow.fresh, flow.leaf, flow.give, flow.seen
    active, queue, opener = flow.active, flow.queue, flow.opener
    by_step, by_evse = flow.by_step, flow.by_evse
    for k in range(flow.n_active[0]):
        i = active[k]
        if seen[i] == number:
            continue
        v = leaf[i]
        for w in range(fresh.shape[1]):
            both = give[i, w] & fresh[v, w]
            if both:
                t = (w << 6) + lowest(both)
                seen[i] = number
                by_step[i] = t
                by_evse[i] = opener[v, t]
                queue[end] = i
                end += 1
                break
    return end


@njit(cache=True, nogil=True)
def _ascend(flow: Flow, begin: int, end: int) -> bool:
    """Open the columns that EVs can leave, up the tree; whether any is new."""
    fresh, reached, opener, take = flow.fresh, flow.reached, flow.opener, flow.take
    parent, leaf, queue = flow.parent, flow.leaf, flow.queue
    fresh[:] = 0
    found = False
    for k in range(begin, end):
        i = queue[k]
        v = leaf[i]
        while v != NOBODY:
            for w in range(fresh.shape[1]):
                new = take[i, w] & ~(reached[v, w] | fresh[v, w])
                if new:
                    found = True
                    fresh[v, w] |= new
                    _note(opener, v, w, new, i)
            v = parent[v]
    return found


@njit(cache=True, nogil=True)
def _dearest_used(senders: Words, rank: Ints) -> int:
    """Return the dearest column that carries anything: no path ends at a dearer one."""
    best = NOBODY
    for t in range(rank.size):
        if (best == NOBODY or rank[t] > rank[best]) and senders[t].any():
            best = t
    return best


@njit(cache=True, nogil=True)
def _dearest(reached: Words, rank: Ints) -> int:
    best = NOBODY
    for t in range(rank.size):
        if reached[0, t >> 6] & bit(t) and (best == NOBODY or rank[t] > rank[best]):
            best = t
    return best


@njit(cache=True, nogil=True)
def _send_back(flow: Flow, source: int, target: int, most: int) -> int:
    """Move what fits along the path to a column; return how much."""
    cap, x, room, parent, leaf = flow.cap, flow.x, flow.room, flow.parent, flow.leaf
    give, take, senders, open_ = flow.give, flow.take, flow.senders, flow.open
    by_step, by_evse, opener = flow.by_step, flow.by_evse, flow.opener
    q = most
    for moves in range(2):  # first what fits, then to move it
        j, t, above = opener[0, target], target, NOBODY
        while True:
            i = source if j == SOURCE else j
            if moves:
                withdraw(x, give, take, senders, i, t, q)
                use_room(room, open_, parent, leaf[i], above, t, -q)
            else:
                q = min(q, x[i, t])
            if j == SOURCE:
                break
            t, j = by_step[i], by_evse[i]
            other = source if j == SOURCE else j
            above = meeting(parent, leaf[i], leaf[other])
            if moves:
                put(cap, x, give, take, senders, i, t, q)
                use_room(room, open_, parent, leaf[i], above, t, q)
            else:
                q = min(q, cap[i, t] - x[i, t])
                q = least_room(room, parent, leaf[i], above, t, q)
    flow.counts[1] += 1
    return q
