"""A station's WebSocket."""

import base64
from collections.abc import Callable

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}


class _Ear(WSListener):
    def __init__(self, wire: "SocketWire", on_frame: Callable[[bytes], None]) -> None:
        self._wire = wire
        self._on_frame = on_frame

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._wire.frames_received += 1
            self._on_frame(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._wire.gone(transport)


class SocketWire:
    """A WebSocket to the CSMS, with basic authentication."""

    def __init__(self, url: str, identity: str, password: str, version: str) -> None:
        self.frames_sent = 0
        self.frames_received = 0
        self.on_lost: Callable[[], None] = _do_nothing
        self._url = f"{url}/{identity}"
        token = base64.b64encode(f"{identity}:{password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {token}",
            "Sec-WebSocket-Protocol": SUBPROTOCOLS[version],
        }
        self._transport: WSTransport | None = None

    async def open(self, on_frame: Callable[[bytes], None]) -> None:
        """Connect.

        Raises
        ------
        OSError
            where the CSMS is not there, or does not let the station in.
        """
        self.frames_sent = self.frames_received = 0
        try:
            self._transport, _ = await ws_connect(
                lambda: _Ear(self, on_frame),
                self._url,
                extra_headers=self._headers,
                websocket_handshake_timeout=30,
            )
        except WSError as error:
            raise ConnectionError(str(error)) from error

    def send(self, frame: bytes) -> None:
        """Send a frame; nothing where the connection is gone."""
        if self._transport is not None:
            self.frames_sent += 1
            self._transport.send(WSMsgType.TEXT, frame)

    async def close(self) -> None:
        """Disconnect."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.disconnect()
            await transport.wait_disconnected()

    def gone(self, transport: WSTransport) -> None:
        """Take in that the connection ended; tell it where nobody here asked for it."""
        if self._transport is transport:
            self._transport = None
            self.on_lost()


def _do_nothing() -> None:
    """Nobody wants to know."""
