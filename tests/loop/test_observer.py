"""What readings prove, and what they do not."""

from domain.loop.course import Course
from domain.loop.delivery import Delivery
from domain.loop.observer import Observer, Reading
from domain.loop.slot import Ev, Slot
from domain.model import session_events as s
from domain.model.plan_events import EtpConfirmed
from domain.model.profile import PowerProfile
from domain.model.station_events import EtpNotFollowed
from domain.model.values import SECOND, Event, Quality
from tests.loop.world import MAX_W, START, World, evse_id, world
from tests.store.fakes import MONDAY

REACTION = 30 * SECOND
EVSE = "US*CAL*E1"


def at(second: float) -> int:
    return MONDAY + int(second * SECOND)


class Bench:
    """One EV under one EVSE's delivery, and an observer of its meter."""

    def __init__(self, power_w: int = 4_000) -> None:
        self.ev = Ev("s", at(0), 1, energy_at=at(0), metered_at=at(0))
        self.ev.is_transferring = True
        self.slot = Slot(EVSE, "s1", MAX_W, 1_248, ev=self.ev, delivery=Delivery())
        self.observer = Observer(REACTION)
        self.number = 0
        self.wh = 0.0
        self.second = 0.0
        self.allow(power_w, 0)

    def allow(self, power_w: int, second: float) -> None:
        """Send an ETP that is accepted at once."""
        self.number += 1
        profile = PowerProfile(at(second), ((0, power_w),))
        self.slot.delivery.on_sent(self.number, profile, at(second), 1)
        self.slot.delivery.on_accepted(self.number, at(second), REACTION)

    def read(
        self,
        power_w: int,
        second: float,
        wh: int | None = None,
        *,
        is_held: bool = False,
    ) -> list[Event]:
        """Read power and a register that fits it."""
        self.wh += power_w * (second - self.second) / 3600
        self.second = second
        register = int(self.wh) if wh is None else wh
        reading = Reading(EVSE, at(second), power_w, register, is_held=is_held)
        facts = self.observer.take(self.slot, self.ev, reading)
        for fact in facts:
            if isinstance(fact, s.TransferObserved):
                self.ev.energy_wh, self.ev.energy_at = fact.energy_wh, at(second)
                self.ev.limit_w = fact.limit_w
                self.ev.suspended_at = at(second) if fact.suspended_by_ev else 0
            if isinstance(fact, s.TransferIntervalMetered):
                self.ev.metered_at, self.ev.metered_wh = at(second), fact.total_wh
            if isinstance(fact, EtpConfirmed):
                self.slot.delivery.on_confirmed(fact.number)
        return facts

    def reads(self, power_w: int, *seconds: float) -> list[Event]:
        return [fact for second in seconds for fact in self.read(power_w, second)]


def confirmed(facts: list[Event]) -> list[int]:
    return [fact.number for fact in facts if isinstance(fact, EtpConfirmed)]


def observed(facts: list[Event]) -> list[s.TransferObserved]:
    return [fact for fact in facts if isinstance(fact, s.TransferObserved)]


# Confirmation


def test_two_readings_at_the_new_value_confirm_a_decrease() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20, 30, 40)
    bench.allow(2_000, 41)
    assert confirmed(bench.reads(4_000, 45)) == []
    assert confirmed(bench.reads(2_000, 50)) == []
    assert confirmed(bench.reads(2_000, 55)) == [2]
    assert confirmed(bench.reads(2_000, 60, 65)) == []  # once


def test_a_reading_above_may_be_the_last_before_the_decrease() -> None:
    bench = Bench(6_000)
    bench.reads(4_000, 40, 70)  # below what held, above what comes
    bench.allow(2_000, 75)
    assert confirmed(bench.reads(2_000, 86)) == []
    assert confirmed(bench.reads(2_000, 87)) == [2]


def test_power_of_before_an_earlier_fall_confirms_nothing() -> None:
    """A car that is slow falls, rises and falls as it was told, one after the other."""
    bench = Bench(3_400)
    bench.reads(3_300, 40, 70)
    bench.allow(1_248, 71)
    bench.allow(1_357, 82)
    assert confirmed(bench.reads(3_300, 91)) == []  # above 1,357, but not because of it
    bench.allow(1_248, 92)
    assert confirmed(bench.reads(1_248, 101, 111)) == []


def test_a_reading_before_an_earlier_rise_confirms_nothing() -> None:
    bench = Bench(3_000)
    bench.reads(3_000, 40, 70)
    bench.allow(6_000, 71)
    bench.allow(2_000, 75)
    assert confirmed(bench.reads(2_000, 86, 87, 88)) == []


