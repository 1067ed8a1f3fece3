"""The problem of every plan is a pure function of the ledger, and so is the state."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.loop import allocation
from domain.loop.allocation import build
from domain.loop.replay import check
from domain.loop.router import restore, state_of
from domain.loop.slot import Slot
from domain.model import session_events as s
from domain.model.plan_events import PlanMade, PlanSuperseded
from domain.model.values import HOUR, SECOND, Instant
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.clause_6_2_merging import MergeSessions, merge_sessions
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    add_transaction,
)
from domain.use_cases.clause_7_3_commissioning import (
    ChangeZoneLimits,
    change_zone_limits,
)
from domain.use_cases.clause_7_10_safety import SuspendEvse, suspend_evse
from domain.use_cases.e1_smart_charging import SignalPause, signal_pause
from domain.use_cases.shared_path import By
from tests.loop.world import (
    SIMULATED,
    START,
    ZONE,
    Stay,
    World,
    add_all,
    evse_id,
    stays,
    uppers,
    world,
)

MINUTES = 30
Ranges = list[tuple[int, int]]


def busy(zone: World, cars: list[Stay], ranges: Ranges) -> None:
    """A half hour with a bit of everything, a merge in mid-charge among it."""
    zone.pre(0, *ranges)
    zone.pre(400, *reversed(ranges), starts_s=500)
    zone.pre(1_000, *ranges, mandatory=True)
    add_all(zone, cars)
    zone.at(START + 700 * SECOND, lambda: merge_in_mid_charge(zone))
    zone.at(START + 800 * SECOND, lambda: pause(zone, True))
    zone.at(START + 950 * SECOND, lambda: pause(zone, False))
    zone.at(START + 1_200 * SECOND, lambda: block(zone))
    zone.at(START + 1_300 * SECOND, lambda: shrink(zone))


def by(zone: World) -> By:
    return By(actor="operator", at=zone.clock.at)


def merge_in_mid_charge(zone: World) -> None:
    """Merge what charges at the first EVSE into a session that waits for it."""
    charging = zone.session(0)
    if not charging:
        return
    parked = s.ParkingStarted(session_id="", place="row B")
    command = AddTransaction(
        transaction=parked, reference=Reference("parkco", "ticket", "7")
    )
    answer = add_transaction(zone.system, command, by(zone))
    row = zone.system.log.read(after=answer.first - 1, limit=1)[0]
    into = row.stream.removeprefix("session-")
    merge = MergeSessions(session_id=charging, into_session_id=into)
    merge_sessions(zone.system, merge, by(zone))
    assert zone.session(0) == into


def pause(zone: World, paused: bool) -> None:
    if zone.session(1):
        command = SignalPause(evse_id=evse_id(1), paused=paused)
        signal_pause(zone.system, command, by(zone))


def block(zone: World) -> None:
    suspend_evse(zone.system, SuspendEvse(evse_id=evse_id(2), reason="rain"), by(zone))


def shrink(zone: World) -> None:
    command = ChangeZoneLimits(zone_id=ZONE, limit_w=20_000, safe_upper_w=1_000)
    change_zone_limits(zone.system, command, by(zone))


@SIMULATED
@given(cars=stays(minutes=MINUTES), ranges=uppers(), seed=st.integers(0, 99))
def test_replay_agrees_for_every_plan(
    cars: list[Stay], ranges: Ranges, seed: int
) -> None:
    with world(len(cars), MINUTES, safe_w=2_000, seed=seed, lost=0.05) as zone:
        busy(zone, cars, ranges)
        zone.run()
        shares: list[float] = []
        report = check(zone.system.log, shares.append)
        made = [
            r for r in zone.rows() if isinstance(r.event, PlanMade | PlanSuperseded)
        ]
        assert (report.plans, report.differing) == (len(made), ())
        assert len(shares) == len(made)
        metrics = zone.loop.metrics
        assert metrics.plans + metrics.superseded == len(made) > 0


STEADY = [Stay(i, 5 + 100 * i, 3_600, 15_000, 20_000, 3_600, 3_300, 10) for i in (0, 1)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("PROBE_W", 900), ("EXPECTED_REST_SHARE", 2.0), ("HORIZON", 12 * HOUR)],
)
def test_another_problem_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    with world(3, MINUTES) as zone:
        busy(zone, STEADY, [(3_600, 9_000)])
        zone.run()
        assert check(zone.system.log).differing == ()
        monkeypatch.setattr(allocation, name, value)
        assert check(zone.system.log).differing


@SIMULATED
@given(
    cars=stays(minutes=MINUTES),
    ranges=uppers(),
    looks_s=st.lists(st.integers(10, MINUTES * 60 - 10), min_size=1, max_size=6),
)
def test_a_restart_at_any_instant_sees_what_the_loop_saw(
    cars: list[Stay], ranges: Ranges, looks_s: list[int]
) -> None:
    looked = 0

    def look() -> None:
        nonlocal looked
        now: Instant = zone.clock.at
        zone.simulation.timeline.catch_up()
        _, rows = restore(zone.system.log, ZONE, now)
        again = state_of(ZONE, rows)
        live = zone.loop.state
        assert build(again, now).digest() == build(live, now).digest()
        assert again.received == live.received
        assert again.last_plan_at == live.last_plan_at
        for name, slot in live.slots.items():
            twin = again.slots[name]
            assert twin.ev == slot.ev or (
                twin.ev is not None
                and slot.ev is not None
                and twin.ev.session_id == slot.ev.session_id
                and twin.ev.etp == slot.ev.etp
            )
            assert sent_of(twin) == sent_of(slot)
        looked += 1

    def sent_of(slot: Slot) -> object:
        delivery = slot.delivery
        return (
            delivery.acked.profile,
            delivery.acked_number,
            delivery.pauses_at(zone.clock.at),
            [(x.number, x.course.profile, x.timed_out) for x in delivery.sent],
            [(x.course.profile, x.until) for x in delivery.fading],
        )

    with world(len(cars), MINUTES, safe_w=2_000, lost=0.05) as zone:
        busy(zone, cars, ranges)
        for at_s in looks_s:
            zone.at(START + at_s * SECOND + 1, look)
        zone.run()
    assert looked == len(looks_s)


def test_two_runs_of_one_seed_have_the_same_chain_head(tmp_path: Path) -> None:
    heads = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with world(3, MINUTES, folder=tmp_path / name, seed=seed, lost=0.05) as zone:
            busy(zone, STEADY, [(3_600, 9_000)])
            zone.run()
            log = zone.system.log
            heads.append((log.last_position(), log.hash_at(log.last_position())))
    assert heads[0] == heads[1] != heads[2]


def test_a_merge_in_mid_charge_keeps_the_ev_its_plan_and_its_energy() -> None:
    seen: list[tuple[bool, bool]] = []
    digests: list[bytes] = []

    def look() -> None:
        zone.simulation.timeline.catch_up()
        _, restored = restore(zone.system.log, ZONE, zone.clock.at)
        for state in (zone.loop.state, state_of(ZONE, restored)):
            slot = state.slots[evse_id(0)]
            assert slot.ev is not None
            assert slot.ev.target_wh == 20_000
            seen.append((slot.ev.etp_course is not None, slot.ev.energy_wh > 0))
            digests.append(build(state, zone.clock.at).digest())

    with world(3, MINUTES) as zone:
        busy(zone, STEADY, [(3_600, 9_000)])
        zone.at(START + 700 * SECOND, look)
        zone.at(START + 940 * SECOND, look)
        zone.run()
        types = [row.type for row in zone.rows()]
        assert types.count("session.merged_into") == 1
        assert zone.loop.state.slots[evse_id(0)].ev is not None
    assert seen == [(True, True)] * 4
    assert digests[0] == digests[1] != digests[2] == digests[3]
