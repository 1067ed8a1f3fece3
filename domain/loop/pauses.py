"""How often an EVSE was told to pause its EV: a part of its delivery's fold.

An EV that is paused may not wake again, and each pause opens a relay. Who was paused
often, or resumed a moment ago, is not to be paused where that can be helped.
"""

from dataclasses import dataclass

from domain.loop.course import Course
from domain.model.site_events import MOST_PAUSES
from domain.model.values import DAY, Instant


@dataclass(frozen=True, slots=True)
class Pauses:
    """The last pauses, and since when the EV may draw again, up to an instant.

    Pauses count for a day: a restart knows of no earlier deliveries.
    """

    upto: Instant = 0
    is_on: bool = False
    paused_at: tuple[Instant, ...] = ()
    resumed_at: Instant = 0

    def carried(self, course: Course, until: Instant) -> "Pauses":
        """Return them at a later instant, until which this course is in force."""
        if until < self.upto:
            return self
        is_on, resumed_at, paused_at = self.is_on, self.resumed_at, self.paused_at
        for at, power_w in course.changes(self.upto, until):
            if power_w and not is_on:
                resumed_at = at
            elif is_on and not power_w:
                paused_at = (*paused_at, at)
            is_on = power_w > 0
        counted = tuple(at for at in paused_at if at > until - DAY)
        return Pauses(until, is_on, counted[-MOST_PAUSES:], resumed_at)

    def is_to_stay_on(self, min_on: Instant, max_pauses: int) -> bool:
        """Whether the EV draws, and resumed too lately or paused too often to pause."""
        was_paused = len(self.paused_at)
        is_young = was_paused > 0 and self.upto < self.resumed_at + min_on
        return self.is_on and (is_young or was_paused >= max_pauses)
