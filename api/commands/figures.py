"""Key figures of simulated days on the terminal: strategies side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table

from api.commands.run_folder import REPORT_FILE
from api.commands.terminal import out as console
from api.commands.terminal import say
from benchmarks.data.sessions import separated, sessions_of_day
from benchmarks.report import FIGURES, Figure, best_of
from benchmarks.simulator.day import DayFigures, DayOutcome, DayRequest


def as_object(figures: Sequence[DayFigures]) -> dict[str, Any]:
    """Return what ``--json`` prints: the first one's figures, and all if several."""
    top = msgspec.structs.asdict(figures[0])
    if len(figures) > 1:
        top["strategies"] = [msgspec.structs.asdict(f) for f in figures]
    return top


def show_run(outcomes: Sequence[DayOutcome], request: DayRequest, folder: Path) -> None:
    """Print key figures, what was cut off, and where everything is."""
    show_figures([outcome.figures for outcome in outcomes])
    for line in _left_out(outcomes[0], request):
        say(line)
    say("")
    say(f"{folder / REPORT_FILE}: the day in pictures")
    for outcome in outcomes:
        store = folder / outcome.figures.strategy
        say(
            f"{store}: its store (ledger, samples, vault, master key), projections "
            "and outcome"
        )
    first = folder / outcomes[0].figures.strategy
    say(f"next: voltledger serve --store sqlite:///{first}")


def show_figures(figures: Sequence[DayFigures]) -> None:
    """Print a table of key figures, a column each strategy."""
    first = figures[0]
    table = Table(
        title=(
            f"{first.date}, capacity {first.capacity_w / 1_000:g} kW: "
            f"{first.drivers} drivers, {first.drivers_servable} servable;\n"
            f"{first.energy_requested_wh / 1_000:.1f} kWh asked, "
            f"{first.energy_needed_wh / 1_000:.1f} kWh needed"
        ),
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("", no_wrap=True)
    for f in figures:
        table.add_column(f.strategy, justify="right", no_wrap=True)
    for row in FIGURES:
        table.add_row(row.name, *_cells(row, figures))
    console().print(table)
    if len(figures) > 1:
        say("* the best of those that keep within the PRE")


def _cells(row: Figure, figures: Sequence[DayFigures]) -> list[str]:
    best = best_of(row, figures)
    return [
        f"[bold]{row.text(f)}[/bold] *" if f.strategy in best else f"{row.text(f)}  "
        for f in figures
    ]


def _left_out(outcome: DayOutcome, request: DayRequest) -> list[str]:
    cut = [driver.evse_id for driver in outcome.drivers if driver.cut_off]
    lines = []
    if cut:
        lines.append(
            f"{len(cut)} of {len(outcome.drivers)} cars were still plugged in at "
            f"24:00 and are cut off there: {', '.join(cut)}"
        )
    found = separated(sessions_of_day(request.sessions, request.day, request.tz))
    if found.delayed:
        lines.append(f"{found.delayed} sessions begin late: their EVSE was taken")
    if found.dropped:
        lines.append(f"{found.dropped} sessions left out: their EVSE was taken")
    return lines
