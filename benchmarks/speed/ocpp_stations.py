"""Stations of all three versions for a load: they report, take profiles and obey them.

Each has one call outstanding, as the protocol has it, and what is due meanwhile waits.
Latency counts from the instant a message was due to its answer.
"""

import asyncio
import base64
import ssl
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    ws_connect,
)

VERSIONS: Final = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")
PASSWORD: Final = "secret"
MAX_W: Final = 22_080
# Where no voltage is measured the server counts with the highest, and so do we.
_W_PER_A: Final = 253
_ANSWER_WITHIN_S: Final = 60.0

_BOOT_16: Final = (
    b'[2,"%d","BootNotification",{"chargePointVendor":"Load","chargePointModel":"M"}]'
)
_BOOT_2: Final = (
    b'[2,"%d","BootNotification",{"reason":"PowerUp",'
    b'"chargingStation":{"vendorName":"Load","model":"M"}}]'
)
_VALUE_16: Final = (
    b'{"timestamp":"%s","sampledValue":['
    b'{"value":"%d","measurand":"Energy.Active.Import.Register","unit":"Wh"},'
    b'{"value":"%.1f","measurand":"Power.Active.Import","unit":"W"}]}'
)
_VALUE_2: Final = (
    b'{"timestamp":"%s","sampledValue":['
    b'{"value":%d,"measurand":"Energy.Active.Import.Register",'
    b'"unitOfMeasure":{"unit":"Wh"}},'
    b'{"value":%.1f,"measurand":"Power.Active.Import","unitOfMeasure":{"unit":"W"}}]}'
)
_EVENT_2: Final = (
    b'[2,"%d","TransactionEvent",{"eventType":"%s","timestamp":"%s",'
    b'"triggerReason":"%s","seqNo":%d,"transactionInfo":{"transactionId":"%s",'
    b'"chargingState":"%s"},"evse":{"id":1,"connectorId":1},"meterValue":[%s]%s}]'
)
_START_16: Final = (
    b'[2,"%d","StartTransaction",{"connectorId":1,"idTag":"%s","meterStart":%d,'
    b'"timestamp":"%s"}]'
)
_STOP_16: Final = (
    b'[2,"%d","StopTransaction",{"transactionId":%d,"meterStop":%d,"timestamp":"%s",'
    b'"reason":"EVDisconnected"}]'
)
_METER_16: Final = (
    b'[2,"%d","MeterValues",{"connectorId":1,"transactionId":%d,"meterValue":[%s]}]'
)


class _Due(NamedTuple):
    at: float
    make: Callable[[], bytes]


