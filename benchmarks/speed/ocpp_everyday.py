"""An ordinary minute: what 5,000 stations that report each 30 s cost the server.

``python -m benchmarks.speed.ocpp_everyday``: processor time and memory of the whole
product, with loops and projections, while a part of the stations has a transaction and
reports it, and the others tell that they are there.
"""

import argparse
import asyncio
import json
import platform
import time
from typing import Any

from benchmarks.speed.ocpp_fleet import Fleet, report
from benchmarks.speed.ocpp_product import Product, Site, serving


async def run(product: Product, given: argparse.Namespace) -> dict[str, Any]:
    """Connect all, let it settle, then measure."""
    fleet = Fleet(given.connections)
    empty_mib, begun = product.memory_mib, time.perf_counter()
    await fleet.arrive(product.port, given.active)
    connected_s = time.perf_counter() - begun
    for station in fleet.stations[given.active :]:
        station.is_idle = True
    per_s = given.connections / given.every_s
    await report(fleet, fleet.stations, per_s, given.settle_s)
    before, cpu_s = product.figures(), product.cpu_s
    figures = await report(fleet, fleet.stations, per_s, given.seconds)
    cpu_s = product.cpu_s - cpu_s
    after = product.figures()
    return {
        **figures._asdict(),
        "per_s": round(figures.per_s),
        "connected_s": round(connected_s, 1),
        "server_us": round(1e6 * cpu_s / max(figures.answered, 1)),
        "server_share": round(cpu_s / figures.took_s, 3),
        "memory_mib": round(product.memory_mib),
        "most_memory_mib": round(product.most_memory_mib),
        "empty_mib": round(empty_mib),
        "plans": after["plans"] - before["plans"],
        "ledger_rows": after["position"] - before["position"],
        "trouble": after["trouble"],
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--active", type=int, default=1_500)
    parser.add_argument("--zones", type=int, default=50)
    parser.add_argument("--zone-w", type=int, default=400_000)
    parser.add_argument("--every-s", type=float, default=30.0)
    parser.add_argument("--settle-s", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    site = Site(given.connections, given.zones, given.zone_w)
    with serving(site) as product:
        found = asyncio.run(run(product, given))
    print(json.dumps({"python": platform.python_version(), **found}, indent=1))


if __name__ == "__main__":
    main()
