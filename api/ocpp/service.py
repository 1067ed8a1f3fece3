"""The gateways of all tenants on a thread and an event loop of their own.

Stations speak on that loop's thread, the committer's thread decides, and a thread a
tenant follows the log, so that the gateway hears of what others recorded.
"""

import asyncio
import logging
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from api.ocpp.desk import CommitterDesk, Desk, TakeReadings
from api.ocpp.exchanges import MODULES
from api.ocpp.gateway import Gateway
from api.ocpp.link import Limits
from api.ocpp.server import StationServer, serve_stations
from api.security.notes import SecurityLog
from domain.errors import StoreError
from domain.model.values import SECOND, Instant
from domain.ports import Clock, System
from domain.store.committer import Committer

_logger = logging.getLogger(__name__)

_PAGE: Final = 500
_LOOK_AGAIN_S: Final = 0.2
_TRY_AGAIN_S: Final = 1.0
# From the word to stop to the end, whatever stations do.
_STOP_WITHIN_S: Final = 5.0


class Tenant(NamedTuple):
    """What the gateway of a tenant is put on."""

    system: System
    take_readings: TakeReadings
    security: SecurityLog | None


class LoopScheduler:
    """A `Scheduler` on an event loop, by the clock of the machine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._asked: deque[tuple[Instant, _Due]] = deque()
        self._is_told = False

    def at(self, instant: Instant, do: Callable[[], None]) -> Callable[[], None]:
        """Do something at an instant; asked and called off from any thread."""
        due = _Due(do)
        self._asked.append((instant, due))
        if not self._is_told:  # to wake the loop's thread costs more than all else here
            self._is_told = True
            self._loop.call_soon_threadsafe(self._arm)
        return due.call_off

    def _arm(self) -> None:
        self._is_told = False
        while self._asked:
            instant, due = self._asked.popleft()
            wait_s = max(instant - self._clock.now(), 0) / SECOND
            self._loop.call_later(wait_s, due.run)


class _Due:
    """Something to do, unless it was called off."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do: Callable[[], None] | None = do

    def run(self) -> None:
        if self._do is not None:
            self._do()

    def call_off(self) -> None:
        self._do = None


class _Follower:
    """Hands a gateway the committed rows that it acts on, in order, each once."""

    def __init__(
        self, gateway: Gateway, log: Committer, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._gateway = gateway
        self._log = log
        self._loop = loop
        self._after = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stations-follower")

    def start(self, after: int) -> None:
        """Begin above a position."""
        self._after = after
        self._thread.start()

    def close(self) -> None:
        """Stop; what was handed over stays handed over."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except StoreError:  # a disk may come back; nothing is passed over
                _logger.exception("the log cannot be followed; trying again")
                self._stop.wait(_TRY_AGAIN_S)

    def _follow(self) -> None:
        types = self._gateway.followed
        while not self._stop.is_set():
            end = self._log.last_position()
            rows = self._log.read(after=self._after, limit=_PAGE, types=types)
            if rows:
                self._loop.call_soon_threadsafe(self._gateway.follow, rows)
                self._after = rows[-1].position
            if len(rows) < _PAGE:
                self._after = max(self._after, end)
                self._log.wait_for(self._after + 1, _LOOK_AGAIN_S)


class _Gatehouse(NamedTuple):
    """A tenant's gateway and what works for it."""

    gateway: Gateway
    desk: CommitterDesk
    follower: _Follower


class StationService:
    """Runs until it is closed."""

    def __init__(
        self,
        tenants: Mapping[str, Tenant],
        sock: socket.socket,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; stations can connect from `start` on."""
        self._tenants = tenants
        self._sock = sock
        self._tls = tls
        self._limits = limits or Limits()
        self._ready = threading.Event()
        self._houses: dict[str, _Gatehouse] = {}
        self._server: StationServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stations")

    def start(self) -> None:
        """Listen; raise what keeps it from that."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def close(self) -> None:
        """Say goodbye to all stations, record that, and stop."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def metrics(self, tenant: str) -> dict[str, int]:
        """Return counts of a tenant's connections since the start."""
        if self._server is None:
            return {}
        traffic = self._server.traffic[tenant]
        refused = {f"refused_{k}": n for k, n in list(traffic.refused.items())}
        dropped = {f"dropped_{k}": n for k, n in list(traffic.dropped.items())}
        counts = {
            "running": int(self._thread.is_alive()),
            "connections": len(traffic.links),
            "connections_total": traffic.connected,
            "messages_in_total": traffic.messages_in,
            "messages_out_total": traffic.messages_out,
            "floods_total": traffic.floods,
            "works_queued": self._houses[tenant].desk.queued(),
        }
        return counts | {
            f"{key.replace('-', '_')}_total": n
            for key, n in (refused | dropped).items()
        }

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._error = error
            if self._ready.is_set():
                raise
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            for name, tenant in self._tenants.items():
                self._houses[name] = _gatehouse(tenant, self._loop)
            gateways = {name: house.gateway for name, house in self._houses.items()}
            self._server = await serve_stations(
                gateways, self._sock, self._tls, self._limits
            )
            self._ready.set()
            await self._stop.wait()
            await self._server.close(_STOP_WITHIN_S)
            await self._drained()
        finally:
            for house in self._houses.values():
                house.follower.close()

    async def _drained(self) -> None:
        """Wait until what stations said last is recorded."""
        for _ in range(int(_STOP_WITHIN_S / 0.01)):
            if all(house.desk.is_idle for house in self._houses.values()):
                return
            await asyncio.sleep(0.01)


def _gatehouse(tenant: Tenant, loop: asyncio.AbstractEventLoop) -> _Gatehouse:
    log = tenant.system.log
    assert isinstance(log, Committer)
    # Its folds may be of rows that are not committed yet: nobody else may see them.
    system = msgspec.structs.replace(tenant.system, folds={})

    def call_soon(do: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to tell
            loop.call_soon_threadsafe(do)

    desk = CommitterDesk(
        Desk(system, tenant.take_readings, tenant.security),
        log,
        call_soon,
        loop.call_later,
    )
    after = log.last_position()  # first: what comes meanwhile is seen twice, not never
    gateway = Gateway(system, desk, LoopScheduler(loop, system.clock), MODULES)
    desk.put(gateway.resume)
    follower = _Follower(gateway, log, loop)
    follower.start(after)
    return _Gatehouse(gateway, desk, follower)


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":  # pragma: no cover
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()
