"""Power over time: profiles, energy transfer plans and power range envelopes.

A profile is kept as its changes: pairs (whole seconds from its start, W), equal
neighbours merged, the first at 0. Signs: + is grid to EV.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from domain.errors import InvalidValue
from domain.model.values import SECOND, Instant, iso_of

Change = tuple[int, int]

# What a profile may hold: a power beyond this is a typing error, not a site.
POWER_LIMIT_W = 100_000_000


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes with equal neighbours merged."""
    kept: list[Change] = []
    for offset_s, power_w in changes:
        if not kept or kept[-1][1] != power_w:
            kept.append((offset_s, power_w))
    return tuple(kept)


def check_changes(name: str, changes: Sequence[Change]) -> None:
    """Refuse changes that do not begin at 0, do not increase or are no power."""
    if not changes or changes[0][0] != 0:
        first = changes[0][0] if changes else "nothing"
        raise InvalidValue(f"{name} begins at {first}; its first change is at 0 s")
    for (before_s, _), (after_s, _) in pairwise(changes):
        if after_s <= before_s:
            raise InvalidValue(
                f"{name}: the change at {after_s} s follows one at {before_s} s; "
                "offsets increase"
            )
    for offset_s, power_w in changes:
        if abs(power_w) > POWER_LIMIT_W:
            raise InvalidValue(
                f"{name}: {power_w} W at {offset_s} s is beyond ±{POWER_LIMIT_W} W"
            )


class PowerProfile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Power from ``start_at`` on; the last change holds until something replaces it."""

    start_at: Instant
    changes: tuple[Change, ...]

    def power_w(self, at: Instant) -> int:
        """Return the power at an instant [W]; 0 before the start."""
        offset_s = (at - self.start_at) // SECOND
        index = bisect_right(self.changes, offset_s, key=lambda change: change[0])
        return self.changes[index - 1][1] if index else 0

    def max_power_w(self, from_at: Instant, to_at: Instant) -> int:
        """Return the largest power over [from_at, to_at] [W]; 0 counts before it."""
        largest = self.power_w(from_at)
        for offset_s, power_w in self.changes:
            at = self.start_at + offset_s * SECOND
            if from_at < at <= to_at and power_w > largest:
                largest = power_w
        return largest


def zero_profile(start_at: Instant) -> PowerProfile:
    """Return the profile that allows nothing from ``start_at`` on."""
    return PowerProfile(start_at, ((0, 0),))


class Etp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Energy transfer plan (ETP) of one EVSE's EV: what it may draw over time.

    ``number`` counts the ETPs of an EVSE and never restarts. A profile with one change
    is an ETP of a single value.
    """

    evse_id: str
    session_id: str
    number: int
    profile: PowerProfile
    dynamic: bool = False
    mandatory: bool = False


class Range(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One power range of an envelope: lower and upper power [W] for some seconds."""

    duration_s: int
    lower_w: int
    upper_w: int


class PowerRangeEnvelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Power range envelope (PRE): consecutive power ranges from ``start_at`` on.

    It ends with its last range; what holds then is the zone's safe envelope.
    """

    start_at: Instant
    ranges: tuple[Range, ...]

    @property
    def end_at(self) -> Instant:
        """Return the instant at which the last range ends."""
        return self.start_at + sum(r.duration_s for r in self.ranges) * SECOND

    def check(self) -> None:
        """Refuse an empty envelope, an empty range and lower above upper.

        Boundaries are whole seconds, as those of ETPs; powers are whole watts.
        """
        if not self.ranges:
            raise InvalidValue(f"PRE of {iso_of(self.start_at)} has no ranges")
        if self.start_at % SECOND:
            raise InvalidValue(
                f"PRE of {iso_of(self.start_at)} does not begin at a whole second"
            )
        offset_s = 0
        for r in self.ranges:
            where = f"PRE of {iso_of(self.start_at)}, range at {offset_s} s"
            for value in (r.duration_s, r.lower_w, r.upper_w):
                if type(value) is not int:  # NaN too: nothing compares with it
                    raise InvalidValue(f"{where}: {value} is not a whole number")
            if r.duration_s <= 0:
                raise InvalidValue(f"{where}: duration {r.duration_s} s is not above 0")
            if r.lower_w > r.upper_w:
                raise InvalidValue(
                    f"{where}: lower {r.lower_w} W is above upper {r.upper_w} W"
                )
            if max(abs(r.lower_w), abs(r.upper_w)) > POWER_LIMIT_W:
                raise InvalidValue(
                    f"{where}: {r.lower_w}..{r.upper_w} W is beyond ±{POWER_LIMIT_W} W"
                )
            offset_s += r.duration_s


def envelope_of_spans(
    spans: Sequence[tuple[Instant, Instant, float, float]],
) -> PowerRangeEnvelope:
    """Return the PRE of (start, end, lower W, upper W) spans given with instants.

    Raises
    ------
    InvalidValue
        for gaps, overlaps, sub-second boundaries, numbers that are not finite and
        everything `PowerRangeEnvelope.check` refuses.
    """
    if not spans:
        raise InvalidValue("PRE has no ranges")
    ranges: list[Range] = []
    expected_at = spans[0][0]
    for start_at, end_at, lower_w, upper_w in spans:
        if start_at != expected_at:
            what = "a gap" if start_at > expected_at else "an overlap"
            raise InvalidValue(
                f"PRE has {what}: a range begins at {iso_of(start_at)}, the one before "
                f"ends at {iso_of(expected_at)}"
            )
        if (end_at - start_at) % SECOND:
            raise InvalidValue(
                f"PRE range {iso_of(start_at)}..{iso_of(end_at)} is not whole seconds"
            )
        for value in (lower_w, upper_w):
            if not abs(value) <= POWER_LIMIT_W:  # also catches NaN
                raise InvalidValue(
                    f"PRE range at {iso_of(start_at)}: {value} W is not a finite power"
                )
        # Inward, so that rounding never widens what the RM allowed.
        ranges.append(
            Range((end_at - start_at) // SECOND, -int(-lower_w // 1), int(upper_w // 1))
        )
        expected_at = end_at
    envelope = PowerRangeEnvelope(spans[0][0], tuple(ranges))
    envelope.check()
    return envelope
