"""kill -9 of ``voltledger serve`` while HTTP commands and stations load it.

What was answered is there, once; what was not is told again, and then is there once;
the chain verifies and the plans in force are those before. With ``VOLTLEDGER_FULL=1``
it is killed ten times.
"""

import asyncio
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from api.compose import SystemIds, compile_planner, open_log
from api.security.keys import draw_key
from benchmarks.speed.ocpp_stations import VERSIONS, Station, Tally
from domain.loop.router import restore, state_of
from domain.model.plan_events import PlanMade, ReadingsTaken
from domain.model.session_events import TransferEnded, TransferStarted
from domain.ports import Recorded
from domain.store.master_key import load
from domain.store.reader import LedgerReader
from domain.store.store import SAMPLES_FOLDER
from domain.store.verify import verify
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    commission_station,
    define_zone,
)
from domain.use_cases.clause_7_9_4_5_access import IssueKey, issue_key
from domain.use_cases.shared_path import By
from tests.api.ocpp.live import open_system, register
from tests.api.ocpp.office import evse_data
from tests.api.test_cli_serve import Server, key_file, serving
from tests.loop.test_killed import all_rows, in_force

KILLS = 10 if os.environ.get("VOLTLEDGER_FULL") else 3
STATIONS, PLUGGED = 6, 3
ZONE = "yard"


def evse_of(station_id: str) -> str:
    return f"DE*VLT*E{station_id.upper()}*1"


