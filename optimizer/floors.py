"""From a linear plan to powers that EVSEs have: 0 or at least the floor, whole steps.

The linear problem is the one with floors less some rules. So what its plan reaches, no
plan with floors can better in the first tier that they differ in: `distance` says, tier
by tier, how far the repair stays behind that, and how late it gives energy.

The repair follows the linear plan (`optimizer.kernels.floors`), which knows prices and
deadlines; `optimizer.highs.solve_exact_floors` is the exact, slow way.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.checks import Floats, Ints
from optimizer.kernels.certify import off_steps_w
from optimizer.kernels.floors import follow, lift, save, serve
from optimizer.kernels.floors_row import NO_W
from optimizer.kernels.floors_site import Site
from optimizer.problem import Problem
from optimizer.service import rounded
from optimizer.site import battery_bounds_wh
from optimizer.tiers import NOTHING_WH, measures_of, tier_values
from optimizer.tree import GroupTree, group_tree

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Distance:
    """How far a plan is from the linear one that it repairs.

    Parameters
    ----------
    tiers : by name, what each tier lost; below 0 where one gained by another's loss.
    unmet_min_wh, unmet_target_wh : float
        What more is left out of all promised and all asked-for energy [Wh].
    money : float
        What more it costs.
    lag_wh : float
        The most any EV is ever behind the linear plan [Wh in the battery].
    """

    tiers: Mapping[str, float]
    unmet_min_wh: float
    unmet_target_wh: float
    money: float
    lag_wh: float


def has_floors(problem: Problem) -> bool:
    """Return whether any EV has a floor or pilot steps."""
    return bool(problem.power_floor_w.any() or problem.power_step_w.any())


def repaired(problem: Problem, linear_w: Floats) -> Floats:
    """Return a plan whose powers are 0 or at least the floor, in whole pilot steps.

    It keeps what the linear plan keeps of upper bounds of PRE, groups and windows, of
    line currents, presence, EVs, batteries and greatest energies. Where only the order
    of service matters (one price, no limit but the PRE), it is the loop's policy for a
    shortage; else a plan that needs no repair is returned as it is.

    With room for all, powers that EVSEs can set and prices that never fall, an EV is
    less than two floors over the longest step behind the linear plan at any time, and
    less than one at departure, or nothing where it may take that much more. Else
    `distance` says what was lost. Lower bounds are met as far as room and greatest
    energies go; an EV that must discharge may not, where its floor forbids it.

    Parameters
    ----------
    problem : Problem
    linear_w : (n, T)
        A plan that keeps all rules but floors and pilot steps [W]. Not modified.

    Returns
    -------
    (n, T)
        [W].
    """
    if not has_floors(problem):
        return linear_w
    if _only_order_matters(problem):
        return rounded(problem, linear_w)
    floor, step = problem.power_floor_w, problem.power_step_w
    if off_steps_w(np.ascontiguousarray(linear_w), floor, step) <= NO_W:
        return linear_w
    return _followed(problem, linear_w)


def distance(problem: Problem, linear_w: Floats, power_w: Floats) -> Distance:
    """Return how far a plan (n, T) is from the linear one (n, T)."""
    bound = tier_values(problem, measures_of(problem, linear_w))
    value = tier_values(problem, measures_of(problem, power_w))
    tiers = {name: value[name] - bound[name] for name in bound}
    behind = np.cumsum(_gain_wh(problem, linear_w) - _gain_wh(problem, power_w), axis=1)
    return Distance(
        tiers=tiers,
        unmet_min_wh=_sum_of(tiers, "unmet_min_wh/"),
        unmet_target_wh=_sum_of(tiers, "unmet_target_wh/"),
        money=tiers["money"],
        lag_wh=float(behind.max(initial=0.0)),
    )


def _sum_of(tiers: Mapping[str, float], prefix: str) -> float:
    return sum(lost for name, lost in tiers.items() if name.startswith(prefix))


def _gain_wh(problem: Problem, power_w: Floats) -> Floats:
    into = np.maximum(power_w, 0.0) * problem.charge_efficiency[:, None]
    out = np.minimum(power_w, 0.0) / problem.discharge_efficiency[:, None]
    gain: Floats = (into + out) * problem.hours
    return gain


def _gains_wh(problem: Problem, power_w: Floats) -> Floats:
    """Return what each EV gains in all, (n,)."""
    if problem.has_v2g:
        gain: Floats = _gain_wh(problem, power_w).sum(axis=1)
    else:
        gain = problem.charge_efficiency * (power_w @ problem.hours)
    return gain


def _only_order_matters(problem: Problem) -> bool:
    """Whether money says nothing about when, and the PRE is the only limit."""
    return bool(
        not problem.groups
        and problem.phases is None
        and not problem.has_v2g
        and not problem.energy_windows
        and problem.stored_wh is None
        and not problem.power_step_w.any()
        and problem.peak_per_kw == 0
        and np.ptp(problem.price_per_kwh) == 0
        and (problem.charge_efficiency == 1).all()
    )


def _followed(problem: Problem, linear_w: Floats) -> Floats:
    order = np.lexsort((problem.departure_step, problem.priority))
    while True:
        site = _site(problem)
        dear_w = _above_peak_w(problem, linear_w)
        site.above_w[0] -= dear_w
        follow(site, order, linear_w)
        too_full = site.both_ways & (site.gained_wh > site.most_wh + NOTHING_WH)
        too_full &= (linear_w < 0).any(axis=1)
        if not too_full.any():
            break
        linear_w = _without_discharge(problem, linear_w, too_full)
    gain_wh = _gains_wh(problem, linear_w)
    _serve_all(problem, site, order, gain_wh)
    save(site)
    if dear_w.any():
        site.above_w[0] += dear_w
        _serve_all(problem, site, order, gain_wh)
    serve(site, order, gain_wh, 0.0)
    lift(site)
    return site.power_w


def _serve_all(problem: Problem, site: Site, order: Ints, gain_wh: Floats) -> None:
    """Serve what is promised, then as the linear plan does, then all asked for."""
    target = problem.energy_target_wh
    for goal in (problem.energy_min_wh, np.minimum(target, gain_wh), target):
        serve(site, order, goal, np.inf)


def _above_peak_w(problem: Problem, linear_w: Floats) -> Floats:
    """Return the room (T,) whose use would raise the peak that is paid for."""
    if problem.peak_per_kw == 0:
        return np.zeros(problem.n_step)
    peak_w = max(float(linear_w.sum(axis=0).max()), problem.peak_so_far_w)
    return np.maximum(problem.pre_upper_w - peak_w, 0.0)


def _without_discharge(problem: Problem, linear_w: Floats, who: Bools) -> Floats:
    """Return the plan with only the charge that EVs `who` (n,) keep in the end."""
    into = np.maximum(linear_w, 0.0)
    gross = _gains_wh(problem, into)
    net = _gains_wh(problem, linear_w).clip(0.0)
    kept = np.divide(net, gross, out=np.zeros_like(net), where=gross > 0)
    return np.where(who[:, None], into * kept[:, None], linear_w)


def _site(problem: Problem) -> Site:
    """Return EVs and limits with nothing planned."""
    n, n_step = problem.n_evse, problem.n_step
    there = problem.available()
    step = problem.power_step_w
    whole = step > 0
    unit = np.where(whole, step, 1.0)
    # A billionth of a step is rounding of the division, not another step.
    fewest = np.maximum(np.ceil(problem.power_floor_w / unit - 1e-9), 1.0)
    low = np.where(whole, fewest * unit, problem.power_floor_w)
    deep = -problem.power_min_w if problem.has_v2g else np.zeros((n, n_step))
    lowest, highest = battery_bounds_wh(problem)
    tree = group_tree(problem)
    upper, lower = _bounds(problem, tree)
    windows = problem.energy_windows
    hours = problem.hours
    spans = np.array(
        [hours[w.start_step : w.stop_step].sum() for w in windows], np.float64
    )
    share, limit_a = _lines(problem)
    return Site(
        hours=hours,
        cheap=np.lexsort((np.arange(n_step), problem.price_per_kwh)),
        price=np.ascontiguousarray(problem.price_per_kwh),
        low_w=low,
        step_w=np.ascontiguousarray(step),
        high_w=_settable(problem.power_max_w, there, low, step),
        deep_w=_settable(deep, there, low, step),
        charge_efficiency=np.ascontiguousarray(problem.charge_efficiency),
        discharge_efficiency=np.ascontiguousarray(problem.discharge_efficiency),
        both_ways=np.asarray((problem.power_min_w < 0).any(axis=1)),
        most_wh=np.minimum(problem.energy_max_wh, highest),
        lowest_wh=lowest,
        highest_wh=highest,
        leaf=tree.leaf,
        parent=tree.parent,
        above_w=upper,
        below_w=-lower,
        window=np.array(
            [(w.start_step, w.stop_step) for w in windows], np.int64
        ).reshape(-1, 2),
        window_wh=np.array([(w.upper_w, -w.lower_w) for w in windows]).reshape(-1, 2)
        * spans[:, None],
        share=share,
        limit_a=limit_a,
        line_a=np.zeros((limit_a.size, n_step, 2)),
        power_w=np.zeros((n, n_step)),
        gained_wh=np.zeros(n),
    )


def _settable(most_w: Floats, there: Bools, low_w: Floats, step_w: Floats) -> Floats:
    """Return the greatest powers (n, T) that EVSEs can set, 0 below their floors."""
    most = np.where(there, most_w, 0.0)
    whole = step_w > 0
    if whole.any():
        unit = step_w[whole, None]
        most[whole] = np.floor(most[whole] / unit + 1e-9) * unit
    most[most < low_w[:, None]] = 0.0
    return most


def _bounds(problem: Problem, tree: GroupTree) -> tuple[Floats, Floats]:
    """Return the bounds of the tree's nodes, (1 + g, T) each [W]."""
    upper = np.empty((tree.parent.size, problem.n_step))
    lower = np.empty_like(upper)
    upper[0], lower[0] = problem.pre_upper_w, problem.pre_lower_w
    for node, group in zip(tree.node_of_group, problem.groups, strict=True):
        upper[node], lower[node] = group.upper_w, group.lower_w
    return upper, lower


def _lines(problem: Problem) -> tuple[Floats, Floats]:
    """Return currents of lines per watt (m, n, 2), their two parts, and limits (m,)."""
    phases = problem.phases
    if phases is None:
        return np.zeros((0, problem.n_evse, 2)), np.zeros(0)
    share = phases.matrix / phases.voltage_v
    angle = phases.phase_rad
    parts = np.stack([share * np.cos(angle), share * np.sin(angle)], axis=2)
    return parts, np.ascontiguousarray(phases.limit_a)
