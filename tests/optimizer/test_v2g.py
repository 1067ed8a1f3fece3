"""V2G by the interior point method: the same tiers as HiGHS, and what always holds."""

from time import perf_counter

import numpy as np
import pytest

from benchmarks.speed.v2g import highs_money, site
from optimizer import Problem, Shortage
from optimizer.checks import Floats
from optimizer.highs import Highs
from optimizer.solution import Solution
from optimizer.tiers import measures_of, money, tier_values
from optimizer.v2g import V2g
from tests.optimizer.random_problems import random_problem

# HiGHS keeps tiers to 1e-9 kWh; what later tiers make of that.
SAME = {"money": 1e-6, "early": 1e-4}


def solved(problem: Problem) -> Solution:
    """Return the kernel's own solution."""
    solver = V2g()
    solution = solver.solve(problem)
    assert solver.fell_back == ""
    return solution


def stored_wh(problem: Problem, power_w: Floats) -> Floats:
    """Return what is put into each battery up to each step, (n, T) [Wh]."""
    into = np.where(
        power_w > 0,
        power_w * problem.charge_efficiency[:, None],
        power_w / problem.discharge_efficiency[:, None],
    )
    out: Floats = np.cumsum(into * problem.hours, axis=1)
    return out


def check_laws(problem: Problem, power_w: Floats) -> None:
    there = problem.available()
    assert (power_w <= np.where(there, problem.power_max_w, 0.0)).all()
    assert (power_w >= np.where(there, problem.power_min_w, 0.0)).all()
    energy = stored_wh(problem, power_w)
    assert (energy[:, -1] <= problem.energy_max_wh + 1e-6).all()
    if problem.stored_wh is not None and problem.capacity_wh is not None:
        known = np.isfinite(problem.stored_wh)
        stored = problem.stored_wh[known, None] + energy[known]
        assert (stored >= -1e-6).all()
        assert (stored <= problem.capacity_wh[known, None] + 1e-6).all()


def money_bound(problem: Problem, solution: Solution) -> float:
    """Return a bound of the money by the prices, where every need is met.

    Batteries known, buying and selling at one price: each EV, its battery and each
    limit minimise on their own what the prices make of it.
    """
    p, hours = problem, problem.hours / 1e3
    worth = solution.stored_price_per_kwh
    assert worth is not None
    assert p.stored_wh is not None
    assert p.capacity_wh is not None
    there = p.available()
    price = p.price_per_kwh + solution.pre_price_per_kwh
    limit = solution.pre_price_per_kwh * hours
    bound = -float(np.maximum(limit, 0.0) @ p.pre_upper_w)
    bound += float(np.maximum(-limit, 0.0) @ p.pre_lower_w)
    for part, most in ((1.0, p.power_max_w), (-1.0, -p.power_min_w)):
        yields = p.charge_efficiency if part > 0 else 1.0 / p.discharge_efficiency
        cost = part * (price - yields[:, None] * worth)
        bound += float((np.minimum(cost, 0.0) * most * there * hours).sum())
    for i in range(p.n_evse):
        begin, end = p.arrival_step[i], p.departure_step[i]
        kept = worth[i, begin : end - 1] - worth[i, begin + 1 : end]
        bound += float((np.minimum(kept, 0.0) * p.capacity_wh[i]).sum()) / 1e3
        wanted = p.stored_wh[i] + p.energy_target_wh[i]
        bound += (worth[i, end - 1] * wanted - worth[i, begin] * p.stored_wh[i]) / 1e3
    return bound


@pytest.mark.parametrize("seed", range(40))
def test_every_tier_is_that_of_highs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, v2g=True, shortage=Shortage.FINISH_MOST)
    power_w = V2g().solve(problem).power_w
    check_laws(problem, power_w)
    least = tier_values(problem, measures_of(problem, Highs().solve(problem).power_w))
    values = tier_values(problem, measures_of(problem, power_w))
    del least["moved_wh"]
    for name, value in least.items():
        room = SAME.get(name, 1e-7) * max(1.0, abs(value))
        room += 2e-3 if "_wh" in name else 0.0
        assert values[name] == pytest.approx(value, abs=room), name


def test_most_random_problems_need_no_highs() -> None:
    solver, handed_over = V2g(), 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        solver.solve(random_problem(rng, v2g=True, shortage=Shortage.FINISH_MOST))
        assert solver.fell_back in ("", "both directions")
        handed_over += solver.fell_back != ""
    assert handed_over <= 10


def test_money_is_that_of_highs_and_of_the_bound() -> None:
    problem = site(40)
    solution = solved(problem)
    check_laws(problem, solution.power_w)
    measures = measures_of(problem, solution.power_w)
    assert (measures.aetp_w <= problem.pre_upper_w + 1e-6).all()
    assert (measures.aetp_w >= problem.pre_lower_w - 1e-6).all()
    assert measures.energy_wh == pytest.approx(problem.energy_target_wh, abs=1e-6)
    value = money(problem, measures)
    assert value == pytest.approx(highs_money(problem)[0], rel=1e-9)
    assert 0.0 <= value - money_bound(problem, solution) + 1e-9 <= 1e-8 * abs(value)


def test_a_pre_that_serves_half_leaves_out_as_little_as_highs() -> None:
    problem = site(10, pre_share=0.5)
    power_w = solved(problem).power_w
    check_laws(problem, power_w)
    values = tier_values(problem, measures_of(problem, power_w))
    least = tier_values(problem, measures_of(problem, Highs().solve(problem).power_w))
    assert least["unmet_target_wh/0"] > 1_000.0
    for name in ("unmet_target_wh/0", "short_target/0", "money"):
        assert values[name] == pytest.approx(least[name], rel=1e-6), name


def test_the_same_problem_has_the_same_plan_to_the_last_bit() -> None:
    first, second = (V2g().solve(site(400)).power_w for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_at_the_deadline_there_is_a_plan_within_the_limits() -> None:
    problem = site(60)
    solution = V2g().solve(problem, deadline=perf_counter())
    assert not solution.finished
    check_laws(problem, solution.power_w)
    aetp_w = solution.power_w.sum(axis=0)
    assert (aetp_w <= problem.pre_upper_w + 1e-6).all()
    assert (aetp_w >= problem.pre_lower_w - 1e-6).all()


def test_nobody_there_is_a_plan_of_nothing() -> None:
    assert V2g().solve(site(0)).power_w.shape == (0, 96)
