"""Delivery of ETPs: decreases at once, increases as far as room is proven."""

from dataclasses import dataclass

import numpy as np

from domain.loop.course import Course, Ints, points_of
from domain.loop.delivery import next_number
from domain.loop.zone_state import Slot, ZoneState
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


def gate_of(state: ZoneState, now: Instant, respects_pre: bool) -> Gate:
    """Return the gate of a zone at ``now``."""
    courses: list[Course] = []
    slots = state.counting()
    for slot in slots:
        courses += slot.delivery.courses(now)
        if slot.ev is not None and slot.ev.etp is not None:
            courses.append(Course(slot.ev.etp.profile))
    horizon = max((int(c.at[-1]) for c in courses), default=now)
    boundaries = state.envelope.boundaries(now, horizon + 1)
    points = points_of(courses, now, boundaries)
    upper = state.envelope.upper_over(points)
    if not respects_pre:
        upper = np.full(points.size, np.iinfo(np.int64).max // 2)
    counted = {
        slot.evse_id: slot.delivery.counted_w(points, now, state.reaction)
        for slot in slots
    }
    return Gate(points, upper, counted)


def pending(state: ZoneState) -> list[Slot]:
    """Return the EVSEs whose station was not sent what the plan says."""
    return [
        slot
        for slot in state.counting()
        if slot.ev is not None
        and slot.ev.etp is not None
        and not slot.delivery.is_unanswered
        and slot.delivery.last.profile.changes != slot.ev.etp.profile.changes
        and not _same_from_now(slot)
    ]


def _same_from_now(slot: Slot) -> bool:
    """Whether what was sent last says the same as the plan from its sending on."""
    assert slot.ev is not None and slot.ev.etp is not None
    etp, last = Course(slot.ev.etp.profile), slot.delivery.last
    begin = max(etp.profile.start_at, last.profile.start_at)
    points = np.concatenate([[begin], etp.at[etp.at > begin], last.at[last.at > begin]])
    return bool((etp.over(points) == last.over(points)).all())


def to_send(state: ZoneState, now: Instant, respects_pre: bool = True) -> list[EtpSent]:
    """Return the ETPs that may go out now, decreases first.

    What an EVSE may follow never adds up to more than the PRE: an increase goes out as
    far as the PRE leaves room above everything that may be in force, the rest waits for
    decreases to be confirmed.
    """
    waiting = pending(state)
    if not waiting:
        return []
    gate = gate_of(state, now, respects_pre)
    room = gate.room_w
    sends: list[EtpSent] = []
    ranked = sorted(waiting, key=lambda slot: _increase_w(slot, now))
    for slot in ranked:
        assert slot.ev is not None and slot.ev.etp is not None
        counted = gate.counted_w[slot.evse_id]
        wanted = Course(slot.ev.etp.profile).over(gate.points)
        more = np.maximum(wanted - counted, 0)
        if (more <= np.maximum(room, 0)).all():
            profile = PowerProfile(now - now % SECOND, _changes(gate.points, wanted, now))
        else:
            partly = _partly(slot, wanted, counted, room)
            last_w = slot.delivery.last.over(gate.points[:1])[0]
            rises = partly[0] - last_w
            if 0 <= rises < LEAST_INCREASE_W and not (
                partly < slot.delivery.last.over(gate.points)
            ).any():
                continue
            profile = PowerProfile(now - now % SECOND, _changes(gate.points, partly, now))
            more = np.maximum(partly - counted, 0)
        rises_now = wanted[0] > slot.delivery.last.over(gate.points[:1])[0]
        if rises_now and now < slot.delivery.last_sent_at + state.reaction:
            continue
        room = room - more
        number = next_number(slot.delivery.last_number, now)
        sends.append(EtpSent(evse_id=slot.evse_id, number=number, profile=profile))
    return sends


def _increase_w(slot: Slot, now: Instant) -> int:
    assert slot.ev is not None and slot.ev.etp is not None
    return slot.ev.etp.profile.power_w(now) - slot.delivery.last.profile.power_w(now)


def _partly(slot: Slot, wanted: Ints, counted: Ints, room: Ints) -> Ints:
    partly = np.minimum(wanted, counted + np.maximum(room, 0))
    return np.where(partly < np.minimum(slot.floor_w, wanted), 0, partly)


def _changes(points: Ints, power_w: Ints, now: Instant) -> tuple[tuple[int, int], ...]:
    start = now - now % SECOND
    offsets = np.maximum((points - start) // SECOND, 0)
    return merged(zip(offsets.tolist(), power_w.tolist(), strict=True))
