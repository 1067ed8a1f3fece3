"""The planner by its results: laws of every plan, hard and bad problems, time limits.

That its values are the best ones is in `test_agreement`.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.speed.v2g import site
from optimizer import (
    EnergyWindow,
    Group,
    PhaseNetwork,
    Problem,
    ProblemError,
    Result,
    Shortage,
    Status,
)
from optimizer.certificate import check
from optimizer.checks import Floats
from optimizer.planner import Planner, plan
from tests.optimizer.problems import problem_of
from tests.optimizer.random_problems import Features, random_problem, random_problems

W, WH = 2e-3, 2e-3  # rounding
NAN, INF = float("nan"), float("inf")
FEATURES: dict[str, Features] = {
    "charging": {"losses": True, "batteries": True},
    "windows": {"windows": True, "peak": True},
    "v2g": {"v2g": True},
    "v2g windows": {"v2g": True, "windows": True},
    "phases": {"phases": True, "losses": True},
    "phases v2g": {"phases": True, "v2g": True},
    "floors": {"floors": True},
    "floors v2g": {"floors": True, "v2g": True},
    "floors phases": {"floors": True, "phases": True, "peak": True},
}
ANY = st.sampled_from(list(FEATURES.values())).flatmap(
    lambda features: random_problems(6, 8, **features)
)
LAW = settings(max_examples=80)
FEW = settings(max_examples=25)


def stored_wh(problem: Problem, power_w: Floats) -> Floats:
    """Return what got into each battery by the end of each step, (n, T) [Wh]."""
    into = np.maximum(power_w, 0.0) * problem.charge_efficiency[:, None]
    out = np.maximum(-power_w, 0.0) / problem.discharge_efficiency[:, None]
    stored: Floats = np.cumsum((into - out) * problem.hours, axis=1)
    return stored


def check_hard_rules(problem: Problem, power_w: Floats) -> None:
    """Check what no plan may break, whatever else has to give."""
    assert power_w.shape == (problem.n_evse, problem.n_step)
    there = problem.available()
    assert (power_w <= np.where(there, problem.power_max_w, 0.0) + W).all()
    assert (power_w >= np.where(there, problem.power_min_w, 0.0) - W).all()
    assert (power_w[~there] == 0.0).all()
    size = np.abs(power_w)
    assert ((size == 0.0) | (size >= problem.power_floor_w[:, None] - W)).all()
    step = np.where(problem.power_step_w > 0.0, problem.power_step_w, NAN)[:, None]
    off = np.nan_to_num(np.abs(size - np.rint(size / step) * step))
    assert (off <= W).all()
    stored = stored_wh(problem, power_w)
    assert (stored[:, -1] <= problem.energy_max_wh + WH).all()
    if problem.stored_wh is not None and problem.capacity_wh is not None:
        # NaN where a battery is not known, which is above and below nothing.
        stored += problem.stored_wh[:, None]
        assert not (stored < -WH).any()
        assert not (stored > problem.capacity_wh[:, None] + WH).any()
    if problem.phases is not None:
        limit_a = problem.phases.limit_a[:, None]
        assert (problem.phases.current_a(power_w) <= limit_a + 1e-6).all()


def outside_w(power_w: Floats, lower_w: Floats, upper_w: Floats) -> Floats:
    above: Floats = np.maximum(power_w - upper_w, 0.0)
    return above - np.maximum(lower_w - power_w, 0.0)


def window_outside_w(problem: Problem, aetp_w: Floats) -> Floats:
    out = []
    for window in problem.energy_windows:
        steps = slice(window.start_step, window.stop_step)
        mean_w = np.array(np.average(aetp_w[steps], weights=problem.hours[steps]))
        lower, upper = np.array(window.lower_w), np.array(window.upper_w)
        out.append(float(outside_w(mean_w, lower, upper)))
    return np.array(out)


def check_report(problem: Problem, result: Result) -> None:
    """Check that the result says of its powers what is so."""
    power_w = result.power_w
    assert result.aetp_w.tobytes() == power_w.sum(axis=0).tobytes()
    bounds = problem.pre_lower_w, problem.pre_upper_w
    beyond_w = [outside_w(result.aetp_w, *bounds)]
    assert result.pre_violation_w == pytest.approx(beyond_w[0], abs=W)
    for group, violation_w in zip(
        problem.groups, result.group_violation_w, strict=True
    ):
        sum_w = power_w[group.members].sum(axis=0)
        beyond_w.append(outside_w(sum_w, group.lower_w, group.upper_w))
        assert violation_w == pytest.approx(beyond_w[-1], abs=W)
    got_wh = stored_wh(problem, power_w)[:, -1]
    unmet_wh = np.maximum(problem.energy_target_wh - got_wh, 0.0)
    assert result.unmet_target_wh == pytest.approx(unmet_wh, abs=WH)
    promised_wh = np.maximum(problem.energy_min_wh - got_wh, 0.0)
    assert result.unmet_min_wh == pytest.approx(promised_wh, abs=WH)
    most = max(np.abs(row).max() for row in beyond_w)
    most = max(most, np.abs(window_outside_w(problem, result.aetp_w)).max(initial=0.0))
    gave = max(most, unmet_wh.max(initial=0.0))
    if result.status is Status.OPTIMAL:
        assert gave <= W
    elif result.status is Status.BEST_EFFORT:
        assert gave >= 0.5e-3
    assert result.certificate.accepted
    assert check(problem, result).accepted


def check_laws(problem: Problem, result: Result) -> None:
    check_hard_rules(problem, result.power_w)
    check_report(problem, result)


@LAW
@given(ANY)
def test_every_plan_keeps_the_laws_and_is_reported_as_it_is(problem: Problem) -> None:
    result = plan(problem)
    assert result.status is not Status.TIME_LIMIT
    check_laws(problem, result)


@FEW
@given(st.lists(ANY, max_size=3), ANY)
def test_what_was_planned_before_changes_no_bit(
    before: list[Problem], problem: Problem
) -> None:
    kept, first = Planner(), plan(problem)
    for other in before:
        kept.plan(other)
    for result in (plan(problem), kept.plan(problem), kept.plan(problem)):
        for name in (
            "power_w",
            "pre_price_per_kwh",
            "group_price_per_kwh",
            "pre_service_price",
        ):
            same = getattr(result, name).tobytes() == getattr(first, name).tobytes()
            assert same, name
        assert result.status == first.status
        assert result.objective == first.objective
        assert result.certificate == first.certificate


@FEW
@given(ANY)
def test_a_stay_beyond_the_horizon_is_one_to_its_end(problem: Problem) -> None:
    begins, ends = problem.arrival_step == 0, problem.departure_step == problem.n_step
    longer = replace(
        problem,
        arrival_step=problem.arrival_step - 7 * begins,
        departure_step=problem.departure_step + 100 * ends,
    )
    assert plan(longer).power_w == pytest.approx(plan(problem).power_w)


# What makes a problem impossible, or hardly one.
Spoil = Callable[[Problem], Problem]


def zero_width(problem: Problem) -> Problem:
    return replace(problem, pre_lower_w=problem.pre_upper_w)


SPOILS: dict[str, Spoil] = {
    "more than all can take": lambda p: replace(
        p, pre_lower_w=p.pre_lower_w + 1e6, pre_upper_w=p.pre_upper_w + 1e6
    ),
    "less than nothing": lambda p: replace(
        p, pre_lower_w=p.pre_lower_w - 1e6, pre_upper_w=p.pre_upper_w * 0.0 - 9e5
    ),
    "zero width": zero_width,
    "no PRE": lambda p: replace(
        p, pre_lower_w=np.zeros(p.n_step), pre_upper_w=np.zeros(p.n_step)
    ),
    "all away": lambda p: replace(p, departure_step=p.arrival_step),
    "no power": lambda p: replace(
        p,
        power_max_w=p.power_max_w * 0.0,
        power_min_w=p.power_min_w * 0.0,
        energy_min_wh=np.maximum(p.energy_min_wh, 0.0),
        energy_target_wh=np.maximum(p.energy_target_wh, 0.0),
        energy_max_wh=np.maximum(p.energy_max_wh, 0.0),
    ),
    "all want everything": lambda p: replace(
        p,
        energy_min_wh=p.energy_max_wh + 1e6,
        energy_target_wh=p.energy_max_wh + 1e6,
        energy_max_wh=p.energy_max_wh + 1e6,
    ),
    "groups of nothing": lambda p: replace(
        p, groups=(Group(np.arange(p.n_evse), np.zeros(1), np.zeros(1)),)
    ),
    "groups against the PRE": lambda p: replace(
        p, groups=(Group(np.arange(p.n_evse), np.full(1, 3e6), np.full(1, 2e6)),)
    ),
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("name", ["charging", "v2g", "windows", "phases", "floors v2g"])
def test_what_is_impossible_is_a_result(name: str, spoil: str) -> None:
    for n, n_step in ((6, 8), (1, 8), (6, 1), (1, 1), (0, 3), (0, 1)):
        rng = np.random.default_rng(n + 10 * n_step)
        problem = random_problem(rng, n, n_step, **FEATURES[name])
        problem = SPOILS[spoil](problem)
        result = plan(problem)
        check_laws(problem, result)
        if spoil in ("more than all can take", "less than nothing"):
            assert result.status is Status.BEST_EFFORT
            assert (result.pre_violation_w != 0.0).all()


def test_a_plan_in_force_that_discharged_is_not_followed_where_that_is_over() -> None:
    steps = {"pre_lower_w": np.zeros(2), "pre_upper_w": np.full(2, 4_000.0)}
    problem = problem_of(
        **steps,
        power_floor_w=0.0,
        power_max_w=np.full(2, 4_000.0),
        departure_step=[2, 2],
        energy_target_wh=[500.0, 500.0],
        energy_max_wh=[500.0, 500.0],
        previous_power_w=[[-2_000.0, 4_000.0], [4_000.0, -2_000.0]],
    )
    result = plan(problem)
    check_laws(problem, result)
    assert result.power_w.tolist() == [[2_000.0, 0.0], [2_000.0, 0.0]]


def test_equal_sums_of_price_and_carbon_are_equal() -> None:
    """The first step's is more by rounding, which is no reason to charge later."""
    buy, carbon = np.array([0.01, 0.03, 0.04]), np.array([0.05, 0.03, 0.02])
    assert (buy + carbon)[0] > (buy + carbon)[1]
    problem = problem_of(buy_per_kwh=buy, carbon_per_kwh=carbon, power_floor_w=0.0)
    assert plan(problem).power_w[:, 1:].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_an_impossible_pre_is_missed_by_the_least() -> None:
    lower_w = np.array([20_000.0, 0.0, -500.0])
    upper_w = np.array([30_000.0, 0.0, -100.0])
    result = plan(
        problem_of(power_floor_w=0.0, pre_lower_w=lower_w, pre_upper_w=upper_w)
    )
    most_w = 2 * 6_656.0
    assert result.pre_violation_w == pytest.approx([most_w - 20_000.0, 0.0, 100.0])
    assert result.status is Status.BEST_EFFORT


