"""Perfect information: the most energy that could have been delivered, as a bound.

Steps between two events (arrivals, departures) are alike: the same cars are there under
the same limits, all of them convex, so the mean of any plan over them is a plan too.
One power x[i, b] [W] for each car i and interval b between events is therefore exact::

    maximise    sum x[i, b] hours[b]
    subject to  sum_b x[i, b] hours[b] <= need[i]        every car
                sum_i x[i, b]          <= capacity       every interval
                |sum_i a[l, i] x[i, b]| <= limit[l]      every line, every interval
                0 <= x[i, b]           <= the car's and its EVSE's limit

A norm is replaced by tangents ``Re(e^(-j angle) z) <= limit``, which any plan keeps.
They are added where the last solution breaks the norm, until none is broken by more
than `NEARLY`; to begin with none was five times as fast as with six for each line that
may bind. So the optimum is never below what any strategy can do; each interval's powers
are then scaled into its norms, and that plan is what the run reports: it is within
`NEARLY` of the bound. Floors and tapering are left out, which only raises the bound.

Times at which nobody is there part the problem into independent ones.
"""

from dataclasses import dataclass
from time import perf_counter

import highspy
import numpy as np

from benchmarks.laboratory.fleet import Fleet
from benchmarks.laboratory.kernels.drive import ALLOTTED_W, DRAWN_W, MEASURES
from benchmarks.laboratory.loop import Outcome
from benchmarks.laboratory.setting import Setting
from benchmarks.laboratory.site import LabSite
from benchmarks.strategies.columns import lines_of
from optimizer.checks import Floats, Ints

NAME = "perfect-information"
# Relative excess over a line's limit that ends the search for tangents.
NEARLY = 1e-4
_ROUNDS = 60


class HindsightError(RuntimeError):
    """HiGHS found no optimum where there always is one."""


def run_hindsight(
    fleet: Fleet, site: LabSite, setting: Setting, price_per_kwh: Floats
) -> Outcome:
    """Return what was possible with the cars, all known beforehand."""
    begun = perf_counter()
    energy = np.zeros(fleet.size)
    measured = np.zeros((MEASURES, fleet.n_step))
    for sessions in _apart(fleet):
        _solve_part(fleet, site, setting, sessions, energy, measured)
    measured[ALLOTTED_W] = measured[DRAWN_W]
    return Outcome(
        fleet=fleet,
        site=site,
        setting=setting,
        energy_wh=energy,
        measured=measured,
        price_per_kwh=price_per_kwh,
        plan_s=np.array([perf_counter() - begun]),
    )


def _apart(fleet: Fleet) -> list[Ints]:
    """Return the sessions, parted where nobody is there; they are in order."""
    last = np.maximum.accumulate(fleet.departure_step)
    starts = np.flatnonzero(fleet.arrival_step[1:] >= last[:-1]) + 1
    return [np.asarray(p) for p in np.split(np.arange(fleet.size), starts)]


@dataclass(eq=False)
class _Part:
    """One independent problem: columns are pairs of a car and an interval."""

    edges: Ints
    car: Ints
    interval: Ints
    most_w: Floats
    hours: Floats
    re: Floats
    im: Floats
    limit_a: Floats

    def currents(self, power_w: Floats) -> tuple[Floats, Floats]:
        """Return real and imaginary currents of lines in intervals, (m, b) [A]."""
        shape = (self.limit_a.size, self.hours.size)
        x, y = np.zeros(shape), np.zeros(shape)
        for line in range(self.limit_a.size):
            for z, a in ((x, self.re), (y, self.im)):
                z[line] = np.bincount(
                    self.interval, a[line, self.car] * power_w, self.hours.size
                )
        return x, y


def _solve_part(
    fleet: Fleet,
    site: LabSite,
    setting: Setting,
    sessions: Ints,
    energy_wh: Floats,
    measured: Floats,
) -> None:
    part = _part_of(fleet, site, setting, sessions)
    highs = _programme(part, fleet.need_wh[sessions], site.capacity_w)
    power = _scaled(part, _with_tangents(highs, part))
    energy_wh[sessions] = np.bincount(
        part.car, power * part.hours[part.interval], sessions.size
    )
    total_w = np.bincount(part.interval, power, part.hours.size)
    measured[DRAWN_W, part.edges[0] : part.edges[-1]] = np.repeat(
        total_w, np.diff(part.edges)
    )


