"""Fleets of stations that report in open loop, and what comes of it.

Messages are due at fixed instants, whatever the server does.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.speed.ocpp_stations import MAX_W, VERSIONS, Station, Tally

_TICK_S: Final = 0.001
_AT_ONCE: Final = 100
_ANSWERED_WITHIN_S: Final = 10.0


class Fleet:
    """Stations ``s0``, ``s1`` ... of some versions in turns."""

    def __init__(
        self,
        count: int,
        first: int = 0,
        max_w: int = MAX_W,
        seed: int = 0,
        versions: Sequence[str] = VERSIONS,
        kind: type[Station] = Station,
    ) -> None:
        self.tally = Tally()
        self.stations = [
            kind(n, versions[n % len(versions)], self.tally, max_w)
            for n in range(first, first + count)
        ]
        self.dice = random.Random(seed)

    async def arrive(
        self, port: int, active: int, tls: ssl.SSLContext | None = None
    ) -> None:
        """Connect and boot all; the first ``active`` begin a transaction."""

        async def one(station: Station) -> None:
            await station.connect(port, tls)
            await station.boot()
            if station.number < active:
                await station.begin()

        await each(self.stations, one)

    def unanswered(self) -> int:
        """Return how many messages have no answer."""
        return sum(station.unanswered for station in self.stations)

    async def answered(self, within_s: float) -> float:
        """Wait until all is answered, or not; return how long that took."""
        begun = time.perf_counter()
        while self.unanswered() and time.perf_counter() < begun + within_s:
            await asyncio.sleep(_TICK_S)
        return time.perf_counter() - begun


async def each(
    stations: Sequence[Station],
    do: Callable[[Station], Awaitable[None]],
    at_once: int = _AT_ONCE,
) -> None:
    """Do something with every station, some at once."""
    gate = asyncio.Semaphore(at_once)

    async def one(station: Station) -> None:
        async with gate:
            await do(station)

    await asyncio.gather(*(one(station) for station in stations))


class Figures(NamedTuple):
    """What came of a load; the client's share is of a core."""

    answered: int
    refused: int
    unanswered: int
    took_s: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    client_share: float

    @property
    def per_s(self) -> float:
        """How many were answered a second."""
        return self.answered / self.took_s


async def report(
    fleet: Fleet,
    stations: Sequence[Station],
    per_s: float,
    for_s: float,
    is_over: Callable[[], bool] = lambda: False,
) -> Figures:
    """Let stations report in turns, in open loop, for a time or until it is over."""
    tally = fleet.tally
    tally.latencies_s, tally.refused = [], []
    begun, cpu = time.perf_counter(), time.process_time()
    sent, total = 0, int(per_s * for_s)
    while sent < total and not is_over():
        due = min(int((time.perf_counter() - begun) * per_s) + 1, total)
        for n in range(sent, due):
            stations[n % len(stations)].due(begun + n / per_s)
        sent = due
        await asyncio.sleep(_TICK_S)
    await fleet.answered(_ANSWERED_WITHIN_S)
    took_s = time.perf_counter() - begun
    p50, p99, worst = percentiles_ms(tally.latencies_s)
    return Figures(
        answered=len(tally.latencies_s),
        refused=len(tally.refused),
        unanswered=fleet.unanswered(),
        took_s=took_s,
        p50_ms=p50,
        p99_ms=p99,
        worst_ms=worst,
        client_share=(time.process_time() - cpu) / took_s,
    )


def percentiles_ms(times_s: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the 99th percentile and the largest of some times [ms]."""
    p50, p99, worst = 1_000 * np.percentile(times_s or [0.0], (50, 99, 100))
    return round(float(p50), 1), round(float(p99), 1), round(float(worst), 1)
