"""The loop of a zone: wake on relevant events, plan, apply or supersede, deliver (E1).

A synchronous state machine without clock or threads: the service's runner and the
simulator drive it with their own time. Every fact it decides on is read from the
ledger, also what it appended itself.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from domain.loop.allocation import OFFER_AFTER, build, is_offered
from domain.loop.course import Course, points_of
from domain.loop.delivery import ANSWER_WITHIN, REFUSED_FOR
from domain.loop.dispatch import pending, to_send
from domain.loop.etps import fitted, kept_on, new_etps
from domain.loop.observer import Observer, Reading
from domain.loop.planning import Planning, change_of, made_of, room_of, why_unsafe
from domain.loop.slot import Slot
from domain.loop.waking import (
    FREEING,
    FREEING_PACED,
    is_mandatory_pre,
    is_news,
    is_urgent,
)
from domain.loop.zone_state import ZoneState
from domain.model import ids
from domain.model import plan_events as p
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.profile import PowerProfile
from domain.model.values import QUARTER_HOUR, SECOND, Event, Instant
from domain.ports import Append, Batch, Fence, Recorded, System
from optimizer.problem import Problem
from optimizer.result import PlannerError, Result

Plan = Callable[[Problem], Result]

DELIVERY_PACE = SECOND
LEARNED_PERMILLE = 1
_PLANS_TIMED = 100_000
# What readings prove of a delivery; the rest of it is the session's.
_OF_DELIVERY = (p.EtpConfirmed, t.EtpNotFollowed, t.EtpFollowedAgain)


@dataclass(frozen=True)
class Policy:
    """How a strategy differs from ours: what it obeys."""

    respects_pre: bool = True
    keeps_on: bool = True


@dataclass
class Metrics:
    """Counters of one loop since it started."""

    plans: int = 0
    superseded: int = 0
    sends: int = 0
    events: int = 0
    aetp_outside_pre: int = 0
    etps_changed: int = 0
    planner_errors: int = 0
    plan_s: deque[float] = field(default_factory=lambda: deque(maxlen=_PLANS_TIMED))


COUNTERS = (
    "plans",
    "superseded",
    "sends",
    "events",
    "aetp_outside_pre",
    "etps_changed",
    "planner_errors",
)


class ZoneLoop:
    """The life of one zone."""

    def __init__(
        self,
        system: System,
        state: ZoneState,
        plan: Plan,
        fence: Fence,
        policy: Policy | None = None,
        *,
        delivers: bool = True,
    ) -> None:
        """Carry on with a zone's state, under the ownership that ``fence`` proves."""
        self.system = system
        self.state = state
        self.plan = plan
        self.fence = fence
        self.policy = policy or Policy()
        self.metrics = Metrics()
        self.observer = Observer(state.reaction)
        self.planning: Planning | None = None
        self._trigger = "start" if state.counting() else ""
        self._urgent = bool(self._trigger)
        self._delivers = delivers
        self._deliver_at: Instant | None = 0
        self._next_tick: Instant = 0
        self._superseded = False
        self._offered: dict[str, Instant] = {}
        self._retried: dict[str, Instant] = {}
        self._contradicted: dict[str, int] = {}

    def observe(self, row: Recorded) -> None:
        """Take in one row of the zone."""
        event = row.event
        news = is_news(self.state, event)
        self.state.apply(row)
        self.metrics.events += 1
        urgent = is_urgent(event)
        if urgent or news:
            self._trigger = self._trigger or row.type
            self._urgent = self._urgent or urgent
        if is_mandatory_pre(event) and self.planning and not self._superseded:
            self._supersede("a mandatory PRE pre-empts", row.occurred_at)
        if isinstance(event, FREEING):
            self._deliver_at = 0
        elif isinstance(event, FREEING_PACED):
            paced = row.recorded_at + DELIVERY_PACE
            soonest = paced if self._deliver_at is None else self._deliver_at
            self._deliver_at = min(soonest, paced)

    def take_readings(self, at: Instant, readings: Sequence[Reading]) -> bool:
        """Conclude facts from readings and record those that changed materially.

        Return whether there is something to do now.
        """
        is_awaited = False
        facts: dict[tuple[str, Instant], list[Event]] = {}
        for reading in readings:
            slot = self.state.slots.get(reading.evse_id)
            if slot is None or slot.ev is None:
                continue
            if reading.evse_id in self._contradicted:
                self._deliver_at = 0  # what waits for it may go out now
                is_awaited = True
            for fact in self.observer.take(slot, slot.ev, reading):
                told_at = at
                if isinstance(fact, _OF_DELIVERY):
                    stream = ids.delivery_stream(slot.station_id, at)
                elif isinstance(fact, t.SettleLearned):
                    stream = ids.station_stream(slot.station_id)
                else:
                    # Books are of when it was measured, whenever that became known.
                    told_at = min(reading.at, at)
                    stream = ids.session_stream(slot.ev.session_id)
                facts.setdefault((stream, told_at), []).append(fact)
        if facts:
            self._append(
                [Append(stream, tuple(e), told) for (stream, told), e in facts.items()]
            )
        return is_awaited or bool(facts)

    def wake_at(self, now: Instant) -> Instant | None:
        """Return when the loop next has something to do by time alone."""
        due: list[Instant] = []
        if self._trigger and self.planning is None:
            due.append(now if self._urgent else self._pace_at(now))
        if self.planning is None:
            due += self._ticks(now)
        if self._delivers and self._deliver_at is not None:
            due.append(self._deliver_at)
        return max(min(due), now) if due else None

    def _ticks(self, now: Instant) -> list[Instant]:
        """Return when time alone asks for a plan: `_tick` acts on them."""
        due: list[Instant] = []
        for slot in self.state.counting():
            ev = slot.ev
            if ev is None:  # it may draw, unseen, but there is nothing to plan
                continue
            due.append(self._next_tick or now)
            if ev.suspended_at and not is_offered(ev, now):
                due.append(ev.suspended_at + OFFER_AFTER)
            if slot.delivery.refuses(now):
                due.append(slot.delivery.refused_at + REFUSED_FOR)
        return due

    def _pace_at(self, now: Instant) -> Instant:
        if self.state.last_plan_at > now:  # the clock was set back
            return now
        return self.state.last_plan_at + self.state.gap

    def start(self, now: Instant) -> Planning | None:
        """Begin a plan when one is due; its result goes to `finish`."""
        if self.planning is not None:
            return None
        self._tick(now)
        self._fall_back(now)
        if not self._trigger or not (self._urgent or now >= self._pace_at(now)):
            return None
        allocation = build(self.state, now)
        self.planning = Planning(allocation, now, self.state.position, self._trigger)
        self._trigger, self._urgent = "", False
        return self.planning

    def _tick(self, now: Instant) -> None:
        """Ask for a plan at each quarter hour and when an offer is due."""
        evs = [slot.ev for slot in self.state.counting() if slot.ev is not None]
        if not evs:
            self._next_tick = 0
            self._offered.clear()
            self._retried.clear()
            return
        for slot in self.state.counting():
            refused_at = slot.delivery.refused_at
            if (
                refused_at
                and not slot.delivery.refuses(now)
                and self._retried.get(slot.evse_id) != refused_at
            ):
                self._retried[slot.evse_id] = refused_at
                self._trigger = self._trigger or "refusal over"
        if now >= self._next_tick:
            self._trigger = self._trigger or "quarter hour"
            self._next_tick = now - now % QUARTER_HOUR + QUARTER_HOUR
        for ev in evs:
            if is_offered(ev, now) and self._offered.get(ev.session_id) != (
                ev.suspended_at
            ):
                self._offered[ev.session_id] = ev.suspended_at
                self._trigger = self._trigger or "offer"

    def _fall_back(self, now: Instant) -> None:
        """Record once that no PRE covers the present."""
        pre = self.state.envelope.pre
        ended = max((end for _, end, _, _ in pre.spans if end <= now), default=0)
        if pre.covers(now) or self.state.fallback_at >= max(ended, 1):
            return
        event = p.PreFallbackBegan(zone_id=self.state.zone_id)
        self._append([Append(ids.pre_stream(self.state.zone_id), (event,), now)])

    def solve(self, planning: Planning) -> Result | None:
        """Ask the planner; it sees arrays and nothing else. None when it found no plan.

        Then the plan in force holds and the next one comes at the zone's pace.
        """
        begun = perf_counter()
        try:
            return self.plan(planning.allocation.problem)
        except PlannerError as error:
            self.metrics.planner_errors += 1
            self._supersede(f"no plan: {error}", planning.planned_at)
            self._urgent = False
            return None
        finally:
            self.metrics.plan_s.append(perf_counter() - begun)

    def finish(self, result: Result, now: Instant) -> None:
        """Apply a finished plan, or supersede it when it would now be unsafe."""
        planning = self.planning
        if planning is None:  # pre-empted meanwhile
            return
        allocation, respects_pre = planning.allocation, self.policy.respects_pre
        power_w = result.power_w.astype("int64")
        if self.policy.keeps_on:
            power_w = kept_on(allocation, power_w)
        room_w = room_of(self.state, allocation, now, respects_pre)
        if reason := why_unsafe(allocation, power_w, room_w, respects_pre):
            if not self._superseded:
                self._supersede(reason, now)
                return
            # A second one in a row would starve the events the first had seen.
            power_w = fitted(allocation, power_w, room_w)
        self._superseded = False
        etps = new_etps(self.state, allocation, power_w, room_w, now)
        made = made_of(self.state, planning, result, etps, now)
        if self._leaves_pre(made.aetp):
            self.metrics.aetp_outside_pre += 1
        appends = [Append(ids.plan_stream(self.state.zone_id, now), (made,), now)]
        for etp in etps:
            change = change_of(etp, now)
            appends.append(Append(ids.session_stream(etp.session_id), (change,), now))
        if learned := self._learned():
            appends.append(Append(ids.zone_stream(self.state.zone_id), (learned,), now))
        self.planning = None
        self._append(appends)
        self.metrics.plans += 1
        self.metrics.etps_changed += len(etps)

    def _supersede(self, reason: str, now: Instant) -> None:
        planning = self.planning
        assert planning is not None
        self.planning = None
        self._superseded = True
        self._trigger, self._urgent = self._trigger or "superseded", True
        event = p.PlanSuperseded(
            zone_id=self.state.zone_id,
            planned_at=planning.planned_at,
            seen_position=planning.seen_position,
            problem_digest=planning.allocation.digest(),
            reason=reason,
        )
        self._append([Append(ids.plan_stream(self.state.zone_id, now), (event,), now)])
        self.metrics.superseded += 1

    def _leaves_pre(self, aetp: PowerProfile) -> bool:
        """Whether the AETP is above the PRE at any of their changes."""
        course, envelope = Course(aetp), self.state.envelope
        inside = envelope.at[envelope.at > aetp.start_at]
        points = points_of([course], aetp.start_at, inside)
        return bool((course.over(points) > envelope.upper_over(points)).any())

    def _learned(self) -> z.ZoneLearned | None:
        state = self.state
        change = state.learned_permille - state.taken_per_stated_permille
        if abs(change) < LEARNED_PERMILLE:
            return None
        return z.ZoneLearned(
            zone_id=state.zone_id, taken_per_stated_permille=state.learned_permille
        )

    def deliver(self, now: Instant) -> list[tuple[Slot, p.EtpSent]]:
        """Record and return the ETPs that go out now, first ones and repeated ones."""
        if not self._delivers or self._deliver_at is None or now < self._deliver_at:
            return []
        overdue = self._time_out(now)
        self._contradicted = {
            slot.evse_id: power_w
            for slot in self.state.counting()
            if (power_w := self.observer.contradicted_w(slot))
        }
        respects_pre = self.policy.respects_pre
        sends = to_send(self.state, now, respects_pre, self._contradicted) + overdue
        self._deliver_at = self._next_delivery(now, sends)
        if not sends:
            return []
        out = [(self.state.slots[e.evse_id], e) for e in sends]
        self._append(
            [Append(ids.delivery_stream(t.station_id, now), (e,), now) for t, e in out]
        )
        self.metrics.sends += len(out)
        return out

    def _next_delivery(self, now: Instant, sends: list[p.EtpSent]) -> Instant | None:
        """Return when time alone lets an ETP go out or an answer become overdue."""
        due = [now + ANSWER_WITHIN] if sends else []
        for slot in self.state.counting():
            at = slot.delivery.next_wake(now)
            due += [] if at is None else [at]
        due += [
            at for slot in pending(self.state) if (at := self._paced_at(slot)) > now
        ]
        return max(min(due), now + DELIVERY_PACE) if due else None

    def _paced_at(self, slot: Slot) -> Instant:
        return slot.delivery.last_sent_at + slot.pace(self.state.settle_of(slot))

    def _time_out(self, now: Instant) -> list[p.EtpSent]:
        """Record answers that did not come; return what is sent again."""
        appends, again = [], []
        for slot in self.state.counting():
            for sent in slot.delivery.sent:
                if sent.timed_out or now < sent.due_at:
                    continue
                event = p.EtpTimedOut(evse_id=slot.evse_id, number=sent.number)
                stream = ids.delivery_stream(slot.station_id, now)
                appends.append(Append(stream, (event,), now))
                if sent.number < slot.delivery.last_number:
                    continue  # a newer one is on its way
                again.append(
                    p.EtpSent(
                        evse_id=slot.evse_id,
                        number=sent.number,
                        profile=sent.course.profile,
                        attempt=sent.attempt + 1,
                        mandatory=self.state.is_mandatory(now),
                    )
                )
        if appends:
            self._append(appends)
        return again

    def _append(self, appends: list[Append]) -> None:
        self.system.log.append(
            Batch(actor="loop", appends=tuple(appends), fence=self.fence)
        )
