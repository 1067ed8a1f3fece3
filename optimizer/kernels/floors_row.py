"""One EV's powers, 0 or at least the floor, where the others stay as they are."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Below these, nothing: energies [Wh], powers [W].
NO_WH = 1e-6
NO_W = 1e-6


class Row(NamedTuple):
    """One EV in each step, (T,); the others as they are."""

    power_w: Floats  # what is changed
    least_w: Floats  # the lowest and the highest power within the limits
    most_w: Floats
    wh: Floats  # energy gained for a watt of charge
    out_wh: Floats  # energy lost for a watt of discharge
    price: Floats
    cheap: Ints


@njit(cache=True, nogil=True)
def fill(
    row: Row,
    low: float,
    step: float,
    lack: float,
    below_price: float,
    highest_wh: float,
) -> float:
    """Raise and start, cheapest steps first; return the energy still lacking."""
    power_w, most_w, wh, price = row.power_w, row.most_w, row.wh, row.price
    for t in row.cheap:
        if price[t] >= below_price or lack <= NO_WH:
            break
        was = power_w[t]
        if most_w[t] <= was:
            continue
        can = lack
        if highest_wh < np.inf:
            can = min(can, battery_wh(row, t, highest_wh))
        new = settable(step, low, min(most_w[t], was + can / wh[t]))
        if new > was:
            power_w[t] = new
            lack -= (new - was) * wh[t]
    return lack


@njit(cache=True, nogil=True)
def battery_wh(row: Row, step: int, highest_wh: float) -> float:
    """Return the room that the battery has from a step on."""
    power_w, wh, out_wh = row.power_w, row.wh, row.out_wh
    gained, room = 0.0, np.inf
    for t in range(power_w.size):
        gained += power_w[t] * (wh[t] if power_w[t] > 0.0 else out_wh[t])
        if t >= step:
            room = min(room, highest_wh - gained)
    return max(room, 0.0)


@njit(cache=True, nogil=True)
def one_more(
    row: Row, low: float, step: float, lack: float, spare: float, below_price: float
) -> None:
    """Start one more step, or raise one by a step; others give up the surplus.

    What they cannot give up must not exceed what the EV takes beyond its goal.
    """
    power_w, least_w, most_w, wh = row.power_w, row.least_w, row.most_w, row.wh
    givable = 0.0
    for t in range(power_w.size):
        givable += max(power_w[t] - max(low, least_w[t]), 0.0) * wh[t]
    for t in row.cheap:
        if row.price[t] >= below_price:
            return
        was = power_w[t]
        more = low if was == 0.0 else step
        if more <= 0.0 or was + more > most_w[t] + NO_W:
            continue
        surplus = more * wh[t] - lack
        own = max(was - max(low, least_w[t]), 0.0) * wh[t]
        must = surplus - spare
        if step > 0.0 and must > NO_WH:  # whole steps of power give way
            must = np.ceil(must / (step * wh[t]) - 1e-9) * step * wh[t]
        if must > givable - own + NO_WH or must >= more * wh[t] - NO_WH:
            continue
        before = power_w.copy()
        power_w[t] = was + more
        given = _give_up(row, low, step, t, max(surplus, must))
        if surplus - spare - NO_WH <= given < more * wh[t]:
            return
        power_w[:] = before


@njit(cache=True, nogil=True)
def _give_up(row: Row, low: float, step: float, but: int, most: float) -> float:
    """Lower other steps, dearest first, by at most `most` Wh; return by how much."""
    power_w, wh, left = row.power_w, row.wh, most
    for t in row.cheap[::-1]:
        least = _least(low, step, row.least_w[t])
        if t == but or power_w[t] <= least or left <= NO_WH:
            continue
        less = min(power_w[t] - least, left / wh[t])
        if step > 0.0:
            less = np.floor(less / step + 1e-9) * step
        power_w[t] -= less
        left -= less * wh[t]
    return most - left


@njit(cache=True, nogil=True)
def move_to_cheaper(row: Row, low: float, step: float) -> None:
    """Move energy from dear to cheap steps, each still 0 or at least the floor."""
    power_w, most_w, price, cheap = row.power_w, row.most_w, row.price, row.cheap
    first, n_step = 0, power_w.size
    for source in cheap[::-1]:
        if power_w[source] <= 0.0:
            continue
        for k in range(first, n_step):
            t = cheap[k]
            if price[t] >= price[source] - 1e-12 or power_w[source] <= 0.0:
                break
            if settable(step, low, most_w[t]) > power_w[t]:
                _move(row, low, step, source, t)
            elif k == first:
                first += 1


@njit(cache=True, nogil=True)
def _move(row: Row, low: float, step: float, source: int, target: int) -> None:
    """Move as much as both steps allow: all of it, or what is above the floor."""
    power_w, ratio = row.power_w, row.wh[target] / row.wh[source]
    was, had = power_w[target], power_w[source]
    least = _least(low, step, row.least_w[source])
    for kept in (0.0, least):
        if kept < row.least_w[source] - NO_W or kept > had:
            continue
        new = min(row.most_w[target], was + (had - kept) / ratio)
        new = settable(step, low, new)
        left = had - (new - was) * ratio
        if left <= NO_W:
            left = 0.0
        if new <= was or 0.0 < left < least - NO_W:
            continue
        if step > 0.0 and abs(left - settable(step, low, left)) > NO_W:
            continue
        power_w[source], power_w[target] = settable(step, low, left), new
        return


@njit(cache=True, nogil=True)
def _least(low: float, step: float, least: float) -> float:
    """Return the least power above 0 that is within the limits."""
    if step > 0.0:
        least = np.ceil(least / step - 1e-9) * step
    return max(low, least)


@njit(cache=True, nogil=True)
def settable(step_w: float, low_w: float, power_w: float) -> float:
    """Return the greatest power the EVSE can set up to this one."""
    if step_w > 0.0:
        power_w = np.floor(power_w / step_w + 1e-9) * step_w
    if power_w < low_w - NO_W or power_w <= NO_W:
        return 0.0
    return max(power_w, low_w)
