"""What stations do that reboot, fall silent, refuse and forget: it is counted with."""

from typing import Any

import numpy as np

from domain.loop.allocation import build
from domain.loop.replay import check
from domain.loop.router import restore, state_of
from domain.model import ids
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.profile import (
    PowerProfile,
)
from domain.model.values import MINUTE, SECOND, Event, Instant
from domain.ports import Append, Batch
from tests.loop.world import FLOOR_W, MAX_W, START, ZONE, world
from tests.loop.zone_by_hand import (
    EVSE,
    SETTLE_S,
    STATION,
    Zone,
    able,
    accepted,
    at,
    booted,
    clock,
    connected,
    disconnected,
    installed,
    planned,
    plugged,
    ready,
)

# Defaults


def test_until_its_default_is_known_an_evse_counts_at_its_maximum() -> None:
    zone = Zone()
    zone.tell(connected(), able())
    plugged(zone)
    assert zone.counted_w() == MAX_W
    zone.tell(installed(2_000))
    assert zone.counted_w() == MAX_W  # the EV has time to follow
    zone.now += (SETTLE_S + 1) * SECOND
    assert zone.counted_w() == 2_000


def test_nobody_counts_who_is_not_registered_and_has_no_etp() -> None:
    zone = Zone(is_registered=False)
    plugged(zone)
    assert zone.counted_w() == 0


def test_the_next_ev_begins_with_the_default() -> None:
    zone = ready(2_000)
    accepted(zone, (0, 5_000))
    assert zone.counted_w() == 5_000
    zone.tell(z.EvseVacated(evse_id=EVSE, session_id="ev0"))
    plugged(zone)
    assert zone.counted_w() == 2_000


def test_an_ev_on_a_default_is_told_its_etp_though_it_be_nothing() -> None:
    zone = ready(2_000)
    zone.plan((0, 0))
    assert [e.profile.power_w(zone.now) for e in zone.send()] == [0]


def test_who_has_no_smart_charging_counts_at_its_maximum_and_is_told_nothing() -> None:
    zone = ready()
    zone.tell(able(has_smart_charging=False))
    assert zone.counted_w() == MAX_W
    zone.plan((0, 2_000))
    assert zone.send() == []
    allocation = build(zone.state, zone.now)
    assert allocation.slots == ()
    assert allocation.problem.pre_upper_w[0] == 30_000 - MAX_W


def test_an_ev_whose_transfer_ended_is_planned_nothing_until_another_begins() -> None:
    zone = ready(2_000)
    accepted(zone, (0, 5_000))
    zone.tell(s.TransferEnded(session_id="ev0", energy_wh=10, reason="by app"))
    allocation = build(zone.state, zone.now)
    assert allocation.slots == ()
    # It may begin again with the default.
    assert allocation.problem.pre_upper_w[0] == 30_000 - 2_000
    assert zone.send() == []
    zone.tell(s.TransferStarted(session_id="ev0", evse_id=EVSE, register_wh=10))
    assert build(zone.state, zone.now).slots == (zone.slot(),)
    zone.plan((0, 5_000))
    assert len(zone.send()) == 1


def test_who_refuses_its_default_may_have_none() -> None:
    zone = ready(2_000)
    zone.tell(t.StationDefaultsRefused(station_id=STATION, reason="its flash is full"))
    assert zone.counted_w() == MAX_W
    accepted(zone, (0, 3_000))
    assert zone.counted_w() == 3_000


def test_a_silent_station_without_default_may_give_its_maximum() -> None:
    zone = Zone()
    assert build(zone.state, zone.now).problem.pre_upper_w[0] == 30_000  # never there
    zone.tell(connected(), able(has_smart_charging=False), disconnected())
    problem = build(zone.state, zone.now).problem
    assert problem.pre_upper_w[0] == 30_000 - MAX_W
    zone.tell(t.StationRetired(station_id=STATION, reason="scrapped"))
    assert build(zone.state, zone.now).problem.pre_upper_w[0] == 30_000


# Silence and reboots


def test_who_is_silent_counts_at_the_largest_of_schedule_unanswered_and_default() -> (
    None
):
    zone = ready(2_000)
    accepted(zone, (0, 5_000), (600, 1_500))
    zone.tell(disconnected())
    assert zone.counted_w() == 5_000
    zone.now += 700 * SECOND
    assert zone.counted_w() == 2_000  # by its schedule less, but it may begin anew
    zone.plan((0, 6_000))
    assert zone.send() == []  # nobody would hear it
    zone.tell(connected())
    assert [e.profile.power_w(zone.now) for e in zone.send()] == [6_000]
    assert zone.counted_w() == 6_000


def test_one_that_keeps_no_steps_stays_with_what_held_when_it_fell_silent() -> None:
    zone = ready()
    accepted(zone, (0, 5_000), (600, 1_500))
    zone.tell(able(max_periods=1), disconnected())
    zone.now += 700 * SECOND
    assert zone.counted_w() == 5_000


