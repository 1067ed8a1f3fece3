"""A real day of a site: what is asked, who comes, and what it came to."""

import random
from collections.abc import Sequence
from datetime import date
from time import perf_counter
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from benchmarks.data.sessions import (
    ChargingRecord,
    Sessions,
    day_bounds,
    default_needs,
    separated,
    sessions_of_day,
)
from benchmarks.data.site import Site, evse_id_of_station
from benchmarks.simulator import building
from benchmarks.simulator import car as cars
from benchmarks.simulator.site import Driver, Truth, Visit
from benchmarks.simulator.station import SimulatedEvse
from domain.loop.envelope import Envelope
from domain.loop.zone_loop import ZoneLoop
from domain.model.plan_events import PreReceived
from domain.model.pre import compose
from domain.model.profile import PowerRangeEnvelope
from domain.model.values import MINUTE, SECOND, Current, Instant
from domain.ports import System
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.e4_pre_from_rm import ReceivePre
from domain.use_cases.shared_path import By

ZONE_ID = "site"
OURS = "voltledger"
EQUAL_SHARE = "equal-share"
UNCONTROLLED = "uncontrolled"
STRATEGIES = (OURS, EQUAL_SHARE, UNCONTROLLED)
SERVED_SHARE = 0.99
# Sessions close this long after the last car has left.
CLOSING = 16 * MINUTE
PRE_ID = "day"


class DayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which day, which site, which PRE."""

    sessions: Sessions
    site: Site
    day: date
    capacity_w: int
    tz: ZoneInfo | None = None
    pre: PowerRangeEnvelope | None = None
    flat_pre: bool = False
    seed: int = 0
    safe_upper_w: int = 0


class DriverOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one driver asked, what the car took on the real day, what it got here."""

    label: str
    evse_id: str
    session_id: str
    arrival_at: Instant
    departure_at: Instant
    claimed: bool
    asked_wh: int
    takes_wh: int
    got_wh: int
    served: bool
    cut_off: bool


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Key figures of a day; the names are those of ``--json``."""

    strategy: str
    date: str
    capacity_w: int
    drivers: int
    drivers_servable: int
    drivers_served: int
    drivers_cut_off: int
    energy_requested_wh: int
    energy_needed_wh: int
    energy_delivered_wh: int
    pre_violation_steps: int
    pre_violation_wh: int
    pre_violation_steps_short_notice: int
    aetp_outside_pre: int
    etps_changed: int
    plans: int
    plans_superseded: int
    plan_ms_p50: float
    plan_ms_p99: float
    events: int
    chain_head: str
    wall_s: float


class DayOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A day under one strategy: figures, drivers and series for the report.

    ``power_w`` and ``pre_upper_w`` are means of each UTC minute from ``start_at`` on,
    ``aetp_w`` the AETP at (instant, W), ``etps`` what each EVSE allowed from (EVSE,
    instant, W) on, ``plan_ms`` each plan's solve time, ``pre_worth`` what plans from an
    instant on make of one more Wh of PRE, in thousandths of a Wh asked for.
    """

    figures: DayFigures
    start_at: Instant
    drivers: tuple[DriverOutcome, ...]
    power_w: np.ndarray
    pre_upper_w: np.ndarray
    aetp_w: tuple[tuple[Instant, int], ...]
    etps: tuple[tuple[str, Instant, int], ...]
    plan_ms: np.ndarray
    pre_worth: tuple[tuple[Instant, int], ...]


class Span(NamedTuple):
    """When a day of sessions begins and ends, and who comes."""

    start_at: Instant
    end_at: Instant
    midnight_at: Instant
    records: tuple[ChargingRecord, ...]


def span_of(request: DayRequest) -> Span:
    """Return the local day: to its midnight, or until the last car has left."""
    records = separated(
        sessions_of_day(request.sessions, request.day, request.tz)
    ).records
    start_at, midnight_at = day_bounds(request.sessions, request.day, request.tz)
    last_at = max((r.departure_at for r in records), default=start_at)
    return Span(start_at, min(midnight_at, last_at), midnight_at, records)


