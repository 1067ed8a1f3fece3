"""The result of planning."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class PlannerError(RuntimeError):
    """The planner found no plan where there always is one; the plan in force holds."""


class Status(enum.StrEnum):
    """What the planner reached."""

    OPTIMAL = "optimal"
    BEST_EFFORT = "best_effort"


@dataclass(frozen=True, eq=False)
class Result:
    """A plan within the PRE.

    ``power_w`` (n, T) [W] is 0 or at least the floor; ``unmet_target_wh`` (n,) [Wh] is
    the part of the targets it leaves out; ``status`` is BEST_EFFORT when there is any.
    """

    power_w: Floats
    status: Status
    unmet_target_wh: Floats
    solve_s: float = 0.0

    @property
    def aetp_w(self) -> Floats:
        """The aggregated energy transfer plan, (T,) [W]: exactly the sum."""
        aetp_w: Floats = self.power_w.sum(axis=0)
        return aetp_w
