"""Independent virtual stations at the pace of the clock, against a running server.

``python -m benchmarks.simulator.ocpp --url ws://127.0.0.1:9000/ocpp --passwords FILE``

Each line of the file is a station's identity and its password, as the server gave it
when the station was registered. Every station has one EVSE; a share of them has a car
that charges all the time. What was said and how long answers took is printed at the
end.
"""

import argparse
import asyncio
import random
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.data.site import SiteStation
from benchmarks.simulator import car as cars
from benchmarks.simulator.ocpp.fleet import VERSIONS, Site, build
from benchmarks.simulator.ocpp.socket_wire import SocketWire
from benchmarks.simulator.ocpp.station import Station
from benchmarks.simulator.ocpp.world import Act
from domain.model.values import SECOND, Instant

# A station that lost its connection comes back within this, at random.
_BACK_WITHIN_S = 10.0
_CAR_WH = 10_000_000.0


class WallWorld:
    """The time of this machine."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._doing: set[asyncio.Future[None]] = set()

    def now(self) -> Instant:
        """Return the present instant."""
        return time.time_ns() // 1000

    def at(self, instant: Instant, rank: int, act: Act) -> Callable[[], None]:
        """Act at an instant; what is returned calls it off."""
        wait_s = max(instant - self.now(), 0) / SECOND
        return self._loop.call_later(wait_s, self._act, act).cancel

    def _act(self, act: Act) -> None:
        doing = act()
        if doing is not None:
            task = asyncio.ensure_future(doing)
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)


class Load:
    """Many stations in one process, and what they saw."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._dice = random.Random(options.seed)
        self.stations: list[Station] = []
        self.wires: list[SocketWire] = []
        self.waited_ms: list[float] = []
        self.lost = 0

    async def run(self) -> None:
        """Connect one after the other, charge, and report."""
        options, world = self._options, WallWorld()
        lines = Path(options.passwords).read_text("utf-8").split("\n")
        known = [line.split() for line in lines if line.strip()][: options.stations]
        passwords = {identity: password for identity, password in known}
        site = Site(
            world, lambda at, wh: None, {}, partial(self._wire, passwords=passwords)
        )
        begun = world.now()
        for number, identity in enumerate(passwords):
            at = begun + int(number * SECOND / options.connect_per_s)
            self._add(world, site, identity, number, at)
        await asyncio.sleep(len(passwords) / options.connect_per_s + options.seconds)
        self._report((world.now() - begun) / SECOND)

    def _wire(
        self, identity: str, rank: int, version: str, *, passwords: dict[str, str]
    ) -> SocketWire:
        wire = SocketWire(self._options.url, identity, passwords[identity], version)
        self.wires.append(wire)
        return wire

    def _add(
        self, world: WallWorld, site: Site, identity: str, number: int, at: Instant
    ) -> None:
        version = self._options.version
        index = number if version == "mixed" else VERSIONS.index(version)
        station = build(site, SiteStation(station_id=identity), index, number)
        station.on_answered = lambda waited: self.waited_ms.append(waited / 1000)
        self.wires[-1].on_lost = partial(self._lost, world, station)
        self.stations.append(station)
        world.at(at, number, station.switch_on)
        if self._dice.random() < self._options.cars:
            token = f"{self._options.token}{number:06d}"
            arrive = partial(self._arrive, world, station, token)
            world.at(at + 5 * SECOND, number, arrive)

    def _arrive(self, world: WallWorld, station: Station, token: str) -> None:
        if not station.is_accepted:
            again = partial(self._arrive, world, station, token)
            world.at(world.now() + 5 * SECOND, station.rank, again)
            return
        (evse,) = station.evses
        car = cars.Car(cars.FULL_W, 5 * SECOND, _CAR_WH, evse.floor_w)
        station.arrive(evse, car, token)

    def _lost(self, world: WallWorld, station: Station) -> None:
        self.lost += 1
        world.at(world.now(), station.rank, station.lose_connection)
        back_at = world.now() + int(self._dice.random() * _BACK_WITHIN_S * SECOND)
        world.at(back_at + 1, station.rank, station.find_connection_again)

    def _report(self, seconds: float) -> None:
        online = sum(station.is_online for station in self.stations)
        charging = sum(s.evses[0].power_w > 0 for s in self.stations)
        refused = [each for station in self.stations for each in station.refused]
        sent = sum(wire.frames_sent for wire in self.wires)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = (usage.ru_utime + usage.ru_stime) / seconds
        waits = np.percentile(self.waited_ms or [0.0], (50, 99))
        print(f"{len(self.stations)} stations, {online} online, {charging} charging")
        print(f"{sent} frames sent in {seconds:.0f} s, {sent / seconds:.0f}/s")
        print(f"answers awaited {waits[0]:.1f} ms p50, {waits[1]:.1f} ms p99")
        print(f"{self.lost} connections lost, {len(refused)} calls refused")
        print(f"this process took {cpu:.0%} of a core")
        for action, code in sorted(set(refused)):
            print(f"  refused: {action} {code} x {refused.count((action, code))}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stations for a while."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator.ocpp")
    parser.add_argument("--url", required=True, help="ws://HOST:PORT/ocpp")
    parser.add_argument("--passwords", required=True, help="file: identity password")
    parser.add_argument("--stations", type=int, default=None, help="at most so many")
    parser.add_argument("--version", choices=(*VERSIONS, "mixed"), default="mixed")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connect-per-s", type=float, default=200.0)
    parser.add_argument("--cars", type=float, default=1.0, help="share with a car")
    parser.add_argument("--token", default="C0FFEE", help="what tokens begin with")
    parser.add_argument("--seed", type=int, default=0)
    uvloop.run(Load(parser.parse_args(arguments)).run())


if __name__ == "__main__":
    main()
