"""What a plan is worth in every tier, counted again: not by `optimizer.tiers`."""

from collections.abc import Callable

import numpy as np

from optimizer.checks import Floats
from optimizer.problem import Problem, Shortage
from optimizer.site import Plan, Site

# Violations and unmet energies below these are none.
NO_POWER_W = 1e-3
NO_ENERGY_WH = 1e-3


def outside_w(power_w: Floats, lower_w: Floats, upper_w: Floats) -> Floats:
    """Return how far powers leave their bounds [W], + above, - below."""
    above, below = power_w - upper_w, lower_w - power_w
    outside: Floats = np.where(above > NO_POWER_W, above, 0.0)
    outside[below > NO_POWER_W] -= below[below > NO_POWER_W]
    return outside


def pre_violation_w(problem: Problem, plan: Plan) -> Floats:
    """Return how far the zone's power leaves the PRE (T,) [W]."""
    return outside_w(plan.node_w[0], problem.pre_lower_w, problem.pre_upper_w)


def group_violation_w(problem: Problem, plan: Plan) -> Floats:
    """Return how far the groups' powers leave their bounds (g, T) [W]."""
    violation = np.zeros((len(problem.groups), problem.n_step))
    for g, group in enumerate(problem.groups):
        violation[g] = outside_w(plan.node_w[1 + g], group.lower_w, group.upper_w)
    return violation


def violation_wh_of(problem: Problem, plan: Plan) -> float:
    """Return the energy outside PRE, groups and energy windows [Wh]."""
    hours = problem.hours
    total = float(np.abs(pre_violation_w(problem, plan)) @ hours)
    total += float((np.abs(group_violation_w(problem, plan)) @ hours).sum())
    for window in problem.energy_windows:
        steps = slice(window.start_step, window.stop_step)
        length = float(hours[steps].sum())
        mean = np.array([plan.node_w[0][steps] @ hours[steps] / length])
        bounds = np.array([window.lower_w]), np.array([window.upper_w])
        total += abs(float(outside_w(mean, *bounds)[0])) * length
    return total


def money_of(site: Site, power_w: Floats, zone_w: Floats) -> float:
    """Return what a plan costs."""
    problem = site.problem
    kwh = zone_w * site.hours / 1000.0
    bill = float(problem.price_per_kwh @ np.where(kwh > 0, kwh, 0.0))
    if site.has_v2g:
        bill += float(problem.worth_per_kwh @ np.where(kwh < 0, kwh, 0.0))
        discharged = np.where(power_w < 0, -power_w, 0.0) @ problem.hours
        bill += problem.wear_per_kwh * float(discharged.sum()) / 1000.0
    peak_kw = max(float(zone_w.max()), problem.peak_so_far_w) / 1000.0
    return bill + problem.peak_per_kw * peak_kw


def values_of(site: Site, plan: Plan, power_w: Floats) -> dict[str, float]:
    """Return the value of each tier."""
    problem = site.problem
    low, target, energy = (
        problem.energy_min_wh,
        problem.energy_target_wh,
        plan.energy_wh,
    )
    unmet_min, unmet = (_left(asked - energy) for asked in (low, target))
    beyond = np.clip(unmet - unmet_min, 0.0, target - low)
    mean_or_worst: Callable[[Floats], np.floating] = (
        np.sum if problem.shortage is Shortage.FINISH_MOST else np.max
    )
    values = {"violation_wh": violation_wh_of(problem, plan)}
    for c in np.unique(problem.priority):
        own = problem.priority == c
        values[f"unmet_min_wh/{c}"] = float(unmet_min[own].sum())
        values[f"unmet_target_wh/{c}"] = float(unmet[own].sum())
        for name, left, part in (
            ("short_min", unmet_min, np.abs(low)),
            ("short_target", beyond, target - low),
        ):
            shares = left[own] / np.maximum(part[own], 1.0)
            values[f"{name}/{c}"] = float(mean_or_worst(shares))
    zone_wh = plan.node_w[0] * problem.hours
    values["money"] = money_of(site, power_w, plan.node_w[0])
    values["early"] = float(np.arange(problem.n_step) @ zone_wh)
    values["moved_wh"] = 0.0
    if problem.previous_power_w is not None:
        moved = np.abs(power_w - problem.previous_power_w)
        values["moved_wh"] = float((moved @ problem.hours).sum())
    return values


def _left(energy_wh: Floats) -> Floats:
    left: Floats = np.where(energy_wh > NO_ENERGY_WH, energy_wh, 0.0)
    return left
