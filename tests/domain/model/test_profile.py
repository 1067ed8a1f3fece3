"""Profiles and envelopes against naive models, second by second."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.model.profile import (
    POWER_LIMIT_W,
    Change,
    PowerProfile,
    PowerRangeEnvelope,
    Range,
    check_changes,
    envelope_of_spans,
    merged,
    zero_profile,
)
from domain.model.values import SECOND

START = 1_571_616_000_000_000

POWERS = st.integers(-50, 50)
CHANGES = st.dictionaries(st.integers(1, 60), POWERS, max_size=6).flatmap(
    lambda later: st.builds(lambda first: ((0, first), *sorted(later.items())), POWERS)
)
MOMENTS = st.integers(START - 5 * SECOND, START + 70 * SECOND)


def naive_power_w(changes: tuple[Change, ...], at: int) -> int:
    power_w = 0
    for offset_s, changed_w in changes:
        if START + offset_s * SECOND <= at:
            power_w = changed_w
    return power_w


@given(CHANGES, MOMENTS)
def test_power_is_that_of_the_last_change(changes: tuple[Change, ...], at: int) -> None:
    assert PowerProfile(START, changes).power_w(at) == naive_power_w(changes, at)


@given(CHANGES, MOMENTS, st.integers(0, 40 * SECOND))
def test_the_largest_power_is_that_of_some_instant(
    changes: tuple[Change, ...], from_at: int, length: int
) -> None:
    to_at = from_at + length
    moments = {from_at, to_at}
    moments |= {START + s * SECOND for s, _ in changes}
    largest = max(
        naive_power_w(changes, at) for at in moments if from_at <= at <= to_at
    )
    assert PowerProfile(START, changes).max_power_w(from_at, to_at) == largest


def test_the_largest_power_counts_both_ends() -> None:
    profile = PowerProfile(START, ((0, 1), (5, 9)))
    assert profile.max_power_w(START, START + 5 * SECOND) == 9
    assert profile.max_power_w(START, START + 5 * SECOND - 1) == 1


@given(CHANGES)
def test_merging_equal_neighbours_changes_no_power(
    changes: tuple[Change, ...],
) -> None:
    small = merged(changes)
    for offset_s in range(62):
        at = START + offset_s * SECOND
        assert naive_power_w(small, at) == naive_power_w(changes, at)
    assert all(a[1] != b[1] for a, b in pairwise(small))


def test_the_zero_profile_allows_nothing() -> None:
    assert zero_profile(START).max_power_w(START - SECOND, START + SECOND) == 0


@given(CHANGES)
def test_changes_as_profiles_have_them_pass(changes: tuple[Change, ...]) -> None:
    check_changes("ETP", changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ((), "ETP begins at nothing"),
        (((1, 5),), "ETP begins at 1; its first change is at 0 s"),
        (((0, 5), (9, 1), (9, 2)), "the change at 9 s follows one at 9 s"),
        (((0, 5), (9, 1), (8, 2)), "the change at 8 s follows one at 9 s"),
        (((0, 5), (9, -POWER_LIMIT_W - 1)), "-100000001 W at 9 s is beyond"),
    ],
)
def test_changes_of_no_profile_are_refused(
    changes: tuple[Change, ...], says: str
) -> None:
    with pytest.raises(InvalidValue, match=says):
        check_changes("ETP", changes)


# Envelopes

WATTS = st.floats(-1e6, 1e6)
SPAN_POWERS = st.lists(
    st.tuples(st.integers(1, 900), WATTS, WATTS), min_size=1, max_size=6
)


def spans_of(
    parts: list[tuple[int, float, float]],
) -> list[tuple[int, int, float, float]]:
    spans, at = [], START
    for duration_s, one_w, other_w in parts:
        end_at = at + duration_s * SECOND
        lower_w, upper_w = sorted((one_w, other_w))
        spans.append((at, end_at, lower_w, upper_w))
        at = end_at
    return spans


@given(SPAN_POWERS)
def test_an_envelope_rounds_inward_by_less_than_a_watt(
    parts: list[tuple[int, float, float]],
) -> None:
    spans = spans_of(parts)
    holds_a_watt = all(math.ceil(lower) <= math.floor(up) for _, _, lower, up in spans)
    if not holds_a_watt:
        with pytest.raises(InvalidValue, match="is above upper"):
            envelope_of_spans(spans)
        return
    envelope = envelope_of_spans(spans)
    assert envelope.start_at == START
    assert envelope.end_at == spans[-1][1]
    for (start_at, end_at, lower_w, upper_w), r in zip(
        spans, envelope.ranges, strict=True
    ):
        assert r.duration_s * SECOND == end_at - start_at
        assert (r.lower_w, r.upper_w) == (math.ceil(lower_w), math.floor(upper_w))
        assert type(r.lower_w) is type(r.upper_w) is int


S = SECOND


@pytest.mark.parametrize(
    ("spans", "says"),
    [
        ([], "PRE has no ranges"),
        (
            [(START, START + S, 0, 1), (START + 2 * S, START + 3 * S, 0, 1)],
            "a gap: a range begins at 2019-10-21T00:00:02Z, the one before ends at",
        ),
        (
            [(START, START + 2 * S, 0, 1), (START + S, START + 3 * S, 0, 1)],
            "an overlap: a range begins at 2019-10-21T00:00:01Z",
        ),
        ([(START, START + S // 2, 0, 1)], "is not whole seconds"),
        ([(START + 1, START + 1 + S, 0, 1)], "does not begin at a whole second"),
        ([(START, START, 0, 1)], "duration 0 s is not above 0"),
        ([(START, START - S, 0, 1)], "duration -1 s is not above 0"),
        ([(START, START + S, 2, 1)], "lower 2 W is above upper 1 W"),
        ([(START, START + S, math.nan, 1)], "nan W is not a finite power"),
        ([(START, START + S, 0, math.nan)], "nan W is not a finite power"),
        ([(START, START + S, 0, math.inf)], "inf W is not a finite power"),
        ([(START, START + S, -math.inf, 0)], "-inf W is not a finite power"),
        ([(START, START + S, 0, POWER_LIMIT_W + 1)], "100000001 W is not a finite"),
    ],
)
def test_spans_of_no_envelope_are_refused(
    spans: list[tuple[int, int, float, float]], says: str
) -> None:
    with pytest.raises(InvalidValue, match=says):
        envelope_of_spans(spans)


def test_an_envelope_ends_with_its_last_range() -> None:
    envelope = PowerRangeEnvelope(START, (Range(60, 0, 1), Range(30, 0, 2)))
    assert envelope.end_at == START + 90 * SECOND
