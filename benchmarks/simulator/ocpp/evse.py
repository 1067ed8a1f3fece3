"""An EVSE of a virtual station: its car, its meter, its transaction."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.simulator.car import Car
from benchmarks.simulator.ocpp.behaviour import FAITHFUL, Behaviour
from benchmarks.simulator.ocpp.profiles import NO_LIMIT, Wiring
from domain.model.values import MINUTE, Instant

# Told each minute's energy [Wh] at its instant.
Count = Callable[[Instant, float], None]


@dataclass(slots=True)
class Transaction:
    """A transaction as the station has it; 1.6 gets its id from the CSMS."""

    id: str | int | None
    started_at: Instant
    token: str
    seq_no: int = 0
    is_authorized: bool = False
    is_closed: bool = False
    state: str = ""
    ended: bool = False


@dataclass(slots=True)
class VirtualEvse:
    """One EVSE; powers [W], energies [Wh]."""

    number: int
    wiring: Wiring
    max_w: float
    floor_w: float
    count: Count
    behaviour: Behaviour = FAITHFUL
    car: Car | None = None
    transaction: Transaction | None = None
    plugged_at: Instant = 0
    allowed_w: float = 0.0
    register_wh: float = 0.0
    is_operative: bool = True
    advanced_to: Instant = 0
    call_off_change: Callable[[], None] | None = None
    call_off_reading: Callable[[], None] | None = None
    zero_since: Instant | None = None
    is_asleep: bool = False

    def advance(self, instant: Instant) -> None:
        """Let the car draw up to an instant, minute by minute."""
        car = self.car
        if car is None or car.power_w <= 0:
            self.advanced_to = instant
            return
        while self.advanced_to < instant:
            at = self.advanced_to
            until = min(instant, at - at % MINUTE + MINUTE)
            taken = car.advance(until - at)
            self.register_wh += taken
            self.count(at, taken)
            self.advanced_to = until

    def plug(self, car: Car, at: Instant) -> None:
        """Take a car."""
        self.advance(at)
        self.car, self.allowed_w, self.zero_since = car, 0.0, at
        self.is_asleep, self.plugged_at = False, at

    def unplug(self, at: Instant) -> Car:
        """Let the car go."""
        self.advance(at)
        car, self.car = self.car, None
        assert car is not None, f"nobody is at EVSE {self.number}"
        self.transaction, self.allowed_w = None, 0.0
        return car

    def giveable_w(self, limit_w: float) -> float:
        """Return what the EVSE offers its car under a limit of its profiles."""
        if self.transaction is None or not self.transaction.is_closed:
            return 0.0
        if self.behaviour.ignores_limits or limit_w == NO_LIMIT:
            return self.max_w
        return min(limit_w, self.max_w)

    def follow(self, car: Car, power_w: float, at: Instant) -> None:
        """Let the car, its lag over, draw what is offered to it."""
        if self.car is not car:
            return
        self.advance(at)
        if power_w > 0 and self._has_slept(at):
            self.is_asleep = True
            return
        if power_w <= 0 and self.zero_since is None:
            self.zero_since = at
        elif power_w > 0:
            self.zero_since = None
        car.allowed_w = power_w
        car.settle()

    def _has_slept(self, at: Instant) -> bool:
        after, since = self.behaviour.sleeps_after, self.zero_since
        return after is not None and since is not None and at - since >= after

    def settle(self, at: Instant) -> None:
        """Bring meter and power up to an instant."""
        self.advance(at)
        if self.car is not None:
            self.car.settle()

    @property
    def open_transaction(self) -> Transaction | None:
        """The transaction that has not ended."""
        transaction = self.transaction
        return None if transaction is None or transaction.ended else transaction

    @property
    def power_w(self) -> float:
        """What the car draws now; nothing once it has all it takes."""
        return 0.0 if self.car is None or self._is_full else self.car.power_w

    @property
    def told_power_w(self) -> int:
        """What the meter tells of the power [W]."""
        return round(self.power_w * self.behaviour.told_power)

    @property
    def told_register_wh(self) -> int:
        """What the meter tells of the register [Wh]."""
        return int(self.register_wh * self.behaviour.told_register)

    @property
    def state(self) -> str:
        """What the EVSE is doing, as 2.x names it."""
        if self.transaction is None or not self.transaction.is_authorized:
            return "EVConnected"
        if self.allowed_w < self.floor_w:
            return "SuspendedEVSE"
        return "Charging" if self._wants_energy else "SuspendedEV"

    @property
    def _wants_energy(self) -> bool:
        """Whether the car asks for energy, by the pilot; its power may still follow."""
        return self.car is not None and not self.is_asleep and not self._is_full

    @property
    def _is_full(self) -> bool:
        car = self.car
        return car is not None and car.energy_wh >= car.needed_wh - 1e-9