def test_a_reading_above_begins_the_count_anew() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20, 30, 40)
    bench.allow(2_000, 41)
    assert confirmed(bench.reads(2_000, 45)) == []
    assert confirmed(bench.reads(2_600, 47)) == []
    assert confirmed(bench.reads(2_000, 50)) == []
    assert confirmed(bench.reads(2_000, 55)) == [2]


def test_a_car_that_has_not_yet_followed_a_rise_confirms_nothing() -> None:
    """It may still rise to what was in force before it falls."""
    bench = Bench(1_300)
    bench.reads(1_300, 10, 20, 30, 40)
    bench.allow(6_000, 41)
    bench.allow(1_400, 45)  # before it followed
    assert confirmed(bench.reads(1_300, 46, 50, 55, 60)) == []
    bench.slot.delivery.fading.clear()  # until a reaction time is over
    assert confirmed(bench.reads(1_300, 80, 90)) == []


def test_an_increase_needs_no_confirmation() -> None:
    bench = Bench(1_300)
    bench.reads(1_300, 10, 20, 30)
    bench.allow(6_000, 41)
    assert confirmed(bench.reads(1_300, 45, 50, 55)) == []


# Suspension, and what a car can take


def test_a_car_that_draws_nothing_for_a_minute_is_suspended() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20, 30, 40)
    assert observed(bench.reads(99, 50, 60, 70, 80, 90, 109)) == []
    (fact,) = observed(bench.read(99, 110))
    assert fact.suspended_by_ev
    assert observed(bench.reads(99, 120, 130)) == []
    (woken,) = observed(bench.read(3_900, 210))
    assert not woken.suspended_by_ev
    assert woken.limit_w is None


def test_an_ev_whose_station_was_told_a_later_step_already_is_not_suspended() -> None:
    for max_periods, is_suspended in ((1, False), (24, True)):
        bench = Bench(4_000)
        station = bench.slot.station
        station.is_registered = True
        station.told_by(at(0), clock_ms=0, max_periods=max_periods)
        profile = PowerProfile(at(0), ((0, 4_000), (400, 0)))
        bench.slot.delivery.on_sent(2, profile, at(0), 1)
        bench.slot.delivery.on_accepted(2, at(0), REACTION)
        facts = observed(bench.reads(0, *range(330, 400, 10)))
        assert any(fact.suspended_by_ev for fact in facts) == is_suspended


def test_power_of_before_its_suspension_wakes_no_ev() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20, 30, 40)
    bench.ev.suspended_at = at(45)  # as its station told
    assert observed(bench.reads(4_000, 45, 54)) == []
    (woken,) = observed(bench.read(4_000, 55))
    assert not woken.suspended_by_ev


def test_a_station_that_says_it_gives_nothing_is_believed_for_five_minutes() -> None:
    bench = Bench(4_000)
    seconds = [*range(10, 320, 10)]
    facts = [bench.read(0, second, is_held=True) for second in seconds]
    suspended = [any(f.suspended_by_ev for f in observed(each)) for each in facts]
    assert seconds[suspended.index(True)] == 310


def test_what_an_ev_takes_is_not_judged_where_its_station_was_told_less() -> None:
    for max_periods, limit_w in ((1, None), (24, 2_000)):
        bench = Bench(4_000)
        station = bench.slot.station
        station.is_registered = True
        station.told_by(at(0), clock_ms=0, max_periods=max_periods)
        profile = PowerProfile(at(0), ((0, 4_000), (300, 2_000)))
        bench.slot.delivery.on_sent(2, profile, at(0), 1)
        bench.slot.delivery.on_accepted(2, at(0), REACTION)
        bench.reads(2_000, *range(240, 300, 10))
        assert bench.ev.limit_w == limit_w


def test_100_w_is_not_suspended_and_a_pause_by_plan_is_none() -> None:
    bench = Bench(4_000)
    assert not [
        f for f in observed(bench.reads(100, *range(10, 200, 10))) if f.suspended_by_ev
    ]
    bench = Bench(0)
    assert observed(bench.reads(0, *range(10, 400, 10))) == []


def test_a_minute_of_nothing_counts_from_the_acceptance() -> None:
    bench = Bench(0)
    bench.reads(0, 10, 20, 30)
    bench.allow(4_000, 35)
    assert observed(bench.reads(0, 40, 60, 90)) == []
    assert [f.suspended_by_ev for f in observed(bench.read(0, 100))] == [True]


