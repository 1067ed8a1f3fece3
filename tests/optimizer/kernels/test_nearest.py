"""The nearest plan: equal to an LP, and lawful where that is too slow."""

from dataclasses import dataclass, replace

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from optimizer.kernels.nearest import Moved, nearest, network_of
from optimizer.kernels.nearest_search import Network

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Case:
    """A feasible plan and a plan in force, in whole units."""

    x: Ints
    cap: Ints
    previous: Ints
    leaf: Ints
    parent: Ints
    upper: Ints

    @property
    def network(self) -> Network:
        return network_of(self.x.shape[1], self.leaf, self.parent)

    def solved(self, network: Network | None = None) -> tuple[Ints, Moved]:
        x = self.x.copy()
        arguments = (self.cap, self.previous, self.upper)
        return x, nearest(x, *arguments, network or self.network)

    def holders(self, i: int) -> list[int]:
        v, out = int(self.leaf[i]), []
        while v >= 0:
            out.append(v)
            v = int(self.parent[v])
        return out

    def load(self, x: Ints) -> Ints:
        load = np.zeros_like(self.upper)
        for i in range(len(x)):
            load[self.holders(i)] += x[i]
        return load


def case_of(seed: int, n: int, n_step: int, n_node: int, largest: int) -> Case:
    """Return a random case; some limits bind, some plans in force are impossible."""
    dice = np.random.default_rng(seed)
    shape = (n, n_step)
    parents = [int(dice.integers(0, v)) for v in range(1, n_node)]
    parent = np.array([-1, *parents], np.int64)
    leaf = dice.integers(0, n_node, n)
    present = dice.random(shape) < dice.choice([0.3, 0.8, 1.0])
    cap = dice.integers(0, largest + 1, shape) * present
    x = np.minimum(cap, dice.integers(0, largest + 1, shape))
    previous = dice.integers(0, largest + 2, shape)
    if dice.random() < 0.5:  # near to what it was
        stays = dice.random(shape) < 0.7
        previous = np.where(stays, x, np.minimum(previous, cap))
    case = Case(x, cap, previous, leaf, parent, np.zeros((n_node, n_step), np.int64))
    free = dice.integers(0, largest + 1, case.upper.shape)
    free *= dice.random(free.shape) < dice.choice([0.1, 0.5, 0.9])
    case.upper[:] = case.load(x) + free
    case.upper[0] = 0  # must not be read
    return case


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a case of up to 8 EVs, 8 steps and 6 tree nodes."""
    return case_of(
        draw(st.integers(0, 2**32)),
        draw(st.integers(1, 8)),
        draw(st.integers(1, 8)),
        draw(st.sampled_from([1, 1, 2, 4, 6])),
        draw(st.sampled_from([1, 2, 5, 1000])),
    )


def least_moved(case: Case) -> int:
    """Return the optimum by HiGHS: power below the plan in force is worth 1 a unit."""
    n, n_step = case.x.shape
    n_cell, n_node = n * n_step, len(case.parent)
    below = np.minimum(case.previous, case.cap)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = 2 * n_cell, n + n_step * n_node
    model.col_cost_ = np.repeat([-1.0, 0.0], n_cell)
    model.col_lower_ = np.zeros(2 * n_cell)
    model.col_upper_ = np.concatenate([below, case.cap - below], axis=None).astype(
        float
    )
    zone_first = case.upper.astype(float)
    zone_first[0] = case.x.sum(axis=0)
    rows = np.concatenate([case.x.sum(axis=1), zone_first], axis=None).astype(float)
    is_sum = np.arange(rows.size) < n + n_step
    model.row_upper_, model.row_lower_ = rows, np.where(is_sum, rows, -np.inf)
    entries = [
        [i, *(n + n_step * v + t for v in sorted(case.holders(i)))]
        for _ in range(2)
        for i in range(n)
        for t in range(n_step)
    ]
    starts = np.cumsum([0, *map(len, entries)])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = starts
    model.a_matrix_.index_ = np.concatenate(entries)
    model.a_matrix_.value_ = np.ones(starts[-1])
    solver = highspy.Highs()
    solver.silent()
    solver.passModel(model)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    overlap = -solver.getInfo().objective_function_value
    return round(float(case.x.sum() + case.previous.sum()) - 2.0 * overlap)


def assert_lawful(case: Case, x: Ints, moved: Moved) -> None:
    assert (x >= 0).all()
    assert (x <= case.cap).all()
    assert (x.sum(axis=0) == case.x.sum(axis=0)).all()
    assert (x.sum(axis=1) == case.x.sum(axis=1)).all()
    assert (case.load(x)[1:] <= case.upper[1:]).all()
    assert moved.energy == np.abs(x - case.previous).sum()
    assert moved.energy <= np.abs(case.x - case.previous).sum()


@settings(max_examples=400)
@given(cases())
def test_no_plan_is_nearer_by_an_lp(case: Case) -> None:
    x, moved = case.solved()
    assert_lawful(case, x, moved)
    assert moved == (least_moved(case), True)


@pytest.mark.parametrize(
    ("n", "n_step", "n_node"), [(70, 66, 1), (130, 20, 3), (12, 130, 7), (90, 12, 40)]
)
def test_more_evs_and_steps_than_a_word_has_bits_are_exact_too(
    n: int, n_step: int, n_node: int
) -> None:
    case = case_of(n, n, n_step, n_node, 5)
    x, moved = case.solved()
    assert_lawful(case, x, moved)
    assert moved == (least_moved(case), True)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 150),
    n_step=st.integers(1, 320),
    n_node=st.sampled_from([1, 2, 9]),
)
def test_sums_and_limits_stay_and_a_second_call_changes_nothing(
    seed: int, n: int, n_step: int, n_node: int
) -> None:
    case = case_of(seed, n, n_step, n_node, 10**10)
    network = case.network
    x, moved = case.solved(network)
    assert_lawful(case, x, moved)
    assert moved.is_proven
    for used in (network, case.network):
        again, moved_again = case.solved(used)
        assert (again == x).all()
        assert moved_again == moved
    still = x.copy()
    assert nearest(still, case.cap, case.previous, case.upper, network) == moved
    assert (still == x).all()


def test_the_plan_in_force_is_found_again_where_it_is_possible() -> None:
    case = case_of(5, 40, 70, 4, 100)
    x, moved = Case(
        case.x, case.cap, case.x, case.leaf, case.parent, case.upper
    ).solved()
    assert moved == (0, True)
    assert (x == case.x).all()
    # Two EVs have swapped what they take in two steps.
    cap = np.full((2, 2), 3)
    swapped = Case(
        np.array([[3, 0], [0, 3]]),
        cap,
        np.array([[0, 3], [3, 0]]),
        np.zeros(2, np.int64),
        np.array([-1]),
        np.zeros((1, 2), np.int64),
    )
    x, moved = swapped.solved()
    assert moved == (0, True)
    assert (x == swapped.previous).all()


@settings(max_examples=60)
@given(cases())
def test_a_limit_that_the_plan_breaks_is_broken_no_further(case: Case) -> None:
    load = case.load(case.x)
    kept = replace(case, upper=np.maximum(case.upper // 2, load))
    x, moved = replace(case, upper=case.upper // 2).solved()
    assert_lawful(kept, x, moved)
    assert moved == kept.solved()[1]
    assert moved.is_proven


def test_a_chain_in_which_each_ev_must_move_is_followed_to_its_end() -> None:
    """EV k can use steps k and k + 1 only; one unit goes from the first to the last."""
    n = 200
    k = np.arange(n)
    cap = np.zeros((n, n + 1), np.int64)
    cap[k, k] = cap[k, k + 1] = 2
    previous = np.zeros_like(cap)
    previous[k, k] = 1
    x = np.zeros_like(cap)
    x[k, k + 1] = 1
    leaf, upper = np.zeros(n, np.int64), np.zeros((1, n + 1), np.int64)
    case = Case(x, cap, previous, leaf, np.array([-1]), upper)
    x, moved = case.solved()
    assert_lawful(case, x, moved)
    assert moved == (2 * n, True)


def test_without_evs_nothing_moves() -> None:
    case = case_of(1, 0, 3, 1, 5)
    assert case.solved()[1] == (0, True)


@settings(max_examples=60)
@given(cases(), st.integers(0, 20))
def test_a_limit_of_the_work_leaves_a_lawful_plan_that_is_not_worse(
    case: Case, most_paths: int
) -> None:
    x = case.x.copy()
    moved = nearest(x, case.cap, case.previous, case.upper, case.network, most_paths)
    assert_lawful(case, x, moved)
    if moved.is_proven:
        assert moved.energy == case.solved()[1].energy


@settings(max_examples=60)
@given(cases(), st.integers(3, 4), st.integers(2, 4))
def test_too_few_potentials_or_levels_leave_a_lawful_plan_and_no_wrong_proof(
    case: Case, n_cost: int, n_level: int
) -> None:
    full = case.network
    network = full._replace(
        slots_at=full.slots_at[:n_cost],
        steps_at=full.steps_at[:n_cost],
        slots_of=full.slots_of[:n_level],
        steps_of=full.steps_of[:n_level],
    )
    x, moved = case.solved(network)
    assert_lawful(case, x, moved)
    if moved.is_proven:
        assert moved.energy == case.solved()[1].energy


def test_arrays_that_do_not_fit_are_refused_by_name() -> None:
    case = case_of(1, 3, 4, 2, 5)
    network = case.network
    with pytest.raises(ValueError, match=r"cap has shape \(2, 4\)"):
        nearest(case.x, case.cap[:2], case.previous, case.upper, network)
    with pytest.raises(ValueError, match=r"upper has shape \(1, 4\)"):
        nearest(case.x, case.cap, case.previous, case.upper[:1], network)