def order_of(request: DayRequest, span: Span) -> ReceivePre:
    """Return the PRE of a day as its RM sends it."""
    envelope = envelope_of(request, span.start_at, span.midnight_at)
    return ReceivePre(zone_id=ZONE_ID, pre_id=PRE_ID, envelope=envelope)


class Simulated(Protocol):
    """What a day came to, however its stations were reached."""

    truth: Truth
    drivers: list[Driver]
    loop: ZoneLoop


def outcome_of(
    request: DayRequest,
    strategy: str,
    simulation: Simulated,
    records: tuple[ChargingRecord, ...],
    orders: Sequence[tuple[Instant, ReceivePre]],
    system: System,
    begun: float,
) -> DayOutcome:
    """Return a day's outcome; ``begun`` is when it began, by the process's clock."""
    truth = simulation.truth
    drivers = _drivers(simulation, records)
    received = [(at, order_event(order)) for at, order in orders]
    upper_w = mean_upper_w(truth, received, request)
    short = short_notice(truth, received, simulation.loop.state.reaction)
    figures = _figures(
        request, strategy, simulation, drivers, (upper_w, short), system, begun
    )
    return DayOutcome(
        figures=figures,
        start_at=truth.start_at,
        drivers=drivers,
        power_w=truth.power_w(),
        pre_upper_w=upper_w,
        aetp_w=tuple(truth.aetp_w),
        etps=tuple(truth.etps),
        plan_ms=np.array(simulation.loop.metrics.plan_s) * 1000,
        pre_worth=tuple(truth.pre_worth),
    )


def order_event(order: ReceivePre) -> PreReceived:
    """Return the event that a PRE becomes."""
    return PreReceived(
        zone_id=order.zone_id, pre_id=order.pre_id, envelope=order.envelope
    )


def commission(
    system: System, request: DayRequest, at: Instant, zone_id: str = ZONE_ID
) -> list[SimulatedEvse]:
    """Define the zone and commission the site's stations; return their EVSEs."""
    energy_wh, stay_s = default_needs(request.sessions, at)
    by = By(actor="operator", at=at)
    zone = DefineZone(
        zone_id=zone_id,
        name=zone_id,
        limit_w=request.capacity_w,
        safe_upper_w=request.safe_upper_w,
        default_energy_wh=energy_wh,
        default_stay_s=stay_s,
    )
    define_zone(system, zone, by)
    evses = []
    for station in request.site.stations:
        data = EvseData(
            evse_id=station.evse_id,
            current=Current(station.current),
            phases=station.phases,
            voltage_v=station.voltage_v,
            max_w=station.max_w,
            floor_w=station.floor_w,
        )
        command = CommissionStation(
            station_id=station.station_id, zone_id=zone_id, evses=(data,)
        )
        commission_station(system, command, by)
        evses.append(SimulatedEvse(station.evse_id, station.station_id))
    return evses


def visits_of(request: DayRequest, records: tuple[ChargingRecord, ...]) -> list[Visit]:
    """Return the cars of the day: the real stays with the seed's cars and lags."""
    dice = random.Random(f"voltledger-cars-{request.seed}")
    limits = {station.station_id: station.max_w for station in request.site.stations}
    visits = []
    for r in records:
        slow = dice.random() < cars.SLOW_SHARE
        lag = dice.randint(*cars.LAG_S) * SECOND
        visits.append(
            Visit(
                label=r.session_id,
                evse_id=evse_id_of_station(r.station_id),
                arrival_at=r.arrival_at,
                departure_at=r.departure_at,
                takes_wh=r.delivered_wh,
                stated_wh=r.requested_wh if r.claimed else None,
                stated_departure_at=r.estimated_departure_at,
                max_w=cars.max_power_w(
                    cars.SLOW_W if slow else cars.FULL_W,
                    r.delivered_wh,
                    r.departure_at - r.arrival_at,
                    limits[r.station_id],
                ),
                lag=lag,
            )
        )
    return visits


def envelope_of(
    request: DayRequest, start_at: Instant, end_at: Instant
) -> PowerRangeEnvelope:
    """Return the PRE of a day as asked: given, flat or by the building's formula."""
    if request.pre is not None:
        return request.pre
    if request.flat_pre:
        return building.flat_envelope(request.capacity_w, start_at, end_at)
    zone = request.tz or request.sessions.tz or ZoneInfo("UTC")
    return building.envelope(request.capacity_w, start_at, end_at, zone)


