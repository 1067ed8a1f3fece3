"""Which events a loop wakes on."""

import pytest

from domain.loop.slot import Ev, Slot
from domain.loop.waking import is_news
from domain.loop.zone_state import ZoneState
from domain.model.session_events import TransferPaused, TransferResumed
from tests.store.fakes import MONDAY

EVSE = "US*CAL*E1"


@pytest.mark.parametrize("suspended_at", [0, MONDAY])
def test_an_ev_goes_on_is_news_only_where_the_ev_itself_had_paused(
    suspended_at: int,
) -> None:
    ev = Ev("s", MONDAY, 1, suspended_at=suspended_at)
    state = ZoneState("z")
    state.slots[EVSE] = Slot(EVSE, "s1", 6_656, 1_248, ev=ev)
    state.evse_of_session["s"] = EVSE
    assert is_news(state, TransferResumed(session_id="s")) == bool(suspended_at)


def test_a_pause_is_news_where_it_is_not_of_our_own_making() -> None:
    by_ev, by_evse = (TransferPaused(session_id="s", by=by) for by in ("ev", "evse"))
    assert is_news(ZoneState("z"), by_ev)
    assert not is_news(ZoneState("z"), by_evse)
