"""Delivery of ETPs: decreases at once, increases as far as room is proven."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from domain.loop.course import Course, Ints, points_of
from domain.loop.delivery import next_number
from domain.loop.slot import Slot
from domain.loop.zone_state import ZoneState
from domain.model.plan_events import EtpSent
from domain.model.profile import PowerProfile, merged
from domain.model.values import SECOND, Instant

# A partial increase smaller than this waits for more room.
LEAST_INCREASE_W = 250


@dataclass(frozen=True)
class Gate:
    """Instants, the PRE there and what all EVSEs count there."""

    points: Ints
    upper_w: Ints
    counted_w: dict[str, Ints]

    @property
    def room_w(self) -> Ints:
        """What the PRE leaves above all that may be in force (n_point,) [W]."""
        total = np.zeros(self.points.size, np.int64)
        for counted in self.counted_w.values():
            total += counted
        return self.upper_w - total


def gate_of(
    state: ZoneState,
    now: Instant,
    respects_pre: bool,
    seen_w: Mapping[str, int] = MappingProxyType({}),
) -> Gate:
    """Return the gate of a zone at ``now``.

    ``seen_w`` is what EVSEs were last seen to draw above what they accepted [W].
    """
    courses: list[Course] = []
    slots = state.counting()
    for slot in slots:
        courses += slot.delivery.courses(now)
        if slot.ev is not None and slot.ev.etp_course is not None:
            courses.append(slot.ev.etp_course)
    horizon = max((int(c.at[-1]) for c in courses), default=now)
    boundaries = state.envelope.boundaries(now, horizon + 1)
    points = points_of(courses, now, boundaries)
    upper = state.envelope.upper_over(points)
    if not respects_pre:
        upper = np.full(points.size, np.iinfo(np.int64).max // 2)
    counted = {
        slot.evse_id: np.maximum(
            slot.delivery.counted_w(points, now, state.settle_of(slot)),
            seen_w.get(slot.evse_id, 0),
        )
        for slot in slots
    }
    return Gate(points, upper, counted)


def pending(state: ZoneState) -> list[Slot]:
    """Return the EVSEs whose station was not sent what the plan says."""
    return [
        slot
        for slot in state.slots.values()
        if slot.ev is not None
        and slot.ev.etp_course is not None
        and (slot.delivery.is_to_be_told or not _is_sent(slot, slot.ev.etp_course))
    ]


def _is_sent(slot: Slot, etp: Course) -> bool:
    """Whether what was sent last says the same as the plan from its sending on."""
    if slot.is_sent is None:
        last = slot.delivery.last
        begin = max(etp.profile.start_at, last.profile.start_at)
        points = np.concatenate(
            [[begin], etp.at[etp.at > begin], last.at[last.at > begin]]
        )
        slot.is_sent = bool((etp.over(points) == last.over(points)).all())
    return slot.is_sent


def to_send(
    state: ZoneState,
    now: Instant,
    respects_pre: bool = True,
    seen_w: Mapping[str, int] = MappingProxyType({}),
) -> list[EtpSent]:
    """Return the ETPs that may go out now, decreases first.

    What an EVSE may follow never adds up to more than the PRE: an increase goes out as
    far as the PRE leaves room above everything that may be in force, the rest waits for
    decreases to be confirmed. Where the last reading contradicts one (``seen_w``) the
    settle time alone confirms nothing.
    """
    waiting = pending(state)
    if not waiting:
        return []
    gate = gate_of(state, now, respects_pre, seen_w)
    room = gate.room_w
    sends: list[EtpSent] = []
    ranked = sorted(waiting, key=lambda slot: _increase_w(slot, now))
    for slot in ranked:
        settle = state.settle_of(slot)
        power_w = _sendable_w(slot, gate, room, now, settle)
        if power_w is None:
            continue
        held_w = held(power_w, gate.points, settle)
        room = room - np.maximum(held_w - gate.counted_w[slot.evse_id], 0)
        number = next_number(slot.delivery.last_number, now)
        profile = _profile(gate.points, power_w, now)
        sends.append(
            EtpSent(
                evse_id=slot.evse_id,
                number=number,
                profile=profile,
                mandatory=state.is_mandatory(now),
            )
        )
    return sends


def _sendable_w(
    slot: Slot, gate: Gate, room: Ints, now: Instant, settle: Instant
) -> Ints | None:
    """Return what of an EVSE's plan may go out now, at each point; None to wait."""
    if not slot.is_reachable:
        return None
    assert slot.ev is not None
    assert slot.ev.etp_course is not None
    counted = gate.counted_w[slot.evse_id]
    wanted = slot.ev.etp_course.over(gate.points)
    last = slot.delivery.last.over(gate.points)
    if slot.delivery.is_unanswered and (wanted > last).any():
        return None  # who does not answer is only ever told to take less
    if slot.delivery.refuses(now):
        return None
    # What the others leave, or what it was told; that it may still draw more, as after
    # a fall or where it does not follow, is no leave to go on.
    most = fitting(np.maximum(counted + room, last), gate.points, settle)
    if (wanted <= most).all():
        power_w = wanted
    else:
        power_w = np.minimum(wanted, most)
        power_w = np.where(power_w < np.minimum(slot.least_w, wanted), 0, power_w)
        if 0 <= power_w[0] - last[0] < LEAST_INCREASE_W and (power_w >= last).all():
            return None
    near = gate.points <= now + settle
    is_urgent = bool((power_w < last)[near].any())
    if not is_urgent and now < slot.delivery.last_sent_at + slot.pace(settle):
        return None
    return power_w


def held(power_w: Ints, points: Ints, reaction: Instant) -> Ints:
    """Return what powers from each point on count at: falls count a reaction later."""
    counted = power_w.copy()
    for back in range(1, points.size):
        late = points[1 : points.size - back + 1] + reaction > points[back:]
        if not late.any():
            break
        earlier = power_w[: points.size - back]
        np.maximum(counted[back:], earlier, out=counted[back:], where=late)
    return counted


def fitting(allowed_w: Ints, points: Ints, reaction: Instant) -> Ints:
    """Return the most a profile may say at each point to count within the limits."""
    most = allowed_w.copy()
    for ahead in range(1, points.size):
        late = points[1 : points.size - ahead + 1] + reaction > points[ahead:]
        if not late.any():
            break
        later = allowed_w[ahead:]
        np.minimum(
            most[: points.size - ahead],
            later,
            out=most[: points.size - ahead],
            where=late,
        )
    return most


def _increase_w(slot: Slot, now: Instant) -> int:
    assert slot.ev is not None
    assert slot.ev.etp is not None
    return slot.ev.etp.profile.power_w(now) - slot.delivery.last.profile.power_w(now)


def _profile(points: Ints, power_w: Ints, now: Instant) -> PowerProfile:
    start = now - now % SECOND
    offsets = np.maximum((points - start) // SECOND, 0)
    changes = zip(offsets.tolist(), power_w.tolist(), strict=True)
    return PowerProfile(start, merged(changes))
