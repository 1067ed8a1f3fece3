"""What the loop concludes from readings.

Readings themselves stay in the samples. What they prove becomes a ledger fact when it
changes materially: what the EV can take, that it is suspended, its energy, that a
decrease is followed or not and how long that took. Only those facts reach a problem.
"""

from dataclasses import dataclass

import msgspec

from domain.loop.following import (
    fallen_at,
    is_of_an_earlier_rise,
    is_settled,
    risen_at,
)
from domain.loop.slot import Ev, Slot, energy_at
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.metering import Register, ends_interval, faster_than
from domain.model.values import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Event,
    Instant,
    Quality,
)

SUSPENDED_BELOW_W = 100
SUSPENDED_AFTER = MINUTE
# What a meter shows so soon after an EV was suspended is of before.
METER_LAG = 10 * SECOND
# A station that says that it, not its EV, draws nothing is believed for so long: of an
# ETP it may have been told less than we take it to give.
HELD_AT_MOST = 5 * MINUTE
# A station that keeps no steps has the least of its ETP over so long from now on.
STEPS_TOLD_WITHIN = MINUTE
# Power that differs this much from what was known is a new fact.
STEP_W = 250
STEP_SHARE = 0.10
# A reading this little above an ETP is still at it.
METER_TOLERANCE_W = 50
# What large EVSEs draw is measured and kept to by shares.
METER_TOLERANCE_SHARE = 0.01
# An EV that follows later than this does not follow: nothing is learned of it.
SETTLE_AT_MOST = 3 * MINUTE
# A learned time that changes less is no new fact; a shorter one is believed by shares.
SETTLE_STEP = 5 * SECOND
SETTLE_LEARNING = 8
# Energy that differs this much from what was carried on is a new fact.
ENERGY_MATERIAL_WH = 250


class Reading(msgspec.Struct, frozen=True):
    """Power [W] and import register [Wh] of an EVSE at an instant.

    Power that was made of registers is the mean since ``mean_since``; 0: it is none.
    ``is_held``: the station says that it gives the EV nothing.
    """

    evse_id: str
    at: Instant
    power_w: int
    register_wh: int
    mean_since: Instant = 0
    is_held: bool = False

    @property
    def begin(self) -> Instant:
        """From when on the power was drawn."""
        return self.mean_since or self.at

    @property
    def rounded_w(self) -> float:
        """What a mean may err by, as registers count whole Wh [W]."""
        return HOUR / (self.at - self.mean_since) if self.mean_since else 0.0


@dataclass(slots=True)
class _Memory:
    """What the last readings of one EV were; lost at a restart, and found again.

    ``register_wh`` is the last plausible one, of ``register_at``. ``settled_w`` is the
    last power if only the accepted ETP could be followed then, else 0.
    """

    session_id: str
    begun_at: Instant
    at: Instant
    register_at: Instant
    register_wh: int
    power_w: int = 0
    settled_w: int = 0
    above_at: Instant = 0
    at_value: int = 0
    at_value_since: Instant = 0
    low_since: Instant = 0
    below: int = 0
    is_implausible: bool = False


def _given_w(slot: Slot, at: Instant) -> int:
    """Return what the station surely lets the EV draw under its ETP [W]."""
    profile, station = slot.delivery.acked.profile, slot.station
    values_w = [profile.power_w(at)]
    if station.is_registered and not station.keeps_steps:
        begin_at = profile.start_at
        values_w += [
            power_w
            for offset_s, power_w in profile.changes
            if at < begin_at + offset_s * SECOND <= at + STEPS_TOLD_WITHIN
        ]
    return min(values_w)


def _step_w(power_w: int) -> float:
    return max(STEP_W, STEP_SHARE * power_w)


