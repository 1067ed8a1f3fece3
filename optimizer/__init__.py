"""Allocation of energy transfer plans within the power range envelope."""

from optimizer.problem import Problem, ProblemError
from optimizer.result import Result, Status

__all__ = ["Problem", "ProblemError", "Result", "Status"]
