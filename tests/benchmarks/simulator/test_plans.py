"""The two strategies we compare with."""

import numpy as np
from hypothesis import given

from benchmarks.strategies import equal_share, uncontrolled
from optimizer import Problem
from tests.optimizer.problems import FLOOR_W, problem_of, problems


def shares(upper_w: float, n: int, **given: object) -> list[float]:
    parts: dict[str, object] = {
        "power_max_w": np.full(n, 6_656.0),
        "arrival_step": np.zeros(n, np.int64),
        "departure_step": np.ones(n, np.int64),
        "energy_target_wh": np.full(n, 9e3),
        "energy_max_wh": np.full(n, 9e3),
        "pre_lower_w": np.zeros(1),
        "pre_upper_w": np.full(1, upper_w),
        "arrival_rank": np.arange(n),
    }
    problem = problem_of(**(parts | given))
    return [float(w) for w in equal_share.plan(problem).power_w[:, 0]]


def test_the_pre_is_split_evenly() -> None:
    assert shares(9_000, 3) == [3_000] * 3
    assert shares(90_000, 3) == [6_656] * 3
    assert shares(10_000, 3) == [3_333] * 3


def test_below_the_floor_as_many_as_fit_by_arrival() -> None:
    assert shares(3_000, 3) == [1_500, 1_500, 0]
    assert shares(3_000, 3, arrival_rank=[2, 1, 0]) == [0, 1_500, 1_500]
    assert shares(1_247, 3) == [0, 0, 0]


def test_what_a_car_does_not_take_goes_to_nobody() -> None:
    assert shares(9_000, 3, evse_max_w=[1_500.0, 6_656, 6_656]) == [1_500, 3_000, 3_000]
    # Neither does it look at what a car was seen to take.
    assert (
        shares(
            9_000,
            3,
            power_max_w=[1_500.0, 6_656, 6_656],
            evse_max_w=np.full(3, 6_656.0),
        )
        == [3_000] * 3
    )


def test_who_asks_for_nothing_or_is_away_has_no_share() -> None:
    assert shares(
        9_000, 3, energy_max_wh=[0, 9e3, 9e3], energy_target_wh=0 * np.ones(3)
    ) == [
        0,
        4_500,
        4_500,
    ]
    assert shares(9_000, 3, departure_step=[0, 1, 1]) == [0, 4_500, 4_500]


@given(problem=problems())
def test_equal_share_keeps_the_pre_and_the_floor(problem: Problem) -> None:
    power = equal_share.plan(problem).power_w
    assert (power.sum(axis=0) <= problem.pre_upper_w).all()
    assert (power[~problem.available()] == 0).all()
    assert (power == np.floor(power)).all()


@given(problem=problems())
def test_uncontrolled_gives_all_to_who_is_there(problem: Problem) -> None:
    power = uncontrolled.plan(problem).power_w
    there = problem.available()
    limits = np.broadcast_to(problem.evse_max_w[:, None], there.shape)
    assert (power[there] == limits[there]).all()
    assert (power[~there] == 0).all()


def test_the_floor_is_6_a() -> None:
    assert FLOOR_W == 6 * 208
