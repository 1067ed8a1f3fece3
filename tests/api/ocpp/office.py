"""A gateway without sockets, on a real ledger: frames go in and out as bytes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.compose import open_simulation
from api.ocpp.connection import Connection
from api.ocpp.desk import Desk, InlineDesk
from api.ocpp.exchanges import (
    MODULES,
    clause_7_3_capabilities,
    clause_7_3_evses,
    clause_7_3_standing_profiles,
)
from api.ocpp.gateway import Gateway
from api.ocpp.violations import Version
from api.security.notes import Origin
from benchmarks.simulator.clock import SeededIds, SimulatedClock
from domain.loop.observer import Reading
from domain.model import station_events as t
from domain.model.values import DAY, Current, Event, Instant, datetime_of
from domain.ports import System
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
from domain.use_cases.s2_back_office import EmbeddedBackOffice
from domain.use_cases.shared_path import By

NOW: Instant = 20_000 * DAY
V2: tuple[Version, ...] = ("2.0.1", "2.1")
VERSIONS: tuple[Version, ...] = ("1.6", *V2)
# The EVSEs of station S1.
ONE, TWO = "DE*VLT*ES1*1", "DE*VLT*ES1*2"


class Wire:
    """A station's end of a link, by hand; shares nothing with the gateway's codec."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.connection: Connection | None = None
        self._count = 0

    def send(self, frame: bytes) -> None:
        """Take a frame of the gateway."""
        self.frames.append(json.loads(frame))

    def close(self, code: int, reason: str) -> None:
        """Take in that the gateway ended it."""
        self.closed = (code, reason)

    def call(self, action: str, payload: dict[str, Any], message_id: str = "") -> Any:
        """Call the gateway; return the whole frame of its answer."""
        self._count += 1
        message_id = message_id or f"cs-{self._count}"
        self.raw(json.dumps([2, message_id, action, payload]).encode())
        found = [f for f in self.frames if f[0] in (3, 4) and f[1] == message_id]
        return found[-1] if found else None

    def ask(self, action: str, payload: dict[str, Any], message_id: str = "") -> Any:
        """Call the gateway; return the payload of its result."""
        frame = self.call(action, payload, message_id)
        assert frame is not None, f"{action} was not answered"
        assert frame[0] == 3, frame
        return frame[2]

    def raw(self, frame: bytes) -> None:
        """Send bytes."""
        assert self.connection is not None
        self.connection.receive(frame)

    def calls(self, action: str = "") -> list[Any]:
        """Return the gateway's calls so far: [2, id, action, payload]."""
        return [f for f in self.frames if f[0] == 2 and action in ("", f[2])]

    def answer(self, call: Any, payload: dict[str, Any]) -> None:
        """Answer a call of the gateway."""
        self.raw(json.dumps([3, call[1], payload]).encode())


