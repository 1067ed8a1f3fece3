"""A short day at two stations, and the command line run on it in this process."""

from datetime import date
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner, Result

from api.cli import app
from benchmarks.data.sessions import COLUMNS

DAY = date(2019, 10, 29)
CARS = 3

# Arrival, departure, kWh asked, kWh taken, station, session, estimate, claimed.
_ROWS = (
    ("00:05", "01:20", 8.0, 5.0, "CA-311", "a", "01:20", True),
    ("00:10", "01:00", 2.0, 1.5, "CA-312", "b", "01:00", False),
    ("01:30", "02:10", 6.0, 3.0, "CA-311", "c", "02:30", True),
)


class Ran(NamedTuple):
    """A folder that ``simulate`` filled, and what it printed."""

    out: Path
    sessions: Path
    result: Result

    def store(self, strategy: str = "voltledger") -> str:
        return f"sqlite:///{self.out / strategy}"


def run(*arguments: object) -> Result:
    """Run the command line; an error that it does not answer itself is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def sessions_file(folder: Path) -> Path:
    """Write the day's sessions."""
    lines = [",".join(COLUMNS)]
    for arrival, departure, asked, taken, station, session, estimate, claimed in _ROWS:
        lines.append(
            f"{DAY} {arrival}:00-07:00,{DAY} {departure}:00-07:00,{asked},{taken},"
            f"{station},{session},{DAY} {estimate}:00-07:00,{claimed}"
        )
    path = folder / "sessions.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def simulate(sessions: Path, out: Path, *more: object) -> Ran:
    """Drive the day on 4 kW."""
    result = run(
        "simulate", "--sessions", sessions, "--date", DAY, "--capacity-kw", 4,
        "--tz", "America/Los_Angeles", "--out", out, *more,
    )  # fmt: skip
    return Ran(out, sessions, result)
