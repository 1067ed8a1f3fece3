import json
import math
from datetime import timedelta
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from api.ocpp.capabilities import Capabilities, Conditions
from api.ocpp.charging_profiles import Purpose, Request, profile_id
from api.ocpp.etp import (
    default_request,
    etp_request,
    maximum_request,
)
from api.ocpp.violations import Version
from domain.errors import InvalidValue
from domain.loop.slot import Slot
from domain.loop.station_state import StationState
from domain.model.values import SECOND, Current, instant_of
from tests.api.ocpp.etp_cases import (
    MEASURED,
    NOON,
    NOON_AT,
    TRANSACTION,
    WIRING,
    Case,
    able,
    cases,
    instants,
    on_wire,
    order,
)
from tests.api.ocpp.office import VERSIONS
from tests.api.ocpp.station_model import Station, Watts


def profile_of(request: Request, version: Version) -> dict[str, Any]:
    message = json.loads(on_wire(request, version))
    name = "csChargingProfiles" if version == "1.6" else "chargingProfile"
    profile: dict[str, Any] = message[name]
    if version != "1.6":
        (profile["chargingSchedule"],) = profile["chargingSchedule"]
    return profile


def limits(request: Request, version: Version) -> list[tuple[int, float]]:
    schedule = profile_of(request, version)["chargingSchedule"]
    return [(p["startPeriod"], p["limit"]) for p in schedule["chargingSchedulePeriod"]]


@pytest.mark.requirement("E1.Info2")
@given(cases(), st.booleans())
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
def test_no_station_is_ever_allowed_more_than_the_planner_counts(
    case: Case, reboots: bool
) -> None:
    station = case.station
    assert station.allowed_w(2, NOON) <= case.default_w
    ends = [at for at, _ in case.arrivals[1:]] + [NOON + timedelta(days=2)]
    for (arrives, sent), end in zip(case.arrivals, ends, strict=True):
        assert station.set_charging_profile(sent.payload) == ""
        event(f"steps {sent.has_steps}")
        for at in instants(case, sent, arrives):
            if arrives <= at < end:
                assert station.allowed_w(2, at) <= sent.counted_w(at), at
        if reboots:
            station.reboot()
            assert station.allowed_w(2, end) <= case.default_w


