"""What a problem refuses, by array, index and rule; and its digest."""

import numpy as np
import pytest

from optimizer import Problem, ProblemError, Status, plan
from tests.optimizer.problems import problem_of

NAN, INF = float("nan"), float("inf")
THREE, TWO = np.zeros(3), np.zeros(2)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("pre_upper_w", [1.0, NAN, 1.0], r"pre_upper_w\[1\] is nan; it must be finite"),
        ("pre_upper_w", [1.0, 1.0, INF], r"pre_upper_w\[2\] is inf"),
        ("pre_lower_w", [-INF, 0.0, 0.0], r"pre_lower_w\[0\] is -inf"),
        ("energy_target_wh", [0.0, NAN], r"energy_target_wh\[1\] is nan"),
        ("energy_max_wh", [INF, 2_000.0], r"energy_max_wh\[0\] is inf"),
        ("power_max_w", [NAN, 1.0], r"power_max_w\[0\] is nan"),
        ("power_max_w", [[1, 1, 1], [1, NAN, 1]], r"power_max_w\[1, 1\] is nan"),
        ("step_s", NAN, r"step_s\[0\] is nan"),
        ("power_floor_w", [1.0, NAN], r"power_floor_w\[1\] is nan"),
        ("energy_expected_wh", [NAN, 1.0], r"energy_expected_wh\[0\] is nan"),
        ("evse_max_w", [1.0, INF], r"evse_max_w\[1\] is inf"),
        ("previous_power_w", np.full((2, 3), NAN), r"previous_power_w\[0, 0\] is nan"),
        ("step_s", 0.0, r"step_s\[0\] is 0.0; it must be above 0"),
        ("step_s", [900.0, -1.0, 900.0], r"step_s\[1\] is -1.0; it must be above 0"),
        ("power_max_w", [1.0, -1.0], r"power_max_w\[1, 0\] is -1.0; it must be at le"),
        ("power_floor_w", [-1.0, 1.0], r"power_floor_w\[0\] is -1.0; it must be at l"),
        ("energy_target_wh", [-1.0, 0.0], r"energy_target_wh\[0\] is -1.0"),
        ("energy_max_wh", [999.0, 2_000.0], r"energy_max_wh\[0\] is 999.0; it must be"),
        ("pre_lower_w", [0.0, 0.0, 20_001.0], r"pre_upper_w\[2\] is 20000.0; it must"),
        ("departure_step", [3, -1], r"departure_step\[1\] is -1; it must be at least "),
        ("step_s", [900.0] * 4, r"step_s has shape \(4,\); it must fit \(3,\)"),
        ("pre_lower_w", TWO, r"pre_lower_w has shape \(2,\)"),
        ("energy_max_wh", THREE, r"energy_max_wh has shape \(3,\)"),
        ("power_floor_w", THREE, r"power_floor_w has shape \(3,\)"),
        ("power_max_w", np.ones((2, 4)), r"power_max_w has shape \(2, 4\)"),
        ("power_max_w", np.ones(3), r"power_max_w has shape \(3,\)"),
        ("previous_power_w", np.zeros((3, 2)), r"previous_power_w has shape \(3, 2\)"),
        ("departure_step", [3, 3, 3], r"departure_step has shape \(3,\)"),
        ("priority", [0, 0, 0], r"priority has shape \(3,\)"),
        ("row_key", [0, 1, 2], r"row_key has shape \(3,\)"),
    ],
)
def test_a_problem_names_array_index_and_rule(
    name: str, value: object, says: str
) -> None:
    with pytest.raises(ProblemError, match=says):
        problem_of(**{name: value})


def test_nobody_is_there() -> None:
    problem = problem_of(
        power_max_w=np.zeros(0),
        arrival_step=[],
        departure_step=[],
        energy_target_wh=[],
        energy_max_wh=[],
    )
    result = plan(problem)
    assert result.power_w.shape == (0, 3)
    assert result.status == Status.OPTIMAL
    assert result.aetp_w.tolist() == [0, 0, 0]


def one_step() -> Problem:
    return problem_of(
        departure_step=[1, 1], pre_lower_w=np.zeros(1), pre_upper_w=[20_000.0]
    )


def test_a_single_step() -> None:
    assert plan(one_step()).power_w.tolist() == [[6_656], [6_656]]


@pytest.mark.parametrize(
    "given",
    [
        {"pre_upper_w": np.zeros(3)},
        {"arrival_step": [3, 3]},
        {"departure_step": [0, 0]},
        {"power_max_w": [0.0, 1_247.0]},
        {"pre_upper_w": np.full(3, 1_247.0)},
    ],
    ids=["no PRE", "all away", "all gone", "below the floor", "PRE below the floor"],
)
def test_where_nothing_can_be_given_nothing_is(given: dict[str, object]) -> None:
    result = plan(problem_of(**given))
    assert result.power_w.tolist() == [[0, 0, 0]] * 2
    assert result.status == Status.BEST_EFFORT
    assert result.unmet_target_wh.tolist() == [1_000, 1_000]


def test_a_pre_of_zero_width_is_met_or_said_not_to_be() -> None:
    """Lower equals upper: two EVs cannot take more than they can."""
    exact = np.full(3, 2 * 6_656.0)
    wants = np.full(2, 1e5)
    met = plan(problem_of(pre_lower_w=exact, pre_upper_w=exact, energy_max_wh=wants))
    assert met.aetp_w.tolist() == exact.tolist()
    assert met.status == Status.OPTIMAL
    more = exact + 1
    assert plan(problem_of(pre_lower_w=more, pre_upper_w=more)).status == (
        Status.BEST_EFFORT
    )


def test_the_digest_is_of_all_arrays() -> None:
    base = problem_of()
    assert base.digest() == problem_of().digest()
    others = [
        problem_of(step_s=901.0),
        problem_of(power_max_w=[6_656.0, 6_655.0]),
        problem_of(departure_step=[3, 2]),
        problem_of(arrival_step=[0, 1]),
        problem_of(energy_target_wh=[1_000.0, 999.0]),
        problem_of(energy_max_wh=[2_000.0, 1_999.0]),
        problem_of(energy_expected_wh=[1_000.0, 999.0]),
        problem_of(priority=[0, 1]),
        problem_of(power_floor_w=1_249.0),
        problem_of(pre_lower_w=np.ones(3)),
        problem_of(pre_upper_w=np.full(3, 19_999.0)),
        problem_of(row_key=[0, 2]),
        problem_of(arrival_rank=[1, 0]),
        problem_of(evse_max_w=[6_656.0, 6_000.0]),
        problem_of(previous_power_w=np.zeros((2, 3))),
    ]
    digests = {base.digest(), *(other.digest() for other in others)}
    assert len(digests) == 1 + len(others)
