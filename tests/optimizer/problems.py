"""Random allocation problems."""

import numpy as np
from hypothesis import strategies as st

from optimizer import Problem

FLOOR_W = 1_248.0


def problem_of(**given: object) -> Problem:
    """Return a problem of two EVs and three quarter hours, with what is given."""
    parts: dict[str, object] = {
        "step_s": 900.0,
        "power_max_w": np.full(2, 6_656.0),
        "arrival_step": np.zeros(2, np.int64),
        "departure_step": np.full(2, 3),
        "energy_target_wh": np.full(2, 1_000.0),
        "energy_max_wh": np.full(2, 2_000.0),
        "power_floor_w": FLOOR_W,
        "pre_lower_w": np.zeros(3),
        "pre_upper_w": np.full(3, 20_000.0),
    }
    return Problem(**(parts | given))  # type: ignore[arg-type]


@st.composite
def problems(draw: st.DrawFn, most_evs: int = 8, ample: bool = False) -> Problem:
    """Return problems whose EVs come and go, want and can take anything."""
    seed = draw(st.integers(0, 2**32))
    dice = np.random.default_rng(seed)
    n = draw(st.integers(0, most_evs))
    n_step = draw(st.integers(1, 30))
    step_s = dice.integers(1, 901, n_step).astype(float)
    power = dice.uniform(0, 11_000, n)
    power[dice.random(n) < 0.1] = 0.0
    arrival = dice.integers(0, n_step + 1, n)
    departure = np.minimum(arrival + dice.integers(0, n_step + 1, n), n_step)
    target = dice.uniform(0, 20_000, n) * (dice.random(n) < 0.8)
    upper = dice.uniform(0, 25_000, n_step) * (dice.random(n_step) < 0.8)
    if ample:
        power = dice.uniform(FLOOR_W, 11_000, n)
        upper = np.full(n_step, 12_000.0 * max(n, 1))
        steps = np.arange(n_step)
        there = (steps >= arrival[:, None]) & (steps < departure[:, None])
        can_wh = np.floor(power) * (there * step_s).sum(axis=1) / 3_600
        target = np.floor(dice.uniform(0, 1, n) * can_wh)
    return Problem(
        step_s=step_s,
        power_max_w=power,
        arrival_step=arrival,
        departure_step=departure,
        energy_target_wh=target,
        energy_max_wh=target + dice.uniform(0, 10_000, n) * (dice.random(n) < 0.5),
        energy_expected_wh=target * dice.uniform(0, 1, n),
        priority=dice.integers(0, 3, n),
        power_floor_w=dice.choice([0.0, FLOOR_W, 4_140.0], n)
        if not ample
        else np.full(n, FLOOR_W),
        pre_lower_w=np.zeros(n_step) if draw(st.booleans()) else upper * 0.1,
        pre_upper_w=upper,
        row_key=dice.permutation(40)[:n],
        previous_power_w=dice.uniform(0, 6_000, (n, n_step))
        if draw(st.booleans())
        else None,
    )