class Observer:
    """Turns readings into facts."""

    def __init__(self, reaction: Instant) -> None:
        """Begin with no memory of any reading."""
        self.reaction = reaction
        self._memories: dict[str, _Memory] = {}

    def take(self, slot: Slot, ev: Ev, reading: Reading) -> list[Event]:
        """Return the facts that one reading proves."""
        memory = self._memory(slot, ev)
        if reading.at <= memory.at:
            return []
        rule = _implausible(slot, memory, reading) if ev.is_transferring else ""
        if rule and reading.mean_since:  # its power is made of what is implausible
            return self._kept(ev, memory, reading, rule)
        facts: list[Event] = []
        facts += self._confirmed(slot, memory, reading)
        facts += self._following(slot, reading)
        memory.at, memory.power_w = reading.at, reading.power_w
        is_sure = not reading.mean_since and is_settled(slot.delivery, reading.at)
        memory.settled_w = reading.power_w if is_sure else 0
        if rule:
            return facts + self._kept(ev, memory, reading, rule)
        memory.is_implausible = False
        if ev.is_transferring:
            facts += _metered(ev, reading)
            if observed := self._observed(slot, ev, memory, reading):
                facts.append(observed)
        memory.register_at, memory.register_wh = reading.at, reading.register_wh
        return facts

    def contradicted_w(self, slot: Slot) -> int:
        """Return the last reading since the EVSE's ETP if it was above it, else 0."""
        memory = self._memories.get(slot.evse_id)
        if memory is None or slot.ev is None or memory.session_id != slot.ev.session_id:
            return 0
        is_last = memory.above_at == memory.at > slot.delivery.acked_at
        return memory.power_w if is_last else 0

    def _memory(self, slot: Slot, ev: Ev) -> _Memory:
        memory = self._memories.get(slot.evse_id)
        transfer = (ev.session_id, ev.begun_at)
        if memory is None or (memory.session_id, memory.begun_at) != transfer:
            begun_at = ev.begun_at or ev.connected_at
            register_wh = ev.register_wh + ev.carried_wh
            memory = _Memory(*transfer, begun_at, begun_at, register_wh)
            self._memories[slot.evse_id] = memory
        return memory

    def _kept(
        self, ev: Ev, memory: _Memory, reading: Reading, rule: str
    ) -> list[Event]:
        if memory.is_implausible:  # one fact a run of them
            return []
        memory.is_implausible = True
        return [
            s.FactKept(
                session_id=ev.session_id,
                evse_id=reading.evse_id,
                what="register_wh",
                value=reading.register_wh,
                rule=rule,
                quality=Quality.IMPLAUSIBLE,
            )
        ]

    def _confirmed(self, slot: Slot, memory: _Memory, reading: Reading) -> list[Event]:
        delivery = slot.delivery
        value_w = delivery.acked.profile.power_w(reading.at)
        larger = [
            f
            for f in delivery.fading
            if f.until > reading.at and f.course.largest(f.since, reading.at) > value_w
        ]
        if reading.mean_since:
            return []  # a mean says nothing of now
        if memory.settled_w > value_w + METER_TOLERANCE_W:
            memory.above_at = memory.at  # the last reading was, of what holds now
        if reading.power_w > value_w + METER_TOLERANCE_W:
            memory.at_value = 0
            if not is_of_an_earlier_rise(delivery, value_w, reading.at):
                memory.above_at = reading.at
            return []
        far_below = reading.power_w < value_w - _step_w(value_w)  # a pause of its own
        if not larger or far_below or reading.at <= delivery.acked_at:
            memory.at_value = 0
            return []
        if memory.above_at < max(risen_at(f, value_w, reading.at) for f in larger):
            return []
        memory.at_value += 1
        if memory.at_value < 2:
            memory.at_value_since = reading.at
            return []
        memory.at_value = 0
        learned = self._learned(slot, memory.at_value_since)
        number = delivery.acked_number
        return [p.EtpConfirmed(evse_id=slot.evse_id, number=number), *learned]

    def _settle(self, slot: Slot) -> Instant:
        return max(self.reaction, slot.settle)

    def _following(self, slot: Slot, reading: Reading) -> list[Event]:
        """Return that an EVSE draws more than it may, or no longer does."""
        delivery, drawn_w = slot.delivery, slot.delivery.drawn_w
        number = delivery.acked_number
        if reading.begin <= delivery.acked_at:
            return []  # it was taken before what is in force now
        settle = self._settle(slot)
        allowed_w = delivery.allowed_w(reading.begin, reading.at, settle)
        if reading.power_w <= allowed_w + _tolerance_w(allowed_w) + reading.rounded_w:
            if drawn_w is None:
                return []
            followed = t.EtpFollowedAgain(evse_id=slot.evse_id, number=number)
            return [followed, *self._learned(slot, reading.at)]
        is_known = (
            drawn_w is not None
            and drawn_w - _step_w(drawn_w) <= reading.power_w
            and reading.power_w <= drawn_w + _tolerance_w(drawn_w)
            and reading.at < delivery.drawn_at + DAY
        )
        if is_known:
            return []
        return [
            t.EtpNotFollowed(
                evse_id=slot.evse_id, number=number, power_w=reading.power_w
            )
        ]

    def _learned(self, slot: Slot, followed_at: Instant) -> list[Event]:
        """Learn how long the EVSE takes: longer at once, shorter by and by."""
        took = followed_at - fallen_at(slot.delivery, followed_at)
        known = slot.learned_settle
        if took > self._settle(slot):
            learned = took if took <= SETTLE_AT_MOST else known
        else:
            learned = known - max(known - took, 0) // SETTLE_LEARNING
        if abs(learned - known) < SETTLE_STEP:
            return []
        return [
            t.SettleLearned(
                station_id=slot.station_id,
                evse_id=slot.evse_id,
                settle_s=-(-learned // SECOND),
            )
        ]

    def _observed(
        self, slot: Slot, ev: Ev, memory: _Memory, reading: Reading
    ) -> s.TransferObserved | None:
        energy_wh = reading.register_wh - ev.register_wh
        allowed_w = self._settled_w(slot, reading.at)
        suspended = self._is_suspended(slot, memory, reading)
        limit_w = self._limit_w(ev, memory, reading, allowed_w)
        known_w = ev.limit_w
        if ev.suspended_at and not suspended:
            is_of_before = reading.at < ev.suspended_at + METER_LAG
            if reading.power_w < SUSPENDED_BELOW_W or is_of_before:
                return None
            limit_w = None
        elif (
            limit_w == known_w
            and not suspended
            and abs(energy_wh - energy_at(slot, ev, reading.at)) < ENERGY_MATERIAL_WH
        ):
            return None
        memory.below = 0
        if suspended:
            memory.low_since = 0
        return s.TransferObserved(
            session_id=ev.session_id,
            evse_id=reading.evse_id,
            energy_wh=energy_wh,
            power_w=reading.power_w,
            limit_w=limit_w,
            suspended_by_ev=suspended,
        )

    def _settled_w(self, slot: Slot, at: Instant) -> int | None:
        """Return the ETP [W] the EV has had time to follow; None while it has not."""
        delivery = slot.delivery
        settle = self._settle(slot)
        if delivery.sent or delivery.acked_at + settle > at:
            return None
        value_w = delivery.acked.profile.power_w(at)
        earlier_w = delivery.acked.profile.power_w(at - settle)
        return value_w if earlier_w == value_w == _given_w(slot, at) else None

    def _is_suspended(self, slot: Slot, memory: _Memory, reading: Reading) -> bool:
        value_w = _given_w(slot, reading.at)
        if (
            value_w < max(slot.least_w, SUSPENDED_BELOW_W)
            or reading.power_w >= SUSPENDED_BELOW_W
        ):
            memory.low_since = 0
            return False
        if not memory.low_since:
            memory.low_since = max(reading.at, slot.delivery.acked_at)
        after = HELD_AT_MOST if reading.is_held else SUSPENDED_AFTER
        return reading.at - memory.low_since >= after

    def _limit_w(
        self, ev: Ev, memory: _Memory, reading: Reading, allowed_w: int | None
    ) -> int | None:
        """Return what the EV can take, as far as this reading tells."""
        power_w, known_w = reading.power_w, ev.limit_w
        if allowed_w is None or power_w < SUSPENDED_BELOW_W:
            return known_w
        if power_w >= allowed_w - METER_TOLERANCE_W:
            memory.below = 0
            if known_w is not None and power_w > known_w + METER_TOLERANCE_W:
                return None
            return known_w
        bound_w = allowed_w if known_w is None else known_w
        if power_w < bound_w - _step_w(bound_w) / (1 if known_w is None else 2):
            memory.below += 1
            return power_w if memory.below >= 2 else known_w
        memory.below = 0
        return known_w


def _tolerance_w(power_w: int) -> float:
    return max(METER_TOLERANCE_W, METER_TOLERANCE_SHARE * power_w)


def _implausible(slot: Slot, memory: _Memory, reading: Reading) -> str:
    """Return the rule a reading breaks; empty when it is plausible."""
    gained_wh = reading.register_wh - memory.register_wh
    if gained_wh < 0:
        return f"a register runs forward; it stood at {memory.register_wh} Wh"
    before = Register(memory.register_at, memory.register_wh)
    if faster_than(before, Register(reading.at, reading.register_wh), slot.max_w):
        return (
            f"{gained_wh} Wh in {(reading.at - memory.at) / SECOND:.0f} s is more than "
            f"the EVSE's {slot.max_w} W give"
        )
    return ""


def _metered(ev: Ev, reading: Reading) -> list[Event]:
    if not ends_interval(ev.metered_at, reading.at):
        return []
    total_wh = reading.register_wh - ev.register_wh
    return [
        s.TransferIntervalMetered(
            session_id=ev.session_id,
            evse_id=reading.evse_id,
            from_at=ev.metered_at,
            energy_wh=total_wh - ev.metered_wh,
            total_wh=total_wh,
        )
    ]
