"""Many EVs and many events: every plan has its row, and no event starves.

With ``VOLTLEDGER_FULL=1`` the hour has 1,000 EVs instead of 200.
"""

import os
import random
from collections.abc import Sequence
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.model.plan_events import PlanMade, PlanSuperseded
from domain.model.values import SECOND, Instant
from domain.ports import Recorded
from domain.use_cases.e1_smart_charging import (
    SignalPause,
    StateNeeds,
    signal_pause,
    state_needs,
)
from domain.use_cases.shared_path import By
from tests.loop.world import (
    GAP,
    PLANNING,
    SIMULATED,
    START,
    World,
    evse_id,
    world,
)

URGENT = {"evse.occupied", "evse.vacated", "evse.blocked", "evse.unblocked"}
RELEVANT = URGENT | {
    "needs.stated",
    "transfer.observed",
    "transfer.paused",
    "transfer.resumed",
    "pre.received",
    "etp.refused",
    "etp.timed_out",
}
SPARE = SECOND


def waits(rows: Sequence[Recorded], end_at: Instant) -> list[tuple[str, Instant]]:
    """Return how long each relevant event waited for a plan made in its knowledge.

    What is still waiting at the end counts up to there.
    """
    made = [
        (row.event.seen_position, row.occurred_at)
        for row in rows
        if isinstance(row.event, PlanMade)
    ]
    found, k = [], 0
    for row in rows:
        if row.type not in RELEVANT:
            continue
        while k < len(made) and made[k][0] < row.position:
            k += 1
        planned_at = made[k][1] if k < len(made) else end_at
        found.append((row.type, planned_at - row.recorded_at))
    return found


def in_ledger(zone: World) -> None:
    """Every plan that was started has its row; all but one still under way."""
    rows = zone.rows()
    made = [r.event for r in rows if isinstance(r.event, PlanMade)]
    superseded = [r.event for r in rows if isinstance(r.event, PlanSuperseded)]
    started = len(zone.loop.metrics.plan_s)
    under_way = zone.loop.planning is not None
    assert started == len(made) + len(superseded) + under_way
    assert all(event.reason for event in superseded)
    assert all(event.trigger for event in made)
    seen = [e.event.seen_position for e in rows if isinstance(e.event, PlanMade)]
    assert seen == sorted(seen)


def test_an_hour_of_many_evs() -> None:
    n = 1_000 if os.environ.get("VOLTLEDGER_FULL") else 200
    dice = random.Random(1)
    begun = perf_counter()
    with world(n, 60, limit_w=n * 2_000) as zone:
        zone.pre(0, (2_400, n * 2_000), (86_400, n * 1_500))
        for i in range(n):
            stays_s = dice.randint(1_800, 9 * 3_600)
            zone.visit(
                i,
                dice.randint(1, 900),
                stays_s,
                dice.randint(3_000, 40_000),
                stated_wh=dice.randint(5_000, 50_000),
                stated_s=dice.randint(3_600, 9 * 3_600),
                lag_s=dice.randint(1, 30),
            )
        zone.run()
        in_ledger(zone)
        found = waits(zone.rows(), zone.clock.at)
        slowest = max(wait for _, wait in found)
        urgent = max(wait for kind, wait in found if kind in URGENT)
        upper_w = zone.upper_w().minutes(60)
        assert (zone.simulation.truth.power_w() <= upper_w + 1).all()
        metrics = zone.loop.metrics
        print(
            f"{n} EVs: {perf_counter() - begun:.0f} s, {metrics.plans} plans, "
            f"{metrics.superseded} superseded, {len(found)} relevant events, "
            f"{zone.system.log.last_position()} rows; an event waits "
            f"{slowest / SECOND:.1f} s at most, an urgent one {urgent / SECOND:.1f} s"
        )
        # A plan may be under way when an event comes, and be superseded at its end.
        assert slowest <= GAP + PLANNING + SPARE
        assert urgent <= 3 * PLANNING + SPARE


ACTS = ("needs", "pause", "resume", "pre")


def act(zone: World, what: str, evse: int, power_w: int) -> None:
    by = By(actor="ev-user", at=zone.clock.at)
    session_id = zone.session(evse)
    if what == "pre":
        zone.pre((zone.clock.at - START) // SECOND, (7_200, power_w))
    elif session_id and what == "needs":
        needs = StateNeeds(
            session_id=session_id,
            departure_at=zone.clock.at + 3_600 * SECOND,
            energy_target_wh=power_w,
        )
        state_needs(zone.system, needs, by)
    elif session_id:
        command = SignalPause(evse_id=evse_id(evse), paused=what == "pause")
        signal_pause(zone.system, command, by)


@settings(SIMULATED, max_examples=20)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(ACTS), st.integers(0, 7), st.integers(1_000, 30_000)),
        min_size=200,
        max_size=200,
    ),
    departs_s=st.lists(st.integers(20, 230), min_size=8, max_size=8),
)
def test_an_event_each_second_starves_none(
    acts: list[tuple[str, int, int]], departs_s: list[int]
) -> None:
    """Ten times the rate at which the zone plans."""
    with world(8, 5) as zone:
        zone.pre(0, (7_200, 15_000))
        for i, departs in enumerate(departs_s):
            zone.visit(i, 1 + i, departs - i, 20_000)
        for second, (what, evse, power_w) in enumerate(acts):
            zone.at(
                START + (15 + second) * SECOND,
                lambda what=what, evse=evse, power_w=power_w: act(  # type: ignore[misc]
                    zone, what, evse, power_w
                ),
            )
        zone.run()
        in_ledger(zone)
        for kind, wait in waits(zone.rows(), zone.clock.at):
            if kind in URGENT:
                assert wait <= 3 * PLANNING + SPARE, kind
            assert wait <= GAP + PLANNING + SPARE, kind
        assert zone.loop.metrics.plans <= 300 / 10 + 16 + 2


@pytest.mark.parametrize("what", ["departure", "mandatory PRE"])
def test_departures_or_mandatory_pres_each_second_starve_none(what: str) -> None:
    """With a planning time of a second; the service plans in milliseconds."""
    with world(30, 2) as zone:
        zone.pre(0, (7_200, 15_000))
        for i in range(30):
            zone.visit(i, 1, 40 + i if what == "departure" else 400, 20_000)
        if what == "mandatory PRE":
            for second in range(40, 70):
                zone.pre(second, (7_200, 15_000 - 100 * second), mandatory=True)
        zone.run()
        found = waits(zone.rows(), zone.clock.at)
        assert max(wait for _, wait in found) <= GAP + PLANNING + SPARE
