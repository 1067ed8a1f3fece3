"""Problems as plain arrays, and what changes in them: price patterns and events."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.speed.planner_instances import HOURS, instance
from optimizer import Problem
from optimizer.checks import Floats

Arrays = dict[str, Any]
"""What `Problem` is built from, by name."""


def arrays_of(problem: Problem) -> Arrays:
    """Return what a caller has: powers of an EV as one number where it is one."""
    arrays = {part.name: getattr(problem, part.name) for part in fields(problem)}
    for name in ("power_min_w", "power_max_w"):
        if arrays[name].strides[1] == 0:
            arrays[name] = arrays[name][:, 0].copy()
    return arrays


def patterns(n: int, seed: int = 0) -> Iterator[tuple[str, Problem]]:
    """Yield problems that only differ in prices and in what limits leave free."""
    base = instance(n, seed=seed)
    dice, n_step = np.random.default_rng((seed, 2)), base.n_step
    steps, price = np.arange(n_step), base.buy_per_kwh
    cheap = float(np.quantile(price, 0.3))
    yield "distinct", base
    yield "flat", replace(base, buy_per_kwh=np.full(n_step, 0.2))
    yield "hourly", replace(base, buy_per_kwh=np.repeat(price[::4], 4)[:n_step])
    yield "random", replace(base, buy_per_kwh=dice.uniform(0.0, 1.0, n_step))
    yield "alternating", replace(base, buy_per_kwh=np.where(steps % 2, 0.3, 0.1))
    backwards = np.array([int(f"{step:07b}"[::-1], 2) for step in steps])
    yield "bit-reversed", replace(base, buy_per_kwh=backwards / 128.0)
    yield (
        "negative, optional energy",
        replace(
            base,
            buy_per_kwh=price - cheap,
            energy_max_wh=1.5 * base.energy_target_wh,
        ),
    )
    yield "caps barely fit", _barely_fitting(base)
    yield "shortage", replace(base, pre_upper_w=0.55 * base.pre_upper_w)
    upper_w = np.where(steps % 3 == 0, 0.0, 2.0 * base.pre_upper_w)
    less_wh = np.floor(0.5 * base.energy_target_wh)
    yield (
        "zero PRE every third step",
        replace(
            base,
            pre_upper_w=upper_w,
            energy_target_wh=less_wh,
            energy_max_wh=less_wh,
        ),
    )


def _barely_fitting(base: Problem) -> Problem:
    """Return the problem with caps 0.1 % above what each EV needs all its stay."""
    stay_h = (base.departure_step - base.arrival_step) * HOURS
    power_w = 1.001 * base.energy_target_wh / stay_h
    load_w = (power_w[:, None] * base.available()).sum(axis=0)
    upper_w = np.full(base.n_step, load_w.max())
    return replace(
        base, power_max_w=power_w, evse_max_w=power_w.copy(), pre_upper_w=upper_w
    )


class Event(NamedTuple):
    """What happened and the problem since; ``previous_w`` (n, T) is made to its rows.

    ``row_of`` (n,) has the row of each EV in the problem before, -1 for a new one.
    """

    kind: str
    arrays: Arrays
    row_of: np.ndarray[tuple[int], np.dtype[np.int64]]


def events(problem: Problem, count: int, seed: int = 0) -> Iterator[Event]:
    """Yield a changed need, a departure and an arrival in turns, each after the other.

    Needs fall by a tenth and rise again; who arrives is from another problem of the
    kind. ``problem`` is plain.
    """
    dice = np.random.default_rng((seed, 3))
    spare = arrays_of(instance(problem.n_evse, problem.n_step, seed + 1))
    arrays, key = arrays_of(problem), problem.n_evse
    spare["row_key"] = spare["row_key"] + key
    wanted_wh = problem.energy_target_wh.copy()
    for i in range(count):
        n = arrays["energy_target_wh"].size
        row, rows = int(dice.integers(n)), np.arange(n)
        kind = ("need", "departure", "arrival")[i % 3]
        if kind == "need":
            is_less = arrays["energy_target_wh"][row] < wanted_wh[row]
            need_wh = wanted_wh[row] if is_less else np.floor(0.9 * wanted_wh[row])
            target_wh = arrays["energy_target_wh"].copy()
            target_wh[row] = need_wh
            changed = {"energy_target_wh": target_wh, "energy_max_wh": target_wh}
            changed["energy_expected_wh"] = target_wh
            arrays = arrays | changed
        elif kind == "departure":
            rows = np.delete(rows, row)
            arrays = arrays | {name: arrays[name][rows] for name in _BY_EV}
            wanted_wh = wanted_wh[rows]
        else:
            who = i % spare["row_key"].size
            arrays = arrays | {
                name: np.append(arrays[name], spare[name][who]) for name in _BY_EV
            }
            wanted_wh = np.append(wanted_wh, spare["energy_target_wh"][who])
            rows = np.append(rows, -1)
        yield Event(kind, arrays, rows)


def kept_rows(power_w: Floats, event: Event) -> Floats:
    """Return the plan before an event by the rows since (n, T); 0 for a new EV."""
    before = np.vstack([power_w, np.zeros(power_w.shape[1])])
    kept: Floats = before[event.row_of]
    return kept


_BY_EV = (
    *("power_max_w", "arrival_step", "departure_step", "energy_target_wh"),
    *("energy_max_wh", "power_min_w", "energy_min_wh", "charge_efficiency"),
    *("discharge_efficiency", "priority", "power_floor_w", "power_step_w"),
    *("energy_expected_wh", "evse_max_w", "arrival_rank", "row_key"),
)
