"""The allocation problems on which planner and peers are timed, from a seed.

n EVs over 96 quarter hours, windows of 2 to 12 hours, 3.68 to 22 kW, 3 to 40 kWh but at
most nine tenths of what the window holds, all of it hard; a distinct price each step.
The site's limit is flat and 5 % above what is needed: above the least limit, within a
thousandth, at which charging by least laxity serves everybody. That takes no solver and
is at most a little above the least limit of all. Groups have the same rule within their
members, and the site's limit then is found with the groups' in place.

Powers are multiples of 4 W and energies whole Wh, so that a quarter hour of every limit
is a whole number of Wh and a flow in integers has the very same optimum.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from optimizer import Group, Problem
from optimizer.checks import Floats, Ints

STEP_S = 900.0
HOURS = STEP_S / 3600.0
ABOVE_NEED = 1.05
FITS_IN_SHORTAGE = 0.55
PROMISED = 0.4
EFFICIENCY = 0.93
CAPACITY_WH = 60_000.0
POWERS_W = np.array([3_680.0, 7_360.0, 11_040.0, 22_080.0])
_BISECTIONS = 12

Level = tuple[Ints, Floats]
"""A level of groups: the group of each EV, and each group's limit [W]."""


def instance(
    n: int,
    n_step: int = 96,
    seed: int = 0,
    groups: int = 0,
    shortage: bool = False,
    v2g: bool = False,
) -> Problem:
    """Return the problem of a seed.

    Parameters
    ----------
    n, n_step : int
        EVs and quarter hours, at least 10 of these.
    groups : int
        Groups of about n / groups EVs, each with a limit of its own.
    shortage : bool
        The limit is 55 % of the mean power that all energy needs; two classes, each EV
        promised 40 % of its target.
    v2g : bool
        Every EV discharges as fast as it charges, 93 % efficient either way, from a
        battery of 60 kWh; half of the limit may be exported. Limits are higher by
        the losses.
    """
    rng = np.random.default_rng(seed)
    arrival = rng.integers(0, n_step - 8 + 1, n)
    departure = np.minimum(arrival + rng.integers(8, 49, n), n_step)
    power_w = rng.choice(POWERS_W, n)
    window_wh = power_w * (departure - arrival) * HOURS
    target_wh = np.floor(np.minimum(rng.uniform(3e3, 4e4, n), 0.9 * window_wh))
    price = np.round(0.05 + 0.3 * rng.permutation(n_step) / n_step, 6)
    asked = _Asked(arrival, departure, power_w, target_wh, n_step)
    group_of = rng.integers(0, groups, n) if groups else np.zeros(n, np.int64)
    limits_w = np.array([asked.of(group_of == g).limit_w() for g in range(groups)])
    limit_w = asked.limit_w([(group_of, limits_w)])
    parts: dict[str, object] = {}
    if shortage:
        limit_w = float(_fours(FITS_IN_SHORTAGE * target_wh.sum() / (n_step * HOURS)))
        parts["priority"] = rng.integers(0, 2, n)
        parts["energy_min_wh"] = np.floor(PROMISED * target_wh)
    lower_w = 0.0
    if v2g:
        # Targets are in the battery; so much more is drawn.
        limit_w = float(_fours(limit_w / EFFICIENCY))
        limits_w = _fours(limits_w / EFFICIENCY)
        stored_wh = np.floor(rng.uniform(0.0, CAPACITY_WH - target_wh))
        parts |= {"stored_wh": stored_wh, "capacity_wh": np.full(n, CAPACITY_WH)}
        parts |= {"charge_efficiency": EFFICIENCY, "discharge_efficiency": EFFICIENCY}
        parts["power_min_w"] = -power_w
        lower_w = -float(_fours(limit_w / 2.0))
    return Problem(
        step_s=STEP_S,  # type: ignore[arg-type]
        power_max_w=power_w,
        arrival_step=arrival,
        departure_step=departure,
        energy_target_wh=target_wh,
        energy_max_wh=target_wh,
        pre_lower_w=np.full(n_step, lower_w),
        pre_upper_w=np.full(n_step, limit_w),
        buy_per_kwh=price,
        groups=tuple(
            Group(np.flatnonzero(group_of == g), np.full(n_step, limit_w))
            for g, limit_w in enumerate(limits_w)
        ),
        **parts,  # type: ignore[arg-type]
    )


