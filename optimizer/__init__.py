"""Allocation of energy transfer plans within the power range envelope."""

from optimizer.lp import Planner, plan
from optimizer.problem import Problem, ProblemError
from optimizer.result import PlannerError, Result, Status

__all__ = [
    "Planner",
    "PlannerError",
    "Problem",
    "ProblemError",
    "Result",
    "Status",
    "plan",
]
