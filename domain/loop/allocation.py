"""The problem of a plan: a pure function of the zone's state and the plan's instant."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from domain.loop.course import Course, Ints
from domain.loop.envelope import Envelope
from domain.loop.slot import Ev, Slot, energy_at
from domain.loop.station_state import StationState
from domain.loop.zone_state import ZoneState
from domain.model.values import DAY, HOUR, MINUTE, QUARTER_HOUR, SECOND, Instant
from optimizer.order_of_service import service_order
from optimizer.problem import Problem

HORIZON = DAY
# An EV past its stated departure is planned to leave this much later, again and again.
ROLLING_DEPARTURE = HOUR
# A suspended EV is offered its floor again after this time, from unused PRE only.
OFFER_AFTER = 15 * MINUTE
# What an EV may be offered above what it was seen to take: more than a meter errs, and
# little, because nobody else can have it.
PROBE_W = 100
PROBE_SHARE = 0.02
# Least part of the asked energy that an EV still charging is expected to take.
EXPECTED_REST_SHARE = 0.02
# Beyond what was asked an EV may take what nobody else asks for, up to this.
BEYOND_ASKED_WH = 100_000

PUNCTUAL, OVERDUE, OFFERED = 0, 1, 2


@dataclass(frozen=True)
class Allocation:
    """A problem, and which EVSEs and instants its axes are.

    ``slots`` live on; ``evs`` are the EVs the plan is for. ``fixed`` are EVSEs that do
    not answer, refuse or do not follow: they count at what may be in force and the PRE
    of the problem is what they leave. Of those, ``stopped`` are told to take nothing,
    because the PRE cannot hold them. ``kept_on`` (n,) are the EVs that are not to be
    paused where that can be helped.
    """

    problem: Problem
    envelope_w: Ints
    slots: tuple[Slot, ...]
    evs: tuple[Ev, ...]
    boundaries: Ints
    fixed: tuple[Slot, ...]
    stopped: tuple[Slot, ...]
    kept_on: NDArray[np.bool_]

    def digest(self) -> bytes:
        """Return SHA-256 of all that a plan is made of, by which replay compares."""
        digest = self.problem.digest()
        if not self.kept_on.any():
            return digest
        return hashlib.sha256(digest + self.kept_on.tobytes()).digest()


def probed_w(limit_w: int) -> int:
    """Return what an EV seen to take ``limit_w`` may be offered [W]."""
    return limit_w + max(PROBE_W, int(limit_w * PROBE_SHARE))


def is_offered(ev: Ev, now: Instant) -> bool:
    """Whether a suspended EV is offered its floor again."""
    return ev.suspended_at > 0 and now >= ev.suspended_at + OFFER_AFTER


def boundaries_of(envelope: Envelope, now: Instant) -> Ints:
    """Return the step boundaries: the plan's second, quarter hours, PRE changes."""
    start = now - now % SECOND
    end = start + HORIZON
    quarters = np.arange(start - start % QUARTER_HOUR + QUARTER_HOUR, end, QUARTER_HOUR)
    changes = envelope.boundaries(now, end)
    # Whole seconds, and none in the plan's own: `upper_w` takes the least of a step.
    changes = np.maximum(changes - changes % SECOND, start + SECOND)
    return np.unique(np.concatenate([[start], quarters, changes, [end]]))


def upper_w(envelope: Envelope, starts: Ints, now: Instant) -> Ints:
    """Return the PRE's upper power over each step [W].

    The PRE may change within the first second of a step: the lesser value counts.
    """
    begins = np.maximum(starts, now)
    return np.minimum(
        envelope.upper_over(begins), envelope.upper_over(starts + SECOND - 1)
    )