def mean_upper_w(
    truth: Truth,
    received: list[tuple[Instant, PreReceived]],
    request: DayRequest,
) -> np.ndarray:
    """Return the PRE's upper power, the mean of each UTC minute (minutes,) [W]."""
    envelope = Envelope(compose(received, 0, request.capacity_w))
    seconds = truth.start_at + np.arange(truth.minutes * 60) * SECOND
    upper: np.ndarray = envelope.upper_over(seconds).reshape(-1, 60).mean(axis=1)
    return upper


def short_notice(
    truth: Truth, received: list[tuple[Instant, PreReceived]], reaction: Instant
) -> np.ndarray:
    """Return the minutes in which a PRE could not be met in time yet (minutes,) bool.

    They touch the reaction time after the reception of a PRE that was received less
    than a reaction time before its start.
    """
    short = np.zeros(truth.minutes, bool)
    for at, event in received:
        if event.envelope.start_at < at + reaction:
            first = (at - truth.start_at) // MINUTE
            last = (at + reaction - 1 - truth.start_at) // MINUTE
            short[max(first, 0) : last + 1] = True
    return short


def _drivers(
    simulation: Simulated, records: tuple[ChargingRecord, ...]
) -> tuple[DriverOutcome, ...]:
    by_label = {r.session_id: r for r in records}
    outcomes = []
    for driver in simulation.drivers:
        record = by_label[driver.visit.label]
        due_wh = min(record.requested_wh, record.delivered_wh)
        outcomes.append(
            DriverOutcome(
                label=record.session_id,
                evse_id=driver.visit.evse_id,
                session_id=driver.session_id,
                arrival_at=record.arrival_at,
                departure_at=record.departure_at,
                claimed=record.claimed,
                asked_wh=record.requested_wh,
                takes_wh=record.delivered_wh,
                got_wh=round(driver.energy_wh),
                served=driver.energy_wh >= SERVED_SHARE * due_wh,
                cut_off=not driver.left,
            )
        )
    return tuple(outcomes)


def _figures(
    request: DayRequest,
    strategy: str,
    simulation: Simulated,
    drivers: tuple[DriverOutcome, ...],
    minutes: tuple[np.ndarray, np.ndarray],
    system: System,
    begun: float,
) -> DayFigures:
    upper_w, short = minutes
    power_w = simulation.truth.power_w()
    excess_w = np.where(power_w > upper_w + 1.0, power_w - upper_w, 0.0)
    metrics = simulation.loop.metrics
    plan_ms = np.array(metrics.plan_s or [0.0]) * 1000
    last = system.log.last_position()
    head = system.log.hash_at(last)
    served = sum(d.served for d in drivers)
    return DayFigures(
        strategy=strategy,
        date=request.day.isoformat(),
        capacity_w=request.capacity_w,
        drivers=len(drivers),
        drivers_servable=served if strategy == UNCONTROLLED else 0,
        drivers_served=served,
        drivers_cut_off=sum(d.cut_off for d in drivers),
        energy_requested_wh=sum(d.asked_wh for d in drivers),
        energy_needed_wh=sum(d.takes_wh for d in drivers),
        energy_delivered_wh=sum(d.got_wh for d in drivers),
        pre_violation_steps=int((excess_w[~short] > 0).sum()),
        pre_violation_wh=round(float(excess_w[~short].sum()) / 60),
        pre_violation_steps_short_notice=int((excess_w[short] > 0).sum()),
        aetp_outside_pre=metrics.aetp_outside_pre,
        etps_changed=metrics.etps_changed,
        plans=metrics.plans,
        plans_superseded=metrics.superseded,
        plan_ms_p50=round(float(np.percentile(plan_ms, 50)), 3),
        plan_ms_p99=round(float(np.percentile(plan_ms, 99)), 3),
        events=last,
        chain_head=head.hex() if head else "",
        wall_s=round(perf_counter() - begun, 3),
    )
