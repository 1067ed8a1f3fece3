"""The folds of EVSEs and zones."""

import pytest

from domain.errors import Refused
from domain.model import site_events as z
from domain.model.site import Evse, Zone, evolve_evse, evolve_zone
from domain.model.values import Current, Event

COMMISSIONED = z.EvseCommissioned(
    evse_id="E1",
    station_id="s1",
    zone_id="z",
    current=Current.AC,
    phases=3,
    voltage_v=230,
    max_w=22_000,
    floor_w=4_140,
)


def evse_after(*events: Event) -> Evse:
    state = Evse()
    for at, event in enumerate(events, 1):
        state = evolve_evse(state, event, at)
    return state


def test_an_evse_knows_its_occupant_and_when_it_came() -> None:
    came = z.EvseOccupied(evse_id="E1", session_id="a")
    merged = z.EvseOccupied(evse_id="E1", session_id="b")
    left = z.EvseVacated(evse_id="E1", session_id="b")
    state = evse_after(COMMISSIONED, came)
    assert (state.session_id, state.plugged_at) == ("a", 2)
    state = evse_after(COMMISSIONED, came, merged)
    assert (state.session_id, state.plugged_at) == ("b", 2)
    state = evse_after(COMMISSIONED, came, merged, left)
    assert (state.session_id, state.last_session_id) == ("", "b")
    state = evse_after(COMMISSIONED, came, merged, left, came)
    assert (state.session_id, state.plugged_at) == ("a", 5)


def test_limits_change_and_the_rest_stays() -> None:
    changed = z.EvseLimitsChanged(evse_id="E1", max_w=11_000, floor_w=0, min_w=-1)
    data = evse_after(COMMISSIONED, changed).check_usable("E1")
    assert (data.max_w, data.floor_w, data.min_w, data.phases) == (11_000, 0, -1, 3)


def test_a_blocked_or_unknown_evse_is_refused() -> None:
    blocked = z.EvseBlocked(evse_id="E1", reason="smoke")
    unblocked = z.EvseUnblocked(evse_id="E1", reason="assessed")
    with pytest.raises(Refused, match="EVSE E1 is blocked: smoke"):
        evse_after(COMMISSIONED, blocked).check_usable("E1")
    with pytest.raises(Refused, match="EVSE E1 was never commissioned"):
        evse_after().check_usable("E1")
    assert evse_after(COMMISSIONED, blocked, unblocked).check_usable("E1")


def test_one_blocked_for_two_reasons_is_free_when_neither_holds() -> None:
    issue = z.EvseBlocked(evse_id="E1", reason="smoke", is_safety=True)
    suspended = z.EvseBlocked(evse_id="E1", reason="rain")
    unsafe = z.EvseAssessed(evse_id="E1", is_safe=False, assessor="i")
    safe = z.EvseAssessed(evse_id="E1", is_safe=True, assessor="i")
    free = z.EvseUnblocked(evse_id="E1", reason="again")
    for events, blocked in (
        ((issue, suspended), "smoke"),
        ((suspended, issue, unsafe), "smoke"),
        ((suspended, issue, safe), "rain"),
        ((issue, safe), ""),
        ((suspended, issue, safe, free), ""),
        ((suspended, free), ""),
    ):
        assert evse_after(COMMISSIONED, *events).blocked == blocked


def test_a_zone_knows_limits_members_and_what_it_learned() -> None:
    state = Zone()
    for event in (
        z.ZoneDefined(zone_id="z", name="Z", limit_w=9, safe_upper_w=3),
        z.ZoneMembersChanged(zone_id="z", evse_ids=("E1", "E2")),
        z.ZoneLimitsChanged(zone_id="z", limit_w=8, safe_upper_w=2),
        z.ZoneLearned(zone_id="z", taken_per_stated_permille=550),
    ):
        state = evolve_zone(state, event, 1)
    assert state.defined is not None
    assert (state.defined.limit_w, state.defined.safe_upper_w) == (8, 2)
    assert state.evse_ids == ("E1", "E2")
    assert state.taken_per_stated_permille == 550
