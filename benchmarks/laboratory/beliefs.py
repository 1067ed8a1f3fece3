"""What a charging station management system knows of the cars, as a Problem.

In the standard setting it knows all. When it observes (the realistic one), it knows
what drivers stated and what meters show, as the service's loop does
(`domain.loop.allocation`, whose figures these are):

* a car seen to take less than it might is offered a little more than that;
* one that draws nothing is done, and is offered its floor again every 15 minutes;
* one past its stated departure comes in a later class and is planned for an hour more;
* a driver who stated nothing and whose car takes more than the default gets twice that;
* of what is left of a stated energy, the share that finished cars took is expected;
* beyond what was asked a car may take what nobody else asks for.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.laboratory.fleet import Fleet
from benchmarks.laboratory.setting import Energy, Setting
from benchmarks.laboratory.site import LabSite
from domain.loop import allocation as loop
from domain.model.values import SECOND
from optimizer import PhaseNetwork, Problem
from optimizer.checks import Floats, Ints

Bools = NDArray[np.bool_]

OFFER_AFTER_S = loop.OFFER_AFTER // SECOND
ROLLING_DEPARTURE_S = loop.ROLLING_DEPARTURE // SECOND
# Energy below this is none [Wh].
NOTHING_WH = 1e-3


@dataclass(eq=False)
class Beliefs:
    """The state of a zone as far as it is known.

    ``energy_wh`` (n,) is metered; ``seen_w`` and ``stopped_step`` (n,) are what was
    observed of each car (`kernels.drive`).
    """

    fleet: Fleet
    site: LabSite
    setting: Setting
    price_per_kwh: Floats
    energy_wh: Floats = field(init=False)
    seen_w: Floats = field(init=False)
    stopped_step: Ints = field(init=False)
    evse: Ints = field(init=False)
    last_step: int = 0
    last_rows: Ints = field(init=False)
    last_plan_w: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Know of no car yet."""
        n = self.fleet.size
        self.energy_wh = np.zeros(n)
        self.seen_w = np.full(n, np.inf)
        self.stopped_step = np.full(n, -1)
        self.evse = self.site.rows(self.fleet.station_ids)
        self.last_rows = np.zeros(0, np.int64)
        self.last_plan_w = np.zeros((0, 1))

    def rows(self, step: int) -> Ints:
        """Return the sessions that a plan made at a step is for."""
        fleet = self.fleet
        there = (fleet.arrival_step <= step) & (step < fleet.departure_step)
        if self.setting.energy is Energy.TAKEN:
            there &= fleet.told_wh - self.energy_wh > NOTHING_WH
        rows: Ints = np.flatnonzero(there)
        if self.setting.observes:
            rows = rows[(self.stopped_step[rows] < 0) | self._is_offered(rows, step)]
        return rows

    def problem(self, rows: Ints, step: int) -> Problem:
        """Return the problem of those sessions at a step."""
        setting, fleet = self.setting, self.fleet
        offered = self.stopped_step[rows] >= 0
        target, most, expected = self._energies(rows, offered)
        departure = fleet.told_departure_step[rows] - step
        overdue = departure <= 0
        rolling = max(ROLLING_DEPARTURE_S // setting.step_s, 1)
        departure = np.where(overdue, rolling, departure)
        edges = setting.edges(int(min(departure.max(), setting.horizon_steps)))
        n_column = edges.size - 1
        power_max = np.minimum(fleet.evse_max_w[rows], self._may_take_w(rows))
        power_max = np.where(offered, np.minimum(setting.floor_w, power_max), power_max)
        promised = setting.minimum_share * fleet.told_wh[rows] - self.energy_wh[rows]
        return Problem(
            step_s=np.diff(edges) * float(setting.step_s),
            power_max_w=power_max,
            power_floor_w=np.array(setting.floor_w),
            arrival_step=np.zeros(rows.size, np.int64),
            departure_step=np.searchsorted(edges, np.minimum(departure, edges[-1])),
            energy_min_wh=np.clip(promised, 0.0, target),
            energy_target_wh=target,
            energy_max_wh=most,
            energy_expected_wh=expected,
            priority=np.where(
                offered, loop.OFFERED, np.where(overdue, loop.OVERDUE, loop.PUNCTUAL)
            ),
            pre_lower_w=np.zeros(1),
            pre_upper_w=np.full(n_column, self.site.capacity_w),
            phases=self.phases(rows),
            buy_per_kwh=self._prices(step, edges),
            previous_power_w=self._in_force(rows, step, edges),
            evse_max_w=fleet.evse_max_w[rows],
            arrival_rank=np.arange(rows.size),  # sessions are in order of arrival
            row_key=self.evse[rows],
        )

    def phases(self, rows: Ints) -> PhaseNetwork | None:
        """Return the lines, as the EVSEs of those sessions load them."""
        network = self.site.network
        if network is None:
            return None
        at = self.evse[rows]
        return PhaseNetwork(
            network.matrix[:, at],
            network.phase_rad[at],
            network.limit_a,
            network.voltage_v[at],
        )

    def remember(self, rows: Ints, step: int, plan_w: Floats) -> None:
        """Keep the plan in force, of single steps."""
        self.last_rows, self.last_step, self.last_plan_w = rows, step, plan_w

    def _is_offered(self, rows: Ints, step: int) -> Bools:
        wait = max(OFFER_AFTER_S // self.setting.step_s, 1)
        return self.stopped_step[rows] + wait <= step

    def _may_take_w(self, rows: Ints) -> Floats:
        """Return what EVs may be offered for what they take [W]."""
        if not self.setting.observes:
            return self.fleet.car_max_w[rows]
        seen = self.seen_w[rows]
        probed = seen + np.maximum(loop.PROBE_W, loop.PROBE_SHARE * seen)
        return np.maximum(self.setting.floor_w, probed)

    def _energies(self, rows: Ints, offered: Bools) -> tuple[Floats, Floats, Floats]:
        """Return target, most and expected energy from now on, (k,) each [Wh]."""
        told, got = self.fleet.told_wh[rows], self.energy_wh[rows]
        if self.setting.energy is Energy.TAKEN:
            left = told - got
            return left, left, left
        whole = told.copy()
        doubled = ~self.fleet.stated[rows] & (whole > 0)
        while (short := doubled & (whole <= got)).any():
            whole[short] *= 2.0
        target = np.where(offered, 0.0, np.maximum(whole - got, 0.0))
        most = np.maximum(whole + loop.BEYOND_ASKED_WH - got, target)
        share = np.where(self.fleet.stated[rows], self._taken_share(), 1.0)
        expected = np.maximum(share * target, loop.EXPECTED_REST_SHARE * whole)
        return target, most, np.where(offered, 0.0, expected)

    def _taken_share(self) -> float:
        """Return what finished cars took of what their drivers stated, at most 1."""
        done = (self.stopped_step >= 0) & self.fleet.stated
        asked_wh = float(self.fleet.told_wh[done].sum())
        if asked_wh <= 0.0:
            return 1.0
        return min(float(self.energy_wh[done].sum()) / asked_wh, 1.0)

    def _prices(self, step: int, edges: Ints) -> Floats:
        """Return the mean price of each column."""
        at = np.minimum(np.arange(step, step + edges[-1]), self.price_per_kwh.size - 1)
        total = np.add.reduceat(self.price_per_kwh[at], edges[:-1])
        mean: Floats = total / np.diff(edges)
        return mean

    def _in_force(self, rows: Ints, step: int, edges: Ints) -> Floats:
        """Return the last plan at the columns' begins, 0 for new EVs, (k, T)."""
        previous = np.zeros((rows.size, edges.size - 1))
        at = edges[:-1] + step - self.last_step
        known = self.last_plan_w[:, at[at < self.last_plan_w.shape[1]]]
        _, here, there = np.intersect1d(
            rows, self.last_rows, assume_unique=True, return_indices=True
        )
        previous[here, : known.shape[1]] = known[there]
        return previous
