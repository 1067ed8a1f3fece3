"""Least values that any plan could reach: dual bounds, for `optimizer.certificate`.

Every plan that leaves no limit further than the plan at hand costs, at any prices, at
least

    sum over EVs of the least cost of each on its own, energy at its node's price
    + least cost of the zone that sells it at the zone's price, within PRE and windows
    - sum of group price * group bound

where a limit that the plan at hand violates is as wide as the plan needs it.
An EV's node is its smallest group; the node's price is the zone's plus those of the
groups around. Shared by money (an EV takes at least what the plan gives it, up to its
target) and service (energy left out costs 1). `docs/planner.md` derives it.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.checks import Floats
from optimizer.kernels.certify import charging_service
from optimizer.kernels.certify_batteries import battery_costs
from optimizer.problem import Problem
from optimizer.site import Plan, Site, battery_bounds_wh

# A power this near to a bound is at it [W].
AT_BOUND_W = 1e-2
# Part of the peak's price that may be missing in the prices of its steps.
PEAK_MISSING = 1e-6


@dataclass(frozen=True, eq=False)
class Zone:
    """The zone's part of a bound: its least cost; whether prices explain the peak."""

    least: float
    is_known: bool


def with_batteries(
    site: Site, due_wh: Floats, worth: float, price: Floats, wear: float
) -> float:
    """Return the least cost of EVs that may discharge, prices per Wh."""
    problem = site.problem
    lowest, highest = battery_bounds_wh(problem)
    least: float = battery_costs(
        site.least_w,
        site.most_w,
        site.start,
        site.stop,
        site.hours,
        problem.charge_efficiency,
        problem.discharge_efficiency,
        lowest,
        highest,
        due_wh,
        site.most_wh,
        worth,
        site.node,
        price,
        wear,
    )
    return least


def service_bound(
    site: Site,
    power_w: Floats,
    plan: Plan,
    wanted_wh: Floats,
    prices: Floats,
) -> float:
    """Return the least energy that could be left out of what is wanted, (n,) [Wh].

    ``prices`` (1 + g, T) are those of the zone and of the groups.
    """
    problem = site.problem
    free = np.zeros(problem.n_step)
    groups = meant_prices(problem, prices[1:])
    zone_w, grid = plan.node_w[0], (free, free)
    zone = zone_side(site, zone_w, prices[0], free, grid, 0.0)
    nodes = site.node_prices(prices[0], groups)
    if site.has_v2g:
        evs = with_batteries(site, wanted_wh, 1.0, nodes, 0.0)
    else:
        evs = charging_service(
            power_w,
            site.most_w,
            site.start,
            site.stop,
            site.hours,
            problem.charge_efficiency,
            wanted_wh,
            site.most_wh,
            site.node,
            nodes,
            np.argsort(nodes, axis=1, kind="stable"),
            plan.energy_wh,
        )
    shared = zone.least - group_worth(site, plan, groups)
    return max(evs + shared * 1000.0, 0.0)


def money_bound(
    site: Site,
    plan: Plan,
    zone_price: Floats,
    pre_price: Floats,
    group_price: Floats,
) -> float | None:
    """Return the least that plans cost which give each EV as much, up to its target.

    ``zone_price`` (T,) is that of energy in the zone, ``pre_price`` the PRE's part of
    it where windows or the peak have one too, else 0. None where no price explains the
    peak.
    """
    problem = site.problem
    buy = problem.price_per_kwh
    grid = (problem.worth_per_kwh if site.has_v2g else buy, buy)
    zone_w, peak = plan.node_w[0], problem.peak_per_kw
    zone = zone_side(site, zone_w, zone_price, pre_price, grid, peak)
    if not zone.is_known:
        return None
    evs = plan.cost
    if site.has_v2g:
        due = np.minimum(plan.energy_wh, problem.energy_target_wh)
        nodes = site.node_prices(zone_price, group_price) / 1000.0
        evs = with_batteries(site, due, np.inf, nodes, problem.wear_per_kwh / 1000.0)
    shared = zone.least - group_worth(site, plan, group_price)
    return evs + shared


def zone_price(
    site: Site,
    zone_w: Floats,
    pre_price: Floats,
    group_price: Floats,
    stored_price: Floats | None,
) -> Floats | None:
    """Return the price of energy in the zone (T,), where it follows from the others.

    It is the grid's and the PRE's. Where import costs more than export earns and the
    zone does neither, it is in between: what EVs would pay for a little more balances
    what they would take for a little less, energy in them at its worth (n, T). None
    where that is not given.
    """
    problem = site.problem
    buy, worth = problem.price_per_kwh, problem.worth_per_kwh
    if not site.has_v2g:
        price: Floats = buy + pre_price
        return price
    price = np.where(zone_w < 0, worth, buy) + pre_price
    idle = (np.abs(zone_w) <= AT_BOUND_W) & (worth < buy)
    if not idle.any():
        return price
    if stored_price is None:
        return None
    groups = site.node_prices(np.zeros_like(zone_w), group_price)[site.node]
    there = problem.available()
    for t in np.flatnonzero(idle):
        charge_up_to = stored_price[:, t] * problem.charge_efficiency
        discharge_from = stored_price[:, t] / problem.discharge_efficiency
        at = np.concatenate(
            [charge_up_to, discharge_from + problem.wear_per_kwh]
        ) - np.tile(groups[:, t], 2)
        power = np.concatenate([problem.power_max_w[:, t], -problem.power_min_w[:, t]])
        power = np.where(np.tile(there[:, t], 2), power, 0.0)
        order = np.argsort(at, kind="stable")
        # Import falls with the price: from all that charges to all that discharges.
        charging = power[: problem.n_evse].sum()
        falls = charging - np.cumsum(power[order]) <= 0
        balance = at[order[int(falls.argmax())]] if falls.any() else buy[t]
        price[t] = np.clip(balance, worth[t] + pre_price[t], buy[t] + pre_price[t])
    return price


