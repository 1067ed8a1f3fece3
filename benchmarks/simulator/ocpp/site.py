"""One zone whose stations are on the wire: its loop, its drivers and the truth.

The CSMS hears of a car by what its station says; only the driver's wish comes by the
app, once the CSMS knows that the car is there.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.simulator import car as cars
from benchmarks.simulator.conductor import CSMS, SITE, Conductor
from benchmarks.simulator.ocpp.evse import VirtualEvse
from benchmarks.simulator.ocpp.station import Station
from benchmarks.simulator.site import PLANNING_TIME, Driver, Truth, Visit
from domain.loop.observer import Reading
from domain.loop.planning import Planning
from domain.loop.router import Router, restore, state_of
from domain.loop.zone_loop import Plan, Policy, ZoneLoop
from domain.model.site_events import EvseOccupied
from domain.model.values import MINUTE, SECOND, Instant
from domain.ports import Fence, Recorded
from domain.use_cases.e1_smart_charging import StateNeeds, state_needs
from domain.use_cases.shared_path import By
from optimizer.result import Result

# A car's power is constant for so long, whenever its meter is read.
CAR_STEP = 10 * SECOND


@dataclass(frozen=True, slots=True)
class Place:
    """Where a car can be plugged in."""

    station: Station
    evse: VirtualEvse


def token_of(visit: Visit) -> str:
    """Return what a driver shows: the UID of a card, seven bytes."""
    return hashlib.blake2b(visit.label.encode(), digest_size=7).hexdigest().upper()


class WiredSite:
    """A zone's loop, drivers and cars, conducted."""

    def __init__(
        self,
        conductor: Conductor,
        zone_id: str,
        places: dict[str, Place],
        plan: Plan,
        truth: Truth,
        end_at: Instant,
        *,
        policy: Policy | None = None,
    ) -> None:
        """Carry on from the zone as the ledger has it."""
        self.conductor = conductor
        self.zone_id = zone_id
        self.places = places
        self.truth = truth
        self.drivers: list[Driver] = []
        self.on_progress: Callable[[float], None] = lambda share: None
        self._end_at = end_at
        self._waiting: dict[str, Driver] = {}
        self._router = Router()
        self._is_touched = True
        self._woken_for: Instant = -1
        system, now = conductor.system, conductor.now()
        upto, rows = restore(system.log, zone_id, now)
        for row in rows:
            self._router.zone_of(row)
        state = state_of(zone_id, rows, upto)
        fence = Fence("zone-epoch", zone_id, system.log.raise_epoch(zone_id))
        self.loop = ZoneLoop(system, state, plan, fence, policy)
        conductor.at(now - now % CAR_STEP + CAR_STEP, SITE, self._tick)

    # -- drivers

    def add(self, visit: Visit) -> None:
        """Let a car come and go; departures of an instant go before its arrivals."""
        driver = Driver(visit)
        self.drivers.append(driver)
        leave, arrive = partial(self._leave, driver), partial(self._arrive, driver)
        self.conductor.at(visit.departure_at, SITE, leave)
        self.conductor.at(visit.arrival_at, SITE, arrive)

    def _arrive(self, driver: Driver) -> None:
        visit = driver.visit
        place = self.places[visit.evse_id]
        assert place.evse.car is None, f"{visit.evse_id} is taken"
        car = cars.Car(visit.max_w, visit.lag, visit.takes_wh, place.evse.floor_w)
        self._waiting[visit.evse_id] = driver
        place.station.arrive(place.evse, car, token_of(visit))

    def _leave(self, driver: Driver) -> None:
        visit = driver.visit
        place = self.places[visit.evse_id]
        self._waiting.pop(visit.evse_id, None)
        driver.energy_wh = place.station.leave(place.evse).energy_wh
        driver.left = True

    def _state_needs(self, driver: Driver) -> None:
        visit = driver.visit
        if driver.left or visit.stated_wh is None:
            return
        needs = StateNeeds(
            session_id=driver.session_id,
            departure_at=visit.stated_departure_at,
            energy_target_wh=visit.stated_wh,
        )
        by = By(actor="ev-user", at=self.conductor.now())
        state_needs(self.conductor.system, needs, by)

    def finish(self) -> None:
        """Count what the cars that are still there have taken."""
        now = self.conductor.now()
        for place in self.places.values():
            place.evse.advance(now)
        for driver in self.drivers:
            car = self.places[driver.visit.evse_id].evse.car
            if not driver.left and car is not None:
                driver.energy_wh = car.energy_wh

    # -- the loop

    def observe(self, row: Recorded) -> None:
        """Hand the loop a row of the ledger; let a driver see that the car is known."""
        zone_id = self._router.zone_of(row)
        if zone_id != self.zone_id:
            return
        self._is_touched = True
        if row.position > self.loop.state.position:
            self.loop.observe(row)
        event = row.event
        if isinstance(event, EvseOccupied):
            driver = self._waiting.pop(event.evse_id, None)
            if driver is not None:
                driver.session_id = event.session_id
                state = partial(self._state_needs, driver)
                self.conductor.at(self.conductor.now(), SITE, state)

    def take_readings(
        self, zone_id: str, at: Instant, readings: Sequence[Reading]
    ) -> None:
        """Hand the loop what its stations read."""
        if zone_id == self.zone_id:
            self._is_touched = True
            self.loop.take_readings(at, readings)

    def drive(self, now: Instant) -> None:
        """Let the loop do all it has to do at this instant."""
        if not self._is_touched and now < self._woken_for:
            return
        self._is_touched = False
        planning = self.loop.start(now)
        if planning is not None and (result := self.loop.solve(planning)) is not None:
            finish = partial(self._finish, planning, result)
            self.conductor.at(now + PLANNING_TIME, CSMS, finish)
        self.loop.deliver(now)
        self.conductor.catch_up()
        if (due_at := self.loop.wake_at(now)) is not None:
            due_at = max(due_at, now + 1)
            if not now < self._woken_for <= due_at:
                self._woken_for = due_at
                self.conductor.at(due_at, CSMS, self._wake)

    def _wake(self) -> None:
        self._is_touched = True

    def _finish(self, planning: Planning, result: Result) -> None:
        self.conductor.catch_up()  # what came meanwhile may make the plan unsafe
        if self.loop.planning is planning:
            now = self.conductor.now()
            worth = round(float(result.pre_service_price[0]) * 1_000)
            self.truth.pre_worth.append((now, worth))
            self.loop.finish(result, now)
            self.conductor.catch_up()
        self._is_touched = True

    # -- the truth

    def _tick(self) -> None:
        """Let cars take less as they fill up; note what the site is to draw."""
        now = self.conductor.now()
        for place in self.places.values():
            place.evse.settle(now)
        self.conductor.at(now + CAR_STEP, SITE, self._tick)
        if now % MINUTE:
            return
        self.on_progress(
            (now - self.truth.start_at) / (self._end_at - self.truth.start_at)
        )
        self.truth.aetp_w.append((now, self._aetp_w(now)))

    def _aetp_w(self, now: Instant) -> int:
        return sum(
            slot.ev.etp.profile.power_w(now)
            for slot in self.loop.state.counting()
            if slot.ev is not None and slot.ev.etp is not None
        )
