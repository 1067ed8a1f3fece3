"""A live store with its gateway as a service, in this process; a disk that fills up."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from api.compose import SystemIds, WallClock
from api.listening import loopback_socket
from api.ocpp.service import StationService, Tenant
from api.security.notes import SecurityLog
from domain.loop.observer import Reading
from domain.model.values import Event, Instant
from domain.ports import TENANT, System
from domain.store.committer import Committer
from domain.store.store import Store
from domain.use_cases.clause_7_3_stations import (
    RegisterStation,
    digest_of,
    register_station,
)
from domain.use_cases.s2_back_office import EmbeddedBackOffice
from domain.use_cases.shared_path import By
from tests.api.ocpp.sockets import Calling

KEY = bytes(range(32))


class Live(Calling):
    """A service on a store; stations call it by its port."""

    def __init__(
        self, system: System, service: StationService, security: SecurityLog, port: int
    ) -> None:
        super().__init__(port)
        self.system = system
        self.service = service
        self.security = security
        self.readings: list[tuple[str, list[Reading]]] = []

    def by(self) -> By:
        """Return who acts now."""
        return By(actor="operator", at=self.system.clock.now())

    def events(self, *kinds: type[Event]) -> list[Event]:
        """Return all committed events of some kinds, in order."""
        rows = self.system.log.read(after=0, limit=1_000_000)
        return [r.event for r in rows if r.event is not None and type(r.event) in kinds]

    def metric(self, name: str) -> int:
        """Return a count of the service."""
        return self.service.metrics(TENANT).get(name, 0)


def register(system: System, station_id: str) -> None:
    """Let a station connect, with the password ``secret``."""
    by = By(actor="operator", at=system.clock.now())
    command = RegisterStation(
        station_id=station_id, identity=station_id, security_profile=1
    )
    register_station(system, command, by, password_digest=digest_of("secret"))


@contextmanager
def open_system(folder: Path, key: bytes = KEY) -> Iterator[System]:
    """Open a live store, new or not; the embedded back office answers."""
    clock, ids = WallClock(), SystemIds()
    with Store(folder, clock=clock, ids=ids, master_key=key) as store:
        cso = EmbeddedBackOffice(store.log, clock)
        yield System(store.log, store.samples, store.vault, clock, ids, cso=cso)


@contextmanager
def open_live(folder: Path, *stations: str) -> Iterator[Live]:
    """Open a store, new or not, with registered stations, and serve them."""
    with ExitStack() as opened:
        system = opened.enter_context(open_system(folder))
        security = SecurityLog(system)
        opened.callback(security.close)
        sock = opened.enter_context(loopback_socket(0))
        live: Live

        def take(zone_id: str, at: Instant, readings: list[Reading]) -> None:
            live.readings.append((zone_id, readings))

        service = StationService({TENANT: Tenant(system, take, security)}, sock)
        live = Live(system, service, security, sock.getsockname()[1])
        for station_id in stations:
            register(system, station_id)
        service.start()
        opened.callback(service.close)
        yield live


def page_limit(log: object) -> Callable[[int], None]:
    """Return what lets a ledger's file grow by so many pages and no more."""
    assert isinstance(log, Committer)
    execute = log._ledger._connection.execute

    def limit(more: int) -> None:
        (pages,) = execute("PRAGMA page_count").fetchone()
        execute(f"PRAGMA max_page_count = {pages + more}").fetchone()

    return limit
