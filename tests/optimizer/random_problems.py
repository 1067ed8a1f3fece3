"""Random allocation problems of every feature, small enough for the reference.

Powers are whole watts, energies whole watt hours, prices have two decimals and steps
are multiples of 180 s, so that values can be compared without rounding in between.
Features are off unless named; the rest (shortage or plenty, classes, zero-width and
impossible PREs, equal, zero and negative prices, groups, a plan in force) comes at
random.

>>> problem = random_problem(np.random.default_rng(7), v2g=True, windows=True)
"""

from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
from hypothesis import strategies as st

from optimizer import EnergyWindow, Group, PhaseNetwork, Problem, Shortage
from optimizer.checks import Floats, Ints

PRICES = np.array([-0.1, 0.0, 0.05, 0.1, 0.1, 0.2, 0.25, 0.4])


class Features(TypedDict, total=False):
    """What a problem may have beyond charging under the PRE and groups."""

    v2g: bool
    """Some EVs discharge, with losses, sell at most at the price to buy, wear."""
    batteries: bool
    """Some batteries are known; always where ``v2g``."""
    losses: bool
    """Charging loses energy, differently by EV; always where ``v2g``."""
    phases: bool
    windows: bool
    """Energy windows, nested or apart."""
    peak: bool
    floors: bool
    """Floors and pilot steps."""
    groups: bool
    """False: never groups; else half of the problems have some."""
    previous: bool
    """False: never a plan in force; else half of the problems have one."""
    shortage: Shortage
    """One policy only; else either."""


@dataclass(frozen=True)
class _Size:
    n: int
    n_step: int


def random_problem(
    rng: np.random.Generator,
    n_evse: int | None = None,
    n_step: int | None = None,
    **features: Unpack[Features],
) -> Problem:
    """Return a problem; the same generator state gives the same one.

    ``n_evse`` and ``n_step`` are 0..8 and 1..12, seldom up to 20, where not given.
    """
    n = int(rng.integers(0, 9)) if n_evse is None else n_evse
    if n_step is None:
        n_step = int(rng.integers(1, 13 if rng.random() < 0.95 else 21))
    size = _Size(n, n_step)
    v2g = features.get("v2g", False)
    parts: dict[str, object] = {}
    parts |= _presence(rng, size)
    parts |= (powers := _powers(rng, size, v2g))
    parts |= _energies(rng, size, powers.get("power_min_w"))
    parts |= _envelope(rng, size, v2g)
    parts |= _prices(rng, size, v2g)
    parts["step_s"] = rng.choice([180.0, 900.0, 900.0, 1_800.0, 3_600.0])
    if rng.random() < 0.2:
        parts["step_s"] = rng.choice([180.0, 900.0, 1_800.0, 3_600.0], n_step)
    parts["priority"] = rng.integers(0, rng.integers(1, 4), n)
    parts["shortage"] = features.get("shortage", rng.choice(list(Shortage)))
    if features.get("groups", True) and rng.random() < 0.5:
        parts["groups"] = _groups(rng, size, v2g)
    if v2g or features.get("losses", False):
        parts["charge_efficiency"] = rng.choice([0.85, 0.9, 0.95, 1.0], n)
    if v2g or features.get("batteries", False):
        parts |= _batteries(rng, n)
    if features.get("phases", False):
        parts["phases"] = _phases(rng, n)
    if features.get("windows", False):
        parts["energy_windows"] = _windows(rng, size, v2g)
    if features.get("peak", False):
        parts["peak_per_kw"] = rng.choice([0.05, 0.5, 5.0])
        parts["peak_so_far_w"] = rng.choice([0.0, 2_000.0, 9_000.0])
    if features.get("floors", False):
        parts["power_floor_w"] = rng.choice([0.0, 1_380.0, 4_140.0], n)
        parts["power_step_w"] = rng.choice([0.0, 230.0, 690.0], n)
    if features.get("previous", True) and rng.random() < 0.5:
        parts["previous_power_w"] = _whole(rng, -2_000 * v2g, 7_000, (n, n_step))
    return Problem(**parts)  # type: ignore[arg-type]


