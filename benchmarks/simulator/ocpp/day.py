"""A day under a strategy, with stations that are reached over real sockets."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

from benchmarks.simulator.clock import SeededIds, SimulatedClock
from benchmarks.simulator.conductor import (
    CSMS,
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
from benchmarks.simulator.site import Truth, Visit
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
from domain.use_cases.e4_pre_from_rm import receive_pre
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from domain.use_cases.shared_path import By

_CARD = "rfid"
# Stations are switched on this much after each other.
STAGGER = SECOND // 10


def simulate_wired_day(
    request: DayRequest,
    strategy: str,
    plan: Plan,
    open_system: OpenSystem,
    open_gateway: OpenGateway,
    folder: Path,
    on_progress: Callable[[float], None] = lambda share: None,
    behaviours: Mapping[str, Behaviour] | None = None,
) -> DayOutcome:
    """Drive the product and its stations through the day, over sockets."""
    begun = perf_counter()
    span, order = span_of(request), order_of(request, span_of(request))
    clock, ids = SimulatedClock(span.start_at), SeededIds(request.seed)
    visits = visits_of(request, span.records)
    with open_system(folder, clock, ids) as system:
        passwords = register(system, request, visits)
        commission(system, request, clock.at)
        receive_pre(system, order, By(actor="rm", at=clock.at))
        day = _Day(system, clock, request, passwords, behaviours or {})
        strategist = plan_of(strategy, plan), policy_of(strategy)
        until = span.end_at, min(span.end_at + CLOSING, span.midnight_at)
        simulation = asyncio.run(
            day.run(visits, strategist, open_gateway, until, on_progress)
        )
        return outcome_of(
            request, strategy, simulation, span.records, order, system, begun
        )


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


class _Day:
    """The parties of one day."""

    def __init__(
        self,
        system: System,
        clock: SimulatedClock,
        request: DayRequest,
        passwords: Mapping[str, str],
        behaviours: Mapping[str, Behaviour],
    ) -> None:
        self.conductor = Conductor(system, clock)
        self._system = system
        self._request = request
        self._passwords = passwords
        self._behaviours = behaviours

    async def run(
        self,
        visits: list[Visit],
        strategist: tuple[Plan, Policy],
        open_gateway: OpenGateway,
        until: tuple[Instant, Instant],
        on_progress: Callable[[float], None],
    ) -> WiredSite:
        """Run to the end of the day, then until its sessions have closed."""
        conductor = self.conductor
        end_at, closed_at = until
        start_at = conductor.now()
        truth = Truth(start_at, -(-(end_at - start_at) // MINUTE))
        async with open_gateway(
            self._system, _AsCsms(conductor), conductor.take_readings
        ) as gateway:
            places = self._places(gateway, truth)
            plan, policy = strategist
            site = WiredSite(
                conductor, ZONE_ID, places, plan, truth, end_at, policy=policy
            )
            conductor.conduct(gateway, site)
            for visit in visits:
                site.add(visit)
            site.on_progress = on_progress
            await conductor.run(end_at)
            site.finish()
            await conductor.run(closed_at)
            for place in places.values():
                await conductor.act(place.station.disconnect)
        return site

    def _places(self, gateway: Given, truth: Truth) -> dict[str, Place]:
        """Put the stations on the timeline, one switched on after the other."""

        def open_wire(identity: str, rank: int, version: str) -> ConductedWire:
            password = self._passwords[identity]
            socket = SocketWire(gateway.url, identity, password, version)
            return ConductedWire(self.conductor, rank, socket)

        site = Site(self.conductor, truth.add, self._behaviours, open_wire)
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


class _AsCsms:
    """The conductor's time for the gateway."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def at(self, instant: Instant, do: Callable[[], None]) -> Callable[[], None]:
        """Do something at an instant; what is returned calls it off."""
        return self._conductor.at(instant, CSMS, do)
