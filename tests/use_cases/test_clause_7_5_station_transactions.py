"""7.5 Transactions of stations: live state, books, repeats, gaps, strays, restarts."""

from typing import Any

import msgspec
import pytest

from domain.loop.waking import RELEVANT, URGENT
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.metering import MeterPoint
from domain.model.sdr import digest_of
from domain.model.values import DAY, HOUR, MINUTE, Quality
from domain.ports import Append, Batch
from domain.use_cases.clause_7_5_station_transactions import (
    NEWS_FOR,
    CableOut,
    CloseGap,
    cable_out,
    close_gap,
    missing_messages,
    open_transactions,
)
from domain.use_cases.e1_smart_charging import PlugEv, plug_ev
from domain.use_cases.s6_sdr_information import increments_of
from domain.use_cases.shared_path import By, load_session
from tests.use_cases.reported import (
    Station,
    end,
    energy,
    events,
    occupant,
    start,
    update,
)
from tests.use_cases.small_site import ANNA, BEN, E1, E2, E3, NINE, by


def test_a_start_plugs_and_an_end_with_the_cable_out_unplugs(station: Station) -> None:
    begun = start(station)
    assert begun.is_news
    assert occupant(station) == begun.session_id
    ended = end(station, NINE + HOUR, 1, 4_100)
    assert (ended.session_id, occupant(station)) == (begun.session_id, "")
    assert events(station, s.TransferSettled) == []
    assert energy(station, begun.session_id) == 4_000


@pytest.mark.requirement("7.5.1")
def test_an_ev_that_stays_after_the_end_goes_on_in_the_same_session(
    station: Station,
) -> None:
    """Given a station that reboots: it ends with a reason, and starts another one."""
    first = start(station)
    end(station, NINE + HOUR, 1, 2_000, is_unplugged=False, reason="PowerLoss")
    assert occupant(station) == first.session_id
    second = start(station, NINE + HOUR + MINUTE, 2_000, transaction_id="t2")
    assert second.session_id == first.session_id
    station.report(
        NINE + 2 * HOUR,
        kind="ended",
        transaction_id="t2",
        seq_no=1,
        wh=3_500,
        is_unplugged=True,
    )
    information = station.information(first.session_id)
    assert information.energy.to_ev_wh == 3_400
    assert load_session(station.system, first.session_id).energy_wh == 3_400
    kinds = [part.kind for part in information.parts]
    assert (kinds, len(information.places)) == (["transfer", "transfer"], 1)
    ev = [e for e in station.loop.woken if isinstance(e, z.EvseOccupied)]
    assert len(ev) == 1


def test_a_reboot_in_mid_transaction_that_goes_on_changes_nothing(
    station: Station,
) -> None:
    begun = start(station)
    again = msgspec.structs.replace(station.system, folds={})
    station.system = again
    update(station, NINE + 30 * MINUTE, 1, 1_000, state="charging")
    end(station, NINE + HOUR, 2, 2_100)
    assert energy(station, begun.session_id) == 2_000
    assert len(events(station, s.SessionOpened)) == 1


@pytest.mark.requirement("7.5.1")
def test_a_day_late_in_the_wrong_order_and_twice_is_booked_once(
    station: Station,
) -> None:
    station.clock.at = NINE + DAY
    for _ in range(2):
        end(station, NINE + HOUR, 9, 4_100, is_offline=True)
        update(station, NINE + 20 * MINUTE, 8, 1_100, is_offline=True)
        late = start(station, seq_no=7, is_offline=True, subject_id=ANNA)
    (settled,) = events(station, s.TransferSettled)
    information = station.information(settled.session_id)
    assert (information.opened_at, information.energy.to_ev_wh) == (NINE, 4_000)
    assert not late.is_new
    assert late.authorization is not None
    assert late.authorization.accepted
    assert information.parts[0].outcome == "accepted by back-office/c-aaaa"
    assert station.site.run_timers(station.clock.at) == 1
    assert (
        station.information(settled.session_id).closed_at == NINE + HOUR + 15 * MINUTE
    )


