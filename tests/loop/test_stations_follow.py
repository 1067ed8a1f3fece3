"""Whether stations follow, what others limit them to, and how soon they are told."""

import numpy as np

from domain.loop.allocation import build
from domain.loop.etps import new_etps
from domain.loop.observer import Observer, Reading
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.profile import (
    PowerProfile,
    PowerRangeEnvelope,
    Range,
)
from domain.model.values import MINUTE, SECOND, Event
from optimizer import Planner
from tests.loop.world import FLOOR_W, MAX_W, START, ZONE, evse_id
from tests.loop.zone_by_hand import (
    EVSE,
    SETTLE_S,
    STATION,
    Zone,
    able,
    accepted,
    at,
    clock,
    connected,
    installed,
    plugged,
    ready,
)

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
