"""What stations do that reboot, fall silent, refuse and forget: it is counted with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.loop.allocation import build
from domain.loop.course import Course
from domain.loop.delivery import flat
from domain.loop.dispatch import to_send
from domain.loop.etps import new_etps
from domain.loop.observer import Observer, Reading
from domain.loop.replay import check
from domain.loop.router import restore, state_of
from domain.loop.slot import Slot
from domain.loop.zone_state import ZoneState
from domain.model import ids
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.profile import (
    Etp,
    PowerProfile,
    PowerRangeEnvelope,
    Range,
    merged,
)
from domain.model.values import MINUTE, SECOND, Current, Event, Instant
from domain.ports import Append, Batch, Recorded
from optimizer import Planner
from tests.loop.world import FLOOR_W, MAX_W, START, ZONE, evse_id, world

STATION = "s0"
EVSE = evse_id(0)
SETTLE_S = 30


def at(second: float) -> Instant:
    return START + int(second * SECOND)


class Zone:
    """A zone's fold, with its rows made by hand."""

    def __init__(self, n_evse: int = 1, *, is_registered: bool = True) -> None:
        self.state = ZoneState(ZONE)
        self.now = START
        names = tuple(evse_id(i) for i in range(n_evse))
        self.tell(
            z.ZoneDefined(zone_id=ZONE, name=ZONE, limit_w=90_000, safe_upper_w=0),
            p.PreReceived(
                zone_id=ZONE,
                pre_id="pre",
                envelope=PowerRangeEnvelope(START, (Range(86_400, 0, 30_000),)),
            ),
            z.StationCommissioned(
                station_id=STATION,
                zone_id=ZONE,
                evse_ids=names,
                is_registered=is_registered,
            ),
            *(commissioned(name) for name in names),
            z.ZoneMembersChanged(zone_id=ZONE, evse_ids=names),
        )

    def tell(self, *events: Event) -> None:
        for event in events:
            self.state.apply(row_of(event, self.now, self.state.position + 1))

    def slot(self, i: int = 0) -> Slot:
        return self.state.slots[evse_id(i)]

    def plan(self, *changes: tuple[int, int], i: int = 0) -> None:
        """Give the EV at an EVSE its ETP."""
        slot = self.slot(i)
        assert slot.ev is not None
        profile = PowerProfile(self.now, merged(changes))
        slot.ev.etp = Etp(
            evse_id=slot.evse_id,
            session_id=slot.ev.session_id,
            number=1,
            profile=profile,
        )
        slot.ev.etp_course, slot.is_sent = Course(profile), None

    def send(self) -> list[p.EtpSent]:
        sends = to_send(self.state, self.now)
        self.tell(*sends)
        return sends

    def counted_w(self, i: int = 0) -> int:
        slot = self.slot(i)
        points = np.array([self.now])
        settle = self.state.settle_of(slot)
        return int(slot.delivery.counted_w(points, self.now, settle)[0])


def commissioned(name: str) -> z.EvseCommissioned:
    return z.EvseCommissioned(
        evse_id=name,
        station_id=STATION,
        zone_id=ZONE,
        current=Current.AC,
        phases=1,
        voltage_v=208,
        max_w=MAX_W,
        floor_w=FLOOR_W,
    )


def row_of(event: Event, at: Instant, position: int) -> Recorded:
    return Recorded(
        position=position,
        tenant="main",
        stream="",
        version=0,
        decision_version=0,
        type="",
        schema=1,
        occurred_at=at,
        recorded_at=at,
        command_id="",
        correlation_id="",
        causation=0,
        actor="",
        event=event,
    )


def plugged(zone: Zone, i: int = 0) -> None:
    name = evse_id(i)
    zone.tell(
        z.EvseOccupied(evse_id=name, session_id=f"ev{i}"),
        s.TransferStarted(session_id=f"ev{i}", evse_id=name, register_wh=0),
    )


def connected() -> t.StationConnected:
    return t.StationConnected(station_id=STATION, version="2.0.1", security_profile=1)


def disconnected() -> t.StationDisconnected:
    return t.StationDisconnected(station_id=STATION, reason="gone")


def booted() -> t.StationBooted:
    return t.StationBooted(station_id=STATION, status="Accepted")


def clock() -> t.StationClockMeasured:
    return t.StationClockMeasured(station_id=STATION, offset_ms=0)