def test_what_is_late_wakes_no_loop_and_occupies_nothing(station: Station) -> None:
    """Given an EV that charges now, and another one's transaction of yesterday."""
    now = start(station, subject_id=ANNA)
    before = len(station.loop.woken)
    yesterday: dict[str, Any] = {"transaction_id": "t0", "is_offline": True}
    start(station, NINE - DAY, seq_no=0, subject_id=BEN, **yesterday)
    end(station, NINE - DAY + HOUR, 1, 900, **yesterday)
    assert occupant(station) == now.session_id
    woken = station.loop.woken[before:]
    assert not [e for e in woken if isinstance(e, (*URGENT, *RELEVANT))]
    (settled,) = events(station, s.TransferSettled)
    assert settled.session_id != now.session_id
    assert energy(station, settled.session_id) == 800
    slot = station.loop.state.slots[E1]
    assert slot.ev is not None
    assert slot.ev.session_id == now.session_id


def test_what_is_older_than_news_is_late_though_nobody_says_so(
    station: Station,
) -> None:
    station.clock.at = NINE + NEWS_FOR + 1
    assert not start(station).is_news
    assert occupant(station) == ""


def test_an_ev_that_left_while_its_station_was_offline_frees_the_evse_now(
    station: Station,
) -> None:
    begun = start(station)
    station.clock.at = NINE + 3 * HOUR
    end(station, NINE + HOUR, 1, 2_100, is_offline=True)
    assert occupant(station) == ""
    (place,) = station.information(begun.session_id).places
    assert place.released_at == NINE + HOUR
    assert energy(station, begun.session_id) == 2_000


def test_a_number_that_says_something_else_is_kept_and_does_not_count(
    station: Station,
) -> None:
    begun = start(station)
    end(station, NINE + HOUR, 1, 2_100)
    for _ in range(2):
        end(station, NINE + HOUR, 1, 9_100)
    told = events(station, t.StationTransactionReported)
    assert [e.quality for e in told[2:]] == [Quality.CONTRADICTS]
    assert energy(station, begun.session_id) == 2_000


def test_an_evse_that_is_not_the_stations_is_never_bound(station: Station) -> None:
    for evse_id in (E3, "DE*XXX*E9", ""):
        told = start(station, evse_id=evse_id, transaction_id=f"at {evse_id}")
        assert (told.session_id, told.is_news) == ("", False)
    kept = events(station, t.StationTransactionReported)
    assert {e.quality for e in kept} == {Quality.CONTRADICTS}
    assert events(station, s.SessionOpened) == []
    assert open_transactions(station.system, "s1") == []


def test_a_blocked_evse_is_not_occupied_and_its_transaction_is_booked(
    station: Station,
) -> None:
    block = z.EvseBlocked(evse_id=E1, reason="smoke", is_safety=True)
    blocked = Append(f"evse-{E1}", (block,), NINE)
    station.site.log.append(Batch(appends=(blocked,)))
    assert not start(station).is_news
    assert occupant(station) == ""
    assert events(station, z.EvseFactKept)[0].what == "plugged"
    ended = end(station, NINE + MINUTE, 1, 150)
    assert energy(station, ended.session_id) == 50


def test_a_refused_token_is_told_so_that_the_transaction_is_stopped(
    station: Station,
) -> None:
    told = start(station, subject_id=BEN)
    assert told.authorization is not None
    assert not told.authorization.accepted
    assert told.is_news  # the EV is there all the same
    again = start(station, subject_id=BEN)
    assert (again.is_new, again.authorization) == (False, told.authorization)
    assert len(events(station, s.AuthorizationRefused)) == 1


def test_a_token_that_was_accepted_before_is_not_asked_for_again(
    station: Station,
) -> None:
    session_id = station.site.present(E1)
    station.site.add(s.AuthorizationAccepted(session_id="", by="emsp"), session_id)
    told = start(station, subject_id=ANNA)
    assert told.session_id == session_id
    assert told.authorization is not None
    assert told.authorization.by == "emsp"
    assert len(events(station, s.AuthorizationRequested)) == 1


