"""State of one zone as its loop sees it: a pure fold of the ledger.

Everything a problem depends on is here, and only the ledger gets in, so that replay
rebuilds every problem. Rows come in order of position.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from domain.loop.course import Course
from domain.loop.envelope import Envelope
from domain.loop.slot import Ev, Slot
from domain.loop.station_state import RULES as STATION_RULES
from domain.loop.station_state import StationState
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.pre import compose
from domain.model.values import SECOND, Event, Instant, Quality
from domain.ports import Recorded

_PRE_KEPT = 64
# Weight of one finished session in the learned share of the asked energy that is taken.
_LEARNING = 8


@dataclass(slots=True)
class ZoneState:
    """A zone with its EVSEs, PREs and plans in force."""

    zone_id: str
    limit_w: int = 0
    safe_upper_w: int = 0
    gap: Instant = 10 * SECOND
    reaction: Instant = 30 * SECOND
    min_on: Instant = 0
    max_pauses: int = 4
    taken_per_stated_permille: int = 1000
    members: tuple[str, ...] = ()
    slots: dict[str, Slot] = field(default_factory=dict)
    stations: dict[str, StationState] = field(default_factory=dict)
    evse_of_session: dict[str, str] = field(default_factory=dict)
    received: list[tuple[Instant, p.PreReceived]] = field(default_factory=list)
    fallback_at: Instant = 0
    position: int = 0
    last_plan_at: Instant = 0
    learned_permille: int = 1000
    _envelope: Envelope | None = None

    def apply(self, row: Recorded) -> None:
        """Take in one row of the ledger."""
        self.position = row.position
        if row.event is not None and (rule := _RULES.get(type(row.event))):
            rule(self, row.event, row)

    @property
    def envelope(self) -> Envelope:
        """Return the PRE in force, the safe envelope where none covers."""
        if self._envelope is None:
            pre = compose(self.received, self.safe_upper_w, self.limit_w)
            self._envelope = Envelope(pre)
        return self._envelope

    def occupied(self) -> list[Slot]:
        """Return the EVSEs in use, to plan, in the order of the zone's members."""
        return [
            slot
            for evse_id in self.members
            if (slot := self.slots.get(evse_id)) is not None
            and slot.is_in_use
            and not slot.blocked
        ]

    def counting(self) -> list[Slot]:
        """Return every EVSE that may draw power; the last plan tells the time."""
        at = self.last_plan_at
        return [slot for slot in self.slots.values() if slot.may_draw(at)]

    def station(self, station_id: str) -> StationState:
        """Return what is known of a station, from now on if it was nothing."""
        return self.stations.setdefault(station_id, StationState())

    def is_mandatory(self, at: Instant) -> bool:
        """Whether what holds at an instant was ordered, and is not only agreed (E5)."""
        for received_at, event in reversed(self.received):
            if max(event.envelope.start_at, received_at) <= at:
                return event.mandatory and at < event.envelope.end_at
        return False

    def settle_of(self, slot: Slot) -> Instant:
        """Return how long an EVSE may take to follow; no less than the zone allows."""
        return max(self.reaction, slot.settle)

    def ev_of(self, session_id: str) -> tuple[Slot, Ev] | None:
        """Return the EVSE and EV of a session; None once it left."""
        slot = self.slots.get(self.evse_of_session.get(session_id, ""))
        if slot is None or slot.ev is None or slot.ev.session_id != session_id:
            return None
        return slot, slot.ev


def _defined(state: ZoneState, event: z.ZoneDefined, row: Recorded) -> None:
    state.limit_w, state.safe_upper_w = event.limit_w, event.safe_upper_w
    state._envelope = None
    state.gap = event.min_plan_gap_s * SECOND
    state.reaction = event.reaction_time_s * SECOND
    state.min_on, state.max_pauses = event.min_on_s * SECOND, event.max_pauses


def _limits(state: ZoneState, event: z.ZoneLimitsChanged, row: Recorded) -> None:
    state._envelope = None
    state.limit_w, state.safe_upper_w = event.limit_w, event.safe_upper_w


def _members(state: ZoneState, event: z.ZoneMembersChanged, row: Recorded) -> None:
    state.members = event.evse_ids


def _learned(state: ZoneState, event: z.ZoneLearned, row: Recorded) -> None:
    state.taken_per_stated_permille = event.taken_per_stated_permille
    state.learned_permille = event.taken_per_stated_permille


def _commissioned(state: ZoneState, event: z.EvseCommissioned, row: Recorded) -> None:
    slot = Slot(
        event.evse_id,
        event.station_id,
        event.max_w,
        event.floor_w,
        event.current,
        station=state.station(event.station_id),
    )
    slot.begin_delivery()
    slot.station.slots.append(slot)
    state.slots[event.evse_id] = slot


