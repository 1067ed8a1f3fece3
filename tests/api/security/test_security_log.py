"""The security log itself: floods, a store that is away, who is never kept waiting."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from api.security.notes import WINDOW, Kind, Origin, SecurityLog
from domain.errors import StoreError
from domain.model.access_events import SecurityCounted, SecurityNoted
from domain.model.values import HOUR, MINUTE
from domain.ports import Answer, Batch, Recorded
from tests.api.conftest import Served

HERE = Origin("192.0.2.1", "agent", "/v1/zones")


class AwayLog:
    """A log whose store is away until it is not."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.is_away = True
        self.refused = threading.Event()

    def append(self, batch: Batch) -> Answer:
        if self.is_away:
            self.refused.set()
            raise StoreError("the store is away")
        answer: Answer = self._log.append(batch)
        return answer


class StuckLog(AwayLog):
    """A log that does not answer until it is told."""

    def append(self, batch: Batch) -> Answer:
        self.refused.set()
        while self.is_away:
            time.sleep(0.01)
        return super().append(batch)


@pytest.fixture
def security(served: Served) -> Iterator[SecurityLog]:
    log = SecurityLog(served.system)
    yield log
    log.close()


def written(served: Served) -> list[Recorded]:
    rows = served.system.log.read(after=-1, limit=10_000)
    return [row for row in rows if row.stream.startswith("security-")]


def counted(served: Served) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in written(served):
        event = row.event
        assert isinstance(event, SecurityCounted | SecurityNoted)
        more = event.count if isinstance(event, SecurityCounted) else 1
        found[event.kind] = found.get(event.kind, 0) + more
    return found


@pytest.mark.requirement("7.9.4.6b")
def test_a_flood_from_one_source_is_two_rows_a_window(
    served: Served, security: SecurityLog
) -> None:
    for _ in range(5_000):
        security.note(Kind.NO_CREDENTIALS, HERE)
    security.close()
    assert [row.type for row in written(served)] == [
        "security.noted",
        "security.counted",
    ]
    assert counted(served) == {"no-credentials": 5_000}
    assert security.counts()["no-credentials"] == 5_000


def test_a_flood_from_many_sources_is_bounded(
    served: Served, security: SecurityLog
) -> None:
    for n in range(3_000):
        security.note(Kind.WRONG_CREDENTIALS, Origin(f"2001:db8::{n:x}"))
    security.close()
    assert len(written(served)) < 250
    assert counted(served) == {"wrong-credentials": 3_000}


def test_a_new_window_begins_with_a_row(served: Served, security: SecurityLog) -> None:
    for _ in range(3):
        for _ in range(10):
            security.note(Kind.FORBIDDEN, HERE)
        served.clock.at += WINDOW
    security.close()
    types = [row.type for row in written(served)]
    assert types.count("security.noted") == 3
    assert types.count("security.counted") == 3
    assert counted(served) == {"forbidden": 30}


def test_a_window_ends_by_itself(served: Served, security: SecurityLog) -> None:
    security.note(Kind.FORBIDDEN, HERE)
    security.note(Kind.FORBIDDEN, HERE)
    served.clock.at += WINDOW
    until = time.monotonic() + 10
    while counted(served) != {"forbidden": 2}:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_login_is_noted_once_an_hour_and_address(
    served: Served, security: SecurityLog
) -> None:
    for address in ("192.0.2.1", "192.0.2.2"):
        for _ in range(3):
            security.login("anna", "anna", Origin(address))
    served.clock.at += HOUR
    security.login("anna", "anna", HERE)
    security.close()
    assert counted(served) == {"login": 3}


def test_what_could_not_be_written_is_counted_until_it_can(served: Served) -> None:
    log = AwayLog(served.system.log)
    security = SecurityLog(msgspec.structs.replace(served.system, log=log))
    security.note(Kind.NO_CREDENTIALS, HERE)
    security.note(Kind.LOGIN, HERE)
    assert log.refused.wait(10)
    time.sleep(0.2)
    assert written(served) == []
    log.is_away = False
    served.clock.at += MINUTE
    security.close()
    assert counted(served) == {"no-credentials": 1, "login": 1}


def test_nobody_waits_for_a_store_that_does_not_answer(served: Served) -> None:
    log = StuckLog(served.system.log)
    security = SecurityLog(msgspec.structs.replace(served.system, log=log))
    security.note(Kind.NO_CREDENTIALS, HERE)
    assert log.refused.wait(10)
    begun = time.monotonic()
    for n in range(1_000):
        security.note(Kind.FAULTY_MESSAGE, Origin(f"192.0.2.{n % 250}"))
    assert time.monotonic() - begun < 1.0
    log.is_away = False
    security.close()
    assert counted(served) == {"no-credentials": 1, "faulty-message": 1_000}


@pytest.mark.requirement("7.9.4.6c")
def test_where_it_came_from_is_sealed(served: Served, security: SecurityLog) -> None:
    security.note(Kind.WRONG_CREDENTIALS, HERE)
    security.close()
    (row,) = written(served)
    assert b"192.0.2.1" not in repr(row).encode()
    assert isinstance(row.event, SecurityNoted)
    assert row.event.origin is not None
    group = served.system.vault.open(row.event.origin, "security.noted")
    assert group == msgspec.msgpack.encode(HERE)
