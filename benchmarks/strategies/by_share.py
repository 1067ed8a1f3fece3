"""Strategies that give everybody a share: equal, proportional, in turns."""

import numpy as np

from benchmarks.strategies.columns import COLUMNS, Columns
from benchmarks.strategies.kernels.heuristics import serve_in_turns, share_by_level
from optimizer import Problem
from optimizer.checks import Floats

# A turn of round robin, where the EVSE has no pilot steps: 1 A at 208 V [W].
TURN_W = 208.0


class _ByLevel:
    name = ""
    proportional = False
    redistributes = True

    def __init__(self) -> None:
        self.columns = COLUMNS

    def plan(self, problem: Problem) -> Floats:
        """Return powers (n, T) [W]; 0 after the columns in use."""
        power = np.zeros((problem.n_evse, problem.n_step))
        c = Columns.of(problem, self.columns)
        first = np.zeros_like(c.can_w)
        # Who does not look at what EVs take gives an EV up to its EVSE's limit.
        can_w = c.can_w if self.redistributes else c.evse_can_w
        share_by_level(
            self.proportional, self.redistributes,
            problem.arrival_rank.astype(np.float64), c.hours, can_w, c.floor_w,
            c.target_wh, c.most_wh, c.upper_w, c.member, c.re, c.im, c.limit_a, first,
        )  # fmt: skip
        power[:, : first.shape[1]] = first
        return power


class EqualShare(_ByLevel):
    """The same share for all who ask; what an EV does not take goes to nobody."""

    name = "equal-share"
    redistributes = False


class EqualShareRedistributing(_ByLevel):
    """The same share for all who ask; what an EV cannot use goes to the others."""

    name = "equal-share-redistributing"


class Proportional(_ByLevel):
    """Shares in proportion to the energy that is still missing."""

    name = "proportional"
    proportional = True


class RoundRobin:
    """One pilot step more for each EV in turn, until nobody can take another."""

    name = "round-robin"

    def __init__(self) -> None:
        """Plan as many columns as the laboratory uses."""
        self.columns = COLUMNS

    def plan(self, problem: Problem) -> Floats:
        """Return powers (n, T) [W]; 0 after the columns in use."""
        power = np.zeros((problem.n_evse, problem.n_step))
        c = Columns.of(problem, self.columns)
        first = np.zeros_like(c.can_w)
        turn_w = np.where(problem.power_step_w > 0, problem.power_step_w, TURN_W)
        serve_in_turns(
            problem.arrival_rank.astype(np.float64), turn_w, c.hours, c.can_w,
            c.floor_w, c.most_wh, c.upper_w, c.member, c.re, c.im, c.limit_a, first,
        )  # fmt: skip
        power[:, : first.shape[1]] = first
        return power
