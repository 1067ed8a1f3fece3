"""What a station may be following: the delivery of ETPs to one EVSE, as a fold.

An EVSE counts at the largest of everything that may be in force: its last acknowledged
ETP, sent and unanswered ones, and earlier ones that may still be followed because the
last decrease is not *confirmed* (accepted, and then one reaction time passed or two
readings at the new value).
"""

from dataclasses import dataclass, field

import numpy as np

from domain.loop.course import Course, Ints
from domain.model.profile import PowerProfile, zero_profile
from domain.model.values import SECOND, Instant

# Numbers of ETPs and deliveries count up with the seconds since 2020, so that they
# never restart, whatever part of the log a loop has read.
_NUMBERS_FROM_S = 1_577_836_800

# An answer is awaited this long, then twice as long, up to the longest; and a station
# that refused is left alone for a while.
ANSWER_WITHIN = 10 * SECOND
ANSWER_WITHIN_MOST = 300 * SECOND
REFUSED_FOR = 300 * SECOND


def next_number(last: int, at: Instant) -> int:
    """Return the next number of an EVSE's ETPs or deliveries."""
    return max(last + 1, at // SECOND - _NUMBERS_FROM_S)


@dataclass(slots=True)
class Sent:
    """An ETP on its way: not answered yet."""

    number: int
    course: Course
    sent_at: Instant
    attempt: int
    timed_out: bool = False

    @property
    def due_at(self) -> Instant:
        """When an answer is overdue."""
        wait = ANSWER_WITHIN << min(self.attempt - 1, 10)
        return self.sent_at + min(wait, ANSWER_WITHIN_MOST)


@dataclass(slots=True)
class Fading:
    """An earlier ETP that may still be followed until ``until``.

    ``since`` is when it came into force: only a reading above the new value taken since
    then, followed by readings at it, shows that the station has turned to the new one.
    """

    course: Course
    since: Instant
    until: Instant

    def covers(self, earlier: "Fading", from_at: Instant) -> bool:
        """Whether an earlier one adds nothing, from an instant on, to what this counts.

        Stations that get many ETPs in a reaction time would leave as many fading.
        """
        most_w = earlier.course.largest(from_at, earlier.until)
        return earlier.until <= self.until and most_w <= self.course.least(
            from_at, earlier.until
        )


@dataclass(slots=True)
class Delivery:
    """The ETPs of one EVSE that may be in force at its station."""

    acked: Course = field(default_factory=lambda: Course(zero_profile(0)))
    acked_number: int = 0
    last: Course = field(default_factory=lambda: Course(zero_profile(0)))
    last_number: int = 0
    sent: list[Sent] = field(default_factory=list)
    fading: list[Fading] = field(default_factory=list)
    acked_at: Instant = 0
    last_sent_at: Instant = 0
    refused_at: Instant = 0

    def on_sent(
        self, number: int, profile: PowerProfile, at: Instant, attempt: int
    ) -> None:
        """Take in that an ETP went out."""
        course = Course(profile)
        self.sent = [s for s in self.sent if s.number != number]
        self.sent.append(Sent(number, course, at, attempt))
        self.last_sent_at = at
        if number > self.last_number:
            self.last, self.last_number = course, number

    def on_accepted(self, number: int, at: Instant, reaction: Instant) -> None:
        """Take in that the station stored the ETP; what it followed before fades."""
        accepted = next((s for s in self.sent if s.number == number), None)
        if accepted is None or number <= self.acked_number:
            return
        until = at + reaction
        newest = Fading(self.acked, self.acked_at, until)
        self.fading = [
            f
            for f in self.fading
            if f.until > at and not newest.covers(f, at - reaction)
        ]
        self.fading.append(newest)
        self.fading += [
            Fading(s.course, s.sent_at, until) for s in self.sent if s.number < number
        ]
        self.sent = [s for s in self.sent if s.number > number]
        self.acked, self.acked_number, self.acked_at = accepted.course, number, at

    def on_refused(self, number: int, at: Instant) -> None:
        """Take in that the station did not store the ETP: it is not in force."""
        if all(s.number != number for s in self.sent):
            return  # it was for an EV that has left, or is answered
        self.sent = [s for s in self.sent if s.number != number]
        self.refused_at = at
        if number == self.last_number:
            self.last = self.sent[-1].course if self.sent else self.acked

    def on_timed_out(self, number: int) -> None:
        """Take in that no answer came: the ETP may be in force all the same."""
        for sent in self.sent:
            if sent.number == number:
                sent.timed_out = True

    def on_confirmed(self, number: int) -> None:
        """Take in that readings show the acknowledged ETP to be followed."""
        if number == self.acked_number:
            self.fading = []

    @property
    def is_unanswered(self) -> bool:
        """Whether a station let the time for an answer pass."""
        return any(s.timed_out or s.attempt > 1 for s in self.sent)

    def refuses(self, now: Instant) -> bool:
        """Whether the station refused a short while ago."""
        return self.refused_at > 0 and now < self.refused_at + REFUSED_FOR

    def courses(self, now: Instant) -> list[Course]:
        """Return every ETP that may be in force."""
        fading = (f.course for f in self.fading if f.until > now)
        return [self.acked, *(s.course for s in self.sent), *fading]

    def counted_w(self, points: Ints, now: Instant, reaction: Instant) -> Ints:
        """Return what the EVSE counts at each instant from ``now`` on [W]."""
        counted = self.acked.held(points, reaction)
        for s in self.sent:
            np.maximum(counted, s.course.held(points, reaction), out=counted)
        for f in self.fading:
            if f.until > now:  # a few points at most lie before the end of its fading
                for i in range(int(np.searchsorted(points, f.until))):
                    at = int(points[i])
                    held_w = f.course.largest(at - reaction, at)
                    counted[i] = max(counted[i], held_w)
        return counted

    def next_wake(self, now: Instant) -> Instant | None:
        """Return when an ETP fades, an answer is overdue or a refusal is over."""
        due = [f.until for f in self.fading if f.until > now]
        due += [s.due_at for s in self.sent if not s.timed_out]
        if self.refuses(now):
            due.append(self.refused_at + REFUSED_FOR)
        return min(due, default=None)
