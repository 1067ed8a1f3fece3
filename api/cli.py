"""The command line: ``voltledger``."""

import typer

from api.commands import bench, export, report, serve, simulate, stores
from api.commands.events import events_app
from api.commands.keys import keys_app
from api.commands.stations import stations_app
from api.commands.terminal import EXIT_CODES, answering

app = typer.Typer(
    name="voltledger",
    help="Charging station management system after IEC 63110-1.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in (
    ("simulate", simulate.simulate),
    ("serve", serve.serve),
    ("bench", bench.bench),
    ("report", report.report),
    ("verify", stores.verify_store),
    ("export", export.export),
):
    app.command(name, epilog=EXIT_CODES)(answering(command))
app.add_typer(events_app, name="events")
app.add_typer(keys_app, name="keys")
app.add_typer(stations_app, name="stations")
app.add_typer(stores.projections_app, name="projections")


@app.callback()
def voltledger() -> None:
    """Charging station management system after IEC 63110-1."""


def main() -> None:
    """Run the command line."""
    app()
