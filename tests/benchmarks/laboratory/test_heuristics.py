"""The strategies to compare with: their orders and shares, and the limits they keep."""

import numpy as np
import pytest
from hypothesis import given, settings

from benchmarks.strategies.by_share import (
    EqualShare,
    EqualShareRedistributing,
    Proportional,
    RoundRobin,
)
from benchmarks.strategies.in_order import (
    EarliestDeadline,
    FirstComeFirstServed,
    LeastLaxity,
)
from benchmarks.strategies.protocol import Strategy
from benchmarks.strategies.registry import make_strategy
from optimizer import Problem
from optimizer.checks import Floats
from tests.benchmarks.laboratory.cases import (
    limited_problems,
    phases_of,
    plan_problem,
)

HEURISTICS = (
    EarliestDeadline,
    LeastLaxity,
    FirstComeFirstServed,
    EqualShareRedistributing,
    EqualShare,
    Proportional,
    RoundRobin,
)


def first_column(strategy: Strategy, problem: Problem) -> list[float]:
    power = strategy.plan(problem)
    assert isinstance(power, np.ndarray)
    return [round(float(p), 3) for p in power[:, 0]]


@pytest.mark.parametrize("made", HEURISTICS)
@settings(max_examples=60)
@given(problem=limited_problems())
def test_no_heuristic_ever_breaks_a_limit(
    made: type[EarliestDeadline], problem: Problem
) -> None:
    strategy = made()
    power = strategy.plan(problem)
    assert power.shape == (problem.n_evse, problem.n_step)
    assert (power >= 0).all()
    assert (power.sum(axis=0) <= problem.pre_upper_w + 1e-6).all()
    for group in problem.groups:
        assert (power[group.members].sum(axis=0) <= group.upper_w + 1e-6).all()
    assert problem.phases is not None
    current = problem.phases.current_a(power)
    assert (current <= problem.phases.limit_a[:, None] + 1e-9).all()
    assert (power[~problem.available()] == 0).all()
    floor = problem.power_floor_w[:, None]
    assert ((power == 0) | (power >= floor - 1e-9)).all()
    # Equal share looks at the EVSE alone; the others at what the EV takes and needs.
    if isinstance(strategy, EqualShare):
        assert (power <= problem.evse_max_w[:, None] + 1e-9).all()
        return
    assert (power <= problem.power_max_w + 1e-9).all()
    taken = problem.charge_efficiency * (power @ problem.hours)
    # A floor may give more in the last step than is needed: the car stops by itself.
    longest = problem.hours.max() * problem.power_floor_w
    assert (taken <= problem.energy_max_wh + longest + 1e-6).all()


@pytest.mark.parametrize("made", [EarliestDeadline, LeastLaxity, FirstComeFirstServed])
@settings(max_examples=40)
@given(problem=limited_problems())
def test_service_in_order_leaves_nothing_that_somebody_could_take(
    made: type[EarliestDeadline], problem: Problem
) -> None:
    power = made().plan(problem)[:, :1]
    taken = problem.charge_efficiency * power[:, 0] * problem.hours[0]
    left_wh = problem.energy_max_wh - taken
    for i in range(problem.n_evse):
        more = power.copy()
        more[i] += max(1.0, problem.power_floor_w[i] - power[i, 0])
        wants = (
            problem.available()[i, 0]
            and left_wh[i] > 1.0 * problem.hours[0] + 1
            and (more[i] <= problem.power_max_w[i, 0]).all()
        )
        assert not (wants and keeps(problem, more))


def keeps(problem: Problem, power: Floats) -> bool:
    assert problem.phases is not None
    current = problem.phases.current_a(power)[:, 0]
    return bool(
        power.sum() <= problem.pre_upper_w[0]
        and (current <= problem.phases.limit_a - 1e-6).all()
        and all(power[g.members].sum() <= g.upper_w[0] for g in problem.groups)
    )


def test_first_come_is_first_served_and_the_deadline_is_not_looked_at() -> None:
    problem = plan_problem([12_000, 12_000, 12_000], pre_w=8_000, departures=[9, 3, 6])
    assert first_column(FirstComeFirstServed(), problem) == [6_000, 2_000, 0]
    turned = plan_problem(
        [12_000] * 3, pre_w=8_000, arrival_rank=np.array([2, 0, 1], np.int64)
    )
    assert first_column(FirstComeFirstServed(), turned) == [0, 6_000, 2_000]