def build(state: ZoneState, now: Instant) -> Allocation:
    """Return the allocation problem of the zone at ``now``."""
    envelope = state.envelope
    edges = boundaries_of(envelope, now)
    starts, step_s = edges[:-1], np.diff(edges) / SECOND
    envelope_w = upper_w(envelope, starts, now)
    free, fixed, stopped, taken = _divided(state, starts, envelope_w, now)
    room = np.maximum(envelope_w - taken, 0)
    evs = [slot.ev for slot in free if slot.ev is not None]
    energy = [energy_at(slot, ev, now) for slot, ev in zip(free, evs, strict=True)]
    rows = [
        _row(state, slot, ev, energy_wh, now)
        for slot, ev, energy_wh in zip(free, evs, energy, strict=True)
    ]
    place = {evse_id: i for i, evse_id in enumerate(state.members)}
    table = np.array(rows, np.float64).reshape(len(rows), 6)
    departure = np.array([_departure_at(ev, now) for ev in evs], np.int64)
    problem = Problem(
        step_s=step_s,
        power_max_w=_limited(table[:, 0], free, starts),
        power_floor_w=table[:, 1],
        arrival_step=np.zeros(len(free), np.int64),
        departure_step=np.maximum(np.searchsorted(edges, departure, side="left"), 1)
        .clip(max=starts.size)
        .reshape(len(free)),
        energy_target_wh=table[:, 2],
        energy_max_wh=table[:, 3],
        energy_expected_wh=table[:, 4],
        priority=table[:, 5].astype(np.int64),
        evse_max_w=np.array([slot.max_w for slot in free], np.float64),
        arrival_rank=np.argsort(
            np.argsort([ev.connected_position for ev in evs], kind="stable")
        ).astype(np.int64),
        pre_upper_w=room.astype(np.float64),
        pre_lower_w=np.minimum(envelope.lower_over(starts), room).astype(np.float64),
        row_key=np.array([place[slot.evse_id] for slot in free], np.int64),
        previous_power_w=_in_force(free, starts).astype(np.float64),
    )
    return Allocation(
        _shared(state, problem, free, starts, now),
        envelope_w,
        tuple(free),
        tuple(evs),
        edges,
        tuple(fixed),
        tuple(stopped),
        np.array([_is_kept_on(state, slot, now) for slot in free], bool),
    )


def _divided(
    state: ZoneState, starts: Ints, envelope_w: Ints, now: Instant
) -> tuple[list[Slot], list[Slot], list[Slot], Ints]:
    """Return the EVSEs to plan, the fixed ones, those of them to stop, what they take.

    Fixed EVSEs count at what may be in force. Where the PRE cannot hold that in the
    next quarter hour, those that might follow are planned like the others: to tell them
    to take less is all that can be done. Those that do not follow are told to stop, and
    count on. A blocked EVSE is planned at nothing, and only one that does not answer or
    follow counts: for the others the delivery waits until it is confirmed. An EVSE of a
    silent station counts without an EV, too.
    """
    occupied = state.occupied()
    fixed = [slot for slot in occupied if _is_fixed(slot, now)]
    others = [
        slot
        for slot in state.counting()
        if not slot.is_in_use or (slot.blocked and _is_fixed(slot, now))
    ]
    stopped: list[Slot] = []
    taken = _counted(state, [*fixed, *others], starts, now)
    near = starts < now + QUARTER_HOUR
    if fixed and (taken > envelope_w)[near].any():
        fixed = [slot for slot in fixed if slot.is_beyond_control]
        stopped = [slot for slot in fixed if slot.is_reachable]
        taken = _counted(state, [*fixed, *others], starts, now)
    return [slot for slot in occupied if slot not in fixed], fixed, stopped, taken


def _counted(state: ZoneState, slots: list[Slot], starts: Ints, now: Instant) -> Ints:
    total = np.zeros(starts.size, np.int64)
    for slot in slots:
        counted = slot.delivery.counted_w(starts, now, state.settle_of(slot))
        total += np.maximum(counted, _in_force([slot], starts)[0])
    return total


def _is_fixed(slot: Slot, now: Instant) -> bool:
    delivery = slot.delivery
    return slot.is_beyond_control or delivery.is_unanswered or delivery.refuses(now)


def _is_kept_on(state: ZoneState, slot: Slot, now: Instant) -> bool:
    if slot.ev is None or slot.ev.suspended_at:
        return False
    pauses = slot.delivery.pauses_at(now)
    return pauses.is_to_stay_on(state.min_on, state.max_pauses)


def _limited(
    power_w: NDArray[np.float64], slots: list[Slot], starts: Ints
) -> NDArray[np.float64]:
    """Return what each EV may take over each step, by others' limits too [W]."""
    if not any(slot.limits for slot in slots):
        return power_w
    limited = np.tile(power_w[:, None], starts.size)
    for row, slot in enumerate(slots):
        np.minimum(limited[row], _least(slot.limits.values(), starts), out=limited[row])
    return limited


