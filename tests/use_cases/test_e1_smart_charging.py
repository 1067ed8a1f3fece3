"""E1 What stations and EV users report: plugs, unplugs, needs, pauses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from domain.errors import InvalidValue, Refused, RequestMismatch, Unknown
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.values import HOUR, MINUTE, Quality
from domain.ports import Answer
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from domain.use_cases.clause_7_10_safety import SuspendEvse, suspend_evse
from domain.use_cases.e1_smart_charging import (
    ENERGY_LIMIT_WH,
    LONGEST_STAY,
    PlugEv,
    SignalPause,
    StateNeeds,
    UnplugEv,
    plug_ev,
    signal_pause,
    state_needs,
    unplug_ev,
)
from domain.use_cases.shared_path import load_evse
from tests.use_cases.small_site import ANNA, E1, E2, NINE, Site, by, opened

NEEDS = StateNeeds(
    session_id="",
    departure_at=NINE + 4 * HOUR,
    energy_target_wh=20_000,
    energy_min_wh=5_000,
    energy_max_wh=30_000,
)


def state(site: Site, session_id: str, needs: StateNeeds = NEEDS) -> None:
    command = msgspec.structs.replace(needs, session_id=session_id)
    state_needs(site.system, command, by())


def unplugged(site: Site, energy_wh: int, at: int = NINE + HOUR) -> s.TransferEnded:
    command = UnplugEv(evse_id=E1, energy_wh=energy_wh)
    answer = unplug_ev(site.system, command, by(at))
    (event,) = [
        row.event
        for row in site.rows(after=answer.first - 1)
        if isinstance(row.event, s.TransferEnded)
    ]
    return event


# Plugging


def test_a_plug_opens_a_session_with_the_zones_default_needs(site: Site) -> None:
    command = PlugEv(evse_id=E1, register_wh=1_234)
    answer = plug_ev(site.system, command, by(actor="s1"))
    session_id = site.session_of(answer)
    assert site.events(session_id) == [
        s.SessionOpened(session_id=session_id, party="s1"),
        s.EvseBound(
            session_id=session_id, evse_id=E1, station_id="s1", zone_id="garage"
        ),
        s.NeedsStated(
            session_id=session_id,
            departure_at=NINE + 2 * HOUR,
            energy_target_wh=5_000,
            source="default",
        ),
        s.TransferStarted(session_id=session_id, evse_id=E1, register_wh=1_234),
    ]
    occupied = z.EvseOccupied(evse_id=E1, session_id=session_id)
    assert site.log.read_stream(f"evse-{E1}")[-1].event == occupied
    assert answer.count == 5


def test_the_start_of_transfer_is_a_fact_and_the_rest_decisions(site: Site) -> None:
    rows = site.log.read_stream(f"session-{site.plug(E1)}")
    assert [row.is_decision for row in rows] == [True, True, True, False]


def test_needs_stated_before_are_stated_again_at_the_plug(site: Site) -> None:
    session_id = site.reserve(evse_id=E1)
    state(site, session_id)
    site.plug(E1)
    stated = [e for e in site.events(session_id) if isinstance(e, s.NeedsStated)]
    assert stated[0] == stated[1]
    types = site.types(session_id)
    assert types.index("session.evse_bound") < len(types) - 1
    assert types[-2:] == ["needs.stated", "transfer.started"]


def test_default_needs_begin_anew_with_each_plug(site: Site) -> None:
    session_id = site.plug(E1, subject_id=ANNA)
    site.unplug(E1, NINE + HOUR)
    site.plug(E1, NINE + HOUR + MINUTE, subject_id=ANNA)
    needs = site.session(session_id).needs
    assert needs is not None
    assert needs.departure_at == NINE + 3 * HOUR + MINUTE


def test_a_plug_where_an_ev_is_is_kept_and_changes_nothing(site: Site) -> None:
    session_id = site.plug(E1)
    guards, before = site.guards(), site.session(session_id)
    assert site.plug(E1, NINE + MINUTE) == session_id
    kept = site.events(session_id)[-1]
    assert isinstance(kept, s.FactKept)
    assert (kept.what, kept.quality) == ("plugged", Quality.CONTRADICTS)
    assert site.guards() == guards
    assert site.session(session_id) == before


def test_an_evse_has_one_occupant_whoever_plugs_at_once(tmp_path: Path) -> None:
    with opened(tmp_path, threaded=True) as system:
        site = Site(system)
        for _ in range(10):
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda _: site.plug(E1), range(4)))
            occupant = site.log.owner("occupant", E1)
            assert occupant
            assert site.types(occupant).count("fact.kept") == 3
            site.unplug(E1)
            site.close(occupant, NINE + HOUR)
        opened_sessions = site.log.read(
            after=0, limit=1000, types=["session.opened", "evse.occupied"]
        )
        assert len(opened_sessions) == 20


def test_a_register_below_zero_is_kept_as_implausible(site: Site) -> None:
    plug_ev(site.system, PlugEv(evse_id=E1, register_wh=-1), by())
    started = site.events(site.log.owner("occupant", E1) or "")[-1]
    assert isinstance(started, s.TransferStarted)
    assert (started.register_wh, started.quality) == (-1, Quality.IMPLAUSIBLE)


@pytest.mark.parametrize(
    ("evse_id", "error", "says"),
    [
        ("E1", InvalidValue, "EVSE id 'E1' is not country"),
        ("US*CAL*E1\n", InvalidValue, "EVSE id"),
        ("US*CAL*E9", Unknown, r"EVSE US\*CAL\*E9 was never commissioned"),
    ],
)
def test_a_plug_at_no_evse_is_refused(
    site: Site, evse_id: str, error: type[Refused], says: str
) -> None:
    before = site.log.last_position()
    with pytest.raises(error, match=says):
        site.plug(evse_id)
    with pytest.raises(error, match=says):
        site.present(evse_id)
    assert site.log.last_position() == before
    assert site.guards() == {}


@pytest.mark.parametrize(
    "act",
    [
        lambda site: plug_ev(site.system, PlugEv(evse_id=E2, register_wh=10**19), by()),
        lambda site: unplug_ev(
            site.system, UnplugEv(evse_id=E1, energy_wh=-(10**19)), by()
        ),
        lambda site: site.plug(E2, subject_id="an na"),
    ],
    ids=["register", "energy", "subject"],
)
def test_what_no_row_can_hold_is_refused(
    site: Site, act: Callable[[Site], object]
) -> None:
    site.plug(E1)
    before = site.log.last_position()
    with pytest.raises(
        InvalidValue, match=rf"±{ENERGY_LIMIT_WH} Wh|subject id 'an na'"
    ):
        act(site)
    assert site.log.last_position() == before


# Unplugging


def test_an_unplug_ends_the_transfer_and_frees_the_evse(site: Site) -> None:
    session_id = site.plug(E1)
    ended = unplugged(site, 6_000)
    assert (ended.energy_wh, ended.quality) == (6_000, Quality.GOOD)
    assert site.types(session_id)[-2:] == ["transfer.ended", "session.evse_released"]
    vacated = z.EvseVacated(evse_id=E1, session_id=session_id)
    assert site.log.read_stream(f"evse-{E1}")[-1].event == vacated
    assert site.log.owner("occupant", E1) is None
    assert site.session(session_id).energy_wh == 6_000


@pytest.mark.parametrize(
    ("energy_wh", "quality"),
    [
        (-1_000, Quality.IMPLAUSIBLE),
        (-100, Quality.GOOD),
        (6_656, Quality.GOOD),
        (6_656 + 500, Quality.IMPLAUSIBLE),
        (400_000, Quality.IMPLAUSIBLE),
    ],
)
def test_an_energy_the_evse_cannot_have_given_is_implausible(
    site: Site, energy_wh: int, quality: Quality
) -> None:
    """Given one hour at an EVSE of 6,656 W without V2G."""
    session_id = site.plug(E1)
    assert unplugged(site, energy_wh).quality == quality
    counted = energy_wh if quality == Quality.GOOD else 0
    assert site.session(session_id).energy_wh == counted
    assert site.log.owner("occupant", E1) is None


def test_a_merge_does_not_shorten_the_time_at_the_evse(site: Site) -> None:
    gone, kept = site.plug(E1), site.add(s.ParkingStarted(session_id=""))
    site.merge(gone, kept, NINE + HOUR - MINUTE)
    assert unplugged(site, 6_000).quality == Quality.GOOD


def test_an_unplug_of_a_free_evse_is_kept_with_its_last_session(site: Site) -> None:
    session_id = site.plug(E1)
    site.unplug(E1)
    evse, timers = site.log.read_stream(f"evse-{E1}"), site.timers()
    site.unplug(E1, NINE + HOUR + MINUTE)
    kept = site.events(session_id)[-1]
    assert isinstance(kept, s.FactKept)
    assert (kept.what, kept.rule) == ("unplugged", "no EV was plugged")
    assert site.log.read_stream(f"evse-{E1}") == evse
    assert site.timers() == timers


def test_a_late_unplug_of_the_ev_before_frees_nothing(site: Site) -> None:
    """Given an unplug from before the plug of the EV that is there now."""
    session_id = site.plug(E1, NINE)
    site.unplug(E1, NINE - MINUTE)
    kept = site.events(session_id)[-1]
    assert isinstance(kept, s.FactKept)
    assert kept.quality == Quality.CONTRADICTS
    assert site.session(session_id).evse_id == E1


def kept_at(site: Site, evse_id: str) -> list[tuple[str, int, str]]:
    """Return the facts that an EVSE has and no session."""
    events = [row.event for row in site.log.read_stream(f"evse-{evse_id}")]
    return [
        (each.what, each.value, each.rule)
        for each in events
        if isinstance(each, z.EvseFactKept)
    ]


def test_an_unplug_where_nothing_was_ever_plugged_is_kept(site: Site) -> None:
    assert site.unplug(E1).count == 1
    assert kept_at(site, E1) == [("unplugged", 0, "no EV was plugged")]
    assert site.guards() == {}


def test_an_ev_at_a_blocked_evse_is_kept_and_is_not_the_user_before(
    site: Site,
) -> None:
    """Given a plug that the station lets happen at an EVSE that nobody may use."""
    before = site.plug(E2)
    site.unplug(E2)
    site.close(before)
    known = site.types(before)
    suspend_evse(site.system, SuspendEvse(evse_id=E2, reason="rain"), by())
    evse = load_evse(site.system, E2)
    plug = PlugEv(evse_id=E2, register_wh=2)
    answer = plug_ev(site.system, plug, by(NINE + HOUR))
    signal_pause(site.system, SignalPause(evse_id=E2, paused=True), by())
    unplug_ev(site.system, UnplugEv(evse_id=E2, energy_wh=3_000), by(NINE + 2 * HOUR))
    assert answer.count == 1
    rule = "nobody may use a blocked EVSE; it was blocked: rain"
    assert kept_at(site, E2) == [
        ("plugged", 1, rule),
        ("paused", 1, "no EV was plugged"),
        ("unplugged", 3_000, "no EV was plugged"),
    ]
    assert site.types(before) == known
    after = load_evse(site.system, E2)
    assert after.decision_version == evse.decision_version
    assert (after.session_id, site.guards()) == ("", {})


def test_an_ev_leaves_a_blocked_evse(site: Site) -> None:
    session_id = site.plug(E1)
    suspend_evse(site.system, SuspendEvse(evse_id=E1, reason="fire"), by())
    site.unplug(E1)
    site.run_timers(NINE + HOUR + CLOSE_AFTER)
    assert site.session(session_id).closed


# Needs


def test_needs_are_recorded_as_stated(site: Site) -> None:
    session_id = site.plug(E1)
    state(site, session_id)
    assert site.events(session_id)[-1] == s.NeedsStated(
        session_id=session_id,
        departure_at=NINE + 4 * HOUR,
        energy_target_wh=20_000,
        energy_min_wh=5_000,
        energy_max_wh=30_000,
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"departure_at": NINE}, "departure 2019-10-21T09:00:00Z is not after now"),
        ({"departure_at": -1}, "departure 1969-12-31T23:59:59.999999Z is not after"),
        ({"departure_at": NINE + LONGEST_STAY + 1}, "is more than 31 days ahead"),
        ({"departure_at": 10**30}, "1000000000000000000000000000000 µs .* 31 days"),
        ({"energy_min_wh": 20_001}, "minimum 20001 Wh, target 20000 Wh"),
        ({"energy_min_wh": -1}, "minimum -1 Wh"),
        ({"energy_max_wh": 19_999}, "maximum 19999 Wh"),
        (
            {"energy_target_wh": 10**9, "energy_max_wh": None},
            "1000000000 Wh are beyond",
        ),
        ({"energy_target_wh": float("nan")}, "target nan Wh"),
    ],
)
def test_needs_that_cannot_be_are_refused(
    site: Site, change: dict[str, int], says: str
) -> None:
    session_id = site.plug(E1)
    before = site.log.last_position()
    with pytest.raises(InvalidValue, match=says):
        state(site, session_id, msgspec.structs.replace(NEEDS, **change))
    assert site.log.last_position() == before


def test_needs_of_an_ended_session_are_refused(site: Site) -> None:
    session_id = site.add(s.ParkingStarted(session_id=""))
    site.close(session_id)
    with pytest.raises(Refused, match=f"service session {session_id} is closed"):
        state(site, session_id)
    with pytest.raises(Unknown, match="service session 'x' was never opened"):
        state(site, "x")


# Pauses


def test_pause_and_resumption_are_facts_of_the_session(site: Site) -> None:
    session_id = site.plug(E1)
    for paused in (True, False):
        signal_pause(site.system, SignalPause(evse_id=E1, paused=paused), by())
    rows = site.log.read_stream(f"session-{session_id}")[-2:]
    assert [row.type for row in rows] == ["transfer.paused", "transfer.resumed"]
    assert not any(row.is_decision for row in rows)


def test_a_pause_without_an_ev_is_kept(site: Site) -> None:
    session_id = site.plug(E1)
    site.unplug(E1)
    for paused in (True, False):
        signal_pause(site.system, SignalPause(evse_id=E1, paused=paused), by())
    kept = site.events(session_id)[-2:]
    assert [getattr(fact, "what", "") for fact in kept] == ["paused", "resumed"]
    signal_pause(site.system, SignalPause(evse_id=E2, paused=True), by())
    assert kept_at(site, E2) == [("paused", 1, "no EV was plugged")]


# Again


def plug_2(site: Site, session_id: str, wh: int) -> Answer:
    return plug_ev(site.system, PlugEv(evse_id=E2, register_wh=wh), by(command_id="c"))


def unplug_1(site: Site, session_id: str, wh: int) -> Answer:
    command = UnplugEv(evse_id=E1, energy_wh=wh)
    return unplug_ev(site.system, command, by(NINE + HOUR, command_id="c"))


def pause_1(site: Site, session_id: str, wh: int) -> Answer:
    command = SignalPause(evse_id=E1, paused=not wh)
    return signal_pause(site.system, command, by(command_id="c"))


def needs_1(site: Site, session_id: str, wh: int) -> Answer:
    """A wish that is repeated when its departure is past."""
    command = msgspec.structs.replace(NEEDS, session_id=session_id, energy_min_wh=wh)
    at = NINE if site.log.owner("occupant", E1) else NINE + 9 * HOUR
    return state_needs(site.system, command, by(at, command_id="c"))


@pytest.mark.parametrize("act", [plug_2, unplug_1, pause_1, needs_1])
def test_a_repeat_gets_the_first_answer_whatever_happened_since(
    site: Site, act: Callable[[Site, str, int], Answer]
) -> None:
    """Given that the EV left and the session closed since."""
    session_id = site.plug(E1)
    first = act(site, session_id, 0)
    for evse_id in (E1, E2):
        if site.log.owner("occupant", evse_id):
            site.unplug(evse_id, NINE + 2 * HOUR)
    site.run_timers(NINE + 9 * HOUR)
    assert site.session(session_id).closed
    before = site.log.last_position()
    again = act(site, session_id, 0)
    assert again == Answer(first.first, first.count, repeated=True)
    with pytest.raises(RequestMismatch, match="'c' of 'cso'"):
        act(site, session_id, 9)
    assert site.log.last_position() == before
