"""The closed loop: plan, let the cars draw by it, plan again (receding horizon).

A plan is made at every arrival and departure and when the columns in use end
(`Setting.replan_steps`). What it says is applied as it is: a power above a limit is
measured, never clipped.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from benchmarks.laboratory.beliefs import Beliefs
from benchmarks.laboratory.fleet import Fleet
from benchmarks.laboratory.kernels.drive import MEASURES, drive
from benchmarks.laboratory.setting import Setting
from benchmarks.laboratory.site import LabSite
from benchmarks.simulator import car as cars
from benchmarks.strategies.columns import lines_of
from benchmarks.strategies.protocol import Strategy
from optimizer import Problem, Result
from optimizer.checks import Floats, Ints


class StrategyError(Exception):
    """A strategy gave no plan; the message names it and the rule it broke."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a closed loop came to.

    ``energy_wh`` (n,) is what each car took; ``measured`` (MEASURES, n_step) has the
    rows of `kernels.drive`; ``plan_s`` is what each plan took.
    """

    fleet: Fleet
    site: LabSite
    setting: Setting
    energy_wh: Floats
    measured: Floats
    price_per_kwh: Floats
    plan_s: Floats


def run_loop(
    fleet: Fleet,
    site: LabSite,
    setting: Setting,
    strategy: Strategy,
    price_per_kwh: Floats,
    *,
    plans_by_price: bool = False,
) -> Outcome:
    """Return what a strategy does with the cars.

    Parameters
    ----------
    price_per_kwh : (n_step,)
        Of the fleet's steps. Strategies see 0 unless ``plans_by_price``.

    Raises
    ------
    StrategyError
        when the strategy fails or returns no array of finite powers (n, T).
    """
    if hasattr(strategy, "columns"):
        strategy.columns = setting.replan_steps
    seen_price = price_per_kwh if plans_by_price else np.zeros(fleet.n_step)
    beliefs = Beliefs(fleet, site, setting, seen_price)
    measured = np.zeros((MEASURES, fleet.n_step))
    events = np.unique(np.concatenate([fleet.arrival_step, fleet.departure_step]))
    plan_s: list[float] = []
    step = int(events[0])
    while step < fleet.n_step:
        next_event = int(events[np.searchsorted(events, step, side="right")])
        rows = beliefs.rows(step)
        if rows.size == 0:
            step = _wake(setting, step, next_event)
            continue
        problem = beliefs.problem(rows, step)
        begun = perf_counter()
        planned = _planned(strategy, problem)
        plan_s.append(perf_counter() - begun)
        power_w = checked_power_w(strategy, planned, problem)
        if setting.coarse_steps > 1:
            steps = np.round(problem.step_s / setting.step_s).astype(np.int64)
            power_w = np.repeat(power_w, steps, axis=1)
        beliefs.remember(rows, step, power_w)
        use = min(next_event - step, setting.replan_steps, power_w.shape[1])
        step += _drive(beliefs, rows, power_w, step, use, measured)
    return Outcome(
        fleet=fleet,
        site=site,
        setting=setting,
        energy_wh=beliefs.energy_wh,
        measured=measured,
        price_per_kwh=price_per_kwh,
        plan_s=np.array(plan_s),
    )


def _wake(setting: Setting, step: int, next_event: int) -> int:
    """Return when to look again; a car that stopped is offered power after a while."""
    if not setting.observes:
        return next_event
    return min(next_event, step + setting.replan_steps)


def _planned(strategy: Strategy, problem: Problem) -> object:
    try:
        return strategy.plan(problem)
    except Exception as error:  # a plugin may fail with anything
        raise StrategyError(
            f"strategy {strategy.name!r} failed: {type(error).__name__}: {error}"
        ) from error


def checked_power_w(strategy: Strategy, planned: object, problem: Problem) -> Floats:
    """Return the powers (n, T) [W] of what a strategy returned, or refuse it."""
    power = planned.power_w if isinstance(planned, Result) else planned
    shape = (problem.n_evse, problem.n_step)
    if not isinstance(power, np.ndarray) or power.shape != shape:
        found = getattr(power, "shape", type(power).__name__)
        raise StrategyError(
            f"strategy {strategy.name!r} returned {found}; powers must be an array of "
            f"shape {shape}"
        )
    if power.dtype.kind not in "fiu":
        raise StrategyError(
            f"strategy {strategy.name!r} returned dtype {power.dtype}; powers must be "
            "real numbers"
        )
    if not np.isfinite(power).all():
        i, t = (int(k) for k in np.argwhere(~np.isfinite(power))[0])
        raise StrategyError(
            f"strategy {strategy.name!r} returned {power[i, t]} at [{i}, {t}]; powers "
            "must be finite"
        )
    return np.ascontiguousarray(power, np.float64)


def _drive(
    beliefs: Beliefs, rows: Ints, power_w: Floats, step: int, use: int, measured: Floats
) -> int:
    fleet, setting = beliefs.fleet, beliefs.setting
    re, im, limit_a = lines_of(beliefs.phases(rows), rows.size)
    return int(
        drive(
            power_w,
            step,
            use,
            rows,
            setting.step_h,
            fleet.need_wh,
            fleet.car_max_w,
            fleet.evse_max_w,
            setting.floor_w,
            cars.TAPER_FROM if setting.taper else 1.0,
            cars.TAPER_TO,
            setting.observes,
            re,
            im,
            limit_a,
            beliefs.energy_wh,
            beliefs.seen_w,
            beliefs.stopped_step,
            measured,
        )
    )
