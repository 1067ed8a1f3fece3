"""A store: one folder with ledger, samples and vault, opened together."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from domain.errors import StoreError
from domain.ports import Clock, Ids
from domain.store.committer import Committer
from domain.store.ledger import Ledger
from domain.store.reader import LedgerReader
from domain.store.samples import Samples
from domain.store.sqlite import Durability
from domain.store.vault import Vault

LEDGER_FILE = "ledger.sqlite"
VAULT_FILE = "vault.sqlite"
SAMPLES_FOLDER = "samples"
_SCHEME = "sqlite:///"


def folder_of(url: str) -> Path:
    """Return the folder that ``sqlite:///FOLDER`` names.

    ``sqlite:///runs/a`` is relative to the working folder, ``sqlite:////srv/a`` is not.
    """
    folder = url.removeprefix(_SCHEME)
    if not url.startswith(_SCHEME) or not folder:
        raise StoreError(f"store {url!r} is not of the form sqlite:///FOLDER")
    return Path(folder)


class Store:
    """The writer's store: the parts of a `System` that keep things.

    Parameters
    ----------
    threaded
        True puts a committer in front of the ledger, for callers in many threads
        whose appends are durable when they return. False is for one thread that
        calls ``log.flush()`` itself: the simulator, at each simulated instant.
    durability
        FULL (an fsync a commit) for what must not be lost. NORMAL for a simulation,
        which can be run again; the bytes are the same.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        ids: Ids,
        master_key: bytes,
        log_id: str = "",
        threaded: bool = True,
        durability: Durability = "FULL",
    ) -> None:
        self.folder = folder
        path = folder / LEDGER_FILE
        with ExitStack() as opened:
            self.log: Ledger | Committer = Ledger(
                path, clock=clock, ids=ids, log_id=log_id, durability=durability
            )
            opened.callback(self.log.close)
            self.vault = Vault(folder / VAULT_FILE, master_key=master_key, ids=ids)
            opened.callback(self.vault.close)
            if threaded:
                self.log = Committer(self.log, path)
                opened.callback(self.log.close)
            self.samples = Samples(
                folder / SAMPLES_FOLDER, log=self.log, clock=clock, ids=ids
            )
            opened.callback(self.samples.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Commit what is left and close all files."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_readonly(folder: Path) -> LedgerReader:
    """Open the ledger of a store for reading, also while a server writes to it."""
    return LedgerReader.open(folder / LEDGER_FILE)