@st.composite
def random_problems(
    draw: st.DrawFn,
    most_evs: int = 8,
    most_steps: int = 12,
    **features: Unpack[Features],
) -> Problem:
    """Return random problems, fewest EVs and steps first."""
    n = draw(st.integers(0, most_evs), label="EVs")
    n_step = draw(st.integers(1, most_steps), label="steps")
    rng = np.random.default_rng(draw(st.integers(0, 2**32), label="seed"))
    return random_problem(rng, n, n_step, **features)


def _whole(
    rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]
) -> Floats:
    """Return whole numbers, often round hundreds so that some are equal."""
    values = rng.uniform(low, high, shape)
    return np.round(values, -2 if rng.random() < 0.5 else 0)


def _presence(rng: np.random.Generator, size: _Size) -> dict[str, object]:
    arrival: Ints = rng.integers(0, size.n_step + 1, size.n)
    arrival[rng.random(size.n) < 0.4] = 0
    stay: Ints = rng.integers(0, size.n_step + 1, size.n)
    return {
        "arrival_step": arrival,
        "departure_step": np.minimum(arrival + stay, size.n_step),
    }


def _powers(rng: np.random.Generator, size: _Size, v2g: bool) -> dict[str, Floats]:
    shape = (size.n,) if rng.random() < 0.6 else (size.n, size.n_step)
    most = _whole(rng, 0, 11_000, shape)
    most[rng.random(shape) < 0.1] = 0.0
    if not v2g:
        return {"power_max_w": most}
    shape = (size.n,) if rng.random() < 0.6 else (size.n, size.n_step)
    least = -_whole(rng, 0, 11_000, shape)
    least[rng.random(size.n) < 0.4] = 0.0
    return {"power_max_w": most, "power_min_w": least}


def _energies(
    rng: np.random.Generator, size: _Size, least_w: Floats | None
) -> dict[str, object]:
    """Return energies; who can discharge may ask for less than it has."""
    n = size.n
    scale = rng.choice([2_000, 10_000, 40_000])
    target = _whole(rng, 0, scale, n)
    target[rng.random(n) < 0.1] = 0.0
    low = np.floor(target * rng.choice([0.0, 0.0, 0.3, 1.0], n))
    most = target
    if least_w is not None:
        both_ways = (least_w < 0).any(axis=tuple(range(1, least_w.ndim)))
        asked = np.where(both_ways, rng.random(n), 1.0)
        low = np.where(asked < 0.3, -np.floor(target / 2), low)
        target = np.where(asked < 0.15, -np.floor(target / 4), target)
        most = np.maximum(target, 0.0)
    beyond = _whole(rng, 0, scale, n) * (rng.random(n) < 0.5)
    return {
        "energy_min_wh": low,
        "energy_target_wh": target,
        "energy_max_wh": most + beyond,
    }


def _envelope(rng: np.random.Generator, size: _Size, v2g: bool) -> dict[str, object]:
    upper = _whole(rng, 0, rng.choice([5_000, 20_000, 80_000]), size.n_step)
    upper[rng.random(size.n_step) < 0.1] = 0.0
    lower = np.zeros(size.n_step)
    kind = rng.random()
    if kind < 0.3:  # more than some EVs can take, at times
        lower = np.floor(upper * rng.uniform(0, rng.choice([0.2, 1.0]), size.n_step))
    elif kind < 0.4:
        lower = np.where(rng.random(size.n_step) < 0.4, upper, 0.0)
    elif v2g:
        lower = -_whole(rng, 0, 20_000, size.n_step)
        below = rng.random(size.n_step) < 0.1
        upper = np.where(below, np.floor(lower * 0.3), upper)
    return {"pre_lower_w": lower, "pre_upper_w": upper}