class Office:
    """The gateway and its ledger on simulated time."""

    def __init__(self, system: System, clock: SimulatedClock) -> None:
        self.system = system
        self.clock = clock
        self.readings: list[tuple[str, Reading]] = []
        self._due: list[tuple[Instant, int, Callable[[], None]]] = []
        self._count = 0
        self._seen = 0
        self.desk = InlineDesk(Desk(system, self._take_readings))
        self.gateway = Gateway(system, self.desk, self, MODULES)

    def _take_readings(
        self, zone_id: str, at: Instant, readings: list[Reading]
    ) -> None:
        self.readings += [(zone_id, reading) for reading in readings]

    def ask_nothing(self) -> None:
        """Leave out what asks a station of itself when it connects."""
        asking = (
            clause_7_3_capabilities.MODULE,
            clause_7_3_evses.MODULE,
            clause_7_3_standing_profiles.MODULE,
        )
        modules = [module for module in MODULES if module not in asking]
        self.gateway = Gateway(self.system, self.desk, self, modules)

    def at(self, instant: Instant, do: Callable[[], None]) -> Callable[[], None]:
        """Do something when the clock gets there."""
        self._count += 1
        entry = (instant, self._count, do)
        self._due.append(entry)
        return lambda: self._due.remove(entry) if entry in self._due else None

    def pass_time(self, duration: Instant) -> None:
        """Let time pass, and do what becomes due."""
        end = self.clock.at + duration
        while self._due and min(self._due)[0] <= end:
            entry = min(self._due)
            self._due.remove(entry)
            self.clock.at = max(self.clock.at, entry[0])
            entry[2]()
            self.follow()
        self.clock.at = end

    def follow(self) -> None:
        """Hand the gateway what was recorded since."""
        while rows := self.system.log.read(after=self._seen, limit=1000):
            self._seen = rows[-1].position
            self.gateway.follow(rows)

    def by(self, actor: str = "operator") -> By:
        """Return who acts now."""
        return By(actor=actor, at=self.clock.at)

    def register(self, station_id: str, **changes: Any) -> None:
        """Let a station connect, with the password ``secret``."""
        command = RegisterStation(
            station_id=station_id,
            identity=station_id,
            security_profile=1,
            **changes,
        )
        register_station(
            self.system, command, self.by(), password_digest=digest_of("secret")
        )
        self.follow()

    def commission(
        self, station_id: str, *evses: EvseData, zone_id: str = "site"
    ) -> None:
        """Commission a station; of one AC EVSE with three phases if none is given."""
        given = evses or (evse_data(f"DE*VLT*E{station_id.upper()}*1"),)
        if self.system.log.read_stream(f"zone-{zone_id}") == []:
            zone = DefineZone(
                zone_id=zone_id, name=zone_id, limit_w=100_000, safe_upper_w=20_000
            )
            define_zone(self.system, zone, self.by())
        command = CommissionStation(
            station_id=station_id, zone_id=zone_id, evses=tuple(given)
        )
        commission_station(self.system, command, self.by())
        self.follow()

    def connect(
        self, station_id: str, version: Version, *, is_known: bool = True
    ) -> Wire:
        """Connect a registered station; if known, nothing is asked of what it can."""
        wire = Wire()
        peer = self.gateway.peers.by_id[station_id]
        if is_known and peer.told is None:
            peer.told = t.StationCapabilities(station_id=station_id, version=version)
        wire.connection = self.gateway.connect(peer, version, wire, Origin())
        self.follow()
        return wire

    def events(self, *kinds: type[Event]) -> list[Event]:
        """Return all events of some kinds so far, in order."""
        rows = self.system.log.read(after=0, limit=1_000_000)
        return [r.event for r in rows if r.event is not None and type(r.event) in kinds]


def evse_data(evse_id: str, **changes: Any) -> EvseData:
    """Return an AC EVSE of 22 kW, or what is changed of it."""
    values: dict[str, Any] = {
        "evse_id": evse_id,
        "current": Current.AC,
        "phases": 3,
        "voltage_v": 230,
        "max_w": 22_080,
        "floor_w": 4_140,
    }
    return EvseData(**{**values, **changes})


def iso(at: Instant) -> str:
    """Return an instant as a station tells it."""
    return datetime_of(at).isoformat()


@contextmanager
def open_office(folder: Path, at: Instant = NOW) -> Iterator[Office]:
    """Open an office on a new ledger; the embedded back office answers."""
    clock = SimulatedClock(at)
    with open_simulation(folder, clock, SeededIds(1)) as bare:
        cso = EmbeddedBackOffice(bare.log, clock)
        system = System(
            bare.log, bare.samples, bare.vault, bare.clock, bare.ids, cso=cso
        )
        yield Office(system, clock)


@contextmanager
def open_with_station(folder: Path, *, is_asked: bool = True) -> Iterator[Office]:
    """Open an office with station S1, which has two EVSEs.

    Unless it ``is_asked``, nothing is asked of it when it connects.
    """
    with open_office(folder) as office:
        if not is_asked:
            office.ask_nothing()
        office.register("S1")
        office.commission("S1", evse_data(ONE), evse_data(TWO))
        yield office
