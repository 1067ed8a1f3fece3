"""How fast a ledger is read and decoded, and all projections are built from nothing.

``python -m benchmarks.speed.projections --store FOLDER`` prints the median and the
spread of several runs, in events per second. The store is opened for reading only.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.system_factory import named
from projections.runner import ALL, ReadLog, Runner

# Larger pages are slower: their rows do not stay in the processor's caches.
PAGE = 500


class Figure(msgspec.Struct, frozen=True):
    """What was measured over several runs."""

    name: str
    events: int
    median_per_s: float
    least_per_s: float
    most_per_s: float


def log_factory(name: str) -> Callable[[Path], Any]:
    """Return the function ``module:function`` that opens the log of a store folder."""
    factory: Callable[[Path], Any] = named(name)
    return factory


def read_all(log: ReadLog) -> int:
    """Read and decode the whole log; return the number of its events."""
    after = events = 0
    while rows := log.read(after=after, limit=PAGE):
        after = rows[-1].position
        events += len(rows)
    return events


def project_all(log: ReadLog) -> int:
    """Build all projections from nothing; return the number of events followed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Runner(log, Path(folder), ALL)) as runner,
    ):
        return runner.catch_up()


def measured(name: str, run: Callable[[], int], runs: int) -> Figure:
    """Return the events per second of several runs."""
    rates = []
    events = 0
    for _ in range(runs):
        began = time.perf_counter()
        events = run()
        rates.append(events / (time.perf_counter() - began))
    return Figure(name, events, statistics.median(rates), min(rates), max(rates))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True, help="folder of a store")
    parser.add_argument(
        "--store-factory",
        default="domain.store.store:open_readonly",
        help="module:function that opens the log of a folder",
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with closing(log_factory(options.store_factory)(options.store)) as log:
        figures = [
            measured("read and decode", lambda: read_all(log), options.runs),
            measured("all projections", lambda: project_all(log), options.runs),
        ]
    if options.json:
        print(msgspec.json.encode(figures).decode())
        return
    for figure in figures:
        print(
            f"{figure.name}: {figure.median_per_s:,.0f} events/s"
            f" ({figure.least_per_s:,.0f} to {figure.most_per_s:,.0f},"
            f" {options.runs} runs of {figure.events:,} events)"
        )


if __name__ == "__main__":
    main()
