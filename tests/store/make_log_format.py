"""Makes the fixture ``log_format_1.json``; its bytes never change, so run it once.

``python -m tests.store.make_log_format`` prints it.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from domain.model.plan_events import EtpSent
from domain.model.profile import PowerProfile
from domain.model.session_events import (
    AuthorizationRequested,
    ParkingEnded,
    ParkingStarted,
    SessionOpened,
)
from domain.model.values import Sealed
from domain.ports import Append, Batch
from domain.store.ledger import Ledger
from domain.store.verify import COLUMNS
from tests.store.fakes import MONDAY, FakeClock, SeededIds

DROPPED = 3

_CREDENTIAL = Sealed("key-1", bytes(range(12)), b"ciphertext and a tag of 16 bytes")
BATCHES = (
    Batch(
        actor="cso-1",
        command_id="0b1e",
        request=b"open",
        correlation_id="visit-7",
        appends=(
            Append(
                "session-1",
                (
                    SessionOpened(session_id="1", party="cso-1", subject_id="s-1"),
                    AuthorizationRequested(
                        session_id="1",
                        evse_id="US*CAL*E001",
                        subject_id="s-1",
                        credential=_CREDENTIAL,
                    ),
                ),
                MONDAY,
                0,
            ),
        ),
    ),
    Batch(
        actor="parking",
        causation=1,
        appends=(
            Append(
                "session-1",
                (ParkingStarted(session_id="1", place="Süd 3 ü"),),
                MONDAY - 5_000_000,
            ),
        ),
    ),
    Batch(
        actor="loop",
        appends=(
            Append(
                "delivery-CAL-1-2019-10-21",
                (
                    EtpSent(
                        evse_id="US*CAL*E001",
                        number=70_000,
                        profile=PowerProfile(
                            MONDAY, ((0, 6_656), (900, 0), (1_800, -1))
                        ),
                    ),
                ),
                MONDAY,
                0,
            ),
            Append(
                "session-1",
                (ParkingEnded(session_id="1"),),
                MONDAY,
            ),
        ),
    ),
)


def main() -> None:
    clock = FakeClock()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        with Ledger(path, clock=clock, ids=SeededIds(), log_id="node-1") as ledger:
            for batch in BATCHES:
                clock.at += 1_000_003
                ledger.append(batch)
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT * FROM rows ORDER BY position").fetchall()
    shown = []
    for row in rows:
        entry = {
            name: value.hex() if isinstance(value, bytes) else value
            for (name, _), value in zip(COLUMNS, row, strict=True)
        }
        entry["header"] = msgspec.msgpack.encode(row[:14]).hex()
        if entry["position"] == DROPPED:
            entry["state"] = None
        shown.append(entry)
    print(json.dumps({"format": 1, "rows": shown}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
