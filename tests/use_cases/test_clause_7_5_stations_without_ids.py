"""7.5 Stations without ids of their own (1.6): numbers that are ours, strays."""

from typing import Any

import msgspec
import pytest

from domain.model import station_events as t
from domain.model.metering import MeterPoint
from domain.model.values import DAY, HOUR, MINUTE, Instant, Quality
from domain.use_cases.clause_7_5_station_transactions import (
    Reported,
    open_transactions,
)
from tests.use_cases.reported import (
    Station,
    energy,
    events,
    occupant,
)
from tests.use_cases.small_site import ANNA, BEN, E1, E2, NINE


def started_16(station: Station, at: Instant = NINE, **more: Any) -> Reported:
    fields = {"evse_id": E1, "content_key": f"{E1}/{at}", "wh": 100}
    return station.report(at, kind="started", **{**fields, **more})


def stopped_16(
    station: Station, at: Instant, number: object, wh: int, **more: Any
) -> Reported:
    return station.report(
        at, kind="ended", transaction_id=str(number), wh=wh, is_unplugged=True, **more
    )


def test_a_repeated_start_has_the_same_number_also_after_a_restart(
    station: Station,
) -> None:
    first = started_16(station, subject_id=ANNA)
    assert first.number < 2**31
    station.system = msgspec.structs.replace(station.system, folds={})
    again = started_16(station, subject_id=ANNA)
    assert (again.number, again.is_new) == (first.number, False)
    assert again.authorization == first.authorization
    stopped_16(station, NINE + HOUR, first.number, 2_100)
    late = started_16(station, subject_id=ANNA)
    assert (late.number, late.is_new) == (first.number, False)
    assert occupant(station) == ""
    assert energy(station, first.session_id) == 2_000


@pytest.mark.parametrize("number", [-1, 0, -7, 4_711, "nonsense"])
def test_an_end_without_its_number_is_bound_by_place_and_time(
    station: Station, number: object
) -> None:
    station.clock.at = NINE + DAY
    started_16(station, is_offline=True)
    other = {"evse_id": E2, "subject_id": BEN, "wh": 900_000}
    started_16(station, NINE + 2 * HOUR, is_offline=True, **other)
    for _ in range(2):
        told = stopped_16(station, NINE + HOUR, number, 2_100, is_offline=True)
    assert energy(station, told.session_id or station.sessions()[0]) == 2_000
    assert len(open_transactions(station.system, "s1")) == 1


def test_an_end_is_not_bound_to_what_began_with_a_higher_register(
    station: Station,
) -> None:
    begun = started_16(station)
    for number, wh, at in ((-1, 50, NINE + HOUR), (-1, 500, NINE - MINUTE)):
        stopped_16(station, at, number, wh)
    assert occupant(station) == begun.session_id
    assert len(open_transactions(station.system, "s1")) == 1


def test_an_end_that_comes_before_its_start_waits_for_it(station: Station) -> None:
    station.clock.at = NINE + DAY
    stray = stopped_16(station, NINE + HOUR, -1, 2_100, is_offline=True)
    assert (stray.session_id, open_transactions(station.system, "s1")) == ("", [])
    told = started_16(station, is_offline=True)
    assert energy(station, told.session_id) == 2_000
    assert open_transactions(station.system, "s1") == []


def test_another_stations_transaction_is_kept_and_left_alone(
    station: Station,
) -> None:
    mine = started_16(station)
    told = stopped_16(station, NINE + HOUR, mine.number, 900, station_id="s2")
    assert told.session_id == ""
    assert occupant(station) == mine.session_id
    last = events(station, t.StationTransactionReported)[-1]
    assert last.quality == Quality.CONTRADICTS


def test_an_end_with_readings_of_its_own_is_booked_with_them(station: Station) -> None:
    first = started_16(station)
    points = tuple(
        MeterPoint(NINE + minutes * MINUTE, 100 + minutes * 50)
        for minutes in (0, 20, 40, 60)
    )
    stopped_16(station, NINE + HOUR, first.number, 3_100, points=points)
    information = station.information(first.session_id)
    assert [i.to_ev_wh for i in information.energy.intervals] == [1_000, 1_000]
    assert information.energy.to_ev_wh == 3_000


def test_an_end_that_came_before_its_start_is_booked_once_with_what_comes_yet(
    station: Station,
) -> None:
    """The reading repeats, now with its number, what the station said without."""
    station.clock.at = NINE + DAY
    late = {"is_offline": True}
    stopped_16(station, NINE + HOUR, -1, 2_100, **late)
    told = started_16(station, **late)
    station.report(
        NINE + 30 * MINUTE,
        kind="updated",
        evse_id=E1,
        transaction_id=str(told.number),
        wh=1_100,
        **late,
    )
    again = stopped_16(station, NINE + HOUR, told.number, 2_100, **late)
    assert not again.is_new
    information = station.information(told.session_id)
    assert [part.kind for part in information.parts] == ["transfer"]
    (place,) = information.places
    assert place.station_id == "s1"
    assert information.energy.to_ev_wh == 2_000
    assert [i.to_ev_wh for i in information.energy.intervals] == [1_000]
    bound = events(station, t.StationTransactionBound)[-1]
    assert (bound.station_id, bound.transaction_id) == ("s1", str(told.number))
    for kind in ("station-transaction", "stray-end"):
        assert not station.system.log.claims(kind)


def test_an_end_without_a_start_is_not_that_of_another_station(
    station: Station,
) -> None:
    station.clock.at = NINE + DAY
    stopped_16(station, NINE + HOUR, -1, 2_100, station_id="s2", is_offline=True)
    told = started_16(station, is_offline=True)
    assert len(open_transactions(station.system, "s1")) == 1
    assert told.session_id == ""


def test_what_is_of_a_later_transaction_is_not_bound_to_an_open_one(
    station: Station,
) -> None:
    """All of the later one comes before its start, and has no number yet."""
    first = started_16(station, subject_id=ANNA)
    station.clock.at = NINE + DAY
    later = NINE + 5 * HOUR
    stopped_16(station, later, -1, 4_100, subject_id=BEN)
    reading = {"kind": "updated", "evse_id": E1, "transaction_id": "-1", "wh": 3_100}
    station.report(later - MINUTE, **reading)
    stopped_16(station, NINE + HOUR, first.number, 2_100, subject_id=ANNA)
    assert station.information(first.session_id).energy.to_ev_wh == 2_000
    second = started_16(station, later - HOUR, wh=2_100, subject_id=BEN)
    assert second.session_id != first.session_id
    assert station.information(second.session_id).energy.to_ev_wh == 2_000
    kept = [e.quality for e in events(station, t.StationTransactionReported)]
    assert Quality.CONTRADICTS not in kept
