"""Checks a plan and bounds what any plan could reach, with code of its own.

Nothing here comes from a solver or from `optimizer.tiers`: rules, energies and tiers
are computed anew from the problem and the powers. Prices may come from anywhere: any
prices give a valid bound (`optimizer.bounds`), wrong ones a bound that is further away.

A tier has a bound where one is known to be attained: money, unless lines bind or the
peak's price is missing; asked-for energy where classes cannot trade energy at a loss
(equal efficiencies without V2G, or one class without promised energy); promised
energy and violations where they are 0, and violations of a PRE's lower bound without
groups, windows and V2G. The others are left out of `Certificate.bounds`.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from optimizer.bounds import meant_prices, money_bound, service_bound, zone_price
from optimizer.checks import Floats
from optimizer.kernels.certify import off_steps_w
from optimizer.problem import Problem
from optimizer.recount import (
    NO_ENERGY_WH,
    NO_POWER_W,
    group_violation_w,
    money_of,
    pre_violation_w,
    values_of,
    violation_wh_of,
)
from optimizer.result import Certificate, Result
from optimizer.site import Plan, Site, battery_bounds_wh, charging

# What a plan may leave its rules by: rounding of powers, of a sum of many, of a norm.
POWER_TOLERANCE_W = 1e-3
ENERGY_TOLERANCE_WH = 1e-2
LINE_TOLERANCE_A = 1e-6
# Reported values of tiers agree when they differ by less, relative to 1 or the value.
VALUE_TOLERANCE = 1e-6
# A line current of a smaller part of its limit does not bind; a polygon of 24 sides
# binds from 0.9914 on.
LINE_FREE = 0.99


def certify(
    problem: Problem,
    power_w: Floats,
    service_price: Floats | None = None,
    pre_price_per_kwh: Floats | None = None,
    group_price_per_kwh: Floats | None = None,
    stored_price_per_kwh: Floats | None = None,
    zone_price_per_kwh: Floats | None = None,
) -> Certificate:
    """Check a plan (n, T) [W] against its problem, and bound its tiers by prices.

    Parameters
    ----------
    problem : Problem
    power_w : (n, T)
        [W].
    service_price, pre_price_per_kwh, group_price_per_kwh, stored_price_per_kwh
        As in `optimizer.solution.Solution`; what is not given is 0. Prices of energy
        windows and of the peak may be within those of the zone (first row of service).
    zone_price_per_kwh : (T,), optional
        Price of energy in the zone: the grid's and all that limits the zone. Where not
        given it is the grid's and the PRE's.

    Returns
    -------
    Certificate
        ``accepted`` where no rule is left by more than rounding. A violation of PRE,
        groups or windows is no residual but the value of a tier. The value of
        ``unmet_target_wh/c`` counts the classes up to c together, and with them what
        later classes were promised and did not get.
    """
    pre = _given(pre_price_per_kwh, (problem.n_step,))
    groups = _given(group_price_per_kwh, (len(problem.groups), problem.n_step))
    groups = meant_prices(problem, groups)
    site = Site.of(problem)
    plan, zone = _measured(
        site, power_w, pre, groups, stored_price_per_kwh, zone_price_per_kwh
    )
    certificate = _residuals(site, power_w, plan)
    if not np.isfinite(plan.energy_wh.sum() + plan.wrong_w.sum() + plan.node_w.sum()):
        return replace(certificate, power_w=np.inf, accepted=False)
    line_a = _line_currents_a(problem, power_w)
    violation_wh = violation_wh_of(problem, plan)
    bounds = {}
    if violation_wh == 0.0 or not _binds(problem, line_a):
        bounds = dict(_violation_bound(site, power_w, plan, violation_wh))
    bounds |= dict(
        _service_bounds(site, power_w, plan, service_price, violation_wh, line_a)
    )
    if zone is not None and not _binds(problem, line_a):
        if zone_price_per_kwh is None:  # then windows and peak are within the PRE's
            pre = np.zeros(problem.n_step)
        least = money_bound(site, plan, zone, pre, groups)
        if least is not None:
            bounds["money"] = money_of(site, power_w, plan.node_w[0]), least
    return replace(certificate, bounds=bounds)


def check(problem: Problem, result: Result) -> Certificate:
    """Check a result: as `certify`, and that all it reports follows from its powers.

    Not accepted where AETP, unmet energies, violations or the value of a tier are
    reported wrong; of what was reported wrong, the residual is the difference.
    """
    service = None
    if not problem.groups:  # whose prices of service are not reported
        service = result.pre_service_price[None, None]
    certificate = certify(
        problem,
        result.power_w,
        service,
        result.pre_price_per_kwh,
        result.group_price_per_kwh,
    )
    if not np.isfinite(result.power_w).all():
        return certificate
    site = Site.of(problem)
    nothing = np.zeros(problem.n_step)
    groups = np.zeros((len(problem.groups), problem.n_step))
    plan, _ = _measured(site, result.power_w, nothing, groups, None, None)
    certificate = replace(
        certificate,
        aetp_w=_worst(result.aetp_w - plan.node_w[0]),
        energy_wh=max(certificate.energy_wh, _unmet_difference(problem, plan, result)),
        pre_w=_worst(result.pre_violation_w - pre_violation_w(problem, plan)),
        group_w=_worst(result.group_violation_w - group_violation_w(problem, plan)),
    )
    agrees = _values_agree(site, plan, result)
    return replace(certificate, accepted=agrees and _within(certificate))


def _given(prices: Floats | None, shape: tuple[int, ...]) -> Floats:
    return np.zeros(shape) if prices is None else np.asarray(prices, np.float64)


def _measured(
    site: Site,
    power_w: Floats,
    pre: Floats,
    groups: Floats,
    stored: Floats | None,
    zone: Floats | None,
) -> tuple[Plan, Floats | None]:
    """Return what a plan amounts to, and the price of energy in the zone."""
    problem = site.problem
    power_w = np.ascontiguousarray(power_w, np.float64)
    if not site.has_v2g:
        price = problem.price_per_kwh + pre if zone is None else zone
        return charging(site, power_w, site.node_prices(price, groups)), price
    there = problem.available()
    energy = _gains_wh(problem, power_w)[:, -1]
    node_w = np.zeros((1 + len(problem.groups), problem.n_step))
    for node in range(node_w.shape[0]):
        node_w[node] = power_w[site.node == node].sum(axis=0)
    node_w = site.summed(node_w)
    above = power_w - np.where(there, problem.power_max_w, 0.0)
    below = np.where(there, problem.power_min_w, 0.0) - power_w
    wrong_w = np.maximum(np.maximum(above, below), 0.0).max(axis=1, initial=0.0)
    if zone is None:
        zone = zone_price(site, node_w[0], pre, groups, stored)
    return Plan(energy, node_w, wrong_w, 0.0), zone


def _gains_wh(problem: Problem, power_w: Floats) -> Floats:
    """Return the energy gained by the end of each step, (n, T)."""
    into = np.maximum(power_w, 0.0) * problem.charge_efficiency[:, None]
    out = np.maximum(-power_w, 0.0) / problem.discharge_efficiency[:, None]
    gains: Floats = np.cumsum((into - out) * problem.hours, axis=1)
    return gains


def _residuals(site: Site, power_w: Floats, plan: Plan) -> Certificate:
    """Return how far the plan leaves the hard rules."""
    problem = site.problem
    battery_wh = 0.0
    if problem.stored_wh is not None:
        lowest, highest = battery_bounds_wh(problem)
        gains = plan.energy_wh[:, None]
        if site.has_v2g:
            gains = _gains_wh(problem, power_w)
        battery_wh = max(
            float((gains - highest[:, None]).max(initial=0.0)),
            float((lowest[:, None] - gains).max(initial=0.0)),
        )
    floor_w = 0.0
    if problem.power_floor_w.any() or problem.power_step_w.any():
        floor_w = off_steps_w(
            np.ascontiguousarray(power_w), problem.power_floor_w, problem.power_step_w
        )
    over_a = 0.0
    if problem.phases is not None:
        current_a = _line_currents_a(problem, power_w)
        over_a = (current_a - problem.phases.limit_a[:, None]).max(initial=0.0)
    certificate = Certificate(
        power_w=float(plan.wrong_w.max(initial=0.0)),
        floor_w=floor_w,
        energy_wh=float((plan.energy_wh - problem.energy_max_wh).max(initial=0.0)),
        battery_wh=battery_wh,
        line_a=float(over_a),
    )
    return replace(certificate, accepted=_within(certificate))


def _within(found: Certificate) -> bool:
    powers = (found.power_w, found.floor_w, found.aetp_w)
    limits = (found.pre_w, found.group_w, found.window_w)
    return (
        max(powers + limits) <= POWER_TOLERANCE_W
        and max(found.energy_wh, found.battery_wh) <= ENERGY_TOLERANCE_WH
        and found.line_a <= LINE_TOLERANCE_A
    )


def _line_currents_a(problem: Problem, power_w: Floats) -> Floats:
    """Return the currents (m, T): lengths of sums of phasors, by their two parts."""
    phases = problem.phases
    if phases is None:
        return np.zeros((0, problem.n_step))
    share = phases.matrix / phases.voltage_v
    real = (share * np.cos(phases.phase_rad)) @ power_w
    imaginary = (share * np.sin(phases.phase_rad)) @ power_w
    current: Floats = np.sqrt(real * real + imaginary * imaginary)
    return current


def _binds(problem: Problem, line_a: Floats) -> bool:
    """Whether a line current is at its limit: its price is in no bound."""
    if problem.phases is None:
        return False
    return bool((line_a >= problem.phases.limit_a[:, None] * LINE_FREE).any())


def _violation_bound(
    site: Site, power_w: Floats, plan: Plan, violation_wh: float
) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the bound of violations, where there is one.

    No violation, or one where no power at all violates nothing, needs no argument.
    Else: the steps that lack power, and those where EVs took energy that are full for
    it, cannot get more than what their EVs can take in them altogether.
    """
    if violation_wh == 0.0:
        yield "violation_wh", (0.0, 0.0)
        return
    problem, hours = site.problem, site.hours
    lower, upper = problem.pre_lower_w, problem.pre_upper_w
    others = [(g.lower_w, g.upper_w) for g in problem.groups]
    others += [
        (np.array([w.lower_w]), np.array([w.upper_w])) for w in problem.energy_windows
    ]
    rests = all((low <= 0).all() and (up >= 0).all() for low, up in others)
    least = float(np.maximum(-upper, 0.0) @ hours)
    if not site.has_v2g and (lower > 0).any() and violation_wh > least:
        least += _lacking_wh(site, power_w, plan)
    exact = not site.has_v2g and not others
    if exact or (rests and (lower <= 0).all() and (upper >= 0).all()):
        yield "violation_wh", (violation_wh, 0.0 if site.has_v2g else least)


