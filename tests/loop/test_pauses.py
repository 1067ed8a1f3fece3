"""Pauses: how often an EV was told 0, and who keeps its floor because of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.loop.allocation import Allocation, build
from domain.loop.course import Course
from domain.loop.delivery import Delivery
from domain.loop.etps import KEPT_ON_FOR, kept_on
from domain.loop.pauses import Pauses
from domain.loop.replay import check
from domain.loop.router import restore, state_of
from domain.loop.zone_loop import Policy
from domain.model.profile import PowerProfile, merged
from domain.model.values import MINUTE, SECOND, Instant
from tests.loop.world import (
    FLOOR_W,
    SIMULATED,
    START,
    ZONE,
    RecordedEvse,
    Stay,
    World,
    add_all,
    stays,
    world,
)

ON_W = 3_000


def course(*minutes_on: int, first_w: int = ON_W) -> Course:
    """A course that turns on and off at these minutes."""
    power_w, changes = first_w, [(0, first_w)]
    for minute in minutes_on:
        power_w = 0 if power_w else ON_W
        changes.append((minute * 60, power_w))
    return Course(PowerProfile(START, merged(changes)))


def after(minutes: float) -> Instant:
    return START + int(minutes * MINUTE)


def test_each_fall_to_0_is_a_pause_and_each_rise_after_it_ends_one() -> None:
    found = Pauses().carried(course(5, 7, 20), after(21))
    assert not found.is_on
    assert found.paused_at == (after(5), after(20))
    assert found.resumed_at == after(7)


@given(
    minutes=st.sets(st.integers(1, 60), max_size=8),
    cuts=st.lists(st.integers(0, 70), max_size=5),
    first_w=st.sampled_from([0, ON_W]),
)
def test_pauses_are_the_same_however_often_somebody_looks(
    minutes: set[int], cuts: list[int], first_w: int
) -> None:
    given = course(*sorted(minutes), first_w=first_w)
    looked = Pauses()
    for cut in sorted(cuts):
        looked = looked.carried(given, after(cut))
    assert looked.carried(given, after(70)) == Pauses().carried(given, after(70))


@pytest.mark.parametrize(
    ("given", "at", "stays"),
    [
        ((5, 7), 4, False),  # never paused yet
        ((5, 7), 6, False),  # it is off
        ((5, 7), 7, True),
        ((5, 7), 16.9, True),
        ((5, 7), 17, False),  # on for ten minutes
        ((5, 7, 8, 9), 300, True),  # paused often enough
        ((5, 7, 8, 9), 5 + 24 * 60 - 1, True),
        ((5, 7, 8, 9), 5 + 24 * 60, False),
    ],
)
def test_who_was_paused_stays_on_for_a_while_and_who_was_often_for_the_day(
    given: tuple[int, ...], at: float, stays: bool
) -> None:
    pauses = Pauses().carried(course(*given), after(at))
    assert pauses.is_to_stay_on(min_on=10 * MINUTE, max_pauses=2) == stays


def test_only_what_a_station_accepted_is_a_pause() -> None:
    delivery = Delivery()
    for number, power_w in ((1, ON_W), (2, 0), (3, ON_W)):
        at = after(number)
        profile = PowerProfile(at, ((0, power_w),))
        delivery.on_sent(number, profile, at, 1)
        if number != 2:
            delivery.on_accepted(number, at, 30 * SECOND)
    assert delivery.pauses_at(after(4)).paused_at == ()
    delivery.on_sent(4, PowerProfile(after(5), ((0, 0),)), after(5), 1)
    delivery.on_accepted(4, after(5), 30 * SECOND)
    assert delivery.pauses_at(after(6)).paused_at == (after(5),)


# Three EVs of which the first is served first, and has all; the last is to stay on.
def shortage(upper_w: int) -> tuple[Allocation, np.ndarray]:
    with world(3, 2) as zone:
        zone.pre(0, (7_200, upper_w))
        for i in range(3):
            zone.visit(i, 1 + i, 3_600, 20_000, stated_s=3_600 * (i + 1))
        zone.run()
        allocation = build(zone.loop.state, zone.clock.at)
    is_kept = np.array([False, False, True])
    power_w = np.zeros((3, allocation.boundaries.size - 1), np.int64)
    power_w[0] = min(upper_w, 6_656)
    return replace(allocation, kept_on=is_kept), power_w


def test_it_has_its_floor_of_what_is_above_others() -> None:
    allocation, power_w = shortage(4_000)
    kept = kept_on(allocation, power_w)
    near = allocation.boundaries[:-1] <= allocation.boundaries[0] + KEPT_ON_FOR
    assert (kept[:, near].T == [4_000 - FLOOR_W, 0, FLOOR_W]).all()
    assert (kept[:, ~near] == power_w[:, ~near]).all()


def test_of_what_nobody_has_first() -> None:
    allocation, power_w = shortage(6_656 + FLOOR_W)
    assert kept_on(allocation, power_w)[:, 0].tolist() == [6_656, 0, FLOOR_W]


@pytest.mark.parametrize("upper_w", [0, 1_300, 2 * FLOOR_W - 1])
def test_nobody_is_paused_for_it_and_no_pre_is_left(upper_w: int) -> None:
    allocation, power_w = shortage(upper_w)
    assert (kept_on(allocation, power_w) == power_w).all()


@given(
    kw=st.lists(st.integers(0, 6_656), min_size=3, max_size=3),
    kept=st.lists(st.booleans(), min_size=3, max_size=3),
    spare_w=st.integers(0, 3_000),
)
def test_floors_kept_add_up_within_the_pre(
    kw: list[int], kept: list[bool], spare_w: int
) -> None:
    allocation = SHORTAGE
    powers = np.array([w if w >= FLOOR_W else 0 for w in kw])
    n_step = allocation.problem.n_step
    problem = replace(
        allocation.problem, pre_upper_w=np.full(n_step, float(powers.sum() + spare_w))
    )
    power_w = np.tile(powers[:, None], n_step)
    found = kept_on(
        replace(allocation, problem=problem, kept_on=np.array(kept)), power_w
    )
    assert (found.sum(axis=0) <= problem.pre_upper_w).all()
    assert ((found == 0) | (found >= FLOOR_W)).all()
    assert (found[power_w > 0] > 0).all()
    assert (found.sum(axis=0) >= power_w.sum(axis=0)).all()


SHORTAGE = shortage(4_000)[0]


# Two floors fit into it, but by the order of service the first EV would have it all.
SHORT_W = 4_000
FALLS = [*[(120, 9_000), (150, 0)] * 4, (600, 9_000), (3_600, SHORT_W)]


def paused_again(zone: World) -> list[int]:
    """Run two EVs through pauses and into a shortage; return who is paused then."""
    zone.pre(0, *FALLS)
    for i in range(2):
        zone.visit(i, 1 + i, 7_200, 40_000, stated_s=7_200 * (i + 1))
    zone.run()
    begun = START + sum(s for s, _ in FALLS[:-1]) * SECOND
    instants = range(begun, zone.clock.at, 10 * SECOND)
    return [
        i
        for i, evse in enumerate(zone.evses)
        if any(not told_w(evse, at) for at in instants)
    ]


def told_w(evse: RecordedEvse, at: Instant) -> int:
    stored = [profile for stored_at, profile in evse.stored if stored_at <= at]
    return stored[-1].power_w(at)


def test_who_was_paused_often_is_not_paused_by_a_shortage() -> None:
    with world(2, 45) as zone:
        assert paused_again(zone) == []
        assert zone.loop.metrics.aetp_outside_pre == 0
        assert check(zone.system.log).differing == ()
    with world(2, 45, policy=Policy(keeps_on=False)) as zone:
        assert paused_again(zone) == [1]


def test_a_zone_says_how_many_pauses_are_enough() -> None:
    with world(2, 45, max_pauses=5) as zone:
        assert paused_again(zone) == [1]


def test_a_zone_says_for_how_long_who_resumed_stays_on() -> None:
    with world(2, 45, max_pauses=5, min_on_s=3_600) as zone:
        assert paused_again(zone) == []


@pytest.mark.parametrize("mandatory", [False, True])
def test_a_pre_without_room_for_its_floor_pauses_it_all_the_same(
    mandatory: bool,
) -> None:
    with world(2, 45) as zone:
        zone.pre(2_400, (3_600, FLOOR_W + 100), mandatory=mandatory)
        assert len(paused_again(zone)) == 1


@settings(SIMULATED, max_examples=15)
@given(
    cars=stays(minutes=40),
    ranges=st.lists(
        st.tuples(
            st.integers(1, 4).map(lambda m: m * 60),
            st.sampled_from([0, 1_300, 3_000, 6_000, 12_000]),
        ),
        min_size=6,
        max_size=12,
    ),
    looks_s=st.lists(st.integers(600, 2_390), min_size=1, max_size=4),
)
def test_plans_that_limit_pauses_stay_within_the_pre_and_are_made_again(
    cars: list[Stay], ranges: list[tuple[int, int]], looks_s: list[int]
) -> None:
    """By replay, and by who starts again at any instant."""

    def look() -> None:
        zone.simulation.timeline.catch_up()
        _, rows = restore(zone.system.log, ZONE, zone.clock.at)
        again = build(state_of(ZONE, rows), zone.clock.at)
        assert again.digest() == build(zone.loop.state, zone.clock.at).digest()

    with world(len(cars), 40, lost=0.02, min_on_s=600, max_pauses=2) as zone:
        zone.pre(0, *ranges, (3_600, 3_000))
        add_all(zone, cars)
        for at_s in looks_s:
            zone.at(START + at_s * SECOND + 1, look)
        zone.run()
        assert zone.loop.metrics.aetp_outside_pre == 0
        assert check(zone.system.log).differing == ()
        power_w = zone.simulation.truth.power_w()
        assert (power_w <= zone.upper_w().minutes(power_w.size) + 1).all()