def tree_instance(
    n: int, branching: Sequence[int], n_step: int = 96, seed: int = 0
) -> Problem:
    """Return the plain problem of a seed with levels of groups within groups.

    Each group is parted into as many as ``branching`` says at its level, first the
    zone's. Limits have the rule of `instance`, lower levels first.
    """
    plain = instance(n, n_step, seed)
    widths = np.cumprod(np.asarray(branching, np.int64))
    lowest = np.random.default_rng((seed, 1)).integers(0, widths[-1], n)
    power_w = plain.power_max_w[:, 0]
    asked = _Asked(
        plain.arrival_step,
        plain.departure_step,
        power_w,
        plain.energy_target_wh,
        n_step,
    )
    levels: list[Level] = []
    for width in widths[::-1].tolist():
        group_of = lowest // (int(widths[-1]) // width)
        limits_w = []
        for g in range(width):
            mine = group_of == g
            below = [(of[mine], limit_w) for of, limit_w in levels]
            limits_w.append(asked.of(mine).limit_w(below))
        levels.append((group_of, np.array(limits_w)))
    groups = tuple(
        Group(np.flatnonzero(group_of == g), np.full(n_step, limit_w))
        for group_of, limits_w_ in reversed(levels)
        for g, limit_w in enumerate(limits_w_)
    )
    upper_w = np.full(n_step, asked.limit_w(levels))
    return replace(plain, groups=groups, pre_upper_w=upper_w)


def with_less_need(problem: Problem, ev: int) -> Problem:
    """Return the problem when an EV needs a tenth less and leaves a step sooner."""
    target_wh = problem.energy_target_wh.copy()
    departure = problem.departure_step.copy()
    departure[ev] -= 1
    window = departure[ev] - problem.arrival_step[ev]
    holds_wh = 0.9 * window * HOURS * float(problem.power_max_w[ev, 0])
    target_wh[ev] = np.floor(min(0.9 * target_wh[ev], holds_wh))
    low = np.minimum(problem.energy_min_wh, target_wh)
    return replace(
        problem,
        departure_step=departure,
        energy_min_wh=low,
        energy_target_wh=target_wh,
        energy_max_wh=target_wh,
    )


def with_new_pre(problem: Problem, seed: int) -> Problem:
    """Return the problem with every step's upper limit raised by up to 6 %."""
    rise = 1.0 + 0.06 * np.random.default_rng(seed).random(problem.n_step)
    return replace(problem, pre_upper_w=_fours(problem.pre_upper_w * rise))


class _Asked:
    """What EVs ask for, and whether charging by least laxity serves it."""

    def __init__(
        self,
        arrival: Ints,
        departure: Ints,
        power_w: Floats,
        energy_wh: Floats,
        n_step: int,
    ) -> None:
        self._arrival, self._departure = arrival, departure
        self._power_w, self._energy_wh = power_w, energy_wh
        self._n_step = n_step

    def of(self, mine: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> "_Asked":
        """Return what some of the EVs ask for."""
        return _Asked(
            self._arrival[mine],
            self._departure[mine],
            self._power_w[mine],
            self._energy_wh[mine],
            self._n_step,
        )

    def limit_w(self, levels: Sequence[Level] = ()) -> float:
        """Return the limit 5 % above need [W], given limits of groups."""
        low = float(self._energy_wh.sum()) / (self._n_step * HOURS)
        high = float(self._power_w.sum())
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2.0
            if self._serves(middle, levels):
                high = middle
            else:
                low = middle
        return float(_fours(ABOVE_NEED * high)) + 4.0

    def _serves(self, limit_w: float, levels: Sequence[Level]) -> bool:
        left_wh = self._energy_wh.copy()
        for step in range(self._n_step):
            here = np.flatnonzero(
                (self._arrival <= step) & (step < self._departure) & (left_wh > 0)
            )
            needs_h = left_wh[here] / self._power_w[here]
            laxity_h = (self._departure[here] - step) * HOURS - needs_h
            if (laxity_h < -1e-9).any():
                return False
            here = here[np.argsort(laxity_h, kind="stable")]
            ask_w = np.minimum(self._power_w[here], left_wh[here] / HOURS)
            for group_of, group_limit_w in levels:
                for group, limit in enumerate(group_limit_w):
                    own = group_of[here] == group
                    ask_w[own] = _in_order(ask_w[own], limit)
            left_wh[here] -= _in_order(ask_w, limit_w) * HOURS
        return bool((left_wh <= 1e-6).all())


def _in_order(ask_w: Floats, limit_w: float) -> Floats:
    """Return what each gets when the first are served first."""
    before = np.cumsum(ask_w) - ask_w
    given: Floats = np.clip(limit_w - before, 0.0, ask_w)
    return given


def _fours(power_w: Floats | float) -> Floats:
    """Return the multiple of 4 W below: a quarter hour of it is whole Wh."""
    whole: Floats = np.asarray(np.floor(np.asarray(power_w) / 4.0) * 4.0)
    return whole
