"""The pictures of a study, as inline SVG: bars, served shares, the day, plan times."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.laboratory.study import Run
from benchmarks.svg import legend, line, rect, svg, text
from optimizer.checks import Floats

WIDE = 1140
_LEFT, _RIGHT, _TOP, _LOW = 50, 16, 14, 44
COLOURS = 12


def colour(index: int) -> str:
    """Return the class of a strategy's colour."""
    return f"c{index % COLOURS}"


def strategies_legend(strategies: Sequence[str]) -> str:
    """Return which colour is which strategy's."""
    return legend(
        *((rect(0, 0, 22, 12, colour(i)), name) for i, name in enumerate(strategies))
    )


def bars(
    what: str,
    unit: str,
    digits: int,
    runs: Sequence[Run],
    strategies: Sequence[str],
    value_of: Callable[[Run], float],
) -> str:
    """Return a bar for each strategy, in a group for each capacity, from 0 up.

    Values are written with so many ``digits`` after the point.
    """
    capacities = sorted({run.capacity_kw for run in runs})
    values = {(r.capacity_kw, r.strategy): value_of(r) for r in runs}
    top = _round_up(max(values.values(), default=1.0))
    height, low = 250, 250 - _LOW
    group = (WIDE - _LEFT - _RIGHT) / max(len(capacities), 1)
    pitch = min(0.9 * group / len(strategies), 60.0)
    parts = _levels(top, unit, low)
    for g, capacity in enumerate(capacities):
        begin = _LEFT + (g + 0.5) * group - pitch * len(strategies) / 2
        parts.append(
            text(_LEFT + (g + 0.5) * group, low + 18, f"{capacity:g} kW", "middle")
        )
        for i, name in enumerate(strategies):
            if (capacity, name) not in values:
                continue
            value = values[capacity, name]
            high = value / top * (low - _TOP)
            said = f"{name}, {capacity:g} kW: {value:.2f} {unit}"
            parts.append(
                rect(begin + i * pitch, low - high, 0.86 * pitch, high, colour(i), said)
            )
            if pitch > 26:
                x = begin + (i + 0.43) * pitch
                parts.append(text(x, low - high - 3, f"{value:.{digits}f}", "middle"))
    return svg(WIDE, height, what, parts)


def share_curves(
    runs: Sequence[Run], strategies: Sequence[str], shares: Callable[[Run], Floats]
) -> str:
    """Return each strategy's served shares, the best served driver first."""
    height, low = 300, 300 - _LOW
    parts = _levels(100.0, "%", low)
    for percent in (0, 25, 50, 75, 100):
        x = _LEFT + percent / 100 * (WIDE - _LEFT - _RIGHT)
        said = f"{percent} %" + (" of the drivers" if percent == 50 else "")
        parts.append(text(x, low + 18, said, "middle"))
    for run in runs:
        ordered = np.sort(shares(run))[::-1]
        at = (np.arange(ordered.size) + 0.5) / ordered.size
        parts.append(
            _line_of(
                [_LEFT + x * (WIDE - _LEFT - _RIGHT) for x in at],
                [low - y * (low - _TOP) for y in ordered],
                strategies.index(run.strategy),
                run.strategy,
            )
        )
    return svg(WIDE, height, "served share of the drivers, best first", parts)


def day_curves(runs: Sequence[Run], strategies: Sequence[str]) -> str:
    """Return the mean power over the hours of the day."""
    height, low = 300, 300 - _LOW
    profiles = [(r, r.profile_kw) for r in runs if r.profile_kw is not None]
    top = _round_up(max((float(p.max()) for _, p in profiles), default=1.0))
    parts = _levels(top, "kW", low)
    for hour in range(0, 25, 2):
        x = _LEFT + hour / 24 * (WIDE - _LEFT - _RIGHT)
        parts.append(text(x, low + 18, f"{hour:02}:00", "middle"))
    for run, profile in profiles:
        at = np.arange(profile.size) / profile.size
        parts.append(
            _line_of(
                [_LEFT + x * (WIDE - _LEFT - _RIGHT) for x in at],
                [low - y / top * (low - _TOP) for y in profile],
                strategies.index(run.strategy),
                run.strategy,
            )
        )
    return svg(WIDE, height, "mean power over the day", parts)


def plan_times(runs: Sequence[Run], strategies: Sequence[str]) -> str:
    """Return mean, p99 and largest time of a plan, on a logarithmic axis."""
    row, left = 18, 210
    height = _TOP + row * len(runs) + _LOW
    times = [max(t, 1e-3) for r in runs for t in _ms(r)]
    from_, to = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    to = max(to, from_ + 1)

    def x_of(ms: float) -> float:
        share = (math.log10(max(ms, 1e-3)) - from_) / (to - from_)
        return round(left + share * (WIDE - left - _RIGHT - 30), 1)

    parts = []
    for exponent in range(from_, to + 1):
        x = x_of(10**exponent)
        parts.append(line(x, _TOP, x, height - _LOW))
        parts.append(text(x, height - _LOW + 18, f"{10**exponent:g} ms", "middle"))
    for k, run in enumerate(runs):
        y = _TOP + k * row
        mean, p99, largest = _ms(run)
        parts.append(
            text(left - 8, y + 12, f"{run.strategy}, {run.capacity_kw:g} kW", "end")
        )
        said = (
            f"{run.strategy}: mean {mean:.3f}, p99 {p99:.3f}, largest {largest:.3f} ms"
        )
        kind = colour(strategies.index(run.strategy))
        parts.append(line(x_of(mean), y + 8, x_of(largest), y + 8, "whisker"))
        for ms, size in ((mean, 9), (p99, 6), (largest, 4)):
            x = x_of(ms) - size / 2
            parts.append(rect(x, y + 8 - size / 2, size, size, kind, said))
    return svg(WIDE, height, "time of a plan: mean, p99, largest", parts)


def _ms(run: Run) -> tuple[float, float, float]:
    return run.times.plan_ms_mean, run.times.plan_ms_p99, run.times.plan_ms_max


def _levels(top: float, unit: str, low: float) -> list[str]:
    parts = []
    for quarter in range(5):
        y = round(low - quarter / 4 * (low - _TOP), 1)
        parts.append(line(_LEFT, y, WIDE - _RIGHT, y))
        parts.append(text(_LEFT - 6, y + 4, f"{top * quarter / 4:g} {unit}", "end"))
    return parts


def _line_of(x: Sequence[float], y: Sequence[float], index: int, name: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<polyline class="curve {colour(index)}" points="{points}">'
        f"<title>{name}</title></polyline>"
    )


def _round_up(value: float) -> float:
    """Return the next number of 1, 2, 2.5, 4, 5, 8 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * m for m in (1, 2, 2.5, 4, 5, 8, 10, 20) if power * m >= value)
