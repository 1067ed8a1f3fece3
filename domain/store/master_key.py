"""The master key: where it is, who may read it, and how it is made."""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from domain.errors import StoreError

KEY_BYTES = 32
KEY_FILE = "VOLTLEDGER_KEY_FILE"


class MasterKey(msgspec.Struct, frozen=True):
    """A master key and its file; ``created`` says that it was made just now.

    Who opens the store announces a new key: without a copy of that file, nobody reads
    the store's personal data again.
    """

    key: bytes
    path: Path
    created: bool = False

    def __repr__(self) -> str:
        return f"MasterKey(path={str(self.path)!r}, created={self.created})"


def default_path(environment: Mapping[str, str]) -> Path:
    """Return the key file of this user: ``voltledger/master.key`` with the settings."""
    settings = environment.get("XDG_CONFIG_HOME")
    folder = Path(settings) if settings else Path.home() / ".config"
    return folder / "voltledger" / "master.key"


def load(environment: Mapping[str, str] = os.environ) -> MasterKey:
    """Return the master key of this user or machine.

    The file named in ``VOLTLEDGER_KEY_FILE`` has to be there; the user's own is made on
    first use.
    """
    named = environment.get(KEY_FILE)
    if named:
        return MasterKey(_read(Path(named)), Path(named))
    return load_or_create(default_path(environment))


def load_or_create(path: Path, key: bytes | None = None) -> MasterKey:
    """Return the key in a file; made from ``key`` or at random when it is not there."""
    if path.exists():
        return MasterKey(_read(path), path)
    fresh = secrets.token_bytes(KEY_BYTES) if key is None else key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    return MasterKey(_read(path), path, created=True)


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"master key {path}: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StoreError(
            f"master key {path} has mode {stat.S_IMODE(mode):04o}; "
            "only its owner may have access (0600)"
        )
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"master key {path} has {len(key)} bytes; a master key has {KEY_BYTES}"
        )
    return key
