"""``voltledger simulate``: a real day of a site, through the product's own code."""

import enum
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import typer
from rich.progress import Progress

from api.commands import run_folder
from api.commands.conducted import open_conducted_gateway
from api.commands.day_request import DayOptions, request_of, strategies_of
from api.commands.figures import as_object, show_run
from api.commands.terminal import AsJson, bars, print_json
from api.compose import open_projections, open_simulation
from benchmarks.kept import Kept, keep
from benchmarks.report import write_report
from benchmarks.simulator.day import (
    STRATEGIES,
    UNCONTROLLED,
    DayOutcome,
    DayRequest,
)
from benchmarks.simulator.memory_day import simulate_day
from benchmarks.simulator.ocpp.day import simulate_wired_day
from domain.errors import StoreError
from optimizer import Planner

SessionsFile = Annotated[
    Path, typer.Option(help="Sessions: CSV or CSV.gz.", metavar="FILE")
]
Day = Annotated[
    str, typer.Option("--date", help="Local day of arrival.", metavar="YYYY-MM-DD")
]
CapacityKw = Annotated[float, typer.Option(help="Capacity of the site [kW].")]
Out = Annotated[Path, typer.Option(help="Folder for stores and report.", metavar="DIR")]
Zone = Annotated[
    str | None, typer.Option(help="Time zone, as America/Los_Angeles.", metavar="ZONE")
]
SiteFile = Annotated[
    Path | None, typer.Option(help="Stations: JSON; else the file's.", metavar="FILE")
]
PreFile = Annotated[
    Path | None,
    typer.Option(help="PRE: CSV; else capacity - building + PV.", metavar="FILE"),
]
FlatPre = Annotated[
    bool, typer.Option("--flat-pre", help="The PRE is the capacity alone.")
]
Strategy = Annotated[
    str | None,
    typer.Option(help=f"Only one of {', '.join(STRATEGIES)}.", metavar="NAME"),
]


class Stations(enum.StrEnum):
    """How the stations of a simulated day are reached."""

    MEMORY = "memory"
    OCPP = "ocpp"


ReachedBy = Annotated[
    Stations,
    typer.Option(
        "--stations",
        help="ocpp: virtual stations of 1.6, 2.0.1 and 2.1, over sockets.",
        metavar="memory|ocpp",
    ),
]
Seed = Annotated[int, typer.Option(help="Decides cars, lags, ids and keys.")]


def simulate(
    sessions: SessionsFile,
    day: Day,
    capacity_kw: CapacityKw,
    out: Out,
    tz: Zone = None,
    site: SiteFile = None,
    pre: PreFile = None,
    flat_pre: FlatPre = False,
    strategy: Strategy = None,
    stations: ReachedBy = Stations.MEMORY,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Drive a real day through the product, compare strategies, write a report.

    The store of each strategy is DIR/STRATEGY and replaces that of an earlier run;
    DIR/report.html shows the day.
    """
    strategies = strategies_of(strategy)
    options = DayOptions(
        sessions=sessions,
        day=day,
        capacity_kw=capacity_kw,
        tz=tz,
        site=site,
        pre=pre,
        flat_pre=flat_pre,
        seed=seed,
    )
    request = request_of(options)
    run_folder.prepare(out, strategies)
    outcomes = _run(request, strategies, out, stations, silent=as_json)
    for outcome in outcomes:
        folder = out / outcome.figures.strategy
        keep(folder, Kept(seed=seed, tz=tz or "", outcome=outcome))
    shown = run_folder.outcomes_beside(out / strategies[0])
    report = out / run_folder.REPORT_FILE
    write_report([kept.outcome for kept in shown], report, tz=request.tz)
    figures = [outcome.figures for outcome in outcomes]
    if as_json:
        print_json(as_object(figures))
    else:
        show_run(outcomes, request, out)


def _run(
    request: DayRequest,
    strategies: Sequence[str],
    out: Path,
    stations: Stations,
    *,
    silent: bool,
) -> list[DayOutcome]:
    """Run the strategies, and uncontrolled at any rate: it says who is servable."""
    with bars(silent=silent) as progress, TemporaryDirectory() as aside:
        folders = {strategy: out / strategy for strategy in strategies}
        folders.setdefault(UNCONTROLLED, Path(aside) / UNCONTROLLED)
        outcomes = {
            strategy: _run_one(request, strategy, folder, stations, progress)
            for strategy, folder in folders.items()
        }
    servable = outcomes[UNCONTROLLED].figures.drivers_served
    return [_with_servable(outcomes[strategy], servable) for strategy in strategies]


def _run_one(
    request: DayRequest,
    strategy: str,
    folder: Path,
    stations: Stations,
    progress: Progress,
) -> DayOutcome:
    task = progress.add_task(strategy, total=1.0)

    def on_progress(share: float) -> None:
        progress.update(task, completed=share)

    if stations is Stations.OCPP:
        outcome = simulate_wired_day(
            request,
            strategy,
            Planner().plan,
            open_simulation,
            open_conducted_gateway,
            folder,
            on_progress,
        )
    else:
        plan = Planner().plan
        outcome = simulate_day(
            request, strategy, plan, open_simulation, folder, on_progress
        )
    with open_projections(folder) as runner:
        runner.catch_up()
        for health in runner.health():
            if health.state != "following":
                raise StoreError(
                    f"{folder}: projection {health.name} stopped at position "
                    f"{health.stopped_at_position}: {health.reason}"
                )
    progress.update(task, completed=1.0)
    return outcome


def _with_servable(outcome: DayOutcome, servable: int) -> DayOutcome:
    figures = msgspec.structs.replace(outcome.figures, drivers_servable=servable)
    return msgspec.structs.replace(outcome, figures=figures)
