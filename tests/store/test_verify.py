"""Whatever is changed in a store's rows is found, with its position."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from domain.model.plan_events import ReadingsTaken
from domain.model.session_events import ParkingStarted
from domain.model.values import DAY
from domain.ports import Append, Batch, Claim, Timer
from domain.store.ledger import Ledger
from domain.store.samples import Samples
from domain.store.store import Store
from domain.store.verify import COLUMNS, verify
from tests.store.fakes import MONDAY, FakeClock, SeededIds

DAY_1 = "2019-10-21"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 8 rows in the ledger, the last one the seal of 6 rows of samples."""
    folder = tmp_path_factory.mktemp("written")
    clock = FakeClock()
    with Store(
        folder, clock=clock, ids=SeededIds(), master_key=b"k" * 32, threaded=False
    ) as store:
        for n in range(6):
            parked = ParkingStarted(session_id="1", place=str(n))
            append = Append("session-1", (parked,), MONDAY + n, n if n % 2 else None)
            if n % 2:
                append = Append("session-2", (parked,), MONDAY + n, n // 2)
            store.log.append(
                Batch(appends=(append,), actor="a", command_id=f"c{n}", causation=n)
            )
        for n in range(5):
            readings = ReadingsTaken(
                zone_id="z", from_at=n, evse_ids=("e",), evse_index=b"",
                offset_ms=b"", power_w=bytes([n]), register_wh=b"",
            )  # fmt: skip
            store.samples.append("samples-z", readings, MONDAY + n)
        clock.at += DAY
        store.samples.close_days_before(clock.at)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "store"))


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def files(folder: Path) -> Iterator[Path]:
    yield folder / "ledger.sqlite"
    yield folder / "samples" / f"{DAY_1}.sqlite"


def test_an_untouched_store_is_intact(folder: Path) -> None:
    report = verify(folder)
    assert report.is_intact
    assert [(log.file, log.rows) for log in report.logs] == [
        ("ledger.sqlite", 8),
        (f"{DAY_1}.sqlite", 6),
    ]
    assert (report.rows, report.dropped, report.absent) == (14, 0, ())


@pytest.mark.parametrize("file", [0, 1])
@pytest.mark.parametrize("position", [0, 3, 5])
@pytest.mark.parametrize("column", [name for name, _ in COLUMNS])
def test_a_changed_column_is_found(
    folder: Path, file: int, position: int, column: str
) -> None:
    kind = dict(COLUMNS)[column]
    changed = {
        int: f"{column} + 100",
        str: f"{column} || 'x'",
        bytes: f"CAST(substr({column}, 1, length({column}) - 1) || x'ff' AS BLOB)",
    }[kind]
    path = list(files(folder))[file]
    change(path, f"UPDATE rows SET {column} = {changed} WHERE position = {position}")
    found = {broken.position for broken in verify(folder).broken}
    if column == "position":
        assert {position + 1, position + 100} & found
    else:
        assert found == {position}


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("column", ["state_digest", "state", "hash"])
def test_one_bit_is_found(folder: Path, column: str, bit: int) -> None:
    path = folder / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        query = f"SELECT {column} FROM rows WHERE position = 4"
        (value,) = connection.execute(query).fetchone()
        value = value[:7] + bytes([value[7] ^ (1 << bit)]) + value[8:]
        update = f"UPDATE rows SET {column} = ? WHERE position = 4"
        connection.execute(update, (value,))
    assert {broken.position for broken in verify(folder).broken} == {4}


@pytest.mark.parametrize(
    ("column", "changed"),
    [
        ("tenant", "CAST(tenant AS BLOB)"),
        ("actor", "CAST(x'61ff' AS TEXT)"),
        ("version", "version || 'x'"),
        ("recorded_at", "recorded_at + 0.5"),
        ("causation", "x'05'"),
        ("state", "'text'"),
        ("hash", "'text'"),
        ("hash", "CAST(hash AS TEXT)"),
        ("state_digest", "CAST(state_digest AS TEXT)"),
    ],
)
def test_a_changed_type_is_found(folder: Path, column: str, changed: str) -> None:
    path = folder / "ledger.sqlite"
    change(path, f"UPDATE rows SET {column} = {changed} WHERE position = 4")
    found = {broken.position for broken in verify(folder).broken}
    assert 4 in found
    assert found <= {-1, 4}


def test_a_dropped_state_is_dropped_and_not_broken(folder: Path) -> None:
    change(folder / "ledger.sqlite", "UPDATE rows SET state = NULL WHERE position = 4")
    report = verify(folder)
    assert report.is_intact
    assert report.dropped == 1
    assert report.logs[0].dropped == [4]


def test_a_removed_row_is_found(folder: Path) -> None:
    change(folder / "ledger.sqlite", "DELETE FROM rows WHERE position = 4")
    assert verify(folder).broken[0].position == 5
    assert "position 5 follows 3" in verify(folder).broken[0].reason


def test_a_removed_beginning_is_found(folder: Path) -> None:
    change(folder / "ledger.sqlite", "DELETE FROM rows WHERE position < 2")
    assert verify(folder).broken[0].position == 2


def test_the_cut_tail_of_a_sealed_partition_is_found(folder: Path) -> None:
    change(
        folder / "samples" / f"{DAY_1}.sqlite", "DELETE FROM rows WHERE position > 3"
    )
    (broken,) = verify(folder).broken
    assert broken.position == 4
    assert "4 rows, but the ledger sealed 6" in broken.reason


