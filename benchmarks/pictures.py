"""The pictures of a day's report, as inline SVG."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from benchmarks.simulator.day import DayOutcome, DriverOutcome
from benchmarks.svg import HATCH, legend, line, rect, stairs, svg, text, upright
from domain.model.values import HOUR, MINUTE, SECOND, Instant, datetime_of

WIDE = 1140
_TOP, _BOTTOM, _RIGHT = 12, 26, 24
_ROW = 16
# Readers hover over spans of this length.
_HOVER_MINUTES = 10

ToX = Callable[[float], float]


class DayAxis(msgspec.Struct, frozen=True):
    """What the pictures of a day share: its span, its zone, its largest ETP."""

    start_at: Instant
    end_at: Instant
    tz: ZoneInfo | None
    most_evse_w: float

    @classmethod
    def of(cls, outcomes: Sequence[DayOutcome], tz: ZoneInfo | None) -> "DayAxis":
        """Return the axis on which all outcomes can be compared."""
        start_at = outcomes[0].start_at
        minutes = max(1, *(len(o.power_w) for o in outcomes))
        etps = [1.0, *(w for o in outcomes for _, _, w in o.etps)]
        end_at = start_at + minutes * MINUTE
        return cls(start_at, end_at, tz, float(max(etps)))

    @property
    def zone_name(self) -> str:
        """Return what the times mean, for people."""
        return f"of {self.tz.key}" if self.tz else "counted from the local midnight"

    def clock(self, at: Instant) -> str:
        """Return the local time of day, with the days after when it is a later one."""
        days, minute = divmod(self._minutes(at), 24 * 60)
        shown = f"{minute // 60:02}:{minute % 60:02}"
        return f"{shown} +{days} d" if days else shown

    def hours(self) -> Iterator[tuple[Instant, str]]:
        """Yield every second full hour of local time and its label."""
        for at in range(self.start_at, self.end_at + 1, HOUR):
            hour = self._minutes(at) // 60
            if hour % 2 == 0:
                yield at, f"{hour:02}:00"

    def to_x(self, left: float, right: float) -> ToX:
        """Return how instants lie between two pixels."""
        length = self.end_at - self.start_at
        return lambda at: round(
            left + (at - self.start_at) / length * (right - left), 1
        )

    def _minutes(self, at: Instant) -> int:
        return (self._on_wall(at) - self._on_wall(self.start_at)) // MINUTE

    def _on_wall(self, at: Instant) -> Instant:
        if self.tz is None:
            return at
        offset = datetime_of(at).astimezone(self.tz).utcoffset()
        assert offset is not None  # only naive times have none
        return at + round(offset.total_seconds()) * SECOND


def due_wh(driver: DriverOutcome) -> int:
    """Return what a driver was due: the smaller of asked and taken [Wh]."""
    return min(driver.asked_wh, driver.takes_wh)


def share_of(driver: DriverOutcome) -> float:
    """Return the share of what was due that a driver got; 1 when nothing was due."""
    due = due_wh(driver)
    return driver.got_wh / due if due else 1.0


def most_w(outcome: DayOutcome) -> float:
    """Return the largest of the PRE and the power drawn [W]."""
    found = (max(outcome.pre_upper_w, default=0), max(outcome.power_w, default=0))
    return max(1_000.0, *map(float, found))


def power(
    outcome: DayOutcome, axis: DayAxis, top_w: float, *, width: int, height: int
) -> str:
    """Return PRE, AETP and measured power over the day, up to ``top_w``."""
    left, low = 44, height - _BOTTOM
    x_of = axis.to_x(left, width - _RIGHT)
    top_w *= 1.08

    def y_of(power_w: float) -> float:
        return round(low - float(power_w) / top_w * (low - _TOP), 1)

    minutes = len(outcome.power_w)
    x = [x_of(outcome.start_at + i * MINUTE) for i in range(minutes + 1)]
    if not minutes:
        return svg(width, height, "no power", [])
    drawn = [y_of(w) for w in outcome.power_w]
    upper = [y_of(w) for w in outcome.pre_upper_w]
    pre, drawn_path = stairs(x, upper), stairs(x, drawn)
    parts = [
        f'<path class="pre" d="{pre}V{low}H{x[0]}Z"/>',
        *_hours(axis, x_of, low),
        *_powers(top_w, y_of, left, width - _RIGHT),
        *(
            rect(x[i], drawn[i], x[i + 1] - x[i] + 0.2, upper[i] - drawn[i], "outside")
            for i in range(minutes)
            if outcome.power_w[i] > outcome.pre_upper_w[i] + 1
        ),
        f'<path class="pre-edge" d="{pre}"/>',
    ]
    if outcome.aetp_w:
        aetp_x = [x_of(at) for at, _ in outcome.aetp_w] + [x[-1]]
        aetp = stairs(aetp_x, [y_of(w) for _, w in outcome.aetp_w])
        parts.append(f'<path class="aetp" d="{aetp}"/>')
    parts.append(f'<path class="power" d="{drawn_path}"/>')
    parts += _power_hovers(outcome, axis, x, low)
    return svg(width, height, "power of the site over the day", parts)


def _power_hovers(
    outcome: DayOutcome, axis: DayAxis, x: Sequence[float], low: float
) -> Iterator[str]:
    for i in range(0, len(outcome.power_w), _HOVER_MINUTES):
        to = min(i + _HOVER_MINUTES, len(outcome.power_w))
        said = (
            f"{axis.clock(outcome.start_at + i * MINUTE)}: "
            f"{np.mean(outcome.power_w[i:to]) / 1_000:.1f} kW drawn, PRE up to "
            f"{np.min(outcome.pre_upper_w[i:to]) / 1_000:.1f} kW"
        )
        yield rect(x[i], _TOP, x[to] - x[i], low - _TOP, "hover", said)


def power_legend() -> str:
    """Return what the lines of `power` are."""
    return legend(
        (rect(0, 0, 22, 12, "pre"), "PRE, from 0 to its upper power"),
        (line(0, 6, 22, 6, "aetp"), "AETP"),
        (line(0, 6, 22, 6, "power"), "power drawn, mean of each minute"),
        (rect(0, 0, 22, 12, "outside"), "power outside the PRE"),
    )


def worth(outcome: DayOutcome, axis: DayAxis) -> str:
    """Return what one more Wh of PRE was worth by the plans of the day, 0..1 Wh."""
    left, low = 44, 120 - _BOTTOM
    x_of = axis.to_x(left, WIDE - _RIGHT)

    def y_of(permille: float) -> float:
        return round(low - permille / 1_080 * (low - _TOP), 1)

    parts = [*_hours(axis, x_of, low)]
    for permille in (0, 500, 1_000):
        y = y_of(permille)
        parts.append(line(left, y, WIDE - _RIGHT, y))
        parts.append(text(left - 6, y + 4, f"{permille / 1_000:g}", "end"))
    if outcome.pre_worth:
        end = outcome.start_at + len(outcome.power_w) * MINUTE
        x = [x_of(min(at, end)) for at, _ in outcome.pre_worth] + [x_of(end)]
        path = stairs(x, [y_of(value) for _, value in outcome.pre_worth])
        parts.append(f'<path class="aetp" d="{path}"/>')
    return svg(WIDE, 120, "worth of the PRE over the day", parts)


def etps(outcome: DayOutcome, axis: DayAxis) -> str:
    """Return the ETPs of every EVSE that had a car, a row each."""
    evse_ids = list(dict.fromkeys(d.evse_id for d in outcome.drivers))
    left, low = 112, _TOP + _ROW * len(evse_ids)
    x_of = axis.to_x(left, WIDE - _RIGHT)
    parts = []
    for index, evse_id in enumerate(evse_ids):
        y = _TOP + index * _ROW
        parts.append(text(left - 6, y + 11, evse_id, "end"))
        allowed = [(at, w) for e, at, w in outcome.etps if e == evse_id]
        for driver in outcome.drivers:
            if driver.evse_id == evse_id:
                parts += _stay(driver, allowed, axis, x_of, y + 2)
    height = low + _BOTTOM
    parts = [*_hours(axis, x_of, low), *parts]
    return svg(WIDE, height, "ETPs of each EVSE over the day", parts)


def _stay(
    driver: DriverOutcome,
    allowed: Sequence[tuple[Instant, int]],
    axis: DayAxis,
    x_of: ToX,
    y: float,
) -> Iterator[str]:
    """Yield one car's stay: its presence, its ETPs, its frame, how it ended."""
    high = _ROW - 4
    begin, end = driver.arrival_at, min(driver.departure_at, axis.end_at)
    said = (
        f"{driver.evse_id}, {axis.clock(driver.arrival_at)} to "
        f"{axis.clock(driver.departure_at)}: got {driver.got_wh / 1_000:.1f} of "
        f"{due_wh(driver) / 1_000:.1f} kWh"
    )
    yield rect(x_of(begin), y, x_of(end) - x_of(begin), high, "stay", said)
    changes = [(at, w) for at, w in allowed if begin <= at < end] + [(end, 0)]
    for (at, power_w), (until, _) in pairwise(changes):
        if power_w > 0 and until > at:
            yield rect(
                x_of(at),
                y,
                x_of(until) - x_of(at),
                high,
                "etp",
                f"{said}; from {axis.clock(at)}: {power_w / 1_000:.1f} kW",
                fill_opacity=f"{_darkness(power_w, axis.most_evse_w):.2f}",
            )
    yield rect(x_of(begin), y, x_of(end) - x_of(begin), high, "frame")
    kind, mark = ("served", "✓") if driver.served else ("unserved", "✗")
    if driver.cut_off:
        mark += "…"
    yield (f'<text class="{kind}" x="{x_of(end) + 2:g}" y="{y + 10:g}">{mark}</text>')


