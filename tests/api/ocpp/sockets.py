"""Stations' sockets in tests: a server on a real port, and clients of another hand."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from api.listening import loopback_socket
from api.ocpp.link import Limits, Traffic
from api.ocpp.server import StationServer, serve_stations
from domain.ports import TENANT
from tests.api.ocpp.office import Office, open_office

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}
BOOT_2 = {"reason": "PowerUp", "chargingStation": {"vendorName": "A", "model": "B"}}
HEARTBEAT: tuple[Any, ...] = (2, "h", "Heartbeat", {})


class Calling:
    """How stations come to a gateway by its port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, identity: str, scheme: str = "ws") -> str:
        """Return the address of a station's endpoint."""
        return f"{scheme}://127.0.0.1:{self.port}/ocpp/{identity}"

    def connect(
        self,
        identity: str,
        *protocols: str,
        password: bytes | None = b"secret",
        **options: Any,
    ) -> connect:
        """Return a client that connects with basic authentication."""
        headers = {} if password is None else basic(identity, password)
        given: dict[str, Any] = {"compression": None, "ping_interval": None, **options}
        return connect(
            self.url(identity, "wss" if "ssl" in options else "ws"),
            subprotocols=[Subprotocol(name) for name in protocols],
            additional_headers=headers,
            **given,
        )


class Yard(Calling):
    """An office whose gateway is reached by sockets."""

    def __init__(self, office: Office, server: StationServer, port: int) -> None:
        super().__init__(port)
        self.office = office
        self.server = server

    @property
    def traffic(self) -> Traffic:
        """The server's counts."""
        return self.server.traffic[TENANT]


def basic(identity: str, password: bytes) -> dict[str, str]:
    """Return the header of basic authentication."""
    token = base64.b64encode(identity.encode() + b":" + password).decode()
    return {"Authorization": f"Basic {token}"}


@asynccontextmanager
async def open_yard(
    folder: Path,
    *stations: str,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Yard]:
    """Open an office with registered stations and a server for them."""
    with open_office(folder) as office:
        for station_id in stations:
            office.register(station_id)
        sock = loopback_socket(0)
        port = sock.getsockname()[1]
        server = await serve_stations({TENANT: office.gateway}, sock, tls, limits)
        try:
            yield Yard(office, server, port)
        finally:
            await server.close()


async def ask(client: ClientConnection, *frame: Any) -> Any:
    """Send a call and return what answers it; calls of the gateway are passed over."""
    await client.send(json.dumps(frame))
    async with asyncio.timeout(5):
        while (answer := json.loads(await client.recv()))[0] == 2:
            pass
    return answer


async def until(is_so: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while not is_so():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def bare(calling: Calling) -> AsyncIterator[Ends]:
    """Open a socket on which nothing is said by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", calling.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def upgraded(calling: Calling, identity: str, *more: str) -> AsyncIterator[Ends]:
    """Open a socket and upgrade it; what is said then is the test's."""
    lines = [
        f"GET /ocpp/{identity} HTTP/1.1",
        "Host: here",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: ocpp2.0.1",
        f"Authorization: {basic(identity, b'secret')['Authorization']}",
        *more,
    ]
    async with bare(calling) as (reader, writer):
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        assert all(line.partition(":")[2].encode() in head for line in more)
        yield reader, writer


async def closed_with(reader: asyncio.StreamReader) -> int:
    """Return the code of the close that comes next."""
    frame = await asyncio.wait_for(reader.read(1_000), 5)
    assert frame[:1] == b"\x88", frame
    return int.from_bytes(frame[2:4], "big")


def heartbeats(count: int) -> bytes:
    """Return frames, as a client masks them with zeros."""
    payload = json.dumps([2, "h" * 36, "Heartbeat", {}]).encode()
    return (b"\x81" + bytes([0x80 | len(payload)]) + bytes(4) + payload) * count