def _evse_limits(state: ZoneState, event: z.EvseLimitsChanged, row: Recorded) -> None:
    slot = state.slots[event.evse_id]
    slot.max_w, slot.floor_w = event.max_w, event.floor_w
    default_w = slot.station.default_of(slot.max_w)
    slot.delivery.on_default(default_w, row.occurred_at, state.settle_of(slot))


def _blocked(state: ZoneState, event: z.EvseBlocked, row: Recorded) -> None:
    state.slots[event.evse_id].blocked = True


def _unblocked(state: ZoneState, event: z.EvseUnblocked, row: Recorded) -> None:
    state.slots[event.evse_id].blocked = False


def _occupied(state: ZoneState, event: z.EvseOccupied, row: Recorded) -> None:
    _ev(state, event.session_id, event.evse_id, row)


def _bound(state: ZoneState, event: s.EvseBound, row: Recorded) -> None:
    _ev(state, event.session_id, event.evse_id, row)


def _ev(state: ZoneState, session_id: str, evse_id: str, row: Recorded) -> None:
    """Put the session's EV at its EVSE; after a merge the EV there is the same."""
    slot = state.slots[evse_id]
    state.evse_of_session[session_id] = evse_id
    if slot.ev is not None:
        slot.ev.session_id = session_id
        return
    at = row.occurred_at
    slot.ev = Ev(session_id, at, row.position, energy_at=at, metered_at=at)
    slot.begin_delivery()


def _vacated(state: ZoneState, event: z.EvseVacated, row: Recorded) -> None:
    slot = state.slots[event.evse_id]
    state.evse_of_session.pop(event.session_id, None)
    slot.ev, slot.has_transaction = None, False
    slot.begin_delivery()


def _needs(state: ZoneState, event: s.NeedsStated, row: Recorded) -> None:
    if (found := state.ev_of(event.session_id)) is None:
        return
    ev = found[1]
    ev.departure_at, ev.target_wh = event.departure_at, event.energy_target_wh
    ev.max_wh, ev.stated_by_user = event.energy_max_wh, event.source == "user"
    ev.is_scheduled = ev.is_scheduled or event.source == "ev"


def _started(state: ZoneState, event: s.TransferStarted, row: Recorded) -> None:
    if (found := state.ev_of(event.session_id)) is None:
        return
    ev = found[1]
    ev.is_transferring, ev.begun_at = True, row.occurred_at
    if event.quality == Quality.GOOD:
        ev.register_wh = event.register_wh - ev.carried_wh
        ev.metered_at, ev.metered_wh = row.occurred_at, ev.carried_wh