def test_two_readings_below_its_etp_tell_what_a_car_takes() -> None:
    bench = Bench(6_000)
    assert observed(bench.reads(3_300, 10, 20)) == []  # it has time to follow
    assert observed(bench.read(3_300, 31)) == []
    (fact,) = observed(bench.read(3_300, 41))
    assert fact.limit_w == 3_300
    assert observed(bench.reads(3_250, 51, 61, 71)) == []  # no change worth a fact
    facts = observed(bench.reads(2_000, 81, 91))
    assert [f.limit_w for f in facts] == [2_000]


def test_while_an_etp_is_unanswered_a_car_is_not_judged() -> None:
    bench = Bench(6_000)
    profile = PowerProfile(at(5), ((0, 6_500),))
    bench.slot.delivery.on_sent(2, profile, at(5), 1)
    assert observed(bench.reads(3_300, 40, 50, 60)) == []


# Registers


def kept(facts: list[Event]) -> list[tuple[str, int, Quality]]:
    return [(f.what, f.value, f.quality) for f in facts if isinstance(f, s.FactKept)]


def test_a_register_that_runs_backwards_is_kept_once_and_changes_nothing() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20, 30, 40)
    facts = bench.read(4_000, 50, wh=1)
    assert kept(facts) == [("register_wh", 1, Quality.IMPLAUSIBLE)]
    assert len(facts) == 1
    assert bench.read(4_000, 60, wh=2) == []  # the same run
    assert bench.read(4_000, 70) == []  # well again
    assert len(kept(bench.read(4_000, 80, wh=1))) == 1  # another run


def test_who_draws_too_much_is_seen_though_its_register_was_reset() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20, 30, 40)
    facts = [
        fact for second in (50, 60, 70) for fact in bench.read(6_000, second, wh=1)
    ]
    assert len(kept(facts)) == 1
    seen = [f for f in facts if isinstance(f, EtpNotFollowed)]
    assert {f.power_w for f in seen} == {6_000}


def test_a_register_that_jumps_is_kept_once_and_changes_nothing() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20, 30)
    facts = bench.read(4_000, 40, wh=50_000)
    assert kept(facts) == [("register_wh", 50_000, Quality.IMPLAUSIBLE)]
    assert len(facts) == 1
    assert bench.read(4_000, 50, wh=50_010) == []
    assert bench.read(4_000, 60) == []


def test_a_reading_of_the_past_or_twice_is_no_news() -> None:
    bench = Bench(4_000)
    bench.reads(4_000, 10, 20)
    reading = Reading(EVSE, at(15), 0, 0)
    assert bench.observer.take(bench.slot, bench.ev, reading) == []


def test_intervals_are_metered_at_each_quarter_and_add_up() -> None:
    bench = Bench(4_000)
    facts = bench.reads(4_000, *range(10, 3_700, 10))
    metered = [f for f in facts if isinstance(f, s.TransferIntervalMetered)]
    assert [f.from_at for f in metered] == [at(0), at(900), at(1_800), at(2_700)]
    assert sum(f.energy_wh for f in metered) == metered[-1].total_wh == 4_000


# In the loop


def suspended_zone(zone: World, upper_w: int) -> None:
    """One car takes 100 Wh and then nothing; another one wants all it can get."""
    zone.pre(0, (7_200, upper_w))
    zone.visit(0, 1, 7_000, 100, stated_wh=20_000, lag_s=5)
    zone.visit(1, 1, 7_000, 90_000, lag_s=5)
    zone.run()


def offers(zone: World) -> list[int]:
    """Return the seconds at which the first station was told more than 0."""
    return [
        (stored_at - START) // SECOND
        for stored_at, profile in zone.evses[0].stored
        if profile.power_w(stored_at) > 0
    ]


def test_a_suspended_car_is_offered_its_floor_every_quarter_hour() -> None:
    with world(2, 50) as zone:
        suspended_zone(zone, 12_000)
        first, *later = offers(zone)[-3:]
        gaps = [b - a for a, b in zip([first, *later], later, strict=False)]
        assert len(offers(zone)) >= 3
        assert all(15 * 60 <= gap <= 15 * 60 + 120 for gap in gaps)
        offered = [p.power_w(t) for t, p in zone.evses[0].stored if p.power_w(t) > 0]
        assert offered[-1] == offered[-2] == 1_248


def test_a_suspended_car_is_offered_nothing_that_another_can_use() -> None:
    with world(2, 50) as zone:
        suspended_zone(zone, 6_000)
        assert not [second for second in offers(zone) if second > 600]
        slot = zone.loop.state.slots[evse_id(0)]
        assert slot.ev is not None
        assert slot.ev.suspended_at


def test_a_course_is_what_its_profile_says() -> None:
    profile = PowerProfile(at(0), ((0, 1), (5, 2)))
    assert Course(profile).profile is profile
