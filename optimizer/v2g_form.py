"""A problem in the form of the interior point method: `optimizer.kernels.v2g_blocks`.

Energies are in units of the greatest energy of a step, prices in the greatest price.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from optimizer.checks import Floats, Ints
from optimizer.kernels.v2g_blocks import Chains, Point
from optimizer.kernels.v2g_interior import BOUNDLESS, leaves_first
from optimizer.problem import Problem
from optimizer.tree import group_tree

# Prices of energy left out and outside the limits, in the greatest price of energy.
LEFT_OUT, PROMISE_LEFT_OUT, OUTSIDE = 30.0, 90.0, 300.0


class Parts(NamedTuple):
    """Views of an array by variable.

    ``charge``, ``discharge``, ``stored`` (N,); ``left`` (n, 3) promised and asked-for
    energy left out and energy beyond; ``rows`` (R, T, 4) segments up and down within
    the limits and beyond them.
    """

    charge: Floats
    discharge: Floats
    stored: Floats
    left: Floats
    rows: Floats


@dataclass(frozen=True, eq=False)
class Form:
    """The constant part, its units [kWh] and [per kWh], and each cell's EV and step."""

    problem: Problem
    chains: Chains
    kwh: float
    price: float
    ev: Ints
    step: Ints

    @property
    def order(self) -> Ints:
        """Rows such that each comes before its parent."""
        return leaves_first(self.chains.parent)

    def parts(self, values: Floats) -> Parts:
        """Return views of an array by variable."""
        n_cell, n = self.ev.size, self.problem.n_evse
        rows = values[3 * (n_cell + n) :].reshape(*self.chains.base.shape, 4)
        return Parts(
            values[:n_cell],
            values[n_cell : 2 * n_cell],
            values[2 * n_cell : 3 * n_cell],
            values[3 * n_cell : 3 * (n_cell + n)].reshape(n, 3),
            rows,
        )

    def values(self, point: Point) -> Floats:
        """Return the variables, 0 where they are not free."""
        values: Floats = point.x * self.chains.free
        return values

    def costing(self, cost: Floats) -> Self:
        """Return the form with another objective."""
        return replace(self, chains=self.chains._replace(cost=cost))

    def bounded(self, upper: Floats) -> Self:
        """Return the form with other bounds."""
        free = (upper > 0.0).astype(np.float64)
        return replace(self, chains=self.chains._replace(upper=upper, free=free))

    def zeros(self) -> Floats:
        """Return zeros by variable."""
        return np.zeros(self.chains.upper.size)

    def money(self) -> Floats:
        """Return what variables cost in money."""
        p = self.problem
        cost = self.zeros()
        parts = self.parts(cost)
        parts.discharge[:] = p.wear_per_kwh / self.price
        buy, sell = p.price_per_kwh / self.price, p.worth_per_kwh / self.price
        zone = parts.rows[0]
        zone[:, 0], zone[:, 1] = buy, -sell
        zone[:, 2] = np.where(p.pre_upper_w < 0.0, sell, buy)
        zone[:, 3] = -np.where(p.pre_lower_w > 0.0, buy, sell)
        return cost

    def leaving_out(self) -> Floats:
        """Return the prices of what is left out or outside."""
        cost = self.zeros()
        parts = self.parts(cost)
        parts.left[:, 0], parts.left[:, 1] = PROMISE_LEFT_OUT, LEFT_OUT
        parts.rows[:, :, 2:] = OUTSIDE
        return cost

    def given(self, values: Floats) -> Self:
        """Return the form that may leave out and be outside what these values do."""
        parts, form = self.parts(values), self.outside_given(values)
        upper = form.chains.upper.copy()
        new = self.parts(upper)
        left = parts.left[:, 0] + parts.left[:, 1]
        new.left[:, 0] = BOUNDLESS
        new.left[:, 1] = 0.0
        new.left[:, 2] += left
        form = form.bounded(upper)
        return replace(form, chains=form.chains._replace(want=self.chains.want - left))

    def outside_given(self, values: Floats) -> Self:
        """Return the form whose limits are as far out as these values are."""
        upper = self.chains.upper.copy()
        rows, given = self.parts(upper).rows, self.parts(values).rows
        rows[:, :, :2] += given[:, :, 2:]
        return self.bounded(upper)

    def power_w(self, values: Floats) -> Floats:
        """Return the powers of variables, (n, T) [W]."""
        parts, p = self.parts(values), self.problem
        power = np.zeros((p.n_evse, p.n_step))
        energy = parts.charge - parts.discharge
        power[self.ev, self.step] = energy * (self.kwh * 1e3) / p.hours[self.step]
        return np.clip(power, p.power_min_w, p.power_max_w)

    def directions_w(self, values: Floats) -> tuple[Floats, Floats]:
        """Return charging and discharging powers, (n, T) each [W]."""
        parts, p = self.parts(values), self.problem
        into, out = np.zeros((2, p.n_evse, p.n_step))
        unit = self.kwh * 1e3 / p.hours[self.step]
        into[self.ev, self.step] = parts.charge * unit
        out[self.ev, self.step] = parts.discharge * unit
        return into, out


