"""Every form of a problem that peers take has one and the same optimum."""

from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.speed.planner_forms import Form, TooLong, forms, lines, measure
from benchmarks.speed.planner_instances import ABOVE_NEED, instance
from optimizer import Problem
from optimizer.highs import Highs
from optimizer.tiers import measures_of, money

FORMS = forms()
V2G = [name for name in FORMS if name.startswith("V2G")]
PLAIN = [name for name in FORMS if name not in ("sequence of tiers", *V2G)]
# Interior points end near the optimum; all others at a vertex.
NEAR, EXACT = 1e-6, 1e-9


def least_money(problem: Problem) -> float:
    power_w = Highs().solve(problem).power_w
    measures = measures_of(problem, power_w)
    return money(problem, measures)


def measured(form: Form, problem: Problem) -> tuple[float, Problem]:
    if "OR-tools" in form.name and find_spec("ortools") is None:
        pytest.skip("OR-tools is an extra")
    found = measure(form, problem, repeats=2)
    assert 0 < found.solve_s <= found.total_s
    return found.objective, found.problem


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("groups", [0, 3])
def test_plain_forms_reach_the_least_money(name: str, groups: int) -> None:
    problem = instance(15, n_step=24, seed=1, groups=groups)
    if not FORMS[name].fits(problem):
        pytest.skip("written for one limit only")
    objective, solved = measured(FORMS[name], problem)
    within = NEAR if name == "transport, IPM" else EXACT
    assert objective == pytest.approx(least_money(solved), rel=within)
    assert (solved is not problem) == name.startswith("warm")


def test_the_sequence_of_tiers_reaches_what_the_solver_does() -> None:
    problem = instance(15, n_step=24, seed=2, shortage=True)
    objective, _ = measured(FORMS["sequence of tiers"], problem)
    assert objective == pytest.approx(least_money(problem), rel=EXACT)


@pytest.mark.parametrize("name", V2G)
def test_v2g_forms_reach_the_least_money(name: str) -> None:
    problem = instance(8, n_step=24, seed=3, v2g=True)
    objective, _ = measured(FORMS[name], problem)
    assert objective == pytest.approx(least_money(problem), rel=NEAR)


@pytest.mark.parametrize("groups", [0, 4])
def test_an_instance_is_met_by_its_limits_but_hardly_by_less(groups: int) -> None:
    problem = instance(30, seed=4, groups=groups)
    again = instance(30, seed=4, groups=groups)
    assert problem.digest() == again.digest()
    assert np.unique(problem.price_per_kwh).size == problem.n_step
    solution = Highs().solve(problem)
    measures = measures_of(problem, solution.power_w)
    assert not measures.unmet_target_wh.any()
    assert not measures.pre_violation_w.any()
    assert not measures.group_violation_w.any()
    mean_w = problem.energy_target_wh.sum() / problem.hours.sum()
    assert problem.pre_upper_w[0] > ABOVE_NEED * mean_w


def test_a_shortage_leaves_out_about_what_it_says() -> None:
    problem = instance(40, seed=5, shortage=True)
    measures = measures_of(problem, Highs().solve(problem).power_w)
    left_out = measures.unmet_target_wh.sum() / problem.energy_target_wh.sum()
    assert 0.4 < left_out < 0.6


def test_a_form_that_would_take_too_long_is_left_out_and_said() -> None:
    problem = instance(10, n_step=24)
    with pytest.raises(TooLong, match="about"):
        measure(FORMS["stock"], problem, 1, longest_s=1e-9)
    table = list(lines(problem, 1, longest_s=1e-9))
    assert len(table) == 1 + len(PLAIN)
    assert all("left out: about" in line for line in table[1:])


def test_a_form_is_not_run_on_what_it_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        measure(FORMS["V2G, IPM"], instance(10, n_step=24), 1)
