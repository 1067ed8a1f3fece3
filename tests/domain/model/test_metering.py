"""Energy from registers: intervals, resets, what is implausible."""

from hypothesis import given
from hypothesis import strategies as st

from domain.model.metering import Register, course_of, ends_interval, intervals_of
from domain.model.values import HOUR, MINUTE, QUARTER_HOUR

MAX_W = 11_000


def at(minutes: float, wh: int) -> Register:
    return Register(round(HOUR * 1_000 + minutes * MINUTE), wh)


def test_an_interval_ends_with_the_first_register_in_a_quarter_hour() -> None:
    totals = [at(0, 0), at(14, 10), at(15, 12), at(29.9, 20), at(46, 30), at(50, 33)]
    found = intervals_of(totals)
    assert [(i.until_at, i.energy_wh) for i in found] == [
        (at(15, 0).at, 12),
        (at(46, 0).at, 18),
    ]
    assert [i.total_wh for i in found] == [12, 30]


def test_a_register_at_the_beginning_of_a_quarter_hour_ends_one_interval_only() -> None:
    quarter = QUARTER_HOUR * 7
    assert ends_interval(quarter - 1, quarter)
    assert not ends_interval(quarter, quarter + 1)


def test_what_ran_backwards_or_too_fast_is_left_out() -> None:
    points = [at(0, 100), at(10, 1_000), at(11, 5), at(12, 1_100), at(13, 90_000)]
    course = course_of(points, MAX_W)
    assert course.energy_wh == 1_000
    assert [each.wh for each in course.implausible] == [5, 90_000]


def test_a_register_that_was_reset_goes_on_from_where_it_was_reset_to() -> None:
    points = [at(0, 5_000), at(10, 6_000), at(20, 0), at(30, 500), at(40, 900)]
    course = course_of(points, MAX_W)
    assert (course.energy_wh, [each.wh for each in course.implausible]) == (1_900, [0])


def test_without_registers_there_is_no_energy() -> None:
    assert (course_of([], MAX_W).energy_wh, intervals_of(())) == (0, [])


STEPS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 183)), max_size=30)


@given(STEPS, st.data())
def test_intervals_are_the_same_whatever_of_them_was_known_before(
    steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Two parts that were metered by themselves give, together, those of all."""
    minutes, wh = 0, 7
    points = [at(0, wh)]
    for step_minutes, gained_wh_a_minute in steps:
        minutes += step_minutes
        wh += gained_wh_a_minute * step_minutes
        points.append(at(minutes, wh))
    part = data.draw(st.sets(st.sampled_from(points)))
    metered = [points[0]]
    for interval in intervals_of(sorted({points[0], *part})):
        metered.append(Register(interval.until_at, points[0].wh + interval.total_wh))
    others = [each for each in points if each not in part]
    known = course_of([*metered, *others], MAX_W)
    whole = course_of(points, MAX_W)
    assert intervals_of(known.totals) == intervals_of(whole.totals)
    assert whole.energy_wh == wh - 7


def test_a_meter_that_tells_whole_kilowatt_hours_loses_none() -> None:
    told = [0, 0, 0, 1_000, 1_000, 1_000, 2_000]
    registers = [at(i / 2, wh) for i, wh in enumerate(told)]
    course = course_of(registers, 22_000)
    assert course.energy_wh == 2_000
    assert course.implausible == ()
