"""The folder of a simulation: a store for each strategy, and ``report.html``."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from api.compose import KEY_NAME, is_simulated
from benchmarks.kept import OUTCOME_FILE, Kept, read_kept
from benchmarks.simulator.day import STRATEGIES
from domain.errors import InvalidValue, StoreInUse
from domain.store.sqlite import WriterLock
from domain.store.store import LEDGER_FILE

REPORT_FILE = "report.html"


def prepare(out: Path, strategies: Sequence[str]) -> None:
    """Make room for the stores of the strategies; refuse to remove what is not ours."""
    if out.exists() and not out.is_dir():
        raise InvalidValue(f"--out {out}: is a file")
    folders = [out / strategy for strategy in strategies]
    for folder in folders:
        if folder.exists() and not _is_ours(folder):
            raise InvalidValue(
                f"--out {out}: {folder} is not the store of an earlier simulation; "
                "it is left as it is"
            )
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(f"--out {out}: {error.strerror}") from error


def outcomes_beside(folder: Path) -> list[Kept]:
    """Return the outcome of a strategy's store, then those beside it of the same day.

    ``folder`` may also be the folder of them all.
    """
    if (folder / OUTCOME_FILE).exists():
        first, out = read_kept(folder), folder.parent
    else:
        out = folder
        there = [s for s in STRATEGIES if (out / s / OUTCOME_FILE).exists()]
        if not there:
            raise InvalidValue(f"{folder}: simulate has left no {OUTCOME_FILE} here")
        first = read_kept(out / there[0])
    found = [
        read_kept(out / strategy)
        for strategy in STRATEGIES
        if (out / strategy / OUTCOME_FILE).exists()
    ]
    return [kept for kept in found if kept.is_same_day(first)]


def _is_ours(folder: Path) -> bool:
    """Return whether a folder may be replaced: empty, or a store of a simulation."""
    if not folder.is_dir():
        return False
    if (folder / LEDGER_FILE).exists():
        if not is_simulated(folder):
            return False
        _check_unused(folder)
        return True
    # A run that was interrupted at its very beginning left a key.
    return {path.name for path in folder.iterdir()} <= {KEY_NAME}


def _check_unused(folder: Path) -> None:
    try:
        WriterLock(folder).release()
    except StoreInUse:
        raise StoreInUse(f"{folder} is in use: stop its server first") from None
