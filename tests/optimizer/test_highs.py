"""HiGHS through all tiers: the reference's values, prices, hard cases."""

from math import inf
from time import perf_counter

import highspy
import numpy as np
import pytest
from hypothesis import assume, given, settings

from optimizer import EnergyWindow, Group, PlannerError, Problem, Shortage
from optimizer.checks import Floats
from optimizer.highs import Highs, programme, solve_exact_floors
from optimizer.reference import reference_values
from optimizer.solution import Solution
from optimizer.tiers import NOTHING_W, measures_of, tier_values
from tests.optimizer.problems import problem_of
from tests.optimizer.random_problems import random_problem, random_problems

LAW = settings(max_examples=20)
FEW = settings(max_examples=10)
EARLY, MOVED = "early", "moved_wh"


def values_of(problem: Problem, power_w: Floats) -> dict[str, float]:
    return tier_values(problem, measures_of(problem, power_w))


def expected(problem: Problem, **how: bool) -> dict[str, float]:
    try:
        return reference_values(problem, **how)
    except PlannerError:  # the rows of its tiers leave little room
        assume(False)
        raise


def check_rules(problem: Problem, power_w: Floats) -> None:
    """Check what holds whatever else has to give."""
    there = problem.available()
    assert (power_w <= np.where(there, problem.power_max_w, 0.0)).all()
    assert (power_w >= np.where(there, problem.power_min_w, 0.0)).all()
    into = np.where(
        power_w > 0,
        power_w * problem.charge_efficiency[:, None],
        power_w / problem.discharge_efficiency[:, None],
    )
    energy = np.cumsum(into * problem.hours, axis=1)
    assert (energy[:, -1] <= problem.energy_max_wh + 1e-3).all()
    if problem.stored_wh is not None and problem.capacity_wh is not None:
        known = np.isfinite(problem.stored_wh)
        stored = problem.stored_wh[known, None] + energy[known]
        assert (stored >= -1e-3).all()
        assert (stored <= problem.capacity_wh[known, None] + 1e-3).all()
    if problem.phases is not None:
        limit = problem.phases.limit_a[:, None]
        assert (problem.phases.current_a(power_w) <= limit * (1 + 1e-12) + 1e-6).all()


def check_values(
    problem: Problem, power_w: Floats, least: dict[str, float], within: float
) -> None:
    """Compare tier by tier.

    The reference gives each tier a little room (1e-8 of it, at least of a kWh), which
    later tiers make use of: shares are of 1 Wh or more, the last two move much further.
    """
    room_wh = 2e-3
    for name, value in values_of(problem, power_w).items():
        want = least[name]
        room = within * max(1.0, abs(want)) + room_wh
        if name in (EARLY, MOVED):
            room = 10.0 * room + 0.1
        assert value == pytest.approx(want, abs=room), name
        if "_wh" in name:
            room_wh += 1e-7 * abs(want)


@given(random_problems())
@LAW
def test_every_tier_of_charging_is_as_good_as_the_reference(problem: Problem) -> None:
    power_w = Highs().solve(problem).power_w
    check_rules(problem, power_w)
    check_values(problem, power_w, expected(problem), 1e-5)


@given(random_problems(windows=True, peak=True, losses=True, batteries=True))
@LAW
def test_windows_peak_and_losses_are_as_good_as_the_reference(problem: Problem) -> None:
    power_w = Highs().solve(problem).power_w
    check_rules(problem, power_w)
    check_values(problem, power_w, expected(problem), 1e-5)


@given(random_problems(most_evs=5, most_steps=8, v2g=True))
@LAW
def test_every_tier_of_v2g_is_as_good_as_the_reference(problem: Problem) -> None:
    power_w = Highs().solve(problem).power_w
    check_rules(problem, power_w)
    check_values(problem, power_w, expected(problem), 1e-4)


@given(random_problems(most_evs=3, most_steps=4, floors=True, v2g=True))
@FEW
def test_exact_floors_are_as_good_as_the_reference(problem: Problem) -> None:
    power_w = solve_exact_floors(problem).power_w
    check_rules(problem, power_w)
    size = np.abs(power_w)
    assert ((size < NOTHING_W) | (size > problem.power_floor_w[:, None] - 1e-3)).all()
    step = np.where(problem.power_step_w > 0, problem.power_step_w, 1e-9)[:, None]
    assert (np.abs(size - np.rint(size / step) * step) < 1e-2).all()
    check_values(problem, power_w, expected(problem, floors=True), 1e-4)


