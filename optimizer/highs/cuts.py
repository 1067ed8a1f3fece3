"""Line currents within their limits: a polygon inside each circle, cut when needed.

A line's phasor I(p) is linear in the powers, and |I| <= L a circle. Within it lies the
regular polygon Re(I e^(-j k 2 pi / K)) <= L cos(pi / K), k = 0..K-1: whatever satisfies
the K cuts satisfies the norm, and the side nearest to the angle of I is violated when
any is, since it has the greatest projection. So only violated sides are added, one for
each line and step, until there is none, and K costs nothing but its last rounds.

What the polygon loses is bounded by duals: sides moved out to the radius L are
tangents, so they hold the circle, and by weak duality the circle's optimum is at most
sum |dual| L (1 - cos(pi / K)) better than the polygon's.
"""

from itertools import pairwise

import numpy as np

from optimizer.checks import Floats
from optimizer.highs.model import K, Model
from optimizer.highs.programme import INF, Programme

SIDES = 360
# A little more inside than the polygon needs, so that tolerances stay within the norm.
INNER = float(np.cos(np.pi / SIDES)) * (1.0 - 1e-6)
_RELATIVE_A, _ABSOLUTE_A = 1e-7, 1e-8


class LineCuts:
    """The sides that were needed so far."""

    def __init__(self, model: Model) -> None:
        phases = model.problem.phases
        assert phases is not None
        self._model = model
        self._limit_a = phases.limit_a
        self._a_per_kw = (
            K * phases.matrix * np.exp(1j * phases.phase_rad) / phases.voltage_v
        )
        order = np.argsort(model.step, kind="stable")
        starts = np.searchsorted(model.step[order], np.arange(model.problem.n_step + 1))
        self._cells = [order[a:b] for a, b in pairwise(starts)]
        self._known: set[tuple[int, int, int]] = set()
        self._rows: list[int] = []
        self._row_limit_a: list[float] = []

    def begin(self, programme: Programme) -> None:
        """Add the sides that charging at full power violates."""
        full_kw = np.zeros(self._model.n_cell)
        full_kw[self._model.charge] = programme.upper[self._model.charge]
        self._add(programme, full_kw)

    def add_violated(self, programme: Programme) -> bool:
        """Add what the programme's point violates; return whether there was any."""
        return self._add(programme, programme.point[: self._model.n_cell])

    def holds(self, x: Floats) -> bool:
        """Return whether no line is above its limit."""
        return not self._violated(x[: self._model.n_cell])

    def gap(self, programme: Programme) -> float:
        """Return how much better than its last objective the exact norm may be."""
        dual = np.abs(programme.row_dual[self._rows])
        return float(dual @ np.array(self._row_limit_a)) * (1.0 - INNER)

    def _violated(self, cell_kw: Floats) -> list[tuple[int, int, int]]:
        """Return line, step and side of what is outside the polygon."""
        model, p = self._model, self._model.problem
        power_kw = np.zeros((p.n_evse, p.n_step))
        np.add.at(power_kw, (model.ev, model.step), model.sign * cell_kw)
        current = self._a_per_kw @ power_kw
        side = np.rint(np.angle(current) * SIDES / (2 * np.pi)).astype(np.int64) % SIDES
        along = (current * np.exp(-2j * np.pi * side / SIDES)).real
        limit = self._limit_a[:, None]
        outside = along > limit * (INNER + _RELATIVE_A) + _ABSOLUTE_A
        line, step = np.nonzero(outside)
        return list(
            zip(line.tolist(), step.tolist(), side[line, step].tolist(), strict=True)
        )

    def _add(self, programme: Programme, cell_kw: Floats) -> bool:
        # A known side can only be violated by rounding; it would not help twice.
        found = [cut for cut in self._violated(cell_kw) if cut not in self._known]
        if not found:
            return False
        columns, values = [], []
        for line, step, side in found:
            cells = self._cells[step]
            turned = self._a_per_kw[line] * np.exp(-2j * np.pi * side / SIDES)
            columns.append(cells)
            values.append(turned.real[self._model.ev[cells]] * self._model.sign[cells])
        sizes = [cells.size for cells in columns]
        limit = self._limit_a[[line for line, _, _ in found]]
        rows = programme.add_rows(
            np.full(len(found), -INF),
            limit * INNER,
            np.concatenate([[0], np.cumsum(sizes)[:-1]]),
            np.concatenate(columns),
            np.concatenate(values),
        )
        self._known.update(found)
        self._rows += rows.tolist()
        self._row_limit_a += limit.tolist()
        return True