def test_who_was_authorized_before_an_evse_was_chosen_is_joined(
    station: Station,
) -> None:
    asked = s.AuthorizationRequested(
        session_id="", evse_id="", subject_id=ANNA, station_id="s1"
    )
    session_id = station.site.add(asked)
    assert start(station, subject_id=ANNA).session_id == session_id


def test_another_ev_where_one_was_thought_to_be_takes_its_place(
    station: Station,
) -> None:
    """Given an end that never came, and another user's start."""
    first = start(station, subject_id=ANNA)
    second = start(station, NINE + HOUR, 3_000, transaction_id="t2", subject_id=BEN)
    assert second.session_id != first.session_id
    assert occupant(station) == second.session_id
    assert energy(station, first.session_id) == 2_900
    station.clock.at = NINE + 2 * HOUR
    end(station, NINE + 50 * MINUTE, 1, 2_800, is_offline=True)
    assert energy(station, first.session_id) == 2_700
    assert occupant(station) == second.session_id


def test_a_transaction_that_gave_way_to_another_does_not_come_back(
    station: Station,
) -> None:
    first = start(station)
    second = start(station, NINE + HOUR, 3_000, transaction_id="t2")
    told = update(station, NINE + HOUR + MINUTE, 1, 3_010, state="charging")
    assert not told.is_news
    before = start(station, NINE + 58 * MINUTE, 2_900, transaction_id="t3")
    assert not before.is_news
    last = open_transactions(station.system, "s1")
    assert [each.transaction_id for each in last] == ["t1", "t2", "t3"]
    assert station.site.log.owner("live-transaction", E1) == (
        station.site.log.read(after=second.number - 1, limit=1)[0].stream
    )
    assert second.session_id == first.session_id


