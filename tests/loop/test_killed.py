"""kill -9 at random instants: nothing acknowledged is lost, plans in force stay."""

import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from api.compose import open_log
from domain.loop.delivery import Delivery
from domain.loop.router import restore, state_of
from domain.loop.zone_state import ZoneState
from domain.ports import Log, Recorded
from domain.store.verify import verify
from tests.loop.world import ZONE, plans_in_force

ROOT = Path(__file__).parents[2]
KILLS, THREADS = 10, 3


class Killed(NamedTuple):
    acknowledged: list[tuple[int, int]]
    loaded_s: float


def killed_service(folder: Path, after_s: float) -> Killed:
    """Run the service, kill it; return what it had acknowledged."""
    command = [sys.executable, str(Path(__file__).with_name("service.py"))]
    with subprocess.Popen(
        [*command, str(folder), str(THREADS)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    ) as service:
        assert service.stdout is not None
        first, begun = service.stdout.readline(), time.monotonic()
        time.sleep(after_s)
        assert service.poll() is None
        service.kill()
        loaded_s = time.monotonic() - begun
        lines = [first, *service.stdout]
    answers = [line.split() for line in lines]
    return Killed([(int(first), int(n)) for first, n in answers], loaded_s)


def all_rows(log: Log) -> list[Recorded]:
    rows: list[Recorded] = []
    while page := log.read(after=len(rows), limit=5_000):
        rows += page
    return rows


def in_force(state: ZoneState) -> dict[str, object]:
    """Return the ETP of each EVSE, and what its station may follow."""
    return {
        name: (slot.ev and slot.ev.etp, *delivered(slot.delivery))
        for name, slot in state.slots.items()
    }


def delivered(delivery: Delivery) -> tuple[object, ...]:
    return (
        delivery.acked_number,
        delivery.acked.profile,
        delivery.last_number,
        delivery.last.profile,
        [(s.number, s.course.profile, s.timed_out) for s in delivery.sent],
        [(f.course.profile, f.since, f.until) for f in delivery.fading],
    )


def test_ten_kills_lose_no_event_and_no_plan(tmp_path: Path) -> None:
    dice = random.Random(20191029)
    events, loaded_s, position = 0, 0.0, 0
    plans: list[int] = []
    for _ in range(KILLS):
        killed = killed_service(tmp_path, dice.uniform(0.1, 2.0))
        loaded_s += killed.loaded_s
        with open_log(tmp_path) as log:
            rows = all_rows(log)
            restored = state_of(ZONE, restore(log, ZONE, rows[-1].recorded_at)[1])
        assert [row.position for row in rows] == list(range(1, len(rows) + 1))
        last = max(first + count - 1 for first, count in killed.acknowledged)
        assert last <= len(rows)
        assert verify(tmp_path).broken == ()
        assert in_force(restored) == in_force(state_of(ZONE, rows))
        etps = [plan.etps for plan in plans_in_force(rows)]
        assert {
            name: slot.ev.etp
            for name, slot in restored.slots.items()
            if slot.ev is not None and slot.ev.etp is not None
        } == {
            name: etp
            for name, etp in (etps[-1] if etps else {}).items()
            if (ev := restored.slots[name].ev) and ev.session_id == etp.session_id
        }
        events, position = events + len(rows) - position, len(rows)
        plans.append(len(etps))
    # Who came after a kill carried on.
    assert sum(after > before for before, after in pairwise(plans)) >= KILLS // 2
    print(
        f"{KILLS} kills, {events} events, {events / loaded_s:.0f} a second, "
        f"{plans[-1]} plans"
    )
