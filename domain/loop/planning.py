"""A plan under way: whether it may be applied, and what the ledger is told of it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from domain.loop.allocation import Allocation, upper_w
from domain.loop.course import Course, Ints
from domain.loop.delivery import flat
from domain.loop.etps import aggregated, changes_of
from domain.loop.zone_state import ZoneState
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model.profile import Etp
from domain.model.values import SECOND, Instant
from optimizer.result import Result


@dataclass(frozen=True)
class Planning:
    """A plan under way."""

    allocation: Allocation
    planned_at: Instant
    seen_position: int
    trigger: str


def room_of(
    state: ZoneState, allocation: Allocation, now: Instant, respects_pre: bool
) -> Ints:
    """Return what the PRE leaves the planned EVs over each step now (T,) [W]."""
    if not respects_pre:
        return np.full(allocation.envelope_w.size, np.iinfo(np.int64).max // 2)
    starts = allocation.boundaries[:-1]
    taken = allocation.envelope_w - allocation.problem.pre_upper_w.astype(np.int64)
    room_w: Ints = np.maximum(upper_w(state.envelope, starts, now) - taken, 0)
    return room_w


def why_unsafe(
    allocation: Allocation, power_w: Ints, room_w: Ints, respects_pre: bool
) -> str:
    """Return why a finished plan may not be applied; empty when it may."""
    most_w = power_w.max(axis=1, initial=0)
    for slot, ev, ev_most_w in zip(
        allocation.slots, allocation.evs, most_w, strict=True
    ):
        if slot.ev is not ev:
            return f"{slot.evse_id} was vacated"
        if slot.blocked:
            return f"{slot.evse_id} was blocked"
        if respects_pre and ev_most_w > slot.max_w:
            return f"the limit of {slot.evse_id} shrank"
    if (power_w.sum(axis=0) > room_w).any():
        return "the PRE or a limit shrank"
    return ""


def made_of(
    state: ZoneState, planning: Planning, result: Result, etps: list[Etp], now: Instant
) -> p.PlanMade:
    """Return the event of a plan that is applied with these ETPs."""
    courses = {etp.evse_id: Course(etp.profile) for etp in etps}
    for slot in state.counting():
        if slot.ev is not None and slot.ev.etp_course is not None:
            courses.setdefault(slot.evse_id, slot.ev.etp_course)
    drawn = [
        flat(slot.delivery.drawn_w)
        for slot in state.counting()
        if slot.delivery.drawn_w is not None
        and courses.pop(slot.evse_id, None) is not None
    ]
    edges = planning.allocation.boundaries
    return p.PlanMade(
        zone_id=state.zone_id,
        planned_at=planning.planned_at,
        seen_position=planning.seen_position,
        trigger=planning.trigger,
        status=result.status.value,
        problem_digest=planning.allocation.digest(),
        etps_changed=tuple(etps),
        aetp=aggregated([*courses.values(), *drawn], now - now % SECOND),
        unserved_wh=int(result.unmet_target_wh.sum()),
        pre_worth=changes_of(edges, result.pre_service_price * 1e3),
        pre_price=changes_of(edges, result.pre_price_per_kwh * 1e6),
        is_certified=result.certificate.accepted,
        gap_ppm=round(result.certificate.gap * 1e6),
    )


def change_of(etp: Etp, now: Instant) -> s.TransferPlanChanged:
    """Return the event that tells a session of its ETP."""
    changes = etp.profile.changes
    energy = 0
    for (from_s, power_w), (to_s, _) in pairwise(changes):
        energy += power_w * (to_s - from_s)
    return s.TransferPlanChanged(
        session_id=etp.session_id,
        evse_id=etp.evse_id,
        number=etp.number,
        power_w=etp.profile.power_w(now),
        energy_wh=energy // 3600,
    )
