"""Which ETPs go out: decreases at once, increases into proven room only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.loop.allocation import build
from domain.loop.course import Course
from domain.loop.dispatch import LEAST_INCREASE_W, gate_of, pending, to_send
from domain.loop.slot import Ev, Slot
from domain.loop.zone_state import ZoneState
from domain.model.plan_events import EtpAccepted, EtpRefused, EtpSent, PreReceived
from domain.model.profile import Etp, PowerProfile, PowerRangeEnvelope, Range
from domain.model.values import SECOND
from domain.ports import Append, Batch
from tests.loop.world import FLOOR_W, MAX_W, START, ZONE, evse_id, world
from tests.store.fakes import MONDAY

NOW = MONDAY + 1_000 * SECOND
REACTION = 30 * SECOND


def flat(power_w: int, at: int = NOW) -> PowerProfile:
    return PowerProfile(at, ((0, power_w),))


def zone_of(upper_w: int, *powers: tuple[int, int]) -> ZoneState:
    """Return a zone whose EVSEs are at one power and planned at another."""
    names = tuple(evse_id(i) for i in range(len(powers)))
    state = ZoneState(ZONE, limit_w=100_000, members=names)
    envelope = PowerRangeEnvelope(MONDAY, (Range(3 * 86_400, 0, upper_w),))
    state.received = [
        (MONDAY, PreReceived(zone_id=ZONE, pre_id="a", envelope=envelope))
    ]
    for i, (name, (is_w, planned_w)) in enumerate(zip(names, powers, strict=True)):
        etp = Etp(evse_id=name, session_id=str(i), number=1, profile=flat(planned_w))
        ev = Ev(str(i), MONDAY, i + 1, departure_at=NOW + 3_600 * SECOND)
        ev.etp, ev.etp_course = etp, Course(etp.profile)
        ev.is_transferring = True
        slot = Slot(name, "s1", MAX_W, FLOOR_W, ev=ev)
        slot.delivery.on_sent(1, flat(is_w, MONDAY), MONDAY, 1)
        slot.delivery.on_accepted(1, MONDAY, REACTION)
        state.slots[name] = slot
    return state


def sent(state: ZoneState, now: int = NOW) -> list[tuple[int, int]]:
    """Send what may go out; return (EVSE, W now) in order."""
    found = to_send(state, now)
    for event in found:
        slot = state.slots[event.evse_id]
        slot.delivery.on_sent(event.number, event.profile, now, event.attempt)
        slot.is_sent = None
    return [(int(e.evse_id[-5:]), e.profile.power_w(now)) for e in found]


def test_decreases_go_first_and_an_increase_waits_for_them() -> None:
    state = zone_of(6_000, (2_000, 4_000), (4_000, 2_000))
    assert sent(state) == [(1, 2_000)]
    fallen = state.slots[evse_id(1)].delivery
    fallen.on_accepted(fallen.last_number, NOW + SECOND, REACTION)
    assert sent(state, NOW + 2 * SECOND) == []
    fallen.on_confirmed(fallen.acked_number)
    assert sent(state, NOW + 3 * SECOND) == [(0, 4_000)]
    assert sent(state, NOW + 4 * SECOND) == []
    assert pending(state) == []


def test_without_a_confirmation_it_goes_after_a_reaction_time() -> None:
    state = zone_of(6_000, (2_000, 4_000), (4_000, 2_000))
    sent(state)
    fallen = state.slots[evse_id(1)].delivery
    fallen.on_accepted(fallen.last_number, NOW + SECOND, REACTION)
    assert sent(state, NOW + REACTION) == []
    assert sent(state, NOW + REACTION + SECOND) == [(0, 4_000)]


def test_an_increase_goes_as_far_as_there_is_room() -> None:
    state = zone_of(7_000, (2_000, 4_000), (4_000, 2_000))
    assert sent(state) == [(1, 2_000), (0, 3_000)]
    little = LEAST_INCREASE_W - 1
    state = zone_of(6_000 + little, (2_000, 4_000), (4_000, 2_000))
    assert sent(state) == [(1, 2_000)]


def test_a_start_below_the_floor_waits() -> None:
    state = zone_of(5_000, (0, 3_000), (4_000, 2_000))
    assert sent(state) == [(1, 2_000)]
    state = zone_of(4_000 + FLOOR_W, (0, 3_000), (4_000, 2_000))
    assert sent(state) == [(1, 2_000), (0, FLOOR_W)]


def test_an_increase_keeps_a_reaction_time_from_the_last_one() -> None:
    state = zone_of(20_000, (2_000, 4_000))
    state.slots[evse_id(0)].delivery.last_sent_at = NOW - REACTION + SECOND
    assert sent(state) == []
    assert sent(state, NOW + SECOND) == [(0, 4_000)]


def test_who_does_not_answer_is_told_to_take_less_and_never_more() -> None:
    for planned_w, told in ((4_000, []), (1_500, [(0, 1_500)])):
        state = zone_of(20_000, (2_000, planned_w))
        delivery = state.slots[evse_id(0)].delivery
        delivery.on_sent(2, flat(2_000), NOW - 60 * SECOND, 1)
        delivery.on_timed_out(2)
        state.slots[evse_id(0)].is_sent = None
        assert sent(state) == told


powers = st.sampled_from([0, FLOOR_W, 2_000, 4_000, MAX_W])


@given(
    evses=st.lists(st.tuples(powers, powers, st.booleans()), min_size=1, max_size=8),
    more_w=st.integers(0, 4_000),
    lost=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_what_may_be_followed_never_adds_up_to_more_than_the_pre(
    evses: list[tuple[int, int, bool]], more_w: int, lost: list[bool]
) -> None:
    """From a zone inside its PRE to a plan inside it, whatever answers are lost."""
    before = sum(w for w, _, _ in evses)
    upper_w = max(before, sum(w for _, w, _ in evses)) + more_w
    state = zone_of(upper_w, *((a, b) for a, b, _ in evses))
    answers = iter(lost)
    for step in range(5):
        now = NOW + step * 12 * SECOND
        sent(state, now)
        assert gate_of(state, now, True).room_w.min() >= 0
        for slot in state.slots.values():
            for waiting in list(slot.delivery.sent):
                if not next(answers, False):
                    slot.delivery.on_accepted(waiting.number, now + SECOND, REACTION)
                    slot.is_sent = None
    if not any(lost):
        sent(state, NOW + 120 * SECOND)
        assert pending(state) == []


def test_a_refused_etp_leaves_the_evse_fixed_at_what_it_has() -> None:
    state = zone_of(6_000, (2_000, 4_000), (0, 2_000))
    slot = state.slots[evse_id(0)]
    slot.delivery.on_sent(2, flat(4_000), NOW - SECOND, 1)
    slot.delivery.on_refused(2, NOW)
    slot.ev.etp_course = Course(flat(2_000))  # type: ignore[union-attr]
    for seconds, fixed in ((10, 1), (299, 1), (301, 0)):
        found = build(state, NOW + seconds * SECOND)
        assert [s.evse_id for s in found.fixed] == [evse_id(0)] * fixed
        assert found.problem.pre_upper_w[0] == (4_000 if fixed else 6_000)


def test_an_unanswered_evse_counts_at_the_larger_of_old_and_new() -> None:
    state = zone_of(20_000, (2_000, 5_000), (0, 0))
    delivery = state.slots[evse_id(0)].delivery
    delivery.on_sent(2, flat(5_000), NOW, 1)
    delivery.on_timed_out(2)
    assert build(state, NOW + 20 * SECOND).problem.pre_upper_w[0] == 15_000
    delivery.on_sent(3, flat(1_500), NOW + SECOND, 1)
    state.slots[evse_id(0)].ev.etp_course = Course(flat(1_500))  # type: ignore[union-attr]
    assert build(state, NOW + 20 * SECOND).problem.pre_upper_w[0] == 15_000


@pytest.mark.parametrize("refuses", [False, True])
def test_a_refusal_in_the_loop_is_planned_around(refuses: bool) -> None:
    """The other EV is never given what the first one refused to give up."""
    with world(2, 10) as zone:
        zone.pre(0, (120, 8_000), (7_200, 4_000))
        zone.visit(0, 1, 3_000, 20_000)
        original = zone.simulation._accepted

        def answer(evse: object, session: int, sent: EtpSent) -> None:
            now = zone.clock.at
            if not refuses or now < START + 60 * SECOND:
                original(evse, session, sent)  # type: ignore[arg-type]
                return
            event = EtpRefused(evse_id=sent.evse_id, number=sent.number, reason="no")
            append = Append(f"delivery-s0-{'2019-10-21'}", (event,), now)
            zone.system.log.append(Batch(actor="s0", appends=(append,)))

        zone.simulation._accepted = answer  # type: ignore[method-assign]
        zone.visit(1, 150, 3_000, 3_000)
        zone.run()
        rows = zone.rows()
        kinds = [type(row.event) for row in rows]
        assert (EtpRefused in kinds) == refuses
        assert EtpAccepted in kinds
        gate = gate_of(zone.loop.state, zone.clock.at, True)
        if not refuses:
            assert gate.room_w.min() >= 0
        assert np.all(gate.upper_w[:1] == 4_000)


def test_a_station_that_refuses_is_not_asked_every_second() -> None:
    state = zone_of(6_000, (4_000, 2_000))
    delivery = state.slots[evse_id(0)].delivery
    asked = 0
    for second in range(60):
        now = NOW + second * SECOND
        asked += len(sent(state, now))
        for waiting in list(delivery.sent):
            delivery.on_refused(waiting.number, now)
            state.slots[evse_id(0)].is_sent = None
    assert asked <= 60 / 10
