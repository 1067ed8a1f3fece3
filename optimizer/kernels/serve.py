"""Serving one EV as far as it goes, without serving any earlier one less.

The mirror image of `fill`: an EV first sends what columns have room for, then searches
forward: where a node is full, an EV below it sends elsewhere what it sends here, and so
on until a column has room up to the zone. Columns of a search that finds none are full
for good, for this EV and for all that come later: they are closed.
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


@njit(cache=True, nogil=True)
def serve(flow: Flow, i: int, amount: int, columns: Ints) -> int:
    """Let EV i send up to ``amount`` more; return how much it does.

    ``columns`` are those it may use, the least wanted first.
    """
    need = amount
    if need > 0:
        need -= _direct(flow, i, amount, columns)
    while need > 0:
        if not _search(flow, i):
            _close_reached(flow)
            break
        need -= _send(flow, i, need)
    return amount - need


@njit(cache=True, nogil=True)
def _direct(flow: Flow, i: int, amount: int, columns: Ints) -> int:
    cap, x, parent, leaf = flow.cap, flow.x, flow.parent, flow.leaf[i]
    give, take, senders = flow.give, flow.take, flow.senders
    room, open_ = flow.room, flow.open
    need = amount
    for t in columns:
        if give[i, t >> 6] & open_[0, t >> 6] & bit(t):
            q = min(need, cap[i, t] - x[i, t])
            q = least_room(room, parent, leaf, NOBODY, t, q)
            if q > 0:
                put(cap, x, give, take, senders, i, t, q)
                use_room(room, open_, parent, leaf, NOBODY, t, q)
                need -= q
                if need == 0:
                    break
    return amount - need


@njit(cache=True, nogil=True)
def _search(flow: Flow, source: int) -> bool:
    """Reach columns from an EV, level by level, until one has room up to the zone.

    ``closed`` columns are never entered.
    """
    reached, fresh, closed, seen = flow.reached, flow.fresh, flow.closed, flow.seen
    give, leaf, queue, opener = flow.give, flow.leaf, flow.queue, flow.opener
    flow.counts[0] += 1
    number, n_word = flow.counts[0], give.shape[1]
    reached[:] = 0
    queue[0] = source
    seen[source] = number
    begin, end = 0, 1
    while begin < end:
        fresh[:] = 0
        for k in range(begin, end):
            i = queue[k]
            v = leaf[i]
            for w in range(n_word):
                new = give[i, w] & ~(reached[v, w] | fresh[v, w] | closed[v, w])
                fresh[v, w] |= new
                while new:
                    opener[v, (w << 6) + lowest(new)] = i
                    new &= new - np.uint64(1)
        if climb(flow.open, closed, flow.parent, reached, fresh, opener):
            return True
        begin = end
        end = take_back(flow, number, end)
    return False


@njit(cache=True, nogil=True)
def climb(
    open_: Words,
    closed: Words,
    parent: Ints,
    reached: Words,
    fresh: Words,
    opener: Ints,
) -> bool:
    """Carry fresh columns up through nodes with room; whether any gets out."""
    n_node, n_word = fresh.shape
    out = False
    for v in range(n_node - 1, -1, -1):
        for w in range(n_word):
            new = fresh[v, w]
            reached[v, w] |= new
            through = new & open_[v, w]
            if v == 0:
                out |= through != 0
                continue
            above = parent[v]
            through &= ~(reached[above, w] | fresh[above, w] | closed[above, w])
            fresh[above, w] |= through
            while through:
                t = (w << 6) + lowest(through)
                through &= through - np.uint64(1)
                opener[above, t] = opener[v, t]
    return out


@njit(cache=True, nogil=True)
def take_back(flow: Flow, number: int, end: int) -> int:
    """Reach EVs that send in a fresh column, at or below the node it came to."""
    fresh, parent, leaf, take = flow.fresh, flow.parent, flow.leaf, flow.take
    seen, active, queue, opener = flow.seen, flow.active, flow.queue, flow.opener
    by_step, by_evse = flow.by_step, flow.by_evse
    n_node, n_word = fresh.shape
    for v in range(1, n_node):
        for w in range(n_word):
            fresh[v, w] |= fresh[parent[v], w]
    for k in range(flow.n_active[0]):
        i = active[k]
        if seen[i] == number:
            continue
        v = leaf[i]
        for w in range(n_word):
            both = take[i, w] & fresh[v, w]
            if both:
                t = (w << 6) + lowest(both)
                while v > 0 and fresh[parent[v], w] & bit(t):
                    v = parent[v]  # the node it was brought to: it is fresh there first
                seen[i] = number
                by_step[i] = t
                by_evse[i] = opener[v, t]
                queue[end] = i
                end += 1
                break
    return end


@njit(cache=True, nogil=True)
def _send(flow: Flow, source: int, most: int) -> int:
    """Send along paths of the last search; return how much."""
    cap, x, room, parent, leaf = flow.cap, flow.x, flow.room, flow.parent, flow.leaf
    give, take, senders, open_ = flow.give, flow.take, flow.senders, flow.open
    by_step, by_evse = flow.by_step, flow.by_evse
    sent = 0
    for w in range(flow.reached.shape[1]):
        columns = flow.reached[0, w] & open_[0, w]
        while columns and sent < most:
            start = (w << 6) + lowest(columns)
            columns &= columns - np.uint64(1)
            q = most - sent
            for moves in range(2):  # first what fits, then to move it
                i, t, above = flow.opener[0, start], start, NOBODY
                while q > 0:
                    if moves:
                        put(cap, x, give, take, senders, i, t, q)
                        use_room(room, open_, parent, leaf[i], above, t, q)
                    else:
                        q = min(q, cap[i, t] - x[i, t])
                        q = least_room(room, parent, leaf[i], above, t, q)
                    if i == source:
                        break
                    t, j = by_step[i], by_evse[i]
                    above = meeting(parent, leaf[i], leaf[j])
                    if moves:
                        withdraw(x, give, take, senders, i, t, q)
                        use_room(room, open_, parent, leaf[i], above, t, -q)
                    else:
                        q = min(q, x[i, t])
                    i = j
            flow.counts[1] += q > 0
            sent += q
    return sent


@njit(cache=True, nogil=True)
def _close_reached(flow: Flow) -> None:
    """Close the columns and drop the EVs of the last search."""
    number, kept = flow.counts[0], 0
    for v in range(flow.closed.shape[0]):
        for w in range(flow.closed.shape[1]):
            flow.closed[v, w] |= flow.reached[v, w]
    for k in range(flow.n_active[0]):
        i = flow.active[k]
        if flow.seen[i] != number:
            flow.active[kept] = i
            kept += 1
    flow.n_active[0] = kept
