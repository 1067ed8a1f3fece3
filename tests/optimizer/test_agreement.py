"""The planner, HiGHS and the reference agree, tier by tier, on random problems.

The planner takes a kernel where there is one, else HiGHS; `optimizer.reference` is the
problem as one writes it in a paper. Shortage and plenty, classes, groups, zero widths
and equal, zero and negative prices come at random in problems of every kind
(`tests.optimizer.random_problems`).

A few hundred problems in the suite; with VOLTLEDGER_FULL=1 in the environment 10,000,
the reference on more than 2,000 of them, which takes about half an hour::

    VOLTLEDGER_FULL=1 pytest -s tests/optimizer/test_agreement.py
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import PlannerError, Problem
from optimizer.highs import Highs
from optimizer.planner import Planner
from optimizer.reference import reference_values
from optimizer.tiers import Measures, measures_of, tier_values
from tests.optimizer.random_problems import Features, random_problem, random_problems

FULL = os.environ.get("VOLTLEDGER_FULL") == "1"
EARLY, MOVED = "early", "moved_wh"

Values = dict[str, float]


class Kind(NamedTuple):
    """Problems of some features, and how many of them.

    ``few`` in the suite and ``many`` in full; the reference solves about every ``nth``.
    """

    features: Features
    few: int
    many: int
    nth: int
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    """Ranges of EVs and of steps, where they are not the usual few."""


KINDS = {
    "charging": Kind({}, 100, 3_000, 8),
    "losses": Kind({"losses": True, "batteries": True}, 100, 3_900, 8),
    "more": Kind({"losses": True}, 10, 100, 50, ((9, 40), (30, 140))),
    # What has no kernel is HiGHS's on both sides: there the reference is the check.
    "windows": Kind(
        {"windows": True, "peak": True, "losses": True, "batteries": True}, 40, 1_000, 2
    ),
    "v2g": Kind({"v2g": True}, 40, 1_000, 3),
    "v2g windows": Kind({"v2g": True, "windows": True, "peak": True}, 12, 500, 1),
}
# The kernel keeps the order of the tiers up to exchange rates: a tier may be worse by
# this part of the energy asked for or missed, of its own value where it is no energy.
LINES_MAY_LOSE = 1e-3
LINES = {
    "phases": Kind({"phases": True}, 24, 400, 0),
    "phases windows": Kind({"phases": True, "windows": True, "peak": True}, 4, 50, 0),
    "phases v2g": Kind({"phases": True, "v2g": True}, 4, 50, 0),
}


def by_highs(problem: Problem) -> Measures:
    return measures_of(problem, Highs().solve(problem).power_w)


def differences(ours: Values, theirs: Values, within: float) -> list[str]:
    """Return the tiers whose values differ by more than rounding.

    Every solver gives a tier a little room, which the later ones make use of: what is
    left out of an EV's energy is divided by 1 Wh or more, the last two tiers move much
    further.
    """
    found, room_wh = [], 2e-3
    for name, value in ours.items():
        want = theirs[name]
        room = within * (10.0 + abs(want))
        if "_wh" in name or "short" in name:
            room += room_wh
        if name in (EARLY, MOVED):
            room = 10.0 * room + 0.1
        if not abs(value - want) <= room:
            found.append(f"{name}: {value!r} is not {want!r}")
        if "_wh" in name:
            room_wh += 0.01 * within * abs(want)
    return found


def disagreements(
    planner: Planner, problem: Problem, by_reference: bool
) -> Iterator[str]:
    """Yield where the planner's values are not those of HiGHS and of the reference."""
    try:
        result, highs = planner.plan(problem), by_highs(problem)
    except PlannerError as error:
        yield f"no plan: {error}"
        return
    if not result.certificate.accepted:
        yield f"not accepted: {result.certificate}"
    ours, theirs = dict(result.objective), tier_values(problem, highs)
    moved, least_moved = ours.pop(MOVED), theirs[MOVED]
    if moved < least_moved - 0.1 - 1e-6 * least_moved:
        yield f"HiGHS {MOVED}: {moved!r} is less than {least_moved!r}"
    # A kernel moves no energy between EVs where any would do, that for V2G none at all.
    energy_wh = measures_of(problem, result.power_w).energy_wh
    if np.allclose(energy_wh, highs.energy_wh, 0, 1e-2) and not problem.has_v2g:
        ours[MOVED] = moved
    for what in differences(ours, theirs, 1e-6):
        yield f"HiGHS {what}"
    ours.pop(MOVED, None)
    if by_reference:
        try:
            least = reference_values(problem)
        except PlannerError:  # the rows of its tiers leave it little room
            return
        # With binaries a tier of the reference may lose 1e-6 of it to later ones.
        within = 1e-4 if problem.has_v2g else 1e-5
        for what in differences(ours, least, within):
            yield f"reference {what}"


