"""From the last plan to the next one, when a few EVs came, left or changed.

A plan of least cost stays one when an EV sends less along the cheapest path (`lower`)
or more (`fill`), and what an EV's own change leaves of the plan can be put so:

* it needs less, or left: it sends so much less;
* it can do less: what it sends above its new caps is, for the search, another EV that
  can be nowhere else, and leaves; then it sends that again elsewhere;
* it can do more where its cap held it: it sends nothing, as if it had left, and then
  all of it anew;
* it needs more, or came: it sends so much more.

Costs are only compared, so nothing drifts: after any number of repairs the columns'
loads are those of a plan made anew (they are unique: docs/planner.md).

EVs have slots, the rows of the flow, for as long as they stay; problems name their EVs
by row, in any order.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from optimizer.kernels.bits import bit
from optimizer.kernels.charge import UNITS, Floats
from optimizer.kernels.fill import fill
from optimizer.kernels.flow import (
    NOBODY,
    Flow,
    Ints,
    Words,
    put,
    use_room,
    withdraw,
)
from optimizer.kernels.lower import lower
from optimizer.kernels.serve import climb, take_back

TOO_MANY = -1
# Classes of EVs by their greatest cap, each half of the one before.
N_PART = 4


@njit(cache=True, nogil=True)
def match(key: Ints, kept_key: Ints, kept_slot: Ints, slot: Ints, gone: Ints) -> int:
    """Set the slot of every row, NOBODY of new ones, and the slots of who is gone.

    Rows came or left in between but stay in order, or move singly. Returns how many
    are gone, or TOO_MANY where more than ``gone`` holds came or left.
    """
    most, n_gone, n_new, i, j = gone.size, 0, 0, 0, 0
    new = np.empty(most, np.int64)
    while i < key.size or j < kept_key.size:
        comes, goes = i < key.size, j < kept_key.size
        if comes and goes:
            if key[i] == kept_key[j]:
                slot[i] = kept_slot[j]
                i, j = i + 1, j + 1
                continue
            if _occurs(kept_key[j], key, i + 1, most):
                goes = False
            elif _occurs(key[i], kept_key, j + 1, most):
                comes = False
        if n_new + comes > most or n_gone + goes > most:
            return TOO_MANY
        if comes:
            new[n_new], slot[i] = i, NOBODY
            n_new, i = n_new + 1, i + 1
        if goes:
            gone[n_gone] = j
            n_gone, j = n_gone + 1, j + 1
    still_gone = 0
    for k in range(n_gone):
        j, has_moved = gone[k], False
        for m in range(n_new):
            if slot[new[m]] == NOBODY and key[new[m]] == kept_key[j]:
                slot[new[m]], has_moved = kept_slot[j], True
                break
        if not has_moved:
            gone[still_gone] = kept_slot[j]
            still_gone += 1
    return still_gone


@njit(cache=True, nogil=True, inline="always")
def _occurs(key: int, keys: Ints, start: int, most: int) -> bool:
    """Return whether a key is among the next ones."""
    found = False
    for k in range(start, min(start + most, keys.size)):
        found |= keys[k] == key
    return found


@njit(cache=True, nogil=True)
def differing(
    slot: Ints,
    power_w: Floats,
    arrival: Ints,
    departure: Ints,
    leaf: Ints,
    kept_power_w: Floats,
    kept_arrival: Ints,
    kept_departure: Ints,
    kept_leaf: Ints,
    rows: Ints,
) -> int:
    """Set the rows whose powers, presence or leaf are not what is kept of their slots.

    Powers are (n, T) or (n, 1) [W]. Returns how many rows there are, or TOO_MANY.
    """
    count = 0
    for i in range(slot.size):
        s = slot[i]
        if (
            s != NOBODY
            and arrival[i] == kept_arrival[s]
            and departure[i] == kept_departure[s]
            and leaf[i] == kept_leaf[s]
            and _same(power_w[i], kept_power_w[s])
        ):
            continue
        if count == rows.size:
            return TOO_MANY
        rows[count] = i
        count += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _same(one: Floats, other: Floats) -> bool:
    differ = 0
    for t in range(one.size):
        differ += one[t] != other[t]
    return differ == 0


@njit(cache=True, nogil=True)
def caps_of(
    power_w: Floats, hours: Floats, arrival: int, departure: int, cap: Ints
) -> int:
    """Set what an EV can send in each step, (T,); return the sum.

    ``power_w`` is (T,) or (1,) [W].
    """
    cap[:] = 0
    total = 0
    for t in range(max(arrival, 0), min(departure, hours.size)):
        watts = power_w[0] if power_w.size == 1 else power_w[t]
        cap[t] = np.int64(watts * hours[t] * UNITS + 1e-3)
        total += cap[t]
    return total


@njit(cache=True, nogil=True)
def repair(
    flow: Flow,
    order: Ints,
    gone: Ints,
    slots: Ints,
    caps: Ints,
    leaves: Ints,
    energies: Ints,
) -> bool:
    """Make the flow one of least cost for what has changed; whether all energy fits.

    Parameters
    ----------
    flow : Flow
        Of least cost, all energy sent.
    order : ndarray of int64, shape (K,)
        Columns by price.
    gone : ndarray of int64, shape (m,)
        Slots that have no EV any more.
    slots, leaves, energies : ndarray of int64, shape (k,)
        Slots with a new or changed EV, its leaf and its energy [units].
    caps : ndarray of int64, shape (k, K)
        What these can send.
    """
    rank = np.empty(order.size, np.int64)
    for place in range(order.size):
        rank[order[place]] = place
    _largest_first(flow.largest, flow.active)
    flow.n_active[0] = flow.active.size
    nothing = np.zeros(order.size, np.int64)
    for s in gone:
        _change(flow, rank, s, nothing, flow.leaf[s], 0)
    missing = 0
    for k in range(slots.size):
        _change(flow, rank, slots[k], caps[k], leaves[k], energies[k])
        missing += flow.supply[slots[k]]
    if missing > 0:
        open_ = _open_to(flow, slots)
        for t in order:
            if open_[t >> 6] & bit(t):
                missing -= fill(flow, t, flow.room[0, t])
                if missing == 0:
                    break
    return missing == 0


@njit(cache=True, nogil=True)
def _open_to(flow: Flow, slots: Ints) -> Words:
    """Return the columns with room to which supply of these EVs can come, (W,).

    Sending some of it opens no other: what it makes way for was reached already.
    """
    reached, fresh, give, leaf = flow.reached, flow.fresh, flow.give, flow.leaf
    seen, queue = flow.seen, flow.queue
    flow.counts[0] += 1
    number, begin, end = flow.counts[0], 0, 0
    reached[:] = 0
    flow.closed[:] = 0
    for s in slots:
        if flow.supply[s] > 0:
            seen[s] = number
            queue[end] = s
            end += 1
    while begin < end:
        fresh[:] = 0
        for k in range(begin, end):
            v = leaf[queue[k]]
            for w in range(fresh.shape[1]):
                fresh[v, w] |= give[queue[k], w] & ~reached[v, w]
        climb(flow.open, flow.closed, flow.parent, reached, fresh, flow.opener)
        begin = end
        end = take_back(flow, number, end)
    open_: Words = reached[0] & flow.open[0]
    return open_


@njit(cache=True, nogil=True)
def _largest_first(largest: Ints, active: Ints) -> None:
    """List the EVs, those with great caps first: so fewer of them need to move."""
    bound, end = largest.max(), 0
    for part in range(N_PART):
        least = bound // 2 if part < N_PART - 1 else -1
        for i in range(largest.size):
            if least < largest[i] <= bound:
                active[end] = i
                end += 1
        bound = least


@njit(cache=True, nogil=True)
def _change(flow: Flow, rank: Ints, s: int, cap: Ints, leaf: int, energy: int) -> None:
    """Give an EV new caps and energy; what it then sends too little is its supply."""
    x, give = flow.x, flow.give
    sent = x[s].sum()
    if leaf != flow.leaf[s] or _has_more_choice(flow, s, cap):
        lower(flow, rank, s, NOBODY, sent)
        sent = 0
        _move(flow, s, leaf)
    for t in range(cap.size):
        # One after the other: the caps of columns to come still hold for the searches.
        flow.cap[s, t] = cap[t]
        if x[s, t] < cap[t]:
            give[s, t >> 6] |= bit(t)
        else:
            give[s, t >> 6] &= ~bit(t)
        excess = x[s, t] - cap[t]
        if excess > 0:
            lower(flow, rank, s, t, excess)
            sent -= excess
    if sent > energy:
        lower(flow, rank, s, NOBODY, sent - energy)
        sent = energy
    flow.supply[s] = energy - sent
    flow.left[s] = (cap > 0).sum()
    flow.largest[s] = cap.max()


@njit(cache=True, nogil=True)
def _has_more_choice(flow: Flow, s: int, cap: Ints) -> bool:
    """Return whether an EV can send more where its cap held it."""
    for t in range(cap.size):
        if cap[t] > flow.cap[s, t] and flow.x[s, t] == flow.cap[s, t]:
            return True
    return False


@njit(cache=True, nogil=True)
def _move(flow: Flow, s: int, leaf: int) -> None:
    """Put an EV that sends nothing below another leaf."""
    below, parent = flow.below, flow.parent
    v = flow.leaf[s]
    while v != NOBODY:
        below[v, s >> 6] &= ~bit(s)
        v = parent[v]
    flow.leaf[s] = v = leaf
    while v != NOBODY:
        below[v, s >> 6] |= bit(s)
        v = parent[v]


@njit(cache=True, nogil=True)
def adopt(flow: Flow, before: Ints, has_changed: NDArray[np.bool_]) -> None:
    """Bring sets and rooms in line with sends changed from ``before`` (n, K)."""
    cap, x, give, take, senders = flow.cap, flow.x, flow.give, flow.take, flow.senders
    room, open_, parent, leaf = flow.room, flow.open, flow.parent, flow.leaf
    for i in range(x.shape[0]):
        if not has_changed[i]:
            continue
        for t in range(x.shape[1]):
            more = x[i, t] - before[i, t]
            if more != 0:
                x[i, t] = before[i, t]
                if more > 0:
                    put(cap, x, give, take, senders, i, t, more)
                else:
                    withdraw(x, give, take, senders, i, t, -more)
                use_room(room, open_, parent, leaf[i], NOBODY, t, more)


@njit(cache=True, nogil=True)
def powers_of(x: Ints, slot: Ints, hours: Floats, power_w: Floats) -> None:
    """Set power_w (n, T) [W] of rows to the energies of their slots."""
    per_unit = 1.0 / (hours * UNITS)
    for i in range(power_w.shape[0]):
        s = slot[i]
        for t in range(power_w.shape[1]):
            power_w[i, t] = x[s, t] * per_unit[t]


@njit(cache=True, nogil=True)
def units_of(power_w: Floats, slot: Ints, hours: Floats, energy: Ints) -> None:
    """Set energy (slots, T) [units] to powers (n, T) [W] of rows, 0 without a row."""
    per_watt = hours * UNITS
    energy[:] = 0
    for i in range(power_w.shape[0]):
        s = slot[i]
        for t in range(power_w.shape[1]):
            energy[s, t] = np.int64(np.rint(power_w[i, t] * per_watt[t]))
