"""Cars as they are, and what is concluded from what they draw."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from benchmarks.laboratory.kernels import drive
from benchmarks.laboratory.kernels.drive import DRAWN_W
from benchmarks.laboratory.setting import REALISTIC, Setting
from benchmarks.simulator.car import Car
from benchmarks.strategies.registry import make_strategy
from domain.loop import allocation, observer
from domain.model.values import MINUTE
from optimizer import Problem
from optimizer.checks import Floats
from tests.benchmarks.laboratory.cases import (
    Given,
    fleet,
    greedy,
    plain_fleet,
    run,
    site_for,
)

# The realistic setting in steps of 5 minutes, which are easier to count.
FIVE = msgspec.structs.replace(
    REALISTIC, step_s=300, replan_steps=3, horizon_steps=288, coarse_steps=1
)
PLAIN = Setting(name="plain", floor_w=1_248.0, taper=True)


def full(problem: Problem) -> Floats:
    """Return all that the EVSEs give, whatever is known of the EVs."""
    return np.where(problem.available(), problem.evse_max_w[:, None], 0.0)


def test_a_car_tapers_as_that_of_the_simulator_does() -> None:
    cars = plain_fleet([(0, 40, 12_000.0)])
    found = run(Given(full), cars, site_for(cars, 100), PLAIN)
    car = Car(6_000.0, 0, 12_000.0, 1_248.0, allowed_w=6_000.0)
    energies = []
    for _ in range(40):
        before = car.energy_wh
        for _ in range(5):
            car.settle()
            car.advance(MINUTE)
        energies.append(12 * (car.energy_wh - before))
    np.testing.assert_allclose(found.measured[DRAWN_W], energies, atol=1e-3)


@pytest.mark.parametrize(("power_w", "drawn_w"), [(1_247.0, 0.0), (1_248.0, 1_248.0)])
def test_nothing_is_drawn_below_the_floor(power_w: float, drawn_w: float) -> None:
    cars = plain_fleet([(0, 10, 1e5)])
    strategy = Given(lambda p: np.full((p.n_evse, p.n_step), power_w))
    found = run(strategy, cars, site_for(cars, 100), PLAIN)
    np.testing.assert_allclose(found.measured[DRAWN_W], drawn_w)


def test_slow_cars_are_the_same_whatever_the_days_and_as_many_as_said() -> None:
    one, two = (fleet(REALISTIC, per_day=40, days=d) for d in (1, 2))
    n = one.size
    assert one.session_ids == two.session_ids[:n]
    np.testing.assert_array_equal(one.car_max_w, two.car_max_w[:n])
    assert 0.1 < (two.car_max_w < 6_656).mean() < 0.5
    other = fleet(REALISTIC, per_day=40, seed=1)
    assert not np.array_equal(one.car_max_w[:20], other.car_max_w[:20])


def test_strategies_are_told_wishes_and_estimates_not_the_truth() -> None:
    cars = fleet(REALISTIC, per_day=40)
    assert (cars.told_wh[cars.stated] > cars.need_wh[cars.stated]).any()
    assert (cars.told_departure_step != cars.departure_step).any()
    assert (cars.due_wh <= cars.need_wh).all()
    # Who stated nothing gets the defaults: 5 kWh and 2 h, nobody having left before.
    silent = ~cars.stated
    np.testing.assert_array_equal(cars.told_wh[silent], 5_000)
    stay = (cars.told_departure_step - cars.arrival_step)[silent]
    assert ((stay == 120) | (stay == 121)).all()


def problems_of(need_wh: float, told_wh: float, most_w: float) -> list[Problem]:
    """Return the problems of one car in the realistic setting."""
    cars = plain_fleet([(0, 60, need_wh)])
    cars.told_wh[0] = told_wh
    cars.car_max_w[0] = most_w
    strategy = Given(greedy)
    run(strategy, cars, site_for(cars, 100), FIVE)
    return strategy.problems


def test_what_a_car_takes_is_seen_and_probed() -> None:
    problems = problems_of(20_000, 40_000, 3_300.0)
    assert problems[0].power_max_w[0, 0] == 6_000
    assert problems[1].power_max_w[0, 0] == pytest.approx(allocation.probed_w(3_300))


def test_a_car_that_stops_is_offered_its_floor_again_every_quarter_hour() -> None:
    problems = problems_of(1_000, 20_000, 6_000.0)
    offered = [p for p in problems if p.priority[0] == 2]
    # One step to be offered, three to wait: every fourth of the 55 or so that are left.
    assert len(offered) in (13, 14)
    assert all(p.power_max_w[0, 0] == 1_248 for p in offered)
    assert all(p.energy_target_wh[0] == 0 for p in offered)
    waits = np.diff([p.n_step for p in offered])
    assert set(waits) == {-4}


def test_a_car_past_its_estimate_is_planned_for_an_hour_in_a_later_class() -> None:
    cars = replace(plain_fleet([(0, 60, 1e6)]), told_departure_step=np.array([20]))
    strategy = Given(greedy)
    run(strategy, cars, site_for(cars, 100), FIVE)
    punctual = [p.n_step for p in strategy.problems if p.priority[0] == 0]
    late = [p.n_step for p in strategy.problems if p.priority[0] == 1]
    assert punctual == [20, 17, 14, 11, 8, 5, 2]
    assert late == [12] * 14  # at steps 20, 23 .. 59


def test_who_stated_nothing_and_takes_more_gets_twice_the_default() -> None:
    cars = plain_fleet([(0, 60, 20_000)])
    cars.told_wh[0], cars.stated[0] = 2_000.0, False
    strategy = Given(greedy)
    run(strategy, cars, site_for(cars, 100), FIVE)
    # 1.5 kWh each quarter hour, of 2, 4, 8 kWh; then again when these are passed.
    targets = [round(float(p.energy_target_wh[0])) for p in strategy.problems[:7]]
    assert targets == [2_000, 500, 1_000, 3_500, 2_000, 500, 7_000]


def test_what_is_seen_is_judged_as_the_loops_observer_does() -> None:
    assert observer.SUSPENDED_BELOW_W == drive.NOTHING_W
    assert observer.METER_TOLERANCE_W == drive.TOLERANCE_W


def test_columns_are_single_as_far_as_used_and_coarse_after_that() -> None:
    cars = plain_fleet([(0, 100, 1e5), (40, 100, 1e5)])
    strategy = Given(greedy)
    run(strategy, cars, site_for(cars, 100), REALISTIC)
    first, second, third = strategy.problems[:3]
    np.testing.assert_allclose(first.step_s[:16], [60.0] * 15 + [900.0])
    assert first.step_s.sum() == 100 * 60
    assert first.departure_step[0] == first.n_step == 15 + 6
    # The plan in force is that of the columns' begins; a new EV has none.
    assert third.previous_power_w is None or third.n_evse == 1
    fourth = strategy.problems[3]
    assert fourth.n_evse == 2
    assert fourth.previous_power_w is not None
    np.testing.assert_allclose(fourth.previous_power_w[0], 6_000)
    np.testing.assert_allclose(fourth.previous_power_w[1], 0)
    assert second.n_step == 15 + 5


def test_realistic_cars_make_no_heuristic_break_the_pre() -> None:
    cars = fleet(REALISTIC, per_day=40)
    site = site_for(cars, 20)
    found = run(make_strategy("equal-share-redistributing"), cars, site, REALISTIC)
    assert found.measured[DRAWN_W].max() <= 20_000 + 1e-6
    assert found.energy_wh.sum() > 0.3 * cars.need_wh.sum()
