"""The PRE in force: instructions composed, the safe envelope where none covers (E4)."""

from collections.abc import Iterable, Iterator

import msgspec

from domain.model.plan_events import PreReceived
from domain.model.site_events import ConstraintsSent, EnergyWindow
from domain.model.values import HOUR, SECOND, Instant

Span = tuple[Instant, Instant, int, int]


class PreInForce(msgspec.Struct, frozen=True):
    """Power ranges over time: spans (start, end, lower W, upper W), sorted, no overlap.

    Where no span covers an instant, the safe envelope [0, safe_upper_w] holds. Both are
    cut to the zone's own limit. A range wholly beyond it leaves no power that is right.
    """

    spans: tuple[Span, ...]
    safe_upper_w: int
    limit_w: int

    def range_w(self, at: Instant) -> tuple[int, int]:
        """Return lower and upper power at an instant [W]."""
        for start_at, end_at, lower_w, upper_w in self.spans:
            if start_at <= at < end_at:
                return max(lower_w, -self.limit_w), min(upper_w, self.limit_w)
        return 0, min(self.safe_upper_w, self.limit_w)

    def ranges(self, from_at: Instant, until_at: Instant) -> Iterator[Span]:
        """Yield the ranges that hold over a time, the safe envelope among them."""
        at = from_at
        for start_at, end_at, _, _ in self.spans:
            if end_at <= at or start_at >= until_at:
                continue
            if start_at > at:
                yield at, start_at, *self.range_w(at)
                at = start_at
            yield at, min(end_at, until_at), *self.range_w(at)
            at = min(end_at, until_at)
        if at < until_at:
            yield at, until_at, *self.range_w(at)

    def covers(self, at: Instant) -> bool:
        """Whether an instruction of the RM covers the instant."""
        return any(start_at <= at < end_at for start_at, end_at, _, _ in self.spans)


def compose(
    received: Iterable[tuple[Instant, PreReceived]], safe_upper_w: int, limit_w: int
) -> PreInForce:
    """Lay instructions over each other in the order in which they were received.

    A later instruction replaces everything from the instant it takes effect: its start,
    or its reception when that start was already past. It ends with its last range; what
    earlier instructions said of later instants does not come back.
    """
    spans: list[Span] = []
    for received_at, event in received:
        start_at = max(event.envelope.start_at, received_at)
        spans = [
            (s, min(e, start_at), low, up) for s, e, low, up in spans if s < start_at
        ]
        at = event.envelope.start_at
        for r in event.envelope.ranges:
            end_at = at + r.duration_s * SECOND
            if end_at > start_at:
                spans.append((max(at, start_at), end_at, r.lower_w, r.upper_w))
            at = end_at
    return PreInForce(tuple(spans), safe_upper_w, limit_w)


def satisfies(pre: PreInForce, sent: ConstraintsSent, effect_at: Instant) -> bool:
    """Whether a zone can keep to a PRE and to the constraints sent to its RM (E3).

    Power: until the last window ends (without windows, until the PRE does) the PRE
    leaves at every instant a power that the zone could draw. Energy: the most that both
    allow by the end of a window is at least its lower energy, the least at most its
    upper one. The PRE is asked from ``effect_at`` on; for the time before, nothing is
    held against it and the constraints' own limits count.
    """
    begin_at = max(sent.from_at, effect_at)
    ends = [window.until_at for window in sent.windows] or [s[1] for s in pre.spans]
    until_at = max([begin_at + SECOND, *ends[-1:]])
    return all(
        lower_w <= sent.upper_w and upper_w >= sent.lower_w
        for _, _, lower_w, upper_w in pre.ranges(begin_at, until_at)
    ) and all(_can_take(pre, sent, window, begin_at) for window in sent.windows)


def _can_take(
    pre: PreInForce, sent: ConstraintsSent, window: EnergyWindow, begin_at: Instant
) -> bool:
    past = min(begin_at, window.until_at) - sent.from_at
    least, most = sent.lower_w * past, sent.upper_w * past
    for start_at, end_at, lower_w, upper_w in pre.ranges(begin_at, window.until_at):
        time = end_at - start_at
        least += max(min(lower_w, sent.upper_w), sent.lower_w) * time
        most += min(max(upper_w, sent.lower_w), sent.upper_w) * time
    return most >= window.lower_wh * HOUR and least <= window.upper_wh * HOUR