def test_what_was_told_before_the_clock_was_known_has_no_steps() -> None:
    zone = Zone()
    zone.tell(connected(), able(), installed(0))
    plugged(zone)
    accepted(zone, (0, 5_000), (600, 1_500))
    zone.tell(clock(), disconnected())
    zone.now += 700 * SECOND
    assert zone.counted_w() == 5_000


def test_who_booted_keeps_no_steps_until_its_clock_is_known_again() -> None:
    zone = ready()
    zone.tell(booted())
    accepted(zone, (0, 5_000), (600, 1_500))
    zone.tell(disconnected())
    zone.now += 700 * SECOND
    assert zone.counted_w() == 5_000


def test_an_unanswered_etp_of_before_a_boot_has_no_steps_either() -> None:
    zone = ready()
    zone.tell(able(max_periods=1))
    zone.plan((0, 5_000), (600, 1_500))
    zone.send()
    zone.tell(booted(), disconnected())
    zone.now += 700 * SECOND
    assert zone.counted_w() == 5_000


def test_at_a_silent_station_somebody_may_charge_where_nobody_was() -> None:
    zone = Zone(2)
    zone.tell(connected(), able(), installed(2_000))
    plugged(zone)
    zone.tell(disconnected())
    zone.now += MINUTE
    problem = build(zone.state, zone.now).problem
    assert problem.pre_upper_w[0] == 30_000 - 2_000 - 2_000


def test_who_came_while_its_station_was_silent_counts_until_that_has_told() -> None:
    zone = Zone()
    zone.tell(connected(), able(), installed(2_000))
    zone.now += 10 * MINUTE
    zone.tell(planned(zone.now))
    assert build(zone.state, zone.now).problem.pre_upper_w[0] == 30_000
    zone.tell(disconnected())
    zone.now += 10 * MINUTE
    zone.tell(connected())
    assert build(zone.state, zone.now).problem.pre_upper_w[0] == 30_000 - 2_000
    zone.now += 5 * MINUTE
    zone.tell(planned(zone.now))
    assert build(zone.state, zone.now).problem.pre_upper_w[0] == 30_000


def test_after_a_boot_the_default_counts_until_the_etp_is_accepted_again() -> None:
    zone = ready(2_000)
    accepted(zone, (0, 1_500))
    assert zone.counted_w() == 1_500
    zone.tell(booted())
    assert zone.counted_w() == 2_000
    (again,) = zone.send()  # at once, though it is the same
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=again.number))
    assert zone.counted_w() == 2_000
    zone.now += (SETTLE_S + 1) * SECOND
    assert zone.counted_w() == 1_500
    assert zone.send() == []


def test_an_etp_that_is_refused_after_a_boot_is_sent_again_later() -> None:
    zone = ready(2_000)
    accepted(zone, (0, 1_500))
    zone.tell(booted())
    (again,) = zone.send()
    zone.tell(p.EtpRefused(evse_id=EVSE, number=again.number, reason="busy"))
    assert zone.counted_w() == 2_000
    assert zone.send() == []
    zone.now += 301 * SECOND
    assert len(zone.send()) == 1


def test_what_was_unanswered_when_a_station_left_holds_nothing_up_once_it_is_back() -> (
    None
):
    zone = ready()
    zone.plan((0, 5_000))
    (sent,) = zone.send()
    zone.tell(disconnected())
    zone.now += MINUTE
    zone.tell(connected())
    assert zone.counted_w() == 5_000  # it may have been stored
    (again,) = zone.send()
    assert again.number > sent.number
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=again.number))
    assert build(zone.state, zone.now).slots == (zone.slot(),)


def test_who_refuses_the_newest_is_waited_for_no_longer() -> None:
    zone = ready()
    zone.plan((0, 5_000))
    (first,) = zone.send()
    zone.tell(p.EtpTimedOut(evse_id=EVSE, number=first.number))
    zone.plan((0, 4_000))
    (second,) = zone.send()
    zone.tell(p.EtpRefused(evse_id=EVSE, number=second.number, reason="busy"))
    assert zone.counted_w() == 5_000
    zone.now += 301 * SECOND
    assert len(zone.send()) == 1


def test_a_repeated_etp_that_is_refused_may_be_stored_all_the_same() -> None:
    zone = ready()
    accepted(zone, (0, 2_000))
    zone.plan((0, 5_000))
    (sent,) = zone.send()
    zone.tell(
        p.EtpTimedOut(evse_id=EVSE, number=sent.number),
        p.EtpSent(evse_id=EVSE, number=sent.number, profile=sent.profile, attempt=2),
        p.EtpRefused(evse_id=EVSE, number=sent.number, reason="had that"),
    )
    zone.now += 10 * MINUTE
    assert zone.counted_w() == 5_000


def test_an_etp_that_never_left_counts_for_nothing() -> None:
    zone = ready()
    accepted(zone, (0, 2_000))
    zone.plan((0, 5_000))
    (sent,) = zone.send()
    assert zone.counted_w() == 5_000
    zone.tell(t.EtpSuperseded(evse_id=EVSE, number=sent.number, by_number=1 << 30))
    assert zone.counted_w() == 2_000


