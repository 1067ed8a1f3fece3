"""Power profiles as arrays, and what they may amount to over a reaction time."""

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from domain.model.profile import PowerProfile
from domain.model.values import SECOND, Instant

Ints = NDArray[np.int64]


class Course:
    """A power profile, ready to be read at many instants at once."""

    __slots__ = ("_instants", "at", "power_w", "profile")

    def __init__(self, profile: PowerProfile) -> None:
        """Take the profile's changes as arrays of instants and powers."""
        self.profile = profile
        changes = np.array(profile.changes, np.int64)
        self.at: Ints = changes[:, 0] * SECOND + profile.start_at
        self.power_w: Ints = changes[:, 1]
        self._instants: list[Instant] = self.at.tolist()

    def over(self, points: Ints) -> Ints:
        """Return the power at each instant [W]; 0 before the start."""
        index = np.searchsorted(self.at, points, side="right") - 1
        return np.where(index < 0, 0, self.power_w[index])

    def changes(self, after: Instant, until: Instant) -> Iterator[tuple[Instant, int]]:
        """Yield the power at ``after``, then each later change up to ``until`` [W]."""
        first = bisect_right(self._instants, after)
        last = bisect_right(self._instants, until)
        yield after, self.profile.changes[first - 1][1] if first else 0
        for i in range(first, last):
            yield self._instants[i], self.profile.changes[i][1]

    def largest(self, from_at: Instant, to_at: Instant) -> int:
        """Return the largest power over [from_at, to_at] [W]."""
        first = bisect_right(self._instants, from_at)
        last = bisect_right(self._instants, to_at)
        changes = self.profile.changes[max(first - 1, 0) : max(last, 1)]
        return max(power_w for _, power_w in changes)

    def least(self, from_at: Instant, to_at: Instant) -> int:
        """Return the least power over [from_at, to_at] [W]; 0 counts before it."""
        if from_at < self._instants[0]:
            return 0
        first = bisect_right(self._instants, from_at)
        last = bisect_right(self._instants, to_at)
        return min(power_w for _, power_w in self.profile.changes[first - 1 : last])

    def held(self, points: Ints, reaction: Instant) -> Ints:
        """Return the largest power over the last ``reaction`` before each instant [W].

        A station follows a fall within one reaction time, so until then the value
        before the fall counts.
        """
        last = np.searchsorted(self.at, points, side="right") - 1
        first = np.searchsorted(self.at, points - reaction, side="right") - 1
        held = np.where(last < 0, 0, self.power_w[last])
        for back in range(1, int((last - first).max(initial=0)) + 1):
            index = last - back
            inside = (index >= first) & (index >= 0)
            before_w = self.power_w[np.maximum(index, 0)]
            np.maximum(held, before_w, out=held, where=inside)
        return held


def points_of(courses: list[Course], now: Instant, boundaries: Ints) -> Ints:
    """Return ``now``, boundaries and later changes: powers hold between them."""
    later = [course.at[course.at > now] for course in courses if course.at[-1] > now]
    return np.unique(np.concatenate([np.array([now]), boundaries, *later]))
