"""What the gateway knows of each registered station: a fold of the log, and its link.

Everything here but the connection can be read from the log again after a restart.
"""

import enum
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import msgspec

from api.ocpp.capabilities import Capabilities, EvseWiring, RateUnit
from api.ocpp.meter_values import Meter
from api.ocpp.violations import Version
from api.ocpp.wire import Wire
from domain.model import ids
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.plan_events import EtpSent
from domain.model.values import Instant
from domain.ports import Log, Recorded

if TYPE_CHECKING:
    from api.ocpp.connection import Connection

# What `Peers.observe` learns from.
OBSERVED: Final = (
    t.StationRegistered,
    t.StationCredentialChanged,
    t.StationPasswordOffered,
    t.StationPasswordWithdrawn,
    t.StationDeviationsChanged,
    t.StationBlocked,
    t.StationUnblocked,
    t.StationRetired,
    t.StationCapabilities,
    t.StationEvsesTold,
    t.StationUseChanged,
    t.StationDefaultsInstalled,
    t.StationDefaultsRefused,
    z.StationCommissioned,
    z.EvseCommissioned,
    z.EvseLimitsChanged,
)


class Standing(enum.Enum):
    """How a station's boot is answered."""

    PENDING = "Pending"
    ACCEPTED = "Accepted"
    REJECTED = "Rejected"


class Credentials(NamedTuple):
    """What a station proves itself by."""

    security_profile: int
    password_digest: bytes
    certificate_name: str
    # Of passwords that it is being told, or may have taken though it did not say so.
    offered: tuple[bytes, ...] = ()


@dataclass(slots=True)
class OpenTransaction:
    """A transaction of a station's EVSE that has not ended, as the station names it.

    ``transaction_id`` is text in 2.x and, in 1.6, our integer. ``evse_id`` is empty
    where it is at no EVSE that we know. ``measured_v`` is the highest of its phases'
    voltages, ``max_periods`` what its EV takes of a schedule; None while not known.
    ``state`` and ``trigger`` are those last reported: only a change is worth a fact.
    ``is_metered``: a register of it is known. ``last_seq_no`` is the highest number
    that came, and ``unreported`` are ranges of those that held nothing but readings.
    ``is_rebuilt``: it was read from the log, and nothing came of it since. The last
    report that came in order was of ``reported_at``. It is at ``connector`` of its
    EVSE; 0 while that is not known.
    """

    transaction_id: int | str
    evse_number: int
    started_at: Instant
    session_id: str = ""
    evse_id: str = ""
    phases_in_use: int | None = None
    measured_v: float | None = None
    max_periods: int | None = None
    soc: float | None = None
    state: str = ""
    trigger: str = ""
    meter: Meter = field(default_factory=Meter)
    is_metered: bool = False
    last_seq_no: int | None = None
    unreported: list[tuple[int, int]] = field(default_factory=list)
    is_rebuilt: bool = False
    reported_at: Instant = 0
    connector: int = 0
    # The ETP that an EV's own schedule went beyond, so that it was told again.
    told_again: int = 0
    # When the station was last asked why the rate of charging changed.
    rate_asked_at: Instant = 0


@dataclass(slots=True)
class EtpOnWire:
    """The newest ETP of an EVSE, and what of it its station was told.

    ``transaction_id`` is that of the transaction it was told for; None: it waits.
    ``periods`` are those that its EVSE was last known to have, from ``begin_at`` on by
    the station's clock; ``before`` is the ETP before it, while it is not accepted;
    ``call_off`` ends what is due for it later.
    """

    etp: EtpSent
    transaction_id: int | str | None = None
    phases_in_use: int | None = None
    is_voltage_known: bool = False
    periods: tuple[tuple[int, float], ...] = ()
    begin_at: Instant = 0
    is_accepted: bool = False
    before: "EtpOnWire | None" = None
    call_off: Callable[[], None] | None = None


