"""A small site in a real ledger: one zone, three EVSEs, a day with everything in it."""

import itertools
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from domain.model import ids
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.profile import Etp, PowerProfile, PowerRangeEnvelope, Range
from domain.model.values import HOUR, MINUTE, Current, Event, Quality
from domain.ports import Append, Batch, Claim
from domain.store.ledger import Ledger
from domain.store.vault import Vault

DAWN = 1_572_307_200_000_000  # 2019-10-29T00:00Z
ZONE = "garage"
EVSES = ("US*CAL*E1", "US*CAL*E2", "US*CAL*E3")


class Told(NamedTuple):
    """An event, the stream it goes into, and when it happened."""

    stream: str
    at: int
    event: Event


class DrawnIds:
    """Ids and random bytes that are the same in every run."""

    def __init__(self, seed: str = "small site") -> None:
        self._seed = seed
        # Threads may draw at the same time.
        self._counts = itertools.count(1)

    def random(self, n: int) -> bytes:
        return sha256(f"{self._seed}/{next(self._counts)}".encode()).digest()[:n]

    def new_id(self) -> str:
        return self.random(16).hex()


class SetClock:
    """A clock that shows what it was set to."""

    def __init__(self, at: int = DAWN) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


class Site:
    """A ledger and a vault in a folder, and a pen to write into them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.clock = SetClock()
        self.log = Ledger(
            folder / "ledger.sqlite", clock=self.clock, ids=DrawnIds(), log_id="node-1"
        )
        self.vault = Vault(
            folder / "vault.sqlite", master_key=bytes(32), ids=DrawnIds("vault")
        )

    def tell(self, told: Iterable[Told]) -> int:
        """Record events in the order given; return the last position."""
        for stream, at, event in told:
            self.clock.at = max(self.clock.at, at)
            claims: tuple[Claim, ...] = ()
            if isinstance(event, z.StationCommissioned):
                claims = (Claim("station", event.station_id, event.zone_id),)
            append = Append(stream, (event,), at)
            self.log.append(Batch(appends=(append,), claims=claims))
        self.log.flush()
        return self.log.last_position()

    def close(self) -> None:
        self.vault.close()
        self.log.close()


def commissioned() -> list[Told]:
    """Return how the zone and its EVSEs came to be."""
    told = [
        Told(
            ids.zone_stream(ZONE),
            DAWN,
            z.ZoneDefined(
                zone_id=ZONE, name="Garage", limit_w=30_000, safe_upper_w=6_000
            ),
        ),
        Told(
            ids.zone_stream(ZONE),
            DAWN,
            z.ZoneMembersChanged(zone_id=ZONE, evse_ids=EVSES),
        ),
        Told(
            ids.station_stream("s1"),
            DAWN,
            z.StationCommissioned(station_id="s1", zone_id=ZONE, evse_ids=EVSES),
        ),
    ]
    return told + [
        Told(
            ids.evse_stream(evse_id),
            DAWN,
            z.EvseCommissioned(
                evse_id=evse_id,
                station_id="s1",
                zone_id=ZONE,
                current=Current.AC,
                phases=1,
                voltage_v=208,
                max_w=6_656,
                floor_w=1_248,
            ),
        )
        for evse_id in EVSES
    ]


def pre(pre_id: str, start_at: int, *upper_w: int) -> p.PreReceived:
    """Return a PRE of one-hour ranges."""
    ranges = tuple(Range(3_600, 0, upper) for upper in upper_w)
    return p.PreReceived(
        zone_id=ZONE, pre_id=pre_id, envelope=PowerRangeEnvelope(start_at, ranges)
    )


def pres() -> list[Told]:
    """Return a PRE, one over its end, one that is revoked, and a fallback."""
    stream = ids.pre_stream(ZONE)
    noon = DAWN + 12 * HOUR
    return [
        Told(stream, DAWN + MINUTE, pre("p1", DAWN, *[20_000] * 12)),
        Told(stream, DAWN + HOUR, pre("p2", DAWN + 10 * HOUR, 15_000, 10_000)),
        Told(stream, DAWN + 2 * HOUR, pre("p3", DAWN + 9 * HOUR, 1_000)),
        Told(stream, DAWN + 3 * HOUR, p.PreRevoked(zone_id=ZONE, pre_id="p3")),
        Told(stream, noon, p.PreFallbackBegan(zone_id=ZONE)),
    ]


def etp(evse_id: str, session_id: str, number: int, at: int, power_w: int) -> Etp:
    profile = PowerProfile(at, ((0, power_w), (3_600, 0)))
    return Etp(evse_id=evse_id, session_id=session_id, number=number, profile=profile)


def plan(at: int, aetp_w: int, *etps: Etp) -> Told:
    made = p.PlanMade(
        zone_id=ZONE,
        planned_at=at,
        seen_position=1,
        trigger="session.opened",
        status="optimal",
        problem_digest=bytes(range(32)),
        etps_changed=etps,
        aetp=PowerProfile(at, ((0, aetp_w), (3_600, 0))),
    )
    return Told(ids.plan_stream(ZONE, at), at, made)


def charged(
    session_id: str,
    evse_id: str,
    from_at: int,
    *,
    target_wh: int,
    energy_wh: int,
    source: str = "user",
) -> list[Told]:
    """Return a whole session: plugged, charged, left, closed."""
    until_at = from_at + 2 * HOUR
    stream, at_evse = ids.session_stream(session_id), ids.evse_stream(evse_id)
    in_session: list[tuple[int, Event]] = [
        (from_at, s.SessionOpened(session_id=session_id, party="station")),
        (
            from_at,
            s.EvseBound(
                session_id=session_id, evse_id=evse_id, station_id="s1", zone_id=ZONE
            ),
        ),
        (
            from_at + 1,
            s.NeedsStated(
                session_id=session_id,
                departure_at=until_at,
                energy_target_wh=target_wh,
                source=source,
            ),
        ),
        (from_at + MINUTE, s.TransferStarted(session_id=session_id, evse_id=evse_id)),
        (from_at + HOUR, observed(session_id, evse_id, energy_wh // 2, 3_000)),
        (
            from_at + HOUR + MINUTE,
            s.TransferIntervalMetered(
                session_id=session_id,
                evse_id=evse_id,
                from_at=from_at,
                energy_wh=energy_wh // 2,
                total_wh=energy_wh // 2,
            ),
        ),
        (
            until_at,
            s.TransferEnded(session_id=session_id, energy_wh=energy_wh, reason="left"),
        ),
        (until_at + 1, s.EvseReleased(session_id=session_id, evse_id=evse_id)),
        (
            until_at + 15 * MINUTE,
            s.SessionClosed(session_id=session_id, reason="released"),
        ),
    ]
    told = [Told(stream, at, event) for at, event in in_session]
    occupied = z.EvseOccupied(evse_id=evse_id, session_id=session_id)
    vacated = z.EvseVacated(evse_id=evse_id, session_id=session_id)
    told.insert(2, Told(at_evse, from_at, occupied))
    told.insert(-1, Told(at_evse, until_at + 1, vacated))
    return told


def observed(
    session_id: str,
    evse_id: str,
    energy_wh: int,
    power_w: int,
    quality: Quality = Quality.GOOD,
) -> s.TransferObserved:
    return s.TransferObserved(
        session_id=session_id,
        evse_id=evse_id,
        energy_wh=energy_wh,
        power_w=power_w,
        quality=quality,
    )


def delivered(at: int) -> list[Told]:
    """Return ETP 1 of an EVSE accepted and confirmed, 2 timed out, 3 only planned."""
    evse_id = EVSES[0]
    stream = ids.delivery_stream("s1", at)
    two = PowerProfile(at + HOUR, ((0, 2_000),))
    sent = p.EtpSent(
        evse_id=evse_id, number=1, profile=PowerProfile(at, ((0, 6_000), (3_600, 0)))
    )
    return [
        plan(at, 6_000, etp(evse_id, "a", 1, at, 6_000)),
        Told(stream, at + 1, sent),
        Told(stream, at + 2, p.EtpAccepted(evse_id=evse_id, number=1)),
        Told(stream, at + 30, p.EtpConfirmed(evse_id=evse_id, number=1)),
        plan(at + HOUR, 40_000, etp(evse_id, "a", 2, at + HOUR, 2_000)),
        Told(stream, at + HOUR + 1, p.EtpSent(evse_id=evse_id, number=2, profile=two)),
        Told(stream, at + HOUR + 9, p.EtpTimedOut(evse_id=evse_id, number=2)),
        plan(at + HOUR + MINUTE, 3_000, etp(evse_id, "a", 3, at + HOUR, 3_000)),
    ]


def superseded(at: int) -> Told:
    event = p.PlanSuperseded(
        zone_id=ZONE,
        planned_at=at,
        seen_position=2,
        problem_digest=bytes(32),
        reason="PRE shrank",
    )
    return Told(ids.plan_stream(ZONE, at), at, event)


def merged(site: Site, at: int) -> list[Told]:
    """Return a CSO's session with a sealed token, merged into the plugged one."""
    subject = site.vault.subject_of("token", "04AABBCCDD")
    stream = ids.session_stream("cso-1")
    credential = site.vault.seal(
        subject, f"{stream}/authorization.requested", b"04AABBCCDD"
    )
    events: list[Event] = [
        s.SessionOpened(session_id="cso-1", party="cso"),
        s.ReferenceBound(
            session_id="cso-1", party="cso", kind="authorization", reference="ref-9"
        ),
        s.AuthorizationRequested(
            session_id="cso-1",
            evse_id=EVSES[1],
            subject_id=subject,
            credential=credential,
        ),
        s.AuthorizationAccepted(session_id="cso-1", by="cso"),
        s.ReservationMade(
            session_id="cso-1", from_at=at, until_at=at + HOUR, evse_id=EVSES[1]
        ),
        s.ParkingStarted(session_id="cso-1", place="P7"),
        s.OtherStarted(session_id="cso-1", service="valet"),
        s.MergedInto(session_id="cso-1", into_session_id="b"),
    ]
    return [Told(stream, at + i, event) for i, event in enumerate(events)]