@pytest.mark.parametrize("name", KINDS)
def test_every_tier_is_that_of_highs_and_of_the_reference(name: str) -> None:
    kind = KINDS[name]
    most_evs, most_steps = (8, 12) if kind.sizes is None else (40, 140)

    @settings(max_examples=kind.few)
    @given(
        random_problems(most_evs, most_steps, **kind.features), st.integers(0, kind.nth)
    )
    def agree(problem: Problem, dice: int) -> None:
        assert not list(disagreements(Planner(), problem, dice == kind.nth))

    agree()


def seeded(kind: Kind, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    if kind.sizes is None:
        return random_problem(rng, **kind.features)
    n, n_step = (int(rng.integers(*bounds)) for bounds in kind.sizes)
    return random_problem(rng, n, n_step, **kind.features)


@pytest.mark.skipif(not FULL, reason="half an hour, with VOLTLEDGER_FULL=1")
@pytest.mark.parametrize("name", KINDS)
def test_every_tier_is_the_same_on_ten_thousand_problems(name: str) -> None:
    kind, planner, found = KINDS[name], Planner(), list[str]()
    for seed in range(kind.many):
        by_reference = seed % kind.nth == 0
        for what in disagreements(planner, seeded(kind, seed), by_reference):
            found.append(f"seed {seed}: {what}")
            print(name, found[-1], flush=True)
    third = -(-kind.many // kind.nth)
    print(
        f"{name}: {kind.many} problems, {third} by the reference, {len(found)} differ"
    )
    assert not found


def beyond_the_lines(planner: Planner, problem: Problem) -> list[str]:
    """Return how the first tier that is not that of HiGHS differs by too much.

    HiGHS keeps currents within a polygon inside the circle of their limit, and says
    what that may cost at most. Later tiers cannot be compared any more.
    """
    highs, result = Highs(), planner.plan(problem)
    theirs = tier_values(problem, measures_of(problem, highs.solve(problem).power_w))
    if not result.certificate.accepted:
        return [f"not accepted: {result.certificate}"]
    ours = dict(result.objective)
    # Where a lower bound is missed, the kernel does not look for the cheapest way.
    for name in ("money", EARLY) if theirs["violation_wh"] > 0.0 else ():
        del ours[name]
    del ours[MOVED]
    missed_wh = np.abs(problem.energy_target_wh).sum() + theirs["violation_wh"]
    for what in differences(ours, theirs, 1e-6)[:1]:
        name = what.split(":")[0]
        unit = 1_000.0 if "_wh" in name or name == EARLY else 1.0
        scale = missed_wh if "_wh" in name else abs(theirs[name])
        better = theirs[name] - ours[name]
        if better > unit * highs.gaps.get(name, 0.0) + 1e-5 * max(1.0, scale):
            return [f"{what}, which is too good"]
        if -better > LINES_MAY_LOSE * max(1.0, scale):
            return [f"{what}, which is too bad"]
    return []


@pytest.mark.parametrize("name", LINES)
def test_where_lines_bind_little_is_lost(name: str) -> None:
    @settings(max_examples=LINES[name].few)
    @given(random_problems(6, 8, **LINES[name].features))
    def agree(problem: Problem) -> None:
        assert not beyond_the_lines(Planner(), problem)

    agree()


@pytest.mark.parametrize("seed", [5, 12, 19, 41])
def test_groups_that_must_take_something_do_beside_lines(seed: int) -> None:
    assert not beyond_the_lines(Planner(), seeded(LINES["phases"], seed))


@pytest.mark.skipif(not FULL, reason="half an hour, with VOLTLEDGER_FULL=1")
@pytest.mark.parametrize("name", LINES)
def test_where_lines_bind_little_is_lost_in_ten_thousand(name: str) -> None:
    planner, found = Planner(), list[str]()
    for seed in range(LINES[name].many):
        for what in beyond_the_lines(planner, seeded(LINES[name], seed)):
            found.append(f"seed {seed}: {what}")
            print(name, found[-1], flush=True)
    print(f"{name}: {LINES[name].many} problems, {len(found)} differ")
    assert not found
