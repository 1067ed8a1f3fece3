"""Charging under limits on the exact norms of line currents (`PhaseNetwork`).

The tiers are solved by the interior point of `optimizer.kernels.phases`:

1. The energy tiers, from the first class's promised part on, two at a time: energy
   left out of the first costs 8, of the second 1, and of what earlier ones got 64 (and
   breaking a lower bound 512). Within a tier what is left out of the smallest need
   costs up to `POLICY` more (FINISH_MOST) or the more the greater the share (MAX_MIN:
   a quadratic, which on a polymatroid is exactly the lexicographic maximum of the
   least shares; S. Fujishige, *Lexicographically optimal base of a polymatroid with
   respect to a weight vector*, Mathematics of Operations Research 5(2), 1980). A later
   step costs up to `EARLY` more, a bit less the longer the EV stays (`_haste`): who
   stays is a reserve for power that nobody else can use. Under FINISH_MOST the last
   ones are solved once more, with those EVs later that the plan does not finish.
2. Where prices differ between steps, money with those energies kept (a price of 1
   against prices within 0..`MONEY`), earliness at `EARLY_MONEY` beside it.

So the order of the tiers is kept up to exchange rates: a tier gives up a share of at
most about `POLICY` of what could be gained in the next ones, in practice far less,
for at the optimum the first tier is flat only to second order. `energy_bound_wh` says
what it was.

Steps in which nothing changes and that are far away are joined, ever longer the further
away they are; that costs none of the energy and money tiers anything (the average of
equal steps is as good as they are), only earliness within the joined steps.

The plan is then made exact: `optimizer.kernels.phases_fit`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np

from optimizer.checks import Floats, ProblemError
from optimizer.kernels.phases_fit import fit
from optimizer.kernels.phases_linear import Bools
from optimizer.phased_stage import (
    Duals,
    Grid,
    Phasors,
    Stage,
    changes_of,
    grid_of,
    join_all,
    join_far,
)
from optimizer.problem import Problem, Shortage
from optimizer.result import PlannerError
from optimizer.solution import Solution, Solver
from optimizer.tiers import NOTHING_WH, gaps_wh

POLICY = 0.01
EARLY = 4e-5
MONEY = 0.05
EARLY_MONEY = 5e-7
# How much less a later step costs who never leaves than who leaves at once: little, so
# that it decides between plans of about the same earliness.
STAYING = 0.2
# What it costs an EV that the plan does not finish beside one that it does.
UNFINISHED = 0.93
# Who gets this share is finished.
_FINISHED = 0.99
# The stay for which half of `STAYING` holds [h].
_HALF_STAY_H = 4.0
_LEVEL = 8.0
# Gap that is small enough, and one that is a failure, per energy asked for.
_ENOUGH, _ENOUGH_MONEY, _FAILED = 1e-8, 1e-10, 1e-5
# Less left out than this, in the kernel's energy, is met.
_LACKING = 1e-6
_NONE = 1e-7


@dataclass(frozen=True, eq=False)
class PhasedSolution(Solution):
    """A solution with the multipliers of the lines.

    Parameters
    ----------
    line_price : (k, m, T) complex
        Multipliers of the lines' currents in the tiers of asked-for energy, as
        ``service_price`` has those of PRE and groups [Wh/A].
    """

    line_price: Phasors | None = None


class Phased:
    """Solver of charging problems with `PhaseNetwork`.

    Parameters
    ----------
    reserve : Solver, optional
        Takes what has no kernel, and what the kernel fails at.
    """

    def __init__(self, reserve: Solver | None = None) -> None:
        """Begin; there is no state between calls."""
        self._reserve = reserve

    def handles(self, problem: Problem) -> bool:
        """Return whether the kernel takes the problem."""
        return not (
            problem.phases is None
            or problem.has_v2g
            or problem.energy_windows
            or problem.peak_per_kw > 0.0
        )

    def solve(self, problem: Problem, deadline: float = math.inf) -> Solution:
        """Return the plan, within every line's limit.

        Raises
        ------
        PlannerError
            for a problem without a kernel when there is no reserve.
        """
        if self.handles(problem):
            run = _Run(problem, deadline)
            solution = run.solution()
            if run.good or self._reserve is None:
                return solution
        if self._reserve is None:
            raise PlannerError("no kernel for this problem with phases, and no reserve")
        return self._reserve.solve(problem, deadline)


class _Parts(NamedTuple):
    """One segment per EV: what leaving out this energy costs; each (n,)."""

    width: Floats
    weight: Floats
    bend: Floats


class _Run:
    """One solve, tier by tier."""

    def __init__(self, problem: Problem, deadline: float) -> None:
        self.problem, self.deadline = problem, deadline
        self.good, self.finished = True, True
        self.whole = grid_of(problem)
        self.changes = changes_of(problem, self.whole)
        self.grid = grid = join_far(self.whole, self.changes)
        low, beyond = gaps_wh(problem)
        self.levels = list(_levels(problem, low / grid.unit_wh, beyond / grid.unit_wh))
        self.target = (low + beyond) / grid.unit_wh
        price = problem.price_per_kwh
        can = (grid.cap * grid.hours).sum(axis=1) * grid.efficiency
        most = np.minimum(problem.energy_max_wh / grid.unit_wh, can)
        more = bool((price < 0.0).any() or (grid.network.lower > 0.0).any())
        self.optional = np.maximum(most - self.target, 0.0) * more
        pays = bool(self.optional.any())
        self.price_from = 0.0 if pays else float(price.min(initial=np.inf))
        self.price_unit = float(np.abs(price - self.price_from).max()) / MONEY
        self.early = np.outer(_haste(problem), grid.middle / problem.n_step)

    def solution(self) -> Solution:
        """Return the plan with its prices."""
        problem, pays = self.problem, None
        x = np.zeros_like(self.grid.cap)
        if self.price_unit > 0.0:
            x, pays = self._money(self.target)
        if self.price_unit == 0.0 or self._lacks(x, _LACKING):
            x = self._energies()
            if self.price_unit > 0.0:
                x, pays = self._money(np.minimum(self._energy(x), self.target))
        power_w, x = self._exact(x)
        short = self._lacks(x, NOTHING_WH / self.grid.unit_wh)
        service, line = self._service_prices(short)
        none = np.zeros((1 + len(problem.groups), problem.n_step))
        money = (
            none if pays is None else pays.row[:, self.grid.of_step] * self.price_unit
        )
        return PhasedSolution(
            power_w=power_w,
            pre_price_per_kwh=money[0],
            group_price_per_kwh=money[1:],
            service_price=service,
            finished=self.finished,
            line_price=line,
        )

    def _energies(self) -> Floats:
        """Solve the energy tiers; return powers."""
        x, fixed = np.zeros_like(self.grid.cap), np.zeros_like(self.target)
        parts: list[_Parts] = []
        for first in range(0, len(self.levels), 2):
            pair = self.levels[first : first + 2]
            weights = (_LEVEL, 1.0)[-len(pair) :]
            parts = [
                _of_policy(self.problem.shortage, gap, weight)
                for gap, weight in zip(pair, weights, strict=True)
            ]
            kept = np.full_like(fixed, _LEVEL * weights[0])
            parts.append(_Parts(fixed, kept, 0.0 * kept))
            x, _ = self._stage(self.grid, parts, EARLY * self.early, _ENOUGH)
            asked = sum((gap for gap in pair), fixed)
            fixed = np.minimum(self._energy(x), asked)
        return self._unfinished_later(x, parts)

    def _unfinished_later(self, x: Floats, parts: list[_Parts]) -> Floats:
        """Put EVs that a plan does not finish behind the others; return powers."""
        lacks = self._energy(x) < _FINISHED * self.target
        lacks &= self.problem.energy_min_wh <= 0.0  # a promise is not put off
        if self.problem.shortage is not Shortage.FINISH_MOST or not lacks.any():
            return x
        self.early *= np.where(lacks, UNFINISHED, 1.0)[:, None]
        if self.price_unit > 0.0:
            return x  # the money tier comes next and decides when
        again, _ = self._stage(self.grid, parts, EARLY * self.early, _ENOUGH)
        return again if self.finished else x

    def _money(self, energy: Floats) -> tuple[Floats, Duals]:
        """Solve the money tier with given energies."""
        first = np.searchsorted(self.grid.of_step, np.arange(self.grid.hours.size))
        price = self.problem.price_per_kwh[first] - self.price_from
        none = np.zeros_like(energy)
        parts = [_Parts(energy, none + 1.0, none)]
        cost = price / self.price_unit + EARLY_MONEY * self.early
        return self._stage(self.grid, parts, cost, _ENOUGH_MONEY)

    def _stage(
        self, grid: Grid, parts: list[_Parts], cost: Floats, enough: float
    ) -> tuple[Floats, Duals]:
        """Solve for segments and a cost of energy, as (n, G) broadcasts."""
        none = np.zeros_like(self.optional)
        whole = np.stack([*parts, _Parts(self.optional, none, none)])
        whole[:, 0] = np.where(whole[:, 0] > _NONE, whole[:, 0], 0.0)
        rows = np.flatnonzero((whole[:, 0].sum(axis=0) > 0.0) & grid.cap.any(axis=1))
        x, duals = np.zeros_like(grid.cap), Duals.none(grid)
        if rows.size == 0:
            return x, duals
        cost = np.broadcast_to(cost, grid.cap.shape)
        stage = Stage.of(grid, rows, whole[:, :, rows], cost)
        gap = stage.run(enough, self.deadline)
        need = float(stage.layout.need.sum())
        self.finished &= gap <= enough * need or perf_counter() < self.deadline
        self.good &= gap <= _FAILED * need or not self.finished
        x[rows[stage.layout.ev], stage.step] = stage.state.cells[0]
        stage.put_duals(grid, duals)
        return x, duals

    def _energy(self, x: Floats) -> Floats:
        energy: Floats = (x @ self.grid.hours) * self.grid.efficiency
        return energy

    def _lacks(self, x: Floats, tolerance: float) -> bool:
        return bool((self._energy(x) < self.target - tolerance).any())

    def _exact(self, x: Floats) -> tuple[Floats, Floats]:
        """Return a plan that breaks nothing, (n, T) [W], and its x."""
        grid, problem = self.grid, self.problem
        network = grid.network
        fitted = np.ascontiguousarray(x.T)
        fit(
            fitted,
            np.ascontiguousarray(grid.cap.T),
            grid.hours[:, None] * grid.efficiency,
            np.clip(self._energy(x), self.target, self.target + self.optional),
            np.ascontiguousarray(network.phasors[0][:, grid.of_class]),
            np.ascontiguousarray(network.phasors[1][:, grid.of_class]),
            network.limit,
            np.ascontiguousarray(network.row_of[:, grid.of_class]),
            np.ascontiguousarray(network.upper.T),
            np.lexsort((self.target, problem.priority)),
        )
        power_w = np.ascontiguousarray(fitted[grid.of_step].T) * grid.unit_w
        return power_w, fitted.T

    def _service_prices(self, short: bool) -> tuple[Floats, Phasors]:
        """Return the multipliers of the energy tiers by class, none where all is met.

        Energy alone does not care which of equal steps it comes in, so this is a small
        problem of its own, and its multipliers bound exactly.
        """
        n_row, n_line = self.whole.network.upper.shape[0], self.whole.network.limit.size
        problem, grid = self.problem, join_all(self.whole, self.changes)
        none = np.zeros_like(self.target)
        rows, lines = [], []
        for c in np.unique(problem.priority) if short else ():
            upto = np.where(problem.priority <= c, self.target, 0.0)
            parts = [_Parts(upto, none + 1.0, none)]
            _, found = self._stage(grid, parts, 0.0 * grid.hours, _ENOUGH)
            # Where nothing may flow the kernel has no cells, and no price.
            row = np.where(grid.network.upper <= _NONE, 1.0, found.row)
            rows.append(np.clip(row[:, grid.of_step], 0.0, 1.0))
            lines.append(found.line[:, grid.of_step] * problem.hours)
        n_step = problem.n_step
        service = np.array(rows).reshape(len(rows), n_row, n_step)
        return service, np.array(lines, complex).reshape(len(rows), n_line, n_step)


def _haste(problem: Problem) -> Floats:
    """Return what a later step costs each EV (n,), beside one that leaves at once."""
    end_h = np.concatenate([[0.0], np.cumsum(problem.hours)])
    stay_h = end_h[np.minimum(problem.departure_step, problem.n_step)]
    haste: Floats = 1.0 - STAYING * stay_h / (stay_h + _HALF_STAY_H)
    return haste


def _levels(problem: Problem, low: Floats, beyond: Floats) -> Iterator[Floats]:
    """Yield the energy (n,) of each energy tier that has any, in their order."""
    for gap in (low, beyond):
        for c in np.unique(problem.priority):
            part = np.where(problem.priority == c, gap, 0.0)
            if (part > _NONE).any():
                yield part


def _of_policy(shortage: Shortage, gap: Floats, weight: float) -> _Parts:
    """Return what energy left out of a tier costs."""
    some = gap > _NONE
    if shortage is Shortage.MAX_MIN:
        bend = weight * POLICY / np.where(some, gap, 1.0)
        return _Parts(gap, np.full_like(gap, weight), bend)
    usual = float(np.median(gap[some]))
    return _Parts(gap, weight * (1.0 + POLICY / (1.0 + gap / usual)), 0.0 * gap)


def energy_bound_wh(
    problem: Problem, service_price: Floats, line_price: Phasors, rows: Bools
) -> float:
    """Return energy that no plan within the limits gets into the batteries of some EVs.

    A Lagrangian bound: whatever the multipliers, energy that passes the limits pays
    them, and an EV fills its need where it pays least. Lower bounds do not count.

    Parameters
    ----------
    problem : Problem
    service_price : (1 + g, T)
        Multipliers of PRE and groups, at least 0.
    line_price : (m, T) complex
        Multipliers of the lines' currents [Wh/A].
    rows : (n,) bool
        The EVs; what others take does not count.

    Returns
    -------
    float
        [Wh]; of targets at most.
    """
    phases = problem.phases
    if phases is None:
        raise ProblemError("phases is None; it must be given")
    hours, n = problem.hours, problem.n_evse
    upper = np.stack([problem.pre_upper_w, *(g.upper_w for g in problem.groups)])
    paid = np.tile(service_price[0] * hours, (n, 1))
    for group, price in zip(problem.groups, service_price[1:], strict=True):
        paid[group.members] += price * hours
    phasor = phases.matrix * np.exp(1j * phases.phase_rad) / phases.voltage_v
    paid += (phasor.T @ np.conj(line_price)).real
    bound = float((service_price * hours * np.maximum(upper, 0.0)).sum())
    bound += float((np.abs(line_price).sum(axis=1) * phases.limit_a).sum())
    gain = problem.charge_efficiency[:, None] * hours
    can_wh = np.where(problem.available(), problem.power_max_w, 0.0)
    for i in range(n):
        # Beyond that it takes where it is paid to: where its current relieves a line.
        most = problem.energy_max_wh[i]
        need = min(problem.energy_target_wh[i], most) if rows[i] else 0.0
        worth = 1.0 * rows[i] - paid[i] / gain[i]
        order = np.argsort(-worth)
        worth, wh = worth[order], np.cumsum((can_wh[i] * gain[i])[order])
        within = np.diff(np.minimum(wh, need), prepend=0.0)
        beyond = np.diff(np.minimum(wh, most), prepend=0.0) - within
        bound += float(np.maximum(worth, 0.0) @ within)
        bound += float(np.maximum(worth - rows[i], 0.0) @ beyond)
    return bound