@given(cases())
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_an_offline_station_of_2_1_goes_back_to_its_default_and_others_keep_the_etp(
    case: Case,
) -> None:
    arrives, sent = case.arrivals[0]
    station = case.station
    station.set_charging_profile(sent.payload)
    before = arrives + timedelta(seconds=900)
    held = station.allowed_w(2, before)
    station.offline_since = arrives
    assert station.allowed_w(2, before) == held
    later = before + timedelta(hours=1)
    if station.version == "2.1":
        assert station.allowed_w(2, later) <= case.default_w
    else:
        assert station.allowed_w(2, later) <= sent.counted_w(later)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_station_can_do_is_used(version: Version) -> None:
    told = order(version, (0, 11_000), (900, 0), (1800, 6000), (3600, 7000))
    tenths = limits(
        etp_request(told, WIRING, MEASURED, able(version, decimals=1)), version
    )
    assert tenths == [
        *((0, 15.9), (905, 0), (1815, 8.6), (3615, 10.1), (7205, 6)),
    ]
    watts = limits(
        etp_request(told, WIRING, MEASURED, able(version, unit="W")), version
    )
    assert watts == [
        *((0, 11_000), (905, 0), (1815, 6000), (3615, 7000), (7205, 4200)),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_of_which_nothing_is_known_gets_one_period_of_whole_amperes(
    version: Version,
) -> None:
    told = order(version, (0, 11_000), (600, 9000), (1800, 0))
    unknown = Conditions(sent_at=NOON_AT, renew_at=NOON_AT + 900 * SECOND)
    request = etp_request(told, WIRING, unknown, Capabilities(version=version))
    assert limits(request, version) == [(0, 11)]  # 9000 / 3 / 253
    schedule = profile_of(request, version)["chargingSchedule"]
    assert schedule["startSchedule"] == "1970-01-01T00:00:00Z"
    assert schedule["chargingRateUnit"] == "A"


@pytest.mark.parametrize(
    ("offset_s", "start", "starts"),
    [
        (0, "11:59:50", [0, 905, 7205]),
        (5, "11:59:50", [0, 905, 7205]),
        (-5, "11:59:50", [0, 905, 7205]),
        (6, "11:59:50", [0, 911, 7211]),
        (-6, "11:59:44", [0, 905, 7205]),
        (60, "11:59:50", [0, 965, 7265]),
        (61, "11:59:50", [0]),
        (-90, "11:58:20", [0]),
    ],
)
def test_the_clock_of_the_station_decides_start_and_steps(
    offset_s: int, start: str, starts: list[int]
) -> None:
    told = order("2.0.1", (0, 11_000), (900, 8000))
    conditions = msgspec.structs.replace(MEASURED, clock_offset_us=offset_s * SECOND)
    request = etp_request(told, WIRING, conditions, able("2.0.1"))
    schedule = profile_of(request, "2.0.1")["chargingSchedule"]
    assert schedule["startSchedule"] == f"2026-11-20T{start}Z"
    assert [start_s for start_s, _ in limits(request, "2.0.1")] == starts


@pytest.mark.parametrize("version", VERSIONS)
def test_a_profile_is_of_a_transaction_absolute_without_end_and_of_one_id(
    version: Version,
) -> None:
    told = order(version, (0, 11_000), (900, 8000))
    profile = profile_of(etp_request(told, WIRING, MEASURED, able(version)), version)
    schedule = profile["chargingSchedule"]
    number = profile["chargingProfileId" if version == "1.6" else "id"]
    assert number == profile_id(2, "TxProfile")
    assert profile["transactionId"] == TRANSACTION[version]
    assert profile["chargingProfilePurpose"] == "TxProfile"
    assert profile["chargingProfileKind"] == "Absolute"
    assert profile["stackLevel"] == 7
    assert "duration" not in schedule
    assert {p["numberPhases"] for p in schedule["chargingSchedulePeriod"]} == {3}
    offline = (profile.get("maxOfflineDuration"), "validTo" in profile)
    assert offline == (900 if version == "2.1" else None, False)
    assert profile.get("invalidAfterOfflineDuration") is (
        False if version == "2.1" else None
    )


def test_profile_ids_of_a_station_are_all_different() -> None:
    purposes: tuple[Purpose, ...] = (
        *("TxProfile", "TxDefaultProfile", "ChargingStationMaxProfile"),
    )
    ids = [profile_id(evse, purpose) for evse in range(50) for purpose in purposes]
    assert len(set(ids)) == len(ids)
    assert min(ids) > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_standing_profiles_hold_by_any_clock_and_for_any_ev(version: Version) -> None:
    station = msgspec.structs.replace(WIRING, number=0)
    default = profile_of(default_request(5000, WIRING, able(version), 1), version)
    maximum = profile_of(maximum_request(30_000, station, able(version), 2), version)
    for profile, limit_a in ((default, 6), (maximum, 39)):
        schedule = profile["chargingSchedule"]
        assert schedule["startSchedule"] == "1970-01-01T00:00:00Z"
        (period,) = schedule["chargingSchedulePeriod"]
        assert period == {"startPeriod": 0, "limit": limit_a, "numberPhases": 3}
        assert "transactionId" not in profile
        assert "maxOfflineDuration" not in profile


@pytest.mark.parametrize(
    ("renewed_s", "most", "kept"),
    [
        (600, 4, [(0, 11_000), (905, 5000), (2715, 11_000), (7205, 4200)]),
        (600, 3, [(0, 11_000), (905, 5000), (7205, 4200)]),
        (600, 2, [(0, 11_000), (905, 4200)]),
        (9000, 4, [(0, 10_000), (1805, 5000), (2715, 11_000), (7205, 4200)]),
        (9000, 3, [(0, 5000), (2715, 11_000), (7205, 4200)]),
        (9000, 2, [(0, 5000), (7205, 4200)]),
    ],
)
def test_periods_too_many_become_the_lower_of_two_those_after_the_renewal_first(
    renewed_s: int, most: int, kept: list[tuple[int, int]]
) -> None:
    told = order("2.1", (0, 11_000), (900, 10_000), (1800, 5000), (2700, 11_000))
    watts = able("2.1", unit="W", max_periods=most)
    renewed = msgspec.structs.replace(MEASURED, renew_at=NOON_AT + renewed_s * SECOND)
    assert limits(etp_request(told, WIRING, renewed, watts), "2.1") == kept


@pytest.mark.parametrize(
    ("measured_v", "unit", "least_w"),
    [
        (MEASURED.measured_v, "A", 4140),
        (None, "A", 4555),
        (None, "W", 4140),
    ],
)
def test_below_the_floor_nothing_is_sent_and_the_least_power_is(
    measured_v: float | None, unit: str, least_w: int
) -> None:
    conditions = msgspec.structs.replace(MEASURED, measured_v=measured_v)
    for power_w, is_sent in ((least_w, True), (least_w - 1, False)):
        told = order("1.6", (0, power_w), safe_w=power_w)
        message = etp_request(told, WIRING, conditions, able("1.6", unit=unit))
        ((_, limit),) = limits(message, "1.6")
        assert (limit > 0) is is_sent


@pytest.mark.parametrize("unit", ["A", "W"])
@pytest.mark.parametrize("measured_v", [None, 208.0, 230.0, 238.0, 253.0])
def test_the_least_that_is_planned_can_be_told_at_any_voltage(
    measured_v: float | None, unit: str
) -> None:
    station = StationState(is_told_amperes=unit == "A")
    slot = Slot("E", "S1", 11_000, WIRING.floor_w, station=station)
    conditions = msgspec.structs.replace(MEASURED, measured_v=measured_v)
    told = order("2.1", (0, slot.least_w))
    message = etp_request(told, WIRING, conditions, able("2.1", unit=unit))
    (_, limit), *_ = limits(message, "2.1")
    assert limit >= (6 if unit == "A" else WIRING.floor_w)


def test_only_a_station_that_switches_phases_is_told_fewer() -> None:
    wired = msgspec.structs.replace(WIRING, floor_w=1380)
    single = msgspec.structs.replace(MEASURED, switched_phases=1)
    told = order("2.1", (0, 2300), safe_w=2300)
    request = etp_request(told, wired, single, able("2.1", can_switch_phases=True))
    ((_, limit),) = limits(request, "2.1")
    assert limit == 10
    with pytest.raises(InvalidValue, match="does not switch"):
        etp_request(told, wired, single, able("2.1"))


def refused(**changed: Any) -> None:
    version = changed.pop("version", "2.1")
    told = changed.pop("told", None) or order(version, (0, 5000))
    wiring = msgspec.structs.replace(WIRING, **changed.pop("wiring", {}))
    conditions = msgspec.structs.replace(MEASURED, **changed.pop("conditions", {}))
    with pytest.raises(InvalidValue, match=changed.pop("match")):
        etp_request(told, wiring, conditions, able(version, **changed))


def test_what_cannot_be_carried_is_refused() -> None:
    for version in VERSIONS:
        discharge = order(version, (0, 5000), (900, -1))
        refused(version=version, told=discharge, match="-1 W: discharge")
    refused(told=order("2.1", (0, 5000), safe_w=-5), match="discharge")
    refused(told=order("2.1", (0, 5000), transaction_id=7), match="no transaction")
    refused(told=order("2.1", (0, 0), transaction_id="x" * 37), match="no transaction")
    refused(told=order("2.1", (0, 5000), transaction_id=""), match="no transaction")
    text = order("1.6", (0, 5000), transaction_id="7")
    refused(version="1.6", told=text, match="no transaction")
    refused(version="1.6", decimals=2, match="2 decimals")
    refused(decimals=7, match="7 decimals")
    refused(wiring={"number": 0}, match="number 0")
    refused(wiring={"current": Current.DC}, match="DC EVSE")
    refused(wiring={"phases": 1}, match="3 phases on an EVSE with 1")
    refused(conditions={"measured_v": math.nan}, match="no voltage")
    refused(conditions={"measured_v": 0.0}, match="no voltage")
    refused(conditions={"renew_at": NOON_AT - 1}, match="not before")
    with pytest.raises(InvalidValue, match="for an EVSE"):
        default_request(0, msgspec.structs.replace(WIRING, number=0), able("2.1"), 1)
    with pytest.raises(InvalidValue, match="the station's"):
        maximum_request(0, WIRING, able("2.1"), 1)
    with pytest.raises(InvalidValue, match="discharge"):
        default_request(-1, WIRING, able("2.1"), 1)


def test_a_station_that_can_do_all_gets_all_that_the_planner_counts() -> None:
    changes = tuple((900 * i, 4200 + 1700 * (i % 5)) for i in range(12))
    told = order("2.1", *changes, safe_from_at=NOON_AT + 10_800 * SECOND)
    request = etp_request(told, WIRING, MEASURED, able("2.1", unit="W"))
    station = Station(
        *("2.1", "W", 24, 0, 8, False, 3, Fraction(230), timedelta()),
        transactions={2: "tx-7"},
    )
    assert station.set_charging_profile(on_wire(request, "2.1")) == ""
    for second in range(0, 10_700):
        if 6 <= second % 900 <= 893 or second < 6:
            at = NOON + timedelta(seconds=second)
            allowed: Watts = station.allowed_w(2, at)
            assert allowed == told.profile.power_w(instant_of(at)), second


@given(cases())
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
def test_an_etp_that_arrives_after_its_transaction_changes_nothing(case: Case) -> None:
    arrives, sent = case.arrivals[0]
    station = case.station
    for now_running in (None, 8, "tx-8"):
        station.transactions[2] = now_running
        before = station.allowed_w(2, arrives)
        assert station.set_charging_profile(sent.payload) != ""
        assert station.allowed_w(2, arrives) == before <= case.default_w
