"""What an EVSE counts at: courses, held values, and the delivery of ETPs as a fold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.loop.course import Course, points_of
from domain.loop.delivery import Delivery, next_number
from domain.model.profile import PowerProfile, merged
from domain.model.values import SECOND
from tests.store.fakes import MONDAY

REACTION = 30 * SECOND


def profile(*changes: tuple[int, int], start_s: int = 0) -> PowerProfile:
    return PowerProfile(MONDAY + start_s * SECOND, merged(changes))


def at(second: float) -> int:
    return MONDAY + int(second * SECOND)


@st.composite
def profiles(draw: st.DrawFn) -> PowerProfile:
    offsets = draw(st.lists(st.integers(1, 120), max_size=6, unique=True))
    powers = draw(
        st.lists(
            st.integers(0, 20).map(lambda kw: kw * 500),
            min_size=len(offsets) + 1,
            max_size=len(offsets) + 1,
        )
    )
    start_s = draw(st.integers(-60, 60))
    return profile(*zip([0, *sorted(offsets)], powers, strict=True), start_s=start_s)


SECONDS = np.array([at(s) for s in range(-100, 200)])


@given(given=profiles(), reaction_s=st.integers(0, 60))
def test_a_course_reads_and_holds_as_second_by_second(
    given: PowerProfile, reaction_s: int
) -> None:
    course = Course(given)
    now = [given.power_w(p) for p in SECONDS.tolist()]
    assert course.over(SECONDS).tolist() == now
    held = [
        max(given.power_w(p - back * SECOND) for back in range(reaction_s + 1))
        for p in SECONDS.tolist()
    ]
    assert course.held(SECONDS, reaction_s * SECOND).tolist() == held


@given(given=profiles(), first=st.integers(0, 100), last=st.integers(0, 100))
def test_the_largest_power_of_a_span(
    given: PowerProfile, first: int, last: int
) -> None:
    course = Course(given)
    begin, end = at(60 + first), at(60 + first + last)
    powers = [given.power_w(p) for p in range(begin, end + 1, SECOND)]
    assert course.largest(begin, end) == max(powers)


def test_points_are_now_boundaries_and_later_changes() -> None:
    courses = [Course(profile((0, 1), (10, 2), (40, 3))), Course(profile((0, 9)))]
    points = points_of(courses, at(10), np.array([at(20), at(40)]))
    assert points.tolist() == [at(10), at(20), at(40)]


def test_numbers_never_restart_and_never_stand_still() -> None:
    assert next_number(0, at(0)) > 0
    assert next_number(next_number(0, at(5)), at(5)) == next_number(0, at(5)) + 1
    assert next_number(10**12, at(0)) == 10**12 + 1


def counted(delivery: Delivery, now_s: float, *seconds: float) -> list[int]:
    points = np.array([at(now_s + s) for s in seconds or (0,)])
    return [int(w) for w in delivery.counted_w(points, at(now_s), REACTION)]


def accepted_at(power_w: int, second: float, number: int = 1) -> Delivery:
    delivery = Delivery()
    deliver(delivery, number, power_w, second)
    return delivery


def deliver(delivery: Delivery, number: int, power_w: int, second: float) -> None:
    delivery.on_sent(number, profile((0, power_w)), at(second), 1)
    delivery.on_accepted(number, at(second), REACTION)


def test_an_etp_sent_and_not_answered_counts_at_the_larger() -> None:
    delivery = accepted_at(4_000, 0)
    delivery.on_sent(2, profile((0, 1_000)), at(100), 1)
    assert counted(delivery, 101) == [4_000]
    delivery.on_sent(3, profile((0, 6_000)), at(102), 1)
    assert counted(delivery, 103) == [6_000]
    delivery.on_timed_out(3)
    assert delivery.is_unanswered
    assert counted(delivery, 1_000) == [6_000]  # however long it is silent


def test_a_decrease_counts_at_the_old_value_for_a_reaction_time() -> None:
    delivery = accepted_at(4_000, 0)
    deliver(delivery, 2, 1_000, 100)
    assert counted(delivery, 100, 0, 29, 30, 31) == [4_000, 4_000, 1_000, 1_000]
    assert counted(delivery, 130.1) == [1_000]


def test_confirmed_it_counts_at_the_new_value_at_once() -> None:
    delivery = accepted_at(4_000, 0)
    deliver(delivery, 2, 1_000, 100)
    delivery.on_confirmed(1)  # of an ETP before it: nothing
    assert counted(delivery, 105) == [4_000]
    delivery.on_confirmed(2)
    assert counted(delivery, 105) == [1_000]


def test_all_that_was_sent_before_fades_too() -> None:
    delivery = accepted_at(4_000, 0)
    delivery.on_sent(2, profile((0, 6_000)), at(99), 1)
    deliver(delivery, 3, 1_000, 100)
    assert counted(delivery, 105) == [6_000]
    assert delivery.sent == []
    delivery.on_accepted(2, at(106), REACTION)  # its answer comes late
    assert (delivery.acked_number, delivery.acked.power_w.tolist()) == (3, [1_000])


def test_a_refused_etp_leaves_what_was_in_force() -> None:
    delivery = accepted_at(4_000, 0)
    delivery.on_sent(2, profile((0, 6_000)), at(50), 1)
    delivery.on_refused(2, at(51))
    assert counted(delivery, 52) == [4_000]
    assert delivery.last is delivery.acked
    assert delivery.refused_at == at(51)
    assert not delivery.is_unanswered


def test_a_later_fall_counts_for_a_reaction_time_after_it() -> None:
    delivery = Delivery()
    delivery.on_sent(1, profile((0, 4_000), (600, 1_000)), at(0), 1)
    delivery.on_accepted(1, at(0), REACTION)
    assert counted(delivery, 590, 0, 10, 39, 41) == [4_000, 4_000, 4_000, 1_000]


@pytest.mark.parametrize(("answered", "due_s"), [(False, 110), (True, 130)])
def test_it_wakes_for_an_answer_and_for_what_fades(answered: bool, due_s: int) -> None:
    delivery = accepted_at(4_000, 0)
    delivery.on_sent(2, profile((0, 1_000)), at(100), 1)
    if answered:
        delivery.on_accepted(2, at(100), REACTION)
    assert delivery.next_wake(at(101)) == at(due_s)


def test_an_etp_sent_again_is_one_etp() -> None:
    delivery = Delivery()
    delivery.on_sent(1, profile((0, 1_000)), at(0), 1)
    delivery.on_timed_out(1)
    delivery.on_sent(1, profile((0, 1_000)), at(10), 2)
    assert [(s.number, s.attempt) for s in delivery.sent] == [(1, 2)]
    assert delivery.is_unanswered  # nobody has answered yet
