"""``voltledger report``: ``report.html`` made again from what ``simulate`` left."""

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from api.commands.figures import as_object, show_figures
from api.commands.run_folder import REPORT_FILE, outcomes_beside
from api.commands.terminal import AsJson, print_json, say
from api.compose import store_folder
from benchmarks.kept import OUTCOME_FILE
from benchmarks.report import write_report
from domain.errors import InvalidValue

Store = Annotated[
    str | None,
    typer.Option(
        help="A store that simulate made: sqlite:///DIR/STRATEGY.", metavar="URL"
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="The folder that simulate filled.", metavar="DIR")
]


def report(store: Store = None, out: Out = None, as_json: AsJson = False) -> None:
    """Make report.html again from the outcomes that simulate kept beside its stores.

    It shows the strategies of the same day that are there, ours first.
    """
    if (store is None) == (out is None):
        raise InvalidValue("give either --store or --out")
    folder = store_folder(store) if store is not None else out
    assert folder is not None
    shown = outcomes_beside(folder)
    is_store = (folder / OUTCOME_FILE).exists()
    path = (folder.parent if is_store else folder) / REPORT_FILE
    tz = ZoneInfo(shown[0].tz) if shown[0].tz else None
    write_report([kept.outcome for kept in shown], path, tz=tz)
    figures = [kept.outcome.figures for kept in shown]
    if as_json:
        print_json(as_object(figures))
    else:
        show_figures(figures)
        say(str(path))
