"""A day under a strategy, with stations that are reached over real sockets."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter

import msgspec

from benchmarks.simulator.clock import SeededIds, SimulatedClock
from benchmarks.simulator.conductor import (
    CSMS,
    SITE,
    STATIONS,
    ConductedWire,
    Conductor,
    Given,
    OpenGateway,
)
from benchmarks.simulator.day import (
    CLOSING,
    ZONE_ID,
    DayOutcome,
    DayRequest,
    commission,
    order_of,
    outcome_of,
    span_of,
    visits_of,
)
from benchmarks.simulator.memory_day import plan_of, policy_of
from benchmarks.simulator.ocpp.behaviour import Behaviour
from benchmarks.simulator.ocpp.evse import VirtualEvse
from benchmarks.simulator.ocpp.fleet import Site, build
from benchmarks.simulator.ocpp.site import Place, WiredSite, token_of
from benchmarks.simulator.ocpp.socket_wire import SocketWire
from benchmarks.simulator.ocpp.station import Station
from benchmarks.simulator.site import LOST_ANSWERS, Truth, Visit
from benchmarks.system_factory import OpenSystem
from domain.loop.zone_loop import Plan, Policy
from domain.model.values import MINUTE, SECOND, Instant
from domain.ports import System
from domain.use_cases.clause_7_3_stations import (
    RegisterStation,
    digest_of,
    draw_password,
    register_station,
)
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from domain.use_cases.shared_path import By

_CARD = "rfid"
# Stations are switched on this much after each other.
STAGGER = SECOND // 10


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What goes otherwise on a day: stations, PREs at short notice, a late end."""

    behaviours: Mapping[str, Behaviour] = {}
    orders: tuple[tuple[Instant, ReceivePre], ...] = ()
    closed_at: Instant | None = None


def simulate_wired_day(
    request: DayRequest,
    strategy: str,
    plan: Plan,
    open_system: OpenSystem,
    open_gateway: OpenGateway,
    folder: Path,
    on_progress: Callable[[float], None] = lambda share: None,
) -> DayOutcome:
    """Drive the product and its stations through the day, over sockets."""
    begun = perf_counter()
    span = span_of(request)
    clock, ids = SimulatedClock(span.start_at), SeededIds(request.seed)
    with open_system(folder, clock, ids) as system:
        losing = Behaviour(lost_answers=LOST_ANSWERS)
        behaviours = {data.station_id: losing for data in request.site.stations}
        day = WiredDay(system, clock, request, Trouble(behaviours=behaviours))
        strategist = plan_of(strategy, plan), policy_of(strategy)
        site = asyncio.run(day.run(strategist, open_gateway, on_progress))
        orders = [(span.start_at, order_of(request, span))]
        return outcome_of(request, strategy, site, span.records, orders, system, begun)


def register(
    system: System, request: DayRequest, visits: list[Visit]
) -> dict[str, str]:
    """Let the stations connect and the drivers charge; return the passwords."""
    now = system.clock.now()
    operator, cso = By(actor="operator", at=now), By(actor="cso", at=now)
    passwords = {}
    for data in request.site.stations:
        password = draw_password(system.ids)
        passwords[data.station_id] = password
        command = RegisterStation(
            station_id=data.station_id,
            identity=data.station_id,
            security_profile=1,
        )
        digest = digest_of(password)
        register_station(system, command, operator, password_digest=digest)
    for number, visit in enumerate(visits, 1):
        contract = RegisterContract(
            contract_id=f"contract-{number}",
            subject_id=system.vault.subject_of(_CARD, token_of(visit)),
            valid_from_at=now,
        )
        register_contract(system, contract, cso)
    return passwords


class WiredDay:
    """The parties of one day; faithful unless there is trouble."""

    def __init__(
        self,
        system: System,
        clock: SimulatedClock,
        request: DayRequest,
        trouble: Trouble | None = None,
    ) -> None:
        """Commission the site and register stations and drivers."""
        self._system = system
        self._request = request
        self._trouble = trouble or Trouble()
        self._span = span_of(request)
        self._visits = visits_of(request, self._span.records)
        self._passwords = register(system, request, self._visits)
        commission(system, request, clock.at)
        order = order_of(request, self._span)
        receive_pre(system, order, By(actor="rm", at=clock.at))
        self.conductor = Conductor(system, clock)

    async def run(
        self,
        strategist: tuple[Plan, Policy],
        open_gateway: OpenGateway,
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> WiredSite:
        """Run to the end of the day, then until its sessions have closed."""
        conductor, span = self.conductor, self._span
        minutes = -(-(span.end_at - span.start_at) // MINUTE)
        truth = Truth(span.start_at, minutes)
        async with open_gateway(
            self._system, _AsCsms(conductor), conductor.take_readings
        ) as gateway:
            places = self._places(gateway, truth)
            plan, policy = strategist
            site = WiredSite(
                conductor, ZONE_ID, places, plan, truth, span.end_at, policy=policy
            )
            conductor.conduct(gateway, site)
            for visit in self._visits:
                site.add(visit)
            for at, order in self._trouble.orders:
                conductor.at(at, SITE, partial(self._receive, order))
            site.on_progress = on_progress
            await conductor.run(span.end_at)
            site.finish()
            await conductor.run(self._closed_at())
            for place in places.values():
                await conductor.act(place.station.disconnect)
        return site

    def _closed_at(self) -> Instant:
        span = self._span
        usual = min(span.end_at + CLOSING, span.midnight_at)
        return usual if self._trouble.closed_at is None else self._trouble.closed_at

    def _receive(self, order: ReceivePre) -> None:
        receive_pre(self._system, order, By(actor="rm", at=self.conductor.now()))

    def _places(self, gateway: Given, truth: Truth) -> dict[str, Place]:
        """Put the stations on the timeline, one switched on after the other."""

        def open_wire(identity: str, rank: int, version: str) -> ConductedWire:
            password = self._passwords[identity]
            socket = SocketWire(gateway.url, identity, password, version)
            return ConductedWire(self.conductor, rank, socket)

        behaviours = self._trouble.behaviours
        site = Site(self.conductor, truth.add, behaviours, open_wire)
        places = {}
        for index, data in enumerate(self._request.site.stations):
            station = build(site, data, index, STATIONS + index)

            def allowed(
                evse: VirtualEvse, at: Instant, power_w: float, name: str = data.evse_id
            ) -> None:
                truth.etps.append((name, at, round(power_w)))

            station.on_allow = allowed
            self._schedule(station)
            places[data.evse_id] = Place(station, station.evses[0])
        return places

    def _schedule(self, station: Station) -> None:
        at, rank = self.conductor.at, station.rank
        at(self.conductor.now() + rank * STAGGER, rank, station.switch_on)
        for from_at, until_at in station.behaviour.outages:
            at(from_at, rank, station.lose_connection)
            at(until_at, rank, station.find_connection_again)
        for from_at, until_at in station.behaviour.reboots:
            at(from_at, rank, station.switch_off)
            at(until_at, rank, station.switch_on)
        for from_at, until_at in station.behaviour.hears_nothing:
            at(from_at, rank, station.stop_listening)
            at(until_at, rank, station.listen_again)


class _AsCsms:
    """The conductor's time for the gateway."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def at(self, instant: Instant, do: Callable[[], None]) -> Callable[[], None]:
        """Do something at an instant; what is returned calls it off."""
        return self._conductor.at(instant, CSMS, do)
