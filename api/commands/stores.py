"""The state of a store: ``voltledger verify``, ``voltledger projections``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from api.commands.terminal import (
    CHECK_FAILED,
    AsJson,
    StoreUrl,
    answering,
    print_json,
    say,
)
from api.compose import open_projections, open_writer, store_folder
from domain.errors import InvalidValue, StoreInUse
from domain.ports import System
from domain.store.verify import Report, verify
from projections.runner import ALL, Health

projections_app = typer.Typer(help="The read models of a store.", no_args_is_help=True)

Name = Annotated[
    str | None, typer.Argument(help="One of them; else all.", metavar="[NAME]")
]


@contextmanager
def alone(store: str, instead: str) -> Iterator[System]:
    """Open a store that no server has, to write; else say what to ask the server."""
    folder = store_folder(store)
    try:
        with open_writer(folder) as system:
            yield system
    except StoreInUse:
        raise StoreInUse(
            f"a server has the store {folder}: ask it instead, by {instead}"
        ) from None


def verify_store(store: StoreUrl, as_json: AsJson = False) -> None:
    """Recompute the hashes of ledger, samples, vault; exit code 1 if one is wrong."""
    report = verify(store_folder(store))
    if as_json:
        print_json(
            {
                "intact": report.is_intact,
                "rows": report.rows,
                "dropped": report.dropped,
                "absent": report.absent,
                "heads": {log.file: log.head for log in report.logs},
                "broken": report.broken,
            }
        )
    else:
        _show(report)
    if not report.is_intact:
        raise typer.Exit(CHECK_FAILED)


def _show(report: Report) -> None:
    for log in report.logs:
        say(f"{log.file}: {log.rows} rows, head {log.head.hex()}")
    for day in report.absent:
        say(f"{day}: samples were sealed and are gone as a whole (retention)")
    if report.dropped:
        say(f"{report.dropped} states were dropped by retention; their rows verify")
    for broken in report.broken:
        where = f"position {broken.position}" if broken.position >= 0 else "the file"
        say(f"BROKEN {broken.file}, {where}: {broken.reason}")
    say("intact" if report.is_intact else "not intact")


@projections_app.command("rebuild")
@answering
def rebuild(store: StoreUrl, name: Name = None, as_json: AsJson = False) -> None:
    """Build read models anew from the whole ledger and swap them in."""
    names = [fold.name for fold in ALL]
    if name is not None and name not in names:
        raise InvalidValue(f"projection {name!r} is not one of {', '.join(names)}")
    with open_projections(store_folder(store)) as runner:
        for each in [name] if name else names:
            runner.rebuild(each)
        healths = [h for h in runner.health() if name in (None, h.name)]
    if as_json:
        print_json({"projections": healths})
    else:
        for health in healths:
            say(_line(health))
    if any(health.state != "following" for health in healths):
        raise typer.Exit(CHECK_FAILED)


def _line(health: Health) -> str:
    if health.state == "following":
        return f"{health.name}: rebuilt up to position {health.position}"
    return (
        f"{health.name}: STOPPED at position {health.stopped_at_position}: "
        f"{health.reason}"
    )
