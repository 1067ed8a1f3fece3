"""From a linear plan to one that EVs can follow: 0 or at least the floor.

Step by step, inside the PRE, EVs in their order of service; first what they lack of
their targets, then up to their maxima:

1. floors, in order, from a share of the room: an EV left out takes nothing at all;
2. power, in order, up to what the EV can use: the linear plan's power where that plan
   meets every target, all it can use otherwise;
3. floors, in order, from the room that is left, and power on top of them.

So the PRE is used up while anybody can use it. In a shortage the order of service alone
shares out. Where every target is met deadlines rule, and those the linear plan knows.

The share is 0 until the floors of all who ask are `FLOORS_FEW` of the room, and all of
it when they do not fit: in a bad shortage EVs are kept going instead of finished, which
gives more energy (docs/adr/0005).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FLOORS_FEW = 0.9
# Less energy than this is none [Wh].
NONE_WH = 0.5


@njit(cache=True, nogil=True)
def round_steps(
    linear_w: Floats,
    meets_all: bool,
    power_max_w: Floats,
    floor_w: Floats,
    target_wh: Floats,
    most_wh: Floats,
    room_w: Floats,
    hours: Floats,
    order: Ints,
    power_w: Floats,
) -> None:
    """Fill the plan step by step.

    Parameters
    ----------
    linear_w : ndarray of float64, shape (n, T)
        Power of the linear plan [W]. Not modified.
    meets_all : bool
        Whether the linear plan meets every target: then it says who is raised.
    power_max_w : ndarray of float64, shape (n, T)
        Most each EV can take, whole watts, 0 where it is away [W]. Not modified.
    floor_w : ndarray of float64, shape (n,)
        Least power that is not 0 [W]. Not modified.
    target_wh, most_wh : ndarray of float64, shape (n,)
        Energy wanted and energy possible [Wh]. Overwritten: what is left of it.
    room_w : ndarray of float64, shape (T,)
        PRE, whole watts [W]. Not modified.
    hours : ndarray of float64, shape (T,)
        Length of each step [h]. Not modified.
    order : ndarray of int64, shape (n,)
        EVs in their order of service. Not modified.
    power_w : ndarray of float64, shape (n, T)
        The plan [W]. Overwritten; zeros on entry.
    """
    n, n_step = power_w.shape
    goal_w = np.zeros(n)
    upto_w = np.zeros(n)
    for t in range(n_step):
        room = room_w[t]
        for goes_beyond in (False, True):
            wanted_wh = most_wh if goes_beyond else target_wh
            for i in range(n):
                goal_w[i] = _goal_w(
                    min(wanted_wh[i], most_wh[i]),
                    hours[t],
                    power_max_w[i, t],
                    floor_w[i],
                )
                upto_w[i] = goal_w[i]
            if not goes_beyond:
                if meets_all:
                    for i in range(n):
                        upto_w[i] = min(goal_w[i], np.floor(linear_w[i, t]))
                kept = np.floor(room * (1.0 - _floor_share(goal_w, floor_w, room)))
                room = kept + _floors(room - kept, upto_w, floor_w, order, t, power_w)
                room = _raise(room, upto_w, floor_w, order, t, power_w)
            room = _floors(room, goal_w, floor_w, order, t, power_w)
            room = _raise(room, goal_w, floor_w, order, t, power_w)
        for i in range(n):
            energy_wh = power_w[i, t] * hours[t]
            target_wh[i] = max(target_wh[i] - energy_wh, 0.0)
            most_wh[i] = max(most_wh[i] - energy_wh, 0.0)


@njit(cache=True, nogil=True)
def _goal_w(wanted_wh: float, hours: float, can_w: float, floor_w: float) -> float:
    """Return the power that transfers the energy within the step, if the EV can."""
    if wanted_wh <= NONE_WH or can_w < floor_w or can_w <= 0.0:
        return 0.0
    goal_w: float = min(can_w, max(np.ceil(wanted_wh / hours), np.ceil(floor_w)))
    return goal_w


@njit(cache=True, nogil=True)
def _floor_share(goal_w: Floats, floor_w: Floats, room: float) -> float:
    """Return the share of the room that goes to floors first, 0..1."""
    floors = 0.0
    for i in range(goal_w.size):
        if goal_w[i] > 0.0:
            floors += floor_w[i]
    crowded: float = (floors / max(room, 1.0) - FLOORS_FEW) / (1.0 - FLOORS_FEW)
    return min(max(crowded, 0.0), 1.0)


@njit(cache=True, nogil=True)
def _floors(
    room: float, upto_w: Floats, floor_w: Floats, order: Ints, t: int, power_w: Floats
) -> float:
    """Give floors in order while they fit; return the room left [W]."""
    for i in order:
        floor = np.ceil(floor_w[i])
        if power_w[i, t] == 0.0 and upto_w[i] > 0.0 and floor <= room:
            power_w[i, t] = floor
            room -= floor
    return room


@njit(cache=True, nogil=True)
def _raise(
    room: float, upto_w: Floats, floor_w: Floats, order: Ints, t: int, power_w: Floats
) -> float:
    """Raise in order as far as the room goes; return the room left [W]."""
    for i in order:
        more = min(upto_w[i] - power_w[i, t], room)
        if more > 0.0 and power_w[i, t] + more >= floor_w[i]:
            power_w[i, t] += more
            room -= more
    return room