def odd_facts(at: int) -> list[Told]:
    """Return facts that came late, twice, or cannot be."""
    stream = ids.session_stream("c")
    evse_id = EVSES[2]
    kept = s.FactKept(
        session_id="c",
        evse_id=evse_id,
        what="register_wh",
        value=-5,
        rule="registers never run backwards",
        quality=Quality.IMPLAUSIBLE,
    )
    late = observed("c", evse_id, 900, 2_000, Quality.LATE)
    wrong = observed("c", evse_id, 9_000_000, 1, Quality.IMPLAUSIBLE)
    last = observed("c", evse_id, 1_500, 2_500)
    return [
        Told(stream, at + 3 * MINUTE, last),
        Told(stream, at + 2 * MINUTE, late),
        Told(stream, at + 4 * MINUTE, wrong),
        Told(stream, at + 5 * MINUTE, kept),
    ]


def day(site: Site) -> list[Told]:
    """Return the whole day, in the order in which it is recorded."""
    morning = DAWN + 8 * HOUR
    a = charged("a", EVSES[0], morning, target_wh=6_000, energy_wh=6_000)
    b = charged(
        "b", EVSES[1], morning, target_wh=5_000, energy_wh=4_000, source="default"
    )
    c = charged("c", EVSES[2], morning + HOUR, target_wh=9_000, energy_wh=1_000)[:5]
    blocked = z.EvseBlocked(evse_id=EVSES[1], reason="broken cable")
    return [
        *commissioned(),
        *pres(),
        *a[:5],
        *merged(site, morning - MINUTE),
        *b[:4],
        *delivered(morning),
        superseded(morning + HOUR),
        *c,
        *odd_facts(morning + HOUR + 2 * MINUTE),
        *b[4:],
        *a[5:],
        Told(ids.evse_stream(EVSES[1]), DAWN + 20 * HOUR, blocked),
    ]
