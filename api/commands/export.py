"""``voltledger export``: events or samples of a store as one Parquet file."""

import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.commands.terminal import StoreUrl, say
from api.compose import SystemIds, WallClock, open_log, store_folder
from api.exporting import (
    EARLIEST,
    LATEST,
    events_of,
    first_position,
    instant_from,
    samples_of,
)
from api.security.streams import is_guarded
from domain.errors import InvalidValue
from domain.store.samples import Samples
from domain.store.store import SAMPLES_FOLDER


class What(StrEnum):
    """What is exported."""

    EVENTS = "events"
    SAMPLES = "samples"


Out = Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)]
Begin = Annotated[
    str, typer.Option("--from", help="Position (events) or RFC 3339 instant.")
]
Until = Annotated[str, typer.Option(help="Up to and without: position or instant.")]


def export(
    store: StoreUrl,
    out: Out,
    what: Annotated[What, typer.Option(help="Events or samples.")] = What.EVENTS,
    begin: Begin = "",
    until: Until = "",
) -> None:
    """Write events or samples as Parquet, also while a server has the store.

    Personal data stays sealed; what is for auditors only is left out.
    """
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            for chunk in _chunks(store_folder(store), what, begin, until):
                file.write(chunk)
        os.replace(part, out)
    except OSError as error:
        raise InvalidValue(f"--out {out}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    say(f"{out}: {out.stat().st_size:,} bytes of {what}")


def _chunks(folder: Path, what: What, begin: str, until: str) -> Iterator[bytes]:
    with open_log(folder) as log:
        if what is What.EVENTS:
            first = first_position(log, begin, 1)
            end = first_position(log, until, log.last_position() + 1)
            yield from events_of(
                log,
                lambda row: not is_guarded(row.stream),
                after=first - 1,
                until=end - 1,
            )
            return
        readings = Samples(
            folder / SAMPLES_FOLDER, log=log, clock=WallClock(), ids=SystemIds()
        )
        first_at = instant_from(begin) if begin else EARLIEST
        end_at = instant_from(until) if until else LATEST
        yield from samples_of(readings, lambda _: True, first_at, end_at)
