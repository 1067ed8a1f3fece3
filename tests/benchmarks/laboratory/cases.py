"""Small problems, sites, fleets and strategies for the laboratory's tests."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
from hypothesis import strategies as st

from benchmarks.laboratory.fleet import Fleet, fleet_of
from benchmarks.laboratory.generated import generated_sessions
from benchmarks.laboratory.loop import Outcome, run_loop
from benchmarks.laboratory.setting import STANDARD, Setting
from benchmarks.laboratory.site import EVSE_MAX_W, LabSite, site_of
from benchmarks.scenarios.caltech import caltech_network, columns
from benchmarks.strategies.protocol import Strategy
from optimizer import Group, PhaseNetwork, Problem
from optimizer.checks import Floats

GARAGE = caltech_network(20.0)
# Mon 6 and Tue 7 May.
FIRST, LAST = date(2019, 5, 6), date(2019, 5, 7)


def fleet(
    setting: Setting = STANDARD, *, per_day: int = 12, seed: int = 0, days: int = 1
) -> Fleet:
    """Return a generated fleet at stations of the garage."""
    last = LAST if days == 2 else FIRST
    sessions = generated_sessions(FIRST, last, per_day, GARAGE.station_ids, seed)
    return fleet_of(sessions, FIRST, last, setting, evse_max_w=EVSE_MAX_W, seed=seed)


def plain_fleet(rows: list[tuple[int, int, float]], most_w: float = 6_000.0) -> Fleet:
    """Return cars of (arrival step, departure step, need [Wh])."""
    arrival, departure = (np.array([r[k] for r in rows], np.int64) for k in (0, 1))
    need = np.array([r[2] for r in rows], np.float64)
    return Fleet(
        start_at=0,
        n_step=int(departure.max()),
        session_ids=tuple(f"s{i}" for i in range(len(rows))),
        station_ids=tuple(f"e{i}" for i in range(len(rows))),
        arrival_step=arrival,
        departure_step=departure,
        told_departure_step=departure,
        need_wh=need,
        told_wh=need.copy(),
        due_wh=need.copy(),
        stated=np.ones(len(rows), np.bool_),
        car_max_w=np.full(len(rows), most_w),
        evse_max_w=np.full(len(rows), most_w),
    )


def site_for(cars: Fleet, capacity_kw: float, name: str = "flat") -> LabSite:
    """Return a site that has the fleet's stations."""
    return site_of(name, capacity_kw, cars.station_ids)


def run(
    strategy: Strategy, cars: Fleet, site: LabSite, setting: Setting = STANDARD
) -> Outcome:
    """Run a closed loop at a price of 1."""
    return run_loop(cars, site, setting, strategy, np.ones(cars.n_step))


def plan_problem(
    needs_wh: list[float],
    *,
    pre_w: float,
    departures: list[int] | None = None,
    n_step: int = 12,
    **given: object,
) -> Problem:
    """Return a problem of EVs of 6 kW in steps of an hour, in order of arrival."""
    n = len(needs_wh)
    parts: dict[str, object] = {
        "step_s": 3600.0,
        "power_max_w": np.full(n, 6_000.0),
        "arrival_step": np.zeros(n, np.int64),
        "departure_step": np.array(departures or [n_step] * n, np.int64),
        "energy_target_wh": np.array(needs_wh),
        "energy_max_wh": np.array(needs_wh),
        "arrival_rank": np.arange(n),
        "pre_lower_w": np.zeros(n_step),
        "pre_upper_w": np.full(n_step, pre_w),
    }
    return Problem(**(parts | given))  # type: ignore[arg-type]


def phases_of(rows: list[int], capacity_kw: float) -> PhaseNetwork:
    """Return the garage's lines for some of its EVSEs."""
    return columns(caltech_network(capacity_kw).network, rows)


@st.composite
def limited_problems(draw: st.DrawFn) -> Problem:
    """Return problems with PRE, groups, lines and floors, any of which may bind."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, n_step = draw(st.integers(1, 9)), draw(st.integers(1, 20))
    target = dice.uniform(0, 20_000, n) * (dice.random(n) < 0.9)
    arrival = dice.integers(0, 2, n)
    upper = dice.uniform(0, 25_000, n_step) * (dice.random(n_step) < 0.9)
    rows = [int(i) for i in dice.permutation(54)[:n]]
    group = Group(np.arange(n // 2), np.asarray(dice.uniform(0, 9_000)))
    return Problem(
        step_s=dice.integers(60, 3_601, n_step).astype(np.float64),
        power_max_w=dice.uniform(0, 7_000, n),
        arrival_step=arrival,
        departure_step=arrival + dice.integers(0, n_step + 1, n),
        energy_target_wh=target,
        energy_max_wh=target + dice.uniform(0, 10_000, n) * (dice.random(n) < 0.5),
        charge_efficiency=dice.uniform(0.8, 1.0, n),
        power_floor_w=dice.choice([0.0, 1_248.0], n),
        evse_max_w=np.full(n, 7_000.0),
        arrival_rank=dice.permutation(n),
        pre_lower_w=np.zeros(n_step),
        pre_upper_w=upper,
        groups=(group,) if n > 1 else (),
        phases=phases_of(rows, float(dice.uniform(5, 40))),
    )


class Given:
    """A strategy that returns what a function makes of the problem."""

    name = "given"

    def __init__(self, make: Callable[[Problem], Any]) -> None:
        """Keep the function."""
        self.make = make
        self.problems: list[Problem] = []

    def plan(self, problem: Problem) -> Floats:
        """Return what the function makes."""
        self.problems.append(problem)
        power: Floats = self.make(problem)
        return power


def greedy(problem: Problem) -> Floats:
    """Return all that EVs may take, whatever the limits."""
    return np.where(problem.available(), problem.power_max_w, 0.0)
