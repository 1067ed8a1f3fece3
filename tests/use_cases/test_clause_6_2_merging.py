"""6.2 Merging has an end: readers follow all that one session is made of."""

import pytest

from domain.errors import Refused
from domain.model import session_events as s
from domain.model.values import DAY
from domain.use_cases.clause_6_2_merging import MOST_MERGED
from domain.use_cases.s6_sdr_information import increments_of
from projections.session_queries import MERGES_FOLLOWED
from tests.use_cases.small_site import NINE, Site

WASH = s.OtherStarted(session_id="", service="washing")
WASHED = s.OtherEnded(session_id="", service="washing")


def washed(site: Site) -> str:
    session_id = site.add(WASH)
    return site.add(WASHED, session_id)


def chain(site: Site, length: int) -> str:
    """Return what so many sessions became, each merged into the next."""
    last = washed(site)
    for _ in range(length - 1):
        gone, last = last, washed(site)
        site.merge(gone, last)
    return last


def test_a_chain_ends_where_readers_still_follow_it(site: Site) -> None:
    assert MOST_MERGED < MERGES_FOLLOWED
    last = chain(site, MOST_MERGED)
    for gone, kept in ((last, washed(site)), (washed(site), last)):
        with pytest.raises(Refused, match="51 sessions in one, more than 50"):
            site.merge(gone, kept)


def test_both_sides_of_a_merge_count(site: Site) -> None:
    first, second = chain(site, 26), chain(site, 25)
    with pytest.raises(Refused, match="51 sessions in one, more than 50"):
        site.merge(first, second)
    site.merge(chain(site, 25), second)


def test_the_longest_chain_closes_with_all_that_was_in_it(site: Site) -> None:
    last = chain(site, MOST_MERGED)
    assert site.run_timers(NINE + DAY) == 1
    types = [each.type for each in increments_of(site.system, last)]
    assert types.count("other.started") == MOST_MERGED
    assert types[-1] == "session.closed"
