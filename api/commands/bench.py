"""``voltledger bench``: allocation strategies compared in closed loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.measure import Measurement
from rich.table import Table

from api.commands.bench_request import BenchOptions, study_of
from api.commands.terminal import (
    CHECK_FAILED,
    AsJson,
    bars,
    note,
    print_json,
    say,
)
from api.commands.terminal import out as console
from benchmarks.laboratory.page import COLUMNS, PAGE_FILE, write_page
from benchmarks.laboratory.study import Run, Study, run_study
from benchmarks.laboratory.tables import (
    DRIVERS_FILE,
    RUNS_FILE,
    Origin,
    origin_of,
    write_tables,
)
from domain.errors import InvalidValue

FIGURES_FILE = "figures.json"

SessionsGiven = Annotated[
    str,
    typer.Option(help="CSV or CSV.gz, or generated[:CARS A DAY].", metavar="FILE"),
]
Site = Annotated[str, typer.Option(help="caltech or flat.")]
CapacityKw = Annotated[
    str, typer.Option(help="Capacities of the zone [kW], as 20,30.", metavar="LIST")
]
Strategies = Annotated[str, typer.Option(help="Names, as a,b, or all.", metavar="LIST")]
Days = Annotated[
    str, typer.Option(help="FIRST..LAST or days, as A,B..C.", metavar="DAYS")
]
SettingName = Annotated[str, typer.Option(help="standard or realistic.")]
Out = Annotated[Path, typer.Option(help="Folder of tables and page.", metavar="DIR")]
DeparturesTold = Annotated[
    str | None, typer.Option(help="true or estimated; else the setting's.")
]
EnergyTold = Annotated[
    str | None, typer.Option(help="taken or asked; else the setting's.")
]
StepMin = Annotated[
    float | None, typer.Option(help="Length of a step [min]; else the setting's.")
]
ReplanSteps = Annotated[
    int | None, typer.Option(help="A plan after so many steps; else the setting's.")
]
MinimumShare = Annotated[
    float, typer.Option(help="Share of each need that is promised, 0..1.")
]
Prices = Annotated[
    Path | None,
    typer.Option(help="CSV of hour,price_per_kwh; else a default.", metavar="FILE"),
]
PlanByPrice = Annotated[
    bool, typer.Option("--plan-by-price", help="Let strategies see the prices.")
]
Processes = Annotated[int, typer.Option(help="Processes, or cores of a local Ray.")]
OnRay = Annotated[
    bool, typer.Option("--ray", help="Run on Ray: RAY_ADDRESS, else a local one.")
]
Seed = Annotated[int, typer.Option(help="Decides generated sessions and cars.")]


def bench(
    sessions: SessionsGiven,
    capacity_kw: CapacityKw,
    days: Days,
    out: Out,
    site: Site = "caltech",
    strategies: Strategies = "all",
    setting: SettingName = "standard",
    departures: DeparturesTold = None,
    energy: EnergyTold = None,
    step_min: StepMin = None,
    replan_steps: ReplanSteps = None,
    minimum_share: MinimumShare = 0.0,
    prices: Prices = None,
    plan_by_price: PlanByPrice = False,
    processes: Processes = 2,
    on_ray: OnRay = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Compare allocation strategies in closed loop; write tables and a page.

    DIR/runs.parquet has a row for each strategy at each capacity, DIR/drivers.parquet
    one for each driver in each of these; DIR/report.html shows them.
    """
    options = BenchOptions(
        sessions=sessions,
        site=site,
        capacity_kw=capacity_kw,
        strategies=strategies,
        days=days,
        setting=setting,
        departures=departures,
        energy=energy,
        step_min=step_min,
        replan_steps=replan_steps,
        minimum_share=minimum_share,
        prices=prices,
        plan_by_price=plan_by_price,
        seed=seed,
    )
    if processes < 1:
        raise InvalidValue(f"--processes {processes} is not 1 or more")
    study = study_of(options)
    _prepare(out)
    runs = _run(study, processes, on_ray=on_ray, silent=as_json)
    origin = origin_of(sessions, days, seed)
    write_tables(out, study, runs, origin)
    write_page(out / PAGE_FILE, study, runs, origin)
    found = as_object(options, runs, origin)
    (out / FIGURES_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    if as_json:
        print_json(found)
    else:
        _show(study, runs, out)
    failures = [run for run in runs if run.failure]
    for run in failures:
        note(f"error: {run.capacity_kw:g} kW: {run.failure}")
    if failures:
        raise typer.Exit(CHECK_FAILED)


def as_object(
    options: BenchOptions, runs: Sequence[Run], origin: Origin
) -> dict[str, Any]:
    """Return what ``--json`` prints: where figures come from, runs, what failed."""
    given = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in msgspec.structs.asdict(options).items()
    }
    return {
        "origin": msgspec.structs.asdict(origin),
        "options": given,
        "runs": [
            msgspec.structs.asdict(run.figures)
            | {"times": msgspec.structs.asdict(run.times)}
            for run in runs
            if run.figures is not None
        ],
        "failed": [
            {
                "strategy": run.strategy,
                "capacity_kw": run.capacity_kw,
                "reason": run.failure,
            }
            for run in runs
            if run.failure
        ],
    }


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(
            f"--out {folder}: cannot be a folder: {error.strerror}"
        ) from error


def _run(study: Study, processes: int, *, on_ray: bool, silent: bool) -> list[Run]:
    with bars(silent=silent) as progress:
        total = len(study.capacities_kw) * len(study.strategies)
        task = progress.add_task("bench", total=total)

        def on_run(run: Run) -> None:
            said = f"{run.strategy[:14]}"
            progress.update(task, advance=1, description=said)

        return run_study(study, processes=processes, on_ray=on_ray, on_run=on_run)


def _show(study: Study, runs: Sequence[Run], folder: Path) -> None:
    sessions = sum(fleet.size for fleet in study.fleets)
    table = Table(
        title=f"{study.site}, {study.setting.name}: {sessions} sessions",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("kW", justify="right", no_wrap=True)
    table.add_column("strategy", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column.head, justify="right", no_wrap=True)
    for run in runs:
        if run.figures is not None:
            cells = [column.text(run, run.figures) for column in COLUMNS]
            table.add_row(f"{run.capacity_kw:g}", run.strategy, *cells)
    screen = console()
    # A narrow terminal may break lines; no figure is cut.
    room = screen.options.update(max_width=1_000)
    screen.width = max(screen.width, Measurement.get(screen, room, table).maximum)
    screen.print(table)
    say(f"{folder / PAGE_FILE}: the study in pictures")
    say(f"{folder / RUNS_FILE}, {folder / DRIVERS_FILE}: the tables behind it")