def planned(at: Instant) -> p.PlanSuperseded:
    return p.PlanSuperseded(
        zone_id=ZONE, planned_at=at, seen_position=0, problem_digest=b"", reason="test"
    )


def installed(power_w: int) -> t.StationDefaultsInstalled:
    return t.StationDefaultsInstalled(station_id=STATION, default_w=power_w)


def able(**changes: Any) -> t.StationCapabilities:
    told: dict[str, Any] = {"max_periods": 24, **changes}
    return t.StationCapabilities(station_id=STATION, version="2.0.1", **told)


def ready(default_w: int = 0) -> Zone:
    """A station that connected, told what it can do, and has its default."""
    zone = Zone()
    zone.tell(connected(), able(), clock(), installed(default_w))
    plugged(zone)
    return zone


def accepted(zone: Zone, *changes: tuple[int, int]) -> p.EtpSent:
    """Let an ETP be sent and accepted; let it settle."""
    zone.plan(*changes)
    (sent,) = zone.send()
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=sent.number))
    zone.now += 2 * SETTLE_S * SECOND
    return sent


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


# Following


class Meter:
    """Readings of the first EVSE, and what they prove."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.observer = Observer(SETTLE_S * SECOND)

    def reads(self, power_w: int, wait_s: int = 10) -> list[Event]:
        zone, slot = self.zone, self.zone.slot()
        assert slot.ev is not None
        reading = Reading(EVSE, zone.now, power_w, slot.ev.register_wh)
        facts: list[Event] = [
            fact
            for fact in self.observer.take(slot, slot.ev, reading)
            if isinstance(fact, t.EtpNotFollowed | t.EtpFollowedAgain | t.SettleLearned)
        ]
        zone.tell(*facts)
        zone.now += wait_s * SECOND
        return facts


def decreased(zone: Zone) -> int:
    """Let an ETP of 5 kW be followed by one of 2 kW that was just accepted."""
    accepted(zone, (0, 5_000))
    zone.plan((0, 2_000))
    (sent,) = zone.send()
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=sent.number))
    zone.now += SECOND
    return sent.number


def test_who_draws_more_after_the_settle_time_counts_at_what_it_draws() -> None:
    zone = ready()
    number = decreased(zone)
    meter = Meter(zone)
    assert meter.reads(5_000) + meter.reads(5_000) + meter.reads(5_000) == []
    seen = meter.reads(5_000)
    assert seen == [t.EtpNotFollowed(evse_id=EVSE, number=number, power_w=5_000)]
    assert zone.counted_w() == 5_000
    allocation = build(zone.state, zone.now)
    assert allocation.fixed == (zone.slot(),)
    assert allocation.problem.pre_upper_w[0] == 30_000 - 5_000
    assert meter.reads(4_990) == []  # no news
    assert [type(fact) for fact in meter.reads(5_600)] == [t.EtpNotFollowed]
    assert zone.counted_w() == 5_600
    again = meter.reads(2_010)
    assert again[0] == t.EtpFollowedAgain(evse_id=EVSE, number=number)
    assert zone.counted_w() == 2_000


def test_a_mean_of_what_was_drawn_before_is_no_sign_of_now() -> None:
    zone = ready()
    decreased(zone)
    begun, zone.now = zone.now - SECOND, zone.now + 35 * SECOND
    slot, observer = zone.slot(), Observer(SETTLE_S * SECOND)
    assert slot.ev is not None
    for mean_since, is_seen in ((begun, False), (begun + 2 * SECOND, False)):
        mean = Reading(EVSE, zone.now, 4_500, 0, mean_since)
        facts = observer.take(slot, slot.ev, mean)
        assert any(isinstance(f, t.EtpNotFollowed) for f in facts) == is_seen
        zone.now += SECOND
    zone.now += MINUTE
    late = Reading(EVSE, zone.now, 4_500, 0, zone.now - 20 * SECOND)
    assert t.EtpNotFollowed in map(type, observer.take(slot, slot.ev, late))


def test_a_slow_evse_is_given_its_time_from_then_on() -> None:
    zone = ready()
    decreased(zone)
    meter = Meter(zone)
    for _ in range(7):
        meter.reads(5_000)
    (_, learned) = meter.reads(2_000)
    assert learned == t.SettleLearned(station_id=STATION, evse_id=EVSE, settle_s=71)
    zone.now += 5 * MINUTE
    decreased(zone)
    later = Meter(zone)
    assert [later.reads(5_000) for _ in range(7)] == [[]] * 7
    zone.now -= 5 * SECOND
    assert zone.counted_w() == 5_000
    zone.now += 10 * SECOND
    assert zone.counted_w() == 2_000


def test_who_never_follows_teaches_nothing() -> None:
    zone = ready()
    decreased(zone)
    meter = Meter(zone)
    for _ in range(20):
        meter.reads(5_000)
    assert [type(fact) for fact in meter.reads(2_000)] == [t.EtpFollowedAgain]


def test_once_a_day_it_is_said_again_of_who_does_not_follow() -> None:
    zone = ready()
    decreased(zone)
    meter = Meter(zone)
    zone.now += MINUTE
    assert len(meter.reads(5_000)) == 1
    zone.now += 23 * 60 * MINUTE
    assert meter.reads(5_000) == []
    zone.now += 60 * MINUTE
    assert len(meter.reads(5_000)) == 1


def test_where_the_pre_cannot_hold_who_does_not_follow_it_is_told_to_stop() -> None:
    zone = ready()
    decreased(zone)
    zone.now += MINUTE
    Meter(zone).reads(5_000)
    small = PowerRangeEnvelope(zone.now, (Range(86_400, 0, 4_000),))
    zone.tell(p.PreReceived(zone_id=ZONE, pre_id="b", envelope=small, mandatory=True))
    allocation = build(zone.state, zone.now)
    assert allocation.stopped == (zone.slot(),)
    none = np.zeros((0, allocation.boundaries.size - 1), np.int64)
    room = allocation.problem.pre_upper_w.astype(np.int64)
    (etp,) = new_etps(zone.state, allocation, none, room, zone.now)
    assert etp.profile.changes == ((0, 0),)
    zone.plan((0, 0))
    (sent,) = zone.send()
    assert sent.mandatory
    assert sent.profile.power_w(zone.now) == 0


# Others' limits


def limited(evse_id: str, *changes: tuple[int, int]) -> t.LimitReported:
    return t.LimitReported(
        station_id=STATION,
        evse_id=evse_id,
        source="EMS",
        profile=PowerProfile(START, changes),
    )


def planned_w(zone: Zone, at_s: int = 0) -> list[int]:
    """Return what each EV is planned for [W], with all the PRE it could take."""
    allocation = build(zone.state, zone.now)
    result = Planner().plan(allocation.problem)
    assert result.certificate.accepted
    step = int(np.searchsorted(allocation.boundaries, at(at_s), side="right")) - 1
    return [round(power_w) for power_w in result.power_w[:, step]]


def test_somebody_elses_limit_lowers_what_is_planned_until_it_is_over() -> None:
    zone = ready()
    zone.tell(limited(EVSE, (0, 3_000), (3_600, MAX_W)))
    most_w = build(zone.state, zone.now).problem.power_max_w[0]
    assert most_w[:5].tolist() == [3_000, 3_000, 3_000, 3_000, MAX_W]
    over = t.LimitReported(station_id=STATION, evse_id=EVSE, source="EMS", is_over=True)
    zone.tell(over)
    assert build(zone.state, zone.now).problem.power_max_w[0, 0] == MAX_W


def test_a_limit_of_the_station_is_one_of_the_sum_of_its_evses() -> None:
    zone = Zone(3)
    zone.tell(connected(), able(), clock(), installed(0))
    for i in range(3):
        plugged(zone, i)
    assert planned_w(zone) == [MAX_W] * 3
    zone.tell(limited("", (0, 9_000), (1_800, 99_000)))
    assert sum(planned_w(zone)) == 9_000
    assert planned_w(zone, 1_800) == [MAX_W] * 3
    zone.tell(limited(evse_id(0), (0, 1_500)))
    assert planned_w(zone)[0] <= 1_500
    assert 9_000 - FLOOR_W < sum(planned_w(zone)) <= 9_000
    over = t.LimitReported(station_id=STATION, evse_id="", source="EMS", is_over=True)
    zone.tell(over)
    assert planned_w(zone) == [1_500, MAX_W, MAX_W]


def test_of_a_limit_of_the_station_others_have_what_a_fixed_evse_leaves() -> None:
    zone = Zone(2)
    zone.tell(connected(), able(), clock(), installed(0))
    plugged(zone)
    plugged(zone, 1)
    zone.tell(limited("", (0, 5_000)))
    zone.plan((0, 3_000))
    (sent,) = zone.send()
    zone.tell(p.EtpTimedOut(evse_id=EVSE, number=sent.number))
    assert planned_w(zone) == [2_000]


# Pace


def test_what_nothing_urges_waits_and_a_decrease_does_not() -> None:
    zone = ready()
    accepted(zone, (0, 2_000))
    zone.plan((0, 3_000))
    assert len(zone.send()) == 1
    zone.now += 10 * SECOND
    zone.plan((0, 3_000), (3_600, 1_500))
    assert zone.send() == []  # it says the same for an hour
    zone.plan((0, 3_000), (20, 1_500))
    assert len(zone.send()) == 1
    zone.now += 10 * SECOND
    zone.plan((0, 1_500))
    assert len(zone.send()) == 1


def test_a_car_that_negotiates_is_asked_every_five_minutes_and_has_a_minute() -> None:
    zone = ready()
    needs = s.NeedsStated(
        session_id="ev0", departure_at=at(9_000), energy_target_wh=9_000, source="ev"
    )
    zone.tell(needs)
    sent = accepted(zone, (0, 2_000))
    zone.plan((0, 3_000))
    assert zone.send() == []
    zone.now = at(301)
    assert len(zone.send()) == 1
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=zone.slot().delivery.last_number))
    zone.plan((0, 1_500))
    (fall,) = zone.send()
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=fall.number))
    zone.now += 59 * SECOND
    assert zone.counted_w() == 3_000
    zone.now += 2 * SECOND
    assert zone.counted_w() == 1_500
    assert sent.number < fall.number


# The law: whatever is lost, forgotten or answered late


@dataclass
class Truth:
    """A station and an EV that follows it ``lag`` later.

    Between us and it messages are carried in order; what was on its way when the link
    broke may have got there or not.
    """

    zone: Zone
    lag: Instant
    keeps: bool
    default: Course = field(default_factory=lambda: flat(FLOOR_W))
    profile: Course | None = None
    history: list[tuple[Instant, Course]] = field(default_factory=list)
    waiting: list[p.EtpSent] = field(default_factory=list)
    unanswered: list[tuple[p.EtpSent, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.allow(self.default)

    def allow(self, course: Course) -> None:
        self.history.append((self.zone.now, course))

    def drawn_w(self) -> int:
        """Return what the EV draws now: what was allowed a lag ago."""
        then = self.zone.now - self.lag
        course = next((c for begin, c in reversed(self.history) if begin <= then), None)
        first = self.history[0][1]
        return (course or first).profile.power_w(max(then, self.history[0][0]))

    def store(self, sent: p.EtpSent, takes: bool) -> None:
        if takes:
            self.profile = Course(sent.profile)
            self.allow(self.profile)

    def begin_anew(self) -> None:
        self.profile = None
        self.allow(self.default)

    def install(self, power_w: int) -> None:
        self.default = flat(power_w)
        if self.profile is None:
            self.allow(self.default)


ACTS = (
    *("plan",) * 4,
    *("told",) * 4,
    *("arrive", "answer", "lose", "refuse", "read", "read"),
    *("disconnect", "connect", "connect", "boot", "anew", "default"),
)


@st.composite
def plots(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Acts with seconds to wait after them, a power and another one for later."""
    power = st.sampled_from([0, FLOOR_W, 2_000, 4_000, MAX_W])
    acts = st.tuples(
        st.sampled_from(ACTS), st.sampled_from([0, 0, 1, 3, 12, 40]), power, power
    )
    return draw(st.lists(acts, min_size=10, max_size=40))


