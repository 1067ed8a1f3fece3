"""A zone's fold with one station, its rows made by hand."""

from typing import Any

import numpy as np

from domain.loop.course import Course
from domain.loop.dispatch import to_send
from domain.loop.slot import Slot
from domain.loop.zone_state import ZoneState
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.profile import (
    Etp,
    PowerProfile,
    PowerRangeEnvelope,
    Range,
    merged,
)
from domain.model.values import SECOND, Current, Event, Instant
from domain.ports import Recorded
from tests.loop.world import FLOOR_W, MAX_W, START, ZONE, evse_id

STATION = "s0"
EVSE = evse_id(0)
SETTLE_S = 30


def at(second: float) -> Instant:
    return START + int(second * SECOND)


class Zone:
    """A zone's fold, with its rows made by hand."""

    def __init__(self, n_evse: int = 1, *, is_registered: bool = True) -> None:
        self.state = ZoneState(ZONE)
        self.now = START
        names = tuple(evse_id(i) for i in range(n_evse))
        self.tell(
            z.ZoneDefined(zone_id=ZONE, name=ZONE, limit_w=90_000, safe_upper_w=0),
            p.PreReceived(
                zone_id=ZONE,
                pre_id="pre",
                envelope=PowerRangeEnvelope(START, (Range(86_400, 0, 30_000),)),
            ),
            z.StationCommissioned(
                station_id=STATION,
                zone_id=ZONE,
                evse_ids=names,
                is_registered=is_registered,
            ),
            *(commissioned(name) for name in names),
            z.ZoneMembersChanged(zone_id=ZONE, evse_ids=names),
        )

    def tell(self, *events: Event) -> None:
        for event in events:
            self.state.apply(row_of(event, self.now, self.state.position + 1))

    def slot(self, i: int = 0) -> Slot:
        return self.state.slots[evse_id(i)]

    def plan(self, *changes: tuple[int, int], i: int = 0) -> None:
        """Give the EV at an EVSE its ETP."""
        slot = self.slot(i)
        assert slot.ev is not None
        profile = PowerProfile(self.now, merged(changes))
        slot.ev.etp = Etp(
            evse_id=slot.evse_id,
            session_id=slot.ev.session_id,
            number=1,
            profile=profile,
        )
        slot.ev.etp_course, slot.is_sent = Course(profile), None

    def send(self) -> list[p.EtpSent]:
        sends = to_send(self.state, self.now)
        self.tell(*sends)
        return sends

    def counted_w(self, i: int = 0) -> int:
        slot = self.slot(i)
        points = np.array([self.now])
        settle = self.state.settle_of(slot)
        return int(slot.delivery.counted_w(points, self.now, settle)[0])


def commissioned(name: str) -> z.EvseCommissioned:
    return z.EvseCommissioned(
        evse_id=name,
        station_id=STATION,
        zone_id=ZONE,
        current=Current.AC,
        phases=1,
        voltage_v=208,
        max_w=MAX_W,
        floor_w=FLOOR_W,
    )


def row_of(event: Event, at: Instant, position: int) -> Recorded:
    return Recorded(
        position=position,
        tenant="main",
        stream="",
        version=0,
        decision_version=0,
        type="",
        schema=1,
        occurred_at=at,
        recorded_at=at,
        command_id="",
        correlation_id="",
        causation=0,
        actor="",
        event=event,
    )


def plugged(zone: Zone, i: int = 0) -> None:
    name = evse_id(i)
    zone.tell(
        z.EvseOccupied(evse_id=name, session_id=f"ev{i}"),
        s.TransferStarted(session_id=f"ev{i}", evse_id=name, register_wh=0),
    )


def connected() -> t.StationConnected:
    return t.StationConnected(station_id=STATION, version="2.0.1", security_profile=1)


def disconnected() -> t.StationDisconnected:
    return t.StationDisconnected(station_id=STATION, reason="gone")


def booted() -> t.StationBooted:
    return t.StationBooted(station_id=STATION, status="Accepted")


def clock() -> t.StationClockMeasured:
    return t.StationClockMeasured(station_id=STATION, offset_ms=0)


def planned(at: Instant) -> p.PlanSuperseded:
    return p.PlanSuperseded(
        zone_id=ZONE, planned_at=at, seen_position=0, problem_digest=b"", reason="test"
    )


def installed(power_w: int) -> t.StationDefaultsInstalled:
    return t.StationDefaultsInstalled(station_id=STATION, default_w=power_w)


def able(**changes: Any) -> t.StationCapabilities:
    told: dict[str, Any] = {"max_periods": 24, **changes}
    return t.StationCapabilities(station_id=STATION, version="2.0.1", **told)


def ready(default_w: int = 0) -> Zone:
    """A station that connected, told what it can do, and has its default."""
    zone = Zone()
    zone.tell(connected(), able(), clock(), installed(default_w))
    plugged(zone)
    return zone


def accepted(zone: Zone, *changes: tuple[int, int]) -> p.EtpSent:
    """Let an ETP be sent and accepted; let it settle."""
    zone.plan(*changes)
    (sent,) = zone.send()
    zone.tell(p.EtpAccepted(evse_id=EVSE, number=sent.number))
    zone.now += 2 * SETTLE_S * SECOND
    return sent
