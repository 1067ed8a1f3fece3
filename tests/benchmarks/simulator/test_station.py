"""The station side: what it stores, and the wire and lag after which cars follow."""

import numpy as np
import pytest

from benchmarks.simulator.station import SimulatedEvse
from domain.model.profile import PowerProfile
from domain.model.values import SECOND
from tests.loop.world import MAX_W, START, world


def profile(*changes: tuple[int, int]) -> PowerProfile:
    return PowerProfile(START, changes)


def test_an_etp_allows_its_power_now_and_later() -> None:
    evse = SimulatedEvse("E", "s")
    allows = evse.store(5, profile((0, 1), (10, 2), (20, 3)), START + 12 * SECOND)
    assert allows == [(START + 12 * SECOND, 2), (START + 20 * SECOND, 3)]


def test_an_etp_that_comes_late_changes_nothing() -> None:
    evse = SimulatedEvse("E", "s")
    evse.store(5, profile((0, 1)), START)
    assert evse.store(4, profile((0, 2)), START + SECOND) == []
    assert evse.profile == profile((0, 1))


@pytest.mark.parametrize("lag_s", [1, 12, 30])
def test_a_car_follows_after_its_lag(lag_s: int) -> None:
    with world(1, 3) as zone:
        zone.pre(0, (7_200, 20_000))
        zone.visit(0, 1, 3_000, 20_000, lag_s=lag_s)
        follows: list[float] = []

        def look() -> None:
            car = zone.evses[0].car
            if car is not None and car.power_w == MAX_W and not follows:
                follows.append(zone.clock.at)
            zone.at(zone.clock.at + SECOND // 10, look)

        zone.at(START + 2 * SECOND, look)
        zone.run()
        stored_at = zone.evses[0].stored[0][0]
        # The meter too lets a car settle; the station allowed it a lag before.
        assert 0 <= follows[0] - stored_at - lag_s * SECOND <= SECOND // 5


@pytest.mark.parametrize(("lost", "again"), [(0.0, False), (0.6, True)])
def test_lost_answers_are_sent_again(lost: float, again: bool) -> None:
    with world(4, 10, lost=lost) as zone:
        zone.pre(0, (7_200, 9_000))
        for i in range(4):
            zone.visit(i, 1 + i, 3_000, 20_000)
        zone.run()
        kinds = [row.type for row in zone.rows()]
        assert ("etp.timed_out" in kinds) == again
        assert zone.simulation.truth.power_w().max() <= 9_001


def test_the_truth_is_what_the_meters_say() -> None:
    with world(4, 30) as zone:
        zone.pre(0, (7_200, 12_000))
        for i in range(4):
            zone.visit(i, 1 + 100 * i, 1_000, 2_500, lag_s=1 + i)
        zone.run()
        truth = zone.simulation.truth.energy_wh.sum()
        drivers = sum(driver.energy_wh for driver in zone.simulation.drivers)
        registers = sum(evse.register_wh for evse in zone.evses)
        assert np.allclose([truth, drivers], registers)
        assert registers > 3_000
