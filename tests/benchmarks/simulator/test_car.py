"""The car model, by the figures it is documented with."""

import random
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.data.sessions import ChargingRecord, Sessions
from benchmarks.data.site import site_of_stations
from benchmarks.simulator.car import Car, max_power_w
from benchmarks.simulator.day import DayRequest, visits_of
from domain.model.values import HOUR, MINUTE, SECOND, instant_of

FULL_W, SLOW_W, FLOOR_W = 6_656, 3_300, 1_248


def car_of(needed_wh: float = 10_000, energy_wh: float = 0) -> Car:
    car = Car(FULL_W, 10 * SECOND, needed_wh, FLOOR_W, energy_wh=energy_wh)
    car.allowed_w = FULL_W
    car.settle()
    return car


@pytest.mark.parametrize(
    ("share", "of_full"),
    [(0, 1), (0.9, 1), (0.95, 1 - 0.85 / 2), (0.999999, 0.15)],
)
def test_power_falls_linearly_to_15_percent_over_the_last_10(
    share: float, of_full: float
) -> None:
    car = car_of(energy_wh=10_000 * share)
    assert car.power_w == pytest.approx(of_full * FULL_W, rel=1e-4)


def test_a_car_stops_at_what_it_takes() -> None:
    car = car_of(energy_wh=9_999)
    assert car.advance(HOUR) == 1
    car.settle()
    assert car.power_w == 0
    assert car.advance(HOUR) == 0
    assert car.energy_wh == 10_000


def test_nothing_is_drawn_below_the_floor() -> None:
    car = car_of()
    for allowed_w, drawn_w in ((1_247, 0), (1_248, 1_248), (0, 0), (9_000, FULL_W)):
        car.allowed_w = allowed_w
        car.settle()
        assert car.power_w == drawn_w


def test_energy_is_power_times_time() -> None:
    car = car_of()
    assert car.advance(30 * MINUTE) == FULL_W / 2
    assert car.energy_wh == FULL_W / 2


@given(
    base_w=st.sampled_from([FULL_W, SLOW_W]),
    needed_wh=st.integers(1, 60_000),
    stay_s=st.integers(60, 86_400),
)
def test_never_under_what_the_stay_needs_and_never_over_the_evse(
    base_w: int, needed_wh: int, stay_s: int
) -> None:
    power_w = max_power_w(base_w, needed_wh, stay_s * SECOND, FULL_W)
    assert power_w <= FULL_W
    assert power_w >= min(base_w, FULL_W)
    assert power_w == FULL_W or power_w * stay_s / 3_600 >= 1.1 * needed_wh * 0.999


TZ = ZoneInfo("America/Los_Angeles")
DAY = datetime(2019, 10, 29, tzinfo=TZ)


def records(count: int) -> tuple[ChargingRecord, ...]:
    begin = instant_of(DAY)
    return tuple(
        ChargingRecord(
            session_id=f"{i}",
            station_id=f"CA-{300 + i}",
            arrival_at=begin + i * MINUTE,
            departure_at=begin + 20 * HOUR,
            requested_wh=9_000,
            delivered_wh=4_000,
            estimated_departure_at=begin + 10 * HOUR,
            claimed=i % 2 == 0,
            utc_offset_s=-7 * 3_600,
        )
        for i in range(count)
    )


def request_of(found: tuple[ChargingRecord, ...], seed: int) -> DayRequest:
    return DayRequest(
        sessions=Sessions(found, TZ),
        site=site_of_stations(r.station_id for r in found),
        day=date(2019, 10, 29),
        capacity_w=20_000,
        tz=TZ,
        seed=seed,
    )


def test_three_in_ten_cars_are_slow_by_the_seed() -> None:
    found = records(500)
    visits = visits_of(request_of(found, 0), found)
    slow = [v for v in visits if v.max_w == SLOW_W]
    assert {v.max_w for v in visits} == {SLOW_W, FULL_W}
    assert 0.25 < len(slow) / 500 < 0.35
    assert visits == visits_of(request_of(found, 0), found)
    other = visits_of(request_of(found, 1), found)
    assert [v.max_w for v in other] != [v.max_w for v in visits]


def test_lags_are_1_to_30_seconds_and_wishes_only_of_who_claimed() -> None:
    found = records(500)
    visits = visits_of(request_of(found, 0), found)
    lags = {v.lag // SECOND for v in visits}
    assert lags == set(range(1, 31))
    for record, visit in zip(found, visits, strict=True):
        assert visit.takes_wh == record.delivered_wh
        assert visit.stated_wh == (record.requested_wh if record.claimed else None)


def test_a_car_drawn_in_steps_takes_what_it_takes_at_once() -> None:
    dice = random.Random(3)
    whole, parts = car_of(), car_of()
    whole.advance(HOUR)
    left = HOUR
    while left > 0:
        step = min(left, dice.randint(1, 5 * MINUTE))
        parts.advance(step)
        left -= step
    assert parts.energy_wh == pytest.approx(whole.energy_wh)
