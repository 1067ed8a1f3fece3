"""The site's building and roof: what they leave of the capacity is the PRE.

By local time of day h in hours and capacity C, per quarter hour at its middle::

    building = C * (0.12 + 0.13 * max(0, sin(pi * (h - 6) / 14)))     6 h to 20 h
    pv       = C * 0.20 * max(0, sin(pi * (h - 7) / 11)) ** 1.5       7 h to 18 h
    PRE      = [0, C - building + pv], at most C

The figures are ours: an office building whose base load is 12 % of the capacity and
whose day peaks at 25 %, with a roof that gives 20 % of the capacity at its best.
"""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.values import QUARTER_HOUR, SECOND, Instant


def building_share(hour: float) -> float:
    """Return the building's load as a share of the capacity."""
    return 0.12 + 0.13 * max(0.0, math.sin(math.pi * (hour - 6) / 14))


def pv_share(hour: float) -> float:
    """Return the roof's power as a share of the capacity."""
    if not 7 < hour < 18:
        return 0.0
    return float(0.20 * math.sin(math.pi * (hour - 7) / 11) ** 1.5)


def envelope(
    capacity_w: int, start_at: Instant, end_at: Instant, tz: ZoneInfo
) -> PowerRangeEnvelope:
    """Return the PRE of a day by the formula, in quarter hours."""
    ranges = []
    for at in range(start_at, end_at, QUARTER_HOUR):
        middle = datetime.fromtimestamp(0, UTC) + timedelta(
            microseconds=at + QUARTER_HOUR // 2
        )
        local = middle.astimezone(tz)
        hour = local.hour + local.minute / 60 + local.second / 3600
        hour_in_day = hour if 6 <= hour <= 20 else 6.0
        share = 1 - building_share(hour_in_day) + pv_share(hour)
        ranges.append(Range(900, 0, min(int(capacity_w * share), capacity_w)))
    return PowerRangeEnvelope(start_at, tuple(ranges))


def flat_envelope(
    capacity_w: int, start_at: Instant, end_at: Instant
) -> PowerRangeEnvelope:
    """Return the PRE that is the capacity alone."""
    duration_s = (end_at - start_at) // SECOND
    return PowerRangeEnvelope(start_at, (Range(duration_s, 0, capacity_w),))
