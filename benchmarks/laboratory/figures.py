"""The figures of a run: what a strategy delivered, to whom, and what it broke."""

from collections.abc import Sequence

import msgspec
import numpy as np

from benchmarks.laboratory.kernels.drive import (
    ALLOTTED_LINE_A,
    ALLOTTED_W,
    BEYOND_EVSE_W,
    DRAWN_LINE_A,
    DRAWN_W,
)
from benchmarks.laboratory.loop import Outcome
from optimizer.checks import Floats

SERVED_SHARE = 0.99
# More than this above a limit is a violation: rounding stays far below.
NOTHING_W, NOTHING_A = 1e-3, 1e-4


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy at one capacity.

    ``unfairness`` is 1 minus Jain's index of the served shares: 0 when all are alike, 1
    - 1/n when one driver gets all. Violations count steps: ``pre_`` and ``phase_`` of
    what the cars drew, ``plan_`` of what they were allotted, ``plan_beyond_evse_steps``
    those in which an EVSE was allotted a power it has not.
    """

    strategy: str
    site: str
    capacity_kw: float
    setting: str
    sessions: int
    energy_needed_kwh: float
    energy_delivered_kwh: float
    energy_percent: float
    drivers_served: int
    drivers_percent: float
    worst_driver_percent: float
    unfairness: float
    cost: float
    peak_kw: float
    pre_violation_steps: int
    phase_violation_steps: int
    plan_pre_violation_steps: int
    plan_phase_violation_steps: int
    plan_beyond_evse_steps: int
    worst_pre_excess_kw: float
    worst_line_excess_a: float
    plans: int


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took: of all, only these differ when a command is repeated."""

    plan_ms_mean: float = 0.0
    plan_ms_p99: float = 0.0
    plan_ms_max: float = 0.0
    run_s: float = 0.0
    warm_up_s: float = 0.0


def figures_of(strategy: str, outcomes: Sequence[Outcome]) -> Figures:
    """Return the figures of a strategy over one or several spans of days."""
    first = outcomes[0]
    capacity_w = first.site.capacity_w
    measured = np.concatenate([o.measured for o in outcomes], axis=1)
    shares = np.concatenate(
        [served_shares(o.energy_wh, o.fleet.due_wh) for o in outcomes]
    )
    needed = sum(float(o.fleet.need_wh.sum()) for o in outcomes)
    delivered = sum(float(o.energy_wh.sum()) for o in outcomes)
    served = int((shares >= SERVED_SHARE).sum())
    over_w = measured[[DRAWN_W, ALLOTTED_W]] - capacity_w
    over_a = measured[[DRAWN_LINE_A, ALLOTTED_LINE_A]]
    return Figures(
        strategy=strategy,
        site=first.site.name,
        capacity_kw=capacity_w / 1000,
        setting=first.setting.name,
        sessions=shares.size,
        energy_needed_kwh=needed / 1000,
        energy_delivered_kwh=delivered / 1000,
        energy_percent=100 * delivered / needed,
        drivers_served=served,
        drivers_percent=100 * served / shares.size,
        worst_driver_percent=100 * float(shares.min()),
        unfairness=unfairness(shares),
        cost=sum(cost_of(o) for o in outcomes),
        peak_kw=float(measured[DRAWN_W].max()) / 1000,
        pre_violation_steps=int((over_w[0] > NOTHING_W).sum()),
        phase_violation_steps=int((over_a[0] > NOTHING_A).sum()),
        plan_pre_violation_steps=int((over_w[1] > NOTHING_W).sum()),
        plan_phase_violation_steps=int((over_a[1] > NOTHING_A).sum()),
        plan_beyond_evse_steps=int((measured[BEYOND_EVSE_W] > NOTHING_W).sum()),
        worst_pre_excess_kw=max(float(over_w.max()), 0.0) / 1000,
        worst_line_excess_a=float(over_a.max()),
        plans=sum(o.plan_s.size for o in outcomes),
    )


def served_shares(energy_wh: Floats, due_wh: Floats) -> Floats:
    """Return what each driver got of what was due, 1 where nothing was, (n,)."""
    share = np.divide(energy_wh, due_wh, out=np.ones_like(due_wh), where=due_wh > 0)
    most: Floats = np.minimum(share, 1.0)
    return most


def unfairness(shares: Floats) -> float:
    """Return 1 minus Jain's index of shares; 0 where nobody got anything.

    R. Jain, D. Chiu, W. Hawe: *A Quantitative Measure of Fairness and Discrimination
    for Resource Allocation in Shared Computer Systems*, DEC-TR-301, 1984.
    """
    squares = float((shares**2).sum())
    if squares == 0.0:
        return 0.0
    return max(1.0 - float(shares.sum()) ** 2 / (shares.size * squares), 0.0)


def cost_of(outcome: Outcome) -> float:
    """Return what the energy drawn costs."""
    drawn_kwh = outcome.measured[DRAWN_W] * outcome.setting.step_h / 1000
    return float(drawn_kwh @ outcome.price_per_kwh)


def day_profile_kw(outcomes: Sequence[Outcome]) -> Floats:
    """Return the mean power drawn by step of the day (steps a day,) [kW]."""
    steps = round(24 / outcomes[0].setting.step_h)
    total, count = np.zeros(steps), np.zeros(steps)
    for outcome in outcomes:
        at = np.arange(outcome.fleet.n_step) % steps
        total += np.bincount(at, outcome.measured[DRAWN_W], steps)
        count += np.bincount(at, minlength=steps)
    mean: Floats = total / np.maximum(count, 1) / 1000
    return mean
