"""V2G on HiGHS: one direction at a time, also where burning energy would pay."""

import numpy as np
import pytest

from optimizer import Problem
from optimizer.highs import Highs
from optimizer.highs.directions import Directions
from optimizer.highs.model import Model
from optimizer.highs.sequence import TierSequence
from optimizer.reference import reference_values
from tests.optimizer.problems import problem_of
from tests.optimizer.test_highs import check_rules, check_values


def full_battery(**given: object) -> Problem:
    """Return EVs whose batteries have 1 kWh of room, paid for every kWh taken."""
    parts: dict[str, object] = {
        "power_min_w": np.full(2, -6_656.0),
        "charge_efficiency": 0.9,
        "discharge_efficiency": 0.9,
        "stored_wh": np.full(2, 20_000.0),
        "capacity_wh": np.full(2, 21_000.0),
        "energy_target_wh": np.full(2, 500.0),
        "energy_max_wh": np.full(2, 1_000.0),
        "buy_per_kwh": np.array([-0.2, -0.1, -0.3]),
        "power_floor_w": 0.0,
    }
    return problem_of(**(parts | given))


@pytest.mark.parametrize(
    "problem",
    [
        full_battery(),
        full_battery(sell_per_kwh=np.array([-0.25, -0.1, -0.3])),
        full_battery(pre_lower_w=np.full(3, 6_000.0)),
        full_battery(stored_wh=None, capacity_wh=None),
        full_battery(groups=(), wear_per_kwh=0.05),
    ],
    ids=["paid to take", "dear export", "lower limit", "no battery known", "wear"],
)
def test_energy_is_never_burnt_by_both_directions_at_once(problem: Problem) -> None:
    model = Model(problem)
    relaxed = TierSequence(model, np.inf).run()
    assert Directions(model).burning(relaxed).any()
    power_w = Highs().solve(problem).power_w
    check_rules(problem, power_w)
    check_values(problem, power_w, reference_values(problem), 1e-6)


def test_both_directions_in_a_tie_are_netted_without_integers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_integers(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Directions, "_add", no_integers)
    problem = full_battery(charge_efficiency=1.0, discharge_efficiency=1.0)
    check_rules(problem, Highs().solve(problem).power_w)


def test_an_ev_that_cannot_give_what_it_should_gives_what_it_has() -> None:
    problem = full_battery(
        stored_wh=np.full(2, 400.0),
        energy_min_wh=np.full(2, -2_000.0),
        energy_target_wh=np.full(2, -1_000.0),
        energy_max_wh=np.full(2, -900.0),
        buy_per_kwh=0.2,
        pre_lower_w=np.full(3, -20_000.0),
    )
    power_w = Highs().solve(problem).power_w
    given_wh = -(power_w @ problem.hours) / 0.9
    assert given_wh == pytest.approx([400.0, 400.0])
