"""``voltledger events``: the ledger's rows, and whether its plans can be made again."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from api.commands.terminal import (
    CHECK_FAILED,
    AsJson,
    StoreUrl,
    answering,
    bars,
    print_json,
    say,
)
from api.compose import open_log, store_folder
from api.rest.events import view_of
from api.rest.presentation import present
from domain.errors import InvalidValue
from domain.loop.replay import ReplayReport
from domain.loop.replay import check as check_plans
from domain.model.registry import BY_NAME
from domain.model.values import iso_of
from domain.ports import Recorded
from domain.store.feed import follow_file
from domain.store.reader import LedgerReader
from domain.store.store import LEDGER_FILE

events_app = typer.Typer(help="The ledger's events.", no_args_is_help=True)

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")]
Stream = Annotated[str, typer.Option(help="Streams that begin so.", metavar="PREFIX")]
Type = Annotated[
    str, typer.Option("--type", help="Types that begin so.", metavar="PREFIX")
]
Last = Annotated[int, typer.Option(help="How many of the last ones.", min=0)]
Check = Annotated[
    bool, typer.Option("--check", help="Rebuild every plan's problem and compare.")
]

_CHUNK = 5_000


@events_app.command("tail")
@answering
def tail(
    store: StoreUrl,
    follow: Follow = False,
    stream: Stream = "",
    type_prefix: Type = "",
    last: Last = 20,
    as_json: AsJson = False,
) -> None:
    """Print the last events, and with --follow those that come; JSON one a line.

    Personal data stays sealed.
    """
    types = types_of(type_prefix)
    folder = store_folder(store)
    with open_log(folder) as log:
        end = log.last_position()
        rows = _last(log, stream, types, last)
    for row in rows:
        _print(row, as_json=as_json)
    if not follow:
        return
    coming = follow_file(folder / LEDGER_FILE, after=end, types=types)
    with closing(coming):  # type: ignore[type-var]
        for row in coming:
            if row.stream.startswith(stream):
                _print(row, as_json=as_json)


def types_of(prefix: str) -> tuple[str, ...]:
    """Return the event types that begin so; empty stands for all of them."""
    if not prefix:
        return ()
    found = tuple(name for name in BY_NAME if name.startswith(prefix))
    if not found:
        raise InvalidValue(f"--type {prefix!r} begins the name of no event type")
    return found


def _last(
    log: LedgerReader, stream: str, types: Sequence[str], count: int
) -> Sequence[Recorded]:
    """Return the last matching rows, looking backwards in growing steps."""
    end, step = log.last_position(), max(count, 100)
    while True:
        after = max(end - step, -1)
        rows = _matching(log, after, stream, types)
        kept = deque(rows, maxlen=count)
        if len(kept) == count or after < 0:
            return kept
        step *= 8


def _matching(
    log: LedgerReader, after: int, stream: str, types: Sequence[str]
) -> Iterator[Recorded]:
    while rows := log.read(after=after, limit=_CHUNK, types=types):
        yield from (row for row in rows if row.stream.startswith(stream))
        after = rows[-1].position


def _print(row: Recorded, *, as_json: bool) -> None:
    if as_json:
        print_json(view_of(row))
        return
    state = msgspec.json.encode(present(row.event)).decode() if row.event else "dropped"
    say(f"{row.position:>8} {iso_of(row.occurred_at)} {row.stream} {row.type} {state}")


@events_app.command("replay")
@answering
def replay(store: StoreUrl, check: Check = False, as_json: AsJson = False) -> None:
    """Rebuild the problem of every plan from the ledger and compare the digests."""
    if not check:
        raise InvalidValue("replay changes nothing and needs --check")
    report = _checked(store_folder(store), silent=as_json)
    if as_json:
        print_json(report)
    else:
        say(f"{report.plans} plans, {len(report.differing)} differ")
        for position in report.differing:
            say(f"DIFFERS the plan at position {position}")
    if report.differing:
        raise typer.Exit(CHECK_FAILED)


def _checked(folder: Path, *, silent: bool) -> ReplayReport:
    with open_log(folder) as log, bars(silent=silent) as progress:
        task = progress.add_task("replay", total=1.0)
        return check_plans(log, lambda share: progress.update(task, completed=share))
