"""How many reports of stations a second are taken in, each answered when durable.

``python -m benchmarks.speed.ocpp_ingest``: 200 connections of OCPP 2.0.1 in a process
of their own send TransactionEvents with two readings in open loop. First to our gateway
(validation, ledger, samples; no loops, no projections), then, by the same load at rates
that it can carry, to a server as the ``ocpp`` package's documentation has it, which
keeps nothing. Latency counts from the instant a message was due.
"""

import argparse
import asyncio
import gc
import logging
import multiprocessing
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed.http_load import processor_s
from benchmarks.speed.ocpp_fleet import Figures
from benchmarks.speed.ocpp_load import load
from benchmarks.speed.ocpp_stations import PASSWORD
from benchmarks.system_factory import named
from domain.loop.runner import SWITCH_INTERVAL_S
from domain.model.plan_events import ReadingsTaken
from domain.model.values import Current
from domain.ports import TENANT, SampleLog, System
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.clause_7_3_stations import (
    RegisterStation,
    digest_of,
    register_station,
)
from domain.use_cases.shared_path import By

_ZONES = 10


class Ran(NamedTuple):
    """A server under a load, and its processor time a message [µs]."""

    name: str
    due_per_s: float
    figures: Figures
    server_us: float
    server_share: float
    kept: int


def ours(told: Connection, connections: int) -> None:
    """Serve by our gateway on a new store until told to end."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    clock, ids = named("api.compose:WallClock")(), named("api.compose:SystemIds")()
    new_store = named("domain.store.store:Store")
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        new_store(Path(folder), clock=clock, ids=ids, master_key=bytes(32)) as store,
        named("api.listening:loopback_socket")(0) as sock,
    ):
        system = System(store.log, store.samples, store.vault, clock, ids)
        _commission(system, connections)
        security = named("api.security.notes:SecurityLog")(system)
        tenant = named("api.ocpp.service:Tenant")(system, lambda *_: None, security)
        service = named("api.ocpp.service:StationService")({TENANT: tenant}, sock)
        service.start()
        gc.collect()
        gc.freeze()
        told.send(sock.getsockname()[1])
        told.recv()
        service.close()
        security.close()
        told.send(_readings(system.samples))


def _readings(samples: SampleLog) -> int:
    """Return how many readings were kept."""
    rows = (row.event for day in samples.days() for row in samples.read_day(day))
    return sum(len(e.power_w) // 4 for e in rows if isinstance(e, ReadingsTaken))


def _commission(system: System, connections: int) -> None:
    by = By(actor="operator", at=system.clock.now())
    for n in range(_ZONES):
        zone = DefineZone(
            zone_id=f"z{n}", name=f"z{n}", limit_w=400_000, safe_upper_w=100_000
        )
        define_zone(system, zone, by)
    for n in range(connections):
        evse = EvseData(
            evse_id=f"DE*VLT*E{n}",
            current=Current.AC,
            phases=3,
            voltage_v=230,
            max_w=22_080,
            floor_w=4_140,
        )
        station = CommissionStation(
            station_id=f"s{n}", zone_id=f"z{n % _ZONES}", evses=(evse,)
        )
        commission_station(system, station, by)
        command = RegisterStation(
            station_id=f"s{n}", identity=f"s{n}", security_profile=1
        )
        register_station(system, command, by, password_digest=digest_of(PASSWORD))


def theirs(told: Connection, connections: int) -> None:
    """Serve by the ``ocpp`` package on ``websockets``, as its documentation shows."""
    from ocpp.routing import on
    from ocpp.v201 import ChargePoint, call_result
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.typing import Subprotocol

    logging.disable(logging.CRITICAL)

    class Station(ChargePoint):  # type: ignore[misc]
        """Answers what the load says."""

        @on("BootNotification")  # type: ignore[untyped-decorator]
        def booted(self, **_: Any) -> Any:
            return call_result.BootNotification(
                current_time="2026-11-20T00:00:00Z", interval=300, status="Accepted"
            )

        @on("TransactionEvent")  # type: ignore[untyped-decorator]
        def told(self, **_: Any) -> Any:
            return call_result.TransactionEvent()

    async def taken(connection: ServerConnection) -> None:
        assert connection.request is not None
        await Station(connection.request.path, connection).start()

    async def run() -> None:
        async with serve(
            taken,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("ocpp2.0.1")],
            compression=None,
        ) as server:
            (sock,) = server.sockets
            told.send(sock.getsockname()[1])
            await asyncio.to_thread(told.recv)

    asyncio.run(run())
    told.send(0)


@contextmanager
def running(
    serve: Callable[[Connection, int], None], connections: int, kept: list[int]
) -> Iterator[tuple[int, int]]:
    """Run a server in a process of its own; yield its pid and port.

    How many readings it kept is added to ``kept`` when it ends.
    """
    ours_end, theirs_end = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(theirs_end, connections))
    process.start()
    assert process.pid is not None
    try:
        yield process.pid, ours_end.recv()
        ours_end.send("end")
        kept.append(ours_end.recv())
    finally:
        process.join(20)
        process.kill()


def measure(
    name: str,
    serve: Callable[[Connection, int], None],
    connections: int,
    per_s: float,
    for_s: float,
) -> Ran:
    """Put a server under a load."""
    before_s, kept = list[float](), list[int]()
    with running(serve, connections, kept) as (pid, port):

        def begin() -> None:
            before_s.append(processor_s(pid))

        figures = asyncio.run(load(port, connections, per_s, for_s, begin))
        used_s = processor_s(pid) - before_s[0]
    return Ran(
        name,
        per_s,
        figures,
        1e6 * used_s / max(figures.answered, 1),
        used_s / figures.took_s,
        kept[0],
    )


def main() -> None:
    """Measure both servers and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--per-s", type=float, default=12_000)
    parser.add_argument("--their-per-s", type=float, default=1_500)
    parser.add_argument("--for-s", type=float, default=60.0)
    parser.add_argument("--only", choices=("ours", "theirs"))
    given = parser.parse_args()
    print(f"{platform.python_version()}, {platform.machine()}")
    print("| server | due/s | answered/s | p50 / p99 / max ms | µs/message | "
          "server | load | readings kept |")  # fmt: skip
    print("| --- " * 8 + "|")
    for name, serve, per_s in (
        ("ours", ours, given.per_s),
        ("theirs", theirs, given.their_per_s),
    ):
        if given.only in (None, name):
            ran = measure(name, serve, given.connections, per_s, given.for_s)
            print(_line(ran), flush=True)


def _line(ran: Ran) -> str:
    figures = ran.figures
    more = "" if not figures.refused else f", {figures.refused} refused"
    more += "" if not figures.unanswered else f", {figures.unanswered} not answered"
    return (
        f"| {ran.name} | {ran.due_per_s:,.0f} | {figures.per_s:,.0f}{more} | "
        f"{figures.p50_ms:.1f} / {figures.p99_ms:.1f} / {figures.worst_ms:.0f} | "
        f"{ran.server_us:.0f} | "
        f"{ran.server_share:.0%} | {figures.client_share:.0%} | "
        f"{ran.kept:,} of {figures.answered:,} |"
    )


if __name__ == "__main__":
    main()
