"""The PRE in force as arrays."""

import numpy as np

from domain.loop.course import Ints
from domain.model.pre import PreInForce
from domain.model.values import Instant

_BEGINNING = np.iinfo(np.int64).min


class Envelope:
    """Lower and upper power over time, the safe envelope where no PRE covers."""

    __slots__ = ("at", "lower_w", "pre", "upper_w")

    def __init__(self, pre: PreInForce) -> None:
        """Lay the spans out, with the safe envelope in the gaps and at both ends."""
        self.pre = pre
        safe_w = min(pre.safe_upper_w, pre.limit_w)
        at: list[Instant] = [_BEGINNING]
        lower, upper = [0], [safe_w]
        for start_at, end_at, lower_w, upper_w in pre.spans:
            if at[-1] == start_at:  # the span before ended here
                at.pop(), lower.pop(), upper.pop()
            at += [start_at, end_at]
            lower += [max(lower_w, -pre.limit_w), 0]
            upper += [min(upper_w, pre.limit_w), safe_w]
        self.at = np.array(at, np.int64)
        self.lower_w = np.array(lower, np.int64)
        self.upper_w = np.array(upper, np.int64)

    def index(self, points: Ints) -> Ints:
        """Return where each instant lies."""
        found: Ints = np.searchsorted(self.at, points, side="right") - 1
        return found

    def upper_over(self, points: Ints) -> Ints:
        """Return the upper power at each instant [W]."""
        return self.upper_w[self.index(points)]

    def lower_over(self, points: Ints) -> Ints:
        """Return the lower power at each instant [W]."""
        return self.lower_w[self.index(points)]

    def boundaries(self, from_at: Instant, to_at: Instant) -> Ints:
        """Return the instants in (from_at, to_at) at which the range changes."""
        first, last = np.searchsorted(self.at, (from_at, to_at), side="right")
        inner = np.arange(first, last)
        changed = (self.upper_w[inner] != self.upper_w[inner - 1]) | (
            self.lower_w[inner] != self.lower_w[inner - 1]
        )
        found: Ints = self.at[inner][changed & (self.at[inner] < to_at)]
        return found
