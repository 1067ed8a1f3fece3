"""E4 The PRE in force: the law of composition against a naive model."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.model.plan_events import PreReceived
from domain.model.pre import compose
from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.values import SECOND

START = 1_571_616_000_000_000
SAFE_W, LIMIT_W = 30, 60


class Order(NamedTuple):
    """A PRE with when it was received, both in seconds from `START`."""

    received_s: int
    start_s: int
    ranges: tuple[Range, ...]

    @property
    def received(self) -> tuple[int, PreReceived]:
        start_at = START + self.start_s * SECOND
        envelope = PowerRangeEnvelope(start_at, self.ranges)
        event = PreReceived(zone_id="z", pre_id="p", envelope=envelope)
        return START + self.received_s * SECOND, event


RANGES = st.builds(
    lambda duration_s, a, b: Range(duration_s, min(a, b), max(a, b)),
    st.integers(1, 15),
    st.integers(-80, 80),
    st.integers(-80, 80),
)
ORDERS = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.integers(-10, 40),
        st.lists(RANGES, min_size=1, max_size=4),
    ),
    max_size=6,
).map(
    lambda parts: [
        Order(sum(p[0] for p in parts[: i + 1]), start_s, tuple(ranges))
        for i, (_, start_s, ranges) in enumerate(parts)
    ]
)


def naive_range_w(orders: list[Order], second: int) -> tuple[int, int]:
    """Return the range at a second: what the last order in effect says of it."""
    for order in reversed(orders):
        if second < max(order.start_s, order.received_s):
            continue
        at = order.start_s
        for r in order.ranges:
            if at <= second < at + r.duration_s:
                return max(r.lower_w, -LIMIT_W), min(r.upper_w, LIMIT_W)
            at += r.duration_s
        break
    return 0, min(SAFE_W, LIMIT_W)


@settings(max_examples=300)
@given(ORDERS)
def test_the_last_order_in_effect_says_what_holds(orders: list[Order]) -> None:
    pre = compose([order.received for order in orders], SAFE_W, LIMIT_W)
    for second in range(-15, 160):
        at = START + second * SECOND
        assert pre.range_w(at) == naive_range_w(orders, second), second
        assert pre.range_w(at + SECOND - 1) == pre.range_w(at)
    assert list(pre.spans) == sorted(pre.spans)
    for one, next_one in pairwise(pre.spans):
        assert one[0] < one[1] <= next_one[0]


@given(ORDERS, st.data())
def test_a_revoked_order_was_never_there(
    orders: list[Order], data: st.DataObject
) -> None:
    """The one before it holds again, else the safe envelope."""
    if not orders:
        return
    revoked = data.draw(st.integers(0, len(orders) - 1))
    left = orders[:revoked] + orders[revoked + 1 :]
    pre = compose([order.received for order in left], SAFE_W, LIMIT_W)
    for second in range(-15, 160, 3):
        at = START + second * SECOND
        assert pre.range_w(at) == naive_range_w(left, second)


def order(received_s: int, start_s: int, *ranges: Range) -> Order:
    return Order(received_s, start_s, ranges)


@pytest.mark.parametrize(
    ("second", "range_w"),
    [
        (-1, (0, 30)),
        (0, (5, 20)),
        (9, (5, 20)),
        (10, (-60, 60)),
        (14, (-60, 60)),
        (15, (0, 30)),
        (19, (0, 30)),
        (20, (0, 30)),
    ],
)
def test_a_later_order_ends_with_its_last_range(
    second: int, range_w: tuple[int, int]
) -> None:
    """Given [0, 20) replaced from 10 on by [10, 15): 15 to 20 does not come back."""
    orders = [order(0, 0, Range(20, 5, 20)), order(3, 10, Range(5, -99, 99))]
    pre = compose([o.received for o in orders], SAFE_W, LIMIT_W)
    assert pre.range_w(START + second * SECOND) == range_w


def test_an_instant_is_covered_where_an_order_holds() -> None:
    pre = compose([order(0, 0, Range(20, 5, 20)).received], SAFE_W, LIMIT_W)
    covered = [pre.covers(START + second * SECOND) for second in (-1, 0, 19, 20)]
    assert covered == [False, True, True, False]


def test_the_safe_envelope_is_cut_to_the_limit() -> None:
    assert compose([], 100, 60).range_w(START) == (0, 60)