def test_the_earliest_deadline_is_served_first() -> None:
    problem = plan_problem([12_000, 12_000, 12_000], pre_w=8_000, departures=[9, 3, 6])
    assert first_column(EarliestDeadline(), problem) == [0, 6_000, 2_000]


def test_the_least_laxity_is_served_first_and_found_anew_each_step() -> None:
    # Laxities 4 - 1 = 3 h, 5 - 3 = 2 h; waiting an hour costs one, being served none.
    problem = plan_problem([6_000, 18_000], pre_w=6_000, departures=[4, 5])
    power = LeastLaxity().plan(problem)
    np.testing.assert_allclose(power[:, 0], [0, 6_000])
    np.testing.assert_allclose(power[:, 1], [6_000, 0])  # 2 h each: by arrival
    np.testing.assert_allclose(power.sum(axis=1), [6_000, 18_000])


def test_an_ev_left_below_its_floor_takes_nothing_and_the_next_one_is_asked() -> None:
    floors = np.array([0.0, 4_000.0, 1_000.0])
    problem = plan_problem([12_000] * 3, pre_w=8_000, power_floor_w=floors)
    assert first_column(FirstComeFirstServed(), problem) == [6_000, 0, 2_000]


def test_equal_share_gives_what_an_ev_does_not_need_to_nobody() -> None:
    problem = plan_problem([12_000, 1_000, 12_000], pre_w=9_000)
    assert first_column(EqualShare(), problem) == [3_000, 3_000, 3_000]


def test_equal_share_redistributing_gives_it_to_the_others() -> None:
    problem = plan_problem([12_000, 1_000, 12_000], pre_w=9_000)
    assert first_column(EqualShareRedistributing(), problem) == [4_000, 1_000, 4_000]


def test_when_floors_do_not_all_fit_they_go_by_arrival() -> None:
    problem = plan_problem([12_000] * 3, pre_w=5_000, power_floor_w=np.array(2_000.0))
    assert first_column(EqualShare(), problem) == [2_500, 2_500, 0]


def test_shares_are_in_proportion_to_what_is_missing() -> None:
    problem = plan_problem([2_000, 4_000, 6_000], pre_w=6_000)
    assert first_column(Proportional(), problem) == [1_000, 2_000, 3_000]


def test_round_robin_gives_a_step_to_each_in_turn_and_moves_the_begin_on() -> None:
    problem = plan_problem(
        [12_000] * 3, pre_w=4_000, power_step_w=np.array(1_000.0), n_step=3
    )
    power = RoundRobin().plan(problem)
    np.testing.assert_allclose(
        power, [[2_000, 1_000, 1_000], [1_000, 2_000, 1_000], [1_000, 1_000, 2_000]]
    )


def test_a_line_that_is_full_stops_only_the_evs_on_it() -> None:
    # Rows 0, 1 charge between lines a and b; row 40 between c and a.
    free = plan_problem([6_000] * 3, pre_w=1e6, phases=phases_of([0, 1, 40], 1e3))
    assert first_column(FirstComeFirstServed(), free) == [6_000] * 3
    tight = plan_problem([6_000] * 3, pre_w=1e6, phases=phases_of([0, 1, 40], 12.0))
    power = FirstComeFirstServed().plan(tight)[:, :1]
    assert tight.phases is not None
    load = tight.phases.current_a(power)[:, 0] / tight.phases.limit_a
    assert load.max() == pytest.approx(1.0, abs=1e-8)
    assert power[1, 0] < 6_000


@pytest.mark.parametrize("name", ["finish-most", "max-min"])
def test_our_planner_answers_under_each_policy(name: str) -> None:
    problem = plan_problem([2_000, 4_000, 6_000], pre_w=6_000)
    result = make_strategy(name).plan(problem)
    power = result if isinstance(result, np.ndarray) else result.power_w
    assert power.shape == (3, 12)
    np.testing.assert_allclose(power.sum(axis=1), [2_000, 4_000, 6_000], atol=2)


def test_only_the_columns_in_use_are_filled() -> None:
    strategy = EarliestDeadline()
    strategy.columns = 2
    power = strategy.plan(plan_problem([60_000], pre_w=6_000))
    np.testing.assert_allclose(power[0, :3], [6_000, 6_000, 0])
