"""What the commands share: exit codes, output, options, errors as one line."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, ParamSpec

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from api.rest.presentation import present
from domain.errors import DomainError, Refused, StoreError

Given = ParamSpec("Given")

OK, CHECK_FAILED, BAD_INPUT, STORE_TROUBLE = 0, 1, 2, 3

EXIT_CODES = (
    "Exit codes: 0 done, 1 a check failed, 2 bad input, "
    "3 the store cannot be opened, read or written."
)

StoreUrl = Annotated[
    str, typer.Option("--store", help="The store: sqlite:///FOLDER.", metavar="URL")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]


def out() -> Console:
    """Return the console of results: standard output as it is now."""
    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    """Return the console of progress and notes: standard error as it is now."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line for people; no character of it is markup."""
    out().print(text, markup=False)


def note(text: str) -> None:
    """Print a line that is no result, to standard error."""
    err().print(text, markup=False)


def print_json(value: Mapping[str, Any] | msgspec.Struct) -> None:
    """Print one JSON object on one line, instants as RFC 3339."""
    typer.echo(msgspec.json.encode(present(value)))


def answering(command: Callable[Given, None]) -> Callable[Given, None]:
    """Let a command answer an error of the domain with one line and an exit code."""

    @wraps(command)
    def answered(*args: Given.args, **kwargs: Given.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DomainError as error:
            note(f"error: {error}")
            raise typer.Exit(exit_code_of(error)) from None
        except sqlite3.Error as error:
            note(f"error: the store cannot be read or written: {error}")
            raise typer.Exit(STORE_TROUBLE) from None

    return answered


@contextmanager
def bars(*, silent: bool) -> Iterator[Progress]:
    """Show bars on a terminal; a file or pipe gets none."""
    console = err()
    with Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
        disable=silent or not console.is_terminal,
    ) as progress:
        yield progress


def exit_code_of(error: DomainError) -> int:
    """Return the exit code for an error."""
    match error:
        case Refused():
            return BAD_INPUT
        case StoreError():
            return STORE_TROUBLE
        case _:
            return CHECK_FAILED
