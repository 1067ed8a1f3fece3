"""Law: measured power stays within the PRE, whatever lags and lost answers do."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.model.values import MINUTE, SECOND, Instant
from tests.loop.world import (
    GAP,
    PLANNING,
    REACTION,
    SIMULATED,
    START,
    WIRE,
    Stay,
    World,
    add_all,
    stays,
    uppers,
    world,
)

MINUTES = 40
# A PRE known this early is met: its plan waits for the zone's pace, is made and sent,
# and the car follows. Answers may be lost meanwhile: twice the time to find out.
AHEAD_S = (REACTION + 3 * GAP + PLANNING + WIRE) // SECOND


def exceeded(zone: World) -> np.ndarray:
    """Return the minutes whose mean power is above the PRE by more than 1 W."""
    power_w = zone.simulation.truth.power_w()
    above: np.ndarray = np.flatnonzero(
        power_w > zone.upper_w().minutes(power_w.size) + 1
    )
    return above


@SIMULATED
@given(
    cars=stays(minutes=MINUTES),
    first=uppers(),
    second=uppers(),
    received_s=st.integers(60, 1_200),
    more_s=st.integers(0, 300),
    seed=st.integers(0, 2**16),
)
def test_no_minute_exceeds_a_pre_known_in_time(
    cars: list[Stay],
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
    received_s: int,
    more_s: int,
    seed: int,
) -> None:
    with world(len(cars), MINUTES, safe_w=2_500, seed=seed, lost=0.05) as zone:
        zone.pre(0, *first)
        starts_s = received_s + AHEAD_S + more_s
        zone.pre(received_s, *second, starts_s=starts_s)
        add_all(zone, cars)
        zone.run()
        assert list(exceeded(zone)) == []


def test_an_ev_seen_above_its_etp_is_given_no_more_for_it() -> None:
    """It fell, was still seen above, and rose with what another had not given yet."""
    cars = [
        Stay(1, 126, 461, 13_495, 369, 2_190, 6_656.0, 20),
        Stay(3, 300, 155, 10_328, 3_094, 1_090, 6_656.0, 25),
        Stay(4, 52, 2_976, 3_737, 900, 586, 6_656.0, 30),
    ]
    with world(6, 20, lost=0.02) as zone:
        falls = (120, 12_000), (180, 0), (180, 12_000), (3_600, 3_000)
        zone.pre(0, *falls)
        add_all(zone, cars)
        zone.run()
        assert list(exceeded(zone)) == []


def minutes_of(begin: Instant, end: Instant) -> Sequence[int]:
    return range((begin - START) // MINUTE, (end - START) // MINUTE + 1)


@SIMULATED
@given(
    cars=stays(minutes=MINUTES),
    first=st.integers(8_000, 40_000),
    second=uppers(),
    received_s=st.integers(60, 1_800),
    mandatory=st.booleans(),
)
def test_a_late_pre_is_exceeded_for_a_reaction_time_at_most(
    cars: list[Stay],
    first: int,
    second: list[tuple[int, int]],
    received_s: int,
    mandatory: bool,
) -> None:
    """A mandatory one at once; another one waits for the zone's pace."""
    with world(len(cars), MINUTES, safe_w=2_500) as zone:
        zone.pre(0, (7_200, first))
        zone.pre(received_s, *second, mandatory=mandatory)
        add_all(zone, cars)
        zone.run()
        late_at = START + received_s * SECOND
        by = late_at + REACTION + PLANNING + WIRE + (0 if mandatory else GAP)
        assert set(exceeded(zone)) <= set(minutes_of(late_at, by))


def test_a_late_pre_is_exceeded_at_first() -> None:
    """So the law above is about something."""
    with world(2, 10) as zone:
        zone.pre(0, (7_200, 12_000))
        zone.pre(301, (7_200, 2_000), mandatory=True)
        zone.visit(0, 1, 3_000, 20_000, lag_s=30)
        zone.visit(1, 1, 3_000, 20_000, lag_s=30)
        zone.run()
        assert list(exceeded(zone)) == [5]
