"""One charging site zone on simulated time, driven through the real product.

The loop sees only what a CSMS would see: plugs, stated needs, readings, answers. Cars,
lags and lost answers are this module's. Between two instants every power is constant.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import numpy as np

from benchmarks.simulator import car as cars
from benchmarks.simulator.station import SimulatedEvse
from benchmarks.simulator.timeline import Timeline
from domain.loop.observer import Reading
from domain.loop.planning import Planning
from domain.loop.readings_row import readings_row
from domain.loop.router import restore, state_of
from domain.loop.zone_loop import Plan, Policy, ZoneLoop
from domain.model import ids
from domain.model import session_events as s
from domain.model.plan_events import EtpAccepted, EtpSent
from domain.model.values import MINUTE, SECOND, Instant
from domain.ports import Append, Batch, Fence, Recorded, System
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    add_transaction,
    credential_context,
)
from domain.use_cases.e1_smart_charging import (
    PlugEv,
    StateNeeds,
    UnplugEv,
    plug_ev,
    state_needs,
    unplug_ev,
)
from domain.use_cases.shared_path import By
from optimizer.result import Result

PLANNING_TIME = SECOND
LOST_ANSWERS = 0.01
READING_EVERY = 10 * SECOND
# One-way times on the wire between CSMS and station [ms].
WIRE_MS = (50, 800)


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One car's stay as the simulator knows it; the product is not told the truth."""

    label: str
    evse_id: str
    arrival_at: Instant
    departure_at: Instant
    takes_wh: int
    stated_wh: int | None = None
    stated_departure_at: Instant = 0
    max_w: float = cars.FULL_W
    lag: Instant = 10 * SECOND


@dataclass
class Driver:
    """What a visit came to."""

    visit: Visit
    session_id: str = ""
    energy_wh: float = 0.0
    left: bool = False


