"""Shortest paths between EVs that have energy to place and steps that lack it.

Nodes are EVs and (tree node, step) pairs. An EV gives to its leaf at a step, a leaf to
its parent at the same step, and all of it backwards; node 0, the zone, is where steps
lack energy. What moves cost is said in `nearest`: 0 or 1 up, -1 or 0 down, 0 in the
tree. A move is *tight* when the potentials of its ends differ by exactly its cost;
paths of tight moves are cheapest paths.

EVs are kept in slots: those of one leaf fill whole words, so no mask is needed to tell
them. Searches work on sets: what an EV can do is a word of steps (``up``), what can be
done at a step a word of slots (``down``), and the nodes of one potential are words too.
A search of the whole network is a few thousand ANDs for 1,000 EVs and 96 steps.

`reach` puts nodes into levels by their hops from supply, up to the first that lacks,
and keeps those that lead there: `nearest_send` has nowhere to go astray.

Loops take their arrays out of the network first, and what runs for each node or path is
given arrays: numba counts references to every array that is taken out of a tuple, and
these (atomic) counts cost 10 to 20 times what the search itself does.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from optimizer.kernels.bits import bit, lowest

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]
NOBODY = -1
TOO_FAR = -2


class Network(NamedTuple):
    """The network of a number of steps and a tree with its EVs.

    B words of slots, W words of steps, L levels, K potentials. All but the first six
    arrays is overwritten by each problem.
    """

    row: Ints  # (64 B,) EV in each slot, or NOBODY
    node: Ints  # (B,) leaf of the slots in each word
    first: Ints  # (g + 1,) first word of each node's slots
    parent: Ints  # (g,)
    child: Ints  # (g,) first child, or NOBODY
    sibling: Ints  # (g,) next child of the same parent, or NOBODY
    # What can move, by what it costs.
    up: Words  # (64 B, 2, W) at cost 0, below the plan in force, and at cost 1
    down: Words  # (T, 2, B) at cost -1, above the plan in force, and at cost 0
    tree: Words  # (2, g, W) back from the parent (load > 0) and up to it (room > 0)
    # Amounts [µWh].
    supply: Ints  # (64 B,) still to place
    lack: Ints  # (T,) what the zone's steps still lack
    flow: Ints  # (2, g, T) load of each node and room below its limit
    # Potentials, and the nodes that have each of them.
    slot_potential: Ints  # (64 B,)
    step_potential: Ints  # (g, T)
    slots_at: Words  # (K + 1, B) potential k in row k + 1
    steps_at: Words  # (K + 1, g, W) potential k in row k
    level: Words  # (g, W) where a node has its parent's potential
    # Sets of a search, its levels and its path.
    sources: Words  # (B,) supply > 0
    lacking: Words  # (W,) lack > 0
    slots_seen: Words  # (B,)
    steps_seen: Words  # (g, W)
    slots_of: Words  # (L, B) by number of hops
    steps_of: Words  # (L, g, W)
    word: Ints  # (g, T) first word of slots that may still lead on
    path: Ints  # (L,) slots, or -1 - (tree node * T + step)
    bound: Ints  # (L,) what the path lets through up to there
    # Rows of the plan as they were before their first change.
    kept: Ints  # (n, T)
    is_kept: Bools  # (n,)
    effort: Ints  # (2,) searches and paths


@njit(cache=True, nogil=True)
def reach(net: Network) -> int:
    """Fill the levels up to the first that lacks; return its hops from supply.

    NOBODY when no step that lacks is reached; what is seen is complete then. TOO_FAR
    when there are not enough levels.
    """
    slots_of, steps_of, lacking = net.slots_of, net.steps_of, net.lacking
    net.slots_seen[:] = net.sources
    net.steps_seen[:] = 0
    slots_of[0] = net.sources
    steps_of[0] = 0
    for hops in range(1, slots_of.shape[0]):
        slots_of[hops] = 0
        steps_of[hops] = 0
        grew = _reach_steps(net, hops)
        grew |= _reach_slots(net, hops)
        if net.parent.size > 1:
            grew |= _reach_nodes(net, hops)
        if not grew:
            return NOBODY
        found = False
        for w in range(lacking.size):
            found |= (steps_of[hops, 0, w] & lacking[w]) != 0
        if found:
            slots_of[hops] = 0
            steps_of[hops, 1:] = 0
            for w in range(lacking.size):
                steps_of[hops, 0, w] &= lacking[w]
            for below in range(hops - 1, -1, -1):
                _prune_slots(net, below)
                _prune_steps(net, below)
            return hops
    return TOO_FAR


@njit(cache=True, nogil=True)
def _reach_steps(net: Network, hops: int) -> bool:
    """Add to a level the steps that slots of the one before can give to."""
    up, node, potential, steps_at = net.up, net.node, net.slot_potential, net.steps_at
    seen, slots_of, steps_of = net.steps_seen, net.slots_of, net.steps_of
    grew = False
    for b in range(node.size):
        v, slots = node[b], slots_of[hops - 1, b]
        while slots != 0:
            place = lowest(slots)
            slots ^= bit(place)
            s = 64 * b + place
            k = potential[s]
            for w in range(seen.shape[1]):
                new = up[s, 0, w] & steps_at[k, v, w]
                new |= up[s, 1, w] & steps_at[k + 1, v, w]
                new &= ~seen[v, w]
                if new != 0:
                    seen[v, w] |= new
                    steps_of[hops, v, w] |= new
                    grew = True
    return grew


@njit(cache=True, nogil=True)
def _reach_slots(net: Network, hops: int) -> bool:
    """Add to a level the slots that can give less at steps of the one before."""
    down, first, potential, slots_at = (
        net.down,
        net.first,
        net.step_potential,
        net.slots_at,
    )
    seen, slots_of, steps_of = net.slots_seen, net.slots_of, net.steps_of
    grew = False
    for v in range(potential.shape[0]):
        for w in range(steps_of.shape[2]):
            steps = steps_of[hops - 1, v, w]
            while steps != 0:
                place = lowest(steps)
                steps ^= bit(place)
                t = 64 * w + place
                k = potential[v, t]
                for b in range(first[v], first[v + 1]):
                    new = down[t, 0, b] & slots_at[k, b]
                    new |= down[t, 1, b] & slots_at[k + 1, b]
                    new &= ~seen[b]
                    if new != 0:
                        seen[b] |= new
                        slots_of[hops, b] |= new
                        grew = True
    return grew


@njit(cache=True, nogil=True)
def _reach_nodes(net: Network, hops: int) -> bool:
    """Add to a level the parents of tree nodes with room, and children with a load."""
    tree, level, parent = net.tree, net.level, net.parent
    seen, steps_of = net.steps_seen, net.steps_of
    grew = False
    for v in range(1, parent.size):
        u = parent[v]
        for w in range(seen.shape[1]):
            rise = steps_of[hops - 1, v, w] & tree[1, v, w] & level[v, w] & ~seen[u, w]
            seen[u, w] |= rise
            steps_of[hops, u, w] |= rise
            sink = steps_of[hops - 1, u, w] & tree[0, v, w] & level[v, w] & ~seen[v, w]
            seen[v, w] |= sink
            steps_of[hops, v, w] |= sink
            grew |= (rise | sink) != 0
    return grew


@njit(cache=True, nogil=True)
def _prune_slots(net: Network, hops: int) -> None:
    """Take slots out of a level that lead to nobody in the next one."""
    up, node, potential = net.up, net.node, net.slot_potential
    steps_at, steps_of, slots_of = net.steps_at, net.steps_of, net.slots_of
    for b in range(node.size):
        slots, v = slots_of[hops, b], node[b]
        kept = slots
        while slots != 0:
            place = lowest(slots)
            slots ^= bit(place)
            s = 64 * b + place
            t = next_step(up, steps_at, steps_of, s, v, potential[s], hops + 1)
            if t == NOBODY:
                kept ^= bit(place)
        slots_of[hops, b] = kept


@njit(cache=True, nogil=True)
def _prune_steps(net: Network, hops: int) -> None:
    """Take steps out of a level that lead to nobody in the next one."""
    down, first, potential, parent = net.down, net.first, net.step_potential, net.parent
    tree, level, child, sibling = net.tree, net.level, net.child, net.sibling
    slots_at, slots_of, steps_of = net.slots_at, net.slots_of, net.steps_of
    for v in range(parent.size):
        for w in range(steps_of.shape[2]):
            steps = steps_of[hops, v, w]
            if steps == 0:
                continue
            kept = steps ^ steps
            if v > 0:
                kept |= tree[1, v, w] & level[v, w] & steps_of[hops + 1, parent[v], w]
            u = child[v]
            while u != NOBODY:
                kept |= tree[0, u, w] & level[u, w] & steps_of[hops + 1, u, w]
                u = sibling[u]
            kept &= steps
            steps ^= kept
            while steps != 0:
                place = lowest(steps)
                steps ^= bit(place)
                t = 64 * w + place
                k, start, stop = potential[v, t], first[v], first[v + 1]
                s = next_slot(down, slots_at, slots_of, t, k, hops + 1, start, stop)
                if s != NOBODY:
                    kept |= bit(place)
            steps_of[hops, v, w] = kept


@njit(cache=True, nogil=True)
def next_step(
    up: Words, steps_at: Words, steps_of: Words, s: int, v: int, k: int, hops: int
) -> int:
    """Return a step of a level that a slot can give to."""
    for w in range(up.shape[2]):
        steps = up[s, 0, w] & steps_at[k, v, w]
        steps |= up[s, 1, w] & steps_at[k + 1, v, w]
        steps &= steps_of[hops, v, w]
        if steps != 0:
            return 64 * w + lowest(steps)
    return NOBODY


@njit(cache=True, nogil=True)
def next_slot(
    down: Words,
    slots_at: Words,
    slots_of: Words,
    t: int,
    k: int,
    hops: int,
    start: int,
    stop: int,
) -> int:
    """Return a slot of a level, within some words, that can give less at a step."""
    for b in range(start, stop):
        slots = down[t, 0, b] & slots_at[k, b]
        slots |= down[t, 1, b] & slots_at[k + 1, b]
        slots &= slots_of[hops, b]
        if slots != 0:
            return 64 * b + lowest(slots)
    return NOBODY
