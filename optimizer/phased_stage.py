"""A charging problem with phases in the units of `optimizer.kernels.phases`.

Steps in which nothing changes and that are far away are joined, ever longer the further
away they are.
"""

from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.checks import Floats, Ints
from optimizer.kernels.phases import run
from optimizer.kernels.phases_layout import (
    Limits,
    Network,
    cells,
    classes,
    joined,
    limits,
)
from optimizer.kernels.phases_linear import Bools
from optimizer.kernels.phases_newton import Work
from optimizer.kernels.phases_start import start
from optimizer.kernels.phases_state import Layout, State
from optimizer.limits import PhaseNetwork
from optimizer.problem import Problem

Phasors = NDArray[np.complex128]

# Problems of fewer cells keep all their steps; others these, and then join ever more.
_FEW_CELLS = 400
_SINGLE_STEPS = 24
_JOINED = 1.0 / 12.0
_LOWER_PRICE = 512.0
_MOST_ITERATIONS = 60
_AT_ONCE = 5  # iterations between looks at the clock
_NONE = 1e-7


class Grid(NamedTuple):
    """A problem in the kernel's units, on G joined steps.

    Parameters
    ----------
    unit_w, unit_wh : float
        What 1 of power and 1 of energy are.
    of_step : (T,) int
        The joined step of each step.
    hours, middle : (G,)
        Length of each joined step and where it is, in steps.
    cap : (n, G)
    efficiency : (n,)
    of_class : (n,) int
        EVs of one class are the same to all limits.
    network : Network
    line_unit_a : (m,)
        What 1 of current is in each line [A].
    """

    unit_w: float
    unit_wh: float
    of_step: Ints
    hours: Floats
    middle: Floats
    cap: Floats
    efficiency: Floats
    of_class: Ints
    network: Network
    line_unit_a: Floats


class Duals(NamedTuple):
    """Multipliers on joined steps: of rows per energy, of lines in [Wh/A] per hour."""

    row: Floats
    line: Phasors

    @classmethod
    def none(cls, grid: Grid) -> "Duals":
        """Return multipliers of 0."""
        n_joined = grid.hours.size
        return cls(
            np.zeros((grid.network.upper.shape[0], n_joined)),
            np.zeros((grid.network.limit.size, n_joined), np.complex128),
        )


def grid_of(problem: Problem) -> Grid:
    """Return the grid of a problem that has phases, on its own steps."""
    assert problem.phases is not None
    power = np.where(problem.available(), problem.power_max_w, 0.0)
    unit_w = max(float(power.max(initial=0.0)), 1.0)
    upper, lower, member = _bounds(problem, unit_w)
    phasor, limit, line_unit_a = _lines(problem.phases, unit_w)
    cap = power / unit_w
    for full, columns in zip(upper <= _NONE, member > 0.0, strict=True):
        if full.any():
            cap[np.ix_(columns, full)] = 0.0
    cap[(np.abs(phasor) > 0.0)[limit <= _NONE].any(axis=0)] = 0.0
    of_class, n_class = classes(
        np.ascontiguousarray(np.concatenate([phasor.real, phasor.imag, member]).T)
    )
    some = np.array([np.argmax(of_class == c) for c in range(n_class)], np.int64)
    network = Network(
        np.ascontiguousarray(member[:, some]),
        upper,
        lower,
        np.array([phasor.real[:, some], phasor.imag[:, some]], order="C"),
        limit,
        _LOWER_PRICE,
    )
    hours, unit_h = problem.hours, float(problem.hours.max())
    return Grid(
        unit_w,
        unit_w * unit_h,
        np.arange(problem.n_step),
        hours / unit_h,
        np.arange(problem.n_step, dtype=np.float64),
        cap,
        problem.charge_efficiency,
        of_class,
        network,
        line_unit_a,
    )


def _bounds(problem: Problem, unit_w: float) -> tuple[Floats, Floats, Floats]:
    """Return upper and lower bounds (g, T) and members (g, n) of PRE and groups."""
    uppers = [problem.pre_upper_w, *(group.upper_w for group in problem.groups)]
    lowers = [problem.pre_lower_w, *(group.lower_w for group in problem.groups)]
    member = np.zeros((len(uppers), problem.n_evse))
    member[0] = 1.0
    for g, group in enumerate(problem.groups):
        member[g + 1, group.members] = 1.0
    return np.stack(uppers) / unit_w, np.stack(lowers) / unit_w, member


def _lines(phases: PhaseNetwork, unit_w: float) -> tuple[Phasors, Floats, Floats]:
    """Return phasors (m, n) of size 1 at most, limits, and what 1 is [A], (m,)."""
    phasor = phases.matrix * np.exp(1j * phases.phase_rad) / phases.voltage_v
    size = np.abs(phasor).max(axis=1, initial=0.0)
    size[size == 0.0] = 1.0
    unit_a = size * unit_w
    return phasor / size[:, None], phases.limit_a / unit_a, unit_a


