"""KPI 2 of E1: whether an AETP is within the PRE, against a second by second look."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.model.pre import PreInForce, Span
from domain.model.profile import PowerProfile, merged
from domain.model.values import SECOND
from projections.key_figures import PLAN_HORIZON, bounds_of, leaves

SECONDS = st.integers(0, 30)
POWERS_W = st.integers(-3, 6)


@st.composite
def pres(draw: st.DrawFn) -> PreInForce:
    edges = sorted(draw(st.sets(SECONDS, max_size=6)))
    spans: list[Span] = []
    for start_s, end_s in pairwise(edges):
        if draw(st.booleans()):
            low, high = sorted((draw(POWERS_W), draw(POWERS_W)))
            spans.append((start_s * SECOND, end_s * SECOND, low, high))
    return PreInForce(tuple(spans), draw(st.integers(0, 5)), draw(st.integers(0, 6)))


@st.composite
def aetps(draw: st.DrawFn) -> PowerProfile:
    start_s = draw(SECONDS)
    offsets = sorted({0, *draw(st.sets(st.integers(1, 20), max_size=5))})
    changes = merged((offset_s, draw(POWERS_W)) for offset_s in offsets)
    return PowerProfile(start_s * SECOND, changes)


# A step of the AETP at the very instant of a step of the PRE.
TOGETHER = PreInForce(((0, 5 * SECOND, 0, 2), (5 * SECOND, 60 * SECOND, 4, 6)), 6, 6)


@settings(max_examples=1_000)
@given(pre=pres(), aetp=aetps(), late_s=st.integers(0, 25))
@example(TOGETHER, PowerProfile(0, ((0, 2), (5, 4), (60, 0))), 0)
def test_leaving_the_pre_is_seen_at_any_instant(
    pre: PreInForce, aetp: PowerProfile, late_s: int
) -> None:
    from_at = aetp.start_at + late_s * SECOND
    looked_at = [from_at + s * SECOND for s in range(60)]
    looked_at.append(from_at + PLAN_HORIZON - 1)
    outside = False
    for at in looked_at:
        lower_w, upper_w = pre.range_w(at)
        outside |= not lower_w <= aetp.power_w(at) <= upper_w
    assert leaves(aetp, bounds_of(pre), from_at) == outside
