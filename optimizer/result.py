"""The result of planning."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from optimizer.checks import Floats
from optimizer.problem import Problem
from optimizer.tiers import measures_of, tier_values


class PlannerError(RuntimeError):
    """The planner found no plan where there always is one; the plan in force holds."""


class Status(enum.StrEnum):
    """What the planner reached."""

    OPTIMAL = "optimal"
    BEST_EFFORT = "best_effort"
    """Something had to give: the result's unmet energies and violations say what."""
    TIME_LIMIT = "time_limit"
    """Feasible; its certificate has the gap."""


@dataclass(frozen=True)
class Certificate:
    """What independent code found when it checked a plan: `optimizer.certificate`.

    Residuals are the worst violation of each rule, 0 when it holds: powers and floors
    [W], energies and batteries [Wh], lines [A], ``aetp_w`` the AETP and its sum [W].
    ``bounds`` has for a tier the value reached and the least value that any plan could
    reach; ``gap`` is the greatest difference of the two, relative to the value.
    """

    power_w: float = 0.0
    floor_w: float = 0.0
    energy_wh: float = 0.0
    battery_wh: float = 0.0
    pre_w: float = 0.0
    group_w: float = 0.0
    window_w: float = 0.0
    line_a: float = 0.0
    aetp_w: float = 0.0
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    accepted: bool = False

    @property
    def gap(self) -> float:
        """The greatest relative gap of a tier that has a bound."""
        gaps = (
            (value - bound) / max(1.0, abs(value))
            for value, bound in self.bounds.values()
        )
        return max(gaps, default=0.0)


@dataclass(frozen=True, eq=False)
class Result:
    """A plan, what it leaves out, what limits are worth, and its certificate.

    Parameters
    ----------
    power_w : (n, T)
        [W], 0 or at least the floor.
    unmet_min_wh, unmet_target_wh : (n,)
        Part of the promised and of the asked energy that is left out [Wh].
    pre_violation_w : (T,)
        How far the AETP leaves the PRE [W], + above it, - below it.
    group_violation_w : (g, T)
        The same for each group.
    pre_price_per_kwh : (T,)
        What one more kWh of the PRE's upper limit saves; below 0 what the lower one
        costs.
    group_price_per_kwh : (g, T)
        The same for each group.
    pre_service_price : (T,)
        Energy asked for that one more unit of the PRE's upper limit would serve, 0..1.
    timing : seconds by what took them; ``total`` has all of it.
    objective : value of each tier, in their order (`optimizer.tiers`).
    """

    power_w: Floats
    status: Status
    unmet_min_wh: Floats
    unmet_target_wh: Floats
    pre_violation_w: Floats
    group_violation_w: Floats
    pre_price_per_kwh: Floats
    group_price_per_kwh: Floats
    pre_service_price: Floats
    certificate: Certificate
    timing: Mapping[str, float] = field(default_factory=dict)
    objective: Mapping[str, float] = field(default_factory=dict)

    @property
    def aetp_w(self) -> Floats:
        """The aggregated energy transfer plan, (T,) [W]: exactly the sum."""
        aetp_w: Floats = self.power_w.sum(axis=0)
        return aetp_w

    @classmethod
    def of_power(cls, problem: Problem, power_w: Floats) -> "Result":
        """Return what a plan made without prices and certificate amounts to."""
        measures = measures_of(problem, power_w)
        gave = (
            measures.unmet_target_wh.any()
            or measures.pre_violation_w.any()
            or measures.group_violation_w.any()
        )
        n_step, n_group = problem.n_step, len(problem.groups)
        return cls(
            power_w=power_w,
            status=Status.BEST_EFFORT if gave else Status.OPTIMAL,
            unmet_min_wh=measures.unmet_min_wh,
            unmet_target_wh=measures.unmet_target_wh,
            pre_violation_w=measures.pre_violation_w,
            group_violation_w=measures.group_violation_w,
            pre_price_per_kwh=np.zeros(n_step),
            group_price_per_kwh=np.zeros((n_group, n_step)),
            pre_service_price=np.zeros(n_step),
            certificate=Certificate(),
            objective=tier_values(problem, measures),
        )
