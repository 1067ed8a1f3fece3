"""Allocation of energy transfer plans within the power range envelope."""

from optimizer.checks import ProblemError
from optimizer.limits import EnergyWindow, Group, PhaseNetwork
from optimizer.planner import Planner, plan
from optimizer.problem import Problem, Shortage
from optimizer.result import Certificate, PlannerError, Result, Status

__all__ = [
    "Certificate",
    "EnergyWindow",
    "Group",
    "PhaseNetwork",
    "Planner",
    "PlannerError",
    "Problem",
    "ProblemError",
    "Result",
    "Shortage",
    "Status",
    "plan",
]
