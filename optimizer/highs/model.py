"""The allocation problem as one sparse programme, in kW and kWh.

Columns, per cell (EV i, step t) in which the EV is there: charging power ``c``,
discharging power ``d`` where V2G; energy ``s`` in the battery where V2G and known. Per
EV: promised energy left out ``u`` and energy beyond it left out ``v``. Per limit and
step what it is exceeded by, up and down. Where something other than the PRE sees the
zone's power: ``y``, export above what its price covers, and the peak. h is a step's
length [h]; with e = sum_t h (eta c - d / eta'), or s after the last step::

    PRE      lower <= sum_i (c - d) - up + down <= upper           and so each group
    window   lower <= mean_h y      - up + down <= upper
    EV       target <= e + u + v <= max(target, max),  0 <= v <= target - min
    battery  s[t] - s[t-1] - h (eta c - d / eta') = 0,  0 <= s <= capacity

The EV's row is exact: u + v never is more than target - e where it is as small as can
be, and v fills before u does.
"""

import highspy
import numpy as np

from optimizer.checks import Floats, Ints
from optimizer.highs.programme import INF, Bools, Gathered
from optimizer.problem import Problem

K = 1000.0
LEAST_GAP_KWH = 1e-3


class Model:
    """Where everything is in the programme of a problem. Slices are of columns.

    Attributes
    ----------
    ev, step, sign : (n_cell,)
        Cells of charging (+1), then those of discharging (-1); column k is cell k.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.hours = problem.hours
        self._gathered = Gathered()
        self.charge, self.discharge = self._cells()
        self.n_cell = self.discharge.stop
        self.into_kwh = self._into_battery()
        self.zone = self._zone()
        self.excess = self._limits()
        self._zone_prices()
        self.left_min, self.left_beyond = self._energies()
        self.state = self._batteries()
        self.n_col = self._gathered.n_col

    def lp(self) -> highspy.HighsLp:
        """Return the programme with no objective and everything allowed to give."""
        return self._gathered.lp()

    def power_w(self, x: Floats) -> Floats:
        """Return the plan of a point, (n, T) [W]."""
        charge_w, discharge_w = self.parts_w(x)
        power_w: Floats = charge_w - discharge_w
        return power_w

    def parts_w(self, x: Floats) -> tuple[Floats, Floats]:
        """Return charging and discharging power of a point, (n, T) each [W]."""
        out = []
        for cells in (self.charge, self.discharge):
            power = np.zeros((self.problem.n_evse, self.problem.n_step))
            power[self.ev[cells], self.step[cells]] = x[cells] * K
            out.append(power)
        limit = self.problem.power_max_w, -self.problem.power_min_w
        return np.clip(out[0], 0.0, limit[0]), np.clip(out[1], 0.0, limit[1])

    def elastic(self) -> Ints:
        """Return the columns that are used only when something has to give."""
        u, v, e = self.left_min, self.left_beyond, self.excess
        blocks = [np.arange(b.start, b.stop) for b in (e, u, v)]
        return np.concatenate(blocks)

    def holds_idle(self) -> bool:
        """Return whether every limit holds when nobody charges."""
        lower, upper = self._gathered.row_bounds(self.limit_rows)
        idle = (lower <= 0).all() and (upper >= 0).all()
        return bool(idle and (self.most_kwh >= 0).all())

    def _cells(self) -> tuple[slice, slice]:
        p = self.problem
        there = p.available()
        c_ev, c_step = np.nonzero(there & (p.power_max_w > 0))
        d_ev, d_step = (
            np.nonzero(there & (p.power_min_w < 0))
            if p.has_v2g
            else (np.empty(0, np.int64), np.empty(0, np.int64))
        )
        self.ev = np.concatenate([c_ev, d_ev])
        self.step = np.concatenate([c_step, d_step])
        self.sign = np.concatenate([np.ones(c_ev.size), -np.ones(d_ev.size)])
        return (
            self._gathered.columns(
                np.zeros(c_ev.size), p.power_max_w[c_ev, c_step] / K
            ),
            self._gathered.columns(
                np.zeros(d_ev.size), -p.power_min_w[d_ev, d_step] / K
            ),
        )

    def _into_battery(self) -> Floats:
        """Return what 1 kW in a cell puts into the battery, (n_cell,) [kWh]."""
        p = self.problem
        factor = np.where(
            self.sign > 0,
            p.charge_efficiency[self.ev],
            -1.0 / p.discharge_efficiency[self.ev],
        )
        into: Floats = factor * self.hours[self.step]
        return into

    def _zone(self) -> slice | None:
        """Add the zone's power where it is needed more than once a step."""
        p, g, steps = self.problem, self._gathered, np.arange(self.problem.n_step)
        self.balance_rows: slice | None = None
        self.exports = p.has_v2g and bool((p.price_per_kwh > p.worth_per_kwh).any())
        if not (self.exports or p.peak_per_kw > 0 or p.energy_windows):
            return None
        free = np.full(steps.size, INF)
        zone = g.columns(-free, free)
        balance = g.rows(np.zeros(steps.size), np.zeros(steps.size))
        self.balance_rows = balance
        self._sum_of_cells(balance.start, slice(None))
        g.entries(balance.start + steps, zone.start + steps, -1.0)
        return zone

    def _limits(self) -> slice:
        """Add PRE, groups and windows; return all columns of what exceeds them."""
        p, g, n_step = self.problem, self._gathered, self.problem.n_step
        first = g.n_col
        self.pre_rows = self._elastic_rows(p.pre_lower_w, p.pre_upper_w, self.hours)
        if self.zone is None:
            self._sum_of_cells(self.pre_rows.start, slice(None))
        else:
            steps = np.arange(n_step)
            g.entries(self.pre_rows.start + steps, self.zone.start + steps, 1.0)
        weights = [self.hours, self.hours]
        start = g.n_row
        for group in p.groups:
            rows = self._elastic_rows(group.lower_w, group.upper_w, self.hours)
            member = np.zeros(p.n_evse, np.bool_)
            member[group.members] = True
            self._sum_of_cells(rows.start, np.flatnonzero(member[self.ev]))
            weights += [self.hours, self.hours]
        self.group_rows = slice(start, g.n_row)
        for window in p.energy_windows:
            steps = np.arange(window.start_step, window.stop_step)
            span = self.hours[steps].sum(keepdims=True)
            row = self._elastic_rows(
                np.array([window.lower_w]), np.array([window.upper_w]), span
            )
            assert self.zone is not None
            g.entries(
                np.full(steps.size, row.start),
                self.zone.start + steps,
                self.hours[steps] / span,
            )
            weights += [span, span]
        self.excess_hours = np.concatenate(weights)
        self.limit_rows = slice(self.pre_rows.start, g.n_row)
        return slice(first, g.n_col)

    def _elastic_rows(self, lower_w: Floats, upper_w: Floats, hours: Floats) -> slice:
        g, n = self._gathered, hours.size
        up = g.columns(np.zeros(n), np.where(upper_w < np.inf, INF, 0.0))
        down = g.columns(np.zeros(n), np.where(lower_w > -np.inf, INF, 0.0))
        rows = g.rows(lower_w / K, upper_w / K)
        row = np.arange(rows.start, rows.stop)
        g.entries(row, np.arange(up.start, up.stop), -1.0)
        g.entries(row, np.arange(down.start, down.stop), 1.0)
        return rows

    def _sum_of_cells(self, first_row: int, cells: Ints | slice) -> None:
        columns = np.arange(self.n_cell)[cells]
        self._gathered.entries(first_row + self.step[cells], columns, self.sign[cells])

    def _zone_prices(self) -> None:
        """Add export and peak: y + export >= 0, y - peak <= 0."""
        p, g, n_step = self.problem, self._gathered, self.problem.n_step
        steps, free = np.arange(n_step), np.full(n_step, INF)
        self.export: slice | None = None
        self.peak: slice | None = None
        if self.zone is not None and self.exports:
            self.export = g.columns(np.zeros(n_step), free)
            rows = g.rows(np.zeros(n_step), free)
            g.entries(rows.start + steps, self.zone.start + steps, 1.0)
            g.entries(rows.start + steps, self.export.start + steps, 1.0)
        if self.zone is not None and p.peak_per_kw > 0:
            self.peak = g.columns(np.array([p.peak_so_far_w / K]), np.array([INF]))
            rows = g.rows(-free, np.zeros(n_step))
            g.entries(rows.start + steps, self.zone.start + steps, 1.0)
            g.entries(rows.start + steps, np.full(n_step, self.peak.start), -1.0)

    def _energies(self) -> tuple[slice, slice]:
        """Add the EVs' rows; their part within the battery comes with `_batteries`."""
        p, g, n = self.problem, self._gathered, self.problem.n_evse
        least, target = p.energy_min_wh / K, p.energy_target_wh / K
        self.most_kwh = self._attainable(p.energy_max_wh / K)
        least_u = np.maximum(least - self.most_kwh, 0.0)
        least_v = np.maximum(target - np.maximum(self.most_kwh, least), 0.0)
        u = g.columns(least_u, np.full(n, INF))
        v = g.columns(least_v, target - least)
        rows = g.rows(target.copy(), np.maximum(target, self.most_kwh))
        self.ev_rows = rows
        evs = np.arange(n)
        g.entries(rows.start + evs, u.start + evs, 1.0)
        g.entries(rows.start + evs, v.start + evs, 1.0)
        return u, v

    def _attainable(self, most_kwh: Floats) -> Floats:
        """Return the most energy each EV may take, (n,) [kWh].

        A greatest energy below 0 that an EV alone cannot reach is lifted to what it can
        give.
        """
        p = self.problem
        out = self.sign < 0
        gives = np.bincount(
            self.ev[out], -self.into_kwh[out] * self._upper(out), minlength=p.n_evse
        )
        if p.stored_wh is not None and p.capacity_wh is not None:
            room = np.nan_to_num((p.capacity_wh - p.stored_wh) / K, nan=np.inf)
            most_kwh = np.minimum(most_kwh, room)
            gives = np.minimum(gives, np.nan_to_num(p.stored_wh / K, nan=np.inf))
        attainable: Floats = np.maximum(most_kwh, -gives)
        return attainable

    def _upper(self, cells: Bools) -> Floats:
        """Return the greatest power of cells [kW]."""
        ev, step, p = self.ev[cells], self.step[cells], self.problem
        upper_w: Floats = np.where(
            self.sign[cells] > 0, p.power_max_w[ev, step], -p.power_min_w[ev, step]
        )
        return upper_w / K

    def _batteries(self) -> slice:
        """Add the batteries of V2G EVs, and the energy rows of all."""
        p, g = self.problem, self._gathered
        tracked = np.zeros(p.n_evse, np.bool_)
        if p.stored_wh is not None and p.capacity_wh is not None:
            tracked[self.ev[self.discharge]] = True
            tracked &= np.isfinite(p.stored_wh) & np.isfinite(p.capacity_wh)
        plain = np.flatnonzero(~tracked[self.ev])
        g.entries(self.ev_rows.start + self.ev[plain], plain, self.into_kwh[plain])
        ev, step = np.nonzero(p.available() & tracked[:, None])
        self.state_ev, self.state_step = ev, step
        if not ev.size or p.stored_wh is None or p.capacity_wh is None:
            self.state_rows = slice(g.n_row, g.n_row)
            return slice(g.n_col, g.n_col)
        state = g.columns(np.zeros(ev.size), p.capacity_wh[ev] / K)
        first = np.concatenate([[True], ev[1:] != ev[:-1]])
        last = np.concatenate([ev[1:] != ev[:-1], [True]])
        start_kwh = np.where(first, p.stored_wh[ev] / K, 0.0)
        rows = g.rows(start_kwh, start_kwh)
        self.state_rows = rows
        index = np.arange(ev.size)
        g.entries(rows.start + index, state.start + index, 1.0)
        later = index[~first]
        g.entries(rows.start + later, state.start + later - 1, -1.0)
        place = np.full((p.n_evse, p.n_step), -1)
        place[ev, step] = index
        cells = np.flatnonzero(tracked[self.ev])
        own = place[self.ev[cells], self.step[cells]]
        g.entries(rows.start + own, cells, -self.into_kwh[cells])
        # The EV's row counts what is added: s after the last step less s before.
        g.entries(self.ev_rows.start + ev[last], state.start + index[last], 1.0)
        g.shift_rows(self.ev_rows, np.where(tracked, p.stored_wh / K, 0.0))
        return state
