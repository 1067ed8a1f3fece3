"""What only integers can say: one direction at a time, floors and pilot steps.

Charging and discharging at once burns energy in the losses, which pays where energy has
a negative price or a lower limit must be filled. A plan has one power per cell, so a
relaxed point is right unless, netted, it would put more into a battery than fits. Only
cells that do that get a binary b: c <= c_max b, d <= d_max (1 - b); all cells of an EV
from the second time on, since burning moves on to the next cell.
"""

import highspy
import numpy as np

from optimizer.checks import Floats, Ints
from optimizer.highs.model import K, Model
from optimizer.highs.programme import INF, Bools, Programme

BOTH_KW = 1e-7
_ROUNDING_KWH = 1e-8


class Directions:
    """Binaries of the cells that need one; integers of floors and steps if asked."""

    def __init__(self, model: Model, with_floors: bool = False) -> None:
        self._model = model
        self._with_floors = with_floors
        pairs = np.full((model.problem.n_evse, model.problem.n_step, 2), -1)
        into, out = model.charge, model.discharge
        pairs[model.ev[into], model.step[into], 0] = np.arange(into.start, into.stop)
        pairs[model.ev[out], model.step[out], 1] = np.arange(out.start, out.stop)
        self._pairs: Ints = pairs[(pairs >= 0).all(axis=2)]
        self._has = np.zeros(len(self._pairs), np.bool_)
        self._burnt = np.zeros(model.problem.n_evse, np.bool_)

    def begin(self, programme: Programme) -> None:
        """Make powers 0 or at least the floor, and whole steps, where that is asked."""
        if self._with_floors:
            self._floors(programme)

    def add(self, programme: Programme) -> bool:
        """Give a binary to cells that need one; return whether there was any."""
        need = self.burning(programme.point) & ~self._has
        if not need.any():
            return False
        ev = self._model.ev[self._pairs[:, 0]]
        again = np.unique(ev[need & self._burnt[ev]])
        self._burnt[ev[need]] = True
        need |= np.isin(ev, again) & ~self._has
        self._has |= need
        self._add(programme, self._pairs[need])
        return True

    def burning(self, x: Floats) -> Bools:
        """Return which cells of V2G charge and discharge in a way no plan can."""
        model = self._model
        into, out = x[self._pairs[:, 0]], x[self._pairs[:, 1]]
        both: Bools = (into > BOTH_KW) & (out > BOTH_KW)
        if self._with_floors or not both.any():
            return both
        both &= ~_nets(model, x)[model.ev[self._pairs[:, 0]]]
        return both

    def _add(self, programme: Programme, pairs: Ints) -> None:
        n = len(pairs)
        choice = programme.add_columns(np.zeros(n), np.ones(n))
        programme.integrality(choice, highspy.HighsVarType.kInteger)
        most = programme.upper[pairs]
        columns = np.concatenate(
            [
                np.stack([pairs[:, 0], choice], axis=1).ravel(),
                np.stack([pairs[:, 1], choice], axis=1).ravel(),
            ]
        )
        ones = np.ones(n)
        values = np.concatenate(
            [
                np.stack([ones, -most[:, 0]], axis=1).ravel(),
                np.stack([ones, most[:, 1]], axis=1).ravel(),
            ]
        )
        programme.add_rows(
            np.full(2 * n, -INF),
            np.concatenate([np.zeros(n), most[:, 1]]),
            np.arange(0, 4 * n, 2),
            columns,
            values,
        )

    def _floors(self, programme: Programme) -> None:
        model, p = self._model, self._model.problem
        cells = np.arange(model.n_cell)
        floor, step = p.power_floor_w[model.ev] / K, p.power_step_w[model.ev] / K
        most = programme.upper[cells]
        stepped = step > 0
        unit = np.where(stepped, step, 1.0)
        # A billionth of a step is rounding of the division, not another step.
        fewest = np.where(stepped, np.ceil(floor / unit - 1e-9), floor)
        greatest = np.where(stepped, np.floor(most / unit + 1e-9), most)
        never = greatest < fewest
        programme.bound(cells[never], np.zeros(never.sum()), np.zeros(never.sum()))
        kind = highspy.HighsVarType
        semi = cells[~stepped & ~never & (floor > 0)]
        programme.bound(semi, floor[semi], most[semi])
        programme.integrality(semi, kind.kSemiContinuous)
        counted = cells[stepped & ~never]
        count = programme.add_columns(fewest[counted], greatest[counted])
        above = fewest[counted] > 1
        programme.integrality(count[above], kind.kSemiInteger)
        programme.bound(
            count[~above], np.zeros((~above).sum()), greatest[counted[~above]]
        )
        programme.integrality(count[~above], kind.kInteger)
        programme.add_rows(
            np.zeros(counted.size),
            np.zeros(counted.size),
            np.arange(0, 2 * counted.size, 2),
            np.stack([counted, count], axis=1).ravel(),
            np.stack([np.ones(counted.size), -step[counted]], axis=1).ravel(),
        )


def _nets(model: Model, x: Floats) -> Bools:
    """Return whose batteries hold what the netted powers put into them, (n,)."""
    p = model.problem
    power_kw = model.power_w(x) / K
    into = np.where(
        power_kw > 0,
        power_kw * p.charge_efficiency[:, None],
        power_kw / p.discharge_efficiency[:, None],
    )
    energy = np.cumsum(into * p.hours, axis=1)
    fits: Bools = energy[:, -1] <= model.most_kwh + _ROUNDING_KWH
    if p.stored_wh is not None and p.capacity_wh is not None:
        room = np.nan_to_num((p.capacity_wh - p.stored_wh) / K, nan=np.inf)
        fits &= (energy <= room[:, None] + _ROUNDING_KWH).all(axis=1)
    return fits
