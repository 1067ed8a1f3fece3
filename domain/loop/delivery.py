"""What a station may be following: the delivery of ETPs to one EVSE, as a fold.

An EVSE counts at the largest of everything that may be in force: its last acknowledged
ETP, sent and unanswered ones, its standing default where ETPs may be lost, and earlier
ones that may still be followed because the last decrease is not *confirmed* (accepted,
and then its settle time passed or two readings at the new value). One that was seen to
draw more than that counts at what it draws.
"""

from dataclasses import dataclass, field

import numpy as np

from domain.loop.course import Course, Ints
from domain.loop.pauses import Pauses
from domain.model.profile import PowerProfile
from domain.model.values import SECOND, Instant

# Numbers of ETPs and deliveries count up with the seconds since 2020, so that they
# never restart, whatever part of the log a loop has read.
_NUMBERS_FROM_S = 1_577_836_800

# An answer is awaited this long, then twice as long, up to the longest; and a station
# that refused is left alone for a while.
ANSWER_WITHIN = 10 * SECOND
ANSWER_WITHIN_MOST = 300 * SECOND
REFUSED_FOR = 300 * SECOND
# The end of what only a newer accepted ETP ends.
_OPEN_END = 1 << 62


def next_number(last: int, at: Instant) -> int:
    """Return the next number of an EVSE's ETPs or deliveries."""
    return max(last + 1, at // SECOND - _NUMBERS_FROM_S)


def flat(power_w: int) -> Course:
    """Return the course of a power that always holds."""
    return Course(PowerProfile(0, ((0, power_w),)))


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

    @property
    def may_be_stored(self) -> bool:
        """Whether an earlier sending of it may have been carried out, unanswered."""
        return self.timed_out or self.attempt > 1


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

        Stations that get many ETPs in a settle time would leave as many fading.
        """
        most_w = earlier.course.largest(from_at, earlier.until)
        return earlier.until <= self.until and most_w <= self.course.least(
            from_at, earlier.until
        )


@dataclass(slots=True)
class Delivery:
    """The ETPs of one EVSE that may be in force at its station.

    ``default`` holds where no ETP does; it is in force since ``lost_at`` where ETPs may
    be lost (0: they are not). ``drawn_w`` is what an EVSE draws that does not follow.
    """

    default: Course = field(default_factory=lambda: flat(0))
    acked: Course = field(default_factory=lambda: flat(0))
    acked_number: int = 0
    last: Course = field(default_factory=lambda: flat(0))
    last_number: int = 0
    sent: list[Sent] = field(default_factory=list)
    fading: list[Fading] = field(default_factory=list)
    acked_at: Instant = 0
    last_sent_at: Instant = 0
    refused_at: Instant = 0
    lost_at: Instant = 0
    drawn_w: int | None = None
    drawn_at: Instant = 0
    pauses: Pauses = field(default_factory=Pauses)

    @classmethod
    def after(cls, before: "Delivery", default_w: int) -> "Delivery":
        """Return the delivery to the next EV: what it may follow is the default."""
        default = flat(default_w)
        return cls(
            default,
            default,
            before.acked_number,
            default,
            before.last_number,
        )

    def on_default(self, default_w: int, at: Instant, settle: Instant) -> None:
        """Take in that another default is installed; what follows it fades."""
        if default_w == int(self.default.power_w[0]):
            return
        before, self.default = self.default, flat(default_w)
        if self.last is before:
            self.last = self.default
        if self.acked is before:
            self.fading.append(Fading(before, self.acked_at, at + settle))
            self.pauses = self.pauses_at(at)
            self.acked, self.acked_at = self.default, at
        if self.lost_at:
            self.fading.append(Fading(before, self.lost_at, at + settle))

    def on_lost(self, at: Instant) -> None:
        """Take in that the default may hold again; what was told is to be told again.

        Who rebooted may have forgotten its ETPs; whom nobody can ask may have begun
        another transaction.
        """
        self.lost_at = self.lost_at or at
        self.last, self.last_sent_at = self.default, 0
        self._give_up(self.last_number)

    def on_frozen(self, at: Instant) -> None:
        """Take in that a station that keeps no steps stays with what holds now."""
        unknown = [f.course for f in self.fading if f.until == _OPEN_END]
        for course in (self.acked, *(s.course for s in self.sent), *unknown):
            self._may_stay(flat(course.largest(at, at)), at)

    def on_found(self, power_w: int, at: Instant) -> None:
        """Take in that the station would allow more than we believe: tell it again."""
        self._may_stay(flat(power_w), at)
        self.on_lost(at)

    def _may_stay(self, course: Course, since: Instant) -> None:
        """Take in that a course may hold until another one is accepted.

        One that adds nothing is not counted again: a station may come and go for days.
        """
        staying = Fading(course, since, _OPEN_END)
        if not any(f.covers(staying, since) for f in self.fading):
            self.fading.append(staying)

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

    def on_accepted(self, number: int, at: Instant, settle: Instant) -> None:
        """Take in that the station stored the ETP; what it followed before fades."""
        accepted = next((s for s in self.sent if s.number == number), None)
        if accepted is None or number <= self.acked_number:
            return
        until = at + settle
        newest = Fading(self.acked, self.acked_at, until)
        for f in self.fading:
            f.until = min(f.until, until)
        self.fading = [
            f for f in self.fading if f.until > at and not newest.covers(f, at - settle)
        ]
        self.fading.append(newest)
        self.fading += [
            Fading(s.course, s.sent_at, until) for s in self.sent if s.number < number
        ]
        if self.lost_at:
            self.fading.append(Fading(self.default, self.lost_at, until))
            self.lost_at = 0
        self.sent = [s for s in self.sent if s.number > number]
        self.pauses = self.pauses_at(at)
        self.acked, self.acked_number, self.acked_at = accepted.course, number, at

    def on_refused(self, number: int, at: Instant) -> None:
        """Take in that the station did not store the ETP: it is not in force."""
        if self._withdraw(number):
            self.refused_at = at
            self._give_up(number)  # it answers, and they are nobody's to wait for

    def _give_up(self, number: int) -> None:
        """Await no answer up to a number any more: those may be in force or not."""
        given_up = [s for s in self.sent if s.number <= number]
        self.fading += [Fading(s.course, s.sent_at, _OPEN_END) for s in given_up]
        self.sent = [s for s in self.sent if s.number > number]

    def on_superseded(self, number: int) -> None:
        """Take in that the ETP never left, because a newer one is to."""
        self._withdraw(number)

    def _withdraw(self, number: int) -> bool:
        """Forget an ETP that is on its way; an earlier sending may be in force."""
        sent = next((s for s in self.sent if s.number == number), None)
        if sent is None:
            return False  # it was for an EV that has left, or is answered
        self.sent.remove(sent)
        if sent.may_be_stored:
            self.fading.append(Fading(sent.course, sent.sent_at, _OPEN_END))
        if number == self.last_number:
            told = self.default if self.lost_at else self.acked
            self.last = self.sent[-1].course if self.sent else told
        return True

    def on_timed_out(self, number: int) -> None:
        """Take in that no answer came: the ETP may be in force all the same."""
        for sent in self.sent:
            if sent.number == number:
                sent.timed_out = True

    def on_confirmed(self, number: int) -> None:
        """Take in that readings show the acknowledged ETP to be followed."""
        if number == self.acked_number:
            self.fading = [f for f in self.fading if f.until == _OPEN_END]

    @property
    def is_to_be_told(self) -> bool:
        """Whether the station may have lost its ETP and was sent none since."""
        return self.lost_at > 0 and self.last is self.default

    @property
    def is_unanswered(self) -> bool:
        """Whether a station let the time for an answer pass."""
        return any(s.may_be_stored for s in self.sent)

    def refuses(self, now: Instant) -> bool:
        """Whether the station refused a short while ago."""
        return self.refused_at > 0 and now < self.refused_at + REFUSED_FOR

    def pauses_at(self, now: Instant) -> Pauses:
        """Return the pauses that the acknowledged ETPs were, up to an instant."""
        return self.pauses.carried(self.acked, now)

    def courses(self, now: Instant) -> list[Course]:
        """Return every ETP that may be in force."""
        fading = (f.course for f in self.fading if f.until > now)
        lost = [self.default] if self.lost_at else []
        return [self.acked, *lost, *(s.course for s in self.sent), *fading]

    def counted_w(self, points: Ints, now: Instant, settle: Instant) -> Ints:
        """Return what the EVSE counts at each instant from ``now`` on [W]."""
        counted = self.acked.held(points, settle)
        if self.lost_at:
            np.maximum(counted, self.default.held(points, settle), out=counted)
        for s in self.sent:
            np.maximum(counted, s.course.held(points, settle), out=counted)
        for f in self.fading:
            if f.until == _OPEN_END:
                np.maximum(counted, f.course.held(points, settle), out=counted)
            elif f.until > now:  # a few points at most lie before the end of its fading
                for i in range(int(np.searchsorted(points, f.until))):
                    at = int(points[i])
                    held_w = f.course.largest(at - settle, at)
                    counted[i] = max(counted[i], held_w)
        if self.drawn_w is not None:
            np.maximum(counted, self.drawn_w, out=counted)
        return counted

    def allowed_w(self, begin: Instant, end: Instant, settle: Instant) -> int:
        """Return the most that an EV who follows draws from one instant to another."""
        courses = [self.acked, *(s.course for s in self.sent)]
        courses += [f.course for f in self.fading if f.until > begin]
        if self.lost_at:
            courses.append(self.default)
        return max(course.largest(begin - settle, end) for course in courses)

    def next_wake(self, now: Instant) -> Instant | None:
        """Return when an ETP fades, an answer is overdue or a refusal is over."""
        due = [f.until for f in self.fading if now < f.until < _OPEN_END]
        due += [s.due_at for s in self.sent if not s.timed_out]
        if self.refuses(now):
            due.append(self.refused_at + REFUSED_FOR)
        return min(due, default=None)
