"""Stations that report: many connections of OCPP 2.0.1, in open loop, in one process.

Messages are due at fixed instants, whatever the server does; each connection has one
call outstanding, as the protocol has it, and what is due meanwhile waits. Latency
counts from the instant a message was due to its answer.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    ws_connect,
)

PASSWORD: Final = "secret"
_TICK_S: Final = 0.001
_BOOT: Final = (
    b'[2,"boot","BootNotification",{"reason":"PowerUp",'
    b'"chargingStation":{"vendorName":"Load","model":"One"}}]'
)
_EVENT: Final = (
    b'[2,"%d","TransactionEvent",{"eventType":"%s","timestamp":"%s",'
    b'"triggerReason":"%s","seqNo":%d,"transactionInfo":{"transactionId":"%s",'
    b'"chargingState":"Charging"},"evse":{"id":1,"connectorId":1},"meterValue":['
    b'{"timestamp":"%s","sampledValue":[{"value":%d.0,"context":"Sample.Periodic",'
    b'"measurand":"Energy.Active.Import.Register","location":"Outlet",'
    b'"unitOfMeasure":{"unit":"Wh"}},{"value":7360.5,"context":"Sample.Periodic",'
    b'"measurand":"Power.Active.Import","location":"Outlet",'
    b'"unitOfMeasure":{"unit":"W"}}]}]}]'
)


class Figures(NamedTuple):
    """What came of a load; shares are of the wall-clock time of the load."""

    answered: int
    refused: int
    unanswered: int
    took_s: float
    latency_ms: tuple[float, float, float]
    client_share: float

    @property
    def per_s(self) -> float:
        """How many were answered a second."""
        return self.answered / self.took_s


class _Station(WSListener):
    """One connection."""

    def __init__(self, number: int) -> None:
        self.connected: asyncio.Future[None] = asyncio.Future()
        self.waiting: deque[float] = deque()
        self.latencies_s: list[float] = []
        self.refused = 0
        self._answered: asyncio.Future[None] | None = None
        self._name = b"tx-%d" % number
        self._sent = 0
        self._due_at: float | None = None
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        self._transport = transport
        self.connected.set_result(None)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take an answer, and send what has waited for it; calls are refused."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        payload = frame.get_payload_as_bytes()
        if payload.startswith(b"[2"):
            message_id = payload.split(b'"', 2)[1]
            refusal = b'[4,"%s","NotSupported","",{}]' % message_id
            transport.send(WSMsgType.TEXT, refusal)
            return
        if self._answered is not None:
            answered, self._answered = self._answered, None
            answered.set_result(None)
            return
        self.refused += not payload.startswith(b"[3")
        if self._due_at is not None:
            self.latencies_s.append(time.perf_counter() - self._due_at)
            self._due_at = None
        if self.waiting:
            self._send(self.waiting.popleft())

    def due(self, at: float) -> None:
        """Send a message that is due, or let it wait for the one before it."""
        if self._due_at is None:
            self._send(at)
        else:
            self.waiting.append(at)

    async def ask(self, frame: bytes) -> None:
        """Send a frame and wait for its answer."""
        assert self._transport is not None
        self._answered = asyncio.Future()
        self._transport.send(WSMsgType.TEXT, frame)
        await asyncio.wait_for(self._answered, 60)

    def event(self, kind: bytes, trigger: bytes) -> bytes:
        """Return the next message of the transaction."""
        self._sent += 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds").encode()
        return _EVENT % (
            self._sent, kind, now, trigger, self._sent, self._name, now, self._sent
        )  # fmt: skip

    def _send(self, due_at: float) -> None:
        assert self._transport is not None
        self._due_at = due_at
        frame = self.event(b"Updated", b"MeterValuePeriodic")
        self._transport.send(WSMsgType.TEXT, frame)

    @property
    def unanswered(self) -> int:
        """How many messages have no answer."""
        return len(self.waiting) + (self._due_at is not None)


async def load(
    port: int, connections: int, per_s: float, for_s: float, begin: Callable[[], None]
) -> Figures:
    """Let stations ``s0``, ``s1`` ... each with a transaction, report for a time.

    ``begin`` is called when all are connected and their transactions have begun.
    """
    stations = [await _connected(port, n) for n in range(connections)]
    for station in stations:
        await station.ask(_BOOT)
        await station.ask(station.event(b"Started", b"CablePluggedIn"))
    await asyncio.sleep(1.0)
    begin()
    begun, cpu = time.perf_counter(), time.process_time()
    sent, total = 0, int(per_s * for_s)
    while sent < total:
        due = min(int((time.perf_counter() - begun) * per_s) + 1, total)
        for n in range(sent, due):
            stations[n % connections].due(begun + n / per_s)
        sent = due
        await asyncio.sleep(_TICK_S)
    until = time.perf_counter() + 5.0
    while any(s.unanswered for s in stations) and time.perf_counter() < until:
        await asyncio.sleep(_TICK_S)
    took_s = time.perf_counter() - begun
    latencies = np.concatenate([np.array(s.latencies_s) for s in stations])
    p50, p99, p100 = 1_000 * np.percentile(latencies, (50, 99, 100))
    return Figures(
        answered=len(latencies),
        refused=sum(s.refused for s in stations),
        unanswered=sum(s.unanswered for s in stations),
        took_s=took_s,
        latency_ms=(float(p50), float(p99), float(p100)),
        client_share=(time.process_time() - cpu) / took_s,
    )


async def _connected(port: int, number: int) -> _Station:
    identity = f"s{number}"
    token = base64.b64encode(f"{identity}:{PASSWORD}".encode()).decode()
    station = _Station(number)

    def made(request: WSUpgradeRequest, response: WSUpgradeResponse) -> WSListener:
        return station

    await ws_connect(
        made,
        f"ws://127.0.0.1:{port}/ocpp/{identity}",
        extra_headers={
            "Authorization": f"Basic {token}",
            "Sec-WebSocket-Protocol": "ocpp2.0.1",
        },
    )
    await station.connected
    return station
