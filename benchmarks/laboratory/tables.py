"""What a study leaves: two tidy Parquet tables, one of runs and one of drivers.

Both carry in their metadata where they come from, and each row of runs has seed,
version and commit, so that tables of several studies can be put together.
"""

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from benchmarks.laboratory.figures import SERVED_SHARE, served_shares
from benchmarks.laboratory.study import Run, Study
from domain.model.values import SECOND, iso_of

RUNS_FILE, DRIVERS_FILE = "runs.parquet", "drivers.parquet"
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
    metadata = {"origin": msgspec.json.encode(origin).decode()}
    for name, table in (
        (RUNS_FILE, runs_table(runs, origin)),
        (DRIVERS_FILE, drivers_table(study, runs)),
    ):
        pq.write_table(table.replace_schema_metadata(metadata), folder / name)


def runs_table(runs: Sequence[Run], origin: Origin) -> pa.Table:
    """Return a row for each run that has figures."""
    given = {
        name: getattr(origin, name)
        for name in ("sessions", "days", "seed", "version", "commit", "python", "cpu")
    }
    rows = [
        msgspec.structs.asdict(run.figures) | msgspec.structs.asdict(run.times) | given
        for run in runs
        if run.figures is not None
    ]
    return pa.Table.from_pylist(rows)


def drivers_table(study: Study, runs: Sequence[Run]) -> pa.Table:
    """Return a row for each driver in each run that has figures."""
    tables = [
        _drivers_of(study, run, span)
        for run in runs
        if run.figures is not None
        for span in range(len(study.fleets))
    ]
    return pa.concat_tables(tables) if tables else pa.table({})


def _drivers_of(study: Study, run: Run, span: int) -> pa.Table:
    fleet, energy_wh = study.fleets[span], run.energy_wh[span]
    step = study.setting.step_s * SECOND
    share = served_shares(energy_wh, fleet.due_wh)
    columns = {
        "strategy": [run.strategy] * fleet.size,
        "capacity_kw": np.full(fleet.size, run.capacity_kw),
        "session_id": list(fleet.session_ids),
        "station_id": list(fleet.station_ids),
        "arrival_at": [
            iso_of(fleet.start_at + int(s) * step) for s in fleet.arrival_step
        ],
        "departure_at": [
            iso_of(fleet.start_at + int(s) * step) for s in fleet.departure_step
        ],
        "stated": fleet.stated,
        "told_wh": fleet.told_wh,
        "need_wh": fleet.need_wh,
        "due_wh": fleet.due_wh,
        "energy_wh": energy_wh,
        "served_share": share,
        "served": share >= SERVED_SHARE,
    }
    return pa.table(columns)


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