class Play:
    """A plot, act by act; between two the law is looked at."""

    def __init__(self, lag_s: int, keeps: bool) -> None:
        self.zone = zone = Zone()
        clock = t.StationClockMeasured(station_id=STATION, offset_ms=0)
        periods = 24 if keeps else 1
        zone.tell(connected(), able(max_periods=periods), clock, installed(FLOOR_W))
        zone.now += MINUTE
        plugged(zone)
        self.truth = Truth(zone, lag_s * SECOND, keeps)
        self.observer = Observer(SETTLE_S * SECOND)
        self.is_connected = True

    def run(self, plot: list[tuple[str, int, int, int]]) -> Iterator[tuple[int, int]]:
        """Play; yield what is drawn and what counts."""
        for act, wait_s, power_w, later_w in plot:
            getattr(self, act.replace(" ", "_"))(power_w, later_w)
            for _ in range(wait_s + 1):
                self.step_on()
                yield self.truth.drawn_w(), self.zone.counted_w()
                self.zone.now += SECOND

    def step_on(self) -> None:
        """Let the loop do what it does each second."""
        if self.is_connected:
            self.time_out()
            self.truth.waiting += self.zone.send()

    def plan(self, power_w: int, later_w: int) -> None:
        self.zone.plan((0, power_w), (20, later_w))
        self.step_on()

    def told(self, power_w: int, later_w: int) -> None:
        """Let all that is on its way arrive and be answered."""
        while self.is_connected and (self.truth.waiting or self.truth.unanswered):
            self.arrive(power_w, later_w)
            self.answer(power_w, later_w)

    def arrive(self, power_w: int, later_w: int, takes: bool = True) -> None:
        if self.truth.waiting and self.is_connected:
            sent = self.truth.waiting.pop(0)
            self.truth.store(sent, takes)
            self.truth.unanswered.append((sent, takes))

    def refuse(self, power_w: int, later_w: int) -> None:
        self.arrive(power_w, later_w, takes=False)

    def answer(self, power_w: int, later_w: int) -> None:
        if not self.truth.unanswered or not self.is_connected:
            return
        sent, takes = self.truth.unanswered.pop(0)
        answered: Event = p.EtpAccepted(evse_id=EVSE, number=sent.number)
        if not takes:
            answered = p.EtpRefused(evse_id=EVSE, number=sent.number, reason="no")
        self.zone.tell(answered)

    def lose(self, power_w: int, later_w: int) -> None:
        if self.truth.unanswered:
            self.truth.unanswered.pop(0)
        elif self.truth.waiting:
            self.truth.store(self.truth.waiting.pop(0), power_w > later_w)

    def time_out(self) -> None:
        delivery = self.zone.slot().delivery
        for sent in list(delivery.sent):
            if sent.timed_out or self.zone.now < sent.due_at:
                continue
            self.zone.tell(p.EtpTimedOut(evse_id=EVSE, number=sent.number))
            if sent.number == delivery.last_number:
                again = p.EtpSent(
                    evse_id=EVSE,
                    number=sent.number,
                    profile=sent.course.profile,
                    attempt=sent.attempt + 1,
                )
                self.zone.tell(again)
                self.truth.waiting.append(again)

    def read(self, power_w: int, later_w: int) -> None:
        slot = self.zone.slot()
        if slot.ev is None or not self.is_connected:
            return
        register_wh = slot.ev.register_wh + int(self.zone.now - START) // HOUR_WH
        reading = Reading(EVSE, self.zone.now, self.truth.drawn_w(), register_wh)
        self.zone.tell(*self.observer.take(slot, slot.ev, reading))

    def disconnect(self, power_w: int, later_w: int) -> None:
        if not self.is_connected:
            return
        self.is_connected = False
        for sent in self.truth.waiting[:1]:
            self.truth.store(sent, power_w > later_w)
        self.truth.waiting, self.truth.unanswered = [], []
        self.zone.tell(disconnected())
        if not self.truth.keeps and self.truth.profile is not None:
            now_w = self.truth.profile.profile.power_w(self.zone.now)
            self.truth.profile = flat(now_w)
            self.truth.allow(self.truth.profile)

    def connect(self, power_w: int, later_w: int) -> None:
        if not self.is_connected:
            self.is_connected = True
            self.zone.tell(connected())

    def boot(self, power_w: int, later_w: int) -> None:
        self.disconnect(power_w, later_w)
        if power_w >= later_w:
            self.truth.begin_anew()
        self.connect(power_w, later_w)
        self.zone.tell(booted())

    def anew(self, power_w: int, later_w: int) -> None:
        if not self.is_connected:
            self.truth.begin_anew()

    def default(self, power_w: int, later_w: int) -> None:
        if self.is_connected:
            self.truth.install(power_w)
            self.zone.tell(installed(power_w))


HOUR_WH = 3_600 * SECOND


@settings(max_examples=250, deadline=None, derandomize=True)
@given(plot=plots(), lag_s=st.integers(0, SETTLE_S), keeps=st.booleans())
def test_an_ev_that_follows_never_draws_more_than_counts(
    plot: list[tuple[str, int, int, int]], lag_s: int, keeps: bool
) -> None:
    for drawn_w, counted_w in Play(lag_s, keeps).run(plot):
        assert drawn_w <= counted_w


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