def _prices(rng: np.random.Generator, size: _Size, v2g: bool) -> dict[str, object]:
    kind, n_step = rng.random(), size.n_step
    if kind < 0.2:
        buy = np.full(n_step, rng.choice(PRICES))
    elif kind < 0.5:
        buy = rng.choice(PRICES, n_step)
    else:
        buy = np.round(rng.uniform(-0.1 if kind < 0.7 else 0.0, 0.5, n_step), 2)
    parts: dict[str, object] = {"buy_per_kwh": buy}
    if rng.random() < 0.2:
        parts["carbon_per_kwh"] = np.round(rng.uniform(0, 0.1, n_step), 2)
    if v2g and rng.random() < 0.6:
        parts["sell_per_kwh"] = np.round(buy - rng.choice([0.0, 0.05, 0.2], n_step), 2)
    if v2g and rng.random() < 0.5:
        parts["wear_per_kwh"] = 0.03
    return parts


def _batteries(rng: np.random.Generator, n: int) -> dict[str, object]:
    capacity = _whole(rng, 1_000, 60_000, n)
    stored = np.floor(capacity * rng.uniform(0, 1, n))
    unknown = rng.random(n) < 0.2
    return {
        "stored_wh": np.where(unknown, np.nan, stored),
        "capacity_wh": np.where(unknown, np.nan, capacity),
        "discharge_efficiency": rng.choice([0.85, 0.9, 0.95, 1.0], n),
    }


def _groups(rng: np.random.Generator, size: _Size, v2g: bool) -> tuple[Group, ...]:
    """Return a random tree: rows shuffled, cut into ranges, those cut again."""
    rows = rng.permutation(size.n)
    ranges = [(0, size.n, 0)]
    groups = []
    while ranges:
        start, stop, level = ranges.pop()
        if level and rng.random() < 0.8:
            groups.append(_group(rng, rows[start:stop], size, v2g))
        if level < 3 and stop - start > 1:
            cut = int(rng.integers(start, stop + 1))
            ranges += [(start, cut, level + 1), (cut, stop, level + 1)]
    return tuple(groups)


def _group(rng: np.random.Generator, members: Ints, size: _Size, v2g: bool) -> Group:
    each = rng.choice([1_500, 6_000, 12_000]) * max(members.size, 1)
    if rng.random() < 0.5:
        upper: Floats = np.full(1, _whole(rng, 0, each, 1)[0])
    else:
        upper = _whole(rng, 0, each, size.n_step)
    if rng.random() < 0.7:
        return Group(members, upper)
    share = rng.uniform(-0.3 if v2g else 0.0, rng.choice([0.2, 1.0]))
    return Group(members, upper, np.floor(upper * share))


def _phases(rng: np.random.Generator, n: int) -> PhaseNetwork:
    """Return three lines of a delta at 208 V, and one line over all of them."""
    angle = rng.integers(0, 3, n)
    turn = np.array([[1.0, 0.0, -1.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    matrix = np.vstack([turn[:, angle], 0.5 * np.ones((1, n))])
    return PhaseNetwork(
        matrix,
        np.deg2rad(30.0 - 120.0 * angle),
        np.round(rng.uniform(5, 120, 4)),
        np.full(n, 208.0),
    )


def _windows(
    rng: np.random.Generator, size: _Size, v2g: bool
) -> tuple[EnergyWindow, ...]:
    ranges = [(0, size.n_step)]
    windows: list[EnergyWindow] = []
    while ranges and len(windows) < 3:
        start, stop = ranges.pop()
        if stop <= start:
            continue
        if rng.random() < 0.6:
            upper = float(_whole(rng, 0, 15_000, 1)[0])
            kind = rng.random()
            share = float(rng.choice([0.0, 0.3, 0.9]))
            lower = float(np.floor(upper * share)) if kind < 0.4 else -np.inf
            if v2g and kind > 0.9:
                lower, upper = -upper, np.inf
            windows.append(EnergyWindow(start, stop, lower, upper))
        cut = int(rng.integers(start, stop + 1))
        if 0 < cut - start < stop - start:
            ranges += [(start, cut), (cut, stop)]
    return tuple(windows)