HARD: dict[str, Callable[[], Problem]] = {
    "v2g": lambda: site(60, pre_share=0.6),
    "v2g windows": lambda: _hard(v2g=True, windows=True),
    "windows": lambda: _hard(windows=True, peak=True, shortage=Shortage.MAX_MIN),
    "phases": lambda: _hard(phases=True, groups=False),
    "phases v2g": lambda: _hard(phases=True, v2g=True),
    "floors": lambda: _hard(floors=True, windows=True),
}


def _hard(**features: object) -> Problem:
    rng = np.random.default_rng(11)
    return random_problem(rng, 15, 30, **features)  # type: ignore[arg-type]


@pytest.mark.parametrize("time_limit_s", [0.0, 0.02])
@pytest.mark.parametrize("name", HARD)
def test_a_time_limit_gives_a_plan_within_the_rules(
    name: str, time_limit_s: float
) -> None:
    problem = HARD[name]()
    result = Planner(time_limit_s).plan(problem)
    check_laws(problem, result)
    if time_limit_s == 0.0:
        assert result.status is Status.TIME_LIMIT


def test_charging_needs_no_time_limit() -> None:
    problem = _hard()
    limited, free = Planner(0.0).plan(problem), plan(problem)
    assert limited.power_w.tobytes() == free.power_w.tobytes()
    assert limited.status == free.status is not Status.TIME_LIMIT


