"""6.2 Merging: what moves, what stays, and how many sessions become one at most."""

import pytest

from domain.errors import InvalidValue, Refused
from domain.model import site_events as z
from domain.model.values import DAY, HOUR, MINUTE
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from domain.use_cases.clause_6_2_merging import MOST_MERGED
from domain.use_cases.e1_smart_charging import StateNeeds, state_needs
from domain.use_cases.s6_sdr_information import increments_of
from projections.session_queries import MERGES_FOLLOWED
from tests.use_cases.small_site import (
    ACCEPTED,
    ANNA,
    BEN,
    E1,
    E2,
    NINE,
    PARKED,
    UNPARKED,
    WASH,
    WASHED,
    Site,
    by,
    ticket,
)


def test_merged_sessions_are_read_under_both_ids(site: Site) -> None:
    gone, kept = site.plug(E1), site.add(PARKED)
    site.merge(gone, kept)
    assert site.session(gone) == site.session(kept)
    assert site.session(gone).session_id == kept
    assert site.types(gone)[-1] == "session.merged_into"
    assert site.types(gone)[0] == "session.opened"


def test_evse_references_and_claims_move_with_a_merge(site: Site) -> None:
    gone = site.plug(E1, reference=ticket())
    site.present(E1, ANNA)
    kept = site.add(PARKED, reference=ticket("2"))
    site.merge(gone, kept)
    assert site.session(kept).evse_id == E1
    assert site.log.owner("occupant", E1) == kept
    assert site.log.owner("reference", ticket().key) == kept
    assert site.log.owner("reference", ticket("2").key) == kept
    assert site.guards()["subject-at"] == [f"s1/{ANNA}/{kept}"]
    site.unplug(E1)
    site.close(gone)
    assert set(site.guards()) == {"reference"}
    assert site.log.owner("reference", ticket().key) == kept


def test_the_evse_has_the_kept_session_as_occupant(site: Site) -> None:
    gone, kept = site.plug(E1), site.add(PARKED)
    answer = site.merge(gone, kept)
    evse = site.log.read_stream(f"evse-{E1}")
    assert evse[-1].event == z.EvseOccupied(evse_id=E1, session_id=kept)
    assert evse[-1].position >= answer.first
    site.unplug(E1)
    assert site.types(kept)[-2:] == ["transfer.ended", "session.evse_released"]
    assert site.log.owner("occupant", E1) is None


def test_a_merge_between_two_plugged_sessions_is_refused(site: Site) -> None:
    first, second = site.plug(E1), site.plug(E2)
    before = site.log.last_position()
    with pytest.raises(Refused, match=r"E1 and .* at .*E2 are both plugged"):
        site.merge(first, second)
    assert site.log.last_position() == before


def test_a_merge_of_two_reservations_is_refused(site: Site) -> None:
    first, second = site.reserve(evse_id=E1), site.reserve(evse_id=E2)
    with pytest.raises(Refused, match="both have a reservation"):
        site.merge(first, second)


def test_a_session_cannot_merge_into_itself(site: Site) -> None:
    session_id = site.plug(E1)
    with pytest.raises(InvalidValue, match="cannot merge into itself"):
        site.merge(session_id, session_id)


def test_merges_make_chains(site: Site) -> None:
    first, second, third = site.plug(E1), site.add(PARKED), site.add(WASH)
    site.merge(first, second)
    site.merge(second, third)
    state = site.session(first)
    assert (state.session_id, state.evse_id) == (third, E1)
    assert (state.parking, state.other) == (1, ("washing",))
    site.add(WASHED, first)
    site.add(UNPARKED, second)
    assert not site.session(third).has_open_transactions


def test_what_was_open_ends_in_the_session_that_stays(site: Site) -> None:
    """Given parking and a reservation open when a session was merged."""
    gone = site.reserve(evse_id=E2, minutes=30, reference=ticket())
    site.add(PARKED, gone)
    site.add(ACCEPTED, gone)
    kept = site.plug(E1)
    site.merge(gone, kept)
    assert site.session(kept).authorized
    site.unplug(E1, NINE + MINUTE)
    site.run_timers(NINE + 29 * MINUTE)
    assert site.session(kept).is_open
    site.run_timers(NINE + HOUR)
    assert site.session(kept).reservation is None
    assert site.session(kept).is_open
    assert site.add(UNPARKED, at=NINE + HOUR, reference=ticket()) == kept
    site.run_timers(NINE + HOUR + CLOSE_AFTER)
    assert site.session(kept).closed
    assert site.timers() == []
    assert set(site.guards()) == {"reference"}


@pytest.mark.parametrize("into", ["booked", "plugged"])
def test_needs_stated_by_the_user_outlive_a_merge_with_default_ones(
    site: Site, into: str
) -> None:
    booked, plugged = site.add(PARKED), site.plug(E1)
    needs = StateNeeds(
        session_id=booked, departure_at=NINE + HOUR, energy_target_wh=7_000
    )
    state_needs(site.system, needs, by())
    if into == "booked":
        site.merge(plugged, booked)
        types = site.types(booked)
        assert types[-2:] == ["session.evse_bound", "needs.stated"]
    else:
        site.merge(booked, plugged)
    state = site.session(booked)
    assert state.needs is not None
    assert (state.needs.energy_target_wh, state.needs.source) == (7_000, "user")
    assert state.needs.session_id == state.session_id


def test_an_authorization_waits_on_after_a_merge(site: Site) -> None:
    waiting, kept = site.present(E1), site.add(PARKED)
    site.merge(waiting, kept)
    assert site.plug(E1) == kept


def test_a_merge_takes_no_waiting_place_of_another(site: Site) -> None:
    anna, ben = site.present(E1, ANNA), site.present(E1, BEN)
    kept = site.add(PARKED)
    site.merge(anna, kept)
    assert site.plug(E1) == ben


# Merging has an end: readers follow all that one session is made of.


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
