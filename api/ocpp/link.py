"""One station's WebSocket: messages put together, limits kept, the gateway told."""

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from api.ocpp.deflate import WORTH_BYTES, Deflate, TooLong
from api.ocpp.desk import Pace
from api.security.notes import Kind, Origin

if TYPE_CHECKING:
    from api.ocpp.connection import Connection
    from api.ocpp.gateway import Gateway

# Most messages of one work: a bound on how long it makes others wait.
_AT_ONCE: Final = 16
# How a station's answers to us begin: they come when we like, and say nothing of that.
_ANSWERS: Final = (b"[3", b"[4")
# What is in messages that come all the time, and that nobody waits for.
_ROUTINE: Final = (b'"Heartbeat"', b'"MeterValues"', b'"MeterValuePeriodic"')
_REASON_BYTES: Final = 123


class Limits(NamedTuple):
    """What a connection may ask of us."""

    # From the connection to the end of TLS's handshake: when all stations come back at
    # once, the last of some thousands waits for so many of them.
    handshake_within_s: float = 30.0
    # From there to the end of the request to upgrade it.
    upgrade_within_s: float = 10.0
    # From the upgrade to the first message: two of the intervals between heartbeats.
    first_word_within_s: float = 600.0
    # A connection without data is asked after this, and has as long to answer.
    ping_after_s: float = 60.0
    # A message beyond it is not read: the connection ends.
    message_bytes: int = 256 * 1024
    # Messages that wait for the desk before no more is read.
    waiting: int = 64
    # Who says the next thing so soon after an answer tells what happened before, or
    # floods: it comes later than others. So does who has just come, as thousands may.
    eager_s: float = 3.0
    # What a station leaves unread before it is dropped.
    unsent_bytes: int = 1024 * 1024
    # From our saying goodbye to the end.
    close_within_s: float = 2.0


@dataclass(slots=True)
class Traffic:
    """Counts of a tenant's connections, since the start; ``links`` are those now."""

    links: set["StationLink"] = field(default_factory=set)
    messages_in: int = 0
    messages_out: int = 0
    connected: int = 0
    floods: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