@dataclass(slots=True)
class EvseReport:
    """What a station reports of its EVSEs, by their number, part after part."""

    number: int
    is_over: bool = False
    power_w: dict[int, int] = field(default_factory=dict)
    phases: dict[int, int] = field(default_factory=dict)
    connectors: dict[int, set[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Kept:
    """How much was kept of a station since ``from_at``, and how much came beyond."""

    from_at: Instant = 0
    count: int = 0
    beyond: int = 0


@dataclass(slots=True)
class Peer:
    """A registered station."""

    station_id: str
    identity: str = ""
    credentials: Credentials | None = None
    zone_id: str = ""
    # EVSE n is the n-th one that was commissioned; 0 is the station.
    evse_ids: tuple[str, ...] = ()
    evses: dict[str, z.EvseCommissioned] = field(default_factory=dict)
    blocked: str = ""
    retired: str = ""
    deviations: frozenset[str] = frozenset()
    told: t.StationCapabilities | None = None
    # What it said of its EVSEs, and what it is saying.
    evses_told: t.StationEvsesTold | None = None
    report: "EvseReport | None" = None
    defaults: t.StationDefaultsInstalled | None = None
    booted: t.StationBooted | None = None
    version: Version | None = None
    connection: "Connection | None" = None
    # The station's clock less ours; None while unknown.
    clock_offset: Instant | None = None
    # Of its last messages: when it came, and what its clock was then less ours.
    clock_heard: deque[tuple[Instant, Instant]] = field(default_factory=deque)
    clock_recorded: Instant | None = None
    heard_at: Instant = 0
    # Of each (EVSE, connector): status, error code, and when it told so.
    statuses: dict[tuple[int, int], tuple[str, str, Instant]] = field(
        default_factory=dict
    )
    # EVSEs whose EV paused by itself and has not resumed (1.6 tells by its status).
    paused: set[int] = field(default_factory=set)
    # EVSEs that the station was told to keep from use.
    inoperative: set[str] = field(default_factory=set)
    # EVSEs that their operator took out of use; empty: the whole station.
    out_of_use: set[str] = field(default_factory=set)
    # EVSEs whose availability it is told again in a while, as it did not take it in.
    unheeded: set[str] = field(default_factory=set)
    kept: Kept = field(default_factory=Kept)
    kept_unreadable: Kept = field(default_factory=Kept)
    # Sessions whose reservation it is told of when that begins, and when that is.
    reservations: set[tuple[str, Instant]] = field(default_factory=set)
    # Which reading of its capabilities is the last that began.
    survey: int = 0
    # How often it was last told to report; 0: not known.
    reports_every_s: int = 0
    # By EVSE number: those that are news. By its id: all whose end did not come.
    transactions: dict[int, OpenTransaction] = field(default_factory=dict)
    open_transactions: dict[int | str, OpenTransaction] = field(default_factory=dict)
    # By EVSE number: needs of an EV that came before its session.
    waiting_needs: dict[int, Wire] = field(default_factory=dict)
    # By EVSE number: the newest ETP; and those EVSEs whose schedule is to be compared.
    etps: dict[int, EtpOnWire] = field(default_factory=dict)
    compared_next: set[int] = field(default_factory=set)
    # Whether it took, or was not yet given, prices with an ETP.
    takes_prices: bool = True
    # How often its standing profiles were begun to be installed: the last one counts.
    installing: int = 0
    # Until when it reports more often, because a decrease is open.
    reports_fast_until: Instant = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    # Deviations tolerated since they were last recorded, and when that was.
    tolerated: Counter[str] = field(default_factory=Counter)
    tolerated_from: dict[str, Instant] = field(default_factory=dict)
    # Until when what is missing of its transactions is looked into, and whether that
    # is under way.
    looks_until: Instant = 0
    is_looked_into: bool = False
    # EVSE numbers whose last message had values that are none.
    implausible_at: set[int] = field(default_factory=set)
    # Answers by message id, so that a repeated CALL gets the same one: (digest, frame).
    answers: OrderedDict[str, tuple[bytes, bytes]] = field(default_factory=OrderedDict)

    @property
    def standing(self) -> Standing:
        """How its boot is answered."""
        if self.blocked or self.retired:
            return Standing.REJECTED
        return Standing.ACCEPTED if self.evse_ids else Standing.PENDING

    @property
    def capabilities(self) -> Capabilities:
        """What it can do with charging profiles; the weakest where it said nothing."""
        version = self.version or "1.6"
        if self.told is None:
            return Capabilities(version=version)
        return Capabilities(
            version=version,
            unit=cast(RateUnit, self.told.unit),
            max_periods=self.told.max_periods,
            decimals=self.told.decimals,
            max_stack_level=self.told.max_stack_level,
            can_switch_phases=self.told.can_switch_phases,
        )

    def evse_number(self, evse_id: str) -> int:
        """Return how the station numbers one of its EVSEs."""
        return self.evse_ids.index(evse_id) + 1

    def evse_id(self, number: int) -> str | None:
        """Return the EVSE of a number; None for one that was not commissioned."""
        return self.evse_ids[number - 1] if 1 <= number <= len(self.evse_ids) else None

    def wiring(self, evse_id: str) -> EvseWiring:
        """Return what an EVSE is wired to."""
        evse = self.evses[evse_id]
        return EvseWiring(
            number=self.evse_number(evse_id),
            current=evse.current,
            phases=evse.phases,
            nominal_v=evse.voltage_v,
            floor_w=evse.floor_w,
        )

    def take_use(self, event: t.StationUseChanged) -> None:
        """Take in what its operator takes out of use, or puts to use."""
        if event.is_operative:
            self.out_of_use.discard(event.evse_id)
        else:
            self.out_of_use.add(event.evse_id)

    def observe(self, row: Recorded) -> None:
        """Take in a row of the station's or its EVSEs' streams."""
        match row.event:
            case t.StationRegistered() as event:
                self.identity = event.identity
                self.credentials = _credentials(event)
                self.deviations = frozenset(event.deviations)
            case t.StationCredentialChanged() as event:
                self.credentials = _credentials(event)
            case t.StationPasswordOffered() as event if self.credentials:
                offered = (*self.credentials.offered, event.password_digest)
                self.credentials = self.credentials._replace(offered=offered)
            case t.StationPasswordWithdrawn() as event if self.credentials:
                offered = tuple(
                    each
                    for each in self.credentials.offered
                    if each != event.password_digest
                )
                self.credentials = self.credentials._replace(offered=offered)
            case t.StationDeviationsChanged() as event:
                self.deviations = frozenset(event.deviations)
            case t.StationBlocked() as event:
                self.blocked = event.reason
            case t.StationUnblocked():
                self.blocked = ""
            case t.StationRetired() as event:
                self.retired = event.reason
            case t.StationCapabilities() as event:
                self.told = event
            case t.StationEvsesTold() as event:
                self.evses_told = event
            case t.StationDefaultsInstalled() as event:
                self.defaults = event
            case t.StationDefaultsRefused():
                self.defaults = None
            case t.StationUseChanged() as event:
                self.take_use(event)
            case t.StationAvailabilityChanged(is_operative=True) as event:
                self.inoperative.discard(event.evse_id)
            case t.StationAvailabilityChanged() as event:
                self.inoperative.add(event.evse_id)
            case z.StationCommissioned() as event:
                self.zone_id, self.evse_ids = event.zone_id, event.evse_ids
            case z.EvseCommissioned() as event:
                self.evses[event.evse_id] = event
            case z.EvseLimitsChanged() as event if event.evse_id in self.evses:
                self.evses[event.evse_id] = msgspec.structs.replace(
                    self.evses[event.evse_id],
                    max_w=event.max_w,
                    floor_w=event.floor_w,
                    min_w=event.min_w,
                )


def _credentials(
    event: t.StationRegistered | t.StationCredentialChanged,
) -> Credentials:
    return Credentials(
        event.security_profile, event.password_digest, event.certificate_name
    )


class Peers:
    """All registered stations of a log."""

    def __init__(self, log: Log) -> None:
        self.by_id: dict[str, Peer] = {}
        self.by_identity: dict[str, Peer] = {}
        self._of_evse: dict[str, Peer] = {}
        # By zone: the sum of its defaults and its safe envelope, where that is less.
        self.unsafe_defaults: dict[str, tuple[int, int]] = {}
        # By zone: how often its members changed; after the last one it is looked at.
        self.zone_looks: dict[str, int] = {}
        self._log = log
        for claim in log.claims("identity"):
            self._read(claim.owner)

    def find(self, identity: str) -> Peer | None:
        """Return the station of an identity, also one registered this very moment."""
        if identity not in self.by_identity:
            station_id = self._log.owner("identity", identity)
            if station_id is not None:
                self._read(station_id)
        return self.by_identity.get(identity)

    def _read(self, station_id: str) -> None:
        for row in self._log.read_stream(ids.station_stream(station_id)):
            self.observe(row)
        for evse_id in self.by_id[station_id].evse_ids:
            for row in self._log.read_stream(ids.evse_stream(evse_id)):
                self.observe(row)

    def of_evse(self, evse_id: str) -> Peer | None:
        """Return the registered station of an EVSE."""
        return self._of_evse.get(evse_id)

    def observe(self, row: Recorded) -> None:
        """Take in a row of any stream."""
        if row.stream.startswith("station-"):
            station_id = row.stream.removeprefix("station-")
            peer = self.by_id.setdefault(station_id, Peer(station_id))
            peer.observe(row)
            if peer.identity:
                self.by_identity[peer.identity] = peer
            self._of_evse |= dict.fromkeys(peer.evse_ids, peer)
        elif isinstance(row.event, z.EvseCommissioned | z.EvseLimitsChanged):
            peer_of = self._of_evse.get(row.event.evse_id)
            if peer_of is None and isinstance(row.event, z.EvseCommissioned):
                station_id = row.event.station_id
                peer_of = self.by_id.setdefault(station_id, Peer(station_id))
            if peer_of is not None:
                peer_of.observe(row)