@dataclass
class Truth:
    """What really happened, by the simulator's own meters."""

    start_at: Instant
    minutes: int
    energy_wh: np.ndarray = field(init=False)
    etps: list[tuple[str, Instant, int]] = field(default_factory=list)
    aetp_w: list[tuple[Instant, int]] = field(default_factory=list)
    pre_worth: list[tuple[Instant, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.energy_wh = np.zeros(self.minutes + 1)

    def power_w(self) -> np.ndarray:
        """Return the mean power of each UTC minute (minutes,) [W]."""
        return self.energy_wh[: self.minutes] * 60

    def add(self, at: Instant, energy_wh: float) -> None:
        """Count energy taken in the minute of ``at``."""
        minute = min((at - self.start_at) // MINUTE, self.minutes)
        self.energy_wh[minute] += energy_wh


class SiteSimulation:
    """A zone's stations, cars and loop on a timeline."""

    def __init__(
        self,
        system: System,
        timeline: Timeline,
        zone_id: str,
        evses: Sequence[SimulatedEvse],
        plan: Plan,
        *,
        seed: int = 0,
        policy: Policy | None = None,
        reading_every: Instant = READING_EVERY,
        lost_answers: float = LOST_ANSWERS,
    ) -> None:
        """Carry on from the zone as the ledger has it at the clock's instant."""
        self.system = system
        self.timeline = timeline
        self.clock = timeline.clock
        self.zone_id = zone_id
        self.evses = {evse.evse_id: evse for evse in evses}
        self._plugged: dict[str, SimulatedEvse] = {}
        self.reading_every = reading_every
        self.lost_answers = lost_answers
        self.random = random.Random(f"voltledger-{zone_id}-{seed}")
        now = self.clock.at
        self.truth = Truth(now, -(-(timeline.end_at - now) // MINUTE))
        self.drivers: list[Driver] = []
        self.on_progress: Callable[[float], None] = lambda share: None
        self._advanced_to = now
        self._with_car: list[SimulatedEvse] = []
        self._woken_for: Instant = -1
        upto, rows = restore(system.log, zone_id, now)
        state = state_of(zone_id, rows, upto)
        fence = Fence("zone-epoch", zone_id, system.log.raise_epoch(zone_id))
        self.loop = ZoneLoop(system, state, plan, fence, policy)
        timeline.join(self)
        self.at(now + -now % reading_every, self._tick)

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        """Do something at an instant; what is due at once is done in this order."""
        self.timeline.at(instant, self, action)

    def observe(self, row: Recorded) -> None:
        """Hand the loop a row of the ledger."""
        if row.position > self.loop.state.position:
            self.loop.observe(row)

    def add(self, visit: Visit) -> None:
        """Let a car come and go; departures of an instant go before its arrivals."""
        driver = Driver(visit)
        self.drivers.append(driver)
        self.at(visit.departure_at, lambda: self._leave(driver))
        self.at(visit.arrival_at, lambda: self._arrive(driver))

    def finish(self) -> None:
        """Count what the cars that are still there have taken."""
        self.advance(self.clock.at)
        for driver in self.drivers:
            if not driver.left and (car := self.evses[driver.visit.evse_id].car):
                driver.energy_wh = car.energy_wh

    def advance(self, instant: Instant) -> None:
        """Let every car draw up to an instant, minute by minute."""
        while self._advanced_to < instant:
            at = self._advanced_to
            until = min(instant, at - at % MINUTE + MINUTE)
            for evse in self._with_car:
                if evse.car is not None and evse.car.power_w > 0:
                    taken = evse.car.advance(until - at)
                    evse.register_wh += taken
                    self.truth.add(at, taken)
            self._advanced_to = until

    def drive(self, now: Instant) -> None:
        """Let the loop do all it has to do at this instant."""
        planning = self.loop.start(now)
        if planning is not None and (result := self.loop.solve(planning)) is not None:
            self.at(now + PLANNING_TIME, lambda: self._finish(planning, result))
        for slot, sent in self.loop.deliver(now):
            self._send(slot.evse_id, sent)
        self.timeline.catch_up()
        if (due_at := self.loop.wake_at(now)) is not None:
            due_at = max(due_at, now + 1)
            if not now < self._woken_for <= due_at:
                self._woken_for = due_at
                self.at(due_at, lambda: None)

    def _finish(self, planning: Planning, result: Result) -> None:
        self.timeline.catch_up()  # what came meanwhile may make the plan unsafe
        if self.loop.planning is planning:
            worth = round(float(result.pre_service_price[0]) * 1_000)
            self.truth.pre_worth.append((self.clock.at, worth))
            self.loop.finish(result, self.clock.at)
            self.timeline.catch_up()

    def _wire(self) -> Instant:
        return self.random.randint(*WIRE_MS) * 1000

    def _send(self, evse_id: str, sent: EtpSent) -> None:
        """Carry an ETP to its station and the answer back, unless it is lost."""
        there = self.clock.at + self._wire()
        back = there + self._wire()
        lost = self.random.random() < self.lost_answers
        evse = self.evses[evse_id]
        session = evse.session
        self.at(there, lambda: self._store(evse, session, sent))
        if not lost:
            self.at(back, lambda: self._accepted(evse, session, sent))

    def _store(self, evse: SimulatedEvse, session: int, sent: EtpSent) -> None:
        if evse.session != session or evse.car is None:
            return
        car = evse.car
        for at, power_w in evse.store(sent.number, sent.profile, self.clock.at):
            self.at(at, partial(self._allow, evse, car, sent.number, power_w))

    def _allow(
        self, evse: SimulatedEvse, car: cars.Car, number: int, power_w: int
    ) -> None:
        """Let the station allow another power; the car follows after its lag."""
        if evse.car is not car or evse.number != number:
            return
        self.truth.etps.append((evse.evse_id, self.clock.at, power_w))

        def follow() -> None:
            car.allowed_w = power_w
            car.settle()

        self.at(self.clock.at + car.lag, follow)

    def _accepted(self, evse: SimulatedEvse, session: int, sent: EtpSent) -> None:
        if evse.session != session or evse.car is None:
            return
        event = EtpAccepted(evse_id=evse.evse_id, number=sent.number)
        stream = ids.delivery_stream(evse.station_id, self.clock.at)
        append = Append(stream, (event,), self.clock.at)
        self.system.log.append(Batch(actor=evse.station_id, appends=(append,)))

    def _arrive(self, driver: Driver) -> None:
        visit, now = driver.visit, self.clock.at
        evse = self.evses[visit.evse_id]
        assert evse.car is None, f"{visit.evse_id} is taken at {now}"
        by = By(actor=evse.station_id, at=now)
        self._authorize(driver, by)
        evse.session += 1
        evse.car = cars.Car(
            visit.max_w, visit.lag, visit.takes_wh, self._floor_w(visit.evse_id)
        )
        self._find_cars()
        self._plugged[evse.evse_id] = evse
        plug_ev(
            self.system,
            PlugEv(evse_id=visit.evse_id, register_wh=int(evse.register_wh)),
            by,
        )
        driver.session_id = self.system.log.owner("occupant", visit.evse_id) or ""
        if visit.stated_wh is not None:
            needs = StateNeeds(
                session_id=driver.session_id,
                departure_at=visit.stated_departure_at,
                energy_target_wh=visit.stated_wh,
            )
            state_needs(self.system, needs, By(actor="ev-user", at=now))

    def _find_cars(self) -> None:
        # In the order of the EVSEs, in which energies add up.
        self._with_car = [e for e in self.evses.values() if e.car is not None]

    def _floor_w(self, evse_id: str) -> float:
        return self.loop.state.slots[evse_id].floor_w

    def _authorize(self, driver: Driver, by: By) -> None:
        """Present a token; the operator's own back office accepts it."""
        visit = driver.visit
        token = f"token-{visit.label}"
        subject_id = self.system.vault.subject_of("token", token)
        context = credential_context(visit.evse_id)
        credential = self.system.vault.seal(subject_id, context, token.encode())
        requested = s.AuthorizationRequested(
            session_id="",
            evse_id=visit.evse_id,
            subject_id=subject_id,
            credential=credential,
        )
        add_transaction(self.system, AddTransaction(transaction=requested), by)
        session_id = self.system.log.owner("waiting", visit.evse_id) or ""
        accepted = s.AuthorizationAccepted(session_id="", by="cso")
        add_transaction(
            self.system,
            AddTransaction(transaction=accepted, session_id=session_id),
            By(actor="cso", at=by.at),
        )

    def _leave(self, driver: Driver) -> None:
        evse = self.evses[driver.visit.evse_id]
        assert evse.car is not None, f"nobody is at {driver.visit.evse_id}"
        driver.energy_wh, driver.left = evse.car.energy_wh, True
        evse.car = None
        self._find_cars()
        evse.session += 1
        self.truth.etps.append((evse.evse_id, self.clock.at, 0))
        energy_wh = int(evse.register_wh) - self._begun_wh(evse.evse_id)
        unplug_ev(
            self.system,
            UnplugEv(evse_id=evse.evse_id, energy_wh=energy_wh),
            By(actor=evse.station_id, at=self.clock.at),
        )

    def _begun_wh(self, evse_id: str) -> int:
        ev = self.loop.state.slots[evse_id].ev
        return ev.register_wh if ev is not None else 0

    def _tick(self) -> None:
        """Read every meter with a car."""
        now = self.clock.at
        readings = []
        for evse in self._with_car:
            if evse.car is not None:
                evse.car.settle()
                power_w = round(evse.car.power_w)
                readings.append(
                    Reading(evse.evse_id, now, power_w, int(evse.register_wh))
                )
        if readings:
            self._sample(now, readings)
            self.timeline.catch_up()
            self.loop.take_readings(now, readings)
        if now % MINUTE == 0:
            done = now - self.truth.start_at
            self.on_progress(done / (self.timeline.end_at - self.truth.start_at))
            self.truth.aetp_w.append((now, self._aetp_w(now)))
        self.at(now + self.reading_every, self._tick)

    def _aetp_w(self, now: Instant) -> int:
        return sum(
            slot.ev.etp.profile.power_w(now)
            for slot in self.loop.state.counting()
            if slot.ev is not None and slot.ev.etp is not None
        )

    def _sample(self, now: Instant, readings: Sequence[Reading]) -> None:
        event = readings_row(self.zone_id, readings)
        self.system.samples.append(f"samples-{self.zone_id}", event, now)