def _lacking_wh(site: Site, power_w: Floats, plan: Plan) -> float:
    """Return the least energy by which the PRE's lower bounds are missed."""
    problem, hours = site.problem, site.hours
    lower, zone_w = problem.pre_lower_w, plan.node_w[0]
    there = problem.available()
    can_w = np.where(there, problem.power_max_w, 0.0)
    steps = zone_w < lower - NO_POWER_W
    for _ in range(problem.n_step):
        could = (can_w[:, steps] > power_w[:, steps] + NO_POWER_W).any(axis=1)
        more = steps | (power_w[could] > NO_POWER_W).any(axis=0)
        if (more == steps).all():
            break
        steps = more
    grid_wh = site.most_wh / problem.charge_efficiency
    taken = np.minimum(can_w[:, steps] @ hours[steps], grid_wh).sum()
    return max(float(lower[steps] @ hours[steps] - taken), 0.0)


def _service_bounds(
    site: Site,
    power_w: Floats,
    plan: Plan,
    prices: Floats | None,
    violation_wh: float,
    line_a: Floats,
) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the bounds of promised and asked-for energy, classes taken together."""
    problem = site.problem
    low, target = problem.energy_min_wh, problem.energy_target_wh
    last = problem.priority.max(initial=0)
    classes = np.unique(problem.priority) if last else problem.priority[:1]
    efficiency = problem.charge_efficiency
    trades = site.has_v2g or bool((efficiency != efficiency[:1]).any())
    one_tier = classes.size <= 1 and not (low > 0).any()
    has_bound = not _binds(problem, line_a) and (one_tier or not trades)
    # Which part of a price is a violated window's is not told.
    has_bound &= violation_wh == 0.0 or not problem.energy_windows
    none = np.zeros((1 + len(problem.groups), problem.n_step))

    def bound(wanted_wh: Floats, row: Floats) -> float:
        return service_bound(site, power_w, plan, wanted_wh, row)

    for name, wanted, later in (
        ("unmet_min_wh", low, np.full_like(low, -np.inf)),
        ("unmet_target_wh", target, low),
    ):
        for k, c in enumerate(classes):
            wants = np.where(problem.priority <= c, wanted, later)
            left_wh = float(np.maximum(wants - plan.energy_wh, 0.0).sum())
            if left_wh <= NO_ENERGY_WH:
                yield f"{name}/{c}", (0.0, 0.0)
            elif has_bound:
                row = _row(prices, k, classes.size) if wanted is target else None
                least = bound(wants, none if row is None else row)
                if row is not None or left_wh - least <= NO_ENERGY_WH:
                    yield f"{name}/{c}", (left_wh, least)


def _row(prices: Floats | None, k: int, n_class: int) -> Floats | None:
    """Return the prices of service up to class k; None where they are not given."""
    if prices is None:
        return None
    if prices.shape[0] == 0:  # every target is met
        return np.zeros(prices.shape[1:])
    first = n_class - prices.shape[0]
    return prices[k - first] if k >= first else None


def _unmet_difference(problem: Problem, plan: Plan, result: Result) -> float:
    """Return the greatest difference of reported and found unmet energies [Wh]."""
    return max(
        _worst(reported - np.maximum(asked - plan.energy_wh, 0.0))
        for reported, asked in (
            (result.unmet_min_wh, problem.energy_min_wh),
            (result.unmet_target_wh, problem.energy_target_wh),
        )
    )


def _values_agree(site: Site, plan: Plan, result: Result) -> bool:
    """Whether the reported values of tiers are those of the plan."""
    found = values_of(site, plan, result.power_w)
    return all(
        abs(reported - found.get(name, np.nan))
        <= VALUE_TOLERANCE * max(1.0, abs(reported))
        for name, reported in result.objective.items()
    )


def _worst(difference: Floats) -> float:
    return float(np.abs(difference).max(initial=0.0))