def form_of(problem: Problem) -> Form:
    """Return the form; its objective is money with what is left out at high prices."""
    p, n = problem, problem.n_evse
    arrival, length = _moving_steps(p)
    first = np.concatenate([[0], np.cumsum(length)])
    ev = np.repeat(np.arange(n), length)
    step = np.arange(int(first[-1])) - np.repeat(first[:-1] - arrival, length)
    hours = p.hours[step] / 1e3
    charge, discharge = (
        p.power_max_w[ev, step] * hours,
        -p.power_min_w[ev, step] * hours,
    )
    kwh = max(float(charge.max(initial=0.0)), float(discharge.max(initial=0.0))) or 1.0
    prices = (np.abs(p.price_per_kwh).max(), np.abs(p.worth_per_kwh).max())
    price = max(float(max(prices)), p.wear_per_kwh) or 1.0
    charge, discharge = charge / kwh, discharge / kwh
    parent, home = _tree(p)
    base, segments = _segments(p, parent.size, kwh)
    gives = np.bincount(ev, discharge, n).astype(np.float64)
    bounds = _Energies.of(p, gives, kwh)
    stores = bounds.known & (gives > 0.0)
    capacity = np.where(stores, bounds.capacity, 0.0)[ev]
    started = np.where(stores, bounds.stored, 0.0)
    upper = np.concatenate([charge, discharge, capacity, bounds.left.ravel(), segments])
    chains = Chains(
        first, arrival, home, stores,
        np.ascontiguousarray(p.charge_efficiency), 1.0 / p.discharge_efficiency,
        started, bounds.target + started, upper, (upper > 0.0).astype(np.float64),
        np.zeros(upper.size), base, parent,
    )  # fmt: skip
    form = Form(p, chains, kwh, price, ev, step)
    return form.costing(form.money() + form.leaving_out())


def _moving_steps(p: Problem) -> tuple[Ints, Ints]:
    """Return the first and the number of steps in which EVs can take or give.

    A full battery first has to give, an empty one first has to take.
    """
    arrival = np.clip(p.arrival_step, 0, p.n_step)
    departure = np.clip(p.departure_step, arrival, p.n_step)
    there, gives = p.available(), p.power_min_w < 0.0
    takes_nothing = (p.energy_max_wh <= 0.0) & ~(there & gives).any(axis=1)
    if p.stored_wh is not None and p.capacity_wh is not None:
        full, empty = p.stored_wh >= p.capacity_wh, p.stored_wh <= 0.0
        for stuck, moves in ((full, gives), (empty, p.power_max_w > 0.0)):
            rows = np.flatnonzero(stuck)
            can = there[rows] & moves[rows]
            begins = np.where(can.any(axis=1), can.argmax(axis=1), p.n_step)
            arrival[rows] = np.maximum(arrival[rows], begins)
    arrival[takes_nothing] = p.n_step
    arrival = np.minimum(arrival, departure)
    return arrival, departure - arrival


class _Energies(NamedTuple):
    known: np.ndarray[tuple[int], np.dtype[np.bool_]]
    stored: Floats
    capacity: Floats
    target: Floats
    left: Floats

    @classmethod
    def of(cls, p: Problem, discharge: Floats, kwh: float) -> "_Energies":
        """Return what EVs may leave out and take, given what each can discharge.

        What an EV alone can never reach is taken out: more than its battery holds, less
        than it can give.
        """
        unit, nan = kwh * 1e3, np.full(p.n_evse, np.nan)
        stored = (nan if p.stored_wh is None else p.stored_wh) / unit
        capacity = (nan if p.capacity_wh is None else p.capacity_wh) / unit
        known = ~np.isnan(stored) & ~np.isnan(capacity)
        least = -discharge / p.discharge_efficiency
        least = np.where(known, np.maximum(least, -stored), least)
        room = np.where(known, capacity - stored, np.inf)
        most = np.maximum(np.minimum(p.energy_max_wh / unit, room), least)
        target = np.minimum(p.energy_target_wh / unit, most)
        promise = np.minimum(p.energy_min_wh / unit, target)
        left = np.zeros((p.n_evse, 3))
        left[:, 0] = BOUNDLESS
        left[:, 1] = target - promise
        left[:, 2] = most - target
        return cls(known, stored, capacity, target, left)


def _tree(p: Problem) -> tuple[Ints, Ints]:
    """Return the parent of each row, the zone's first, and each EV's smallest row."""
    tree = group_tree(p)
    row = np.zeros(tree.parent.size, np.int64)
    row[tree.node_of_group] = 1 + np.arange(len(p.groups))
    parent = np.full(row.size, -1)
    parent[1:] = row[tree.parent[tree.node_of_group]]
    return parent, row[tree.leaf]


def _segments(p: Problem, n_row: int, kwh: float) -> tuple[Floats, Floats]:
    """Return where segments start (R, T) and their lengths, by variable."""
    hours = p.hours / (kwh * 1e3)
    base, length = np.zeros((n_row, p.n_step)), np.zeros((n_row, p.n_step, 4))
    length[:, :, 2:] = BOUNDLESS
    # More than the members can do, so that no end of such a segment is ever near.
    far = 2.0 * float(np.maximum(p.power_max_w, -p.power_min_w).sum()) + 1.0
    split = p.price_per_kwh > p.worth_per_kwh
    limits = [(p.pre_lower_w, p.pre_upper_w)]
    limits += [(group.lower_w, group.upper_w) for group in p.groups]
    for r, (lower, upper) in enumerate(limits):
        low = np.maximum(lower, np.minimum(-far, upper - far)) if r else lower
        high = np.minimum(upper, np.maximum(far, lower + far)) if r else upper
        start = np.where(split, np.clip(0.0, low, high), low) if r == 0 else low
        base[r] = start * hours
        length[r, :, 0] = (high - start) * hours
        length[r, :, 1] = (start - low) * hours
    return base, length.ravel()
