"""The plan nearest to the one in force: same energies, same zone load, least moved.

Let ``x[i, t]`` be a feasible plan and p the plan in force. Among plans with x's row and
column sums, within caps and node limits, least ``sum |x - p|`` is wanted. As
``|x - p| = x + p - 2 min(x, p)`` and ``sum x`` is given, that is the greatest overlap
``sum min(x, p)``.

1. Take from x all that is above p: all of ``min(x, p)`` is overlap, so no plan of its
   total has more. What was taken is owed: EVs have it to place, steps lack it.
2. Return it along cheapest paths (successive shortest paths, primal-dual). Moving one
   unit up costs 0 below p and 1 at or above it, moving one down costs -1 above p and 0
   at or below it. Each path has one move up more than down, so its cost is 1 less the
   overlap it adds. A flow that is cheapest for its amount stays so when it grows along
   cheapest paths (R. Ahuja, T. Magnanti, J. Orlin, "Network Flows", 1993, ch. 9), so at
   the end no plan is nearer.

Potentials are the costs of reaching nodes. They start at 0: with nothing above p no
move has a negative cost. Reduced costs are whole numbers, so when no tight path is left
all nodes that were not reached rise by 1. Costs stay small (2 or 3 is usual), so there
are few rounds, each of which sends along all paths of its cost and length.

All of it is integers: exact, and the same every time. If nothing is gained the plan
stays untouched, so a second call changes nothing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from optimizer.kernels.bits import WORD, bit, words
from optimizer.kernels.nearest_search import NOBODY, Bools, Ints, Network, Words, reach
from optimizer.kernels.nearest_send import keep, send

# Most potentials and hops; a plan that needs longer paths is not proven nearest.
MOST_LEVELS = 2048
NO_LIMIT = 2**62


class Moved(NamedTuple):
    """What `nearest` did: energy still away from the plan in force [µWh], and proof."""

    energy: int
    is_proven: bool


def network_of(n_step: int, leaf: Ints, parent: Ints) -> Network:
    """Return the arrays that `nearest` works in, to be kept between calls.

    Parameters
    ----------
    n_step : int
        Steps of the plans, T.
    leaf : ndarray of int64, shape (n,)
        Smallest node that holds each EV.
    parent : ndarray of int64, shape (g,)
        Parent of each node, before it in the order; -1 for node 0.
    """
    n, n_node, n_word = leaf.size, parent.size, words(n_step)
    blocks = -(-np.bincount(leaf, minlength=n_node) // WORD)
    first = np.concatenate([[0], np.cumsum(blocks)]).astype(np.int64)
    n_block = int(first[-1])
    row = np.full(n_block * WORD, NOBODY, np.int64)
    for v in range(n_node):
        members = np.flatnonzero(leaf == v)
        row[first[v] * WORD : first[v] * WORD + members.size] = members
    child = np.full(n_node, NOBODY, np.int64)
    sibling = child.copy()
    for v in range(n_node - 1, 0, -1):
        child[parent[v]], sibling[v] = v, child[parent[v]]
    n_level = min(2 * (n_node * n_step + n_block * WORD) + 2, MOST_LEVELS)
    n_cost = min(n_node * n_step, n, MOST_LEVELS) + 2
    n_slot, in_tree = n_block * WORD, (n_node, n_step)
    return Network(
        row=row,
        node=np.repeat(np.arange(n_node, dtype=np.int64), blocks),
        first=first,
        parent=parent,
        child=child,
        sibling=sibling,
        up=np.empty((n_slot, 2, n_word), np.uint64),
        down=np.empty((n_step, 2, n_block), np.uint64),
        tree=np.empty((2, n_node, n_word), np.uint64),
        supply=np.empty(n_slot, np.int64),
        lack=np.empty(n_step, np.int64),
        flow=np.empty((2, *in_tree), np.int64),
        slot_potential=np.empty(n_slot, np.int64),
        step_potential=np.empty(in_tree, np.int64),
        slots_at=np.empty((n_cost + 1, n_block), np.uint64),
        steps_at=np.empty((n_cost + 1, n_node, n_word), np.uint64),
        level=np.empty((n_node, n_word), np.uint64),
        sources=np.empty(n_block, np.uint64),
        lacking=np.empty(n_word, np.uint64),
        slots_seen=np.empty(n_block, np.uint64),
        steps_seen=np.empty((n_node, n_word), np.uint64),
        slots_of=np.empty((n_level, n_block), np.uint64),
        steps_of=np.empty((n_level, n_node, n_word), np.uint64),
        word=np.empty(in_tree, np.int64),
        path=np.empty(n_level, np.int64),
        bound=np.empty(n_level, np.int64),
        kept=np.empty((n, n_step), np.int64),
        is_kept=np.zeros(n, np.bool_),
        effort=np.zeros(2, np.int64),
    )


def nearest(
    x: Ints,
    cap: Ints,
    previous: Ints,
    upper: Ints,
    network: Network,
    most_paths: int = NO_LIMIT,
) -> Moved:
    """Move the plan as near to the one in force as its sums allow.

    Parameters
    ----------
    x : ndarray of int64, shape (n, T)
        A plan within ``cap`` [µWh]. Overwritten: the nearest one.
    cap : ndarray of int64, shape (n, T)
        Most that each EV can take [µWh]. Not modified.
    previous : ndarray of int64, shape (n, T)
        The plan in force, at least 0; it may break any limit [µWh]. Not modified.
    upper : ndarray of int64, shape (g, T)
        Limits of the nodes [µWh]; row 0 is not read. Where x breaks one, its load is
        the limit: it is broken no further. Not modified.
    network : Network
        From `network_of` for the same T, leaves and parents. Overwritten.
    most_paths : int, optional
        Limit of the work, looked at after each round of paths; 10,000 take about a
        millisecond. What is still to place then is placed anywhere.

    Returns
    -------
    Moved
        ``sum |x - previous|`` [µWh], never more than before, and whether no plan is
        nearer: that is left open where it ran into ``most_paths`` (or into
        `MOST_LEVELS`).

    Raises
    ------
    ValueError
        When arrays do not fit each other.
    """
    n, n_step = network.kept.shape
    shapes = {"x": x, "cap": cap, "previous": previous}
    for name, array in shapes.items():
        if array.shape != (n, n_step):
            raise ValueError(f"{name} has shape {array.shape}, not {(n, n_step)}")
    if upper.shape != (network.parent.size, n_step):
        expected = (network.parent.size, n_step)
        raise ValueError(f"upper has shape {upper.shape}, not {expected}")
    energy, is_proven = nearest_kernel(x, cap, previous, upper, network, most_paths)
    return Moved(energy, is_proven)


@njit(cache=True, nogil=True)
def nearest_kernel(
    x: Ints, cap: Ints, previous: Ints, upper: Ints, net: Network, most_paths: int
) -> tuple[int, bool]:
    """Do what `nearest` says, without its checks, callable by other kernels."""
    before = _strip(x, cap, previous, net)
    _settle(x, upper, net)
    owed, is_proven, cost = net.lack.sum(), True, 0
    while owed > 0:
        hops = reach(net)
        net.effort[0] += 1
        if hops >= 0:
            owed -= send(x, cap, previous, net, hops)
        elif hops == NOBODY and is_proven and cost + 3 <= net.slots_at.shape[0]:
            cost += 1
            _lift(net, cost)
        elif is_proven:
            is_proven = False
            _forget_costs(net)
        else:
            break
        if is_proven and owed > 0 and net.effort[1] >= most_paths:
            is_proven = False
            _forget_costs(net)
    gained = _gained(x, previous, net.kept, net.is_kept)
    if gained <= 0 or owed > 0:
        for i in range(x.shape[0]):
            if net.is_kept[i]:
                x[i] = net.kept[i]
        gained = 0
    return before - gained, is_proven


@njit(cache=True, nogil=True)
def _strip(x: Ints, cap: Ints, previous: Ints, net: Network) -> int:
    """Take all that is above the plan in force; return what was moved before."""
    row, supply, lack, sources = net.row, net.supply, net.lack, net.sources
    up, down, kept, is_kept = net.up, net.down, net.kept, net.is_kept
    n_step, n_word, moved = x.shape[1], up.shape[2], 0
    net.effort[:] = 0
    lack[:] = 0
    is_kept[:] = False
    below = np.empty(64 * n_word, np.uint64)
    above = np.empty(64 * n_word, np.uint64)
    some = np.empty(n_step, np.uint64)
    for b in range(sources.size):
        below[:] = 0
        above[:] = 0
        some[:] = 0
        sources[b] = 0
        for place in range(64):
            s = 64 * b + place
            i = row[s]
            supply[s] = 0
            if i == NOBODY:
                continue
            taken, away = _compare(x, cap, previous, i, place, lack, below, above, some)
            moved += away
            if taken > 0:
                keep(x, kept, is_kept, i)
                for t in range(n_step):
                    x[i, t] = min(x[i, t], previous[i, t])
                supply[s] = taken
                sources[b] |= bit(place)
        for t in range(n_step):
            down[t, 0, b] = 0
            down[t, 1, b] = some[t]
        for w in range(n_word):
            _turn(below, above, 64 * w)
            for place in range(64):
                up[64 * b + place, 0, w] = below[64 * w + place]
                up[64 * b + place, 1, w] = above[64 * w + place]
    return moved


@njit(cache=True, nogil=True)
def _compare(
    x: Ints,
    cap: Ints,
    previous: Ints,
    i: int,
    place: int,
    lack: Ints,
    below: Words,
    above: Words,
    some: Words,
) -> tuple[int, int]:
    """Return how much a row is above the plan in force, and how much away from it.

    Bit ``place`` of the three words of a step is set to what the EV can do there once
    that is taken. One pass without branches: it compiles to vector instructions.
    """
    taken, moved, shift = 0, 0, np.uint64(place)
    for t in range(x.shape[1]):
        low = min(x[i, t], previous[i, t])
        excess = x[i, t] - low
        lack[t] += excess
        taken += excess
        moved += excess + previous[i, t] - low
        is_below = low < min(previous[i, t], cap[i, t])
        below[t] |= np.uint64(is_below) << shift
        above[t] |= np.uint64((low < cap[i, t]) & (not is_below)) << shift
        some[t] |= np.uint64(low > 0) << shift
    return taken, moved


@njit(cache=True, nogil=True)
def _turn(one: Words, two: Words, start: int) -> None:
    """Transpose 64 words of 64 bits of each: swap halves, then quarters, and so on."""
    width, mask = 32, np.uint64(0xFFFFFFFF)
    while width > 0:
        shift = np.uint64(width)
        for base in range(start, start + 64, 2 * width):
            for a in range(base, base + width):
                swap = ((one[a] >> shift) ^ one[a + width]) & mask
                one[a] ^= swap << shift
                one[a + width] ^= swap
                swap = ((two[a] >> shift) ^ two[a + width]) & mask
                two[a] ^= swap << shift
                two[a + width] ^= swap
        width >>= 1
        mask ^= mask << np.uint64(width)


@njit(cache=True, nogil=True)
def _settle(x: Ints, upper: Ints, net: Network) -> None:
    """Set lacks, loads and rooms at the start, and all potentials to 0."""
    lack, lacking, slots_at, steps_at = (
        net.lack,
        net.lacking,
        net.slots_at,
        net.steps_at,
    )
    lacking[:] = 0
    for t in range(lack.size):
        if lack[t] > 0:
            lacking[t >> 6] |= bit(t)
    net.slot_potential[:] = 0
    net.step_potential[:] = 0
    slots_at[:] = 0
    slots_at[1] = ~np.uint64(0)
    steps_at[:] = 0
    steps_at[0] = ~np.uint64(0)
    net.level[:] = ~np.uint64(0)
    if net.parent.size > 1:
        _load_tree(x, upper, net)


@njit(cache=True, nogil=True)
def _load_tree(x: Ints, upper: Ints, net: Network) -> None:
    """Set loads, and rooms: a limit that the plan broke is its load before."""
    row, node, parent, flow, tree = net.row, net.node, net.parent, net.flow, net.tree
    kept, is_kept = net.kept, net.is_kept
    flow[:] = 0
    tree[:] = 0
    for s in range(row.size):
        i, v = row[s], node[s >> 6]
        if i == NOBODY:
            continue
        for t in range(x.shape[1]):
            flow[0, v, t] += x[i, t]
        if is_kept[i]:
            for t in range(x.shape[1]):
                flow[1, v, t] += kept[i, t] - x[i, t]
    for v in range(parent.size - 1, 0, -1):
        for t in range(x.shape[1]):
            load, taken = flow[0, v, t], flow[1, v, t]
            flow[0, parent[v], t] += load
            flow[1, parent[v], t] += taken
            flow[1, v, t] = max(upper[v, t] - load, taken)
            if load > 0:
                tree[0, v, t >> 6] |= bit(t)
            if flow[1, v, t] > 0:
                tree[1, v, t >> 6] |= bit(t)


@njit(cache=True, nogil=True)
def _lift(net: Network, cost: int) -> None:
    """Raise all nodes that a search did not see by 1, the highest to ``cost``."""
    slots_at, slots_seen, potential = net.slots_at, net.slots_seen, net.slot_potential
    for k in range(cost, 0, -1):
        for b in range(slots_seen.size):
            risen = slots_at[k, b] & ~slots_seen[b]
            slots_at[k, b] ^= risen
            slots_at[k + 1, b] |= risen
    for s in range(potential.size):
        if not slots_seen[s >> 6] & bit(s):
            potential[s] += 1
    _lift_tree(net, cost)


@njit(cache=True, nogil=True)
def _lift_tree(net: Network, cost: int) -> None:
    steps_at, steps_seen, potential = net.steps_at, net.steps_seen, net.step_potential
    parent, level = net.parent, net.level
    n_node, n_step = potential.shape
    for v in range(n_node):
        for w in range(steps_seen.shape[1]):
            for k in range(cost - 1, -1, -1):
                risen = steps_at[k, v, w] & ~steps_seen[v, w]
                steps_at[k, v, w] ^= risen
                steps_at[k + 1, v, w] |= risen
            level[v, w] = 0
        for t in range(n_step):
            if not steps_seen[v, t >> 6] & bit(t):
                potential[v, t] += 1
            if v > 0 and potential[v, t] == potential[parent[v], t]:
                level[v, t >> 6] |= bit(t)


@njit(cache=True, nogil=True)
def _forget_costs(net: Network) -> None:
    """Make every move tight: what is left is placed anyhow, in few hops."""
    net.slot_potential[:] = 0
    net.step_potential[:] = 0
    net.slots_at[:2] = ~np.uint64(0)
    net.steps_at[:2] = ~np.uint64(0)
    net.level[:] = ~np.uint64(0)


@njit(cache=True, nogil=True)
def _gained(x: Ints, previous: Ints, kept: Ints, is_kept: Bools) -> int:
    """Return by how much the plan is nearer than it was."""
    gained = 0
    for i in range(x.shape[0]):
        if is_kept[i]:
            for t in range(x.shape[1]):
                gained += abs(kept[i, t] - previous[i, t])
                gained -= abs(x[i, t] - previous[i, t])
    return gained