def _part_of(fleet: Fleet, site: LabSite, setting: Setting, sessions: Ints) -> _Part:
    arrival, departure = fleet.arrival_step[sessions], fleet.departure_step[sessions]
    edges = np.unique(np.concatenate([arrival, departure]))
    first, last = np.searchsorted(edges, arrival), np.searchsorted(edges, departure)
    car = np.repeat(np.arange(sessions.size), last - first)
    interval = np.concatenate(
        [np.arange(a, b) for a, b in zip(first, last, strict=True)]
    )
    most_w = np.minimum(fleet.car_max_w, fleet.evse_max_w)[sessions]
    stations = [fleet.station_ids[i] for i in sessions]
    at = site.rows(stations)
    re, im, limit_a = lines_of(site.network, len(site.station_ids))
    return _Part(
        edges=edges,
        car=car,
        interval=interval,
        most_w=most_w[car],
        hours=np.diff(edges) * setting.step_h,
        re=re[:, at],
        im=im[:, at],
        limit_a=limit_a,
    )


def _programme(part: _Part, need_wh: Floats, capacity_w: float) -> highspy.Highs:
    """Return the programme without lines."""
    n_column, n_car, n_interval = part.car.size, need_wh.size, part.hours.size
    hours = part.hours[part.interval]
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n_column, n_car + n_interval
    lp.col_cost_ = -hours
    lp.col_lower_ = np.zeros(n_column)
    lp.col_upper_ = part.most_w
    lp.row_lower_ = np.full(n_car + n_interval, -highspy.kHighsInf)
    lp.row_upper_ = np.concatenate([need_wh, np.full(n_interval, capacity_w)])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.arange(0, 2 * n_column + 1, 2, dtype=np.int32)
    rows = np.stack([part.car, n_car + part.interval], axis=1)
    lp.a_matrix_.index_ = rows.astype(np.int32).ravel()
    lp.a_matrix_.value_ = np.stack([hours, np.ones(n_column)], axis=1).ravel()
    highs = highspy.Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
        highs.setOptionValue(option, value)
    highs.passModel(lp)
    return highs


def _with_tangents(highs: highspy.Highs, part: _Part) -> Floats:
    """Return the powers of the columns when no norm is broken by more than NEARLY."""
    by_interval = [np.flatnonzero(part.interval == b) for b in range(part.hours.size)]
    for _ in range(_ROUNDS):
        power = _solved(highs)
        x, y = part.currents(power)
        broken = np.argwhere(np.hypot(x, y) > part.limit_a[:, None] * (1 + NEARLY))
        if not broken.size:
            return power
        for line, b in broken:
            angle = float(np.arctan2(y[line, b], x[line, b]))
            _add_tangent(highs, part, by_interval[b], line, angle)
    return power


def _add_tangent(
    highs: highspy.Highs, part: _Part, columns: Ints, line: int, angle: float
) -> None:
    at = part.car[columns]
    value = np.cos(angle) * part.re[line, at] + np.sin(angle) * part.im[line, at]
    used = np.abs(value) > 1e-12
    highs.addRow(
        -highspy.kHighsInf,
        float(part.limit_a[line]),
        int(used.sum()),
        columns[used].astype(np.int32),
        value[used],
    )


def _solved(highs: highspy.Highs) -> Floats:
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise HindsightError(f"HiGHS ended with {highs.getModelStatus()}")
    power: Floats = np.array(highs.getSolution().col_value)
    return np.maximum(power, 0.0)


def _scaled(part: _Part, power_w: Floats) -> Floats:
    """Return the powers scaled into the norms of their intervals."""
    if not part.limit_a.size:
        return power_w
    current = np.hypot(*part.currents(power_w))
    over = (current / part.limit_a[:, None]).max(axis=0)
    scaled: Floats = power_w / np.maximum(over, 1.0)[part.interval]
    return scaled
