"""A day under a strategy, with stations that are reached in memory."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from benchmarks.simulator.clock import SeededIds, SimulatedClock
from benchmarks.simulator.day import (
    CLOSING,
    EQUAL_SHARE,
    OURS,
    UNCONTROLLED,
    ZONE_ID,
    DayOutcome,
    DayRequest,
    commission,
    order_of,
    outcome_of,
    span_of,
    visits_of,
)
from benchmarks.simulator.site import SiteSimulation
from benchmarks.simulator.timeline import Timeline
from benchmarks.strategies import equal_share, uncontrolled
from benchmarks.system_factory import OpenSystem
from domain.loop.zone_loop import Plan, Policy
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from domain.use_cases.shared_path import By


def simulate_day(
    request: DayRequest,
    strategy: str,
    plan: Plan,
    open_system: OpenSystem,
    folder: Path,
    on_progress: Callable[[float], None] = lambda share: None,
) -> DayOutcome:
    """Drive the product through the day; ``plan`` is our planner's ``plan``."""
    begun = perf_counter()
    span = span_of(request)
    order = order_of(request, span)
    clock, ids = SimulatedClock(span.start_at), SeededIds(request.seed)
    with open_system(folder, clock, ids) as system:
        timeline = Timeline(system, clock, span.end_at)
        simulation = _site(request, strategy, plan, order, timeline)
        for visit in visits_of(request, span.records):
            simulation.add(visit)
        simulation.on_progress = on_progress
        timeline.run()
        simulation.finish()
        timeline.settle(min(span.end_at + CLOSING, span.midnight_at))
        return outcome_of(
            request,
            strategy,
            simulation,
            span.records,
            [(span.start_at, order)],
            system,
            begun,
        )


def _site(
    request: DayRequest,
    strategy: str,
    plan: Plan,
    order: ReceivePre,
    timeline: Timeline,
) -> SiteSimulation:
    """Commission the site, set its PRE, and put it on the timeline."""
    system, now = timeline.system, timeline.clock.at
    evses = commission(system, request, now)
    receive_pre(system, order, By(actor="rm", at=now))
    return SiteSimulation(
        system,
        timeline,
        ZONE_ID,
        evses,
        plan_of(strategy, plan),
        seed=request.seed,
        policy=policy_of(strategy),
    )


def plan_of(strategy: str, ours: Plan) -> Plan:
    """Return what plans under a strategy."""
    plans = {EQUAL_SHARE: equal_share.plan, UNCONTROLLED: uncontrolled.plan}
    return plans.get(strategy, ours)


def policy_of(strategy: str) -> Policy:
    """Return what a strategy obeys."""
    return Policy(respects_pre=strategy != UNCONTROLLED, keeps_on=strategy == OURS)
