"""7.10 and E1: an EV at an EVSE that is blocked is told to take nothing."""

from collections.abc import Callable

import pytest

from domain.model.values import SECOND, Instant
from domain.ports import Answer
from domain.use_cases.clause_7_10_safety import (
    RecordAssessment,
    ReleaseEvse,
    ReportSafetyIssue,
    SuspendEvse,
    record_assessment,
    release_evse,
    report_safety_issue,
    suspend_evse,
)
from domain.use_cases.shared_path import By
from tests.loop.world import PLANNING, REACTION, START, WIRE, World, evse_id, world

BLOCKED = START + 600 * SECOND
FREE = START + 900 * SECOND
PRE_W = 9_000

Act = Callable[[World, By], Answer]


def report(zone: World, by: By) -> Answer:
    command = ReportSafetyIssue(evse_id=evse_id(0), issue="smoke")
    return report_safety_issue(zone.system, command, by)


def assess(zone: World, by: By) -> Answer:
    command = RecordAssessment(
        evse_id=evse_id(0), issue_number=1, is_safe=True, assessor="i7"
    )
    return record_assessment(zone.system, command, by)


def suspend(zone: World, by: By) -> Answer:
    return suspend_evse(zone.system, SuspendEvse(evse_id=evse_id(0), reason="rain"), by)


def release(zone: World, by: By) -> Answer:
    return release_evse(zone.system, ReleaseEvse(evse_id=evse_id(0), reason="dry"), by)


def two_evs(zone: World, *acts: tuple[Instant, Act]) -> World:
    """Let two EVs share the PRE, and somebody act meanwhile."""
    zone.pre(0, (7_200, PRE_W))
    zone.visit(0, 1, 3_000, 20_000)
    zone.visit(1, 2, 3_000, 20_000)
    for at, act in acts:
        by = By(actor="operator", at=at)
        zone.at(at, lambda act=act, by=by: act(zone, by))  # type: ignore[misc]
    return zone.run()


def told_w(zone: World, evse: int, at: Instant) -> int:
    """Return what the ETP that a station stored last by an instant allows there."""
    stored = [profile for stored_at, profile in zone.evses[evse].stored]
    times = [stored_at for stored_at, _ in zone.evses[evse].stored]
    known = [p for stored_at, p in zip(times, stored, strict=True) if stored_at <= at]
    return known[-1].power_w(at)


@pytest.mark.requirement("7.10.1")
@pytest.mark.parametrize("block", [report, suspend])
def test_an_ev_at_a_blocked_evse_gets_an_etp_of_zero_at_once(block: Act) -> None:
    with world(minutes=14) as zone:
        two_evs(zone, (BLOCKED, block))
        assert told_w(zone, 0, BLOCKED) > 0
        soon = BLOCKED + PLANNING + WIRE
        assert told_w(zone, 0, soon) == 0
        last = zone.evses[0].stored[-1][1]
        assert all(power_w == 0 for _, power_w in last.changes)
        assert told_w(zone, 1, soon) > 0


def test_its_power_counts_until_the_station_is_known_to_have_turned_it_off() -> None:
    with world(minutes=14) as zone:
        two_evs(zone, (BLOCKED, report))
        before_w = told_w(zone, 0, BLOCKED)
        stored_at = next(
            at for at, p in zone.evses[0].stored if at > BLOCKED and not p.power_w(at)
        )
        rises = [
            at
            for at, p in zone.evses[1].stored
            if at > BLOCKED and p.power_w(at) + before_w > PRE_W
        ]
        assert stored_at < rises[0] <= stored_at + REACTION + 10 * SECOND
        # Nothing shows the fall sooner than two readings at the new value.
        assert rises[0] >= stored_at + 10 * SECOND


@pytest.mark.requirement("7.10.1")
def test_it_charges_on_when_neither_safety_nor_its_operator_forbids_it() -> None:
    later = FREE + 120 * SECOND
    with world(minutes=20) as zone:
        acts = ((BLOCKED, report), (BLOCKED + SECOND, suspend), (FREE, assess))
        two_evs(zone, *acts, (later, release))
        assert told_w(zone, 0, later - SECOND) == 0
        assert told_w(zone, 0, later + 2 * REACTION) > 0
