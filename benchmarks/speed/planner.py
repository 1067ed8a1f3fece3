"""The planner's speed table: ours beside its peers on the same problems, in one run.

``python -m benchmarks.speed.planner`` prints it in Markdown; ``--rows cold,groups`` has
parts of it, ``--json FILE`` all times, ``--quick`` small sizes that only show that it
runs. Ours is timed from plain arrays to plan, prices and certificate; peers from the
same problem's arrays to their plan (`planner_forms`), HiGHS on one thread. The ratio is
to the fastest form of HiGHS. Peers that would take more than ``--longest-s`` a run are
left out and said to be.
"""

import argparse
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.laboratory.tables import origin_of
from benchmarks.speed.planner_changes import event_rows, pre_rows
from benchmarks.speed.planner_rows import (
    Scale,
    cold_rows,
    group_rows,
    pattern_rows,
    shortage_rows,
    v2g_rows,
)
from benchmarks.speed.planner_runs import (
    caltech_rows,
    first_rows,
    month_rows,
    zone_rows,
)
from benchmarks.speed.planner_table import HEAD, Row, markdown

ROWS: dict[str, Callable[[Scale], Iterator[Row]]] = {
    "cold": cold_rows,
    "groups": group_rows,
    "shortage": shortage_rows,
    "events": event_rows,
    "pre": pre_rows,
    "v2g": v2g_rows,
    "zones": zone_rows,
    "patterns": pattern_rows,
    "caltech": caltech_rows,
    "month": month_rows,
    "first": first_rows,
}
LIBRARIES = ("numpy", "numba", "highspy", "pyomo", "ortools")
QUIET = 1.0


class Table(msgspec.Struct, frozen=True):
    """All that ``--json`` writes; loads are averages of a minute, before and after."""

    commit: str
    cpu: str
    python: str
    libraries: dict[str, str]
    load_before: float
    load_after: float
    rows: dict[str, list[Row]]


def versions() -> dict[str, str]:
    """Return what is compared, by distribution."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def measured(names: Sequence[str], scale: Scale) -> Table:
    """Measure rows and print each as it is there."""
    origin, load_before = origin_of("", "", 0), os.getloadavg()[0]
    libraries = versions()
    print(f"Commit `{origin.commit}`; {origin.cpu}; {platform.platform()}; Python ")
    print(f"{origin.python}, {', '.join(f'{k} {v}' for k, v in libraries.items())}; ")
    print(f"ours {scale.repeat} runs or more; load at the start {load_before:.2f}.")
    if load_before > QUIET:
        print("\n**Other work ran on this machine: times are too long, ratios rough.**")
    print("", *HEAD, sep="\n", flush=True)
    rows: dict[str, list[Row]] = {}
    for name in names:
        rows[name] = []
        for row in ROWS[name](scale):
            rows[name].append(row)
            print(markdown(row), flush=True)
    load_after = os.getloadavg()[0]
    print(f"\nLoad at the end {load_after:.2f}.")
    return Table(
        commit=origin.commit,
        cpu=origin.cpu,
        python=origin.python,
        libraries=libraries,
        load_before=load_before,
        load_after=load_after,
        rows=rows,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--rows", default=",".join(ROWS), help="names, as a,b")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--longest-s", type=float, default=60.0)
    parser.add_argument("--json", type=Path, help="file for all times")
    parser.add_argument("--quick", action="store_true", help="small, once")
    given = parser.parse_args(arguments)
    names = given.rows.split(",")
    for name in names:
        if name not in ROWS:
            parser.error(f"--rows {name!r} is not one of {', '.join(ROWS)}")
    if given.repeat < 1:
        parser.error(f"--repeat {given.repeat} is not 1 or more")
    repeat = 1 if given.quick else given.repeat
    table = measured(names, Scale(repeat, given.longest_s, given.quick))
    if given.json is not None:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(table)))


if __name__ == "__main__":
    main()
