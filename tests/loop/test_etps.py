"""From a plan to ETPs: profiles never above the plan, and their sum."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.loop.course import Course
from domain.loop.etps import aggregated, profile_of
from domain.model.profile import PowerProfile
from domain.model.values import SECOND
from tests.store.fakes import MONDAY

REACTION_S = 30
Plan = list[tuple[int, int]]

plans = st.lists(
    st.tuples(st.integers(1, 120), st.integers(0, 8).map(lambda kw: kw * 1_000)),
    min_size=1,
    max_size=12,
)


def made(plan: Plan) -> tuple[PowerProfile, list[int]]:
    """Return the profile of (seconds, W) steps, and the plan second by second."""
    edges = MONDAY + np.cumsum([0, *(s for s, _ in plan)]) * SECOND
    power_w = np.array([w for _, w in plan])
    profile = profile_of(power_w, edges, REACTION_S * SECOND)
    return profile, [w for s, w in plan for _ in range(s)]


@given(plan=plans)
def test_a_profile_never_rises_above_the_plan_and_falls_a_reaction_early(
    plan: Plan,
) -> None:
    profile, planned = made(plan)
    got = [profile.power_w(MONDAY + s * SECOND) for s in range(len(planned))]
    ahead = [min(planned[s : s + REACTION_S + 1]) for s in range(len(planned))]
    assert all(g <= p for g, p in zip(got, ahead, strict=True))


@given(
    plan=st.lists(
        st.tuples(st.integers(31, 900), st.sampled_from([0, 2_000, 6_000])),
        min_size=1,
        max_size=8,
    )
)
def test_in_steps_longer_than_a_reaction_nothing_is_given_away(plan: Plan) -> None:
    profile, planned = made(plan)
    for second, power_w in enumerate(planned):
        lower_soon = min(planned[second : second + REACTION_S + 1]) < power_w
        if not lower_soon:
            assert profile.power_w(MONDAY + second * SECOND) == power_w


@given(many=st.lists(plans, min_size=1, max_size=5), from_s=st.integers(0, 300))
def test_the_aetp_is_the_sum(many: list[Plan], from_s: int) -> None:
    profiles = [made(plan)[0] for plan in many]
    start = MONDAY + from_s * SECOND
    total = aggregated([Course(p) for p in profiles], start)
    assert total.start_at == start
    for second in range(from_s, from_s + 1_500, 7):
        at = MONDAY + second * SECOND
        assert total.power_w(at) == sum(p.power_w(at) for p in profiles)
    assert all(a[1] != b[1] for a, b in pairwise(total.changes))


def test_nobody_sums_to_nothing() -> None:
    assert aggregated([], MONDAY) == PowerProfile(MONDAY, ((0, 0),))