class Caller:
    """A program at the API; what it was not answered it tells again."""

    def __init__(self, name: str) -> None:
        self.told: list[str] = []
        self.failed: list[str] = []
        self._commands = self.commands(name, random.Random(name))
        self._next: tuple[str, str, dict[str, Any]] | None = None
        self.session_id = ""

    def commands(
        self, name: str, dice: random.Random
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        raise NotImplementedError

    def call(self, server: Server, headers: dict[str, str]) -> None:
        """Give commands until the server is gone."""
        with httpx.Client(base_url=f"{server.address}/v1", headers=headers) as client:
            while not self.failed:
                self._next = self._next or next(self._commands)
                command_id, path, body = self._next
                key = {"Idempotency-Key": command_id}
                try:
                    answer = client.post(path, json=body, headers=key, timeout=60)
                except httpx.TransportError:
                    return
                if answer.status_code != 200:
                    self.failed.append(f"{path}: {answer.text}")
                self.session_id = answer.json().get("session_id") or self.session_id
                self.told.append(command_id)
                self._next = None


class Driver(Caller):
    """EVs that come to one EVSE, change their minds and go."""

    def commands(
        self, name: str, dice: random.Random
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        path, number = f"/evses/{evse_of(name)}", 0
        while True:
            number += 1
            yield f"{name}-plug-{number}", f"{path}/plugs", {"register_wh": 0}
            for n in range(dice.randint(1, 6)):
                departure = datetime.now(UTC) + timedelta(
                    seconds=dice.randint(99, 9_999)
                )
                needs = {
                    "departure_at": departure.isoformat(),
                    "energy_target_wh": dice.randint(1_000, 30_000),
                }
                yield (
                    f"{name}-needs-{number}-{n}",
                    f"/service-sessions/{self.session_id}/needs",
                    needs,
                )
                paused = {"paused": bool(n % 2)}
                yield f"{name}-pause-{number}-{n}", f"{path}/pauses", paused
            yield f"{name}-unplug-{number}", f"{path}/unplugs", {"energy_wh": 0}


class ResourceManager(Caller):
    """One PRE after the other."""

    def commands(
        self, name: str, dice: random.Random
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for number in range(1_000_000):
            upper_w = dice.randint(20_000, 60_000)
            body = {
                "pre_id": f"{name}-{number}",
                "start_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "ranges": [{"duration_s": 9_000, "lower_w": 0, "upper_w": upper_w}],
            }
            yield f"{name}-{number}", f"/zones/{ZONE}/pre", body
            time.sleep(0.2)


class Charging:
    """A station that charges all the time and tells again what was not answered."""

    def __init__(self, number: int) -> None:
        self.station = Station(number, VERSIONS[number % 3], Tally(), 11_040)
        self.answered = 0
        self.answered_wh = 0
        self._pending: bytes | None = None
        self._has_begun = False

    async def live(self, port: int) -> None:
        """Connect, boot and tell readings until the connection is gone."""
        try:
            await self._boot(port)
            while True:
                await self._ask(self.station.reading_frame())
                await asyncio.sleep(0.005)
        except (OSError, asyncio.IncompleteReadError):
            return

    async def end(self, port: int) -> None:
        """Connect again and end the transaction."""
        await self._boot(port)
        await self._ask(self.station.end_frame())
        self.station.leave()

    async def _boot(self, port: int) -> None:
        await self.station.connect(port)
        await self.station.boot()
        if self._pending is not None:
            await self._ask(self._pending)
        elif not self._has_begun:
            await self._ask(self.station.start_frame())

    async def _ask(self, frame: bytes) -> None:
        self._pending = frame
        register_wh = int(self.station._register_wh)
        answer = await self.station.ask(frame)
        assert answer.startswith(b"[3"), answer
        if not self._has_begun:
            self.station.take_started(answer)
        self._has_begun, self._pending = True, None
        self.answered += 1
        self.answered_wh = register_wh


class Site:
    """The store, and all that load the server on it."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "live"
        self.environment = key_file(folder / "key", 1)
        self.stations = [Charging(n) for n in range(STATIONS)]
        names = [f"h{n}" for n in range(PLUGGED)]
        self.callers = [*(Driver(name) for name in names), ResourceManager("rm")]
        new = draw_key("main", SystemIds())
        self.headers = {"Authorization": f"Bearer {new.text}"}
        with open_system(self.store, load(self.environment).key) as system:
            by = By(actor="operator", at=system.clock.now())
            zone = DefineZone(
                zone_id=ZONE, name="Yard", limit_w=60_000, safe_upper_w=20_000
            )
            define_zone(system, zone, by)
            for name in (*(f"s{n}" for n in range(STATIONS)), *names):
                evses = (evse_data(evse_of(name)),)
                command = CommissionStation(station_id=name, zone_id=ZONE, evses=evses)
                commission_station(system, command, by)
                register(system, name)
            key = IssueKey(
                label="load",
                roles=("operator", "station", "resource-manager"),
                zones=("*",),
                stations=tuple(names),
                rate_per_minute=1_000_000,
            )
            issue_key(system, key, by, key_id=new.key_id, digest=new.digest)

    def answered(self) -> int:
        told = sum(len(caller.told) for caller in self.callers)
        return told + sum(station.answered for station in self.stations)

    def run_until_killed(self, after_s: float) -> float:
        """Load a server, kill it; return how long it was under load [s]."""
        with serving(self.store, environment=self.environment) as server:
            loads = [
                threading.Thread(target=caller.call, args=(server, self.headers))
                for caller in self.callers
            ]
            loads.append(threading.Thread(target=self._charge, args=(port_of(server),)))
            begun = time.monotonic()
            for thread in loads:
                thread.start()
            while not self._plans(server):
                time.sleep(0.05)
            time.sleep(after_s)
            assert server.process.poll() is None
            server.process.kill()
            loaded_s = time.monotonic() - begun
            for thread in loads:
                thread.join(60)
                assert not thread.is_alive()
        return loaded_s

    def _plans(self, server: Server) -> int:
        asked = httpx.get(f"{server.address}/v1/operation", headers=self.headers)
        return int(asked.json()["loop"]["plans"])

    def _charge(self, port: int) -> None:
        async def all_stations() -> None:
            await asyncio.gather(*(station.live(port) for station in self.stations))

        asyncio.run(all_stations())

    def check(self) -> Sequence[Recorded]:
        """Check what is in the store against what was answered; return its rows."""
        assert [failed for caller in self.callers for failed in caller.failed] == []
        assert verify(self.store).broken == ()
        with open_log(self.store) as log:
            rows = all_rows(log)
            restored = state_of(ZONE, restore(log, ZONE, rows[-1].recorded_at)[1])
        assert [row.position for row in rows] == list(range(1, len(rows) + 1))
        assert in_force(restored) == in_force(state_of(ZONE, rows))
        # A command's rows are one batch: who told it twice finds it once.
        batches = Counter(key for key, _ in groupby(row.command_id for row in rows))
        told = {name for caller in self.callers for name in caller.told}
        assert {batches[name] for name in told} <= {1}
        registers_wh = sampled_wh(self.store)
        for station in self.stations:
            evse_id = evse_of(station.station.identity)
            began = [
                row
                for row in rows
                if isinstance(row.event, TransferStarted)
                and row.event.evse_id == evse_id
            ]
            assert len(began) <= 1
            if station.answered > 1:
                assert began
                assert registers_wh[evse_id] >= station.answered_wh
        return rows


def port_of(server: Server) -> int:
    found = re.search(r"ws://127\.0\.0\.1:(\d+)/ocpp", server.said)
    assert found is not None, server.said
    return int(found[1])


def sampled_wh(store: Path) -> dict[str, int]:
    """Return the highest register of each EVSE in the samples."""
    found: dict[str, int] = {}
    for path in (store / SAMPLES_FOLDER).glob("*.sqlite"):
        with LedgerReader.open(path) as samples:
            for row in samples.read(after=0, limit=1_000_000):
                if not isinstance(row.event, ReadingsTaken):
                    continue
                index = np.frombuffer(row.event.evse_index, "<i4").tolist()
                register_wh = np.frombuffer(row.event.register_wh, "<i4").tolist()
                for i, wh in zip(index, register_wh, strict=True):
                    name = row.event.evse_ids[i]
                    found[name] = max(found.get(name, 0), wh)
    return found


def test_a_killed_server_loses_nothing_it_answered(tmp_path: Path) -> None:
    dice = random.Random(20191029)
    compile_planner()
    site = Site(tmp_path)
    loaded_s, rows = 0.0, site.check()
    commissioned, plans = len(rows), [0]
    for _ in range(KILLS):
        loaded_s += site.run_until_killed(dice.uniform(0.1, 2.0))
        rows = site.check()
        plans.append(sum(isinstance(row.event, PlanMade) for row in rows))
    print(
        f"{KILLS} kills; {site.answered() / loaded_s:.0f} answers a second, "
        f"{(len(rows) - commissioned) / loaded_s:.0f} events a second, {plans} plans"
    )
    # Who came after a kill carried on; in the end each transaction is one, to the Wh.
    assert plans == sorted(set(plans))
    with serving(site.store, environment=site.environment) as server:
        for station in site.stations:
            asyncio.run(station.end(port_of(server)))
    rows = site.check()
    evse_ids = {
        row.event.session_id: row.event.evse_id
        for row in rows
        if isinstance(row.event, TransferStarted)
    }
    ended = {
        evse_id: row.event.energy_wh
        for row in rows
        if isinstance(row.event, TransferEnded)
        and "*ES" in (evse_id := evse_ids[row.event.session_id])
    }
    assert ended == {
        evse_of(station.station.identity): int(station.station._register_wh)
        for station in site.stations
    }
