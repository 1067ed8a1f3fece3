"""The reference: by hand where that is easy, and no plan drawn at random beats it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import Group, PhaseNetwork, Problem, Shortage
from optimizer.checks import Floats
from optimizer.reference import reference, reference_values, solved
from optimizer.tiers import measures_of, tier_values
from tests.optimizer.problems import problem_of
from tests.optimizer.random_problems import Features, random_problems

EASY = {"power_floor_w": 0.0, "energy_max_wh": [1_000.0, 1_000.0]}


def hourly(**given: object) -> Problem:
    """Two EVs, two hours, 1,000 Wh each, nothing but what is given."""
    parts: dict[str, object] = {
        "step_s": 3_600.0,
        "departure_step": [2, 2],
        "pre_lower_w": np.zeros(2),
        "pre_upper_w": np.full(2, 20_000.0),
    }
    return problem_of(**(EASY | parts | given))


def test_the_cheapest_step_is_used_as_far_as_the_pre_goes() -> None:
    solution = reference(hourly(buy_per_kwh=[0.3, 0.1], pre_upper_w=[5e3, 1_500.0]))
    assert solution.power_w.sum(axis=0) == pytest.approx([500.0, 1_500.0], abs=0.01)
    # One more kWh in the cheap hour saves what the dear hour costs more.
    assert solution.pre_price_per_kwh == pytest.approx([0.0, 0.2])


def test_a_class_comes_first_and_a_promise_before_any_wish() -> None:
    problem = hourly(
        priority=[1, 0], energy_min_wh=[400.0, 0.0], pre_upper_w=[600.0, 300.0]
    )
    values = reference_values(problem)
    assert values["unmet_min_wh/1"] == pytest.approx(0.0, abs=0.01)
    assert values["unmet_target_wh/0"] == pytest.approx(500.0, abs=0.01)
    assert values["unmet_target_wh/1"] == pytest.approx(600.0, abs=0.01)


@pytest.mark.parametrize(
    ("shortage", "energy_wh"),
    [(Shortage.FINISH_MOST, [1_000.0, 200.0]), (Shortage.MAX_MIN, [300.0, 900.0])],
)
def test_a_shortage_follows_its_policy(
    shortage: Shortage, energy_wh: list[float]
) -> None:
    problem = hourly(
        energy_target_wh=[1_000.0, 3_000.0],
        energy_max_wh=[1_000.0, 3_000.0],
        pre_upper_w=[800.0, 400.0],
        shortage=shortage,
    )
    solution = reference(problem)
    assert solution.power_w.sum(axis=1) == pytest.approx(energy_wh, abs=0.01)
    assert solution.service_price.min() == pytest.approx(1.0)


def test_max_min_goes_on_after_the_least_share_is_settled() -> None:
    problem = hourly(
        energy_target_wh=[1_000.0, 1_000.0],
        departure_step=[1, 2],
        pre_upper_w=[100.0, 700.0],
        shortage=Shortage.MAX_MIN,
    )
    energy = reference(problem).power_w.sum(axis=1)
    assert energy == pytest.approx([100.0, 700.0], abs=0.01)


def test_an_impossible_lower_bound_is_missed_by_the_least() -> None:
    problem = hourly(pre_lower_w=[3_000.0, 0.0])
    values = reference_values(problem)
    assert values["violation_wh"] == pytest.approx(1_000.0, abs=0.01)


def test_energy_is_not_burnt_where_a_direction_must_be_chosen() -> None:
    problem = hourly(
        departure_step=[1, 1],
        power_min_w=[-5_000.0, 0.0],
        charge_efficiency=0.5,
        discharge_efficiency=0.5,
        buy_per_kwh=[-0.1, -0.1],
    )
    # Each EV takes 2 kWh for its 1; charging and discharging at once would earn more.
    assert reference_values(problem)["money"] == pytest.approx(-0.4, abs=1e-6)
    assert not reference(problem).pre_price_per_kwh.any()


def test_a_lossy_battery_pays_only_where_prices_differ_enough() -> None:
    def moved(dear: float) -> float:
        problem = hourly(
            power_min_w=[-5_000.0, 0.0],
            energy_target_wh=[0.0, 0.0],
            energy_max_wh=[0.0, 0.0],
            pre_lower_w=[-20_000.0, -20_000.0],
            stored_wh=[0.0, 0.0],
            capacity_wh=[800.0, 0.0],
            charge_efficiency=0.8,
            buy_per_kwh=[0.1, dear],
            wear_per_kwh=0.02,
        )
        return float(reference(problem).power_w[0, 0])

    assert moved(0.14) == pytest.approx(0.0, abs=0.01)
    assert moved(0.15) == pytest.approx(1_000.0, abs=0.01)


def test_floors_and_pilot_steps_are_kept_exactly() -> None:
    problem = hourly(
        power_floor_w=1_380.0,
        power_step_w=[0.0, 230.0],
        energy_target_wh=[2_000.0, 1_500.0],
        energy_max_wh=[2_000.0, 1_500.0],
        pre_upper_w=[2_000.0, 1_400.0],
    )
    power = reference(problem, floors=True).power_w
    assert ((power < 0.01) | (power > 1_379.99)).all()
    assert power[1] / 230.0 == pytest.approx(np.round(power[1] / 230.0), abs=1e-4)
    assert power.sum() == pytest.approx(3_380.0, abs=0.1)


def test_a_line_keeps_its_norm_and_polygons_enclose_the_optimum() -> None:
    lines = PhaseNetwork(
        np.array([[1.0, -1.0]]),
        np.deg2rad([30.0, -90.0]),
        np.full(1, 2.0),
        np.full(1, 208.0),
    )
    problem = hourly(phases=lines)
    power = reference(problem, sides=24).power_w
    assert lines.current_a(power).max() <= 2.0
    name = "unmet_target_wh/0"
    above = reference_values(problem, sides=24)[name]
    below = reference_values(problem, sides=24, inside=False)[name]
    # Both EVs at p: |p (e^j30 - e^-j90)| / 208 = p sqrt(3) / 208.
    exact = 2_000.0 - 2 * 2 * 2.0 * 208.0 / np.sqrt(3)
    assert below - 0.01 <= exact <= above + 0.01
    assert above - below < 20.0


CHARGING: list[Features] = [
    {},
    {"losses": True, "batteries": True},
    {"windows": True, "peak": True},
]
V2G: list[Features] = [{"v2g": True}]


@settings(max_examples=25)
@given(st.data())
def test_its_values_are_those_of_its_plan(data: st.DataObject) -> None:
    features = data.draw(st.sampled_from(CHARGING + V2G))
    problem = data.draw(random_problems(5, 6, **features))
    found = solved(problem)
    values = tier_values(problem, measures_of(problem, found.solution.power_w))
    assert list(values) == list(found.values)
    assert values == pytest.approx(found.values, rel=1e-6, abs=2e-3)


@settings(max_examples=25)
@given(st.data(), st.integers(0, 2**32))
def test_no_plan_at_random_is_better(data: st.DataObject, seed: int) -> None:
    features = data.draw(st.sampled_from(CHARGING))
    problem = data.draw(random_problems(4, 4, **features))
    best = reference_values(problem)
    dice = np.random.default_rng(seed)
    for _ in range(20):
        power = some_plan(problem, dice)
        for name, value in tier_values(problem, measures_of(problem, power)).items():
            worse = value - best[name]
            room = 1e-2 * max(1.0, abs(value))
            assert worse >= -room, name
            if worse > 1e-6 or name.startswith("short"):
                break  # later tiers may be anything


def some_plan(problem: Problem, dice: np.random.Generator) -> Floats:
    """Fill cells in random order, most of them as far as all limits allow."""
    power = np.zeros((problem.n_evse, problem.n_step))
    left = problem.energy_max_wh.copy()
    if problem.stored_wh is not None and problem.capacity_wh is not None:
        left = np.fmin(left, problem.capacity_wh - problem.stored_wh)
    there = problem.available()
    for cell in dice.permutation(power.size):
        i, t = divmod(int(cell), problem.n_step)
        room = problem.pre_upper_w[t] - power[:, t].sum()
        for group in problem.groups:
            if i in group.members:
                room = min(room, group.upper_w[t] - power[group.members, t].sum())
        per_w = problem.hours[t] * problem.charge_efficiency[i]
        most = min(room, problem.power_max_w[i, t], left[i] / per_w)
        power[i, t] = max(most, 0.0) * there[i, t] * dice.choice([0.0, 1.0, 1.0, 0.5])
        left[i] -= power[i, t] * per_w
    return power


def test_a_group_without_upper_bound_only_has_a_lower_one() -> None:
    group = Group(np.array([0]), np.array(np.inf), np.array(700.0))
    values = reference_values(hourly(groups=(group,), energy_max_wh=[1_100.0, 1_000.0]))
    assert values["violation_wh"] == pytest.approx(300.0, abs=0.01)


def test_pyomo_is_imported_only_with_the_reference() -> None:
    code = "import optimizer, sys; assert 'pyomo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