def test_the_time_of_a_plan_is_reported() -> None:
    timing = plan(problem_of()).timing
    assert timing["total"] == pytest.approx(timing["solve"] + timing["check"])


def group(members: object, upper_w: object = 1.0, lower_w: object = -INF) -> object:
    return (Group(members, upper_w, lower_w),)  # type: ignore[arg-type]


def phases(**given: object) -> PhaseNetwork:
    parts: dict[str, object] = {
        "matrix": np.ones((1, 2)),
        "phase_rad": np.zeros(2),
        "limit_a": np.ones(1),
        "voltage_v": np.ones(2),
    }
    return PhaseNetwork(**(parts | given))  # type: ignore[arg-type]


def battery(stored_wh: object, capacity_wh: object) -> dict[str, object]:
    return {"stored_wh": stored_wh, "capacity_wh": capacity_wh}


NESTED = (Group(np.array([0, 1]), np.array(1.0)), Group(np.array([1, 2]), np.ones(1)))


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"power_min_w": 1.0}, r"power_min_w\[0, 0\] is 1.0; it must be at most 0"),
        ({"power_min_w": -INF}, r"power_min_w\[0\] is -inf; it must be finite"),
        ({"power_max_w": ["a", "b"]}, "power_max_w must be numbers"),
        ({"power_max_w": np.array([1j, 1.0])}, "power_max_w must be numbers"),
        ({"energy_min_wh": [1_001.0, 0]}, r"energy_target_wh\[0\] is 1000.0; it must"),
        ({"energy_min_wh": [0.0, NAN]}, r"energy_min_wh\[1\] is nan"),
        ({"energy_min_wh": [-1.0, 0]}, r"energy_min_wh\[0\] is -1.0; .* without V2G"),
        ({"pre_upper_w": np.zeros((3, 1))}, r"pre_upper_w has shape \(3, 1\)"),
        ({"pre_upper_w": []}, "pre_upper_w has no step"),
        ({"arrival_step": [0.0, 1.0]}, "arrival_step has dtype float64"),
        ({"priority": [True, False]}, "priority has dtype bool"),
        ({"priority": [0, -1]}, r"priority\[1\] is -1; it must be at least 0"),
        ({"charge_efficiency": 0.0}, r"charge_efficiency\[0\] is 0.0; it must be abov"),
        ({"charge_efficiency": [1.0, 1.1]}, r"charge_efficiency\[1\] is 1.1"),
        ({"charge_efficiency": np.ones(3)}, r"charge_efficiency has shape \(3,\)"),
        ({"discharge_efficiency": NAN}, r"discharge_efficiency\[0\] is nan"),
        ({"discharge_efficiency": -0.1}, r"discharge_efficiency\[0\] is -0.1"),
        (battery([1, 1], [1, -1]), r"capacity_wh\[1\] is -1.0; it must be at least 0"),
        (battery([1, 1], [INF, 1]), r"capacity_wh\[0\] is inf; it must be .* finite"),
        (battery([2, 1], [1, 1]), r"stored_wh\[0\] is 2.0; it must be between 0 and"),
        (battery([1, 1, 1], [1, 1, 1]), r"stored_wh has shape \(3,\)"),
        (battery([1, 1], None), "stored_wh and capacity_wh must be given both"),
        (battery(["a", "b"], [1, 1]), "stored_wh must be numbers"),
        ({"sell_per_kwh": 0.1}, r"sell_per_kwh\[0\] is 0.1; it must be at most buy_"),
        ({"buy_per_kwh": [0, INF, 0]}, r"buy_per_kwh\[1\] is inf; it must be finite"),
        ({"carbon_per_kwh": NAN}, r"carbon_per_kwh\[0\] is nan"),
        ({"wear_per_kwh": -1.0}, r"wear_per_kwh\[0\] is -1.0; it must be at least 0"),
        ({"peak_per_kw": -1.0}, r"peak_per_kw\[0\] is -1.0; it must be at least 0"),
        ({"peak_per_kw": [1.0, 2.0]}, r"peak_per_kw has shape \(2,\)"),
        ({"peak_so_far_w": NAN}, r"peak_so_far_w\[0\] is nan"),
        ({"power_step_w": -1.0}, r"power_step_w\[0\] is -1.0; it must be at least 0"),
        ({"shortage": "first come"}, "shortage is 'first come'; it must be a Shortage"),
        ({"groups": group([0, 2])}, r"groups\[0\].members\[1\] is 2; it must be in 0."),
        ({"groups": group([1, 1])}, r"groups\[0\].members names a row twice"),
        ({"groups": 3}, "groups is 3; it must be a sequence of Group"),
        ({"groups": (1,)}, r"groups\[0\] is 1; it must be a Group"),
        ({"phases": "delta"}, "phases is 'delta'; it must be a PhaseNetwork"),
        ({"energy_windows": 3}, "energy_windows is 3; it must be a sequence"),
        ({"groups": group([0.5])}, r"groups\[0\].members has dtype float64"),
        ({"groups": group([0], NAN)}, r"groups\[0\].upper_w\[0\] is nan"),
        ({"groups": group([0], 1.0, INF)}, r"groups\[0\].lower_w\[0\] is inf"),
        ({"groups": group([0], -INF)}, r"groups\[0\].upper_w\[0\] is -inf"),
        ({"groups": group([0], 1, 2)}, r"groups\[0\].upper_w\[0\] is 1.0; .* lower_w"),
        ({"groups": group([0], [1, 2])}, r"groups\[0\].upper_w has shape \(2,\)"),
        ({"groups": group([0], "a")}, r"groups\[0\].upper_w must be numbers"),
        ({"phases": phases(matrix=np.ones((1, 3)))}, r"phases.matrix has shape \(1, 3"),
        ({"phases": phases(matrix=[[1, NAN]])}, r"phases.matrix\[0, 1\] is nan"),
        ({"phases": phases(limit_a=[-1.0])}, r"phases.limit_a\[0\] is -1.0"),
        ({"phases": phases(limit_a=[INF])}, r"phases.limit_a\[0\] is inf"),
        ({"phases": phases(voltage_v=[1.0, 0])}, r"phases.voltage_v\[1\] is 0.0"),
        ({"phases": phases(phase_rad=np.ones(3))}, r"phases.phase_rad has shape \(3,"),
        ({"energy_windows": [EnergyWindow(0, 4)]}, r"energy_windows\[0\] is \[0, 4\)"),
        ({"energy_windows": [EnergyWindow(2, 2)]}, r"energy_windows\[0\] is \[2, 2\)"),
        (
            {"energy_windows": [EnergyWindow(0, 1), EnergyWindow(1, 2, 3.0, 1.0)]},
            r"energy_windows\[1\].upper_w is 1.0; it must be at least lower_w",
        ),
        (
            {"energy_windows": [EnergyWindow(0, 1, NAN, 1.0)]},
            r"energy_windows\[0\].upper_w is 1.0; it must be at least lower_w",
        ),
        (
            {"energy_windows": [EnergyWindow(0, 1, INF, INF)]},
            r"energy_windows\[0\] is \[inf, inf\] W; it must leave a finite power",
        ),
        (
            {"energy_windows": [EnergyWindow(0.5, 2)]},  # type: ignore[arg-type]
            r"energy_windows\[0\] of steps has dtype float64",
        ),
    ],
)
def test_bad_input_is_refused_by_array_index_and_rule(
    given_: dict[str, object], says: str
) -> None:
    with pytest.raises(ProblemError, match=says):
        problem_of(**given_)


def test_groups_that_share_some_members_are_refused() -> None:
    three = {
        "power_max_w": np.ones(3),
        "arrival_step": np.zeros(3, np.int64),
        "departure_step": np.ones(3, np.int64),
        "energy_target_wh": np.zeros(3),
        "energy_max_wh": np.zeros(3),
    }
    with pytest.raises(ProblemError, match=r"groups\[1\] shares some.*\(laminar\)"):
        problem_of(**three, groups=NESTED)
