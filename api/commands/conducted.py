"""The gateway on a real socket, for a run whose time somebody else conducts."""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from api.ocpp.desk import Desk, InlineDesk, TakeReadings
from api.ocpp.exchanges import MODULES
from api.ocpp.gateway import Gateway
from api.ocpp.server import serve_stations
from domain.model.values import Instant
from domain.ports import TENANT, Recorded, System
from domain.use_cases.s2_back_office import EmbeddedBackOffice


class _Scheduler(Protocol):
    def at(self, instant: Instant, do: Callable[[], None]) -> Callable[[], None]: ...


class ConductedGateway:
    """A gateway, and what a conductor must know of it."""

    def __init__(self, gateway: Gateway, url: str) -> None:
        """Be reached at ``url``."""
        self.url = url
        self._gateway = gateway

    def follow(self, rows: Sequence[Recorded]) -> None:
        """Act on rows of the log."""
        self._gateway.follow(rows)

    def connections(self) -> int:
        """Return how many stations are connected."""
        peers = self._gateway.peers.by_id.values()
        return sum(peer.connection is not None for peer in peers)

    def frames(self) -> tuple[int, int]:
        """Return how many frames were taken from connected stations, and sent."""
        taken = sent = 0
        for peer in self._gateway.peers.by_id.values():
            if (connection := peer.connection) is not None:
                taken += connection.frames_in
                sent += connection.frames_out
        return taken, sent


@asynccontextmanager
async def open_conducted_gateway(
    system: System, scheduler: _Scheduler, take_readings: TakeReadings
) -> AsyncIterator[ConductedGateway]:
    """Listen on the loopback for the stations that are registered in a log."""
    cso = EmbeddedBackOffice(system.log, system.clock)
    system = msgspec.structs.replace(system, cso=cso)
    gateway = Gateway(
        system, InlineDesk(Desk(system, take_readings)), scheduler, MODULES
    )
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = await serve_stations({TENANT: gateway}, sock)
        try:
            port = sock.getsockname()[1]
            yield ConductedGateway(gateway, f"ws://127.0.0.1:{port}/ocpp")
        finally:
            await server.close()
