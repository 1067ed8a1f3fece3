"""Floors and pilot steps: what the repair of a linear plan guarantees."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer import EnergyWindow, Group, PlannerError, Problem
from optimizer.checks import Floats
from optimizer.floors import distance, has_floors, repaired
from optimizer.highs import Highs, solve_exact_floors
from optimizer.kernels.certify import off_steps_w
from optimizer.service import rounded
from optimizer.tiers import measures_of, tier_values
from tests.optimizer.problems import problem_of
from tests.optimizer.random_problems import random_problem, random_problems

LAW = settings(max_examples=25)
MANY = settings(max_examples=100)
RISING = np.array([0.1, 0.2, 0.3])


def check_rules(problem: Problem, power_w: Floats, linear_w: Floats) -> None:
    """Check floors, steps, presence, energies, batteries, lines and upper bounds."""
    assert off_steps_w(power_w, problem.power_floor_w, problem.power_step_w) < 1e-6
    there = problem.available()
    assert (power_w <= np.where(there, problem.power_max_w, 0.0) + 1e-6).all()
    assert (power_w >= np.where(there, problem.power_min_w, 0.0) - 1e-6).all()
    into = np.maximum(power_w, 0.0) * problem.charge_efficiency[:, None]
    out = np.minimum(power_w, 0.0) / problem.discharge_efficiency[:, None]
    gained = np.cumsum((into + out) * problem.hours, axis=1)
    obliged = problem.energy_max_wh < 0  # to discharge, which a floor may forbid
    assert (gained[:, -1] <= problem.energy_max_wh + 2e-3)[~obliged].all()
    if problem.stored_wh is not None and problem.capacity_wh is not None:
        stored = problem.stored_wh[:, None] + gained
        assert not (stored < -2e-3).any()
        assert not (stored > problem.capacity_wh[:, None] + 2e-3).any()
    if problem.phases is not None:
        limit_a = problem.phases.limit_a[:, None]
        assert (problem.phases.current_a(power_w) <= limit_a + 1e-6).all()
    check_upper_bounds(problem, power_w, linear_w)


def check_upper_bounds(problem: Problem, power_w: Floats, linear_w: Floats) -> None:
    """Check the upper bounds that a plan of zeros and the linear one keep.

    That one exceeds some where lower bounds ask for it.
    """
    uppers = [(np.arange(problem.n_evse), problem.pre_upper_w)]
    uppers += [(group.members, group.upper_w) for group in problem.groups]
    for members, upper_w in uppers:
        load_w = power_w[members].sum(axis=0)
        most_w = np.maximum(upper_w, linear_w[members].sum(axis=0))
        assert (load_w <= most_w + 1e-5)[upper_w >= 0].all()
    for window in problem.energy_windows:
        steps = slice(window.start_step, window.stop_step)
        hours = problem.hours[steps]
        mean_w, linear_mean_w = (
            power.sum(axis=0)[steps] @ hours / hours.sum()
            for power in (power_w, linear_w)
        )
        most_mean_w = max(window.upper_w, linear_mean_w)
        assert window.upper_w < 0 or mean_w <= most_mean_w + 1e-5


@given(random_problems(floors=True, losses=True))
@LAW
def test_rules_hold_whatever_the_limits_of_charging(problem: Problem) -> None:
    linear_w = Highs().solve(problem).power_w
    check_rules(problem, repaired(problem, linear_w), linear_w)


@given(
    random_problems(most_evs=5, most_steps=8, floors=True, v2g=True, windows=True)
    | random_problems(most_evs=5, most_steps=8, floors=True, phases=True, peak=True)
)
@LAW
def test_rules_hold_with_v2g_windows_lines_and_a_price_of_the_peak(
    problem: Problem,
) -> None:
    try:
        linear_w = Highs().solve(problem).power_w
    except PlannerError:
        assume(False)
    check_rules(problem, repaired(problem, linear_w), linear_w)


@st.composite
def spread_plans(draw: st.DrawFn) -> tuple[Problem, Floats]:
    """Return problems with room for all and any plan of them; prices never fall."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, n_step = draw(st.integers(1, 5)), draw(st.integers(2, 12))
    step_w = dice.choice([0.0, 230.0])
    floor_w = dice.choice([690.0, 1_380.0, 4_140.0], n)
    most_w = np.maximum(floor_w, 230.0 * dice.integers(3, 50, n))
    linear_w = dice.random((n, n_step)) * most_w[:, None] * dice.choice([0.1, 1.0])
    linear_w *= dice.random((n, n_step)) < dice.choice([0.4, 1.0])
    step_s = dice.choice([900.0, 1_800.0], n_step)
    target = linear_w @ step_s / 3_600.0
    problem = Problem(
        step_s=step_s,
        power_max_w=most_w,
        arrival_step=np.zeros(n, np.int64),
        departure_step=np.full(n, n_step),
        energy_target_wh=target,
        energy_max_wh=target * dice.choice([1.0, 3.0], n),
        pre_lower_w=np.zeros(n_step),
        pre_upper_w=np.full(n_step, most_w.sum()),
        groups=[Group(np.arange(n), np.full(1, most_w.sum()))],
        buy_per_kwh=np.sort(dice.choice([0.1, 0.2, 0.3], n_step)),
        power_floor_w=floor_w,
        power_step_w=step_w,
    )
    return problem, linear_w


