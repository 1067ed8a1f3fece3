"""Line currents on HiGHS: the exact norm always holds, and little is lost for it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from optimizer import Problem
from optimizer.highs import Highs
from optimizer.highs.cuts import INNER, SIDES
from optimizer.limits import PhaseNetwork
from optimizer.reference import reference_values
from tests.optimizer.problems import problem_of
from tests.optimizer.random_problems import random_problems
from tests.optimizer.test_highs import check_rules, check_values, values_of


def delta(**given: object) -> Problem:
    """Return six EVs on a delta whose lines carry less than they could take."""
    angle = np.arange(6) % 3
    turn = np.array([[1.0, 0.0, -1.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    phases = PhaseNetwork(
        turn[:, angle],
        np.deg2rad(30.0 - 120.0 * angle),
        np.array([60.0, 45.0, 50.0]),
        np.full(6, 208.0),
    )
    n_step = 8
    parts: dict[str, object] = {
        "power_max_w": np.linspace(3_000.0, 8_000.0, 6),
        "arrival_step": np.zeros(6, np.int64),
        "departure_step": np.full(6, n_step),
        "energy_target_wh": np.full(6, 9_000.0),
        "energy_max_wh": np.full(6, 9_000.0),
        "pre_lower_w": np.zeros(n_step),
        "pre_upper_w": np.full(n_step, 50_000.0),
        "buy_per_kwh": np.linspace(0.1, 0.3, n_step),
        "phases": phases,
        "power_floor_w": 0.0,
    }
    return problem_of(**(parts | given))


@given(random_problems(most_evs=6, most_steps=6, phases=True, groups=False))
@settings(max_examples=10)
def test_no_line_is_above_its_limit_and_the_polygon_is_the_references(
    problem: Problem,
) -> None:
    power_w = Highs().solve(problem).power_w
    check_rules(problem, power_w)
    check_values(problem, power_w, reference_values(problem, sides=SIDES), 1e-4)


def test_lines_bind_and_their_norm_is_not_exceeded_at_all() -> None:
    problem = delta()
    assert problem.phases is not None
    current = problem.phases.current_a(Highs().solve(problem).power_w)
    limit = problem.phases.limit_a[:, None]
    assert (current <= limit).all()
    assert (current > limit * (INNER - 1e-6)).any()


def test_the_gap_encloses_the_optimum_on_the_exact_norm() -> None:
    problem = delta()
    solver = Highs()
    name = "unmet_target_wh/0"
    value = values_of(problem, solver.solve(problem).power_w)[name]
    least = value - 1_000.0 * solver.gaps[name]
    # Tangents around the circle allow more than the circle does.
    around = reference_values(problem, sides=SIDES, inside=False)[name]
    assert value > 100.0
    assert least <= around <= value
    assert value - least < 1e-3 * problem.energy_target_wh.sum()


def test_what_the_lines_cannot_carry_is_left_out_not_carried() -> None:
    problem = delta()
    assert problem.phases is not None
    dead = replace(problem.phases, limit_a=np.zeros(3))
    nothing = Highs().solve(delta(phases=dead)).power_w
    assert dead.current_a(nothing).max() == pytest.approx(0.0, abs=1e-6)
