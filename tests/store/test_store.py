"""Ledger, samples and vault of one folder, opened and closed together."""

from pathlib import Path

import pytest

from domain.errors import StoreError, StoreInUse, WrongMasterKey
from domain.model.session_events import ParkingStarted
from domain.ports import Append, Batch, Log, SampleLog, Vault
from domain.store.store import Store, folder_of, open_readonly
from tests.store.fakes import MONDAY, FakeClock, SeededIds


def opened(folder: Path, *, key: bytes = b"k" * 32, threaded: bool = True) -> Store:
    return Store(
        folder,
        clock=FakeClock(),
        ids=SeededIds(),
        master_key=key,
        log_id="node-1",
        threaded=threaded,
    )


PARKED = Batch(
    appends=(Append("s", (ParkingStarted(session_id="1"),), MONDAY, 0),), actor="a"
)


@pytest.mark.parametrize(
    ("url", "folder"),
    [("sqlite:///runs/a", "runs/a"), ("sqlite:////srv/a", "/srv/a"),
     ("sqlite:///.", ".")],
)  # fmt: skip
def test_a_url_names_a_folder(url: str, folder: str) -> None:
    assert folder_of(url) == Path(folder)


@pytest.mark.parametrize(
    "url", ["postgresql://host/db", "sqlite://runs", "sqlite:///", "runs/a", ""]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///FOLDER") as refused:
        folder_of(url)
    assert repr(url) in str(refused.value)


def test_its_parts_are_the_ports(tmp_path: Path) -> None:
    with opened(tmp_path / "new" / "store") as store:
        log: Log = store.log
        samples: SampleLog = store.samples
        vault: Vault = store.vault
        assert log.last_position() == 0
        assert list(samples.read_day("2019-10-21")) == []
        assert vault.find_subject("rfid", "A") is None


def test_without_a_committer_appends_wait_for_the_flush(tmp_path: Path) -> None:
    with (
        opened(tmp_path, threaded=False) as store,
        open_readonly(tmp_path) as reader,
    ):
        store.log.append(PARKED)
        assert (store.log.last_position(), reader.last_position()) == (1, 0)
        store.log.flush()
        assert reader.last_position() == 1


def test_a_store_opens_again_after_a_refusal(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(WrongMasterKey):
        opened(tmp_path, key=b"x" * 32)
    with opened(tmp_path) as store:
        with pytest.raises(StoreInUse):
            opened(tmp_path)
        store.log.append(PARKED)


def test_a_folder_without_a_store_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no ledger\.sqlite"):
        open_readonly(tmp_path)


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    heads = []
    for run in ("a", "b"):
        with opened(tmp_path / run, threaded=False) as store:
            store.vault.subject_of("rfid", "A")
            store.log.append(PARKED)
            heads.append(store.log.hash_at(1))
    assert heads[0] == heads[1] is not None