def test_another_partition_in_the_place_of_a_sealed_one_is_found(
    folder: Path, tmp_path: Path, clock: FakeClock, ledger: Ledger
) -> None:
    """It is intact in itself and has as many rows, but another head."""
    forged = Samples(tmp_path / "f", log=ledger, clock=clock, ids=SeededIds("forger"))
    for n in range(5):
        forged.append("samples-z", ParkingStarted(session_id="1"), MONDAY + n)
    forged.close()
    shutil.copy(tmp_path / "f" / f"{DAY_1}.sqlite", folder / "samples")
    (broken,) = verify(folder).broken
    assert (broken.file, broken.position) == (f"{DAY_1}.sqlite", 5)
    assert "not the one the ledger sealed" in broken.reason


def test_a_partition_taken_whole_is_absent_and_not_broken(folder: Path) -> None:
    (folder / "samples" / f"{DAY_1}.sqlite").unlink()
    report = verify(folder)
    assert report.is_intact
    assert report.absent == (DAY_1,)


@pytest.fixture
def furnished(folder: Path) -> Path:
    """The store with a guard, a timer and a subject, too."""
    with Store(
        folder, clock=FakeClock(), ids=SeededIds("2"), master_key=b"k" * 32
    ) as store:
        store.vault.subject_of("rfid", "04AABBCC")
        claim = Claim("occupant", "e", "session-9")
        timer = Timer(MONDAY, "session-9", "close", "1")
        parked = ParkingStarted(session_id="9", place="p")
        batch = Batch(
            appends=(Append("session-9", (parked,), MONDAY, 0),),
            actor="a",
            command_id="late",
            claims=(claim,),
            timers=(timer,),
        )
        store.log.append(batch)
    assert verify(folder).is_intact
    return folder


BESIDE = {
    "ledger.sqlite": {
        "guards": ("tenant", "kind", "key", "owner", "digest"),
        "commands": (
            "tenant", "actor", "command_id", "request", "first", "count", "digest",
        ),
        "timers": ("tenant", "due_at", "stream", "kind", "key", "digest"),
    },
    "vault.sqlite": {
        "key_check": ("value", "digest"),
        "keys": ("key_id", "subject_id", "wrapped", "digest"),
        "directory": ("credential", "subject_id", "digest"),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "table", "column"),
    [
        (file, table, column)
        for file, tables in BESIDE.items()
        for table, columns in tables.items()
        for column in columns
    ],
)
def test_one_bit_beside_the_chain_is_found(
    furnished: Path, file: str, table: str, column: str
) -> None:
    with closing(sqlite3.connect(furnished / file)) as connection, connection:
        info = connection.execute(f"PRAGMA table_info({table})").fetchall()
        assert tuple(name for _, name, *_ in info) == BESIDE[file][table]
        (value,) = connection.execute(f"SELECT {column} FROM {table}").fetchone()
        update = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"
        connection.execute(update, (a_bit_changed(value), value))
    assert any(f"of {table} is not" in b.reason for b in verify(furnished).broken)


def a_bit_changed(value: int | str | bytes) -> int | str | bytes:
    if isinstance(value, int):
        return value ^ 64
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 64)
    return value[:-1] + bytes([value[-1] ^ 64])


def test_a_changed_command_is_found_with_its_position(furnished: Path) -> None:
    change(
        furnished / "ledger.sqlite",
        "UPDATE commands SET request = x'00' WHERE command_id = 'late'",
    )
    (broken,) = verify(furnished).broken
    assert (broken.file, broken.position) == ("ledger.sqlite", 8)


def test_a_command_taken_out_of_the_register_is_found(furnished: Path) -> None:
    """Else the same command could be given again."""
    change(
        furnished / "ledger.sqlite", "DELETE FROM commands WHERE command_id = 'late'"
    )
    assert [b.position for b in verify(furnished).broken] == [8]


@pytest.mark.parametrize("file", list(BESIDE))
def test_a_table_that_is_not_there_is_found(furnished: Path, file: str) -> None:
    for table in BESIDE[file]:
        with closing(sqlite3.connect(furnished / file)) as connection:
            connection.execute(f"DROP TABLE {table}")
    said = " ".join(broken.reason for broken in verify(furnished).broken)
    assert all(table in said for table in BESIDE[file])


def test_a_vault_that_is_no_database_is_reported(furnished: Path) -> None:
    (furnished / "vault.sqlite").write_bytes(b"not SQLite at all" * 100)
    (broken,) = verify(furnished).broken
    assert broken.file == "vault.sqlite"


def test_a_command_whose_rows_were_cut_off_is_found(folder: Path) -> None:
    change(folder / "ledger.sqlite", "DELETE FROM rows WHERE position > 5")
    assert [b.position for b in verify(folder).broken] == [6, 7]


def test_a_file_that_is_no_database_is_reported(folder: Path) -> None:
    (folder / "ledger.sqlite").write_bytes(b"not SQLite at all" * 100)
    (broken, *_) = verify(folder).broken
    assert "cannot be read" in broken.reason


def test_other_columns_are_reported(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        connection.execute("ALTER TABLE rows DROP COLUMN actor")
    (broken, *_) = verify(folder).broken
    assert "columns" in broken.reason
