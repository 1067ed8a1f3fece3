"""A runner killed at any instant goes on where it was, and no event counts twice."""

import subprocess
import sys
import time
from pathlib import Path
from random import Random

from projections.file import Reader
from projections.runner import ALL, Runner
from tests.projections.small_site import Site, day

FOLLOW = """
import sys
from pathlib import Path
from domain.store.store import open_readonly
from projections.runner import Runner
runner = Runner(open_readonly(Path(sys.argv[1])), Path(sys.argv[2]), batch=1)
print("following", flush=True)
runner.catch_up()
"""


def dumps(folder: Path) -> list[str]:
    readers = [Reader(folder, fold.name) for fold in ALL]
    found = [reader.dump() for reader in readers]
    for reader in readers:
        reader.close()
    return found


def test_killed_runners_leave_what_one_undisturbed_leaves(
    site: Site, tmp_path: Path
) -> None:
    for _ in range(9):
        site.tell(day(site))
    whole = Runner(site.log, tmp_path / "whole")
    last = whole.catch_up()
    whole.close()
    random, stood_at = Random(6), []
    for _ in range(5):
        command = [sys.executable, "-c", FOLLOW, str(site.folder), str(tmp_path / "p")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "following\n"
            time.sleep(random.uniform(0.01, 0.06))
            follower.kill()
        runner = Runner(site.log, tmp_path / "p")
        stood_at.append(runner.position())
        runner.close()
    assert stood_at == sorted(stood_at)
    assert stood_at[0] < last
    assert stood_at[-1] > 0
    runner = Runner(site.log, tmp_path / "p")
    runner.catch_up()
    runner.close()
    assert dumps(tmp_path / "p") == dumps(tmp_path / "whole")
