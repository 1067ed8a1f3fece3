"""Opening SQLite files, and what their errors mean to the domain."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Literal

from domain.errors import StoreError, StoreFull, StoreInUse

Durability = Literal["FULL", "NORMAL"]

# A reader meets a lock only for the moments of a checkpoint or recovery.
_BUSY_S = 10.0


def connect(path: Path, *, durability: Durability = "FULL") -> sqlite3.Connection:
    """Open a file for writing in WAL mode; transactions are begun by hand."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {durability}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open an existing file for reading, also while another process writes to it."""
    if not path.exists():
        raise StoreError(f"there is no {path.name} in {path.parent}")
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_S,
    )


def as_store_error(error: sqlite3.Error, doing: str) -> StoreError:
    """Return what an SQLite error means: no room, or anything else."""
    # An interface error of the module itself carries no code.
    code = getattr(error, "sqlite_errorcode", None)
    kind = StoreFull if code == sqlite3.SQLITE_FULL else StoreError
    return kind(f"{doing}: {error}")


class WriterLock:
    """The one writer of a store folder; another process meets `StoreInUse`."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise StoreInUse(f"another process writes to the store {folder}") from None

    def release(self) -> None:
        """Let another process write."""
        os.close(self._file)
