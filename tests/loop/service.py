"""A service under load for the crash test: says what was acknowledged, until killed.

``python service.py FOLDER THREADS``: zone loops on a threaded store, stations that
answer, cars that come and go. Each line is the first position and the count of an
append that returned.
"""

import os
import random
import sys
import threading
import time
from pathlib import Path

from api.compose import compile_planner
from domain.errors import Refused
from domain.loop.observer import Reading
from domain.loop.runner import LoopRunner
from domain.model.plan_events import EtpAccepted, EtpSent
from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.values import SECOND, Instant
from domain.ports import Answer, Append, Batch, System
from domain.store.committer import Committer
from domain.store.store import Store
from domain.use_cases.clause_6_2_service_sessions import run_due_timers
from domain.use_cases.clause_7_3_commissioning import DefineZone, define_zone
from domain.use_cases.e1_smart_charging import (
    PlugEv,
    SignalPause,
    StateNeeds,
    UnplugEv,
    plug_ev,
    signal_pause,
    state_needs,
    unplug_ev,
)
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.shared_path import By
from optimizer import Planner
from tests.loop.world import ZONE, commissioned, evse_id

EVSES = 24


class WallClock:
    def now(self) -> Instant:
        return time.time_ns() // 1_000


class RandomIds:
    def new_id(self) -> str:
        return os.urandom(16).hex()

    def random(self, n: int) -> bytes:
        return os.urandom(n)


def say(answer: Answer) -> None:
    # One write of one line: a kill leaves whole lines or nothing of one.
    os.write(1, f"{answer.first} {answer.count}\n".encode())


def register_wh() -> int:
    """A register that runs at 3.6 kW, also while nobody looks."""
    return int(time.time()) - 1_700_000_000


def by(actor: str = "load") -> By:
    return By(actor=actor, at=WallClock().now())


def set_up(system: System) -> None:
    define_zone(
        system, DefineZone(zone_id=ZONE, name="G", limit_w=60_000, safe_upper_w=0), by()
    )
    commissioned(system, EVSES, by())
    envelope = PowerRangeEnvelope(
        by().at // SECOND * SECOND, (Range(86_400, 0, 40_000),)
    )
    say(
        receive_pre(
            system, ReceivePre(zone_id=ZONE, pre_id="a", envelope=envelope), by()
        )
    )


def drive(system: System, names: list[str]) -> None:
    """Let cars come, change their minds and go."""
    dice = random.Random()
    while True:
        name = dice.choice(names)
        session_id = system.log.owner("occupant", name)
        try:
            if session_id is None:
                command = PlugEv(evse_id=name, register_wh=register_wh())
                say(plug_ev(system, command, by()))
            elif dice.random() < 0.2:
                say(unplug_ev(system, UnplugEv(evse_id=name, energy_wh=0), by()))
            elif dice.random() < 0.5:
                needs = StateNeeds(
                    session_id=session_id,
                    departure_at=by().at + dice.randint(600, 9_000) * SECOND,
                    energy_target_wh=dice.randint(1_000, 30_000),
                )
                say(state_needs(system, needs, by()))
            else:
                paused = dice.random() < 0.5
                say(
                    signal_pause(system, SignalPause(evse_id=name, paused=paused), by())
                )
        except Refused as refused:
            print(refused, file=sys.stderr)


def answer(system: System, feed: Committer, after: int) -> None:
    """Follow the log and accept every ETP, for all stations."""
    while True:
        feed.wait_for(after + 1, 1)
        for row in system.log.read(after=after, limit=1_000):
            after = row.position
            if isinstance(row.event, EtpSent):
                event = EtpAccepted(evse_id=row.event.evse_id, number=row.event.number)
                append = Append(row.stream, (event,), WallClock().now())
                say(system.log.append(Batch(actor="stations", appends=(append,))))


def read_meters(runner: LoopRunner, names: list[str]) -> None:
    while True:
        now, wh = WallClock().now(), register_wh()
        runner.take_readings(ZONE, now, [Reading(n, now, 3_600, wh) for n in names])
        time.sleep(0.02)


def main(folder: Path, writers: int) -> None:
    compile_planner()
    clock, numbers = WallClock(), RandomIds()
    store = Store(folder, clock=clock, ids=numbers, master_key=bytes(32))
    system = System(store.log, store.samples, store.vault, clock, numbers)
    if system.log.last_position() == 0:
        set_up(system)
    assert isinstance(store.log, Committer)
    runner = LoopRunner(
        system,
        store.log,
        lambda: Planner().plan,
        run_due_timers,
        delivers=True,
    )
    seen = system.log.last_position()
    runner.start()
    names = [evse_id(i) for i in range(EVSES)]
    for writer in range(writers):
        own = names[writer::writers]
        threading.Thread(target=drive, args=(system, own), daemon=True).start()
    answering = (system, store.log, seen)
    threading.Thread(target=answer, args=answering, daemon=True).start()
    threading.Thread(target=read_meters, args=(runner, names), daemon=True).start()
    while not runner.trouble:
        time.sleep(0.05)
    sys.exit(runner.trouble)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
