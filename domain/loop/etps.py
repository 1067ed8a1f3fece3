"""From a plan to ETPs: profiles, which of them changed, and the AETP."""

import numpy as np
from numpy.typing import NDArray

from domain.loop.allocation import HORIZON, Allocation
from domain.loop.course import Course, Ints, points_of
from domain.loop.delivery import next_number
from domain.loop.slot import Ev, Slot
from domain.loop.zone_state import ZoneState
from domain.model.profile import Change, Etp, PowerProfile, merged
from domain.model.values import HOUR, QUARTER_HOUR, SECOND, Instant
from optimizer.order_of_service import service_order

# An ETP is issued again when it differs by more than this.
MATERIAL_W = 250
MATERIAL_SHARE = 0.02
MATERIAL_WH = 100
# An ETP ends with the horizon of its plan, and is issued again before that.
ISSUED_AGAIN_AFTER = 20 * HOUR
# Floors are kept until the next quarter hour's plan, and in the step that begins then:
# a fall there would take effect before that plan.
KEPT_ON_FOR = QUARTER_HOUR


def profile_of(power_w: Ints, edges: Ints, reaction: Instant) -> PowerProfile:
    """Return the profile of one EVSE's plan.

    A fall takes effect one reaction time before its boundary, a rise at it: while one
    EV still turns down, nobody else has turned up yet, and a fall of the PRE is met in
    time.
    """
    start = int(edges[0])
    changes = [(0, int(power_w[0]))]
    for t in np.flatnonzero(np.diff(power_w)) + 1:
        after_w, at_s = int(power_w[t]), int(edges[t] - start) // SECOND
        if after_w < changes[-1][1]:
            early_s = max(at_s - reaction // SECOND, 0)
            _lower_from(changes, early_s, after_w)
        if after_w > changes[-1][1]:
            changes.append((at_s, after_w))
    if changes[-1][1]:  # what nobody has planned nobody may draw
        changes.append((int(edges[-1] - start) // SECOND, 0))
    return PowerProfile(start, merged(changes))


def _lower_from(changes: list[tuple[int, int]], from_s: int, power_w: int) -> None:
    """Keep the profile at or below ``power_w`` from an offset on; never raise it."""
    before_w = power_w
    while changes and changes[-1][0] >= from_s:
        before_w = min(before_w, changes.pop()[1])
    if changes:
        before_w = min(power_w, changes[-1][1])
    if not changes or changes[-1][1] != before_w:
        changes.append((from_s, before_w))


def changes_of(edges: Ints, values: NDArray[np.float64]) -> tuple[Change, ...]:
    """Return each step's value, rounded, as changes at seconds from the first edge."""
    starts_s = (edges[:-1] - edges[0]) // SECOND
    whole = np.rint(values).astype(np.int64)
    return merged(zip(starts_s.tolist(), whole.tolist(), strict=True))


def fitted(allocation: Allocation, power_w: Ints, room_w: Ints) -> Ints:
    """Return a plan made safe for what has happened since its problem.

    EVs that left or are blocked get nothing, nobody more than the EVSE's limit, and
    where a step has too little room those give first who are expected to take most.
    """
    problem = allocation.problem
    limits = [
        slot.max_w if _is_there(slot, ev) else 0
        for slot, ev in zip(allocation.slots, allocation.evs, strict=True)
    ]
    floor_w = np.ceil(problem.power_floor_w).astype(np.int64)
    power_w = np.minimum(power_w, np.array(limits, np.int64)[:, None])
    power_w[power_w < floor_w[:, None]] = 0
    givers = np.argsort(-problem.energy_expected_wh, kind="stable")
    for t in np.flatnonzero(power_w.sum(axis=0) > room_w):
        excess = int(power_w[:, t].sum() - room_w[t])
        for row in givers:
            if excess <= 0:
                break
            left = int(power_w[row, t]) - excess
            left = left if left >= floor_w[row] else 0
            excess -= int(power_w[row, t]) - left
            power_w[row, t] = left
    return power_w


def kept_on(allocation: Allocation, power_w: Ints) -> Ints:
    """Return a plan in which EVs that are to stay on have their floor, if it can be.

    In the steps until the next plan, in the order of service: from what is unused and
    from what those served last have above their own floors. Nobody is paused for it.
    """
    if not allocation.kept_on.any():
        return power_w
    problem, starts = allocation.problem, allocation.boundaries[:-1]
    floor_w = np.ceil(problem.power_floor_w).astype(np.int64)
    can = allocation.kept_on & (problem.energy_max_wh > 0)
    order = service_order(problem).tolist()
    power_w = power_w.copy()
    for t in np.flatnonzero(starts <= starts[0] + KEPT_ON_FOR):
        is_there = problem.departure_step > t
        is_wanting = can & is_there & (problem.power_max_w[:, t] >= floor_w)
        room = int(problem.pre_upper_w[t])
        _keep_on(power_w[:, t], floor_w, is_wanting, order, room)
    return power_w


def _keep_on(
    power_w: Ints,
    floor_w: Ints,
    is_wanting: NDArray[np.bool_],
    order: list[int],
    room_w: int,
) -> None:
    """Raise those who want it from 0 to their floors, within one step (n,) [W]."""
    for row in order:
        if not is_wanting[row] or power_w[row]:
            continue
        above = np.maximum(power_w - floor_w, 0)
        lacking = int(floor_w[row] + power_w.sum()) - room_w
        if lacking > above.sum():
            continue
        power_w[row] = floor_w[row]
        for giver in reversed(order):
            gives = max(min(int(above[giver]), lacking), 0)
            power_w[giver] -= gives
            lacking -= gives


def _is_there(slot: Slot, ev: Ev) -> bool:
    return slot.ev is ev and not slot.blocked


def changed_rows(
    allocation: Allocation, power_w: Ints, room_w: Ints, now: Instant
) -> list[int]:
    """Return the rows whose ETP must be issued again.

    Those that changed materially, and then, as long as the sum of old and new leaves
    the PRE somewhere, those whose old ETP exceeds the new one most there.
    """
    edges = allocation.boundaries
    hours = np.diff(edges) / (3600 * SECOND)
    old = old_power(allocation.slots, edges)
    difference_w = np.abs(power_w[:, 0] - old[:, 0])
    material = difference_w > np.maximum(MATERIAL_W, MATERIAL_SHARE * old[:, 0])
    material |= (power_w[:, 0] == 0) & (old[:, 0] > 0)
    # Beyond the horizon of the old plan there is nothing to compare with.
    issued = np.array(
        [now if ev.etp is None else ev.etp.profile.start_at for ev in allocation.evs],
        np.int64,
    )
    compared = edges[:-1] < issued[:, None] + HORIZON
    material |= np.abs(np.where(compared, power_w - old, 0) @ hours) > MATERIAL_WH
    material |= issued < now - ISSUED_AGAIN_AFTER
    material |= np.array([_is_on_default(slot) for slot in allocation.slots], bool)
    pairs = zip(allocation.slots, allocation.evs, strict=True)
    there = np.array([_is_there(slot, ev) for slot, ev in pairs], bool)
    material &= there
    room = room_w - np.where(material[:, None], power_w, old).sum(axis=0)
    while room.size and room.min() < 0:
        step = int(room.argmin())
        may_give = there & ~material
        excess = np.where(may_give, old[:, step] - power_w[:, step], 0)
        row = int(excess.argmax())
        if excess[row] <= 0:
            break
        material[row] = True
        room -= power_w[row] - old[row]
    return [int(i) for i in np.flatnonzero(material)]


def _is_on_default(slot: Slot) -> bool:
    """Whether an EV without ETP may draw what the station gives by itself."""
    has_etp = slot.ev is not None and slot.ev.etp is not None
    return not has_etp and bool(slot.delivery.default.power_w[0])


def old_power(slots: tuple[Slot, ...], edges: Ints) -> Ints:
    """Return the largest power of the ETPs in force over each step, (n, T) [W]."""
    old = np.zeros((len(slots), edges.size - 1), np.int64)
    for i, slot in enumerate(slots):
        if slot.ev is None or slot.ev.etp_course is None:
            continue
        course = slot.ev.etp_course
        old[i] = course.over(edges[:-1])
        inside = (course.at > edges[0]) & (course.at < edges[-1])
        steps = np.searchsorted(edges, course.at[inside], side="right") - 1
        np.maximum.at(old[i], steps, course.power_w[inside])
    return old


def new_etps(
    state: ZoneState,
    allocation: Allocation,
    power_w: Ints,
    room_w: Ints,
    now: Instant,
) -> list[Etp]:
    """Return the ETPs that a plan issues, zero ones for EVs that must stop too."""
    etps = []
    for row in changed_rows(allocation, power_w, room_w, now):
        slot = allocation.slots[row]
        profile = profile_of(power_w[row], allocation.boundaries, state.settle_of(slot))
        etps.append(_etp(slot, profile, now))
    for slot in state.counting():
        etp = slot.ev.etp if slot.ev else None
        must_stop = slot.blocked or slot in allocation.stopped
        if must_stop and etp and any(w for _, w in etp.profile.changes):
            start = int(allocation.boundaries[0])
            etps.append(_etp(slot, PowerProfile(start, ((0, 0),)), now))
    return etps


def _etp(slot: Slot, profile: PowerProfile, now: Instant) -> Etp:
    assert slot.ev is not None  # only EVSEs with an EV are planned
    return Etp(
        evse_id=slot.evse_id,
        session_id=slot.ev.session_id,
        number=next_number(slot.etp_number, now),
        profile=profile,
    )


def aggregated(courses: list[Course], start: Instant) -> PowerProfile:
    """Return the AETP: the sum of ETPs from ``start`` on."""
    points = points_of(courses, start, np.empty(0, np.int64))
    total = np.zeros(points.size, np.int64)
    for course in courses:
        total += course.over(points)
    changes = zip(((points - start) // SECOND).tolist(), total.tolist(), strict=True)
    return PowerProfile(start, merged(changes))
