"""What happens while a plan is in use: cars draw, limits are measured, facts are seen.

A car draws the least of what is allowed, what it takes at its energy and what it still
needs; nothing when less than the floor is allowed. With taper, its power falls linearly
over the last part of its need (`simulator.car`), and a step is cut into parts of a
minute or less. Powers of a step are its means.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows of `measured`, (MEASURES, n_step): powers [W], worst excess over a line [A].
DRAWN_W, ALLOTTED_W, DRAWN_LINE_A, ALLOTTED_LINE_A, BEYOND_EVSE_W = range(5)
MEASURES = 5

# As the loop's observer has them (`domain.loop.observer`).
NOTHING_W = 100.0
TOLERANCE_W = 50.0
MATERIAL_W = 250.0
MATERIAL_SHARE = 0.10
# Part of a minute and less is one part of a step.
_PART_H = 1.0 / 60.0


@njit(cache=True, nogil=True)
def drive(
    plan_w: Floats,
    first_step: int,
    n_use: int,
    rows: Ints,
    step_h: float,
    need_wh: Floats,
    car_max_w: Floats,
    evse_max_w: Floats,
    floor_w: float,
    taper_from: float,
    taper_to: float,
    observes: bool,
    re: Floats,
    im: Floats,
    limit_a: Floats,
    energy_wh: Floats,
    seen_w: Floats,
    stopped_step: Ints,
    measured: Floats,
) -> int:
    """Apply columns of a plan; return how many.

    Parameters
    ----------
    plan_w : ndarray of float64, shape (k, T)
        Powers of the EVs in ``rows`` [W].
    first_step, n_use : int
        The loop's step of the first column, and how many columns to use.
    rows : ndarray of int64, shape (k,)
        Sessions of the plan's rows.
    step_h : float
        Length of a step [h].
    need_wh, car_max_w, evse_max_w : ndarray of float64, shape (n,)
        What each car takes in all [Wh], its and its EVSE's limit [W].
    floor_w : float
        Below it a car draws nothing [W].
    taper_from, taper_to : float
        From this share of its need on a car's power falls to that share of its largest
        at the end; from 1 on for cars that do not taper.
    observes : bool
        Whether to stop when a car shows something new.
    re, im : ndarray of float64, shape (m, k)
        Phasor that a watt of each row adds to each line [A/W].
    limit_a : ndarray of float64, shape (m,)
        [A].
    energy_wh : ndarray of float64, shape (n,)
        What each car has taken [Wh]. Added to.
    seen_w : ndarray of float64, shape (n,)
        What each car was seen to take at most [W], infinite where not. Modified.
    stopped_step : ndarray of int64, shape (n,)
        When each car was seen to draw nothing though it might, else -1. Modified.
    measured : ndarray of float64, shape (MEASURES, n_step)
        Overwritten in the steps applied.
    """
    parts = max(int(np.ceil(step_h / _PART_H - 1e-9)), 1) if taper_from < 1.0 else 1
    drawn = np.zeros(rows.size)
    allowed = np.zeros(rows.size)
    for used in range(n_use):
        step = first_step + used
        news = False
        beyond = 0.0
        for k in range(rows.size):
            i = rows[k]
            given = plan_w[k, used]
            beyond = max(beyond, given - evse_max_w[i], -given)
            allowed[k] = given
            before = energy_wh[i]
            for _ in range(parts):
                power_w = _draws_w(
                    given,
                    energy_wh[i],
                    need_wh[i],
                    car_max_w[i],
                    floor_w,
                    taper_from,
                    taper_to,
                )
                part_wh = power_w * (step_h / parts)
                energy_wh[i] += min(part_wh, need_wh[i] - energy_wh[i])
            if energy_wh[i] > need_wh[i] - 1e-6:
                energy_wh[i] = need_wh[i]
            drawn[k] = (energy_wh[i] - before) / step_h
            if observes:
                end_w = _draws_w(
                    given,
                    energy_wh[i],
                    need_wh[i],
                    car_max_w[i],
                    floor_w,
                    taper_from,
                    taper_to,
                )
                news |= _observe(
                    i, step + 1, given, end_w, floor_w, seen_w, stopped_step
                )
        measured[DRAWN_W, step] = drawn.sum()
        measured[ALLOTTED_W, step] = allowed.sum()
        measured[DRAWN_LINE_A, step] = _line_excess_a(drawn, re, im, limit_a)
        measured[ALLOTTED_LINE_A, step] = _line_excess_a(allowed, re, im, limit_a)
        measured[BEYOND_EVSE_W, step] = beyond
        if news:
            return used + 1
    return n_use


@njit(cache=True, nogil=True)
def _draws_w(
    allowed_w: float,
    energy_wh: float,
    need_wh: float,
    car_max_w: float,
    floor_w: float,
    taper_from: float,
    taper_to: float,
) -> float:
    """Return what a car draws now [W]."""
    if energy_wh >= need_wh or allowed_w < floor_w or allowed_w <= 0.0:
        return 0.0
    most = car_max_w
    share = energy_wh / need_wh
    if share > taper_from:
        most *= 1.0 - (share - taper_from) / (1.0 - taper_from) * (1.0 - taper_to)
    return min(allowed_w, most)


@njit(cache=True, nogil=True)
def _line_excess_a(power_w: Floats, re: Floats, im: Floats, limit_a: Floats) -> float:
    """Return how far the worst line is above its limit [A], 0 when none is."""
    worst = 0.0
    for line in range(limit_a.size):
        x = y = 0.0
        for k in range(power_w.size):
            x += re[line, k] * power_w[k]
            y += im[line, k] * power_w[k]
        worst = max(worst, np.hypot(x, y) - limit_a[line])
    return worst


@njit(cache=True, nogil=True)
def _observe(
    i: int,
    now: int,
    allowed_w: float,
    drawn_w: float,
    floor_w: float,
    seen_w: Floats,
    stopped_step: Ints,
) -> bool:
    """Learn from a reading of car i; return whether it is news."""
    if allowed_w < max(floor_w, NOTHING_W):
        return False
    if drawn_w < NOTHING_W:
        stopped_step[i] = now
        return True
    if stopped_step[i] >= 0:
        stopped_step[i] = -1
        seen_w[i] = np.inf
        return True
    if drawn_w >= allowed_w - TOLERANCE_W:
        if drawn_w > seen_w[i] + TOLERANCE_W:
            seen_w[i] = np.inf
            return True
        return False
    knows = seen_w[i] < np.inf
    bound = seen_w[i] if knows else allowed_w
    material = max(MATERIAL_W, MATERIAL_SHARE * bound)
    if drawn_w < bound - (0.5 * material if knows else material):
        seen_w[i] = drawn_w
        return True
    return False
