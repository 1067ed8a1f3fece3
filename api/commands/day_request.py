"""From the options of ``simulate`` to the day it asks for, or what is wrong."""

import math
import re
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from benchmarks.data.pre_file import read_pre
from benchmarks.data.sessions import (
    Sessions,
    day_bounds,
    local_day,
    read_sessions,
    sessions_of_day,
)
from benchmarks.data.site import read_site, site_of_stations
from benchmarks.simulator.day import STRATEGIES, DayRequest
from domain.errors import InvalidValue
from domain.model.profile import POWER_LIMIT_W, PowerRangeEnvelope
from domain.model.values import SECOND, iso_of

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class DayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given."""

    sessions: Path
    day: str
    capacity_kw: float
    tz: str | None = None
    site: Path | None = None
    pre: Path | None = None
    flat_pre: bool = False
    seed: int = 0


def strategies_of(asked: str | None) -> tuple[str, ...]:
    """Return the strategies to run: the one asked for, else all, ours first."""
    if asked is None:
        return STRATEGIES
    if asked not in STRATEGIES:
        raise InvalidValue(
            f"--strategy {asked!r} is not one of {', '.join(STRATEGIES)}"
        )
    return (asked,)


def request_of(options: DayOptions) -> DayRequest:
    """Return the day that the options ask for."""
    day, capacity_w, tz = _day(options), _capacity_w(options), _zone(options)
    if options.pre is not None and options.flat_pre:
        raise InvalidValue("--pre and --flat-pre both say what the PRE is: give one")
    sessions = read_sessions(options.sessions, tz)
    _check_arrivals(options, sessions, day)
    stations = sessions.station_ids
    site = (
        read_site(options.site, stations)
        if options.site
        else site_of_stations(stations)
    )
    return DayRequest(
        sessions=sessions,
        site=site,
        day=day,
        capacity_w=capacity_w,
        tz=tz,
        pre=_pre(options.pre, sessions, day) if options.pre else None,
        flat_pre=options.flat_pre,
        seed=options.seed,
    )


def _day(options: DayOptions) -> date:
    try:
        if _DAY.fullmatch(options.day):
            return date.fromisoformat(options.day)
    except ValueError:
        pass
    raise InvalidValue(f"--date {options.day!r} is not a day as YYYY-MM-DD")


def _capacity_w(options: DayOptions) -> int:
    limit_kw = POWER_LIMIT_W / 1_000
    if not (math.isfinite(options.capacity_kw) and 0 < options.capacity_kw <= limit_kw):
        raise InvalidValue(
            f"--capacity-kw {options.capacity_kw:g} is not above 0 and at most "
            f"{limit_kw:g} kW"
        )
    return round(options.capacity_kw * 1_000)


def _zone(options: DayOptions) -> ZoneInfo | None:
    if options.tz is None:
        return None
    try:
        return ZoneInfo(options.tz)
    except (KeyError, ValueError, OSError):  # no name, no path of a zone, a folder
        raise InvalidValue(
            f"--tz {options.tz!r} is no time zone as America/Los_Angeles"
        ) from None


def _check_arrivals(options: DayOptions, sessions: Sessions, day: date) -> None:
    if not sessions_of_day(sessions, day):
        days = [local_day(record) for record in sessions.records]
        raise InvalidValue(
            f"--date {day}: no session of {options.sessions} arrives then; its days "
            f"are {min(days)}..{max(days)}"
        )


def _pre(path: Path, sessions: Sessions, day: date) -> PowerRangeEnvelope:
    envelope = read_pre(path)
    start_at, end_at = day_bounds(sessions, day)
    seconds = sum(r.duration_s for r in envelope.ranges)
    until_at = envelope.start_at + seconds * SECOND
    if envelope.start_at >= end_at or until_at <= start_at:
        raise InvalidValue(
            f"{path}: the PRE is of {iso_of(envelope.start_at)}..{iso_of(until_at)}, "
            f"the day of {iso_of(start_at)}..{iso_of(end_at)}"
        )
    return envelope
