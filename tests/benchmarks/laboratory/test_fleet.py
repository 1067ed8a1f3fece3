"""From sessions to a fleet: steps, needs, what is told; generated sessions; prices."""

from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.data.sessions import ChargingRecord, Sessions
from benchmarks.laboratory.fleet import Fleet, fleet_of
from benchmarks.laboratory.generated import generated_sessions
from benchmarks.laboratory.prices import price_steps, read_prices
from benchmarks.laboratory.setting import REALISTIC, STANDARD, Setting
from benchmarks.laboratory.site import EVSE_MAX_W, site_of
from domain.errors import InvalidValue
from domain.model.values import HOUR, MINUTE, instant_of
from tests.benchmarks.laboratory.cases import FIRST, GARAGE, LAST

MIDNIGHT = instant_of(datetime(2019, 5, 6, tzinfo=UTC))


def record(begin_min: int, end_min: int, **given: object) -> ChargingRecord:
    parts: dict[str, object] = {
        "session_id": f"s{begin_min}",
        "station_id": "CA-303",
        "arrival_at": MIDNIGHT + begin_min * MINUTE,
        "departure_at": MIDNIGHT + end_min * MINUTE,
        "requested_wh": 9_000,
        "delivered_wh": 5_000,
        "estimated_departure_at": MIDNIGHT + end_min * MINUTE - HOUR,
        "claimed": True,
        "utc_offset_s": 0,
    }
    return ChargingRecord(**(parts | given))  # type: ignore[arg-type]


def fleet_from(records: list[ChargingRecord], setting: Setting = STANDARD) -> Fleet:
    sessions = Sessions(tuple(records))
    return fleet_of(sessions, FIRST, FIRST, setting, evse_max_w=EVSE_MAX_W)


def test_arrivals_and_departures_are_rounded_down_and_none_stays_no_step() -> None:
    cars = fleet_from([record(61, 119), record(121, 123)])
    assert list(cars.arrival_step) == [12, 24]
    assert list(cars.departure_step) == [23, 25]
    assert cars.n_step == 25


def test_the_standard_setting_tells_what_was_taken_and_when_it_really_ended() -> None:
    cars = fleet_from([record(60, 300)])
    assert (cars.told_wh[0], cars.due_wh[0]) == (5_000, 5_000)
    assert cars.told_departure_step[0] == cars.departure_step[0] == 60


def test_the_realistic_setting_tells_wish_and_estimate() -> None:
    cars = fleet_from([record(60, 300)], REALISTIC)
    assert (cars.told_wh[0], cars.due_wh[0]) == (9_000, 5_000)
    assert (cars.told_departure_step[0], cars.departure_step[0]) == (240, 300)
    less = fleet_from([record(60, 300, requested_wh=3_000)], REALISTIC)
    assert less.due_wh[0] == 3_000


def test_sessions_without_energy_and_of_other_days_are_left_out() -> None:
    cars = fleet_from([record(60, 300, delivered_wh=0), record(400, 500)])
    assert cars.session_ids == ("s400",)
    with pytest.raises(InvalidValue, match=r"no session arrives on 2019-05-06"):
        fleet_from([record(2_000, 3_000)])


def test_two_cars_at_a_station_meet_in_no_step() -> None:
    cars = fleet_from([record(60, 122), record(124, 200)])
    assert cars.departure_step[0] <= cars.arrival_step[1]


def test_generated_sessions_are_the_seeds_and_plausible() -> None:
    stations = GARAGE.station_ids
    one, two = (generated_sessions(FIRST, LAST, 40, stations, 7) for _ in "ab")
    assert one == two
    assert one != generated_sessions(FIRST, LAST, 40, stations, 8)
    assert len({r.session_id for r in one.records}) == len(one.records) > 60
    assert one.records == tuple(sorted(one.records, key=lambda r: r.arrival_at))
    for r in one.records:
        assert r.arrival_at < r.departure_at
        assert r.arrival_at < r.estimated_departure_at
        assert 0 < r.delivered_wh <= EVSE_MAX_W * (r.departure_at - r.arrival_at) / HOUR
        assert r.requested_wh >= r.delivered_wh
    ends: dict[str, int] = {}
    for r in one.records:
        assert ends.get(r.station_id, 0) <= r.arrival_at
        ends[r.station_id] = r.departure_at


def test_there_are_fewer_cars_at_the_weekend() -> None:
    week = generated_sessions(FIRST, date(2019, 5, 12), 30, GARAGE.station_ids, 0)
    days = [r.session_id[:10] for r in week.records]
    assert days.count("2019-05-11") == 10
    assert days.count("2019-05-08") == 30


@pytest.mark.parametrize(
    "wrong",
    [
        {"step_s": 0},
        {"step_s": 7},
        {"replan_steps": 0},
        {"horizon_steps": 0},
        {"coarse_steps": 0},
        {"minimum_share": float("nan")},
        {"minimum_share": 1.5},
        {"floor_w": -1.0},
    ],
)
def test_a_setting_that_makes_no_loop_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValue):
        Setting(name="x", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        msgspec.structs.replace(STANDARD, **wrong)


def test_a_site_refuses_other_names_and_stations_it_has_not() -> None:
    with pytest.raises(InvalidValue, match=r"site 'moon' is not one of flat, caltech"):
        site_of("moon", 20, ["CA-303"])
    with pytest.raises(InvalidValue, match=r"station CA-999 is not at this site"):
        site_of("caltech", 20, ["CA-303", "CA-999"])
    assert site_of("flat", 20, ["b", "a", "b"]).station_ids == ("a", "b")


def test_prices_are_by_local_hour() -> None:
    prices = price_steps(tuple(float(h) for h in range(24)), 600, 300)
    assert list(prices[[0, 11, 12, 287, 288]]) == [0, 0, 1, 23, 0]


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ([f"{h},0.1" for h in range(23)], "hour 23 has no price"),
        ([*(f"{h},0.1" for h in range(24)), "3,0.1"], "is there already"),
        (["24,0.1"], "is not a whole hour"),
        (["1.5,0.1"], "is not a whole hour"),
        (["1,cheap"], "is not a finite decimal number"),
    ],
)
def test_a_price_file_must_have_each_hour_once(
    tmp_path: Path, lines: list[str], rule: str
) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(["hour,price_per_kwh", *lines]) + "\n")
    with pytest.raises(InvalidValue, match=rule):
        read_prices(path)


def test_a_price_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    rows = [f"{h},{h / 100}" for h in reversed(range(24))]
    path.write_text("\n".join(["hour,price_per_kwh", *rows]) + "\n")
    np.testing.assert_allclose(read_prices(path), np.arange(24) / 100)
