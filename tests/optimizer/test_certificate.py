"""Certificates: optimal plans have no gap, and nothing that is tampered with passes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import Group, PhaseNetwork, Problem, Result
from optimizer.certificate import certify, check
from optimizer.checks import Floats
from optimizer.highs import Highs
from optimizer.reference import solved
from tests.optimizer.problems import problem_of
from tests.optimizer.random_problems import Features, random_problems

GAP = 1e-6
FEATURES: list[Features] = [
    {},
    {"losses": True, "batteries": True},
    {"windows": True, "peak": True},
    {"phases": True},
    {"v2g": True},
    {"v2g": True, "windows": True, "peak": True},
]


@settings(max_examples=30)
@given(st.data())
def test_plans_of_the_reference_have_no_gap(data: st.DataObject) -> None:
    features = data.draw(st.sampled_from(FEATURES))
    problem = data.draw(random_problems(3, 4, **features))
    found = solved(problem)
    best = found.solution
    certificate = certify(
        problem,
        best.power_w,
        best.service_price,
        best.pre_price_per_kwh,
        best.group_price_per_kwh,
        best.stored_price_per_kwh,
        found.zone_price_per_kwh,
    )
    assert certificate.accepted
    if found.zone_price_per_kwh is not None:  # no binaries
        for name, (value, bound) in certificate.bounds.items():
            assert value == pytest.approx(bound, rel=GAP, abs=GAP), name


@settings(max_examples=30)
@given(random_problems(6, 8, losses=True))
def test_plans_of_highs_have_no_gap(problem: Problem) -> None:
    best = Highs().solve(problem)
    certificate = certify(
        problem,
        best.power_w,
        None,
        best.pre_price_per_kwh,
        best.group_price_per_kwh,
    )
    assert certificate.accepted
    assert "money" in certificate.bounds
    # Where a limit is left, HiGHS' prices may leave the bound too low.
    if certificate.bounds.get("violation_wh") == (0.0, 0.0):
        assert certificate.gap <= GAP


@settings(max_examples=25)
@given(st.data(), st.integers(0, 2**32))
def test_no_prices_make_a_bound_that_an_optimum_is_below(
    data: st.DataObject, seed: int
) -> None:
    features = data.draw(st.sampled_from(FEATURES))
    problem = data.draw(random_problems(3, 4, **features))
    found, dice = solved(problem), np.random.default_rng(seed)
    groups, n_step = len(problem.groups), problem.n_step
    classes = np.unique(problem.priority).size
    zone = found.zone_price_per_kwh
    certificate = certify(
        problem,
        found.solution.power_w,
        dice.uniform(-0.5, 1.5, (classes, 1 + groups, n_step)),
        dice.uniform(-0.3, 0.3, n_step),
        dice.uniform(-0.3, 0.3, (groups, n_step)),
        dice.uniform(-0.3, 0.3, (problem.n_evse, n_step)),
        None if zone is None or dice.random() < 0.5 else zone + dice.normal(0, 0.1),
    )
    for name, (value, bound) in certificate.bounds.items():
        assert bound <= value + GAP * max(1.0, abs(value)), name


def tight(**given: object) -> Problem:
    """Two EVs that share 4 kW; at the last step one of them is away."""
    parts: dict[str, object] = {
        "step_s": 3_600.0,
        "departure_step": [3, 2],
        "power_max_w": [5_000.0, 3_000.0],
        "energy_target_wh": [5_000.0, 4_000.0],
        "energy_max_wh": [5_000.0, 4_000.0],
        "pre_upper_w": np.full(3, 4_000.0),
        "buy_per_kwh": [0.1, 0.2, 0.4],
        "groups": (Group(np.array([0]), np.array(3_500.0)),),
        "power_floor_w": 0.0,
    }
    return problem_of(**(parts | given))


def result_of(problem: Problem) -> Result:
    best = solved(problem).solution
    service = best.service_price[-1, 0] if best.service_price.size else np.zeros(3)
    return replace(
        Result.of_power(problem, np.round(best.power_w, 3)),
        pre_price_per_kwh=best.pre_price_per_kwh,
        group_price_per_kwh=best.group_price_per_kwh,
        pre_service_price=service,
    )


def test_an_untouched_result_is_accepted_without_a_gap() -> None:
    for groups in (tight().groups, ()):
        problem = tight(groups=groups, energy_max_wh=[9_000.0, 9_000.0])
        certificate = check(problem, result_of(problem))
        assert certificate.accepted
        assert certificate.gap <= GAP
        assert list(certificate.bounds) == [
            "violation_wh",
            "unmet_min_wh/0",
            "unmet_target_wh/0",
            "money",
        ]


def moved(result: Result, *changes: tuple[int, int, float]) -> Floats:
    power = result.power_w.copy()
    for i, t, change_w in changes:
        power[i, t] += change_w
    return power


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([(0, 2, 1.0)], id="a step raised"),
        pytest.param([(0, 2, -1.0)], id="energy cut"),
        pytest.param([(0, 0, 1.0), (1, 0, -1.0)], id="moved between EVs"),
        pytest.param([(1, 2, 1.0)], id="there when away"),
        pytest.param([(1, 2, np.nan)], id="no number while away"),
        pytest.param([(0, 0, np.nan)], id="no number"),
        pytest.param([(0, 1, -4_000.0)], id="below its least power"),
        pytest.param([(0, 0, 1.0), (0, 1, -1.0)], id="above the PRE, energy kept"),
        pytest.param([(0, 0, -100.0), (0, 2, 100.0)], id="dearer"),
        pytest.param([(0, 0, 9_000.0), (0, 1, -9_000.0)], id="above its power"),
    ],
)
def test_a_changed_power_is_seen(changes: list[tuple[int, int, float]]) -> None:
    problem = tight()
    result = result_of(problem)
    power = moved(result, *changes)
    changed = check(problem, replace(result, power_w=power))
    assert not changed.accepted
    # Also where all that is reported of it is true.
    best = solved(problem).solution
    changed = certify(
        problem,
        power,
        best.service_price,
        best.pre_price_per_kwh,
        best.group_price_per_kwh,
    )
    assert not changed.accepted or changed.gap > 1e-5


@pytest.mark.parametrize(
    "tamper",
    [
        lambda r: {"unmet_target_wh": r.unmet_target_wh + np.array([1.0, 0.0])},
        lambda r: {"unmet_min_wh": r.unmet_min_wh + np.array([0.0, 1.0])},
        lambda r: {"pre_violation_w": r.pre_violation_w + np.array([0.0, 1.0, 0.0])},
        lambda r: {"group_violation_w": r.group_violation_w - 1.0},
        lambda r: {"objective": {**r.objective, "money": r.objective["money"] - 1e-3}},
        lambda r: {"objective": {**r.objective, "early": r.objective["early"] + 1.0}},
        lambda r: {"objective": {**r.objective, "short_target/0": 0.1}},
        lambda r: {"objective": {**r.objective, "no_such_tier": 0.0}},
    ],
)
def test_a_false_report_is_not_accepted(
    tamper: Callable[[Result], dict[str, object]],
) -> None:
    problem = tight()
    result = result_of(problem)
    assert check(problem, result).accepted
    parts = tamper(result)
    assert not check(problem, replace(result, **parts)).accepted  # type: ignore[arg-type]


class Boasting(Result):
    """Reports a sum that is none."""

    @property
    def aetp_w(self) -> Floats:
        more_w: Floats = self.power_w.sum(axis=0) + 1.0
        return more_w


def test_an_aetp_that_is_not_the_sum_is_not_accepted() -> None:
    problem = tight()
    result = result_of(problem)
    boasting = Boasting(**{k: getattr(result, k) for k in result.__dataclass_fields__})
    certificate = check(problem, boasting)
    assert certificate.aetp_w == pytest.approx(1.0)
    assert not certificate.accepted


@pytest.mark.parametrize("change", [-0.05, 0.05, -0.5, 0.5])
def test_a_false_price_widens_the_gap(change: float) -> None:
    problem = tight()
    result = result_of(problem)
    prices = result.pre_price_per_kwh + np.array([change, 0.0, 0.0])
    certificate = check(problem, replace(result, pre_price_per_kwh=prices))
    assert certificate.accepted
    assert certificate.gap > 1e-3


def test_a_false_price_of_service_widens_the_gap() -> None:
    problem = tight(pre_upper_w=np.full(3, 2_000.0), groups=())
    result = result_of(problem)
    assert check(problem, result).gap <= GAP
    prices = result.pre_service_price * 0.9
    assert check(problem, replace(result, pre_service_price=prices)).gap > 0.01


def test_a_line_current_above_its_limit_is_not_accepted() -> None:
    lines = PhaseNetwork(
        np.array([[1.0, 1.0]]), np.zeros(1), np.full(1, 20.0), np.full(1, 200.0)
    )
    problem = tight(phases=lines, groups=())
    power = np.array([[4_000.0, 1_000.0, 0.0], [0.0, 3_000.0, 0.0]])
    assert certify(problem, power).accepted
    assert "money" not in certify(problem, power).bounds  # the line's price is unknown
    power[0, 0] += 0.01
    certificate = certify(problem, power)
    assert certificate.line_a == pytest.approx(0.01 / 200.0)
    assert not certificate.accepted


@pytest.mark.parametrize(
    ("power_w", "off_w"),
    [
        (1_379.0, 1.0),
        (2_000.0, 70.0),
        (1_380.0, 0.0),
        (2_070.0, 0.0),
        (0.0, 0.0),
        (100.0, 100.0),
    ],
)
def test_floors_and_pilot_steps(power_w: float, off_w: float) -> None:
    problem = tight(power_floor_w=1_380.0, power_step_w=[690.0, 0.0])
    power = np.array([[power_w, 0.0, 0.0], [0.0, 0.0, 0.0]])
    certificate = certify(problem, power)
    assert certificate.floor_w == pytest.approx(off_w)
    assert certificate.accepted == (off_w == 0.0)


def test_a_battery_is_never_emptier_than_empty() -> None:
    problem = tight(
        power_min_w=[-5_000.0, 0.0],
        stored_wh=[1_000.0, np.nan],
        capacity_wh=[8_000.0, np.nan],
        pre_lower_w=np.full(3, -9_000.0),
        discharge_efficiency=0.9,
    )
    power = np.array([[-900.0, 4_000.0, 2_000.0], [0.0, 0.0, 0.0]])
    assert certify(problem, power).accepted
    power[0, 0] -= 9.0
    assert certify(problem, power).battery_wh == pytest.approx(10.0)
    assert not certify(problem, power).accepted
