"""Verifying a store: everything is recomputed with SHA-256 and msgpack alone.

It shares no code with what writes the rows (ADR 0001 is all it knows), so a mistake
there does not hide here.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

COLUMNS: tuple[tuple[str, type], ...] = (
    ("tenant", str),
    ("log_id", str),
    ("position", int),
    ("stream", str),
    ("version", int),
    ("decision_version", int),
    ("type", str),
    ("schema", int),
    ("occurred_at", int),
    ("recorded_at", int),
    ("command_id", str),
    ("correlation_id", str),
    ("causation", int),
    ("actor", str),
    ("state_digest", bytes),
    ("state", bytes),
    ("hash", bytes),
)
_TYPES = tuple(kind for _, kind in COLUMNS)
_HEADER = 14
_POSITION, _TYPE, _RECORDED_AT = 2, 6, 9
_DIGEST, _STATE, _HASH = 14, 15, 16
# What stands beside the rows of a file: tables whose last column is a digest.
_BESIDE = {
    "ledger.sqlite": ("guards", "commands", "timers"),
    "vault.sqlite": ("key_check", "keys", "directory"),
}
_STRAY_COMMANDS = """
SELECT c.command_id, c.first FROM commands c WHERE c.count > 0 AND NOT (
    EXISTS (SELECT 1 FROM rows r WHERE r.position = c.first
        AND r.command_id = c.command_id AND r.actor = c.actor AND r.tenant = c.tenant)
    AND EXISTS (SELECT 1 FROM rows r WHERE r.position = c.first + c.count - 1
        AND r.command_id = c.command_id)
)
"""
_UNKNOWN_COMMANDS = """
SELECT r.command_id, r.position FROM rows r WHERE r.command_id <> '' AND NOT EXISTS (
    SELECT 1 FROM commands c WHERE c.tenant = r.tenant AND c.actor = r.actor
        AND c.command_id = r.command_id
)
"""
_pack = msgspec.msgpack.Encoder().encode


class Broken(msgspec.Struct, frozen=True):
    """A place where a log is not what was written; position -1 is the file's own."""

    file: str
    position: int
    reason: str


class Checked(msgspec.Struct):
    """What was found in one log file. ``head`` is the hash to compare or publish."""

    file: str
    rows: int = 0
    head: bytes = b""
    dropped: list[int] = []
    broken: list[Broken] = []


class Report(msgspec.Struct, frozen=True):
    """What was found in a store.

    ``absent`` are days whose sealed partition is not there: retention takes them whole.
    """

    logs: tuple[Checked, ...]
    broken: tuple[Broken, ...]
    absent: tuple[str, ...]

    @property
    def is_intact(self) -> bool:
        """Whether every row is the one that was written."""
        return not self.broken

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return sum(log.rows for log in self.logs)

    @property
    def dropped(self) -> int:
        """How many states were dropped; their rows still verify."""
        return sum(len(log.dropped) for log in self.logs)


def verify(folder: Path) -> Report:
    """Walk the ledger, every partition of samples and the vault of a store.

    What was cut off the end of the ledger itself leaves hardly a trace: compare its
    head with one that was published before.
    """
    ledger = _Walk(folder / "ledger.sqlite")
    ledger.run()
    logs, broken = [ledger.found], list(ledger.found.broken)
    days = {path.stem: path for path in sorted((folder / "samples").glob("*.sqlite"))}
    for day, path in days.items():
        walk = _Walk(path)
        walk.run()
        logs.append(walk.found)
        broken += walk.found.broken
        if day in ledger.seals:
            broken += _against_seal(walk.found, *ledger.seals[day])
    vault = folder / "vault.sqlite"
    if vault.exists():
        broken += _beside_alone(vault)
    absent = tuple(day for day in ledger.seals if day not in days)
    return Report(tuple(logs), tuple(broken), absent)


def _against_seal(found: Checked, rows: int, head: bytes) -> Iterator[Broken]:
    if found.rows != rows:
        reason = f"{found.rows} rows, but the ledger sealed {rows}"
        yield Broken(found.file, min(found.rows, rows), reason)
    elif found.head != head:
        yield Broken(found.file, rows - 1, "the head is not the one the ledger sealed")