def _darkness(power_w: float, most_w: float) -> float:
    return 0.15 + 0.85 * power_w / most_w


def etps_legend(most_w: float) -> str:
    """Return what the shades of `etps` are."""
    shades = [0.2, 0.4, 0.7, 1.0]
    entries = [(rect(0, 0, 22, 12, "stay") + _frame(), "plugged in, ETP 0")]
    for share in shades:
        fill = rect(
            0, 0, 22, 12, "etp", fill_opacity=f"{_darkness(share * most_w, most_w):.2f}"
        )
        entries.append((fill, f"{share * most_w / 1_000:.1f} kW"))
    entries.append(('<text x="4" y="10">✓</text>', "served"))
    entries.append(('<text x="4" y="10">✗</text>', "not served"))
    entries.append(('<text x="2" y="10">…</text>', "cut off at the day's end"))
    return legend(*entries)


def _frame() -> str:
    return rect(0.5, 0.5, 21, 11, "frame")


def shares(outcome: DayOutcome, beside: DayOutcome | None) -> str:
    """Return what each driver got of what was due, the largest share first."""
    height, left, label = 300, 44, 96
    low = height - label
    ordered = sorted(outcome.drivers, key=lambda d: (-share_of(d), -due_wh(d)))
    pitch = (WIDE - left - _RIGHT) / max(len(ordered), 1)
    others = {d.label: share_of(d) for d in beside.drivers} if beside else {}

    def y_of(share: float) -> float:
        return round(low - min(share, 1.1) / 1.1 * (low - _TOP), 1)

    parts = [HATCH]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(line(left, y_of(share), WIDE - _RIGHT, y_of(share)))
        parts.append(text(left - 6, y_of(share) + 4, f"{share:.0%}", "end"))
    for index, driver in enumerate(ordered):
        x, top = left + index * pitch, y_of(share_of(driver))
        box = (x + 0.1 * pitch, top, 0.8 * pitch, low - top)
        kind = "served" if driver.served else "unserved"
        parts.append(rect(*box, kind, _share_said(driver)))
        if not driver.claimed:
            parts.append(rect(*box, "hatched", fill="url(#hatch)"))
        if driver.label in others:
            y = y_of(others[driver.label])
            parts.append(line(x, y, x + pitch, y, "tick"))
        parts.append(upright(x + pitch / 2 + 4, low + 5, driver.evse_id))
    return svg(WIDE, height, "served share by driver", parts)


