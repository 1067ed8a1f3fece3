"""Our planner as strategies, one for each policy of a shortage."""

from dataclasses import replace

from optimizer import Planner, Problem, Result, Shortage


class _Planned:
    name = ""
    shortage = Shortage.FINISH_MOST

    def __init__(self) -> None:
        self._planner = Planner()

    def plan(self, problem: Problem) -> Result:
        """Return the planner's plan under this policy."""
        if problem.shortage is not self.shortage:
            problem = replace(problem, shortage=self.shortage)
        return self._planner.plan(problem)


class FinishMost(_Planned):
    """Ours; in a shortage the smallest needs first."""

    name = "finish-most"


class MaxMin(_Planned):
    """Ours; in a shortage the least served share as great as can be."""

    name = "max-min"
    shortage = Shortage.MAX_MIN
