"""Strategies that serve one EV after the other: by arrival, deadline or laxity.

Each EV in turn gets the most that PRE, groups and lines leave it. Orders have ties by
arrival.
"""

from abc import ABC, abstractmethod

import numpy as np

from benchmarks.strategies.columns import COLUMNS, Columns, plain
from benchmarks.strategies.kernels.heuristics import serve_in_order
from optimizer import Problem
from optimizer.checks import Floats


class InOrder(ABC):
    """Serves in an order; the subclasses say in which."""

    name = ""
    by_laxity = False

    def __init__(self) -> None:
        """Plan as many columns as the laboratory uses."""
        self.columns = COLUMNS

    @abstractmethod
    def key(self, problem: Problem, columns: Columns) -> Floats:
        """Return by what EVs are ordered (n,), least first."""

    def plan(self, problem: Problem) -> Floats:
        """Return powers (n, T) [W]; 0 after the columns in use."""
        power = np.zeros((problem.n_evse, problem.n_step))
        c = Columns.of(problem, self.columns)
        first = np.zeros_like(c.can_w)
        # Rows in order of arrival, so that a stable sort breaks ties by it.
        by_arrival = np.argsort(problem.arrival_rank, kind="stable")
        serve_in_order(
            self.key(problem, c)[by_arrival], self.by_laxity, c.begin_h, c.hours,
            c.departure_h[by_arrival], c.can_w[by_arrival], c.floor_w[by_arrival],
            c.target_wh[by_arrival], c.most_wh[by_arrival], c.upper_w,
            plain(c.member[:, by_arrival]), plain(c.re[:, by_arrival]),
            plain(c.im[:, by_arrival]),
            c.limit_a, first,
        )  # fmt: skip
        power[by_arrival, : first.shape[1]] = first
        return power


class FirstComeFirstServed(InOrder):
    """Who came first is served first."""

    name = "first-come-first-served"

    def key(self, problem: Problem, columns: Columns) -> Floats:
        """Return the rank of arrival."""
        return problem.arrival_rank.astype(np.float64)


class EarliestDeadline(InOrder):
    """Who leaves first is served first."""

    name = "earliest-deadline-first"

    def key(self, problem: Problem, columns: Columns) -> Floats:
        """Return the step of departure."""
        return problem.departure_step.astype(np.float64)


class LeastLaxity(InOrder):
    """Who could wait least is served first: the stay's rest less the time needed."""

    name = "least-laxity-first"
    by_laxity = True

    def key(self, problem: Problem, columns: Columns) -> Floats:
        """Return nothing: the kernel finds laxities anew in each step."""
        return np.zeros(problem.n_evse)
