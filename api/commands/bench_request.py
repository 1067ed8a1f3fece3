"""From the options of ``bench`` to the study it asks for, or what is wrong."""

import math
import re
from datetime import date
from pathlib import Path

import msgspec

from benchmarks.data.sessions import Sessions, local_day, read_sessions
from benchmarks.laboratory.fleet import fleet_of
from benchmarks.laboratory.generated import generated_sessions
from benchmarks.laboratory.prices import DEFAULT_PER_KWH, read_prices
from benchmarks.laboratory.setting import SETTINGS, Departures, Energy, Setting
from benchmarks.laboratory.site import CALTECH, EVSE_MAX_W, SITES, site_of
from benchmarks.laboratory.study import Study, all_strategies, check_strategies
from benchmarks.scenarios.caltech import caltech_network
from domain.errors import InvalidValue
from domain.model.profile import POWER_LIMIT_W

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GENERATED = re.compile(r"generated(?::([0-9]{1,5}))?")
_GENERATED_PER_DAY = 45
_GENERATED_STATIONS = 54

Span = tuple[date, date]


class BenchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given."""

    sessions: str
    site: str
    capacity_kw: str
    strategies: str
    days: str
    setting: str = "standard"
    departures: str | None = None
    energy: str | None = None
    step_min: float | None = None
    replan_steps: int | None = None
    minimum_share: float = 0.0
    prices: Path | None = None
    plan_by_price: bool = False
    seed: int = 0


def study_of(options: BenchOptions) -> Study:
    """Return the study that the options ask for.

    Raises
    ------
    InvalidValue
        for anything that is not understood, naming option, value and rule.
    """
    capacities = _capacities_kw(options.capacity_kw)
    names, spans, setting = _names(options), _spans(options.days), _setting(options)
    if options.site not in SITES:
        raise InvalidValue(f"--site {options.site!r} is not one of {', '.join(SITES)}")
    sessions = _sessions(options, spans)
    stations = sessions.station_ids
    site_of(options.site, capacities[0], stations)  # refuses unknown stations
    fleets = tuple(
        fleet_of(
            sessions, first, last, setting, evse_max_w=EVSE_MAX_W, seed=options.seed
        )
        for first, last in _with_sessions(spans, sessions)
    )
    return Study(
        fleets=fleets,
        site=options.site,
        station_ids=stations,
        capacities_kw=capacities,
        strategies=names,
        setting=setting,
        price_by_hour=(
            read_prices(options.prices) if options.prices else DEFAULT_PER_KWH
        ),
        plans_by_price=options.plan_by_price,
    )


def _capacities_kw(text: str) -> tuple[float, ...]:
    limit_kw = POWER_LIMIT_W / 1_000
    found = []
    for part in _parts("--capacity-kw", text):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not 0 < value <= limit_kw:  # also refuses NaN
            raise InvalidValue(
                f"--capacity-kw {part!r} is not above 0 and at most {limit_kw:g} kW"
            )
        found.append(value)
    return tuple(found)


def _names(options: BenchOptions) -> tuple[str, ...]:
    if options.strategies == "all":
        names = all_strategies()
    else:
        names = _parts("--strategies", options.strategies)
    check_strategies(names)
    return tuple(names)


def _parts(option: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InvalidValue(f"{option} {text!r} has an empty part")
    twice = [part for part in parts if parts.count(part) > 1]
    if twice:
        raise InvalidValue(f"{option} {text!r} names {twice[0]!r} twice")
    return parts


def _spans(text: str) -> list[Span]:
    spans = []
    for part in _parts("--days", text):
        first, dots, last = part.partition("..")
        span = _day(part, first), _day(part, last if dots else first)
        if span[0] > span[1]:
            raise InvalidValue(f"--days {part!r} ends before it begins")
        spans.append(span)
    for (_, before), (after, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
        if after <= before:
            raise InvalidValue(f"--days {text!r} has {after} twice")
    return spans


def _day(part: str, text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidValue(
        f"--days {part!r} is not a day as YYYY-MM-DD or a span as FIRST..LAST"
    )


def _setting(options: BenchOptions) -> Setting:
    known = SETTINGS.get(options.setting)
    if known is None:
        raise InvalidValue(
            f"--setting {options.setting!r} is not one of {', '.join(SETTINGS)}"
        )
    step_s = known.step_s if options.step_min is None else options.step_min * 60
    if not (math.isfinite(step_s) and step_s == int(step_s)):
        raise InvalidValue(f"--step-min {options.step_min:g} is not whole seconds")

    def steps_of(steps: int) -> int:
        """Return as many new steps as last as long."""
        return max(steps * known.step_s // max(int(step_s), 1), 1)

    replan = options.replan_steps
    return msgspec.structs.replace(
        known,
        step_s=int(step_s),
        horizon_steps=steps_of(known.horizon_steps),
        coarse_steps=steps_of(known.coarse_steps),
        replan_steps=steps_of(known.replan_steps) if replan is None else replan,
        departures=_one_of("--departures", options.departures, known.departures),
        energy=_one_of("--energy", options.energy, known.energy),
        minimum_share=options.minimum_share,
    )


def _one_of(
    option: str, given: str | None, default: Departures | Energy
) -> Departures | Energy:
    if given is None:
        return default
    kind = type(default)
    try:
        return kind(given)
    except ValueError:
        raise InvalidValue(
            f"{option} {given!r} is not one of {', '.join(kind)}"
        ) from None


def _sessions(options: BenchOptions, spans: list[Span]) -> Sessions:
    generated = _GENERATED.fullmatch(options.sessions)
    if generated is None:
        return read_sessions(Path(options.sessions))
    per_day = int(generated[1] or _GENERATED_PER_DAY)
    if options.site == CALTECH:
        stations = caltech_network().station_ids
    else:
        stations = tuple(f"LAB-{i:03}" for i in range(_GENERATED_STATIONS))
    first, last = min(s[0] for s in spans), max(s[1] for s in spans)
    return generated_sessions(first, last, per_day, stations, options.seed)


def _with_sessions(spans: list[Span], sessions: Sessions) -> list[Span]:
    """Return the spans; refuse one in which nobody arrives."""
    days = {local_day(record) for record in sessions.records}
    for first, last in spans:
        if not any(first <= day <= last for day in days):
            raise InvalidValue(
                f"--days {first}..{last}: no session arrives then"
                + (f"; days are {min(days)}..{max(days)}" if days else "")
            )
    return spans