class StationLink(WSListener):
    """The `Link` of a connection."""

    def __init__(
        self,
        gateway: "Gateway",
        connect: Callable[["StationLink", Origin], "Connection"],
        origin: Origin,
        limits: Limits,
        traffic: Traffic,
        deflate: Deflate | None,
    ) -> None:
        """Wait for the upgrade to be done; then ``connect`` tells the gateway."""
        self.gone = asyncio.Event()
        self._gateway = gateway
        self._connect = connect
        self._origin = origin
        self._limits = limits
        self._traffic = traffic
        self._deflate = deflate
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._connection: Connection | None = None
        self._heard: list[bytes] = []
        self._is_taking = False
        # Of what it told by itself: whether the last came soon after an answer, and
        # when it was taken.
        self._is_telling = False
        self._is_eager = True
        self._told_at = float("inf")
        self._is_paused = False
        self._is_behind = False
        self.is_closing = False
        self._parts: bytearray | None = None
        self._is_packed = False
        self._ended_by = ""
        self._timer: asyncio.TimerHandle | None = None

    # Called by picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take in that the upgrade is done."""
        self._transport = transport
        self._traffic.links.add(self)
        self._traffic.connected += 1
        self._timer = self._loop.call_later(
            self._limits.first_word_within_s, self._drop, "silent"
        )
        self._connection = self._connect(self, self._origin)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame."""
        if self.is_closing and frame.msg_type != WSMsgType.CLOSE:
            return
        kind = frame.msg_type
        if frame.rsv2 or frame.rsv3 or (frame.rsv1 and self._deflate is None):
            self._fault(WSCloseCode.PROTOCOL_ERROR, "an extension nobody agreed on")
        elif kind == WSMsgType.TEXT and self._parts is None:
            self._begin(frame)
        elif kind == WSMsgType.CONTINUATION and self._parts is not None:
            self._continue(frame)
        elif kind == WSMsgType.CLOSE:
            self._left(transport, frame)
        elif kind == WSMsgType.BINARY:
            self._fault(WSCloseCode.UNSUPPORTED_DATA, "messages are text")
        elif kind in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._fault(WSCloseCode.PROTOCOL_ERROR, "a part out of its order")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell the gateway that the link is gone."""
        self.is_closing = True
        self._traffic.links.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if not self._ended_by:
            ended = transport.close_handshake
            if ended is not None and ended.sent is not None:
                # By picows: a frame that breaks the protocol, or no answer to a ping.
                self._ended_by = ended.sent.reason or "protocol"
                self._count_drop("protocol", self._ended_by)
            else:
                self._ended_by = "lost"
        if self._connection is not None:
            self._gateway.disconnect(self._connection, self._ended_by)
        self.gone.set()

    def pause_writing(self) -> None:
        """Hear no more from a station that does not read."""
        self._is_behind = True
        self._pause()

    def resume_writing(self) -> None:
        """Hear it again."""
        self._is_behind = False
        self._resume()

    # Called by the gateway.

    def send(self, frame: bytes) -> None:
        """Send a message."""
        transport = self._transport
        if transport is None or self.is_closing:
            return
        if self._is_behind:
            unsent = transport.underlying_transport.get_write_buffer_size()
            if unsent > self._limits.unsent_bytes:
                self._drop("slow")
                return
        self._traffic.messages_out += 1
        if self._deflate is not None and len(frame) >= WORTH_BYTES:
            transport.send(WSMsgType.TEXT, self._deflate.pack(frame), rsv1=True)
        else:
            transport.send(WSMsgType.TEXT, frame)

    def close(self, code: int, reason: str) -> None:
        """End the connection, and do not wait for ever for the other side's word."""
        if self.is_closing or self._transport is None:
            return
        self.is_closing = True
        self._ended_by = self._ended_by or reason
        transport = self._transport
        said = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        transport.send_close(WSCloseCode(code), said)
        if self._is_paused:  # its goodbye must be read
            self._is_paused = False
            transport.underlying_transport.resume_reading()
        self._loop.call_later(
            self._limits.close_within_s, lambda: transport.disconnect(graceful=False)
        )

    # Messages.

    def _begin(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if frame.fin:
            self._message(payload, frame.rsv1)
        else:
            self._parts, self._is_packed = bytearray(payload), frame.rsv1

    def _continue(self, frame: WSFrame) -> None:
        assert self._parts is not None
        if frame.rsv1:
            self._fault(WSCloseCode.PROTOCOL_ERROR, "a part that begins anew")
            return
        if len(self._parts) + frame.payload_size > self._limits.message_bytes:
            self._fault(WSCloseCode.MESSAGE_TOO_BIG, "the message is too long")
            return
        self._parts += frame.get_payload_as_memoryview()
        if frame.fin:
            payload, self._parts = bytes(self._parts), None
            self._message(payload, self._is_packed)

    def _message(self, payload: bytes, is_packed: bool) -> None:
        if is_packed:
            assert self._deflate is not None
            try:
                payload = self._deflate.unpack(payload, self._limits.message_bytes)
            except TooLong:
                self._fault(WSCloseCode.MESSAGE_TOO_BIG, "the message is too long")
                return
            except zlib.error:
                self._fault(WSCloseCode.INVALID_TEXT, "the message does not unpack")
                return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._traffic.messages_in += 1
        if not self._is_taking:
            self._take([payload])
            return
        # The rest when that is durable.
        self._heard.append(payload)
        if len(self._heard) == self._limits.waiting:
            self._flooded()

    def _take(self, frames: list[bytes]) -> None:
        assert self._connection is not None
        self._is_taking = True
        self._is_telling = not all(frame.startswith(_ANSWERS) for frame in frames)
        if self._is_telling:
            self._is_eager = self._loop.time() - self._told_at < self._limits.eager_s
        self._connection.receive_all(frames, self._taken, self._pace(frames))

    def _pace(self, frames: list[bytes]) -> Pace:
        if self._is_eager:
            return Pace.LATER
        if self._is_telling and all(map(_is_routine, frames)):
            return Pace.SOON
        return Pace.NOW

    def _taken(self) -> None:
        self._is_taking = False
        if self._is_telling:
            self._told_at = self._loop.time()
        if self._heard:
            frames, self._heard = self._heard[:_AT_ONCE], self._heard[_AT_ONCE:]
            self._take(frames)
        if len(self._heard) < self._limits.waiting:
            self._resume()

    # Limits.

    def _flooded(self) -> None:
        self._traffic.floods += 1
        self._note(Kind.RATE_LIMITED, "more messages than are taken; it waits")
        self._pause()

    def _pause(self) -> None:
        if self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.underlying_transport.pause_reading()

    def _resume(self) -> None:
        is_full = len(self._heard) >= self._limits.waiting
        if self._is_paused and not (self._is_behind or is_full or self.is_closing):
            assert self._transport is not None
            self._is_paused = False
            self._transport.underlying_transport.resume_reading()

    def _fault(self, code: WSCloseCode, reason: str) -> None:
        self._count_drop("protocol", reason)
        self.close(code.value, reason)

    def _drop(self, why: str) -> None:
        """End a connection that costs more than it says."""
        if self.is_closing:
            return
        self._count_drop(why, why)
        self.close(WSCloseCode.POLICY_VIOLATION.value, why)

    def _left(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.is_closing:
            self.is_closing = True
            self._ended_by = "closed by the station"
            code = frame.get_close_code()
            is_said = code != WSCloseCode.NO_INFO
            transport.send_close(code if is_said else WSCloseCode.OK)
        transport.disconnect()

    def _count_drop(self, why: str, detail: str) -> None:
        self._traffic.dropped[why] += 1
        self._note(Kind.FAULTY_MESSAGE, detail)

    def _note(self, kind: Kind, detail: str) -> None:
        actor = "" if self._connection is None else self._connection.peer.station_id
        self._gateway.desk.desk.note(kind, self._origin, actor=actor, detail=detail)


def _is_routine(frame: bytes) -> bool:
    return any(name in frame for name in _ROUTINE)