class Tally:
    """What all stations saw."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.refused: list[bytes] = []
        self.profiles = 0
        # Told of each profile of a transaction: station, limit before and after [W].
        self.on_profile: Callable[[Station, float, float], None] | None = None


class Station(WSListener):
    """One station with one EVSE; the register runs at what it draws."""

    def __init__(self, number: int, version: str, tally: Tally, max_w: int) -> None:
        self.number = number
        self.max_w = max_w
        self.identity = f"s{number}"
        self.version = version
        self.limit_w = 0.0
        self.transaction_id = -1
        # Without a transaction: then it tells that it is there.
        self.is_idle = False
        self.waiting: deque[_Due] = deque()
        self._is_1_6 = version == VERSIONS[0]
        self._token = b"TOKEN%d" % number
        self._tally = tally
        self._asked: asyncio.Future[bytes] | None = None
        self._due_at: float | None = None
        self._transport: WSTransport | None = None
        self.sent = self._seq = self._began = 0
        self._register_wh = 0.0
        self._metered_at = time.perf_counter()

    # The connection.

    async def connect(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Connect; nothing is said."""
        token = base64.b64encode(f"{self.identity}:{PASSWORD}".encode()).decode()

        def made(request: WSUpgradeRequest, response: WSUpgradeResponse) -> WSListener:
            return self

        await ws_connect(
            made,
            f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}/ocpp/{self.identity}",
            ssl_context=tls,
            extra_headers={
                "Authorization": f"Basic {token}",
                "Sec-WebSocket-Protocol": self.version,
            },
        )

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        self._transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End."""
        if self._transport is not transport:
            return
        self._transport = None
        if self._asked is not None:
            asked, self._asked = self._asked, None
            asked.set_exception(ConnectionError("the connection is gone"))

    def leave(self) -> None:
        """End the connection without a word."""
        assert self._transport is not None
        self._transport.disconnect(graceful=False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take an answer, and send what has waited for it; or answer a call."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        payload = frame.get_payload_as_bytes()
        if payload.startswith(b"[2"):
            transport.send(WSMsgType.TEXT, self.answer(payload))
            return
        if not payload.startswith(b"[3"):
            self._tally.refused.append(payload)
        if self._asked is not None:
            asked, self._asked = self._asked, None
            asked.set_result(payload)
        elif self._due_at is not None:
            self._tally.latencies_s.append(time.perf_counter() - self._due_at)
            self._due_at = None
        if self.waiting and self._asked is None:
            self._send(self.waiting.popleft())

    # What is said.

    async def ask(self, frame: bytes) -> bytes:
        """Send a frame and return its answer."""
        if self._transport is None:
            raise ConnectionError("the connection is gone")
        self._asked = asyncio.get_running_loop().create_future()
        self._transport.send(WSMsgType.TEXT, frame)
        return await asyncio.wait_for(self._asked, _ANSWER_WITHIN_S)

    async def boot(self) -> None:
        """Boot."""
        self.sent += 1
        await self.ask((_BOOT_16 if self._is_1_6 else _BOOT_2) % self.sent)

    async def begin(self) -> None:
        """Begin a transaction: an EV comes and charges."""
        answer = await self.ask(self.start_frame())
        self.take_started(answer)

    def take_started(self, answer: bytes) -> None:
        """Take in what was answered to a beginning."""
        if self._is_1_6:
            self.transaction_id = msgspec.json.decode(answer)[2]["transactionId"]

    async def end(self) -> None:
        """End it: the EV leaves."""
        await self.ask(self.end_frame())
        self.transaction_id, self.limit_w = -1, 0.0

    def due(self, at: float, make: Callable[[], bytes] | None = None) -> None:
        """Send what is due, a reading if nothing else, or let it wait its turn."""
        due = _Due(at, self.reading_frame if make is None else make)
        if self._due_at is None and self._asked is None:
            self._send(due)
        else:
            self.waiting.append(due)

    @property
    def unanswered(self) -> int:
        """How many messages have no answer."""
        return len(self.waiting) + (self._due_at is not None)

    def _send(self, due: _Due) -> None:
        if self._transport is None:
            self.waiting.appendleft(due)
            return
        self._due_at = due.at
        self._transport.send(WSMsgType.TEXT, due.make())

    # Frames; ``ago_s`` seconds old ones are told as of offline.

    def start_frame(self, ago_s: float = 0.0) -> bytes:
        """Return the beginning of a transaction."""
        self._began += 1
        self._seq = -1
        self._metered_at = time.perf_counter()
        if not self._is_1_6:
            shown = b',"idToken":{"idToken":"%s","type":"ISO14443"}' % self._token
            return self._event(b"Started", b"CablePluggedIn", ago_s, more=shown)
        self.sent += 1
        register_wh = int(self._register_wh)
        return _START_16 % (self.sent, self._token, register_wh, _timestamp(ago_s))

    def reading_frame(self, ago_s: float = 0.0) -> bytes:
        """Return a reading of power and register."""
        if self.is_idle:
            self.sent += 1
            return b'[2,"%d","Heartbeat",{}]' % self.sent
        if not self._is_1_6:
            return self._event(b"Updated", b"MeterValuePeriodic", ago_s)
        value = self._value(_VALUE_16, ago_s)
        self.sent += 1
        return _METER_16 % (self.sent, self.transaction_id, value)

    def end_frame(self, ago_s: float = 0.0) -> bytes:
        """Return the end of the transaction."""
        if not self._is_1_6:
            return self._event(b"Ended", b"EVDeparted", ago_s, state=b"Idle")
        self._value(_VALUE_16, ago_s)
        self.sent += 1
        register_wh, at = int(self._register_wh), _timestamp(ago_s)
        return _STOP_16 % (self.sent, self.transaction_id, register_wh, at)

    def _event(
        self,
        kind: bytes,
        trigger: bytes,
        ago_s: float,
        state: bytes = b"Charging",
        more: bytes = b"",
    ) -> bytes:
        value = self._value(_VALUE_2, ago_s)
        self.sent += 1
        self._seq += 1
        if ago_s:
            more += b',"offline":true'
        name = b"tx-%d-%d" % (self.number, self._began)
        return _EVENT_2 % (
            self.sent, kind, _timestamp(ago_s), trigger, self._seq, name, state,
            value, more,
        )  # fmt: skip

    def _value(self, form: bytes, ago_s: float) -> bytes:
        now = time.perf_counter()
        drawn_w = min(self.limit_w, self.max_w)
        if not ago_s:
            self._register_wh += drawn_w * (now - self._metered_at) / 3_600
        self._metered_at = now
        return form % (_timestamp(ago_s), int(self._register_wh), drawn_w)

    def draw_wh(self, energy_wh: int) -> None:
        """Let the register run on by so much."""
        self._register_wh += energy_wh

    # What is asked of it.

    def answer(self, call: bytes) -> bytes:
        """Take a profile of the transaction; refuse all else that is asked."""
        _, message_id, action, request = msgspec.json.decode(call)
        if action != "SetChargingProfile":
            return b'[4,"%s","NotSupported","",{}]' % message_id.encode()
        before_w = self.limit_w
        purpose, limit_w = _limit_of(request)
        if purpose == "TxProfile":
            self.limit_w = limit_w
            self._tally.profiles += 1
            if self._tally.on_profile is not None:
                self._tally.on_profile(self, before_w, limit_w)
        return b'[3,"%s",{"status":"Accepted"}]' % message_id.encode()


def _limit_of(request: dict[str, Any]) -> tuple[str, float]:
    """Return the purpose of a profile, and what it allows at first [W]."""
    profile = request.get("csChargingProfiles") or request["chargingProfile"]
    schedule = profile["chargingSchedule"]
    if isinstance(schedule, list):
        schedule = schedule[0]
    period = schedule["chargingSchedulePeriod"][0]
    per_unit = 1
    if schedule["chargingRateUnit"] == "A":
        per_unit = _W_PER_A * period.get("numberPhases", 3)
    return profile["chargingProfilePurpose"], per_unit * period["limit"]


def _timestamp(ago_s: float) -> bytes:
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    return at.isoformat(timespec="milliseconds").encode()