def _ended(state: ZoneState, event: s.TransferEnded, row: Recorded) -> None:
    if (found := state.ev_of(event.session_id)) is None:
        return
    slot, ev = found
    ev.is_transferring = slot.has_transaction = False
    slot.begin_delivery()
    if event.quality in (Quality.GOOD, Quality.DUPLICATE):
        ev.carried_wh += event.energy_wh
        ev.energy_wh, ev.energy_at = float(ev.carried_wh), row.occurred_at
    if event.quality != Quality.GOOD or not ev.stated_by_user or not ev.target_wh:
        return
    taken = min(1000 * event.energy_wh // ev.target_wh, 1500)
    state.learned_permille += round((taken - state.learned_permille) / _LEARNING)


def _observed(state: ZoneState, event: s.TransferObserved, row: Recorded) -> None:
    found = state.ev_of(event.session_id)
    if found is None or event.quality != Quality.GOOD:
        return
    ev = found[1]
    if row.occurred_at < ev.energy_at - state.reaction:
        return
    ev.energy_wh, ev.energy_at = float(event.energy_wh), row.occurred_at
    ev.limit_w = event.limit_w
    ev.suspended_at = row.occurred_at if event.suspended_by_ev else 0


def _metered(state: ZoneState, event: s.TransferIntervalMetered, row: Recorded) -> None:
    found = state.ev_of(event.session_id)
    if found is None or event.quality != Quality.GOOD:
        return
    ev = found[1]
    ev.energy_wh = float(event.total_wh)
    ev.energy_at = max(row.occurred_at, ev.energy_at)
    ev.metered_at, ev.metered_wh = row.occurred_at, event.total_wh


def _paused(state: ZoneState, event: s.TransferPaused, row: Recorded) -> None:
    # What the EVSE pauses is no wish of the EV.
    if event.by == "ev" and (found := state.ev_of(event.session_id)) is not None:
        found[0].carry_on(row.occurred_at)
        found[1].suspended_at = row.occurred_at


def _resumed(state: ZoneState, event: s.TransferResumed, row: Recorded) -> None:
    found = state.ev_of(event.session_id)
    if found is not None and found[1].suspended_at:
        found[1].suspended_at = 0
        found[1].energy_at = row.occurred_at


def _pre_received(state: ZoneState, event: p.PreReceived, row: Recorded) -> None:
    state.received = _kept([*state.received, (row.occurred_at, event)])
    state._envelope = None
    state.fallback_at = 0


def _kept(
    received: list[tuple[Instant, p.PreReceived]],
) -> list[tuple[Instant, p.PreReceived]]:
    """Return the PREs that may still hold: not replaced, or among the last replaced.

    One that a later one replaces from its effect on can only come back when that later
    one is revoked. (One that has ended still says that what it replaced is over.)
    """
    now = received[-1][0]
    replaced: list[int] = []
    soonest: Instant | None = None
    for i in range(len(received) - 1, -1, -1):
        at, event = received[i]
        effect = max(event.envelope.start_at, at)
        if soonest is not None and soonest <= max(effect, now):
            replaced.append(i)
        soonest = effect if soonest is None else min(soonest, effect)
    dropped = set(replaced[_PRE_KEPT:])
    return [r for i, r in enumerate(received) if i not in dropped]


def _pre_revoked(state: ZoneState, event: p.PreRevoked, row: Recorded) -> None:
    state.received = [r for r in state.received if r[1].pre_id != event.pre_id]
    state._envelope = None


def _fallback(state: ZoneState, event: p.PreFallbackBegan, row: Recorded) -> None:
    state.fallback_at = row.occurred_at


def _plan_made(state: ZoneState, event: p.PlanMade, row: Recorded) -> None:
    state.last_plan_at = event.planned_at
    for etp in event.etps_changed:
        if (slot := state.slots.get(etp.evse_id)) is None:
            continue
        slot.etp_number = etp.number
        if slot.ev is not None and slot.ev.session_id == etp.session_id:
            slot.ev.etp, slot.ev.etp_course = etp, Course(etp.profile)
            slot.is_sent = None


def _superseded(state: ZoneState, event: p.PlanSuperseded, row: Recorded) -> None:
    state.last_plan_at = event.planned_at


def _sent(state: ZoneState, event: p.EtpSent, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is None:
        return
    slot.is_sent = None
    slot.delivery.on_sent(event.number, event.profile, row.occurred_at, event.attempt)


def _accepted(state: ZoneState, event: p.EtpAccepted, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is None:
        return  # an answer for an EVSE the zone never had
    slot.carry_on(row.occurred_at)
    slot.delivery.on_accepted(event.number, row.occurred_at, state.settle_of(slot))


def _refused(state: ZoneState, event: p.EtpRefused, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is None:
        return
    slot.is_sent = None
    slot.delivery.on_refused(event.number, row.occurred_at)


def _timed_out(state: ZoneState, event: p.EtpTimedOut, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is not None:
        slot.delivery.on_timed_out(event.number)


def _confirmed(state: ZoneState, event: p.EtpConfirmed, row: Recorded) -> None:
    if (slot := state.slots.get(event.evse_id)) is not None:
        slot.delivery.on_confirmed(event.number)


_RULES: dict[type[Event], Callable[[ZoneState, Any, Recorded], None]] = {
    z.ZoneDefined: _defined,
    z.ZoneLimitsChanged: _limits,
    z.ZoneMembersChanged: _members,
    z.ZoneLearned: _learned,
    z.EvseCommissioned: _commissioned,
    z.EvseLimitsChanged: _evse_limits,
    z.EvseBlocked: _blocked,
    z.EvseUnblocked: _unblocked,
    z.EvseOccupied: _occupied,
    z.EvseVacated: _vacated,
    s.EvseBound: _bound,
    s.NeedsStated: _needs,
    s.TransferStarted: _started,
    s.TransferEnded: _ended,
    s.TransferObserved: _observed,
    s.TransferIntervalMetered: _metered,
    s.TransferPaused: _paused,
    s.TransferResumed: _resumed,
    p.PreReceived: _pre_received,
    p.PreRevoked: _pre_revoked,
    p.PreFallbackBegan: _fallback,
    p.PlanMade: _plan_made,
    p.PlanSuperseded: _superseded,
    p.EtpSent: _sent,
    p.EtpAccepted: _accepted,
    p.EtpRefused: _refused,
    p.EtpTimedOut: _timed_out,
    p.EtpConfirmed: _confirmed,
    **STATION_RULES,
}
