"""The tiers of the allocation problem: what a plan is worth, in strict order.

Names of the tiers, least value best, an earlier one before all later ones:

=====================  ==============================================================
``violation_wh``       energy outside the PRE, the groups and the energy windows
``unmet_min_wh/c``     promised energy left out, classes c in order
``unmet_target_wh/c``  energy asked for left out, classes c in order
``short_min/c``        what the shortage's policy minimises (below), promised part
``short_target/c``     the same for the part between promised and asked
``money``              import and export, peak, wear
``early``              sum over steps t of t * energy of the step [step · Wh]
``moved_wh``           distance from the plan in force
=====================  ==============================================================

With unmet promised energy ``u`` of promised ``m``, unmet asked-for energy ``v`` of
``a - m`` beyond it, FINISH_MOST minimises ``sum u / m``, ``sum v / (a - m)``; MAX_MIN
makes the greatest share ``u / m`` least, then the next one, and so on, and so for v.
A denominator counts as at least 1 Wh.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.checks import Floats, Ints
from optimizer.kernels.measure import moved_wh, sums
from optimizer.problem import Problem, Shortage

# Less than this is nothing: a plan is made of whole units of 1 µWh.
NOTHING_WH = 1e-3
NOTHING_W = 1e-3


@dataclass(frozen=True, eq=False)
class Measures:
    """What a plan amounts to, in the units of `optimizer.result.Result`.

    ``energy_wh`` (n,) gets into the batteries; ``window_violation_w`` (w,) is signed as
    the others are.
    """

    energy_wh: Floats
    aetp_w: Floats
    unmet_min_wh: Floats
    unmet_target_wh: Floats
    pre_violation_w: Floats
    group_violation_w: Floats
    window_violation_w: Floats
    discharged_wh: float
    moved_wh: float


def measures_of(
    problem: Problem,
    power_w: Floats,
    charge_w: Floats | None = None,
    discharge_w: Floats | None = None,
) -> Measures:
    """Measure a plan.

    ``charge_w`` and ``discharge_w`` (n, T) are given by who lets an EV do both in one
    step; else they are the parts of ``power_w`` above and below 0.
    """
    hours, power_w = problem.hours, np.ascontiguousarray(power_w)
    row_wh, aetp = np.empty(power_w.shape[0]), np.empty(power_w.shape[1])
    sums(power_w, hours, row_wh, aetp)
    energy, discharged_wh = problem.charge_efficiency * row_wh, 0.0
    if charge_w is not None and discharge_w is not None:
        energy, discharged_wh = _both_ways_wh(problem, charge_w, discharge_w)
    elif problem.has_v2g:
        energy, discharged_wh = _both_ways_wh(
            problem, np.maximum(power_w, 0.0), np.maximum(-power_w, 0.0)
        )
    groups = [
        group_violation(power_w, g.members, g.lower_w, g.upper_w)
        for g in problem.groups
    ]
    moved = 0.0
    if problem.previous_power_w is not None:
        moved = moved_wh(
            power_w,
            np.ascontiguousarray(problem.previous_power_w),
            hours,
        )
    return Measures(
        energy_wh=energy,
        aetp_w=aetp,
        unmet_min_wh=_some(problem.energy_min_wh - energy, NOTHING_WH),
        unmet_target_wh=_some(problem.energy_target_wh - energy, NOTHING_WH),
        pre_violation_w=outside(aetp, problem.pre_lower_w, problem.pre_upper_w),
        group_violation_w=np.array(groups).reshape(len(groups), problem.n_step),
        window_violation_w=np.array(
            [
                float(outside(mean_w, np.asarray(w.lower_w), np.asarray(w.upper_w)))
                for w, mean_w in zip(
                    problem.energy_windows, _means_w(problem, aetp), strict=True
                )
            ]
        ),
        discharged_wh=discharged_wh,
        moved_wh=moved,
    )


def _both_ways_wh(
    problem: Problem, charge_w: Floats, discharge_w: Floats
) -> tuple[Floats, float]:
    """Return what each EV gains (n,), and what all give back before losses [Wh]."""
    out_wh = discharge_w @ problem.hours
    energy = problem.charge_efficiency * (charge_w @ problem.hours)
    return energy - out_wh / problem.discharge_efficiency, float(out_wh.sum())


def tier_values(problem: Problem, measures: Measures) -> dict[str, float]:
    """Return the value of each tier, by name, in their order."""
    hours = problem.hours
    violation = float((np.abs(measures.pre_violation_w) * hours).sum())
    violation += float((np.abs(measures.group_violation_w) @ hours).sum())
    for window, outside_w in zip(
        problem.energy_windows, measures.window_violation_w, strict=True
    ):
        violation += abs(float(outside_w)) * float(
            hours[window.start_step : window.stop_step].sum()
        )
    values = {"violation_wh": violation}
    min_gap, target_gap = gaps_wh(problem)
    unmet_min = measures.unmet_min_wh
    unmet_beyond = np.minimum(measures.unmet_target_wh - unmet_min, target_gap).clip(
        0.0
    )
    members = _classes(problem.priority)
    for name, unmet in (
        ("unmet_min_wh", unmet_min),
        ("unmet_target_wh", measures.unmet_target_wh),
    ):
        for c, rows in members.items():
            values[f"{name}/{c}"] = float(unmet[rows].sum())
    for name, unmet, gap in (
        ("short_min", unmet_min, min_gap),
        ("short_target", unmet_beyond, target_gap),
    ):
        shares = unmet / np.maximum(gap, 1.0)
        for c, rows in members.items():
            values[f"{name}/{c}"] = policy_value(problem.shortage, shares[rows])
    values["money"] = money(problem, measures)
    values["early"] = float(np.arange(problem.n_step) @ (measures.aetp_w * hours))
    values["moved_wh"] = measures.moved_wh
    return values


def _classes(priority: Ints) -> dict[int, slice | Ints]:
    """Return the rows of each class, in the order of their numbers."""
    if priority.size and (priority == priority[0]).all():
        return {int(priority[0]): slice(None)}
    return {c: np.flatnonzero(priority == c) for c in np.unique(priority).tolist()}


def gaps_wh(problem: Problem) -> tuple[Floats, Floats]:
    """Return the promised energy and the one asked for beyond it, (n,) each [Wh]."""
    low: Floats = np.abs(problem.energy_min_wh)
    return low, problem.energy_target_wh - problem.energy_min_wh


def policy_value(shortage: Shortage, unserved_share: Floats) -> float:
    """Return what the policy minimises: the sum of the shares, or the greatest one."""
    if unserved_share.size == 0:
        return 0.0
    if shortage is Shortage.FINISH_MOST:
        return float(unserved_share.sum())
    return float(unserved_share.max())


def money(problem: Problem, measures: Measures) -> float:
    """Return what the plan costs."""
    kwh = measures.aetp_w * problem.hours / 1000.0
    cost = problem.price_per_kwh @ np.maximum(kwh, 0.0)
    if problem.has_v2g:
        cost = cost - problem.worth_per_kwh @ np.maximum(-kwh, 0.0)
    peak_w = max(float(measures.aetp_w.max()), problem.peak_so_far_w)
    cost = cost + problem.peak_per_kw * peak_w / 1000.0
    return float(cost) + problem.wear_per_kwh * measures.discharged_wh / 1000.0


def outside(power_w: Floats, lower_w: Floats, upper_w: Floats) -> Floats:
    """Return how far powers leave their bounds [W], + above, - below."""
    above = _some(power_w - upper_w, NOTHING_W)
    return above - _some(lower_w - power_w, NOTHING_W)


def group_violation(
    power_w: Floats,
    members: np.ndarray[tuple[int], np.dtype[np.int64]],
    lower_w: Floats,
    upper_w: Floats,
) -> Floats:
    """Return how far a group's power leaves its bounds (T,) [W]."""
    return outside(power_w[members].sum(axis=0), lower_w, upper_w)


def _means_w(problem: Problem, aetp_w: Floats) -> list[Floats]:
    hours, out = problem.hours, []
    for window in problem.energy_windows:
        steps = slice(window.start_step, window.stop_step)
        out.append(np.asarray(aetp_w[steps] @ hours[steps] / hours[steps].sum()))
    return out


def _some(values: Floats, nothing: float) -> Floats:
    """Return the positive part, where it is more than rounding."""
    return np.where(values > nothing, values, 0.0)
