"""What a zone's loop knows of its charging stations: a part of the zone's fold.

A station that registered connects by itself and installs its standing default; until
that is known, an EVSE of it may draw its maximum. One that nobody registered is heard
by other ways, and draws nothing without an ETP.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domain.loop.course import Course
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import MINUTE, SECOND, Current, Event, Instant
from domain.ports import Recorded

if TYPE_CHECKING:
    from domain.loop.slot import Slot
    from domain.loop.zone_state import ZoneState

# How long EVs take to follow a decrease, at least, until it is learned.
SETTLE = {Current.AC: 10 * SECOND, Current.DC: 5 * SECOND}
# An EV that negotiates its schedule (ISO 15118-2) takes longer, and is asked less.
SETTLE_SCHEDULED = MINUTE
PACE_SCHEDULED = 5 * MINUTE
# Who came back has told within this what goes on at its EVSEs.
TELLS_WITHIN = 5 * MINUTE
# Amperes are counted at so much above the nominal voltage, at most.
VOLTAGE_MARGIN = 1.1
# Who is further off is told what holds now, and no steps.
CLOCK_LIMIT_MS = 60_000


@dataclass(slots=True, eq=False)
class StationState:
    """A charging station; ``default_w`` of each EVSE, None while it is not known.

    ``max_periods`` is how many steps of a schedule it keeps, ``clock_ms`` its clock
    less ours, as told since it connected or booted last, and ``steps_from`` since when
    it was told steps at all. ``is_told_amperes``: its limits are amperes, not watts.
    ``limits`` are others' of all its EVSEs together, by source.
    """

    is_registered: bool = False
    is_silent: bool = False
    has_connected: bool = False
    unseen_until: Instant = 0
    is_retired: bool = False
    has_smart_charging: bool = True
    default_w: int | None = None
    is_told_amperes: bool = False
    max_periods: int = 1
    clock_ms: int | None = None
    steps_from: Instant = 0
    slots: "list[Slot]" = field(default_factory=list)
    limits: dict[str, Course] = field(default_factory=dict)

    @property
    def keeps_steps(self) -> bool:
        """Whether it goes on with the steps of its ETPs when nobody can reach it."""
        knows_time = self.clock_ms is not None and abs(self.clock_ms) <= CLOCK_LIMIT_MS
        return self.max_periods > 1 and knows_time

    def may_be_used(self, at: Instant) -> bool:
        """Whether somebody may charge at its EVSEs whom nobody has seen come.

        Nobody is at one that never was there, or is there no more for good.
        """
        is_unseen = self.is_silent or at < self.unseen_until
        return is_unseen and self.has_connected and not self.is_retired

    def told_by(self, at: Instant, *, clock_ms: int | None, max_periods: int) -> None:
        """Take in what its ETPs are made for, from now on."""
        kept_steps = self.keeps_steps
        self.clock_ms, self.max_periods = clock_ms, max_periods
        if self.keeps_steps and not kept_steps:
            self.steps_from = at

    def default_of(self, max_w: int) -> int:
        """Return what an EVSE of ``max_w`` gives without any ETP [W]."""
        if not self.is_registered:
            return 0
        if self.default_w is None or not self.has_smart_charging:
            return max_w
        return min(self.default_w, max_w)


def _default_changed(state: "ZoneState", station_id: str, at: Instant) -> None:
    for slot in state.station(station_id).slots:
        slot.is_sent = None
        default_w = slot.station.default_of(slot.max_w)
        slot.delivery.on_default(default_w, at, state.settle_of(slot))


def _commissioned(
    state: "ZoneState", event: z.StationCommissioned, row: Recorded
) -> None:
    if event.is_registered:
        _register(state.station(event.station_id))


def _registered(state: "ZoneState", event: t.StationRegistered, row: Recorded) -> None:
    _register(state.station(event.station_id))
    _default_changed(state, event.station_id, row.occurred_at)


def _register(station: StationState) -> None:
    station.is_registered = station.is_silent = True


def _connected(
    state: "ZoneState",
    event: t.StationConnected | t.StationBooted,
    row: Recorded,
) -> None:
    station = state.station(event.station_id)
    if station.is_silent:
        station.unseen_until = row.occurred_at + TELLS_WITHIN
    station.is_silent, station.has_connected = False, True
    station.clock_ms = None
    _lost(state, event.station_id, row.occurred_at)


def _disconnected(
    state: "ZoneState", event: t.StationDisconnected, row: Recorded
) -> None:
    station = state.station(event.station_id)
    station.is_silent = True
    for slot in station.slots:
        if not station.keeps_steps or slot.delivery.acked_at < station.steps_from:
            slot.delivery.on_frozen(row.occurred_at)
    _lost(state, event.station_id, row.occurred_at)


def _lost(state: "ZoneState", station_id: str, at: Instant) -> None:
    for slot in state.station(station_id).slots:
        slot.is_sent = None
        slot.delivery.on_lost(at)


def _defaults(
    state: "ZoneState", event: t.StationDefaultsInstalled, row: Recorded
) -> None:
    station = state.station(event.station_id)
    station.default_w, station.is_silent = event.default_w, False
    _default_changed(state, event.station_id, row.occurred_at)


def _defaults_refused(
    state: "ZoneState", event: t.StationDefaultsRefused, row: Recorded
) -> None:
    """Take in that nobody knows what its EVSEs give without an ETP."""
    state.station(event.station_id).default_w = None
    _default_changed(state, event.station_id, row.occurred_at)


def _retired(state: "ZoneState", event: t.StationRetired, row: Recorded) -> None:
    state.station(event.station_id).is_retired = True


def _capabilities(
    state: "ZoneState", event: t.StationCapabilities, row: Recorded
) -> None:
    station = state.station(event.station_id)
    station.has_smart_charging, station.is_silent = event.has_smart_charging, False
    station.is_told_amperes = event.unit == "A"
    at, clock_ms = row.occurred_at, station.clock_ms
    station.told_by(at, clock_ms=clock_ms, max_periods=event.max_periods)
    _default_changed(state, event.station_id, row.occurred_at)


def _transaction(
    state: "ZoneState", event: t.StationTransactionBound, row: Recorded
) -> None:
    if (slot := state.slots.get(event.evse_id)) is not None:
        slot.has_transaction = True


def _clock(state: "ZoneState", event: t.StationClockMeasured, row: Recorded) -> None:
    station = state.station(event.station_id)
    at, max_periods = row.occurred_at, station.max_periods
    station.told_by(at, clock_ms=event.offset_ms, max_periods=max_periods)


def _limited(state: "ZoneState", event: t.LimitReported, row: Recorded) -> None:
    limited: StationState | Slot | None = state.slots.get(event.evse_id)
    if not event.evse_id:
        limited = state.station(event.station_id)
    if limited is None:
        return
    if event.is_over or event.profile is None:
        limited.limits.pop(event.source, None)
    else:
        limited.limits[event.source] = Course(event.profile)


def _learned(state: "ZoneState", event: t.SettleLearned, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is not None:
        slot.learned_settle = event.settle_s * SECOND


def _superseded(state: "ZoneState", event: t.EtpSuperseded, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is not None:
        slot.is_sent = None
        slot.delivery.on_superseded(event.number)


def _not_followed(state: "ZoneState", event: t.EtpNotFollowed, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is not None:
        slot.carry_on(row.occurred_at)
        slot.delivery.drawn_w = event.power_w
        slot.delivery.drawn_at = row.occurred_at


def _followed_again(
    state: "ZoneState", event: t.EtpFollowedAgain, row: Recorded
) -> None:
    if (slot := state.slots.get(event.evse_id)) is not None:
        slot.carry_on(row.occurred_at)
        slot.delivery.drawn_w = None


def _compared(state: "ZoneState", event: t.ScheduleCompared, row: Recorded) -> None:
    """Take in what a station would allow; less than an ETP says is a limit's doing."""
    slot = state.slots.get(event.evse_id)
    if slot is not None and event.allowed_w > event.expected_w:
        slot.is_sent = None
        slot.delivery.on_found(event.allowed_w, row.occurred_at)


RULES: dict[type[Event], Callable[["ZoneState", Any, Recorded], None]] = {
    z.StationCommissioned: _commissioned,
    t.StationRegistered: _registered,
    t.StationConnected: _connected,
    t.StationBooted: _connected,
    t.StationDisconnected: _disconnected,
    t.StationDefaultsInstalled: _defaults,
    t.StationDefaultsRefused: _defaults_refused,
    t.StationRetired: _retired,
    t.StationCapabilities: _capabilities,
    t.StationTransactionBound: _transaction,
    t.StationClockMeasured: _clock,
    t.LimitReported: _limited,
    t.SettleLearned: _learned,
    t.EtpSuperseded: _superseded,
    t.EtpNotFollowed: _not_followed,
    t.EtpFollowedAgain: _followed_again,
    t.ScheduleCompared: _compared,
}
# Of these a loop needs more than the last days, from streams of months.
OF_CONNECTIVITY = (
    "station.connected",
    "station.booted",
    "station.disconnected",
    "station.clock",
    "limit.reported",
)