def _share_said(driver: DriverOutcome) -> str:
    return (
        f"{driver.evse_id}, session {driver.label}: got {driver.got_wh / 1_000:.1f} of "
        f"{due_wh(driver) / 1_000:.1f} kWh (asked {driver.asked_wh / 1_000:.1f}, took "
        f"{driver.takes_wh / 1_000:.1f} on the real day)"
    )


def shares_legend(beside: str) -> str:
    """Return what the bars of `shares` are, with the strategy that the ticks are of."""
    hatched = rect(0, 0, 22, 12, "served") + rect(
        0, 0, 22, 12, "hatched", fill="url(#hatch)"
    )
    entries = [
        (rect(0, 0, 22, 12, "served"), "served"),
        (rect(0, 0, 22, 12, "unserved"), "not served"),
        (hatched, "stated no needs"),
    ]
    if beside:
        entries.append((line(0, 6, 22, 6, "tick"), f"the same driver under {beside}"))
    return legend(*entries)


def plan_times(outcome: DayOutcome) -> str:
    """Return how many plans took how long; time on a logarithmic axis."""
    width, height, left = 560, 194, 44
    low = height - _BOTTOM - 16
    times = np.maximum(outcome.plan_ms, 0.001)
    from_, to = math.floor(math.log10(times.min())), math.ceil(math.log10(times.max()))
    to = max(to, from_ + 1)
    counts, edges = np.histogram(np.log10(times), bins=40, range=(from_, to))
    most = max(int(counts.max()), 1)

    def x_of(exponent: float) -> float:
        return round(
            left + (exponent - from_) / (to - from_) * (width - left - _RIGHT), 1
        )

    parts = [
        line(left, low, width - _RIGHT, low),
        text(left - 6, _TOP + 8, str(most), "end"),
    ]
    for exponent in range(from_, to + 1):
        parts.append(line(x_of(exponent), _TOP, x_of(exponent), low))
        parts.append(text(x_of(exponent), low + 16, f"{10**exponent:g} ms", "middle"))
    for i, count in enumerate(counts):
        x, y = x_of(edges[i]), low - count / most * (low - _TOP)
        said = f"{10 ** edges[i]:.2f} to {10 ** edges[i + 1]:.2f} ms: {count} plans"
        parts.append(rect(x, y, x_of(edges[i + 1]) - x - 1, low - y, "bar", said))
    f = outcome.figures
    marks = (("p50", f.plan_ms_p50, -4, "end"), ("p99", f.plan_ms_p99, 4, "start"))
    for name, ms, aside, anchor in marks:
        x = x_of(math.log10(max(ms, 0.001)))
        parts.append(line(x, _TOP, x, low, "mark"))
        parts.append(text(x + aside, _TOP + 8, f"{name} {ms:.1f} ms", anchor))
    parts.append(
        text(left, height - 5, "time to compute a plan; height: number of plans")
    )
    return svg(width, height, "distribution of plan times", parts)


def _hours(axis: DayAxis, x_of: ToX, low: float) -> Iterator[str]:
    for at, label in axis.hours():
        yield line(x_of(at), _TOP, x_of(at), low)
        yield text(x_of(at), low + 16, label, "middle")


def _powers(
    top_w: float, y_of: Callable[[float], float], left: float, right: float
) -> Iterator[str]:
    step_kw = _step(top_w / 1_000)
    for i in range(int(top_w / 1_000 / step_kw) + 1):
        y = y_of(i * step_kw * 1_000)
        yield line(left, y, right, y)
        yield text(left - 6, y + 4, f"{i * step_kw:g}", "end")
    yield text(2, _TOP + 2, "kW")


def _step(most: float) -> float:
    """Return a round step that divides up to ``most`` into at most six."""
    rough = most / 6
    power_of_ten = 10.0 ** math.floor(math.log10(rough))
    return next(
        power_of_ten * n for n in (1, 2, 5, 10) if power_of_ten * n >= rough * 0.999
    )
