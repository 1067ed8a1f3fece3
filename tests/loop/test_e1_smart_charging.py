"""E1 and E3: what happens in a zone reaches its stations as ETPs, inside the PRE."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.model import session_events as s
from domain.model.plan_events import PlanMade
from domain.model.values import HOUR, SECOND, Instant
from domain.use_cases.e1_smart_charging import StateNeeds, state_needs
from domain.use_cases.shared_path import By
from tests.loop.world import (
    FLOOR_W,
    MAX_W,
    PLANNING,
    SIMULATED,
    START,
    WIRE,
    AppendLog,
    Stay,
    World,
    add_all,
    plans_in_force,
    stays,
    uppers,
    world,
)

EVENT_S = 600


def arrival(world: World) -> None:
    world.visit(2, EVENT_S, 3_000, 9_000)


def departure(world: World) -> None:
    world.visit(2, 5, EVENT_S - 5, 9_000)


def changed_needs(world: World) -> None:
    at = START + EVENT_S * SECOND

    def state() -> None:
        needs = StateNeeds(
            session_id=world.session(1),
            departure_at=at + HOUR // 4,
            energy_target_wh=200,
            energy_max_wh=200,
        )
        state_needs(world.system, needs, By(actor="ev-user", at=at))

    world.at(at, state)


def new_pre(world: World) -> None:
    world.pre(EVENT_S, (7_200, 2 * FLOOR_W))


@pytest.mark.requirement("E1.Req1")
@pytest.mark.parametrize(
    ("event", "evses"),
    [(arrival, {0, 2}), (departure, {0, 1}), (changed_needs, {1}), (new_pre, {0, 1})],
)
def test_an_event_leads_to_etps_that_stations_receive(
    event: Callable[[World], None], evses: set[int]
) -> None:
    """Given two EVs that share the PRE and have settled.

    Where an ETP only falls, or rises into room that is proven, it comes with the plan.
    """
    with world(minutes=15) as zone:
        zone.pre(0, (7_200, 9_000))
        zone.visit(0, 1, 3_000, 20_000)
        zone.visit(1, 2, 3_000, 20_000)
        event(zone)
        zone.run()
        at = START + EVENT_S * SECOND
        received = {
            i
            for i, evse in enumerate(zone.evses)
            for stored_at, _ in evse.stored
            if at < stored_at <= at + PLANNING + WIRE
        }
        assert received & evses
        if event in (arrival, new_pre):  # who must make room learns it first
            assert fell_by(zone, at, at + PLANNING + WIRE)
        # Who waits for room has it a reaction time later.
        late = at + PLANNING + WIRE + 32 * SECOND
        expected = {
            slot.evse_id
            for slot in zone.loop.state.counting()
            if slot.ev is not None
            and slot.ev.etp is not None
            and slot.ev.etp.profile.power_w(late)
            != slot.delivery.last.profile.power_w(late)
        }
        assert expected == set()


def fell_by(zone: World, after: Instant, until: Instant) -> bool:
    """Whether a station was told to allow less than it did."""
    return any(
        later.power_w(at) < earlier.power_w(at)
        for evse in zone.evses
        for (_, earlier), (at, later) in zip(evse.stored, evse.stored[1:], strict=False)
        if after < at <= until
    )


@pytest.mark.requirement("E1.Req1")
def test_a_first_arrival_may_charge_within_planning_and_wire() -> None:
    with world(minutes=2) as zone:
        zone.pre(0, (7_200, 9_000))
        zone.visit(0, 30, 3_000, 20_000)
        zone.run()
        at, profile = zone.evses[0].stored[0]
        assert at <= START + 30 * SECOND + PLANNING + WIRE
        assert profile.power_w(at) == MAX_W


@pytest.mark.requirement("E1.Req2")
@SIMULATED
@given(cars=stays(), ranges=uppers())
def test_every_changed_etp_is_told_to_its_session_in_the_same_append(
    cars: list[Stay], ranges: list[tuple[int, int]]
) -> None:
    with world(len(cars), 30, safe_w=3_000) as zone:
        log = AppendLog(zone.system.log)
        zone.loop.system = msgspec.structs.replace(zone.system, log=log)
        zone.pre(0, *ranges)
        add_all(zone, cars)
        rows = zone.run().rows()
        changed = [r for r in rows if isinstance(r.event, s.TransferPlanChanged)]
        told = 0
        for row in rows:
            if not isinstance(row.event, PlanMade):
                continue
            etps = row.event.etps_changed
            following = rows[row.position : row.position + len(etps)]
            assert [
                (r.stream, r.event.evse_id, r.event.number, r.occurred_at)
                for r in following
                if isinstance(r.event, s.TransferPlanChanged)
            ] == [
                (f"session-{e.session_id}", e.evse_id, e.number, row.occurred_at)
                for e in etps
            ]
            together = {log.appended[r.position] for r in (row, *following)}
            assert together == {row.position}
            told += len(etps)
        assert told == len(changed)


@pytest.mark.requirement("E3.Req3")
@pytest.mark.requirement("E4.Req2")
@SIMULATED
@given(
    cars=stays(),
    first=uppers(),
    second=uppers(),
    received_s=st.integers(60, 1_500),
    ahead_s=st.integers(0, 600),
    mandatory=st.booleans(),
)
def test_the_aetp_is_the_sum_of_etps_and_within_the_pre(
    cars: list[Stay],
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
    received_s: int,
    ahead_s: int,
    mandatory: bool,
) -> None:
    with world(len(cars), 30, safe_w=3_000) as zone:
        zone.pre(0, *first)
        zone.pre(
            received_s, *second, starts_s=received_s + ahead_s, mandatory=mandatory
        )
        add_all(zone, cars)
        zone.run()
        upper = zone.upper_w()
        count = 0
        for row, plan, etps in plans_in_force(zone.rows()):
            now = row.occurred_at
            points = {now, *(at for at in upper.changes() if at > now)}
            for profile in (plan.aetp, *(e.profile for e in etps.values())):
                starts = [profile.start_at + c * SECOND for c, _ in profile.changes]
                points |= {at for at in starts if at > now}
            for at in points:
                summed = sum(e.profile.power_w(at) for e in etps.values())
                assert plan.aetp.power_w(at) == summed
                assert summed <= upper.at(at, known_at=now)
            count += 1
        assert count == zone.loop.metrics.plans > 0
        assert zone.loop.metrics.aetp_outside_pre == 0
