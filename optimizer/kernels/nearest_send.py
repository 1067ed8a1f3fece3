"""Sending along the paths that a search has found, until it has none left.

A blocking flow over the levels of `nearest_search` (Y. Dinitz, "Algorithm for solution
of a problem of maximum flow in networks with power estimation", 1970), by a search in
depth from each slot with supply. Within it moves only lose room, so a node that leads
nowhere never does again: it leaves its level, and nobody looks at it a second time.
"""

from numba import njit

from optimizer.kernels.bits import bit, lowest
from optimizer.kernels.nearest_search import (
    NOBODY,
    Bools,
    Ints,
    Network,
    Words,
    next_slot,
    next_step,
)


@njit(cache=True, nogil=True)
def send(x: Ints, cap: Ints, previous: Ints, net: Network, hops: int) -> int:
    """Send along paths of that many hops until none is left; return the amount.

    Long, as what it does for each path must not be handed the many arrays it needs.
    """
    row, node, first, word, parent = net.row, net.node, net.first, net.word, net.parent
    child, sibling, tree, flow = net.child, net.sibling, net.tree, net.flow
    up, down, level = net.up, net.down, net.level
    slots_at, steps_at, slots_of, steps_of = (
        net.slots_at,
        net.steps_at,
        net.slots_of,
        net.steps_of,
    )
    slot_potential, step_potential = net.slot_potential, net.step_potential
    supply, lack, sources, lacking = net.supply, net.lack, net.sources, net.lacking
    path, bound, kept, is_kept = net.path, net.bound, net.kept, net.is_kept
    n_step, sent, paths, there = x.shape[1], 0, 0, 0
    for v in range(parent.size):
        word[v] = first[v]
    for block in range(node.size):
        left = sources[block] & slots_of[0, block]
        while left != 0:
            source = 64 * block + lowest(left)
            left ^= bit(source)
            depth, path[0], bound[0] = 0, source, supply[source]
            while depth >= 0:
                here = path[depth]
                if depth == hops:
                    step = -1 - here
                    amount = min(bound[hops], lack[step])
                    paths += 1
                    sent += amount
                    supply[source] -= amount
                    lack[step] -= amount
                    bound[0] -= amount
                    for hop in range(hops, 0, -1):
                        bound[hop] -= amount
                        here, there = path[hop - 1], path[hop]
                        if here >= 0:  # a slot rises at the step that follows it
                            s, t, rise = here, (-1 - there) % n_step, amount
                        else:
                            s, t, rise = there, (-1 - here) % n_step, -amount
                        if s >= 0:
                            keep(x, kept, is_kept, row[s])
                            is_full = _shift(
                                x, cap, previous, up, down, s, row[s], t, rise
                            )
                        else:
                            is_full = _pass(
                                tree, flow, parent, -1 - here, -1 - there, amount
                            )
                        if is_full:
                            depth = hop - 1
                    if lack[step] == 0:
                        lacking[step >> 6] &= ~bit(step)
                        steps_of[hops, 0, step >> 6] &= ~bit(step)
                        depth = min(depth, hops - 1)
                    if supply[source] == 0:
                        sources[block] &= ~bit(source)
                        depth = -1
                    continue
                if here >= 0:
                    v, k = node[here >> 6], slot_potential[here]
                    t = next_step(up, steps_at, steps_of, here, v, k, depth + 1)
                    if t == NOBODY:
                        slots_of[depth, here >> 6] &= ~bit(here)
                        depth -= 1
                        continue
                    there = -1 - (v * n_step + t)
                    amount = _more(x, cap, previous, row[here], t)
                else:
                    v = (-1 - here) // n_step
                    t = -1 - here - v * n_step
                    k, b, end = step_potential[v, t], word[v, t], first[v + 1]
                    s = next_slot(down, slots_at, slots_of, t, k, depth + 1, b, end)
                    if s != NOBODY:
                        word[v, t] = s >> 6
                        there, amount = s, _less(x, previous, row[s], t)
                    else:
                        word[v, t] = end
                        u = _next_node(
                            tree,
                            level,
                            parent,
                            child,
                            sibling,
                            steps_of,
                            v,
                            t,
                            depth + 1,
                        )
                        if u == NOBODY:
                            steps_of[depth, v, t >> 6] &= ~bit(t)
                            depth -= 1
                            continue
                        there = -1 - (u * n_step + t)
                        amount = flow[1, v, t] if u == parent[v] else flow[0, u, t]
                depth += 1
                path[depth], bound[depth] = there, min(bound[depth - 1], amount)
    net.effort[1] += paths
    return sent