def test_a_station_that_would_allow_more_counts_at_that_and_is_told_again() -> None:
    zone = ready()
    sent = accepted(zone, (0, 2_000))
    zone.tell(
        t.ScheduleCompared(
            evse_id=EVSE, number=sent.number, expected_w=2_000, allowed_w=4_000
        )
    )
    assert zone.counted_w() == 4_000
    (again,) = zone.send()
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=again.number))
    zone.now += (SETTLE_S + 1) * SECOND
    assert zone.counted_w() == 2_000


def test_what_readings_confirm_does_not_end_what_nobody_knows() -> None:
    zone = ready()
    accepted(zone, (0, 5_000))
    zone.plan((0, 2_000))
    (sent,) = zone.send()
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=sent.number))
    zone.slot().delivery.on_frozen(zone.now - SECOND)
    zone.tell(p.EtpConfirmed(evse_id=EVSE, number=sent.number))
    assert zone.counted_w() == 2_000
    zone.tell(
        t.ScheduleCompared(
            evse_id=EVSE, number=sent.number, expected_w=2_000, allowed_w=4_000
        ),
        p.EtpConfirmed(evse_id=EVSE, number=sent.number),
    )
    assert zone.counted_w() == 4_000


def test_a_station_that_comes_and_goes_all_night_costs_no_more_than_once() -> None:
    zone = ready()
    accepted(zone, (0, 5_000), (60, 3_000))
    delivery = zone.slot().delivery
    delivery.on_frozen(zone.now)
    counted = len(delivery.fading)
    for _ in range(100):
        zone.now += SECOND
        delivery.on_frozen(zone.now)
        delivery.on_found(5_000, zone.now)
    assert len(delivery.fading) <= counted + 2
    assert zone.counted_w() == 5_000


# The fold again, from its own streams


def test_a_restart_and_a_replay_know_of_stations_what_the_loop_knew() -> None:
    def append(stream: str, *events: Event) -> None:
        rows = (Append(stream, events, loop.clock.at),)
        loop.system.log.append(Batch(actor="gateway", appends=rows))

    def look() -> None:
        loop.simulation.timeline.catch_up()
        _, rows = restore(loop.system.log, ZONE, loop.clock.at)
        again, live = state_of(ZONE, rows), loop.loop.state
        problems = [build(state, loop.clock.at).problem for state in (again, live)]
        assert problems[0].digest() == problems[1].digest()
        slots = [state.slots[EVSE] for state in (again, live)]
        assert slots[0].delivery.counted_w(*seen()) == slots[1].delivery.counted_w(
            *seen()
        )
        counted.append(int(slots[0].delivery.counted_w(*seen())[0]))

    def seen() -> tuple[Any, Instant, Instant]:
        return np.array([loop.clock.at]), loop.clock.at, SETTLE_S * SECOND

    def tell(second: int, stream: str, *events: Event) -> None:
        loop.at(at(second), lambda: append(stream, *events))
        loop.at(at(second) + 1, look)

    counted: list[int] = []
    connectivity = ids.connectivity_stream(STATION, START)
    registered = t.StationRegistered(
        station_id=STATION, identity=STATION, security_profile=1
    )
    limit = t.LimitReported(
        station_id=STATION,
        evse_id=EVSE,
        source="EMS",
        profile=PowerProfile(START, ((0, 3_000),)),
    )
    with world(2, 40) as loop:
        loop.pre(0, (7_200, 9_000))
        loop.visit(0, 60, 7_000, 20_000)
        loop.visit(1, 70, 7_000, 20_000)
        tell(10, ids.station_stream(STATION), registered)
        tell(100, connectivity, connected())
        tell(200, ids.station_stream(STATION), able(), installed(2_000))
        tell(400, connectivity, limit)
        tell(700, connectivity, disconnected())
        tell(1_000, connectivity, connected(), booted())
        learned = t.SettleLearned(station_id=STATION, evse_id=EVSE, settle_s=70)
        tell(1_100, ids.station_stream(STATION), learned)
        not_followed = t.EtpNotFollowed(evse_id=EVSE, number=1, power_w=5_000)
        tell(1_205, ids.delivery_stream(STATION, START), not_followed)
        loop.run()
        assert check(loop.system.log).differing == ()
        assert loop.loop.metrics.plans > 5
    assert counted[1] == MAX_W  # its default was not known
    assert counted[-1] == 5_000
    assert len(counted) == 8


def test_who_is_told_amperes_is_planned_no_less_than_can_be_told() -> None:
    zone = Zone()
    zone.tell(able(unit="W"))
    assert zone.slot().least_w == FLOOR_W
    zone.tell(able(unit="A"))
    assert zone.slot().least_w == int(FLOOR_W * 1.1) + 1
    limits = z.EvseLimitsChanged(evse_id=EVSE, max_w=FLOOR_W, floor_w=FLOOR_W)
    zone.tell(limits)
    assert zone.slot().least_w == FLOOR_W
