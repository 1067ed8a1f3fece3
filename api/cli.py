"""The command line: ``voltledger``."""

import typer

from api.commands import simulate
from api.commands.terminal import EXIT_CODES, answering

app = typer.Typer(
    name="voltledger",
    help="Charging station management system after IEC 63110-1.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("simulate", epilog=EXIT_CODES)(answering(simulate.simulate))


@app.callback()
def voltledger() -> None:
    """Charging station management system after IEC 63110-1."""


def main() -> None:
    """Run the command line."""
    app()