@njit(cache=True, nogil=True)
def _next_node(
    tree: Words,
    level: Words,
    parent: Ints,
    child: Ints,
    sibling: Ints,
    steps_of: Words,
    v: int,
    t: int,
    hops: int,
) -> int:
    """Return a tree node of a level that can take more at a step in place of v."""
    w, b = t >> 6, bit(t)
    u: int = parent[v]
    if u != NOBODY and tree[1, v, w] & level[v, w] & steps_of[hops, u, w] & b:
        return u
    u = child[v]
    while u != NOBODY:
        if tree[0, u, w] & level[u, w] & steps_of[hops, u, w] & b:
            return u
        u = sibling[u]
    return NOBODY


@njit(cache=True, nogil=True)
def _more(x: Ints, cap: Ints, previous: Ints, i: int, t: int) -> int:
    """Return how far an EV can rise at a step at the same cost."""
    free = min(previous[i, t], cap[i, t]) - x[i, t]
    more: int = free if free > 0 else cap[i, t] - x[i, t]
    return more


@njit(cache=True, nogil=True)
def _less(x: Ints, previous: Ints, i: int, t: int) -> int:
    """Return how far an EV can fall at a step at the same cost."""
    gain = x[i, t] - previous[i, t]
    less: int = gain if gain > 0 else x[i, t]
    return less


@njit(cache=True, nogil=True)
def _shift(
    x: Ints,
    cap: Ints,
    previous: Ints,
    up: Words,
    down: Words,
    s: int,
    i: int,
    t: int,
    rise: int,
) -> bool:
    """Change what a slot gives at a step; return whether this cost can no more."""
    before, wish, most = x[i, t], previous[i, t], cap[i, t]
    now, goal = before + rise, min(wish, most)
    x[i, t] = now
    w, b, word, place = t >> 6, bit(t), s >> 6, bit(s)
    free, cost = up[s, 0, w] & ~b, up[s, 1, w] & ~b
    up[s, 0, w] = free | b if now < goal else free
    up[s, 1, w] = cost | b if goal <= now < most else cost
    gain, free = down[t, 0, word] & ~place, down[t, 1, word] & ~place
    down[t, 0, word] = gain | place if now > wish else gain
    down[t, 1, word] = free | place if 0 < now <= wish else free
    end = wish if before > wish else 0
    if rise > 0:
        end = goal if before < goal else most
    is_full: bool = now == end
    return is_full


@njit(cache=True, nogil=True)
def _pass(
    tree: Words, flow: Ints, parent: Ints, here: int, there: int, amount: int
) -> bool:
    """Pass energy between two tree nodes; return whether they can pass no more."""
    n_step = flow.shape[2]
    v, u, t = here // n_step, there // n_step, here % n_step
    if u != parent[v]:
        v, amount = u, -amount
    flow[0, v, t] += amount
    flow[1, v, t] -= amount
    w, b = t >> 6, bit(t)
    for way in range(2):
        others = tree[way, v, w] & ~b
        tree[way, v, w] = others | b if flow[way, v, t] > 0 else others
    is_full: bool = flow[1 if amount > 0 else 0, v, t] == 0
    return is_full


@njit(cache=True, nogil=True)
def keep(x: Ints, kept: Ints, is_kept: Bools, i: int) -> None:
    """Remember the row of an EV before its first change."""
    if not is_kept[i]:
        is_kept[i] = True
        for t in range(x.shape[1]):
            kept[i, t] = x[i, t]
