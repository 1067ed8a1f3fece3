"""The WebSocket server that stations connect to, on the running event loop.

Frames become works of the gateway's desk; at most one work of a connection is under
way, so one station's flood makes itself wait and nobody else.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from picows import (
    WSAutoPingStrategy,
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from api.ocpp.deflate import agree
from api.ocpp.handshake import CHALLENGE, NotAdmitted, admit, door_of, protocol_of
from api.ocpp.link import Limits, StationLink, Traffic
from api.security.notes import Kind, Origin

if TYPE_CHECKING:
    from api.ocpp.gateway import Gateway

_logger = logging.getLogger(__name__)
# What picows says of each connection is counted and noted elsewhere; mistakes of ours
# are errors there.
_picows = logging.getLogger("picows.stations")
_picows.setLevel(logging.ERROR)
_READ_BYTES: Final = 4 * 1024
_BACKLOG: Final = 4_096
_TRY_AGAIN_S: Final = 1.0
# So many handshakes take some tens of milliseconds, and live messages no longer.
_HANDSHAKES: Final = 32
_SOON_S: Final = 0.1


class _Parting(WSListener):
    """Ends a connection for which there is no sub-protocol, after the upgrade.

    So OCPP-J has it: the upgrade without a sub-protocol, then the end.
    """

    is_closing = True

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Say why, and go."""
        transport.send_close(
            WSCloseCode.PROTOCOL_ERROR, b"ocpp2.1, ocpp2.0.1 and ocpp1.6 are spoken"
        )
        asyncio.get_running_loop().call_later(1.0, transport.disconnect)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hear only that the other side goes, too."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


class _Protocol(WSProtocol):  # type: ignore[misc]
    """What picows makes of the bytes of a connection."""

    def buffer_updated(self, nbytes: int) -> None:
        """Leave unread what follows a frame that broke the protocol."""
        if not self.transport.is_close_frame_sent or self.listener.is_closing:
            super().buffer_updated(nbytes)


class StationServer:
    """Listens for stations of one or several tenants."""

    def __init__(self, gateways: Mapping[str, "Gateway"], limits: Limits) -> None:
        """Serve ``gateways`` by tenant; `serve_stations` makes it listen."""
        self.traffic = {tenant: Traffic() for tenant in gateways}
        self._gateways = gateways
        self._limits = limits
        self._sock: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._shaking: set[asyncio.Task[None]] = set()

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Begin to take connections."""
        self._sock = sock
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._accepting = asyncio.create_task(self._accept(sock, tls))

    async def _accept(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take connections, few at once, so that thousands of them hold up nobody.

        Those that do not shake hands soon are waited for no longer.
        """
        loop = asyncio.get_running_loop()
        recent: set[asyncio.Task[None]] = set()
        while True:
            try:
                connection, _ = await loop.sock_accept(sock)
            except ConnectionError:
                continue
            except OSError as error:  # too many files are open
                _logger.warning("a connection cannot be taken: %s", error)
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            task = asyncio.create_task(self._shake_hands(connection, tls))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)
            recent.add(task)
            if len(recent) < _HANDSHAKES:
                continue
            done, recent = await asyncio.wait(
                recent, timeout=_SOON_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                recent = set()

    async def _shake_hands(
        self, connection: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        patience_s = None if tls is None else self._limits.handshake_within_s
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=tls, ssl_handshake_timeout=patience_s
            )
        except OSError as error:  # it left, or does not speak TLS
            _logger.debug("a connection came to nothing: %s", error)

    async def close(self, within_s: float = 5.0) -> None:
        """Take no more connections, and end those there are."""
        if self._accepting is not None and self._sock is not None:
            self._accepting.cancel()
            self._sock.close()
        links = [link for t in self.traffic.values() for link in t.links]
        for link in links:
            link.close(WSCloseCode.GOING_AWAY.value, "the service stops")
        gone = [asyncio.ensure_future(link.gone.wait()) for link in links]
        if gone:
            _, late = await asyncio.wait(gone, timeout=within_s)
            for waiting in late:
                waiting.cancel()

    def _protocol(self) -> asyncio.BaseProtocol:
        made: list[_Protocol] = []

        def upgrade(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            return self._upgrade(request, made.pop().transport.underlying_transport)

        made.append(
            _Protocol(
                None,
                None,
                False,
                upgrade,
                _picows,
                True,
                self._limits.upgrade_within_s,
                True,
                self._limits.ping_after_s,
                self._limits.ping_after_s,
                WSAutoPingStrategy.PING_WHEN_IDLE,
                True,
                self._limits.message_bytes,
                None,
                _READ_BYTES,
            )
        )
        return made[0]

    def _upgrade(
        self, request: WSUpgradeRequest, transport: asyncio.Transport
    ) -> WSUpgradeResponseWithListener:
        address = transport.get_extra_info("peername")
        origin = Origin(
            address=str(address[0]) if address else "",
            user_agent=request.headers.get("User-Agent", "")[:200],
            path=request.path[:200].decode("ascii", errors="replace"),
        )
        door = door_of(transport.get_extra_info("ssl_object"))
        try:
            tenant, gateway, peer, proof = admit(self._gateways, request, door)
        except NotAdmitted as refusal:
            return self._refuse(refusal, origin)
        traffic = self.traffic[tenant]
        # Clients name more than one option here, and that is well-formed.
        options = request.headers.get("Connection", "").lower().split(",")
        if "upgrade" in (option.strip() for option in options):
            request.headers["Connection"] = "upgrade"
        offered = request.headers.getall("Sec-WebSocket-Protocol", [])
        chosen = protocol_of(offered)
        if chosen is None:
            traffic.refused["no-protocol"] += 1
            detail = "none of the sub-protocols offered is spoken"
            gateway.desk.desk.note(
                Kind.FAULTY_MESSAGE, origin, actor=peer.station_id, detail=detail
            )
            response = WSUpgradeResponse.create_101_response()
            return WSUpgradeResponseWithListener(response, _Parting())
        name, version = chosen
        headers = {"Sec-WebSocket-Protocol": name}
        deflate = None
        if version != "1.6":
            extensions = request.headers.getall("Sec-WebSocket-Extensions", [])
            agreed = agree(extensions)
            if agreed is not None:
                headers["Sec-WebSocket-Extensions"], deflate = agreed
        connect = partial(gateway.connect, peer, version, proof=proof)
        link = StationLink(gateway, connect, origin, self._limits, traffic, deflate)
        response = WSUpgradeResponse.create_101_response(extra_headers=headers)
        return WSUpgradeResponseWithListener(response, link)

    def _refuse(
        self, refusal: NotAdmitted, origin: Origin
    ) -> WSUpgradeResponseWithListener:
        gateway = self._gateways.get(refusal.tenant)
        if gateway is not None:
            self.traffic[refusal.tenant].refused[refusal.kind.value] += 1
            gateway.desk.desk.note(refusal.kind, origin, detail=refusal.detail)
        is_unknown = refusal.status is HTTPStatus.NOT_FOUND
        headers = None if is_unknown else CHALLENGE
        response = WSUpgradeResponse.create_error_response(
            refusal.status, refusal.status.phrase.encode(), headers
        )
        return WSUpgradeResponseWithListener(response, None)


async def serve_stations(
    gateways: Mapping[str, "Gateway"],
    sock: socket.socket,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
) -> StationServer:
    """Take stations' connections on a bound socket until the server is closed."""
    server = StationServer(gateways, limits or Limits())
    await server.listen(sock, tls)
    return server
