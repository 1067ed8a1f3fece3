"""The whole product for a load of stations, in a process of its own, as it is served.

Gateway, ledger, loops of all zones and all projections, as ``serve`` runs them. The
process that measures says over a pipe what is to be done and asks for figures.
"""

import gc
import multiprocessing
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed.http_load import processor_s
from benchmarks.speed.ocpp_stations import MAX_W, PASSWORD
from benchmarks.system_factory import named
from domain.loop.router import Router
from domain.loop.runner import SWITCH_INTERVAL_S
from domain.model.plan_events import PlanMade
from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.session_events import TransferSettled
from domain.model.station_events import StationTransactionReported
from domain.model.values import HOUR, SECOND, Current
from domain.ports import TENANT, Recorded, System
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.clause_7_3_stations import (
    RegisterStation,
    digest_of,
    register_station,
)
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from domain.use_cases.shared_path import By

_KEY: bytes = bytes(32)
_PRE_S = 24 * 3_600


class Site(NamedTuple):
    """What is commissioned: stations in turns to the zones, each zone with a limit."""

    stations: int
    zones: int
    zone_w: int
    phases: int = 3
    tls: tuple[Path, Path] | None = None


class Product:
    """The product in its process, as the one that measures sees it."""

    def __init__(self, pid: int, port: int, pipe: Connection) -> None:
        self.pid = pid
        self.port = port
        self._pipe = pipe

    def ask(self, *what: object) -> Any:
        """Have something done in the product's process; return what comes of it."""
        self._pipe.send(what)
        return self._pipe.recv()

    def send_pre(self, zone_id: str, upper_w: int) -> None:
        """Send a mandatory PRE; it is recorded when this returns."""
        self.ask("pre", zone_id, upper_w)

    def figures(self) -> dict[str, Any]:
        """Return the metrics of loops and gateway."""
        found: dict[str, Any] = self.ask("figures")
        return found

    @property
    def cpu_s(self) -> float:
        """The processor time that it has used."""
        return processor_s(self.pid)

    @property
    def memory_mib(self) -> float:
        """The memory that it has."""
        return _status_mib(self.pid, "VmRSS")

    @property
    def most_memory_mib(self) -> float:
        """The most memory that it had."""
        return _status_mib(self.pid, "VmHWM")


