"""Fakes for clock and ids, and stores that are closed after each test."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from domain.ports import Ids
from domain.store.committer import Committer
from domain.store.ledger import Ledger

MONDAY = 1_571_616_000_000_000  # 2019-10-21T00:00Z


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: int = MONDAY) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


class SeededIds:
    """Ids and random bytes that are the same in every run."""

    def __init__(self, seed: str = "test") -> None:
        self._seed = seed
        self._count = 0

    def random(self, n: int) -> bytes:
        self._count += 1
        drawn = b""
        while len(drawn) < n:
            text = f"{self._seed}/{self._count}/{len(drawn)}"
            drawn += sha256(text.encode()).digest()
        return drawn[:n]

    def new_id(self) -> str:
        return self.random(16).hex()


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