def changes_of(problem: Problem, grid: Grid) -> Bools:
    """Return whether anything differs between a step and the one before, (T,)."""
    network = grid.network
    rows = np.concatenate(
        [
            grid.cap,
            network.upper,
            network.lower,
            [problem.step_s, problem.price_per_kwh],
        ]
    )
    changes = np.ones(problem.n_step, np.bool_)
    changes[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
    return changes


def join_far(grid: Grid, changes: Bools) -> Grid:
    """Return a grid whose far steps are joined if it has many cells."""
    if np.count_nonzero(grid.cap) <= _FEW_CELLS:
        return grid
    return _join(grid, joined(changes, _SINGLE_STEPS, _JOINED))


def join_all(grid: Grid, changes: Bools) -> Grid:
    """Return a grid whose steps are joined wherever nothing changes."""
    return _join(grid, np.cumsum(changes) - 1)


def _join(grid: Grid, of_step: Ints) -> Grid:
    first = np.flatnonzero(np.diff(of_step, prepend=-1))
    network = grid.network
    hours: Floats = np.add.reduceat(grid.hours, first)
    return grid._replace(
        of_step=of_step,
        hours=hours,
        middle=np.add.reduceat(grid.middle * grid.hours, first) / hours,
        cap=np.ascontiguousarray(grid.cap[:, first]),
        network=network._replace(
            upper=np.ascontiguousarray(network.upper[:, first]),
            lower=np.ascontiguousarray(network.lower[:, first]),
        ),
    )


class Stage(NamedTuple):
    """One run of the kernel: of some EVs, with a price for what is left out.

    ``step`` (N,) is each cell's joined step; ``block_class`` (B,), ``limits`` as the
    layout's limits were found.
    """

    layout: Layout
    state: State
    step: Ints
    block_class: Ints
    limits: Limits

    @classmethod
    def of(cls, grid: Grid, rows: Ints, parts: Floats, cost: Floats) -> "Stage":
        """Return the stage at its start.

        Parameters
        ----------
        grid : Grid
        rows : (k,) int
            EVs that can charge and have a part.
        parts : (p, 3, k)
            Width, weight and bend of their segments; those of no width are left out.
        cost : (n, G)
            Of energy, by EV of the grid.
        """
        of_class, cap = grid.of_class[rows], grid.cap[rows]
        order = np.argsort(of_class, kind="stable")
        ev, block_start, block_class, step_block = cells(cap, of_class, order)
        n_block = np.diff(step_block)
        step = np.repeat(
            np.repeat(np.arange(n_block.size), n_block), np.diff(block_start)
        )
        cell_cap = cap[ev, step]
        found = limits(
            grid.network,
            block_class,
            np.add.reduceat(cell_cap, block_start[:-1]),
            step_block,
        )
        part, part_ev = np.nonzero(parts[:, 0] > 0.0)
        layout = Layout(
            ev=ev,
            cells=np.stack(
                [
                    cell_cap,
                    grid.efficiency[rows][ev] * grid.hours[step],
                    cost[rows][ev, step] * grid.hours[step],
                ]
            ),
            block_start=block_start,
            steps=np.concatenate([step_block[None], found.starts]),
            rows=found.rows,
            coefficients=found.coefficients,
            phasors=found.phasors,
            limit=found.limit,
            part_ev=np.ascontiguousarray(part_ev),
            parts=np.ascontiguousarray(parts[part, :, part_ev].T),
            need=parts[:, 0].sum(axis=0),
        )
        return cls(layout, start(layout), step, block_class, found)

    def run(self, enough: float, deadline: float) -> float:
        """Run to a gap per need, or to the deadline; return the gap."""
        lay = self.layout
        pre, d, best = (_like(self.state) for _ in range(3))
        work = _work(lay)
        target = enough * float(lay.need.sum())
        timed = deadline < np.inf
        left, gap = _MOST_ITERATIONS, np.inf
        while left > 0 and not (timed and perf_counter() >= deadline):
            now = min(left, _AT_ONCE) if timed else left
            gap, used = run(lay, self.state, work, pre, d, best, target, now)
            left -= now
            if used < now:
                break
        return gap

    def put_duals(self, grid: Grid, duals: Duals) -> None:
        """Add the multipliers of upper bounds and lines."""
        found, state, lay = self.limits, self.state, self.layout
        steps = np.arange(grid.hours.size)
        row_step = np.repeat(steps, np.diff(found.starts[0]))
        n_row = grid.network.upper.shape[0]
        pi = state.rows[2] / grid.hours[row_step]
        upper = (found.kind >= 0) & (found.kind < n_row)
        np.add.at(duals.row, (found.kind[upper], row_step[upper]), pi[upper])
        scale = grid.unit_w / grid.line_unit_a  # of a multiplier per current
        alone = np.flatnonzero(found.kind >= n_row)
        line, at = found.kind[alone] - n_row, row_step[alone]
        block = lay.steps[0, at] + found.coefficients[alone].argmax(axis=1)
        phasor = grid.network.phasors[:, line, self.block_class[block]]
        z = phasor[0] + 1j * phasor[1]
        np.add.at(duals.line, (line, at), pi[alone] * z / np.abs(z) ** 2 * scale[line])
        at, line = np.repeat(steps, np.diff(found.starts[1])), found.line
        price = -(state.discs[1, :, 1] + 1j * state.discs[1, :, 2]) / grid.hours[at]
        np.add.at(duals.line, (line, at), price * scale[line])


def _like(state: State) -> State:
    return State(*(np.zeros_like(array) for array in state))


def _work(lay: Layout) -> Work:
    n_cell, n_part, n = lay.ev.size, lay.part_ev.size, lay.need.size
    n_step, wide = lay.steps.shape[1] - 1, lay.coefficients.shape[1]
    return Work(
        cells=np.zeros((3, n_cell)),
        blocks=np.zeros((3, lay.block_start.size - 1)),
        p=np.zeros((n_step, wide, wide)),
        h=np.zeros((n_step, wide, wide)),
        parts=np.zeros((2, n_part)),
        rows=np.zeros((2, lay.rows.shape[1])),
        discs=np.zeros((lay.limit.size, 13)),
        schur=np.zeros((n, n)),
    )
