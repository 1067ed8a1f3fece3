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
from domain.ports import Append, Batch
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
