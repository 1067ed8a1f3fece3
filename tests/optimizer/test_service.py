"""Laws of plans with floors where only the order of service matters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import Planner, Problem, Result, Status, plan
from optimizer.order_of_service import service_order
from optimizer.tiers import NOTHING_W, NOTHING_WH
from tests.optimizer.problems import problem_of, problems

LAW = settings(max_examples=60)


def with_floors(problem: Problem) -> Problem:
    """Return the problem with a floor at least somewhere: others have other rules."""
    floor_w = problem.power_floor_w.copy()
    floor_w[:1] = np.maximum(floor_w[:1], 1.0)
    return replace(problem, power_floor_w=floor_w)


SOME = problems().map(with_floors)


def check(problem: Problem, result: Result) -> None:
    power = result.power_w
    assert power.shape == (problem.n_evse, problem.n_step)
    assert (power == np.floor(power)).all()
    assert ((power == 0) | (power >= problem.power_floor_w[:, None])).all()
    assert (power >= 0).all()
    assert (power <= problem.power_max_w).all()
    assert (power[~problem.available()] == 0).all()
    assert (result.aetp_w == power.sum(axis=0)).all()
    assert (result.aetp_w <= problem.pre_upper_w).all()
    # Power is whole watts or the floor: an EV with less to take stops by itself.
    hours = problem.step_s / 3_600
    least = np.maximum(problem.power_floor_w, 1.0)
    slack = least * hours.max() + 1.0
    assert (power @ hours <= problem.energy_max_wh + slack).all()
    unmet = np.maximum(problem.energy_target_wh - power @ hours, 0)
    assert np.allclose(result.unmet_target_wh, unmet, atol=1.001 * NOTHING_WH)
    below = (result.aetp_w < problem.pre_lower_w - NOTHING_W).any()
    assert (result.status == Status.OPTIMAL) == (
        not (below or result.unmet_target_wh.any())
    )


@LAW
@given(problem=SOME)
def test_a_plan_keeps_every_rule(problem: Problem) -> None:
    check(problem, plan(problem))


@LAW
@given(many=st.lists(SOME, min_size=2, max_size=6))
def test_a_warm_planner_keeps_every_rule_too(many: list[Problem]) -> None:
    planner = Planner()
    for problem in many:
        check(problem, planner.plan(problem))


@LAW
@given(many=st.lists(SOME, min_size=1, max_size=4))
def test_two_planners_of_one_history_agree(many: list[Problem]) -> None:
    first, second = Planner(), Planner()
    for problem in many:
        one, other = first.plan(problem), second.plan(problem)
        assert (one.power_w == other.power_w).all()
        assert one.status == other.status


@LAW
@given(problem=problems(ample=True).map(with_floors))
def test_where_there_is_room_every_target_is_met(problem: Problem) -> None:
    result = plan(problem)
    assert not result.unmet_target_wh.any()
    if not (result.aetp_w < problem.pre_lower_w).any():
        assert result.status == Status.OPTIMAL


@LAW
@given(problem=SOME)
def test_nobody_who_fits_is_left_out(problem: Problem) -> None:
    """What the PRE leaves in a step is less than the floor of who got nothing."""
    result = plan(problem)
    hours = problem.step_s / 3_600
    got = np.cumsum(result.power_w * hours, axis=1)
    for i, t in np.argwhere(problem.available() & (result.power_w == 0)):
        before = got[i, t - 1] if t else 0.0
        floor = np.ceil(problem.power_floor_w[i])
        wants = problem.energy_max_wh[i] - before > 1.0
        can = np.floor(problem.power_max_w[i, t]) >= max(floor, 1)
        if wants and can:
            room = np.floor(problem.pre_upper_w[t]) - result.aetp_w[t]
            assert room < max(floor, 1)


def test_early_and_punctual_come_first() -> None:
    """One EV's worth of PRE: the overdue one gets what is left."""
    result = plan(
        problem_of(
            pre_upper_w=np.full(3, 6_656.0),
            energy_target_wh=[3_000.0, 3_000.0],
            energy_max_wh=[3_000.0, 3_000.0],
            priority=[1, 0],
        )
    )
    assert result.unmet_target_wh[1] == 0
    assert result.unmet_target_wh[0] > 900
    assert result.power_w[:, 0].tolist() == [0, 6_656]


@pytest.mark.parametrize(
    ("given", "order"),
    [
        # Many small needs go before one large.
        ({"energy_expected_wh": [9_000.0, 4_000.0]}, [1, 0]),
        # Who stays on can be served when the shortage is over.
        ({"departure_step": [32, 16]}, [1, 0]),
        # A slow car needs its whole stay for what a fast one takes in half of it.
        ({"power_max_w": [6_656.0, 3_300.0]}, [1, 0]),
        # Nobody is expected to leave within the next hours, whatever was stated.
        ({"departure_step": [8, 4], "energy_expected_wh": [4_000.0, 5_000.0]}, [0, 1]),
        # Who is overdue waits for nobody but, among equals, the punctual.
        ({"departure_step": [4, 4], "priority": [1, 0]}, [1, 0]),
        ({"departure_step": [4, 32], "priority": [1, 0]}, [0, 1]),
        # Who is offered again comes last.
        ({"departure_step": [4, 32], "priority": [2, 1]}, [1, 0]),
        ({"power_max_w": [0.0, 6_656.0], "departure_step": [4, 32]}, [0, 1]),
    ],
)
def test_the_order_of_service_in_a_shortage(
    given: dict[str, object], order: list[int]
) -> None:
    parts: dict[str, object] = {
        "departure_step": [32, 32],
        "energy_expected_wh": [5_000.0, 5_000.0],
        "pre_lower_w": np.zeros(32),
        "pre_upper_w": np.full(32, 6_656.0),
    }
    assert service_order(problem_of(**(parts | given))).tolist() == order


def test_floors_come_first_only_where_they_hardly_fit() -> None:
    """Six floors in 20 kW: one EV after another ends; in 7.488 kW all go on."""
    for upper_w, charging in ((20_000.0, 3), (7_488.0, 6)):
        result = plan(
            problem_of(
                power_max_w=np.full(6, 6_656.0),
                arrival_step=np.zeros(6, np.int64),
                departure_step=np.full(6, 3),
                energy_target_wh=np.full(6, 20_000.0),
                energy_max_wh=np.full(6, 20_000.0),
                pre_upper_w=np.full(3, upper_w),
            )
        )
        assert (result.power_w[:, 0] > 0).sum() == charging
