"""The PRE that a building and its roof leave."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulator.building import (
    building_share,
    envelope,
    flat_envelope,
    pv_share,
)
from domain.model.profile import Range
from domain.model.values import DAY, QUARTER_HOUR, instant_of

TZ = ZoneInfo("America/Los_Angeles")
MIDNIGHT = instant_of(datetime(2019, 10, 29, tzinfo=TZ))


@given(hour=st.floats(0, 24))
def test_shares_are_within_what_is_documented(hour: float) -> None:
    assert 0.12 <= building_share(hour) <= 0.25
    assert 0 <= pv_share(hour) <= 0.20
    if not 7 < hour < 18:
        assert pv_share(hour) == 0


def test_the_day_peaks_where_the_formula_says() -> None:
    assert building_share(13) == pytest.approx(0.25)
    assert pv_share(12.5) == pytest.approx(0.20)


@given(capacity_w=st.integers(1, 1_000_000))
def test_the_pre_is_a_day_of_quarter_hours_between_nothing_and_the_capacity(
    capacity_w: int,
) -> None:
    found = envelope(capacity_w, MIDNIGHT, MIDNIGHT + DAY, TZ)
    assert len(found.ranges) == 96
    assert found.end_at == MIDNIGHT + DAY
    found.check()
    for r in found.ranges:
        assert r.duration_s * 1_000_000 == QUARTER_HOUR
        assert r.lower_w == 0
        assert int(0.75 * capacity_w) - 1 <= r.upper_w <= capacity_w


def test_at_night_the_base_load_alone_is_taken() -> None:
    found = envelope(100_000, MIDNIGHT, MIDNIGHT + DAY, TZ)
    assert found.ranges[0] == found.ranges[95] == Range(900, 0, 88_000)
    assert found.ranges[50].upper_w > 88_000  # noon: the roof gives more


def test_a_flat_pre_is_the_capacity_alone() -> None:
    found = flat_envelope(20_000, MIDNIGHT, MIDNIGHT + DAY)
    assert found.ranges == (Range(86_400, 0, 20_000),)
