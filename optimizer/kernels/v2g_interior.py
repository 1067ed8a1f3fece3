"""The interior point method over the passes of `v2g_newton`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import NamedTuple

import numpy as np

from optimizer.kernels.v2g_blocks import Chains, Floats, Ints, Point, Step
from optimizer.kernels.v2g_newton import (
    SIGNS,
    aim_pass,
    factor_pass,
    gradients,
    row_factor_pass,
    row_rhs,
    row_step_pass,
    step_pass,
)
from optimizer.kernels.v2g_tree import (
    factor_dense,
    factor_tree,
    solve_dense,
    solve_tree,
)
from optimizer.kernels.v2g_vertex import restore, snap

MOST_STEPS = 200
# What stands for no upper bound.
BOUNDLESS = 1e200
# Relative complementarity and residual at which it is done.
DONE_GAP = 1e-11
DONE_LACK = 1e-10
# Multipliers to start from: of stored energy, which seldom binds, and of all others.
START_STORED, START = 0.1, 10.0
START_BOUNDLESS = 0.1
# EVs are taken in as many ranges as this, beside each other where there are many.
RANGES = 2
MANY_CELLS = 10_000
# Rows are made to hold this often; once more to know the last residual.
RESTORED = 3
# Share of the way to the nearest bound that is gone.
INSIDE = 0.999
# Coupling rows of several groups that are taken together.
FEW_ROWS = 500
_workers = ThreadPoolExecutor(RANGES - 1, "v2g")


class Reached(NamedTuple):
    """Where the method stopped: steps, gap and residual, whether they are small."""

    steps: int
    gap: float
    lack: float
    finished: bool


def leaves_first(parent: Ints) -> Ints:
    """Return the rows such that each comes before its parent."""
    depth = np.zeros(parent.size, np.int64)
    for r in range(parent.size):
        above = parent[r]
        while above >= 0:
            depth[r] += 1
            above = parent[above]
    return np.argsort(-depth, kind="stable")


def start_of(c: Chains, lam: Floats, worth: Floats) -> Point:
    """Return a point within the bounds: its multipliers fit the given ones of the rows.

    ``worth`` (n,) is what stored energy starts from, ``lam`` (R, T) the coupling rows.
    """
    n_cell, n = int(c.first[-1]), c.want.size
    length = np.diff(c.first)
    free, boxed = c.free > 0, c.upper < BOUNDLESS
    x = np.where(boxed, 0.5 * c.upper, START_BOUNDLESS)
    x[~free] = 1.0
    mu = np.repeat(worth, length)
    cost = c.cost.copy()
    ev = np.repeat(np.arange(n), length)
    step = np.arange(n_cell) - np.repeat(c.first[:-1] - c.arrival, length)
    price = prices_of(c, leaves_first(c.parent), lam)[c.home[ev], step]
    cost[:n_cell] -= c.gain[ev] * mu + price
    cost[n_cell : 2 * n_cell] += c.loss[ev] * mu + price
    cost[3 * n_cell : 3 * (n_cell + n)] -= np.outer(worth, [1.0, 1.0, -1.0]).ravel()
    cost[3 * (n_cell + n) :] -= np.multiply.outer(lam, SIGNS).ravel()
    level = np.full(x.size, START)
    level[2 * n_cell : 3 * n_cell] = START_STORED
    low = np.where(boxed, np.maximum(cost, 0.0) + level, np.maximum(cost, 0.1))
    high = np.where(boxed, np.maximum(-cost, 0.0) + level, 1.0 / BOUNDLESS)
    room = np.where(free, c.upper - x, 1.0)
    return Point(x, room, low, high, mu, worth.copy(), lam.copy())


def prices_of(c: Chains, order: Ints, lam: Floats) -> Floats:
    """Return what EVs feel: the sum of a row's multipliers and those above it."""
    price = lam.copy()
    for r in order[::-1]:
        if c.parent[r] >= 0:
            price[r] += price[c.parent[r]]
    return price


def value_of(c: Chains, p: Point) -> float:
    """Return the cost of a point."""
    return float((c.cost * c.free * p.x).sum())


