"""The closed loop: energy is conserved, limits are measured, plans are made in time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.laboratory.kernels.drive import (
    ALLOTTED_LINE_A,
    ALLOTTED_W,
    BEYOND_EVSE_W,
    DRAWN_LINE_A,
    DRAWN_W,
)
from benchmarks.laboratory.loop import StrategyError
from benchmarks.laboratory.setting import REALISTIC, STANDARD, Setting
from benchmarks.strategies.registry import make_strategy
from optimizer import Problem
from tests.benchmarks.laboratory.cases import (
    Given,
    fleet,
    greedy,
    plain_fleet,
    run,
    site_for,
)

HEURISTICS = (
    "earliest-deadline-first",
    "least-laxity-first",
    "first-come-first-served",
    "equal-share-redistributing",
    "equal-share",
    "proportional",
    "round-robin",
)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1_000),
    name=st.sampled_from(HEURISTICS),
    capacity_kw=st.floats(3, 60),
    site_name=st.sampled_from(["flat", "caltech"]),
    setting=st.sampled_from([STANDARD, REALISTIC]),
)
def test_energy_is_conserved_and_no_limit_broken(
    seed: int, name: str, capacity_kw: float, site_name: str, setting: Setting
) -> None:
    cars = fleet(setting, seed=seed)
    site = site_for(cars, capacity_kw, site_name)
    found = run(make_strategy(name), cars, site, setting)
    drawn_wh = found.measured[DRAWN_W].sum() * setting.step_h
    assert drawn_wh == pytest.approx(found.energy_wh.sum(), rel=1e-9, abs=1e-6)
    assert (found.energy_wh >= 0).all()
    assert (found.energy_wh <= cars.need_wh).all()
    stay_wh = (cars.departure_step - cars.arrival_step) * setting.step_h
    assert (found.energy_wh <= stay_wh * cars.car_max_w + 1e-6).all()
    assert found.measured[ALLOTTED_W].max() <= site.capacity_w + 1e-6
    assert (found.measured[DRAWN_W] <= found.measured[ALLOTTED_W] + 1e-6).all()
    assert found.measured[ALLOTTED_LINE_A].max() <= 1e-6
    assert found.measured[BEYOND_EVSE_W].max() <= 1e-6


def test_nobody_lacks_anything_where_nothing_limits() -> None:
    cars = fleet(per_day=20)
    site = site_for(cars, 1_000)
    for name in (*HEURISTICS, "uncontrolled"):
        found = run(make_strategy(name), cars, site)
        np.testing.assert_allclose(found.energy_wh, cars.need_wh)


def test_the_same_run_gives_the_same_numbers() -> None:
    cars = fleet(REALISTIC, per_day=30)
    site = site_for(cars, 15, "caltech")
    one, two = (
        run(make_strategy("least-laxity-first"), cars, site, REALISTIC) for _ in "ab"
    )
    np.testing.assert_array_equal(one.measured, two.measured)
    np.testing.assert_array_equal(one.energy_wh, two.energy_wh)


def test_plans_are_made_at_events_and_when_the_columns_end() -> None:
    cars = plain_fleet([(3, 40, 1e6), (10, 30, 1e6)])
    strategy = Given(greedy)
    run(strategy, cars, site_for(cars, 100))
    # From 3: event at 10, then 22 (12 steps later), 30 (leaves), 40 (the end).
    assert [p.n_step for p in strategy.problems] == [37, 30, 18, 10]
    assert [p.n_evse for p in strategy.problems] == [1, 2, 2, 1]
    at_second = strategy.problems[1]
    assert list(at_second.departure_step) == [30, 20]
    np.testing.assert_allclose(at_second.energy_target_wh, [1e6 - 7 * 500, 1e6])


def test_the_plan_in_force_is_told_from_the_present_step_on() -> None:
    cars = plain_fleet([(0, 30, 1e6), (5, 30, 1e6)])

    def counting(problem: Problem) -> Any:
        return np.tile(np.arange(problem.n_step) * 10.0, (problem.n_evse, 1))

    strategy = Given(counting)
    run(strategy, cars, site_for(cars, 100))
    previous = strategy.problems[1].previous_power_w
    assert previous is not None
    np.testing.assert_allclose(previous[0, :3], [50, 60, 70])
    np.testing.assert_allclose(previous[1], 0)


def test_a_strategy_is_told_how_many_columns_are_used() -> None:
    cars = plain_fleet([(0, 30, 1e6)])
    strategy = make_strategy("round-robin")
    run(strategy, cars, site_for(cars, 100), Setting(name="x", replan_steps=5))
    assert vars(strategy)["columns"] == 5


def test_a_car_that_has_what_it_needs_draws_nothing_more() -> None:
    cars = plain_fleet([(0, 12, 1_250.0)])
    found = run(make_strategy("uncontrolled"), cars, site_for(cars, 100))
    np.testing.assert_allclose(found.measured[DRAWN_W, :4], [6_000, 6_000, 3_000, 0])


def test_power_above_a_limit_is_counted_and_not_clipped() -> None:
    cars = plain_fleet([(0, 4, 1e6), (0, 4, 1e6)])
    site = site_for(cars, 10)
    found = run(Given(lambda p: 1.5 * greedy(p)), cars, site)
    np.testing.assert_allclose(found.measured[ALLOTTED_W], 18_000)
    np.testing.assert_allclose(found.measured[DRAWN_W], 12_000)  # the cars' own limit
    np.testing.assert_allclose(found.measured[BEYOND_EVSE_W], 3_000)
    below = run(Given(lambda p: -greedy(p)), cars, site)
    np.testing.assert_allclose(below.measured[DRAWN_W], 0)
    np.testing.assert_allclose(below.measured[BEYOND_EVSE_W], 6_000)


def test_a_line_above_its_limit_is_measured_by_its_exact_norm() -> None:
    cars = fleet(per_day=25)
    site = site_for(cars, 5, "caltech")
    found = run(make_strategy("uncontrolled"), cars, site)
    assert site.network is not None
    step = int(found.measured[ALLOTTED_W].argmax())
    there = (cars.arrival_step <= step) & (step < cars.departure_step)
    power = np.zeros((len(site.station_ids), 1))
    full = there & (found.energy_wh > 0)
    power[site.rows(cars.station_ids)[full], 0] = 6_656.0
    worst = (site.network.current_a(power)[:, 0] - site.network.limit_a).max()
    assert found.measured[ALLOTTED_LINE_A, step] == pytest.approx(worst, rel=0.35)
    assert found.measured[DRAWN_LINE_A].max() > 1.0


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (lambda p: np.zeros((p.n_evse + 1, p.n_step)), r"'given' returned \(3, 10\)"),
        (lambda p: np.zeros((p.n_evse, 3)), r"shape \(2, 10\)"),
        (lambda p: [[0.0] * p.n_step] * p.n_evse, "'given' returned list"),
        (lambda p: None, "'given' returned NoneType"),
        (lambda p: np.full((p.n_evse, p.n_step), np.nan), r"nan at \[0, 0\]"),
        (lambda p: np.full((p.n_evse, p.n_step), np.inf), "must be finite"),
        (lambda p: np.zeros((p.n_evse, p.n_step), complex), "complex128"),
        (lambda p: vars(p)["x"], "'given' failed: KeyError: 'x'"),
    ],
)
def test_what_is_no_plan_is_refused_by_the_strategys_name(
    answer: Any, rule: str
) -> None:
    cars = plain_fleet([(0, 10, 1e6), (0, 10, 1e6)])
    with pytest.raises(StrategyError, match=rule):
        run(Given(answer), cars, site_for(cars, 100))


def test_a_plan_may_have_whole_numbers() -> None:
    cars = plain_fleet([(0, 10, 1e6)])
    found = run(Given(lambda p: greedy(p).astype(int)), cars, site_for(cars, 100))
    assert found.energy_wh[0] == pytest.approx(5_000)


def test_a_promised_share_is_in_the_problem_until_it_is_met() -> None:
    cars = plain_fleet([(0, 30, 10_000.0)])
    strategy = Given(greedy)
    setting = Setting(name="x", minimum_share=0.7)
    run(strategy, cars, site_for(cars, 100), setting)
    promised = [float(p.energy_min_wh[0]) for p in strategy.problems]
    np.testing.assert_allclose(promised, [7_000, 1_000], atol=1e-6)
