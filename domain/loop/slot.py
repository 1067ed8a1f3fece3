"""One EVSE of a zone and the EV at it, as far as the ledger tells."""

from dataclasses import dataclass, field

from domain.loop.course import Course
from domain.loop.delivery import Delivery
from domain.loop.station_state import (
    PACE_SCHEDULED,
    SETTLE,
    SETTLE_SCHEDULED,
    VOLTAGE_MARGIN,
    StationState,
)
from domain.model.profile import Etp
from domain.model.values import HOUR, Current, Instant


@dataclass(slots=True, eq=False)
class Ev:
    """The EV at an EVSE; ``is_scheduled``: it negotiates its schedule (ISO 15118).

    It may have several transfers: this one began at ``begun_at``, those before brought
    ``carried_wh``. ``register_wh`` is where the register would stand at no energy.
    """

    session_id: str
    connected_at: Instant
    connected_position: int
    departure_at: Instant = 0
    target_wh: int = 0
    max_wh: int | None = None
    stated_by_user: bool = False
    is_scheduled: bool = False
    energy_wh: float = 0.0
    energy_at: Instant = 0
    limit_w: int | None = None
    suspended_at: Instant = 0
    etp: Etp | None = None
    etp_course: Course | None = None
    is_transferring: bool = False
    begun_at: Instant = 0
    carried_wh: int = 0
    register_wh: int = 0
    metered_at: Instant = 0
    metered_wh: int = 0


@dataclass(slots=True, eq=False)
class Slot:
    """One EVSE of the zone.

    ``has_transaction``: its station has one open, though no register may be known of
    it yet. ``limits`` are others' of this EVSE by source, its station's has those of
    all. What an EVSE may draw is its ``delivery``'s to say, whether an EV is there or
    not.
    """

    evse_id: str
    station_id: str
    max_w: int
    floor_w: int
    current: Current = Current.AC
    blocked: bool = False
    ev: Ev | None = None
    has_transaction: bool = False
    station: StationState = field(default_factory=StationState)
    delivery: Delivery = field(default_factory=Delivery)
    limits: dict[str, Course] = field(default_factory=dict)
    learned_settle: Instant = 0
    etp_number: int = 0
    # Whether the station was sent what the plan says; None when to be found out again.
    is_sent: bool | None = None

    @property
    def least_w(self) -> int:
        """The least its EV can be told to draw, and follows.

        Its floor is amperes at the nominal voltage: where the voltage is higher, or not
        known, so many watts are fewer amperes, with which no EV charges.
        """
        if not self.station.is_told_amperes:
            return self.floor_w
        return min(int(self.floor_w * VOLTAGE_MARGIN) + 1, self.max_w)

    @property
    def settle(self) -> Instant:
        """How long its EV takes to follow a decrease."""
        is_scheduled = self.ev is not None and self.ev.is_scheduled
        least = SETTLE_SCHEDULED if is_scheduled else SETTLE[self.current]
        return max(least, self.learned_settle)

    def pace(self, settle: Instant) -> Instant:
        """Return how long after an ETP another one goes out that nothing urges."""
        is_scheduled = self.ev is not None and self.ev.is_scheduled
        return max(settle, PACE_SCHEDULED) if is_scheduled else settle

    @property
    def is_in_use(self) -> bool:
        """Whether an EV is there whose transfer has begun, and has not ended.

        Before and after, its station takes no ETP for it: it has what the EVSE gives by
        itself.
        """
        has_begun = self.has_transaction or (
            self.ev is not None and self.ev.is_transferring
        )
        return self.ev is not None and has_begun

    def may_draw(self, at: Instant) -> bool:
        """Whether somebody may draw power, seen or not."""
        if self.ev is not None:
            return True
        return self.station.may_be_used(at) and self.station.default_of(self.max_w) > 0

    @property
    def is_reachable(self) -> bool:
        """Whether an ETP can be carried to its station, and means something there."""
        return not self.station.is_silent and self.station.has_smart_charging

    @property
    def is_beyond_control(self) -> bool:
        """Whether the EVSE draws what it draws, whatever it is told."""
        return not self.is_reachable or self.delivery.drawn_w is not None

    def begin_delivery(self) -> None:
        """Forget what was sent: an ETP ends with the transfer it was for."""
        self.is_sent = None
        if self.ev is not None:
            self.ev.etp = self.ev.etp_course = None
        default_w = self.station.default_of(self.max_w)
        self.delivery = Delivery.after(self.delivery, default_w)

    def carry_on(self, at: Instant) -> None:
        """Fix the energy so far, before what the EV may draw changes."""
        if self.ev is not None and at > self.ev.energy_at:
            self.ev.energy_wh = energy_at(self, self.ev, at)
            self.ev.energy_at = at


def drawn_w(slot: Slot, ev: Ev, at: Instant) -> int:
    """Return what the EV is taken to draw: its ETP, as far as it can take it [W]."""
    if slot.delivery.drawn_w is not None:
        return slot.delivery.drawn_w
    if ev.suspended_at:
        return 0
    most_w = slot.max_w if ev.limit_w is None else ev.limit_w
    return min(most_w, slot.delivery.acked.profile.power_w(at))


def energy_at(slot: Slot, ev: Ev, at: Instant) -> float:
    """Return the energy transferred by ``at``, carried on from the last fact [Wh]."""
    return ev.energy_wh + drawn_w(slot, ev, at) * max(at - ev.energy_at, 0) / HOUR