class _Work:
    """Buffers and the passes over all EVs."""

    def __init__(self, c: Chains, p: Point) -> None:
        n_row, n_step = c.base.shape
        n_variable, n_cell, n = c.upper.size, int(c.first[-1]), c.want.size
        v, k, e = (n_variable,), (n_cell,), (n,)
        shapes = (v, v, v, v, v, v, v, k, k, e, k, e, k, e, k, e)
        self.c, self.p = c, p
        self.s = Step(*(np.zeros(shape) for shape in shapes))
        parts = RANGES if n_cell >= MANY_CELLS else 1
        cuts = np.searchsorted(c.first, np.arange(1, parts) * n_cell / parts)
        self.bounds = [0, *(int(cut) for cut in cuts), n]
        self.answer = np.empty((parts, n_row, n_step, n_step))
        self.dense = n_row > 1 and n_row * n_step <= FEW_ROWS
        self.whole = np.empty((n_row * n_step,) * 2 if self.dense else (0, 0))
        self.factor = np.zeros((n_row, n_step, n_step))
        self.power, self.net = np.empty((2, parts, n_row, n_step))
        self.own, self.lack, self.rho = np.empty((3, n_row, n_step))
        self.dlam, self.dprice = np.zeros((2, n_row, n_step))
        self.sums = np.empty((parts, 6))
        self.by = np.zeros(2)
        self.order = leaves_first(c.parent)

    def factor_all(self) -> float:
        """Go the last step and factor; return the greatest residual."""
        c, p, s, by = self.c, self.p, self.s, self.by
        p.lam[...] += by[1] * self.dlam
        price = prices_of(c, self.order, p.lam)
        self.answer[...], self.power[...], self.net[...] = 0.0, 0.0, 0.0
        residuals = self._each(
            lambda r, a, b: factor_pass(
                c, p, s, a, b, by, price, self.answer[r], self.power[r], self.net[r]
            )
        )
        power = self.power.sum(axis=0)
        residual = row_factor_pass(c, p, s, self.order, by, power, self.own, self.lack)
        for part in self.answer[1:]:
            self.answer[0] += part
        if self.dense:
            factor_dense(c.parent, self.own, self.answer[0], self.whole)
        else:
            factor_tree(self.order, c.parent, self.own, self.answer[0], self.factor)
        return max(residual, *residuals)

    def direct(self, aim: float) -> Floats:
        """Put the step to ``aim``, the predictor where it is below 0; return sums."""
        c, p, s = self.c, self.p, self.s
        if aim >= 0.0:
            self.net[...] = 0.0
            self._each(lambda r, a, b: aim_pass(c, s, a, b, aim, self.net[r]))
            gradients(s, 3 * (int(c.first[-1]) + c.want.size), c.upper.size, aim)
        row_rhs(c, s, self.lack, self.rho)
        net = self.net.sum(axis=0)
        if self.dense:
            solve_dense(
                self.order, c.parent, self.whole, self.rho, net, self.dlam, self.dprice
            )
        else:
            solve_tree(
                self.order, c.parent, self.own, self.answer[0], self.factor,
                self.rho, net, self.dlam, self.dprice,
            )  # fmt: skip
        self.sums[...] = 0.0
        self._each(
            lambda r, a, b: step_pass(c, p, s, a, b, aim, self.dprice, self.sums[r])
        )
        row_step_pass(c, p, s, aim, self.dlam, self.sums[0])
        sums: Floats = self.sums.sum(axis=0)
        sums[4:] = self.sums[:, 4:].max(axis=0)
        return sums

    def _each(self, run: Callable[[int, int, int], float | None]) -> list[float]:
        """Run over each range of EVs; return what they return, in order."""
        begins, ends = self.bounds[:-1], self.bounds[1:]
        others = [
            _workers.submit(run, r, begins[r], ends[r]) for r in range(1, len(begins))
        ]
        first = run(0, begins[0], ends[0])
        return [x or 0.0 for x in (first, *(other.result() for other in others))]


def interior(
    c: Chains,
    p: Point,
    deadline: float = np.inf,
    offset: float = 0.0,
    enough: Callable[[float], bool] | None = None,
) -> Reached:
    """Go from a point within the bounds to the optimum; the point is moved.

    Stops at ``deadline`` (perf_counter [s]), or where ``enough`` of the relative gap
    says so. ``offset`` is a constant part of the cost.
    """
    work = _Work(c, p)
    pairs = 2 * max(int(np.count_nonzero(c.free)), 1)
    scale = 1.0 + np.abs(c.base).max(initial=0.0) + np.abs(c.want).max(initial=0.0)
    for steps in range(MOST_STEPS):  # noqa: B007
        residual = work.factor_all()
        sums = work.direct(-1.0)
        gap = float(sums[0]) / (1.0 + abs(value_of(c, p) + offset))
        done = gap < DONE_GAP and residual < DONE_LACK * scale
        if done or not gap < np.inf or perf_counter() > deadline:
            break
        if enough is not None and enough(gap):
            break
        by_x, by_z = _lengths(sums, 1.0)
        left = sums[0] + by_x * sums[1] + by_z * sums[2] + by_x * by_z * sums[3]
        mean = sums[0] / pairs
        sums = work.direct(mean * min(max(left / sums[0], 0.0), 1.0) ** 3)
        work.by[:] = _lengths(sums, INSIDE)
    return Reached(steps, gap, residual, done)


def _lengths(sums: Floats, share: float) -> tuple[float, float]:
    """Return the primal and the dual step's length, at most a share of the way."""
    return (
        min(1.0, share / max(float(sums[4]), 1e-300)),
        min(1.0, share / max(float(sums[5]), 1e-300)),
    )


def vertex_of(c: Chains, p: Point, weight: float) -> float:
    """Put variables to their bounds and make rows hold; return the residual left."""
    work = _Work(c, p)
    snap(c, p, work.s, weight)
    for _ in range(RESTORED):
        residual = restore(c, p, work.s, work.order, work.dense)
    return float(residual)