class _Walk:
    """One pass over the rows of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found = Checked(path.name)
        # Sealed partitions by day: rows and head.
        self.seals: dict[str, tuple[int, bytes]] = {}
        # Version and decision version of each stream.
        self._heads: dict[tuple[str, str], tuple[int, int]] = {}
        self._position = -1
        self._recorded_at = 0
        # The hash of the row before: as stored, and what it should be.
        self._before: list[bytes] = []

    def run(self) -> None:
        """Check all rows, then what SQLite and the command register say of them."""
        try:
            with closing(_opened(self._path)) as connection:
                self._walk(connection)
        except sqlite3.Error as error:
            self._report(-1, f"the file cannot be read: {error}")

    def _walk(self, connection: sqlite3.Connection) -> None:
        info = connection.execute("PRAGMA table_info(rows)")
        columns = [name for _, name, *_ in info]
        if columns != [name for name, _ in COLUMNS]:
            self._report(-1, f"the columns of rows are {columns}")
            return
        for row in connection.execute("SELECT * FROM rows ORDER BY position"):
            for reason in list(self._faults(row)):
                self._report(row[_POSITION], reason)
            self._position = row[_POSITION]
            self.found.rows += 1
            self.found.head = row[_HASH]
        if not self.found.rows:
            self._report(0, "row 0 is missing")
        self.found.broken += _beside(connection, self._path.name)
        if self._path.name == "ledger.sqlite":
            for command_id, first in connection.execute(_STRAY_COMMANDS):
                self._report(first, f"the row is not that of command {command_id!r}")
            for command_id, position in connection.execute(_UNKNOWN_COMMANDS):
                self._report(position, f"command {command_id!r} is in no register")

    def _faults(self, row: tuple[Any, ...]) -> Iterator[str]:
        if row[_POSITION] != self._position + 1:
            yield f"position {row[_POSITION]} follows {self._position}"
        wrong = [] if tuple(map(type, row)) == _TYPES else list(_wrong_types(row))
        yield from wrong
        state, digest = row[_STATE], row[_DIGEST]
        if state is None:
            self.found.dropped.append(row[_POSITION])
        elif not wrong and sha256(state).digest() != digest:
            yield "the state is not that of state_digest"
        elif not wrong:
            self._content(row, state)
        linked = self._is_linked(row)
        if not linked:
            yield "the hash is not that of the row and the one before it"
        elif not wrong and not self.found.broken:
            # Once a row was changed, nobody knows what its stream should be.
            yield from self._order(row)

    def _is_linked(self, row: tuple[Any, ...]) -> bool:
        """Check the chain; a row after a broken one may follow either of its hashes."""
        stored, digest = row[_HASH], row[_DIGEST]
        befores, self._before = self._before, []
        if type(stored) is bytes:
            self._before.append(stored)
        try:
            rest = _pack(row[:_HEADER]) + digest
        except (TypeError, UnicodeEncodeError, OverflowError):
            return False
        hashes = [sha256(b"\x01" + before + rest).digest() for before in befores]
        if stored in hashes:
            return True
        self._before += hashes
        return False

    def _content(self, row: tuple[Any, ...], state: bytes) -> None:
        """Take from a state what the walk needs: the genesis, and the seals."""
        if row[_POSITION] == 0:
            opened = msgspec.msgpack.decode(state, type=dict[str, Any])
            self._before = [opened["genesis"]]
        elif row[_TYPE] == "samples.sealed":
            sealed = msgspec.msgpack.decode(state, type=dict[str, Any])
            self.seals[sealed["day"]] = (sealed["rows"], sealed["head"])

    def _order(self, row: tuple[Any, ...]) -> Iterator[str]:
        """Check the laws of versions and instants."""
        key, version, decided = (row[0], row[3]), row[4], row[5]
        before = self._heads.get(key)
        # The library's recorder may number a stream from 0.
        following = (0, 1) if before is None else (before[0] + 1,)
        if version not in following:
            yield f"version {version} of {key[1]!r} does not follow"
        if decided not in (version, before[1] if before else 0):
            yield f"decision version {decided} is neither the row's nor the one before"
        self._heads[key] = (version, decided)
        if row[_RECORDED_AT] < self._recorded_at:
            yield "recorded_at is before that of the row before"
        self._recorded_at = row[_RECORDED_AT]

    def _report(self, position: int, reason: str) -> None:
        self.found.broken.append(Broken(self._path.name, position, reason))


def _beside_alone(path: Path) -> list[Broken]:
    try:
        with closing(_opened(path)) as connection:
            return list(_beside(connection, path.name))
    except sqlite3.Error as error:
        return [Broken(path.name, -1, f"the file cannot be read: {error}")]


def _beside(connection: sqlite3.Connection, file: str) -> Iterator[Broken]:
    """Check the rows beside the chain, and what SQLite says of the whole file."""
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        yield Broken(file, -1, str(verdict))
    for table in _BESIDE.get(file, ()):
        info = connection.execute(f"PRAGMA table_info({table})").fetchall()
        columns = [name for _, name, *_ in info]
        if columns[-1:] != ["digest"]:
            yield Broken(file, -1, f"the columns of {table} are {columns}")
            continue
        for *values, digest in connection.execute(f"SELECT * FROM {table}"):
            if not _is_digest(digest, values):
                found = dict(zip(columns, values, strict=False))
                first = found.get("first", -1)
                key = [found[name] for _, name, *_, in_key in info if in_key]
                yield Broken(
                    file,
                    first if isinstance(first, int) else -1,
                    f"the row {key} of {table} is not what was written",
                )


def _is_digest(digest: object, values: list[Any]) -> bool:
    try:
        return sha256(_pack(values)).digest() == digest
    except (UnicodeEncodeError, TypeError, OverflowError):
        return False


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    # Text that is no UTF-8 is to be found, not to end the walk.
    connection.text_factory = _text
    return connection


def _wrong_types(row: tuple[Any, ...]) -> Iterator[str]:
    for (name, kind), value in zip(COLUMNS, row, strict=True):
        if type(value) is not kind and not (name == "state" and value is None):
            yield f"{name} is {type(value).__name__}, not {kind.__name__}"


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")
