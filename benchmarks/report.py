"""The report of a simulated day: one HTML file that needs nothing else."""

from collections.abc import Callable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from benchmarks.simulator.day import DayFigures, DayOutcome


class Figure(msgspec.Struct, frozen=True):
    """One key figure: its name, its text, and its value with which one is better.

    ``better`` is 1 when more is better, -1 when less is, 0 when neither.
    """

    name: str
    text: Callable[[DayFigures], str]
    value: Callable[[DayFigures], float]
    better: int = 0


def _kwh(energy_wh: int) -> str:
    return f"{energy_wh / 1_000:.1f}"


FIGURES = (
    Figure(
        "drivers served, of servable",
        lambda f: f"{f.drivers_served} of {f.drivers_servable}",
        lambda f: f.drivers_served,
        1,
    ),
    Figure(
        "kWh delivered, of needed",
        lambda f: f"{_kwh(f.energy_delivered_wh)} of {_kwh(f.energy_needed_wh)}",
        lambda f: f.energy_delivered_wh,
        1,
    ),
    Figure(
        "minutes outside the PRE",
        lambda f: str(f.pre_violation_steps),
        lambda f: f.pre_violation_steps,
        -1,
    ),
    Figure(
        "kWh outside the PRE",
        lambda f: _kwh(f.pre_violation_wh),
        lambda f: f.pre_violation_wh,
        -1,
    ),
    Figure(
        "AETPs outside the PRE",
        lambda f: str(f.aetp_outside_pre),
        lambda f: f.aetp_outside_pre,
        -1,
    ),
    Figure("plans", lambda f: str(f.plans), lambda f: f.plans),
    Figure("ETPs changed", lambda f: str(f.etps_changed), lambda f: f.etps_changed, -1),
    Figure(
        "ms a plan, p50 / p99",
        lambda f: f"{f.plan_ms_p50:.1f} / {f.plan_ms_p99:.1f}",
        lambda f: f.plan_ms_p99,
    ),
    Figure("events in the ledger", lambda f: str(f.events), lambda f: f.events),
    Figure("s to simulate", lambda f: f"{f.wall_s:.1f}", lambda f: f.wall_s),
)


def best_of(figure: Figure, figures: Sequence[DayFigures]) -> set[str]:
    """Return which strategies are best in a figure, of those that keep the PRE.

    None when there is nothing to choose: who breaks the PRE may serve everybody.
    """
    keeping = [f for f in figures if f.pre_violation_steps == 0]
    values = {f.strategy: figure.better * figure.value(f) for f in keeping}
    if not figure.better or len(set(values.values())) < 2:
        return set()
    return {strategy for strategy, v in values.items() if v == max(values.values())}


def write_report(
    outcomes: Sequence[DayOutcome], path: Path, *, tz: ZoneInfo | None = None
) -> None:
    """Write the report of a day; the first outcome is the one in the large pictures."""
    path.write_text("<!doctype html>\n", "utf-8")
