"""Ledgers that are closed after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.ports import Ids
from domain.store.committer import Committer
from domain.store.ledger import Ledger
from tests.store.fakes import FakeClock, SeededIds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ids() -> Ids:
    return SeededIds()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock, ids: SeededIds) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite", clock=clock, ids=ids, log_id="node-1")
    yield ledger
    ledger.close()


@pytest.fixture
def committer(ledger: Ledger, tmp_path: Path) -> Iterator[Committer]:
    committer = Committer(ledger, tmp_path / "ledger.sqlite")
    yield committer
    committer.close()