def _status_mib(pid: int, name: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1_024


@contextmanager
def serving(site: Site) -> Iterator[Product]:
    """Run the product for a site until the block ends."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(theirs, site))
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        yield Product(process.pid, ours.recv(), ours)
        ours.send(("end",))
        process.join(30)
    finally:
        process.kill()


def _serve(pipe: Connection, site: Site) -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    named("api.commands.serve_stations:raise_file_limit")()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        _commission(folder, site)
        key = folder / "key"
        key.write_bytes(_KEY)
        key.chmod(0o600)
        environment = {"VOLTLEDGER_KEY_FILE": str(key)}
        opened = named("api.compose:open_service")(folder, environment, delivers=True)
        with opened as service, named("api.listening:loopback_socket")(0) as sock:
            _until_ready()
            tenant = named("api.ocpp.service:Tenant")(
                service.system, service.loops.take_readings, service.security
            )
            stations = named("api.ocpp.service:StationService")(
                {TENANT: tenant}, sock, _context(site)
            )
            stations.start()
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000, 20, 50)
            pipe.send(sock.getsockname()[1])
            _obey(pipe, service, stations)
            stations.close()


def _until_ready() -> None:
    """Wait for the planner to be compiled."""
    for thread in threading.enumerate():
        if thread.name == "planner":
            thread.join()


def _context(site: Site) -> Any:
    if site.tls is None:
        return None
    return named("api.security.tls:TlsFiles")(*site.tls).station_context()


def _obey(pipe: Connection, service: Any, stations: Any) -> None:
    while True:
        match pipe.recv():
            case ("pre", str() as zone_id, int() as upper_w):
                _receive_pre(service.system, zone_id, upper_w)
                pipe.send(None)
            case ("figures",):
                pipe.send(
                    service.loop_metrics()
                    | {f"ocpp_{k}": n for k, n in stations.metrics(TENANT).items()}
                    | {"trouble": service.loops.trouble}
                    | {"projected": service.models.runner.position()}
                    | {"position": service.system.log.last_position()}
                )
            case ("late plans", int() as after):
                pipe.send(plans_after(service.system, after))
            case ("books",):
                pipe.send(books(service.system))
            case _:
                return


def _receive_pre(system: System, zone_id: str, upper_w: int) -> None:
    now = system.clock.now()
    command = ReceivePre(
        zone_id=zone_id,
        pre_id=f"p{now}",
        envelope=PowerRangeEnvelope(now - now % SECOND, (Range(_PRE_S, 0, upper_w),)),
        mandatory=True,
    )
    receive_pre(system, command, By(actor="rm", at=now))


def _rows(system: System, after: int) -> Iterator[Recorded]:
    while rows := system.log.read(after=after, limit=5_000):
        yield from rows
        after = rows[-1].position


class Plans(NamedTuple):
    """Plans of a time: how many, and from their reason to when they were applied."""

    made: int
    after_s: list[float]
    late: int


def plans_after(system: System, after: int) -> Plans:
    """Return the plans above a position; late: more than a gap after they could be.

    A plan could be when what it was made for was recorded, and its zone's gap since the
    plan before it had passed.
    """
    router, gap = Router(), 10 * SECOND
    reasons: dict[str, dict[str, int]] = {}
    last_at: dict[str, int] = {}
    found = Plans(0, [], 0)
    for row in _rows(system, 0):
        zone_id = router.zone_of(row)
        if zone_id is None:
            continue
        if not isinstance(row.event, PlanMade):
            reasons.setdefault(zone_id, {}).setdefault(row.type, row.recorded_at)
            continue
        reason_at = reasons.get(zone_id, {}).get(row.event.trigger, row.recorded_at)
        paced_at = last_at.get(zone_id, 0) + gap
        last_at[zone_id] = row.recorded_at
        reasons.pop(zone_id, None)
        if row.position > after:
            late = row.recorded_at > max(reason_at, paced_at) + gap
            found.after_s.append((row.recorded_at - reason_at) / SECOND)
            found = found._replace(made=found.made + 1, late=found.late + late)
    return found


class Books(NamedTuple):
    """What was kept of stations' transactions."""

    messages: int
    booked: int
    energy_wh: int


def books(system: System) -> Books:
    """Return how many messages were kept, transactions booked, and their energy."""
    messages, settled = 0, dict[tuple[str, str], int]()
    for row in _rows(system, 0):
        match row.event:
            case StationTransactionReported():
                messages += 1
            case TransferSettled() as event:
                # A later one of the same transaction takes the place of an earlier.
                key = (event.session_id, event.evse_id)
                settled[key] = event.energy_wh
    return Books(messages, len(settled), sum(settled.values()))


def _commission(folder: Path, site: Site) -> None:
    """Write the site into a new store, without waiting for the disk."""
    clock, ids = named("api.compose:WallClock")(), named("api.compose:SystemIds")()
    store = named("domain.store.store:Store")(
        folder,
        clock=clock,
        ids=ids,
        master_key=_KEY,
        threaded=False,
        durability="NORMAL",
    )
    with store:
        system = System(store.log, store.samples, store.vault, clock, ids)
        by = By(actor="operator", at=clock.now())
        for n in range(site.zones):
            zone = DefineZone(
                zone_id=f"z{n}", name=f"z{n}", limit_w=site.zone_w, safe_upper_w=0
            )
            define_zone(system, zone, by)
            _receive_pre(system, f"z{n}", site.zone_w)
        digest = digest_of(PASSWORD)
        for n in range(site.stations):
            _add_station(system, site, n, by, digest)


def _add_station(system: System, site: Site, n: int, by: By, digest: bytes) -> None:
    evse = EvseData(
        evse_id=f"DE*VLT*E{n}",
        current=Current.AC,
        phases=site.phases,
        voltage_v=230,
        max_w=MAX_W * site.phases // 3,
        floor_w=1_380 * site.phases,
    )
    station = CommissionStation(
        station_id=f"s{n}", zone_id=f"z{n % site.zones}", evses=(evse,)
    )
    commission_station(system, station, by)
    security_profile = 1 if site.tls is None else 2
    command = RegisterStation(
        station_id=f"s{n}", identity=f"s{n}", security_profile=security_profile
    )
    register_station(system, command, by, password_digest=digest)
    contract = RegisterContract(
        contract_id=f"c{n}",
        subject_id=system.vault.subject_of("rfid", f"TOKEN{n}"),
        valid_from_at=by.at - HOUR * 24,
    )
    register_contract(system, contract, by)
