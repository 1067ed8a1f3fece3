"""Raising the load of one column as far as it goes, without lowering any other.

A column first takes what EVs with supply can send there directly; where that is more
than there is room for, those go first who need most of their columns. The rest comes
by exchange: EV i moves energy from another column here, which another EV refills, and
so on until an EV with supply is found. Such paths are found all at once: a search from
the column back gives every place its level, then supply is sent level by level until no
path of that length is left (Dinic's blocking flow). A search that finds no supply has
seen EVs that can never help again: they are dropped.
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
    put,
    use_room,
    withdraw,
)


@njit(cache=True, nogil=True)
def fill(flow: Flow, s: int, amount: int) -> int:
    """Raise column s by up to ``amount``; return by how much it rose."""
    need: int = min(amount, flow.room[0, s])
    wanted = need
    if need > 0:
        need -= _direct(flow, s, need)
    while need > 0:
        sources = _search(flow, s)
        if sources == 0:
            _drop_seen(flow)
            break
        need -= _send_all(flow, sources, need)
    return wanted - need


@njit(cache=True, nogil=True)
def _direct(flow: Flow, s: int, need: int) -> int:
    """Take from EVs with supply what they can send in column s."""
    cap, x, supply, active, queue = (
        flow.cap,
        flow.x,
        flow.supply,
        flow.active,
        flow.queue,
    )
    give, take, senders, left = flow.give, flow.take, flow.senders, flow.left
    room, open_, parent, leaf = flow.room, flow.open, flow.parent, flow.leaf
    w, b = s >> 6, bit(s)
    n_found, demand, n_node = 0, 0, parent.size
    for k in range(flow.n_active[0]):
        i = active[k]
        if give[i, w] & b:
            left[i] -= 1
            if supply[i] > 0:
                queue[n_found] = i
                n_found += 1
                demand += min(supply[i], cap[i, s] - x[i, s])
    if n_node > 1 or demand > need:
        _least_choice_first(
            supply, left, flow.largest, flow.bucket, queue, flow.by_step, n_found
        )
    sent = 0
    for k in range(n_found):
        i = queue[k]
        q = min(min(supply[i], cap[i, s] - x[i, s]), need - sent)
        if n_node > 1:
            q = least_room(room, parent, leaf[i], 0, s, q)
        if q > 0:
            put(cap, x, give, take, senders, i, s, q)
            supply[i] -= q
            if n_node > 1:
                use_room(room, open_, parent, leaf[i], 0, s, q)
            sent += q
            if sent == need:
                break
    use_room(room, open_, parent, 0, NOBODY, s, sent)
    return sent


@njit(cache=True, nogil=True)
def _least_choice_first(
    supply: Ints,
    left: Ints,
    largest: Ints,
    bucket: Ints,
    queue: Ints,
    key: Ints,
    n_found: int,
) -> None:
    """Sort the queue by the share of its columns that an EV needs (counting sort)."""
    n_key = bucket.size - 1
    bucket[:] = 0
    for k in range(n_found):
        i = queue[k]
        needed = (supply[i] * (n_key - 1)) // (largest[i] * (max(left[i], 0) + 1))
        key[i] = n_key - 1 - min(needed, n_key - 1)
        bucket[key[i] + 1] += 1
    for k in range(n_key):
        bucket[k + 1] += bucket[k]
    # Cycles of the permutation would save the copy; there is little to copy.
    ordered = np.empty(n_found, np.int64)
    for k in range(n_found):
        i = queue[k]
        ordered[bucket[key[i]]] = i
        bucket[key[i]] += 1
    queue[:n_found] = ordered


@njit(cache=True, nogil=True)
def _search(flow: Flow, s: int) -> int:
    """Reach EVs from column s, level by level, until some have supply.

    Returns how many have; they are the first in ``queue``. ``layer[k]`` are the EVs
    reached at level k, ``counts[2]`` is the last level.
    """
    reached, fresh, layer, seen = flow.reached, flow.fresh, flow.layer, flow.seen
    give, take, parent, leaf = flow.give, flow.take, flow.parent, flow.leaf
    supply, active, queue = flow.supply, flow.active, flow.queue
    flow.counts[0] += 1
    number, n_active = flow.counts[0], flow.n_active[0]
    reached[:] = 0
    fresh[:] = 0
    fresh[0, s >> 6] = bit(s)
    level, begin, end, sources = 0, 0, 0, 0
    while True:
        _descend(flow.open, parent, reached, fresh, flow.live[level], flow.next)
        layer[level] = 0
        for k in range(n_active):
            i = active[k]
            if seen[i] == number:
                continue
            v = leaf[i]
            for w in range(fresh.shape[1]):
                if give[i, w] & fresh[v, w]:
                    seen[i] = number
                    layer[level, i >> 6] |= bit(i)
                    if supply[i] > 0:
                        queue[sources] = i
                        sources += 1
                    elif sources == 0:
                        queue[end] = i
                        end += 1
                    break
        flow.counts[2] = level
        if sources > 0 or begin == end:
            return sources
        if not _ascend(take, parent, leaf, reached, fresh, queue[begin:end]):
            return 0
        begin = end
        level += 1


@njit(cache=True, nogil=True)
def _descend(
    open_: Words, parent: Ints, reached: Words, fresh: Words, live: Words, next_: Ints
) -> None:
    """Let fresh columns open the nodes below that have room; note all as reached."""
    n_node, n_word = fresh.shape
    for v in range(n_node):
        for w in range(n_word):
            new = fresh[v, w]
            if v > 0:
                new |= fresh[parent[v], w] & open_[v, w] & ~reached[v, w]
                fresh[v, w] = new
            reached[v, w] |= new
            live[v, w] = new
            while new:
                next_[v, (w << 6) + lowest(new)] = 0
                new &= new - np.uint64(1)


@njit(cache=True, nogil=True)
def _ascend(
    take: Words, parent: Ints, leaf: Ints, reached: Words, fresh: Words, evs: Ints
) -> bool:
    """Open the columns that the EVs can leave, up the tree; whether any is new."""
    fresh[:] = 0
    found = False
    for i in evs:
        v = leaf[i]
        while v != NOBODY:
            for w in range(fresh.shape[1]):
                new = take[i, w] & ~reached[v, w]
                if new:
                    found = True
                    fresh[v, w] |= new
            v = parent[v]
    return found


@njit(cache=True, nogil=True)
def _send_all(flow: Flow, sources: int, need: int) -> int:
    """Send the supply of the EVs found, up to the need; return how much."""
    path, live, layer, last = flow.path, flow.live, flow.layer, flow.counts[2]
    cap, x, supply, leaf = flow.cap, flow.x, flow.supply, flow.leaf
    give, take, senders, below = flow.give, flow.take, flow.senders, flow.below
    room, open_, parent, next_ = flow.room, flow.open, flow.parent, flow.next
    sent, k = 0, 0
    while sent < need and k < sources:
        source = flow.queue[k]
        depth = _find_path(
            path,
            live,
            layer,
            last,
            leaf,
            give,
            senders,
            below,
            room,
            parent,
            next_,
            source,
        )
        if depth == NOBODY:
            k += 1
            continue
        q = min(need - sent, supply[source])
        for d in range(depth + 1):
            i, t = path[0, d], path[1, d]
            q = min(q, cap[i, t] - x[i, t])
            if d < depth:
                q = min(q, x[path[0, d + 1], t])
            q = least_room(room, parent, leaf[i], path[2, d], t, q)
        for d in range(depth + 1):
            i, t = path[0, d], path[1, d]
            put(cap, x, give, take, senders, i, t, q)
            use_room(room, open_, parent, leaf[i], path[2, d], t, q)
            if d < depth:
                j = path[0, d + 1]
                withdraw(x, give, take, senders, j, t, q)
                use_room(room, open_, parent, leaf[j], path[2, d], t, -q)
        supply[source] -= q
        flow.counts[1] += 1
        sent += q
        if supply[source] == 0:
            k += 1
    return sent


@njit(cache=True, nogil=True)
def _find_path(
    path: Ints,
    live: Words,
    layer: Words,
    level: int,
    leaf: Ints,
    give: Words,
    senders: Words,
    below: Words,
    room: Ints,
    parent: Ints,
    next_: Ints,
    source: int,
) -> int:
    """Find a path from an EV of the last level to the column; return its length.

    EV ``path[0, d]`` sends more in column ``path[1, d]``, where the next EV of the path
    sends less; the two meet at node ``path[2, d]`` (NOBODY at the end: there the column
    itself rises). What is found exhausted on the way is taken out of ``live`` and
    ``layer``, not to be tried again in this search. Returns NOBODY when there is none.
    """
    depth, i = 0, source
    while True:
        path[0, depth] = i
        t, v, j = NOBODY, leaf[i], NOBODY
        for w in range(live.shape[2]):
            columns = give[i, w] & live[level, v, w]
            if columns:
                t = (w << 6) + lowest(columns)
                break
        if t == NOBODY:
            if depth == 0:
                return NOBODY
            layer[level, i >> 6] &= ~bit(i)
            depth, level = depth - 1, level + 1
            i = path[0, depth]
            continue
        while level > 0 or v > 0:
            while level > 0 and next_[v, t] < layer.shape[1]:
                word = next_[v, t]
                evs = senders[t, word] & layer[level - 1, word] & below[v, word]
                if evs:
                    j = (word << 6) + lowest(evs)
                    break
                next_[v, t] += 1
            if j != NOBODY or v == 0 or room[v, t] == 0:
                break
            if not live[level, parent[v], t >> 6] & bit(t):
                break
            v = parent[v]
        path[1, depth], path[2, depth] = t, v
        if j != NOBODY:
            depth, level, i = depth + 1, level - 1, j
        elif level == 0 and v == 0:
            path[2, depth] = NOBODY
            return depth
        else:  # exhausted, from the EV's leaf up to here
            top, v = v, leaf[i]
            while v != NOBODY:
                live[level, v, t >> 6] &= ~bit(t)
                v = NOBODY if v == top else parent[v]


@njit(cache=True, nogil=True)
def _drop_seen(flow: Flow) -> None:
    """Drop the EVs of the last search: no exchange through them can ever succeed."""
    number, kept = flow.counts[0], 0
    for k in range(flow.n_active[0]):
        i = flow.active[k]
        if flow.seen[i] != number:
            flow.active[kept] = i
            kept += 1
    flow.n_active[0] = kept