@given(spread_plans())
@MANY
def test_with_room_for_all_less_than_a_floor_over_a_step_is_left_out(
    plan: tuple[Problem, Floats],
) -> None:
    problem, linear_w = plan
    power_w = repaired(problem, linear_w)
    check_rules(problem, power_w, linear_w)
    unmet = problem.energy_target_wh - power_w @ problem.hours
    a_floor = problem.power_floor_w * problem.hours.max()
    assert (unmet < a_floor + 1e-3).all()
    may_take_more = problem.energy_max_wh >= problem.energy_target_wh + a_floor
    assert (unmet[may_take_more] < 1e-3).all()


@given(spread_plans())
@MANY
def test_with_room_for_all_no_ev_is_two_floors_behind(
    plan: tuple[Problem, Floats],
) -> None:
    problem, linear_w = plan
    power_w = repaired(problem, linear_w)
    behind = np.cumsum((linear_w - power_w) * problem.hours, axis=1).max(axis=1)
    assert (behind < 2 * problem.power_floor_w * problem.hours.max() + 1e-3).all()


@given(spread_plans())
@LAW
def test_a_plan_that_needs_no_repair_is_returned_as_it_is(
    plan: tuple[Problem, Floats],
) -> None:
    problem, linear_w = plan
    assume(np.ptp(problem.price_per_kwh) > 0)
    lawful_w = repaired(problem, linear_w)
    assert repaired(problem, lawful_w) is lawful_w
    assert repaired(problem, linear_w).tobytes() == lawful_w.tobytes()


def test_without_floors_the_plan_is_the_linear_one() -> None:
    problem = problem_of(power_floor_w=0.0)
    linear_w = np.full((2, 3), 123.4)
    assert not has_floors(problem)
    assert has_floors(problem_of())
    assert has_floors(problem_of(power_floor_w=0.0, power_step_w=230.0))
    assert repaired(problem, linear_w) is linear_w


def test_where_only_the_order_matters_the_loops_policy_decides() -> None:
    problem = problem_of(buy_per_kwh=0.2)
    linear_w = np.full((2, 3), 1_000.0)
    expected = rounded(problem, linear_w)
    assert repaired(problem, linear_w).tolist() == expected.tolist()
    dear_later = problem_of(buy_per_kwh=RISING)
    assert repaired(dear_later, linear_w).tolist() != expected.tolist()


def test_what_is_below_the_floor_goes_to_the_cheapest_steps() -> None:
    problem = problem_of(
        buy_per_kwh=RISING[::-1],
        energy_target_wh=np.array([1_664.0 + 100.0, 0.0]),
        energy_max_wh=np.array([1_664.0 + 100.0, 0.0]),
    )
    linear_w = np.array([[0.0, 400.0, 6_656.0], [0.0, 0.0, 0.0]])
    power_w = repaired(problem, linear_w)
    # A floor in the middle, and so much less in the cheapest step.
    assert power_w[0] == pytest.approx([0.0, 1_248.0, 6_656.0 - 848.0])
    assert power_w[1].tolist() == [0.0, 0.0, 0.0]


def test_energy_is_placed_within_a_window() -> None:
    problem = problem_of(
        buy_per_kwh=RISING,
        energy_windows=(EnergyWindow(0, 2, upper_w=1_500.0),),
        power_step_w=312.0,
    )
    linear_w = np.array([[1_500.0, 0.0, 2_500.0], [0.0, 1_500.0, 2_500.0]])
    power_w = repaired(problem, linear_w)
    assert power_w[:, :2].sum() / 2 <= 1_500.0
    assert (power_w % 312.0 == 0.0).all()
    assert power_w.sum() * 0.25 >= 2_000.0 - 2 * 312.0 * 0.25


def test_the_distance_says_what_each_tier_lost_and_who_is_behind() -> None:
    problem = problem_of(buy_per_kwh=RISING)
    linear_w = np.array([[4_000.0, 0.0, 0.0], [2_000.0, 2_000.0, 0.0]])
    power_w = np.array([[4_000.0, 0.0, 0.0], [0.0, 0.0, 3_000.0]])
    lost = distance(problem, linear_w, power_w)
    assert lost.unmet_min_wh == 0.0
    assert lost.unmet_target_wh == pytest.approx(250.0)
    assert lost.tiers["unmet_target_wh/0"] == pytest.approx(250.0)
    assert lost.money == pytest.approx(0.75 * 0.3 - 0.5 * 0.1 - 0.5 * 0.2)
    assert lost.lag_wh == pytest.approx(1_000.0)


def test_the_repair_is_close_to_the_exact_plan_and_not_better() -> None:
    behind_wh, asked_wh, paid, least = 0.0, 0.0, 0.0, 0.0
    for seed in range(12):
        problem = random_problem(np.random.default_rng(seed), 4, 6, floors=True)
        linear_w = Highs().solve(problem).power_w
        exact_w = solve_exact_floors(problem).power_w
        values = [
            tier_values(problem, measures_of(problem, power_w))
            for power_w in (repaired(problem, linear_w), exact_w)
        ]
        assert [round(v, 1) for v in values[0].values()] >= [
            round(v, 1) - 0.2 for v in values[1].values()
        ]
        unmet = [
            sum(v for k, v in value.items() if k.startswith("unmet_target"))
            for value in values
        ]
        behind_wh += unmet[0] - unmet[1]
        asked_wh += problem.energy_target_wh.sum()
        if abs(unmet[0] - unmet[1]) < 1.0:
            paid, least = paid + values[0]["money"], least + values[1]["money"]
    assert behind_wh < 0.04 * asked_wh
    assert paid - least < 0.05 * abs(least)
