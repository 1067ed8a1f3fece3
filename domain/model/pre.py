"""The PRE in force: instructions composed, the safe envelope where none covers (E4)."""

from collections.abc import Iterable

import msgspec

from domain.model.plan_events import PreReceived
from domain.model.values import SECOND, Instant

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
