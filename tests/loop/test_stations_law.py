"""Whatever is lost, forgotten or answered late: no EV draws more than counts."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.loop.course import Course
from domain.loop.delivery import flat
from domain.loop.observer import Observer, Reading
from domain.model import plan_events as p
from domain.model import station_events as t
from domain.model.values import MINUTE, SECOND, Event, Instant
from tests.loop.world import FLOOR_W, MAX_W, START
from tests.loop.zone_by_hand import (
    EVSE,
    SETTLE_S,
    STATION,
    Zone,
    able,
    booted,
    connected,
    disconnected,
    installed,
    plugged,
)


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


@settings(max_examples=250, derandomize=True)
@given(plot=plots(), lag_s=st.integers(0, SETTLE_S), keeps=st.booleans())
def test_an_ev_that_follows_never_draws_more_than_counts(
    plot: list[tuple[str, int, int, int]], lag_s: int, keeps: bool
) -> None:
    for drawn_w, counted_w in Play(lag_s, keeps).run(plot):
        assert drawn_w <= counted_w
