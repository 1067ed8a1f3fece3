"""kill -9 at random instants under load: what was acknowledged is there."""

import random
import subprocess
import sys
import time
from pathlib import Path

from domain.store.reader import LedgerReader
from domain.store.verify import verify

ROOT = Path(__file__).parents[2]
KILLS, THREADS = 10, 8


def killed_writer(folder: Path, after_s: float) -> list[tuple[int, int, str]]:
    """Run the writer, kill it; return what it had acknowledged."""
    command = [sys.executable, str(Path(__file__).with_name("load.py"))]
    with subprocess.Popen(
        [*command, str(folder), str(THREADS)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(after_s)
        writer.kill()
        lines = [first, *writer.stdout]
    acknowledged = []
    for line in lines:
        position, count, command_id = line.split()
        acknowledged.append((int(position), int(count), command_id))
    return acknowledged


def test_no_acknowledged_event_is_lost(tmp_path: Path) -> None:
    chance = random.Random(20191029)
    events, loaded_s = 0, 0.0
    for _ in range(KILLS):
        after_s = chance.uniform(0.05, 0.6)
        acknowledged = killed_writer(tmp_path, after_s)
        loaded_s += after_s
        events += sum(count for _, count, _ in acknowledged)
        with LedgerReader.open(tmp_path / "ledger.sqlite") as reader:
            for first, count, command_id in acknowledged:
                rows = reader.read(after=first - 1, limit=count)
                assert [row.position for row in rows] == list(
                    range(first, first + count)
                )
                assert {row.command_id for row in rows} == {command_id}
        report = verify(tmp_path)
        assert report.broken == ()
        # What was committed but not acknowledged is whole batches of 5, after row 0.
        assert report.rows % 5 == 1
    print(
        f"{KILLS} kills, {events} events acknowledged, {events / loaded_s:.0f} a second"
    )