@given(random_problems(v2g=True, windows=True, peak=True))
@FEW
def test_the_same_problem_gives_the_same_bits(problem: Problem) -> None:
    first, again = Highs().solve(problem), Highs().solve(problem)
    assert first.power_w.tobytes() == again.power_w.tobytes()
    assert first.pre_price_per_kwh.tobytes() == again.pre_price_per_kwh.tobytes()
    assert first.service_price.tobytes() == again.service_price.tobytes()


def test_max_min_levels_the_second_share_too() -> None:
    # A group holds the first EV at half; the two others share what the PRE leaves.
    problem = problem_of(
        power_max_w=np.full(3, 10_000.0),
        arrival_step=np.zeros(3, np.int64),
        departure_step=np.full(3, 4),
        energy_target_wh=np.array([2_000.0, 2_000.0, 4_000.0]),
        energy_max_wh=np.full(3, 4_000.0),
        pre_lower_w=np.zeros(4),
        pre_upper_w=np.full(4, 5_500.0),
        groups=(Group(np.array([0]), np.array(1_000.0)),),
        shortage=Shortage.MAX_MIN,
    )
    energy = measures_of(problem, Highs().solve(problem).power_w).energy_wh
    assert energy == pytest.approx([1_000.0, 1_500.0, 3_000.0], abs=1e-3)


def test_the_price_of_the_pre_is_what_a_kwh_more_of_it_saves() -> None:
    given_ = {
        "energy_target_wh": np.array([1_000.0, 1_500.0]),
        "energy_max_wh": np.array([1_000.0, 1_500.0]),
        "buy_per_kwh": np.array([0.4, 0.1, 0.2]),
    }
    upper_w = np.array([20_000.0, 4_000.0, 5_000.0])
    solution = Highs().solve(problem_of(pre_upper_w=upper_w, **given_))
    assert solution.pre_price_per_kwh == pytest.approx([0.0, 0.3, 0.2])
    base = values_of(problem_of(pre_upper_w=upper_w, **given_), solution.power_w)
    more = problem_of(pre_upper_w=upper_w + np.array([0.0, 4.0, 0.0]), **given_)
    saved = base["money"] - values_of(more, Highs().solve(more).power_w)["money"]
    assert saved == pytest.approx(0.3 * 0.001, rel=1e-6)


def test_the_price_of_a_lower_limit_is_negative() -> None:
    problem = problem_of(
        pre_lower_w=np.array([4_000.0, 0.0, 0.0]), buy_per_kwh=np.array([0.4, 0.1, 0.2])
    )
    price = Highs().solve(problem).pre_price_per_kwh
    assert price == pytest.approx([-0.3, 0.0, 0.0])


def test_service_prices_say_what_a_limit_would_serve() -> None:
    problem = problem_of(
        priority=np.array([0, 1]),
        charge_efficiency=0.9,
        pre_upper_w=np.array([0.0, 1_000.0, 5_000.0]),
        pre_lower_w=np.zeros(3),
        departure_step=np.array([2, 3]),
        groups=(Group(np.array([0]), np.array([1.0, 500.0, 9_000.0])),),
    )
    solution = Highs().solve(problem)
    # The group holds the first class; the PRE is free for it, not for both.
    assert solution.service_price.shape == (2, 2, 3)
    assert solution.service_price[0, 0] == pytest.approx([0.9, 0.0, 0.0])
    assert solution.service_price[0, 1] == pytest.approx([0.0, 0.9, 0.0])
    both = solution.service_price[1].sum(axis=0)
    assert both[:2] == pytest.approx([0.9, 0.9])


def test_what_later_classes_were_promised_comes_before_what_the_first_asks() -> None:
    problem = problem_of(
        priority=np.array([0, 1]),
        energy_min_wh=np.array([0.0, 1_000.0]),
        departure_step=np.full(2, 1),
        pre_upper_w=np.array([4_800.0, 0.0, 0.0]),
    )
    solution = Highs().solve(problem)
    # The promise leaves 200 Wh, so more would serve the first class too.
    assert solution.power_w[:, 0] == pytest.approx([800.0, 4_000.0])
    assert solution.service_price[:, 0, 0] == pytest.approx([1.0, 1.0])


def test_no_service_price_where_every_target_is_met() -> None:
    assert Highs().solve(problem_of()).service_price.shape == (0, 1, 3)


