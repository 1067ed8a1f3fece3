"""The cars of a closed loop, as arrays over sessions in order of arrival."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.sessions import (
    ChargingRecord,
    Sessions,
    day_bounds,
    default_needs,
    local_day,
    separated,
)
from benchmarks.laboratory.setting import Departures, Energy, Setting
from benchmarks.simulator import car as cars
from domain.errors import InvalidValue
from domain.model.values import DAY, SECOND, Instant
from optimizer.checks import Floats, Ints


@dataclass(frozen=True, eq=False)
class Fleet:
    """What cars do and what is told of them; all arrays (n,).

    Steps count from ``start_at``. A car is there in arrival_step .. departure_step - 1;
    ``told_departure_step`` is what strategies get. ``need_wh`` is what the car takes if
    it can, ``told_wh`` what strategies get; ``stated`` says whether a driver stated
    that. ``due_wh`` is what the driver is owed: the need or, when strategies get what
    was asked, the smaller of both. ``car_max_w`` is the car's and ``evse_max_w`` the
    EVSE's limit.
    """

    start_at: Instant
    n_step: int
    session_ids: tuple[str, ...]
    station_ids: tuple[str, ...]
    arrival_step: Ints
    departure_step: Ints
    told_departure_step: Ints
    need_wh: Floats
    told_wh: Floats
    due_wh: Floats
    stated: NDArray[np.bool_]
    car_max_w: Floats
    evse_max_w: Floats

    @property
    def size(self) -> int:
        """Number of sessions."""
        return len(self.session_ids)

    def head(self, size: int) -> "Fleet":
        """Return the first sessions alone, and the steps until they have left."""
        kept = {
            name: value[:size]
            for name, value in vars(self).items()
            if name not in ("start_at", "n_step")
        }
        n_step = int(self.departure_step[:size].max())
        return Fleet(start_at=self.start_at, n_step=n_step, **kept)


def fleet_of(
    sessions: Sessions,
    first: date,
    last: date,
    setting: Setting,
    *,
    evse_max_w: float,
    seed: int = 0,
) -> Fleet:
    """Return the cars that arrive on local days first..last.

    Arrivals and departures are rounded down to steps, as in ACN-Sim, so that no two
    cars meet at a station; every car stays a step at least. Sessions without energy are
    left out. The loop lasts until the last car has left.

    Raises
    ------
    InvalidValue
        when no session with energy arrives on those days.
    """
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    inside = set(days)
    arrived = [r for r in sessions.records if local_day(r) in inside]
    records = separated(r for r in arrived if r.delivered_wh > 0).records
    if not records:
        spans = [local_day(r) for r in sessions.records]
        raise InvalidValue(
            f"no session arrives on {first}..{last}; the sessions are of "
            f"{min(spans)}..{max(spans)}"
        )
    start_at = _start_of(sessions, local_day(records[0]), first)
    step = setting.step_s * SECOND
    arrival = np.array([(r.arrival_at - start_at) // step for r in records], np.int64)
    departure = np.array([(r.departure_at - start_at) // step for r in records])
    departure = np.maximum(departure, arrival + 1)
    need = np.array([r.delivered_wh for r in records], np.float64)
    told_wh, told_at = _told(sessions, records)
    told_step = np.maximum((told_at - start_at) // step, arrival + 1)
    requested = np.array([r.requested_wh for r in records], np.float64)
    asks = setting.energy is Energy.ASKED
    if setting.departures is Departures.TRUE:
        told_step = departure
    return Fleet(
        start_at=start_at,
        n_step=int(departure.max()),
        session_ids=tuple(r.session_id for r in records),
        station_ids=tuple(r.station_id for r in records),
        arrival_step=arrival,
        departure_step=departure,
        told_departure_step=told_step,
        need_wh=need,
        told_wh=told_wh if asks else need,
        due_wh=np.minimum(need, requested) if asks else need,
        stated=np.array([r.claimed for r in records]),
        car_max_w=_car_max_w(records, setting, evse_max_w, seed),
        evse_max_w=np.full(len(records), evse_max_w),
    )


def _start_of(sessions: Sessions, day: date, first: date) -> Instant:
    """Return the midnight at which the first day begins."""
    return day_bounds(sessions, day)[0] - (day - first).days * DAY


def _told(sessions: Sessions, records: Sequence[ChargingRecord]) -> tuple[Floats, Ints]:
    """Return energy [Wh] and departure as told: stated, else the site's defaults."""
    defaults: dict[date, tuple[int, int]] = {}
    energy, departure = [], []
    for r in records:
        day = local_day(r)
        if day not in defaults:
            defaults[day] = default_needs(sessions, day_bounds(sessions, day)[0])
        default_wh, default_s = defaults[day]
        energy.append(r.requested_wh if r.claimed else default_wh)
        departure.append(
            r.estimated_departure_at if r.claimed else r.arrival_at + default_s * SECOND
        )
    return np.array(energy, np.float64), np.array(departure, np.int64)


def _car_max_w(
    records: Sequence[ChargingRecord], setting: Setting, evse_max_w: float, seed: int
) -> Floats:
    """Return what cars take at most: the EVSE's limit, or 3.3 kW for the slow ones."""
    if not setting.slow_share:
        return np.full(len(records), evse_max_w)
    most = []
    for r in records:
        # Of the session alone, so that a car is the same whatever the days.
        dice = random.Random(f"voltledger-lab-{seed}-{r.session_id}")
        slow = dice.random() < setting.slow_share
        most.append(
            cars.max_power_w(
                cars.SLOW_W if slow else cars.FULL_W,
                r.delivered_wh,
                r.departure_at - r.arrival_at,
                evse_max_w,
            )
        )
    return np.array(most)