def _shared(
    state: ZoneState, problem: Problem, free: list[Slot], starts: Ints, now: Instant
) -> Problem:
    """Return the problem with each station's limits shared by its EVSEs.

    The first in the order of service has what it can take, the next what is left, and
    none less than its floor. (A limit of the sum would be a group of the problem. But
    with groups the planner serves by no order.)
    """
    left = _left_by_station(state, free, starts, now)
    if not left:
        return problem
    power_w = problem.power_max_w.copy()
    for row in service_order(problem):
        if (room := left.get(free[row].station)) is not None:
            np.minimum(power_w[row], np.maximum(room, 0.0), out=power_w[row])
            power_w[row, power_w[row] < problem.power_floor_w[row]] = 0.0
            room -= power_w[row]
    return replace(problem, power_max_w=power_w)


def _left_by_station(
    state: ZoneState, free: list[Slot], starts: Ints, now: Instant
) -> dict[StationState, NDArray[np.float64]]:
    """Return what each station's limits leave its EVSEs that are planned [W]."""
    left = {
        station: _least(station.limits.values(), starts)
        for station in dict.fromkeys(slot.station for slot in free)
        if station.limits
    }
    if not left:
        return left
    planned = {slot.evse_id for slot in free}
    for slot in state.counting():
        if slot.evse_id not in planned and slot.station in left:
            left[slot.station] -= _counted(state, [slot], starts, now)
    return left


def _least(limits: Iterable[Course], starts: Ints) -> NDArray[np.float64]:
    """Return the least of others' limits over each step, infinite before them [W]."""
    begun = starts + SECOND - 1
    least: NDArray[np.float64] = np.full(starts.size, np.inf)
    for course in limits:
        most_w = np.where(begun < course.at[0], np.inf, course.over(begun))
        np.minimum(least, most_w, out=least)
    return np.maximum(least, 0.0, out=least)


def _departure_at(ev: Ev, now: Instant) -> Instant:
    return ev.departure_at if ev.departure_at > now else now + ROLLING_DEPARTURE


def _row(
    state: ZoneState, slot: Slot, ev: Ev, energy_wh: float, now: Instant
) -> tuple[float, float, float, float, float, float]:
    """Return power_max, floor, target, max, expected energy and class of an EV."""
    floor_w, power_w = float(slot.least_w), float(slot.max_w)
    target_wh = _target_wh(ev, energy_wh)
    target = max(target_wh - energy_wh, 0.0)
    most_wh = target_wh + BEYOND_ASKED_WH if ev.max_wh is None else ev.max_wh
    most = max(most_wh - energy_wh, target)
    if ev.suspended_at:
        offered = is_offered(ev, now)
        power_w = min(floor_w, power_w) if offered else 0.0
        return power_w, floor_w, 0.0, most if offered else 0.0, 0.0, OFFERED
    if ev.limit_w is not None:
        power_w = min(power_w, max(floor_w, float(probed_w(ev.limit_w))))
    share = state.taken_per_stated_permille / 1000 if ev.stated_by_user else 1.0
    # A share of what is left, not of all: who took much is not about to be finished.
    expected = max(min(share, 1.0) * target, EXPECTED_REST_SHARE * target_wh)
    overdue = OVERDUE if ev.departure_at <= now else PUNCTUAL
    return power_w, floor_w, target, most, expected, overdue


def _target_wh(ev: Ev, energy_wh: float) -> int:
    """Return the energy an EV is to get from its arrival on [Wh].

    Who stated nothing and still charges beyond the zone's default wants more than half
    of those the default was made of: it is doubled until it is more than was taken.
    """
    target_wh = ev.target_wh
    while not ev.stated_by_user and 0 < target_wh <= energy_wh:
        target_wh *= 2
    return target_wh


def _in_force(slots: list[Slot], starts: Ints) -> Ints:
    previous = np.zeros((len(slots), starts.size), np.int64)
    for i, slot in enumerate(slots):
        if slot.ev is not None and slot.ev.etp_course is not None:
            previous[i] = slot.ev.etp_course.over(starts)
    return previous
