"""A virtual charging station: what all versions have in common.

It connects, boots, waits while it is pending, keeps what it must say of transactions
while it is offline, obeys its stored profiles and lets its cars follow them.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.simulator.car import Car
from benchmarks.simulator.ocpp.behaviour import FAITHFUL, Behaviour
from benchmarks.simulator.ocpp.evse import Transaction, VirtualEvse
from benchmarks.simulator.ocpp.profiles import Json, Moment, ProfileSet
from benchmarks.simulator.ocpp.speech import Message, Speech
from benchmarks.simulator.ocpp.world import Wire, World
from domain.model.values import SECOND, Instant, iso_of

RESTARTS_AFTER = SECOND
RESTARTS_FOR = 20 * SECOND
# From the plug to the contactor, whoever authorizes the driver meanwhile.
CLOSES_AFTER = 8 * SECOND
# A station that cannot connect tries again after so long.
CONNECTS_AGAIN = 10 * SECOND


class Station(Speech):
    """One station; subclasses speak a version."""

    def __init__(
        self,
        identity: str,
        rank: int,
        world: World,
        wire: Wire,
        evses: Sequence[VirtualEvse],
        profiles: ProfileSet,
        behaviour: Behaviour = FAITHFUL,
    ) -> None:
        """Be switched off; `switch_on` begins."""
        super().__init__(identity, rank, world, wire, behaviour)
        self.evses = tuple(evses)
        self.profiles = profiles
        self.is_powered = False
        self.offline_since: Instant = 0
        self.reading_every = 60 * SECOND
        self.aligned_every: Instant = 0
        self.heartbeat_every = 300 * SECOND
        self.on_allow: Callable[[VirtualEvse, Instant, float], None] = _say_nothing
        self._transactions = 0
        self._call_off_aligned: Callable[[], None] = _do_nothing
        self._life = 0
        self._was_accepted = False

    # -- life

    async def switch_on(self, reason: str = "PowerUp") -> None:
        """Connect and boot."""
        self.is_powered, self._was_accepted = True, False
        self._life += 1
        self.profiles.forget_transactions()
        await self._reach(reason)

    async def switch_off(self) -> None:
        """Lose power: contactors open, the connection ends, RAM is gone."""
        now = self.world.now()
        for evse in self.evses:
            self._stop_reading(evse)
            if evse.car is not None:
                evse.follow(evse.car, 0.0, now)
                evse.allowed_w = 0.0
        self.is_powered = False
        await self.lose_connection()

    async def lose_connection(self) -> None:
        """Lose the connection; charging goes on."""
        self.offline_since = self.world.now()
        await self.disconnect()
        self._apply_all()

    def stop_listening(self) -> None:
        """Do from now on what the station would do without a connection."""
        self.offline_since = self.world.now()
        self._apply_all()

    def listen_again(self) -> None:
        """Store what it is told again."""
        self.offline_since = 0
        self._apply_all()

    async def find_connection_again(self) -> None:
        """Connect without a boot, and say what was kept."""
        await self._reach("PowerUp")

    async def _reach(self, reason: str) -> None:
        """Connect, and boot if the station has not since it was switched on."""
        try:
            await self.connect()
        except OSError:
            again = partial(self._reach, reason)
            self.world.at(self.world.now() + CONNECTS_AGAIN, self.rank, again)
            return
        self.arrange_late()
        if self._was_accepted:
            self._go_on()
        else:
            self.boot(reason)

    def _go_on(self) -> None:
        """Do what waited for the CSMS."""
        self.is_accepted, self.offline_since = True, 0
        for evse in self.evses:
            if evse.transaction is not None and not evse.transaction.ended:
                self._start_reading(evse)
        self._apply_all()
        self.say_next()

    def boot(self, reason: str) -> None:
        """Say that it booted."""
        payload = self.boot_request(reason)
        self.say_first(Message("BootNotification", payload, self._booted))

    def _booted(self, answer: Json) -> None:
        interval = max(int(answer["interval"]), 1) * SECOND
        if answer["status"] != "Accepted":
            again = partial(self._boot_again, self._life)
            self.world.at(self.world.now() + interval, self.rank, again)
            return
        self.heartbeat_every = interval
        self._life += 1
        self._was_accepted = True
        self.is_accepted = True
        for evse in self.evses:
            self.tell_status(evse)
        self._go_on()
        self._beat(self._life)

    def _boot_again(self, life: int) -> None:
        if self.is_online and life == self._life:
            self.boot("Triggered")

    def _beat(self, life: int) -> None:
        """Say that it is there, where it has said nothing else for a while."""
        if life != self._life or not self.is_powered:
            return
        due = self.said_at + self.heartbeat_every
        if due <= self.world.now():
            self.tell("Heartbeat", {})
            due = self.world.now() + self.heartbeat_every
        self.world.at(due, self.rank, partial(self._beat, life))

    def restart(self) -> None:
        """End what is under way, switch off, and on again a little later."""
        for evse in self.evses:
            self.end(evse, "ImmediateReset")
        off_at = self.world.now() + RESTARTS_AFTER
        self.world.at(off_at, self.rank, self.switch_off)
        on = partial(self.switch_on, "RemoteReset")
        self.world.at(off_at + RESTARTS_FOR, self.rank, on)

    # -- charging

    def station_time(self) -> Instant:
        """Return what the station's own clock shows."""
        return self.world.now() + self.behaviour.clock_error

    def timestamp(self) -> str:
        """Return the station's own time as it is on the wire."""
        return iso_of(self.station_time())

    def new_transaction(self, evse: VirtualEvse, token: str) -> Transaction:
        """Begin a transaction at an EVSE."""
        self._transactions += 1
        at = self.station_time()
        evse.transaction = Transaction(self.first_id(self._transactions), at, token)
        return evse.transaction

    def arrive(self, evse: VirtualEvse, car: Car, token: str) -> None:
        """Let a driver plug a car in and show a token."""
        evse.plug(car, self.world.now())
        self.plugged(evse, token)

    def leave(self, evse: VirtualEvse) -> Car:
        """Let a driver unplug and go."""
        now = self.world.now()
        evse.advance(now)
        self._stop_reading(evse)
        transaction = evse.transaction
        if transaction is not None and not transaction.ended:
            self.end(evse, "EVDisconnected")
        car = evse.unplug(now)
        self.profiles.forget_transactions(evse.number)
        self.on_allow(evse, now, 0.0)
        self.tell_status(evse)
        return car

    def end(self, evse: VirtualEvse, reason: str) -> None:
        """End the transaction of an EVSE; the car may stay."""
        transaction = evse.transaction
        if transaction is None or transaction.ended:
            return
        evse.advance(self.world.now())
        self.tell_ended(evse, transaction, reason)
        transaction.ended = True
        transaction.is_authorized = transaction.is_closed = False
        self._stop_reading(evse)
        self.profiles.forget_transactions(evse.number)
        self.apply(evse)

    def authorized(self, evse: VirtualEvse, transaction: Transaction) -> None:
        """Let the power flow that the profiles allow, once the plug is locked."""
        transaction.is_authorized = True
        self._start_reading(evse)
        close_at = max(evse.plugged_at + CLOSES_AFTER, self.world.now())
        self.world.at(close_at, self.rank, partial(self._close, evse, transaction))

    def _close(self, evse: VirtualEvse, transaction: Transaction) -> None:
        transaction.is_closed = transaction.is_authorized
        if evse.transaction is transaction:
            self.apply(evse)

    def _apply_all(self) -> None:
        for evse in self.evses:
            self.apply(evse)

    def apply(self, evse: VirtualEvse) -> None:
        """Offer the car what the profiles allow now, and again when that changes."""
        if evse.call_off_change is not None:
            evse.call_off_change()
            evse.call_off_change = None
        car = evse.car
        if car is None or not self.is_powered:
            return
        moment = self.moment(evse)
        offered_w = evse.giveable_w(self.profiles.limit_w(moment, evse.wiring))
        now = self.world.now()
        if offered_w != evse.allowed_w:
            evse.allowed_w = offered_w
            self.on_allow(evse, now, offered_w)
            follow = partial(self._follow, evse, car, offered_w)
            self.world.at(now + car.lag, self.rank, follow)
            self._tell_state(evse)
        change_at = self.profiles.next_change(moment)
        if change_at is not None:
            evse.call_off_change = self.world.at(
                max(change_at - self.behaviour.clock_error, now + 1),
                self.rank,
                partial(self.apply, evse),
            )

    def _follow(self, evse: VirtualEvse, car: Car, power_w: float) -> None:
        if self.is_powered:
            evse.follow(car, power_w, self.world.now())
            self._tell_state(evse)

    def moment(self, evse: VirtualEvse, at: Instant | None = None) -> Moment:
        """Return what decides on an EVSE's limit, now or at an instant."""
        transaction = evse.transaction
        has = transaction is not None and not transaction.ended
        return Moment(
            evse=evse.number,
            at=self.station_time() if at is None else at,
            transaction_id=transaction.id if has and transaction else None,
            transaction_at=transaction.started_at if transaction else 0,
            offline_since=self.offline_since,
        )

    def _tell_state(self, evse: VirtualEvse) -> None:
        transaction = evse.transaction
        if transaction is None or transaction.ended or transaction.state == evse.state:
            return
        transaction.state = evse.state
        self.tell_state(evse, transaction)

    # -- reading

    def _start_reading(self, evse: VirtualEvse) -> None:
        self._stop_reading(evse)
        every = self.reading_every
        if not self.is_online:
            every = max(every, self.behaviour.reads_offline_every)
        if every:
            evse.call_off_reading = self.world.at(
                self.world.now() + every, self.rank, partial(self._read, evse)
            )

    def _stop_reading(self, evse: VirtualEvse) -> None:
        if evse.call_off_reading is not None:
            evse.call_off_reading()
            evse.call_off_reading = None

    def _read(self, evse: VirtualEvse) -> None:
        evse.call_off_reading = None
        transaction = evse.transaction
        if transaction is None or transaction.ended or not self.is_powered:
            return
        evse.advance(self.world.now())
        self._tell_state(evse)
        self.tell_reading(evse, transaction, "Sample.Periodic")
        self._start_reading(evse)

    def read_every(self, interval: Instant) -> None:
        """Read at another interval from now on."""
        self.reading_every = interval
        for evse in self.evses:
            if evse.call_off_reading is not None:
                self._start_reading(evse)

    def read_aligned(self, every: Instant) -> None:
        """Read all meters at each multiple of an interval by the clock; 0: not."""
        self.aligned_every = every
        self._call_off_aligned()
        if every:
            now = self.station_time()
            due = now - now % every + every - self.behaviour.clock_error
            self._call_off_aligned = self.world.at(due, self.rank, self._read_aligned)

    def _read_aligned(self) -> None:
        for evse in self.evses:
            transaction = evse.open_transaction
            if transaction is not None and self.is_powered:
                evse.advance(self.world.now())
                self.tell_reading(evse, transaction, "Sample.Clock")
        self.read_aligned(self.aligned_every)

    # -- what a version says and answers

    @abstractmethod
    def boot_request(self, reason: str) -> Json:
        """Return a BootNotification."""

    @abstractmethod
    def first_id(self, count: int) -> str | None:
        """Return the id of the station's n-th transaction, where it gives them."""

    @abstractmethod
    def plugged(self, evse: VirtualEvse, token: str) -> None:
        """Tell of a car that was plugged in, and of the token shown for it."""

    @abstractmethod
    def tell_status(self, evse: VirtualEvse) -> None:
        """Tell the state of an EVSE's connector."""

    @abstractmethod
    def tell_state(self, evse: VirtualEvse, transaction: Transaction) -> None:
        """Tell that charging began, paused or went on."""

    @abstractmethod
    def tell_reading(
        self, evse: VirtualEvse, transaction: Transaction, context: str
    ) -> None:
        """Tell what the meter shows."""

    @abstractmethod
    def tell_ended(
        self, evse: VirtualEvse, transaction: Transaction, reason: str
    ) -> None:
        """Tell that a transaction ended."""


def _do_nothing() -> None:
    """Call nothing off."""


def _say_nothing(evse: VirtualEvse, at: Instant, power_w: float) -> None:
    """Nobody wants to know what the EVSE allows."""
