"""What a study leaves: two tidy Parquet tables, one of runs and one of drivers.

Both carry in their metadata where they come from, and each row of runs has seed,
version and commit, so that tables of several studies can be put together.
"""

import platform
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.laboratory.figures import SERVED_SHARE, served_shares
from benchmarks.laboratory.study import Run, Study
from domain.model.values import SECOND, iso_of

RUNS_FILE, DRIVERS_FILE = "runs.parquet", "drivers.parquet"
Row = dict[str, Any]
"""A row of a table, by column."""

_LIBRARIES = ("numpy", "numba", "highspy", "pyarrow")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where figures come from: what to give, and with what, to get them again."""

    sessions: str
    days: str
    seed: int
    version: str
    commit: str
    python: str
    libraries: dict[str, str]
    cpu: str


def origin_of(sessions: str, days: str, seed: int) -> Origin:
    """Return the origin of a study made now, here."""
    return Origin(
        sessions=sessions,
        days=days,
        seed=seed,
        version=_version("voltledger"),
        commit=_commit(),
        python=platform.python_version(),
        libraries={name: _version(name) for name in _LIBRARIES},
        cpu=f"{platform.machine()}, {_cpu_name()}",
    )


def write_tables(
    folder: Path, study: Study, runs: Sequence[Run], origin: Origin
) -> None:
    """Write both tables into a folder."""
    # Here, for no other command of the program needs it and it takes a while.
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    metadata = {"origin": msgspec.json.encode(origin).decode()}
    for name, rows in (
        (RUNS_FILE, run_rows(runs, origin)),
        (DRIVERS_FILE, driver_rows(study, runs)),
    ):
        table = pa.Table.from_pylist(rows).replace_schema_metadata(metadata)
        pq.write_table(table, folder / name)


def run_rows(runs: Sequence[Run], origin: Origin) -> list[Row]:
    """Return a row for each run that has figures."""
    given = {
        name: getattr(origin, name)
        for name in ("sessions", "days", "seed", "version", "commit", "python", "cpu")
    }
    return [
        msgspec.structs.asdict(run.figures) | msgspec.structs.asdict(run.times) | given
        for run in runs
        if run.figures is not None
    ]


def driver_rows(study: Study, runs: Sequence[Run]) -> list[Row]:
    """Return a row for each driver in each run that has figures."""
    return [
        row
        for run in runs
        if run.figures is not None
        for span in range(len(study.fleets))
        for row in _drivers_of(study, run, span)
    ]


def _drivers_of(study: Study, run: Run, span: int) -> Iterator[Row]:
    fleet, energy_wh = study.fleets[span], run.energy_wh[span]
    step = study.setting.step_s * SECOND
    share = served_shares(energy_wh, fleet.due_wh)
    for i in range(fleet.size):
        yield {
            "strategy": run.strategy,
            "capacity_kw": run.capacity_kw,
            "session_id": fleet.session_ids[i],
            "station_id": fleet.station_ids[i],
            "arrival_at": iso_of(fleet.start_at + int(fleet.arrival_step[i]) * step),
            "departure_at": iso_of(
                fleet.start_at + int(fleet.departure_step[i]) * step
            ),
            "stated": bool(fleet.stated[i]),
            "told_wh": float(fleet.told_wh[i]),
            "need_wh": float(fleet.need_wh[i]),
            "due_wh": float(fleet.due_wh[i]),
            "energy_wh": float(energy_wh[i]),
            "served_share": float(share[i]),
            "served": bool(share[i] >= SERVED_SHARE),
        }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Return the commit of the source tree, with + when it has changes."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ("git", *arguments), cwd=here, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _cpu_name() -> str:
    """Return the processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return f"{names[0]} x {len(names)}" if names else platform.processor()