def zone_side(
    site: Site,
    zone_w: Floats,
    price: Floats,
    pre_price: Floats,
    grid: tuple[Floats, Floats],
    peak_per_kw: float,
) -> Zone:
    """Return the least cost of a zone that buys energy and sells it to its EVs.

    ``grid`` is what export earns and import costs. What the zone's price has beyond it
    and the PRE's goes to energy windows that bind, outer ones first, then to the peak;
    what is left is the PRE's too.
    """
    low, high = np.minimum(*grid), grid[1]
    slope_low = np.where(zone_w > AT_BOUND_W, high, low)
    slope_high = np.where(zone_w < -AT_BOUND_W, low, high)
    rest = price - pre_price
    left = np.maximum(rest - slope_high, 0.0) - np.maximum(slope_low - rest, 0.0)
    windows, window_worth = _window_prices(site, zone_w, left)
    peak, base, known = _peak_prices(site, zone_w, left - windows, peak_per_kw)
    price = price - windows - peak
    lower = np.minimum(site.problem.pre_lower_w, zone_w)
    upper = np.maximum(site.problem.pre_upper_w, zone_w)
    # The cost is convex and bends at 0 only.
    ends = [_cost(y, price, low, high) for y in (lower, upper)]
    ends.append(_cost(np.clip(0.0, lower, upper), price, low, high))
    least = float(site.hours @ np.minimum.reduce(ends)) / 1000.0
    return Zone(least - window_worth + base, known)


def meant_prices(problem: Problem, prices: Floats) -> Floats:
    """Return the groups' prices (g, T), where they have the bound that it is for."""
    meant: Floats = np.array(prices, np.float64)
    for g, group in enumerate(problem.groups):
        bound = np.where(meant[g] > 0, group.upper_w, group.lower_w)
        meant[g] = np.where(np.isfinite(bound), meant[g], 0.0)
    return meant


def group_worth(site: Site, plan: Plan, prices: Floats) -> float:
    """Return sum of price * bound over groups and steps [price * kWh]."""
    total = 0.0
    for g, group in enumerate(site.problem.groups):
        upper = np.maximum(group.upper_w, plan.node_w[1 + g])
        lower = np.minimum(group.lower_w, plan.node_w[1 + g])
        bound = np.where(prices[g] > 0, upper, np.where(prices[g] < 0, lower, 0.0))
        total += float(site.hours @ (prices[g] * bound)) / 1000.0
    return total


def _cost(power_w: Floats, price: Floats, worth: Floats, buy: Floats) -> Floats:
    grid: Floats = np.where(power_w > 0, buy, worth)
    cost: Floats = (grid - price) * power_w
    return cost


def _window_prices(site: Site, zone_w: Floats, left: Floats) -> tuple[Floats, float]:
    """Return the prices of windows by step, and what their bounds are worth."""
    prices, total = np.zeros(zone_w.size), 0.0
    windows = sorted(
        site.problem.energy_windows, key=lambda w: w.start_step - w.stop_step
    )
    within = np.zeros(zone_w.size, np.int64)
    for window in windows:
        within[window.start_step : window.stop_step] += 1
    for window in windows:
        steps = slice(window.start_step, window.stop_step)
        length = float(site.hours[steps].sum())
        mean = float(zone_w[steps] @ site.hours[steps]) / length
        rest = left[steps] - prices[steps]
        alone = within[steps] == within[steps].min()  # of other windows
        price, bound = 0.0, 0.0
        if mean >= window.upper_w - AT_BOUND_W:
            price, bound = max(float(rest[alone].min()), 0.0), max(mean, window.upper_w)
        elif mean <= window.lower_w + AT_BOUND_W:
            price, bound = min(float(rest[alone].max()), 0.0), min(mean, window.lower_w)
        within[steps] -= 1
        prices[steps] += price
        total += price * bound * length / 1000.0
    return prices, total


def _peak_prices(
    site: Site, zone_w: Floats, left: Floats, peak_per_kw: float
) -> tuple[Floats, float, bool]:
    """Return the peak's price by step, what the peak so far costs, if it is known."""
    so_far_w = site.problem.peak_so_far_w
    peak_w = float(zone_w.max())
    prices = np.zeros(zone_w.size)
    if peak_per_kw == 0.0 or peak_w < so_far_w - AT_BOUND_W:
        return prices, peak_per_kw * so_far_w / 1000.0, True
    at_peak = zone_w >= peak_w - AT_BOUND_W
    at_pre = zone_w >= site.problem.pre_upper_w - AT_BOUND_W
    room = peak_per_kw
    for steps in (at_peak & ~at_pre, at_peak & at_pre):
        # A price per kW for a step: its price per kWh times its hours.
        wanted = np.where(steps, np.maximum(left, 0.0) * site.hours, 0.0)
        total = float(wanted.sum())
        share = min(1.0, room / total) if total > 0 else 0.0
        prices += share * wanted / site.hours
        room -= share * total
    known = peak_w <= so_far_w + AT_BOUND_W or room <= PEAK_MISSING * peak_per_kw
    return prices, room * so_far_w / 1000.0, known