def test_what_was_metered_as_news_counts_with_what_came_late(
    station: Station,
) -> None:
    """Given readings that only the loop had, and a message of an offline spell."""
    begun = start(station, state="charging")
    station.read(MeterPoint(NINE + 16 * MINUTE, 900))
    update(station, NINE + 31 * MINUTE, 2, 1_800, seen=((1, 1),), is_offline=True)
    station.read(MeterPoint(NINE + 40 * MINUTE, 2_300))
    end(station, NINE + HOUR, 4, 3_100, seen=((3, 3),))
    intervals = station.information(begun.session_id).energy.intervals
    assert [(i.until_at - NINE) // MINUTE for i in intervals] == [16, 31]
    assert [i.to_ev_wh for i in intervals] == [800, 900]


def test_a_repeat_is_one_though_the_clock_is_known_better_by_then(
    station: Station,
) -> None:
    start(station)
    told = start(station, NINE + MINUTE)
    assert (told.is_new, told.is_news) == (False, False)
    end(station, NINE + HOUR, 1, 2_100)
    assert not end(station, NINE + HOUR + MINUTE, 1, 2_100).is_new


def test_an_id_that_is_used_again_after_its_end_is_another_transaction(
    station: Station,
) -> None:
    """Given a station that counts its transactions anew after a reset."""
    for i in range(3):
        at, wh = NINE + i * 2 * HOUR, 100 + i * 5_000
        begun = start(station, at, wh)
        assert begun.is_news
        assert update(station, at + MINUTE, 1, wh + 50, state="charging").is_news
        end(station, at + HOUR, 2, wh + 2_000)
        assert energy(station, begun.session_id) == 2_000
    assert not end(station, NINE + HOUR, 2, 2_100).is_new
    assert not start(station, NINE + 2 * HOUR, 5_100).is_new
    assert len(station.sessions()) == 3


def test_news_that_its_successor_overtook_is_late(station: Station) -> None:
    start(station)
    update(station, NINE + MINUTE, 5, 200, seen=((1, 3),))
    assert not update(station, NINE + MINUTE, 4, 150, state="charging").is_news


@pytest.mark.requirement("7.5.2")
def test_what_was_told_late_is_stored_and_collected_when_its_session_closes(
    station: Station,
) -> None:
    station.clock.at = NINE + DAY
    start(station, is_offline=True)
    told = end(station, NINE + HOUR, 1, 4_100, is_offline=True)
    station.site.run_timers(station.clock.at)
    (collected,) = events(station, s.SdrCollected)
    increments = increments_of(station.system, told.session_id)
    kinds = [each.type for each in increments]
    assert kinds == ["session.opened", "transfer.settled", "session.closed"]
    assert (collected.increments, collected.digest) == (3, digest_of(increments))


def test_a_plug_known_by_a_status_is_bound_and_metered_from_the_start_on(
    station: Station,
) -> None:
    """Given 1.6: the status tells the plug, the transaction its register later."""
    command = PlugEv(evse_id=E1, register_wh=None)
    session_id = station.site.session_of(plug_ev(station.system, command, by(NINE)))
    told = start(station, NINE + MINUTE, 5_000_000)
    assert told.session_id == session_id
    update(station, NINE + 20 * MINUTE, 1, 5_001_000)
    end(station, NINE + HOUR, 2, 5_003_000)
    information = station.information(session_id)
    assert information.energy.to_ev_wh == 3_000
    (interval,) = information.energy.intervals
    assert (interval.from_at, interval.to_ev_wh) == (NINE + MINUTE, 1_000)
    assert events(station, s.FactKept) == []


def test_the_transfer_begins_with_the_first_register(station: Station) -> None:
    told = start(station, wh=None)
    assert not told.is_metered
    assert update(station, NINE + MINUTE, 1, 700).is_metered
    end(station, NINE + HOUR, 2, 1_700)
    assert energy(station, told.session_id) == 1_000
    (part,) = station.information(told.session_id).parts
    assert part.begun_at == NINE + MINUTE


def test_an_end_without_a_register_counts_by_the_last_reading(
    station: Station,
) -> None:
    begun = start(station)
    end(station, NINE + HOUR, 1, None, last_wh=2_600)
    assert energy(station, begun.session_id) == 2_500
    assert not end(station, NINE + HOUR, 1, None).is_new


def test_pauses_are_told_to_the_loop_and_those_of_the_evse_are_no_wish(
    station: Station,
) -> None:
    start(station, state="charging")
    update(station, NINE + MINUTE, 1, None, state="suspended-evse")
    ev = station.loop.state.slots[E1].ev
    assert ev is not None
    assert not ev.suspended_at
    update(station, NINE + 2 * MINUTE, 2, None, state="suspended-ev")
    assert ev.suspended_at
    update(station, NINE + 3 * MINUTE, 3, None, state="charging")
    assert not ev.suspended_at
    paused = events(station, s.TransferPaused, s.TransferResumed)
    assert [getattr(e, "by", "") for e in paused] == ["evse", "ev", ""]


@pytest.mark.requirement("7.5.1")
def test_a_gap_is_asked_for_then_given_up_and_said_in_the_sdr(
    station: Station,
) -> None:
    begun = start(station)
    end(station, NINE + HOUR, 4, 3_100)
    at = station.clock.at
    assert missing_messages(station.system, "s1", at) == {}
    missing = missing_messages(station.system, "s1", at + NEWS_FOR)
    assert missing == {"t1": ((1, 3),)}
    gap = CloseGap(station_id="s1", transaction_id="t1")
    for _ in range(2):
        close_gap(station.system, gap, By("s1", at + NEWS_FOR))
    (told,) = events(station, t.StationTransactionGap)
    assert (told.from_seq_no, told.until_seq_no) == (1, 3)
    information = station.information(begun.session_id)
    (incident,) = information.incidents
    assert incident.event.missing == ((1, 3),)  # type: ignore[attr-defined]
    assert information.energy.to_ev_wh == 3_000
    assert missing_messages(station.system, "s1", at + DAY) == {}


def test_what_comes_after_it_was_given_up_counts_all_the_same(
    station: Station,
) -> None:
    begun = start(station)
    end(station, NINE + HOUR, 2, 3_100)
    gap = CloseGap(station_id="s1", transaction_id="t1")
    close_gap(station.system, gap, By("s1", NINE + HOUR + NEWS_FOR))
    update(station, NINE + 20 * MINUTE, 1, 1_100, is_offline=True)
    information = station.information(begun.session_id)
    assert information.incidents == ()
    assert [i.to_ev_wh for i in information.energy.intervals] == [1_000]
    assert information.energy.to_ev_wh == 3_000


@pytest.mark.parametrize("is_offline", [False, True])
def test_a_register_that_was_reset_counts_by_its_plausible_parts(
    station: Station, is_offline: bool
) -> None:
    registers = (500_000, 501_000, 0, 700, 1_500)
    start(station, wh=registers[0], is_offline=is_offline)
    for i, wh in enumerate(registers[1:], start=1):
        at = NINE + i * 20 * MINUTE
        update(station, at, i, wh, is_offline=is_offline, state=f"{i}")
    ended = end(station, NINE + 2 * HOUR, 5, 2_000, is_offline=is_offline)
    information = station.information(ended.session_id)
    assert information.energy.to_ev_wh == 1_000 + 2_000
    settled = [e for e in information.incidents if e.type == "transfer.settled"]
    (told,) = [e.event for e in settled]
    assert [wh for _, wh in told.implausible] == [0]  # type: ignore[attr-defined]


def test_of_a_reset_between_readings_all_is_booked_but_what_nobody_saw(
    station: Station,
) -> None:
    """Given readings that only the loop had, before and after the one of the reset."""
    begun = start(station, wh=500_000)
    station.read(MeterPoint(NINE + 16 * MINUTE, 500_900))
    update(station, NINE + 20 * MINUTE, 3, 0, seen=((1, 2),), last_wh=501_200)
    station.read(MeterPoint(NINE + 40 * MINUTE, 1_100))
    end(station, NINE + HOUR, 5, 2_000, seen=((4, 4),))
    assert energy(station, begun.session_id) == 1_200 + 2_000


def test_the_cable_is_out_by_a_status_and_the_end_comes_later(
    station: Station,
) -> None:
    begun = start(station)
    update(station, NINE + 20 * MINUTE, 1, 1_000)
    cable_out(station.system, CableOut(evse_id=E1), By("s1", NINE + HOUR))
    station.clock.at = NINE + HOUR
    assert occupant(station) == ""
    assert energy(station, begun.session_id) == 900
    end(station, NINE + 59 * MINUTE, 2, 3_100, is_offline=True)
    assert energy(station, begun.session_id) == 3_000
    count = len(station.site.rows())
    cable_out(station.system, CableOut(evse_id=E1), By("s1", NINE + 2 * HOUR))
    assert len(station.site.rows()) == count


def test_open_transactions_are_found_after_a_restart(station: Station) -> None:
    begun = start(station)
    update(station, NINE + MINUTE, 5, 200, seen=((1, 4),))
    other = station.report(
        NINE, kind="started", evse_id=E2, content_key="c", wh=7, is_offline=True
    )
    restarted = msgspec.structs.replace(station.system, folds={})
    first, second = open_transactions(restarted, "s1")
    assert (first.transaction_id, first.evse_id) == ("t1", E1)
    assert (first.session_id, first.last_seq_no) == (begun.session_id, 5)
    assert (second.transaction_id, second.session_id) == (str(other.number), "")
    assert open_transactions(restarted, "s2") == []


def test_each_message_is_one_append(station: Station) -> None:
    """Killed between two appends, all of a message is there or nothing."""
    appends = []
    append = station.site.log.append

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(station.site.log, name)

        def append(self, batch: Any) -> Any:
            appends.append(batch)
            return append(batch)

    log: Any = Counting()
    station.system = msgspec.structs.replace(station.system, log=log)
    start(station, subject_id=ANNA)
    assert len(appends) == 1
    update(station, NINE + MINUTE, 1, 200, is_offline=True)
    end(station, NINE + HOUR, 2, 2_100)
    assert len(appends) == 3
