"""Energy from the rounded registers of a meter: they telescope, nothing is lost.

An interval ends with the first register in a quarter hour. So the intervals are the
same in whatever order and however often the registers become known.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from domain.model.values import HOUR, QUARTER_HOUR, Instant

# A register may run this much faster than the EVSE's limit before it is implausible.
PLAUSIBLE_SHARE = 1.2
# Some meters tell whole kWh: theirs stands still, then takes a step of one.
PLAUSIBLE_WH = 1_000


class MeterPoint(msgspec.Struct, frozen=True, array_like=True):
    """Rounded registers of import and export [Wh] at an instant; None: not told."""

    at: Instant
    import_wh: int | None = None
    export_wh: int | None = None


class Register(NamedTuple):
    """A register [Wh] at an instant."""

    at: Instant
    wh: int


class Interval(NamedTuple):
    """Energy from an instant to another [Wh], and in all since the first register."""

    from_at: Instant
    until_at: Instant
    energy_wh: int
    total_wh: int


class Course(NamedTuple):
    """What registers tell: energy since the first one, and what is no part of it."""

    totals: tuple[Register, ...] = ()
    implausible: tuple[Register, ...] = ()

    @property
    def energy_wh(self) -> int:
        """Return the energy in all."""
        return self.totals[-1].wh if self.totals else 0


def ends_interval(metered_at: Instant, at: Instant) -> bool:
    """Whether a register ends the interval that the last one metered began."""
    return metered_at < at - at % QUARTER_HOUR


def intervals_of(totals: Sequence[Register]) -> list[Interval]:
    """Return the intervals between registers sorted by time; they begin at the first.

    What is left after the last one is no interval.
    """
    found: list[Interval] = []
    if not totals:
        return found
    last = totals[0]
    for each in totals[1:]:
        if ends_interval(last.at, each.at):
            gained_wh, total_wh = each.wh - last.wh, each.wh - totals[0].wh
            found.append(Interval(last.at, each.at, gained_wh, total_wh))
            last = each
    return found


def faster_than(before: Register, after: Register, max_w: int) -> bool:
    """Whether a register gained more than an EVSE of a limit gives."""
    hours = (after.at - before.at) / HOUR
    return after.wh - before.wh > max_w * hours * PLAUSIBLE_SHARE + PLAUSIBLE_WH


def course_of(registers: Iterable[Register], max_w: int) -> Course:
    """Return the energy that registers of an EVSE give, in whatever order they come.

    One that ran backwards or too fast is left out. Where the next ones go on from
    there, the register was reset: what it gained from then on counts too.
    """
    points = sorted(set(registers))
    if not points:
        return Course()
    totals = [Register(points[0].at, 0)]
    left_out: list[Register] = []
    last, odd = points[0], points[0]
    for i, each in enumerate(points[1:], start=1):
        if _follows(last, each, max_w):
            gained_wh = each.wh - last.wh
        elif odd is points[i - 1] and odd is not last and _follows(odd, each, max_w):
            gained_wh = each.wh - odd.wh
        else:
            left_out.append(each)
            odd = each
            continue
        totals.append(Register(each.at, totals[-1].wh + gained_wh))
        last = each
    return Course(tuple(totals), tuple(left_out))


def _follows(before: Register, after: Register, max_w: int) -> bool:
    return after.wh >= before.wh and not faster_than(before, after, max_w)
