"""From a PRE that shrinks, or an EV that comes, to the profile on the wire.

``python -m benchmarks.speed.ocpp_latency``: measured at the stations' sockets, in
another process than the server's. *shrink*: from the moment at which a smaller
mandatory PRE is handed in to the last decrease, at 200 active EVs of one zone.
*arrival*: from an EV's first message to its first profile, at 1,000 active EVs of five
zones with room.
"""

import argparse
import asyncio
import json
import platform
import time
from typing import Any, Final

from benchmarks.speed.ocpp_fleet import Fleet, percentiles_ms, report
from benchmarks.speed.ocpp_product import Product, Site, serving
from benchmarks.speed.ocpp_stations import MAX_W, Station

_ROOM_W: Final = 25_000_000
_REST_S: Final = 1.0
_PATIENCE_S: Final = 5.0
_LEAST_SHARE: Final = 0.2


class Wire:
    """When profiles of transactions came, by station."""

    def __init__(self, fleet: Fleet) -> None:
        self.decreased_at: list[float] = []
        self.told: dict[int, asyncio.Future[float]] = {}
        fleet.tally.on_profile = self._seen

    def _seen(self, station: Station, before_w: float, limit_w: float) -> None:
        now = time.perf_counter()
        if limit_w < before_w:
            self.decreased_at.append(now)
        waiting = self.told.pop(station.number, None)
        if waiting is not None:
            waiting.set_result(now)


async def shrink(product: Product, given: argparse.Namespace) -> dict[str, Any]:
    """Shrink a zone's PRE again and again, down to a fifth of what all could draw."""
    fleet = Fleet(given.active, max_w=MAX_W // 3)
    wire = Wire(fleet)
    await fleet.arrive(product.port, given.active)
    reporting = _reporting(fleet, fleet.stations, given)
    await asyncio.sleep(given.settle_s)
    upper_w = given.active * MAX_W / 3
    share = _LEAST_SHARE ** (1 / given.repeats)
    latencies_s, decreases = list[float](), list[int]()
    for _ in range(given.repeats):
        upper_w *= share
        wire.decreased_at.clear()
        at = time.perf_counter()
        await asyncio.to_thread(product.send_pre, "z0", int(upper_w))
        await asyncio.sleep(_REST_S)
        decreases.append(len(wire.decreased_at))
        if wire.decreased_at:
            latencies_s.append(wire.decreased_at[-1] - at)
    reporting.cancel()
    return {"decreases_each": sum(decreases) / given.repeats, **_of(latencies_s)}


async def arrival(product: Product, given: argparse.Namespace) -> dict[str, Any]:
    """Let EVs come, one after the other, where there is room, and leave again."""
    fleet = Fleet(given.active + given.zones)
    wire = Wire(fleet)
    await fleet.arrive(product.port, given.active)
    active, free = fleet.stations[: given.active], fleet.stations[given.active :]
    reporting = _reporting(fleet, active, given)
    await asyncio.sleep(given.settle_s)
    latencies_s, missed = list[float](), 0
    for n in range(given.repeats):
        station = free[n % len(free)]
        told = wire.told[station.number] = asyncio.get_running_loop().create_future()
        at = time.perf_counter()
        await station.begin()
        try:
            latencies_s.append(await asyncio.wait_for(told, _PATIENCE_S) - at)
        except TimeoutError:
            missed += 1
        await station.end()
        await asyncio.sleep(fleet.dice.uniform(0.1, 0.3))
    reporting.cancel()
    return {"without_profile": missed, **_of(latencies_s)}


def _reporting(
    fleet: Fleet, stations: list[Station], given: argparse.Namespace
) -> "asyncio.Task[Any]":
    per_s = len(stations) / given.every_s
    return asyncio.create_task(report(fleet, stations, per_s, 3_600.0))


def _of(latencies_s: list[float]) -> dict[str, Any]:
    p50, p99, worst = percentiles_ms(latencies_s)
    count = len(latencies_s)
    return {"measured": count, "p50_ms": p50, "p99_ms": p99, "worst_ms": worst}


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("shrink", "arrival"))
    parser.add_argument("--every-s", type=float, default=10.0)
    parser.add_argument("--settle-s", type=float, default=12.0)
    parser.add_argument("--repeats", type=int, default=0)
    given = parser.parse_args()
    found: dict[str, Any] = {"python": platform.python_version()}
    for name, measured, active, spare, zones, phases, repeats in (
        ("shrink", shrink, 200, 0, 1, 1, 40),
        ("arrival", arrival, 1_000, 5, 5, 3, 120),
    ):
        if given.only not in (None, name):
            continue
        told = argparse.Namespace(**vars(given), active=active, zones=zones)
        told.repeats = given.repeats or repeats
        with serving(Site(active + spare, zones, _ROOM_W, phases)) as product:
            cpu_s, client_s, at = product.cpu_s, time.process_time(), time.monotonic()
            found[name] = asyncio.run(measured(product, told))
            took_s = time.monotonic() - at
            found[name] |= {
                "server_share": round((product.cpu_s - cpu_s) / took_s, 2),
                "client_share": round((time.process_time() - client_s) / took_s, 2),
                "trouble": product.figures()["trouble"],
            }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
