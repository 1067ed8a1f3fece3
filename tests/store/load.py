"""A writer under load for the crash test: says what was acknowledged, until killed.

``python load.py FOLDER THREADS``; each line is first position, count and command id.
"""

import os
import sys
import threading
import time
from pathlib import Path

from domain.model.session_events import ParkingStarted
from domain.ports import Append, Batch
from domain.store.committer import Committer
from domain.store.ledger import Ledger


class WallClock:
    def now(self) -> int:
        return time.time_ns() // 1_000


class RandomIds:
    def new_id(self) -> str:
        return os.urandom(16).hex()

    def random(self, n: int) -> bytes:
        return os.urandom(n)


def write(committer: Committer, writer: int) -> None:
    stream = f"session-{os.getpid()}-{writer}"
    expected = 0
    while True:
        event = ParkingStarted(session_id=stream, place="garage 2, row B")
        command_id = f"{stream}/{expected}"
        answer = committer.append(
            Batch(
                appends=(
                    Append(stream, (event,) * 5, time.time_ns() // 1_000, expected),
                ),
                actor="load",
                command_id=command_id,
            )
        )
        expected += 5
        # One write of one line: a kill leaves whole lines or nothing of one.
        os.write(1, f"{answer.first} {answer.count} {command_id}\n".encode())


def main(folder: Path, writers: int) -> None:
    path = folder / "ledger.sqlite"
    committer = Committer(Ledger(path, clock=WallClock(), ids=RandomIds()), path)
    for writer in range(writers):
        threading.Thread(target=write, args=(committer, writer), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
