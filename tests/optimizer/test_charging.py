"""The charging kernel: every tier against HiGHS, its laws, its prices, hard cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer import Group, Problem, Shortage
from optimizer.certificate import certify
from optimizer.charging import Charging, NoKernel
from optimizer.highs import Highs
from optimizer.solution import Solution
from optimizer.tiers import measures_of, tier_values
from tests.optimizer.random_problems import random_problem, random_problems

LAW = settings(max_examples=120)
# Not exact in the same sense for all solvers: which of equal EVs are served.
MOVED = "moved_wh"


def solved(problem: Problem) -> Solution:
    try:
        return Charging().solve(problem)
    except NoKernel:
        assume(False)
        raise


def values_of(problem: Problem, solution: Solution) -> dict[str, float]:
    return tier_values(problem, measures_of(problem, solution.power_w))


def check_against_highs(problem: Problem) -> None:
    ours, theirs = solved(problem), Highs().solve(problem)
    least = values_of(problem, theirs)
    for name, value in values_of(problem, ours).items():
        if name != MOVED:
            room = 2e-2 if name == "early" else 2e-3 if "_wh" in name else 1e-5
            assert value == pytest.approx(least[name], abs=room), name


@given(random_problems(losses=True, batteries=True))
@LAW
def test_every_tier_is_as_good_as_by_highs(problem: Problem) -> None:
    check_against_highs(problem)


@given(random_problems(most_evs=6, most_steps=6, shortage=Shortage.MAX_MIN))
@LAW
def test_the_least_served_share_is_as_great_as_by_highs(problem: Problem) -> None:
    check_against_highs(problem)


@given(random_problems(most_evs=12, most_steps=70))
@LAW
def test_prices_prove_the_money_and_the_service(problem: Problem) -> None:
    solution = solved(problem)
    certificate = certify(
        problem,
        solution.power_w,
        solution.service_price,
        solution.pre_price_per_kwh,
        solution.group_price_per_kwh,
    )
    assert certificate.accepted, certificate
    value, bound = certificate.bounds.get("money", (0.0, 0.0))
    assert value - bound <= 1e-6 * max(1.0, abs(value)) + 1e-6
    names = [n for n in certificate.bounds if n.startswith("unmet_target_wh")]
    for name in names[-1:]:  # all classes together
        value, bound = certificate.bounds[name]
        assert value - bound <= 1e-2 + 1e-6 * value


@given(random_problems(most_steps=8), st.integers(0, 2**32))
@LAW
def test_the_nearest_of_equal_plans_is_no_farther_and_as_good(
    problem: Problem, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    in_force = rng.integers(0, 8_000, (problem.n_evse, problem.n_step)).astype(float)
    near = solved(replace(problem, previous_power_w=in_force))
    far = solved(replace(problem, previous_power_w=None))
    assert near.power_w.sum(axis=0) == pytest.approx(far.power_w.sum(axis=0), abs=1e-3)
    energy = problem.hours
    assert near.power_w @ energy == pytest.approx(far.power_w @ energy, abs=1e-3)
    moved = np.abs(near.power_w - in_force) @ energy
    assert moved.sum() <= (np.abs(far.power_w - in_force) @ energy).sum() + 1e-3


def test_two_calls_and_a_kept_solver_give_the_same_bits() -> None:
    rng, kept = np.random.default_rng(3), Charging()
    for _ in range(40):
        problem = random_problem(rng)
        try:
            one = kept.solve(problem)
        except NoKernel:
            continue
        assert np.array_equal(one.power_w, Charging().solve(problem).power_w)
        assert np.array_equal(one.power_w, kept.solve(problem).power_w)


def hourly(
    power_w: list[float],
    target_wh: list[float],
    upper_w: list[float],
    buy_per_kwh: list[float],
    most_wh: list[float] | None = None,
    groups: tuple[Group, ...] = (),
) -> Problem:
    """Return a problem of hours, all EVs there all the time."""
    n, n_step = len(power_w), len(upper_w)
    return Problem(
        step_s=np.array(3_600.0),
        power_max_w=np.array(power_w),
        arrival_step=np.zeros(n, np.int64),
        departure_step=np.full(n, n_step),
        energy_target_wh=np.array(target_wh),
        energy_max_wh=np.array(most_wh or target_wh),
        pre_lower_w=np.zeros(n_step),
        pre_upper_w=np.array(upper_w),
        buy_per_kwh=np.array(buy_per_kwh),
        groups=groups,
    )


def test_the_price_of_the_pre_is_what_one_more_unit_saves() -> None:
    problem = hourly([8e3, 8e3], [8e3, 4e3], [6e3, 6e3, 6e3], [0.1, 0.3, 0.2])
    price = Charging().solve(problem).pre_price_per_kwh
    assert price == pytest.approx([0.1, 0.0, 0.0])


def test_a_group_has_its_own_price() -> None:
    group = Group(np.array([0]), np.full(2, 3e3))
    problem = hourly([5e3, 5e3], [5e3, 5e3], [9e3, 9e3], [0.1, 0.4], groups=(group,))
    solution = Charging().solve(problem)
    assert solution.power_w[0] == pytest.approx([3e3, 2e3])
    assert solution.pre_price_per_kwh == pytest.approx([0.0, 0.0])
    assert solution.group_price_per_kwh[0] == pytest.approx([0.3, 0.0])


def test_negative_prices_pay_for_energy_nobody_asked_for() -> None:
    problem = hourly([4e3], [2e3], [4e3] * 3, [0.2, -0.1, 0.3], most_wh=[5e3])
    assert Charging().solve(problem).power_w[0] == pytest.approx([0, 4e3, 0])


@pytest.mark.parametrize("n_step", [1, 63, 64, 65, 128, 288])
def test_any_number_of_steps(n_step: int) -> None:
    check_against_highs(
        random_problem(np.random.default_rng(n_step), 5, n_step, groups=False)
    )
