"""Law: the PRE is used up while somebody could take it."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.loop.dispatch import gate_of
from domain.loop.envelope import Envelope
from domain.model.values import SECOND, Instant
from tests.loop.world import (
    FLOOR_W,
    GAP,
    MAX_W,
    PLANNING,
    REACTION,
    SIMULATED,
    START,
    WIRE,
    World,
    world,
)

HUGE_WH = 90_000  # never tapers, never ends
UNUSED_AT_MOST = GAP + REACTION + PLANNING + 2 * WIRE


def unused_for(zone: World) -> Instant:
    """Run the zone; return the longest time more than a floor was left unused.

    Unused is what the PRE leaves above ETPs sent and all that counts for them, while an
    EV has an ETP more than nothing below what its EVSE gives.
    """
    longest, since = 0, 0

    def look() -> None:
        nonlocal longest, since
        now = zone.clock.at
        gate = gate_of(zone.loop.state, now, True)
        # A fall of the PRE binds a reaction time before its instant.
        soon = gate.points <= now + REACTION
        room = int(np.minimum(gate.room_w[0], gate.room_w[soon].min()))
        asks = any(
            slot.ev is not None
            and gate.counted_w[slot.evse_id][0] + max(FLOOR_W, 1) <= MAX_W
            for slot in zone.loop.state.occupied()
        )
        if room > FLOOR_W and asks and upper_holds(zone, now):
            since = since or now
            longest = max(longest, now - since)
        else:
            since = 0
        zone.at(now + SECOND, look)

    zone.at(START + SECOND, look)
    zone.run()
    return longest


def upper_holds(zone: World, now: Instant) -> bool:
    """Whether the PRE falls no lower within a reaction time."""
    envelope: Envelope = zone.loop.state.envelope
    here, soon = envelope.upper_over(np.array([now, now + REACTION])).tolist()
    return bool(here <= soon)


@SIMULATED
@given(
    cars=st.lists(
        st.tuples(st.integers(1, 1_500), st.integers(120, 1_800)),
        min_size=2,
        max_size=8,
    ),
    ranges=st.lists(
        st.tuples(st.integers(2, 15).map(lambda m: m * 60), st.integers(1_300, 40_000)),
        min_size=1,
        max_size=5,
    ),
    lost=st.sampled_from([0.0, 0.0, 0.02]),
)
def test_no_more_than_a_floor_is_unused_while_an_ev_could_take_it(
    cars: Sequence[tuple[int, int]], ranges: list[tuple[int, int]], lost: float
) -> None:
    """With fast cars that want energy all the time, and flat prices."""
    with world(len(cars), 30, safe_w=1_300) as zone:
        zone.pre(0, *ranges)
        for i, (arrives_s, stays_s) in enumerate(cars):
            zone.visit(i, arrives_s, stays_s, HUGE_WH, lag_s=0.001)
        assert unused_for(zone) <= UNUSED_AT_MOST


@pytest.mark.parametrize("upper_w", [1_248, 2_000, 9_999, 14_000])
def test_one_constant_pre_is_used_up_to_a_floor(upper_w: int) -> None:
    with world(6, 20) as zone:
        zone.pre(0, (7_200, upper_w))
        for i in range(6):
            zone.visit(i, 1, 3_600, HUGE_WH, lag_s=0.001)
        zone.run()
        drawn = zone.simulation.truth.power_w()[3:19]
        assert upper_w - FLOOR_W <= drawn.min()
        assert drawn.max() <= upper_w + 1e-6
