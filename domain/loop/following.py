"""Which of the ETPs that an EV may be following a reading tells of.

An EV follows late, but one after the other: what it was told first it does first.
"""

from domain.loop.delivery import Delivery, Fading
from domain.model.values import Instant


def is_settled(delivery: Delivery, at: Instant) -> bool:
    """Whether an EV can follow nothing but the accepted ETP."""
    is_fading = any(f.until > at for f in delivery.fading)
    return not (is_fading or delivery.sent or delivery.lost_at)


def is_of_an_earlier_rise(delivery: Delivery, value_w: int, at: Instant) -> bool:
    """Whether power above a value may be of an ETP before the last rise above it.

    Such an EV falls to the value, rises as that ETP did, and falls again.
    """
    may_be_followed = [f for f in delivery.fading if f.until > at]
    has_fallen = False
    for fading in sorted(may_be_followed, key=lambda f: f.since, reverse=True):
        is_above = fading.course.largest(fading.since, at) > value_w
        if is_above and has_fallen:
            return True
        has_fallen = has_fallen or not is_above
    return False


def risen_at(fading: Fading, value_w: int, at: Instant) -> Instant:
    """Return since when an earlier ETP has been above the value it gave way to.

    An EV that has not yet followed that rise may still be below, and rise later.
    """
    risen_at = fading.since
    before_w = 0
    for change_at, power_w in zip(fading.course.at, fading.course.power_w, strict=True):
        if change_at <= at and before_w <= value_w < power_w:
            risen_at = max(fading.since, int(change_at))
        before_w = int(power_w)
    return risen_at


def fallen_at(delivery: Delivery, at: Instant) -> Instant:
    """Return since when the ETP in force has been as low as it is at an instant."""
    changes = delivery.acked.at[delivery.acked.at <= at]
    return max(delivery.acked_at, int(changes[-1]) if changes.size else 0)
