"""The first plan of a process: prints when it was there, since its own first line.

``python -m benchmarks.speed.planner_first charging`` (or ``shortage``, ``v2g``,
``phases``) plans 200 EVs (20 with phases) and prints the seconds from here to the plan;
who starts it measures from the start of the interpreter to that line.
"""

import sys
import time

begun = time.perf_counter()

import numpy as np  # noqa: E402

from optimizer import PhaseNetwork, Problem  # noqa: E402
from optimizer.planner import Planner  # noqa: E402

KINDS = ("charging", "shortage", "v2g", "phases")
N_STEP = 96


def problem_of(kind: str) -> Problem:
    """Return a problem of a kind, without what solvers compare it with."""
    n, dice = 20 if kind == "phases" else 200, np.random.default_rng(0)
    arrival = dice.integers(0, N_STEP - 40, n)
    target_wh = dice.uniform(3e3, 2e4, n)
    arrays = {
        "step_s": 900.0,
        "power_max_w": np.full(n, 7_360.0),
        "arrival_step": arrival,
        "departure_step": arrival + 40,
        "energy_target_wh": target_wh,
        "energy_max_wh": target_wh,
        "pre_lower_w": np.zeros(N_STEP),
        "pre_upper_w": np.full(N_STEP, 3.0 * target_wh.sum() / 24.0),
        "buy_per_kwh": dice.uniform(0.1, 0.4, N_STEP),
    }
    if kind == "shortage":
        arrays["pre_upper_w"] = 0.2 * np.asarray(arrays["pre_upper_w"])
    if kind == "v2g":
        arrays |= {
            "power_min_w": np.full(n, -7_360.0),
            "stored_wh": np.full(n, 1e4),
            "capacity_wh": np.full(n, 6e4),
            "charge_efficiency": 0.93,
            "discharge_efficiency": 0.93,
            "pre_lower_w": np.full(N_STEP, -2e5),
        }
    if kind == "phases":
        arrays["phases"] = PhaseNetwork(
            matrix=np.ones((1, n)),
            phase_rad=np.radians(np.array([0.0, 120.0, 240.0])[np.arange(n) % 3]),
            limit_a=np.full(1, 40.0),
            voltage_v=np.full(n, 208.0),
        )
    return Problem(**arrays)  # type: ignore[arg-type]


def main(kind: str) -> None:
    """Plan once and say when."""
    problem = problem_of(kind)
    Planner().plan(problem)
    print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
