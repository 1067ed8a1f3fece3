"""The whole product under load: 2,000 stations of three versions in 50 zones.

``python -m benchmarks.speed.ocpp_whole``: every station has a transaction and reports
power and register (TransactionEvent; 1.6: MeterValues), obeys the profiles it is given,
and some EVs leave and come meanwhile. The server runs loops and projections, too.
"""

import argparse
import asyncio
import json
import platform
import time
from typing import Any

from benchmarks.speed.ocpp_fleet import Fleet, percentiles_ms, report
from benchmarks.speed.ocpp_product import Plans, Product, Site, serving


async def run(product: Product, given: argparse.Namespace) -> dict[str, Any]:
    """Connect, wait until the first plans are followed, then measure."""
    fleet = Fleet(given.connections)
    begun = time.perf_counter()
    await fleet.arrive(product.port, given.connections)
    connected_s = time.perf_counter() - begun
    await report(fleet, fleet.stations, given.per_s / 2, given.settle_s)
    before, cpu_s = product.figures(), product.cpu_s
    coming = asyncio.create_task(_come_and_go(fleet, given.turnover_per_s))
    figures = await report(fleet, fleet.stations, given.per_s, given.seconds)
    coming.cancel()
    cpu_s = product.cpu_s - cpu_s
    after = product.figures()
    plans: Plans = product.ask("late plans", before["position"])
    _, plan_p99_ms, plan_worst_ms = percentiles_ms(plans.after_s)
    return {
        **figures._asdict(),
        "per_s": round(figures.per_s),
        "connected_s": round(connected_s, 1),
        "server_us": round(1e6 * cpu_s / max(figures.answered, 1)),
        "server_share": round(cpu_s / figures.took_s, 2),
        "memory_mib": round(product.memory_mib),
        "plans": plans.made,
        "late_plans": plans.late,
        "plan_after_p99_ms": plan_p99_ms,
        "plan_after_worst_ms": plan_worst_ms,
        "ledger_rows": after["position"] - before["position"],
        "projections_behind": after["position"] - after["projected"],
        "profiles": fleet.tally.profiles,
        "trouble": after["trouble"],
        "refusals": sorted({r[:120].decode() for r in fleet.tally.refused})[:3],
    }


async def _come_and_go(fleet: Fleet, per_s: float) -> None:
    """Let EVs leave and others come."""
    while per_s:
        station = fleet.dice.choice(fleet.stations)
        if not station.unanswered:
            await station.end()
            await station.begin()
        await asyncio.sleep(fleet.dice.expovariate(per_s))


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2_000)
    parser.add_argument("--zones", type=int, default=50)
    parser.add_argument("--zone-w", type=int, default=400_000)
    parser.add_argument("--per-s", type=float, default=5_000)
    parser.add_argument("--turnover-per-s", type=float, default=1.0)
    parser.add_argument("--settle-s", type=float, default=15.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    site = Site(given.connections, given.zones, given.zone_w)
    with serving(site) as product:
        found = asyncio.run(run(product, given))
    print(json.dumps({"python": platform.python_version(), **found}, indent=1))


if __name__ == "__main__":
    main()
