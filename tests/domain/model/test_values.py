"""Instants: integers inside, aware datetimes at the edges."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.model.values import datetime_of, instant_of, iso_of


@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_and_datetimes_are_the_same(moment: datetime) -> None:
    assert datetime_of(instant_of(moment)) == moment


def test_an_instant_is_in_utc_wherever_it_was_read() -> None:
    local = datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert instant_of(local) == 0


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(InvalidValue, match="2019-10-29T00:00:00 has no time zone"):
        instant_of(datetime(2019, 10, 29))


def test_any_instant_has_a_text() -> None:
    """Messages name absurd instants too."""
    assert iso_of(0) == "1970-01-01T00:00:00Z"
    assert iso_of(10**30) == f"{10**30} µs since 1970"
    assert iso_of(-(10**18)) == f"{-(10**18)} µs since 1970"