def test_energy_in_the_battery_is_worth_what_it_would_cost() -> None:
    problem = problem_of(
        power_min_w=np.array([0.0, -6_656.0]),
        charge_efficiency=0.8,
        discharge_efficiency=0.8,
        stored_wh=np.full(2, 5_000.0),
        capacity_wh=np.full(2, 9_000.0),
        departure_step=np.array([2, 3]),
        buy_per_kwh=np.array([0.2, 0.16, 0.4]),
    )
    stored = Highs().solve(problem).stored_price_per_kwh
    assert stored is not None
    assert stored[0] == pytest.approx(np.full(3, 0.2))
    # Sold at 0.4 it brings 0.32 a kWh until the last step's power is used up.
    assert stored[1, 2] <= stored[1, 0] + 1e-9
    assert 0.2 - 1e-9 <= stored[1, 0] <= 0.32 + 1e-9


@pytest.mark.parametrize(
    "problem",
    [
        random_problem(np.random.default_rng(1), 0, 3),
        random_problem(np.random.default_rng(2), 3, 1),
        problem_of(arrival_step=np.full(2, 3), pre_lower_w=np.full(3, 500.0)),
        problem_of(power_max_w=np.zeros(2)),
        problem_of(pre_lower_w=np.full(3, 2_000.0), pre_upper_w=np.full(3, 2_000.0)),
        problem_of(pre_upper_w=np.zeros(3)),
        problem_of(pre_lower_w=np.full(3, 19_000.0)),
        problem_of(pre_lower_w=np.full(3, -900.0), pre_upper_w=np.full(3, -500.0)),
        problem_of(energy_windows=(EnergyWindow(0, 2, lower_w=99_000.0),)),
    ],
    ids=[
        "no EV",
        "one step",
        "all absent",
        "no power",
        "zero width",
        "no power to give",
        "more than EVs take",
        "export asked of chargers",
        "window above all",
    ],
)
def test_what_is_empty_or_impossible_is_a_result(problem: Problem) -> None:
    power_w = Highs().solve(problem).power_w
    check_rules(problem, power_w)
    check_values(problem, power_w, reference_values(problem), 1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_deadline_long_past_still_gives_a_plan(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 6, 8, v2g=True, phases=True, windows=True)
    solution = Highs().solve(problem, perf_counter() - 1.0)
    assert not solution.finished
    check_rules(problem, solution.power_w)
    charging = np.maximum(solution.power_w, 0).sum(axis=0)
    assert (charging <= np.maximum(problem.pre_upper_w, 0) + 1e-6).all()


@pytest.mark.parametrize("runs", range(1, 9))
def test_time_that_ends_between_tiers_gives_what_was_reached(
    runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = random_problem(
        np.random.default_rng(5), 6, 8, phases=True, shortage=Shortage.MAX_MIN
    )
    whole = values_of(problem, Highs().solve(problem).power_w)
    run_once, left = programme.Programme._run_once, [runs]

    def run_while_time(self: programme.Programme) -> highspy.HighsModelStatus:
        left[0] -= 1
        if left[0] < 0:
            raise programme.OutOfTime
        return run_once(self)

    monkeypatch.setattr(programme.Programme, "_run_once", run_while_time)
    solution = Highs().solve(problem)
    assert solution.finished == (left[0] >= 0)
    check_rules(problem, solution.power_w)
    reached = values_of(problem, solution.power_w)
    assert reached["violation_wh"] <= whole["violation_wh"] + 1e-3


def test_a_run_that_fails_is_repeated_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = problem_of(buy_per_kwh=np.array([0.4, 0.1, 0.2]))
    want = Highs().solve(problem)
    run_once, failures = programme.Programme._run_once, [3]

    def fail(self: programme.Programme) -> highspy.HighsModelStatus:
        failures[0] -= 1
        if failures[0] >= 0:
            return highspy.HighsModelStatus.kUnknown
        return run_once(self)

    monkeypatch.setattr(programme.Programme, "_run_once", fail)
    got: Solution = Highs().solve(problem)
    assert failures[0] < 0
    assert values_of(problem, got.power_w) == pytest.approx(
        values_of(problem, want.power_w)
    )
    failures[0] = 99
    with pytest.raises(PlannerError, match="kUnknown"):
        Highs().solve(problem)


def test_an_unlimited_deadline_is_no_limit() -> None:
    assert Highs().solve(problem_of(), inf).finished
