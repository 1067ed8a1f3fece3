"""The bytes of the log, read by code that shares nothing with the store (ADR 0001)."""

import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.model import registry
from domain.model.session_events import AuthorizationRequested
from domain.store.ledger import Ledger
from tests.store.fakes import FakeClock, SeededIds
from tests.store.make_log_format import BATCHES

FIXTURE = Path(__file__).with_name("log_format_1.json")
HEADER = [
    "tenant", "log_id", "position", "stream", "version", "decision_version", "type",
    "schema", "occurred_at", "recorded_at", "command_id", "correlation_id",
    "causation", "actor",
]  # fmt: skip


def stored() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(FIXTURE.read_text())["rows"]
    return rows


def test_the_chain_needs_sha256_and_msgpack_alone() -> None:
    before = b""
    for row in stored():
        digest = bytes.fromhex(row["state_digest"])
        if row["state"] is not None:
            state = bytes.fromhex(row["state"])
            assert sha256(state).digest() == digest
            if row["position"] == 0:
                before = msgspec.msgpack.decode(state)["genesis"]
        header = msgspec.msgpack.encode([row[name] for name in HEADER])
        assert header.hex() == row["header"]
        before = sha256(b"\x01" + before + header + digest).digest()
        assert before.hex() == row["hash"]


def test_the_fixture_has_a_row_of_every_sort() -> None:
    rows = stored()
    assert [row["position"] for row in rows] == list(range(len(rows)))
    states = [row["state"] for row in rows]
    assert rows[0]["type"] == "log.opened"
    assert None in states
    assert any(row["version"] != row["decision_version"] for row in rows[1:])
    assert any(row["command_id"] for row in rows)
    decoded = [msgspec.msgpack.decode(bytes.fromhex(s)) for s in states if s]
    assert all(isinstance(state, dict) for state in decoded)
    assert any("credential" in state for state in decoded)
    assert any("profile" in state for state in decoded)


def test_the_store_writes_these_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batches of the fixture, appended again, give its rows bit for bit.

    Under the schema versions of then: what an event tells may grow, the format may not.
    """
    asked = registry.BY_CLASS[AuthorizationRequested]._replace(schema=1)
    monkeypatch.setitem(registry.BY_CLASS, AuthorizationRequested, asked)  # type: ignore[misc]
    clock = FakeClock()
    path = tmp_path / "ledger.sqlite"
    with Ledger(path, clock=clock, ids=SeededIds(), log_id="node-1") as ledger:
        for batch in BATCHES:
            clock.at += 1_000_003
            ledger.append(batch)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(HEADER)}, state_digest, state, hash FROM rows"
        ).fetchall()
    written = stored()
    assert len(rows) == len(written)
    for row, expected in zip(rows, written, strict=True):
        *header, digest, state, row_hash = row
        assert header == [expected[name] for name in HEADER]
        assert digest.hex() == expected["state_digest"]
        assert expected["state"] in (None, state.hex())
        assert row_hash.hex() == expected["hash"]
