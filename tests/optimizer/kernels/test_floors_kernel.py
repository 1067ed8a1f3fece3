"""Compiled repairs to floors: following a plan, and one EV's row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.checks import Floats
from optimizer.kernels.floors import follow
from optimizer.kernels.floors_row import Row, fill, move_to_cheaper, one_more, settable
from optimizer.kernels.floors_site import Site

FLOOR_W = 1_380.0
LAW = settings(max_examples=100)


def site_of(high_w: Floats, hours: Floats, room_w: float) -> Site:
    """Return EVs of one floor under one limit."""
    n, n_step = high_w.shape
    return Site(
        hours=hours,
        cheap=np.arange(n_step),
        price=np.zeros(n_step),
        low_w=np.full(n, FLOOR_W),
        step_w=np.zeros(n),
        high_w=high_w,
        deep_w=np.zeros((n, n_step)),
        charge_efficiency=np.ones(n),
        discharge_efficiency=np.ones(n),
        both_ways=np.zeros(n, np.bool_),
        most_wh=np.full(n, np.inf),
        lowest_wh=np.full(n, -np.inf),
        highest_wh=np.full(n, np.inf),
        leaf=np.zeros(n, np.int64),
        parent=np.full(1, -1, np.int64),
        above_w=np.full((1, n_step), room_w),
        below_w=np.zeros((1, n_step)),
        window=np.zeros((0, 2), np.int64),
        window_wh=np.zeros((0, 2)),
        share=np.zeros((0, n, 2)),
        limit_a=np.zeros(0),
        line_a=np.zeros((0, n_step, 2)),
        power_w=np.zeros((n, n_step)),
        gained_wh=np.zeros(n),
    )


def row_of(power_w: list[float], most_w: list[float], price: list[float]) -> Row:
    """Return one EV in steps of an hour that may be 0 in any of them."""
    n_step = len(power_w)
    return Row(
        power_w=np.array(power_w),
        least_w=np.zeros(n_step),
        most_w=np.array(most_w),
        wh=np.ones(n_step),
        out_wh=np.ones(n_step),
        price=np.array(price),
        cheap=np.argsort(price, kind="stable"),
    )


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 15))
@LAW
def test_with_room_for_all_a_follower_is_behind_by_half_a_floor(
    seed: int, n: int, n_step: int
) -> None:
    dice = np.random.default_rng(seed)
    high_w = np.repeat(dice.uniform(FLOOR_W, 11_000.0, (n, 1)), n_step, axis=1)
    linear_w = dice.random((n, n_step)) * high_w * dice.choice([0.1, 0.5, 1.0])
    hours = dice.choice([0.25, 0.5], n_step)
    site = site_of(high_w, hours, high_w.sum())
    follow(site, np.arange(n), linear_w)
    planned = np.cumsum(linear_w * hours, axis=1)
    given_wh = np.cumsum(site.power_w * hours, axis=1)
    assert given_wh[:, -1] == pytest.approx(site.gained_wh)
    left = planned[:, -1:] - given_wh
    step_wh = FLOOR_W * hours.max()
    behind = planned - given_wh
    assert (behind < step_wh + 1e-6).all()
    assert (behind[left >= step_wh] <= step_wh / 2 + 1e-6).all()
    assert (given_wh <= planned[:, -1:] + 1e-6).all()
    size = site.power_w[site.power_w != 0.0]
    assert (size >= FLOOR_W).all()


@given(st.integers(0, 2**32), st.floats(0.0, 20_000.0))
@LAW
def test_a_follower_stays_within_the_limit_and_counts_what_is_left(
    seed: int, room_w: float
) -> None:
    dice = np.random.default_rng(seed)
    high_w = np.full((5, 8), 7_000.0)
    linear_w = dice.random((5, 8))
    linear_w *= room_w / linear_w.sum(axis=0)
    linear_w = np.minimum(linear_w, high_w)
    site = site_of(high_w, np.ones(8), room_w)
    follow(site, dice.permutation(5), linear_w)
    load_w = site.power_w.sum(axis=0)
    assert (load_w <= room_w + 1e-6).all()
    assert site.above_w[0] == pytest.approx(room_w - load_w, abs=1e-6)
    assert site.below_w[0] == pytest.approx(load_w, abs=1e-6)


def test_settable_powers_are_nothing_or_whole_steps_from_the_floor() -> None:
    assert settable(0.0, 0.0, 12.5) == 12.5
    assert settable(0.0, 1_380.0, 1_379.0) == 0.0
    assert settable(230.0, 1_380.0, 1_620.0) == 1_610.0
    assert settable(230.0, 1_380.0, 1_379.9999999999) == 1_380.0


def test_missing_energy_goes_to_the_cheapest_steps() -> None:
    row = row_of([0.0, 2_000.0, 0.0], [5_000.0, 3_000.0, 5_000.0], [0.3, 0.1, 0.2])
    lack = fill(row, FLOOR_W, 0.0, 3_000.0, np.inf, np.inf)
    assert lack == 0.0
    assert row.power_w.tolist() == [0.0, 3_000.0, 2_000.0]


def test_one_more_floor_takes_its_surplus_from_the_dearest_step() -> None:
    row = row_of([5_000.0, 0.0, 3_000.0], [5_000.0, 5_000.0, 3_000.0], [0.3, 0.2, 0.1])
    one_more(row, FLOOR_W, 0.0, 380.0, 0.0, np.inf)
    assert row.power_w.tolist() == [4_000.0, 1_380.0, 3_000.0]


def test_no_floor_is_started_that_would_exceed_the_maximum() -> None:
    row = row_of([1_400.0, 0.0], [1_400.0, 5_000.0], [0.1, 0.2])
    one_more(row, FLOOR_W, 0.0, 380.0, 900.0, np.inf)
    assert row.power_w.tolist() == [1_400.0, 0.0]
    one_more(row, FLOOR_W, 0.0, 380.0, 980.0, np.inf)
    assert row.power_w.tolist() == [FLOOR_W, FLOOR_W]


def test_energy_moves_to_cheaper_steps_and_leaves_nothing_below_the_floor() -> None:
    row = row_of([4_000.0, 0.0, 0.0], [4_000.0, 3_000.0, 900.0], [0.3, 0.2, 0.1])
    move_to_cheaper(row, FLOOR_W, 0.0)
    assert row.power_w.tolist() == [FLOOR_W, 4_000.0 - FLOOR_W, 0.0]
    row = row_of([3_000.0, 0.0, 0.0], [4_000.0, 3_000.0, 900.0], [0.3, 0.2, 0.1])
    move_to_cheaper(row, FLOOR_W, 0.0)
    assert row.power_w.tolist() == [0.0, 3_000.0, 0.0]
