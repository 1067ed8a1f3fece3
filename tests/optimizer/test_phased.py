import time
from dataclasses import replace

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scenarios.caltech import caltech_network, columns
from optimizer import Group, PhaseNetwork, Problem, Shortage
from optimizer.checks import Floats
from optimizer.phased import Phased, PhasedSolution, energy_bound_wh
from optimizer.result import PlannerError
from optimizer.solution import Solution
from optimizer.tiers import measures_of, tier_values

MAX_W = 6_656.0


def site_problem(seed: int, n: int = 6, n_step: int = 12, **given: object) -> Problem:
    """Return EVs at EVSEs of Caltech that want about what its lines can carry."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(54, n, replace=False)
    arrival = rng.integers(0, n_step // 2, n)
    stay = rng.integers(1, n_step // 2 + 1, n)
    target = rng.uniform(0.2, 1.0, n) * stay * MAX_W / 4.0
    parts: dict[str, object] = {
        "step_s": 900.0,
        "power_max_w": np.full(n, MAX_W),
        "arrival_step": arrival,
        "departure_step": arrival + stay,
        "energy_target_wh": target,
        "energy_max_wh": target,
        "pre_lower_w": np.zeros(n_step),
        "pre_upper_w": np.full(n_step, 1e6),
        "phases": columns(
            caltech_network(rng.uniform(8.0, 20.0)).network, rows.tolist()
        ),
    }
    return Problem(**(parts | given))  # type: ignore[arg-type]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw problems on networks of any shape."""
    n, n_step = draw(st.integers(1, 7)), draw(st.integers(1, 10))
    n_line = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    angles = np.deg2rad(rng.choice([30.0, -90.0, 150.0, 0.0, 17.0], n))
    network = PhaseNetwork(
        matrix=rng.choice([-1.0, 0.0, 0.25, 1.0], (n_line, n)),
        phase_rad=angles,
        limit_a=rng.choice([0.0, 8.0, 30.0, 60.0, 500.0], n_line),
        voltage_v=rng.choice([208.0, 230.0], n),
    )
    arrival = rng.integers(0, n_step, n)
    target = rng.choice([0.0, 300.0, 2_500.0, 9_000.0], n)
    upper = rng.choice([-5.0, 0.0, 4_000.0, 20_000.0, 1e6], n_step)
    lower = np.minimum(upper, rng.choice([0.0, -1e6, 3_000.0], n_step))
    return Problem(
        step_s=rng.choice([300.0, 900.0], n_step),
        power_max_w=rng.choice([0.0, 3_000.0, MAX_W], (n, n_step)),
        arrival_step=arrival,
        departure_step=arrival + rng.integers(0, n_step + 1, n),
        energy_min_wh=target * rng.choice([0.0, 0.4], n),
        energy_target_wh=target,
        energy_max_wh=target + rng.choice([0.0, 800.0]),
        charge_efficiency=rng.choice([0.9, 1.0], n),
        priority=rng.integers(0, 2, n),
        pre_upper_w=upper,
        pre_lower_w=lower,
        buy_per_kwh=rng.choice([-0.1, 0.1, 0.3], n_step if draw(st.booleans()) else 1),
        phases=network,
        groups=(Group(np.arange(n // 2 + 1), np.full(n_step, 9_000.0)),),
        shortage=draw(st.sampled_from(Shortage)),
    )


def worst_line(problem: Problem, solution: Solution) -> float:
    """Return the greatest part of its limit that a line carries."""
    assert problem.phases is not None
    current = problem.phases.current_a(solution.power_w)
    over = current - problem.phases.limit_a[:, None] * (1.0 + 1e-9)
    return float(over.max(initial=-1.0))


@settings(max_examples=60)
@given(problems())
def test_no_plan_breaks_a_line_a_power_an_energy_or_an_upper_bound(
    problem: Problem,
) -> None:
    solution = Phased().solve(problem)
    power = solution.power_w
    assert worst_line(problem, solution) <= 0.0
    assert (power >= 0.0).all()
    assert (power <= problem.power_max_w * problem.available() + 1e-9).all()
    measures = measures_of(problem, power)
    assert (measures.energy_wh <= problem.energy_max_wh * (1 + 1e-9) + 1e-6).all()
    open_pre = problem.pre_upper_w >= 0.0
    assert (measures.pre_violation_w[open_pre] <= 0.0).all()
    assert (measures.group_violation_w <= 0.0).all()


def bound_wh(problem: Problem, solution: Solution) -> float:
    """Return the bound that the solution's multipliers give."""
    assert isinstance(solution, PhasedSolution)
    assert solution.line_price is not None
    if solution.service_price.size == 0:
        return float(problem.energy_target_wh.sum())
    everyone = np.ones(problem.n_evse, np.bool_)
    return energy_bound_wh(
        problem, solution.service_price[-1], solution.line_price[-1], everyone
    )


@settings(max_examples=40)
@given(problems())
def test_no_plan_gets_more_than_the_bound(problem: Problem) -> None:
    solution = Phased().solve(problem)
    energy = measures_of(problem, solution.power_w).energy_wh
    got = float(np.minimum(energy, problem.energy_target_wh).sum())
    assert got <= bound_wh(problem, solution) + 1e-2


@pytest.mark.parametrize("seed", range(20))
def test_plans_at_a_site_are_near_the_bound(seed: int) -> None:
    problem = site_problem(seed, n=10, n_step=24)
    solution = Phased().solve(problem)
    got = float(measures_of(problem, solution.power_w).energy_wh.sum())
    assert bound_wh(problem, solution) - got <= 3e-5 * got


def most_energy_wh(problem: Problem, sides: int) -> float:
    """Return the most energy within polygons outside of the lines' circles."""
    assert problem.phases is not None
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    there, hours = problem.available(), problem.hours
    variables = {
        (int(i), int(t)): highs.addVariable(0.0, problem.power_max_w[i, t] / 1000.0)
        for i, t in np.argwhere(there)
    }
    for i in range(problem.n_evse):
        got = [hours[t] * v for (j, t), v in variables.items() if j == i]
        if got:
            highs.addConstr(sum(got) <= problem.energy_target_wh[i] / 1000.0)
    phases = problem.phases
    phasor = phases.matrix * np.exp(1j * phases.phase_rad) / phases.voltage_v * 1e3
    for angle in np.arange(sides) * 2.0 * np.pi / sides:
        side = (phasor * np.exp(-1j * angle)).real
        for t in range(problem.n_step):
            here = [(i, v) for (i, s), v in variables.items() if s == t]
            for line, limit_a in enumerate(phases.limit_a):
                load = [side[line, i] * v for i, v in here if abs(side[line, i]) > 1e-9]
                if load:
                    highs.addConstr(sum(load) <= limit_a)
    highs.maximize(sum(hours[t] * v for (_, t), v in variables.items()))
    return 1000.0 * float(highs.getInfo().objective_function_value)


@pytest.mark.parametrize("seed", range(5))
def test_energy_is_that_of_a_programme_with_a_polygon_of_96_sides(seed: int) -> None:
    problem = site_problem(seed)
    got = float(measures_of(problem, Phased().solve(problem).power_w).energy_wh.sum())
    outside = most_energy_wh(problem, 96)
    assert got < float(problem.energy_target_wh.sum()) - 100.0
    assert outside * np.cos(np.pi / 96) * (1 - 1e-6) <= got <= outside * (1 + 1e-7)


def unmet_wh(problem: Problem) -> Floats:
    power_w = Phased().solve(problem).power_w
    return measures_of(problem, power_w).unmet_target_wh


def test_a_class_comes_before_the_next_one() -> None:
    problem = site_problem(3)
    first = np.where(problem.energy_target_wh > 3_000.0, 0, 1)
    classes = replace(problem, priority=first)
    alone = replace(
        problem,
        energy_target_wh=np.where(first == 0, problem.energy_target_wh, 0.0),
        energy_expected_wh=np.empty(0),
    )
    got, least = unmet_wh(classes)[first == 0], unmet_wh(alone)[first == 0]
    assert got.sum() == pytest.approx(least.sum(), abs=1.0)
    assert unmet_wh(problem)[first == 0].sum() > least.sum() + 100.0


def test_promised_energy_comes_before_energy_asked_for() -> None:
    problem = site_problem(1)
    promised = replace(problem, energy_min_wh=0.3 * problem.energy_target_wh)
    power_w = Phased().solve(promised).power_w
    before = measures_of(promised, Phased().solve(problem).power_w).unmet_min_wh
    assert before.sum() > 100.0
    assert measures_of(promised, power_w).unmet_min_wh.sum() < 1.0


def test_policies_serve_the_smallest_need_or_everybody_alike() -> None:
    pair = PhaseNetwork(
        np.ones((1, 2)), np.zeros(2), np.array([20.0]), np.full(2, 230.0)
    )
    problem = Problem(
        step_s=np.full(1, 900.0),
        power_max_w=np.full(2, MAX_W),
        arrival_step=np.zeros(2, np.int64),
        departure_step=np.full(2, 4),
        energy_target_wh=np.array([4_000.0, 2_000.0]),
        energy_max_wh=np.array([4_000.0, 2_000.0]),
        pre_lower_w=np.zeros(4),
        pre_upper_w=np.full(4, 1e6),
        phases=pair,
    )
    assert unmet_wh(problem) == pytest.approx([1_400.0, 0.0], abs=0.1)
    alike = unmet_wh(replace(problem, shortage=Shortage.MAX_MIN))
    assert alike == pytest.approx([1_400.0 * 2 / 3, 1_400.0 / 3], rel=1e-3)


def one_line(target_wh: list[float], departure_step: list[int]) -> Problem:
    """Return EVs from now on, in steps of 15 minutes, on a line of 4.6 kW."""
    n, n_step = len(target_wh), max(departure_step)
    return Problem(
        step_s=np.full(1, 900.0),
        power_max_w=np.full(n, MAX_W),
        arrival_step=np.zeros(n, np.int64),
        departure_step=np.array(departure_step),
        energy_target_wh=np.array(target_wh),
        energy_max_wh=np.array(target_wh),
        pre_lower_w=np.zeros(n_step),
        pre_upper_w=np.full(n_step, 1e6),
        phases=PhaseNetwork(
            np.ones((1, n)), np.zeros(n), np.array([20.0]), np.full(n, 230.0)
        ),
    )


@pytest.mark.parametrize("shortage", Shortage)
def test_of_evs_that_can_all_wait_who_leaves_first_comes_first(
    shortage: Shortage,
) -> None:
    problem = replace(one_line([1_150.0] * 3, [9, 4, 24]), shortage=shortage)
    power = Phased().solve(problem).power_w
    assert not unmet_wh(problem).any()
    assert power.argmax(axis=1).tolist() == [1, 0, 2]
    assert power[:, :3].max(axis=1) == pytest.approx(4_600.0, abs=20.0)


@pytest.mark.parametrize("later_price", [0.0, 0.1])
def test_whom_the_plan_cannot_finish_comes_after_the_others(later_price: float) -> None:
    price = np.where(np.arange(4) < 3, 0.0, later_price)
    problem = replace(one_line([4_000.0, 2_300.0], [4, 4]), buy_per_kwh=price)
    power = Phased().solve(problem).power_w
    assert unmet_wh(problem) == pytest.approx([1_700.0, 0.0], abs=0.1)
    assert power[1] == pytest.approx([4_600.0, 4_600.0, 0.0, 0.0], abs=20.0)


def test_an_open_promise_is_not_put_off() -> None:
    problem = one_line([4_000.0, 2_300.0], [4, 4])
    promised = replace(problem, energy_min_wh=np.array([500.0, 0.0]))
    late, now = (Phased().solve(p).power_w[0, 0] for p in (problem, promised))
    assert late < 20.0
    assert now > 500.0


def test_energy_comes_in_the_cheapest_steps_that_the_lines_leave() -> None:
    price = np.array([0.3, 0.1, 0.2, 0.4])
    problem = Problem(
        step_s=np.full(1, 3600.0),
        power_max_w=np.full(2, 4_600.0),
        arrival_step=np.zeros(2, np.int64),
        departure_step=np.full(2, 4),
        energy_target_wh=np.array([4_600.0, 2_300.0]),
        energy_max_wh=np.array([4_600.0, 2_300.0]),
        pre_lower_w=np.zeros(4),
        pre_upper_w=np.array([1e6, 4_000.0, 1e6, 1e6]),
        buy_per_kwh=price,
        phases=PhaseNetwork(
            np.ones((1, 2)), np.zeros(2), np.array([20.0]), np.full(2, 230.0)
        ),
    )
    solution = Phased().solve(problem)
    assert not unmet_wh(problem).any()
    assert solution.power_w.sum(axis=0) == pytest.approx([0, 4_000, 2_900, 0], abs=0.1)
    # One more kWh at 0.1 saves one at 0.2.
    assert solution.pre_price_per_kwh == pytest.approx([0, 0.1, 0, 0], abs=1e-4)


def test_a_lower_bound_of_the_pre_is_met_where_it_can_be() -> None:
    problem = site_problem(2)
    lower = np.zeros(12)
    lower[5] = 2_000.0
    problem = replace(problem, pre_lower_w=lower)
    values = tier_values(problem, measures_of(problem, Phased().solve(problem).power_w))
    assert values["violation_wh"] < 1.0


def test_long_problems_join_far_steps_and_lose_no_energy() -> None:
    problem = site_problem(7, n=12, n_step=120, step_s=300.0)
    solution = Phased().solve(problem)
    got = float(measures_of(problem, solution.power_w).energy_wh.sum())
    assert bound_wh(problem, solution) - got <= 3e-5 * got
    assert len(np.unique(solution.power_w, axis=1).T) < 120


def test_the_same_problem_gives_the_same_bits() -> None:
    problem = site_problem(4)
    first, second = Phased().solve(problem), Phased().solve(problem)
    assert first.power_w.tobytes() == second.power_w.tobytes()
    assert first.service_price.tobytes() == second.service_price.tobytes()


def test_a_deadline_that_is_over_gives_a_plan_within_the_limits() -> None:
    problem = site_problem(5, n=20, n_step=60)
    solution = Phased().solve(problem, deadline=time.perf_counter())
    assert not solution.finished
    assert worst_line(problem, solution) <= 0.0
    assert solution.power_w.sum() > 0.0


def test_nobody_there_is_no_plan_and_no_error() -> None:
    problem = site_problem(0, n=1)
    nobody = replace(problem, departure_step=problem.arrival_step)
    assert not Phased().solve(nobody).power_w.any()


def test_what_has_no_kernel_goes_to_the_reserve() -> None:
    class Reserve:
        def solve(self, problem: Problem, deadline: float = np.inf) -> Solution:
            return Solution.without_prices(problem, np.zeros_like(problem.power_max_w))

    problem = replace(site_problem(0), peak_per_kw=1.0)
    assert not Phased(Reserve()).solve(problem).power_w.any()
    with pytest.raises(PlannerError, match="no reserve"):
        Phased().solve(problem)
