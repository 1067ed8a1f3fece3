"""7.3: standing profiles of a station, and what the zone's loop counts by them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.exchanges import MODULES, clause_7_3_capabilities
from api.ocpp.gateway import Gateway
from api.ocpp.violations import Version
from domain.model import ids
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import MINUTE, SECOND, Event
from domain.ports import Append, Batch
from domain.use_cases.clause_7_3_commissioning import (
    ChangeZoneLimits,
    change_zone_limits,
)
from tests.api.ocpp.office import (
    ONE,
    TWO,
    VERSIONS,
    Office,
    Wire,
    evse_data,
    open_office,
)

BOOT_1_6 = {"chargePointVendor": "Acme", "chargePointModel": "One"}
BOOT_2 = {
    "reason": "PowerUp",
    "chargingStation": {"vendorName": "Acme", "model": "One"},
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        # What the station can do is told by hand.
        modules = [m for m in MODULES if m is not clause_7_3_capabilities.MODULE]
        office.gateway = Gateway(office.system, office.desk, office, modules)
        office.register("S1")
        office.commission("S1", evse_data(ONE), evse_data(TWO))
        yield office


def able(office: Office, version: Version, **abilities: Any) -> None:
    told: dict[str, Any] = {"unit": "W", "max_periods": 24, "max_stack_level": 8}
    event = t.StationCapabilities(
        station_id="S1", version=version, **{**told, **abilities}
    )
    stream = ids.station_stream("S1")
    batch = Batch(actor="test", appends=(Append(stream, (event,), office.clock.at),))
    office.system.log.append(batch)
    office.follow()


def booted(office: Office, version: Version, boot: str = "boot-1") -> Wire:
    wire = office.connect("S1", version, is_known=False)
    wire.ask("BootNotification", BOOT_1_6 if version == "1.6" else BOOT_2, boot)
    office.follow()
    return wire


def serve(wire: Wire, status: str = "Accepted") -> list[dict[str, Any]]:
    """Answer what the station is asked; return the profiles that it was to store."""
    found = []
    answered = 0
    while answered < len(wire.calls()):
        call = wire.calls()[answered]
        answered += 1
        if call[2] == "SetChargingProfile":
            found.append(call[3])
            wire.answer(call, {"status": status})
        elif call[2] == "GetChargingProfiles":
            wire.answer(call, {"status": "NoProfiles"})
        else:
            wire.raw(b'[4,"%s","NotSupported","",{}]' % call[1].encode())
    return found


def read(payload: dict[str, Any]) -> tuple[int, str, float]:
    """Return EVSE, purpose and the one limit of a profile."""
    profile = payload.get("csChargingProfiles") or payload["chargingProfile"]
    place: Any = payload.get("connectorId", payload.get("evseId"))
    schedule = profile["chargingSchedule"]
    schedule = schedule if isinstance(schedule, dict) else schedule[0]
    (period,) = schedule["chargingSchedulePeriod"]
    assert "duration" not in schedule
    assert profile["chargingProfileKind"] == "Absolute"
    return place, profile["chargingProfilePurpose"], period["limit"]


def last(office: Office, *kinds: type[Event]) -> Event | None:
    found = office.events(*kinds)
    return found[-1] if found else None


@pytest.mark.parametrize("version", VERSIONS)
def test_each_evse_gets_its_share_and_the_station_its_sum(
    office: Office, version: Version
) -> None:
    able(office, version)
    wire = booted(office, version)
    maximum = (
        "ChargePointMaxProfile" if version == "1.6" else "ChargingStationMaxProfile"
    )
    assert [read(p) for p in serve(wire)] == [
        (1, "TxDefaultProfile", 10_000),
        (2, "TxDefaultProfile", 10_000),
        (0, maximum, 44_160),
    ]
    assert last(office, t.StationDefaultsInstalled) == t.StationDefaultsInstalled(
        station_id="S1", default_w=10_000, maximum_w=44_160
    )
    assert office.events(z.ZoneDefaultsUnsafe) == []


def test_after_a_boot_the_maximum_is_not_written_again(office: Office) -> None:
    able(office, "2.0.1")
    serve(booted(office, "2.0.1"))
    again = serve(booted(office, "2.0.1", "boot-2"))
    assert [read(p)[:2] for p in again] == [
        (1, "TxDefaultProfile"),
        (2, "TxDefaultProfile"),
    ]


def test_a_share_below_the_floor_is_nothing(office: Office) -> None:
    command = ChangeZoneLimits(zone_id="site", limit_w=100_000, safe_upper_w=8_000)
    change_zone_limits(office.system, command, office.by())
    able(office, "2.0.1")
    stored = [read(p) for p in serve(booted(office, "2.0.1"))]
    assert [limit for _, purpose, limit in stored if purpose == "TxDefaultProfile"] == [
        0,
        0,
    ]


def test_defaults_that_are_refused_are_not_installed(office: Office) -> None:
    able(office, "2.1")
    serve(booted(office, "2.1"), "Rejected")
    assert office.events(t.StationDefaultsInstalled) == []
    assert last(office, t.StationDefaultsRefused) == t.StationDefaultsRefused(
        station_id="S1", reason="Rejected"
    )


def test_who_does_not_say_what_it_can_is_told_in_the_weakest_form(
    office: Office,
) -> None:
    wire = booted(office, "1.6")
    assert wire.calls("SetChargingProfile") == []  # it may still say
    office.pass_time(MINUTE)
    stored = [read(p) for p in serve(wire)]
    assert (1, "TxDefaultProfile", 13) in stored  # 10 kW at 253 V and three phases


def test_a_smaller_safe_envelope_is_told_at_once(office: Office) -> None:
    able(office, "2.0.1")
    wire = booted(office, "2.0.1")
    serve(wire)
    command = ChangeZoneLimits(zone_id="site", limit_w=100_000, safe_upper_w=10_000)
    change_zone_limits(office.system, command, office.by())
    office.follow()
    (unsafe,) = office.events(z.ZoneDefaultsUnsafe)  # until the station has taken it in
    assert isinstance(unsafe, z.ZoneDefaultsUnsafe)
    assert (unsafe.defaults_w, unsafe.safe_upper_w) == (20_000, 10_000)
    stored = [read(p) for p in serve(wire)]
    assert stored[-2:] == [
        (1, "TxDefaultProfile", 5_000),
        (2, "TxDefaultProfile", 5_000),
    ]


def test_a_larger_share_counts_before_the_first_evse_has_it(office: Office) -> None:
    able(office, "2.0.1")
    wire = booted(office, "2.0.1")
    serve(wire)
    command = ChangeZoneLimits(zone_id="site", limit_w=100_000, safe_upper_w=30_000)
    change_zone_limits(office.system, command, office.by())
    office.follow()
    counted = last(office, t.StationDefaultsInstalled)
    assert isinstance(counted, t.StationDefaultsInstalled)
    assert counted.default_w == 15_000
    assert read(wire.calls("SetChargingProfile")[-1][3])[2] == 15_000


def test_who_refused_its_default_is_told_it_again_when_it_comes_back(
    office: Office,
) -> None:
    able(office, "2.0.1")
    wire = booted(office, "2.0.1")
    serve(wire)
    serve(booted(office, "2.0.1", "boot-2"), "Rejected")
    assert office.gateway.peers.by_id["S1"].defaults is None
    assert (
        Gateway(office.system, office.desk, office, MODULES).peers.by_id["S1"].defaults
        is None
    )
    wire = office.connect("S1", "2.0.1")
    office.pass_time(61 * SECOND)
    serve(wire)
    assert office.gateway.peers.by_id["S1"].defaults is not None


def test_new_members_make_the_shares_smaller_once_they_are_all_there(
    office: Office,
) -> None:
    able(office, "2.0.1")
    wire = booted(office, "2.0.1")
    serve(wire)
    for name in ("S2", "S3"):
        office.commission(name, evse_data(f"DE*VLT*E{name}*1"))
    office.pass_time(30 * SECOND)
    assert len(wire.calls("SetChargingProfile")) == 3
    office.pass_time(40 * SECOND)
    stored = [read(p) for p in serve(wire)][3:]
    assert stored == [(1, "TxDefaultProfile", 5_000), (2, "TxDefaultProfile", 5_000)]


def test_who_does_not_answer_is_told_again(office: Office) -> None:
    able(office, "2.0.1")
    wire = booted(office, "2.0.1")
    office.pass_time(70 * SECOND)
    assert len(wire.calls("SetChargingProfile")) > 1
    serve(wire)
    assert len(office.events(t.StationDefaultsInstalled)) == 1


def test_profiles_of_another_csms_are_cleared_and_ours_are_not(office: Office) -> None:
    able(office, "2.0.1")
    wire = booted(office, "2.0.1")
    serve(wire)
    profile = {
        "id": 99,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [
            {
                "id": 1,
                "chargingRateUnit": "W",
                "startSchedule": "2024-01-01T00:00:00Z",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 4_000}],
            }
        ],
    }
    wire.ask(
        "ReportChargingProfiles",
        {
            "requestId": 1,
            "chargingLimitSource": "CSO",
            "evseId": 1,
            "chargingProfile": [profile, {**profile, "id": 5}],
        },
    )
    assert [call[3] for call in wire.calls("ClearChargingProfile")] == [
        {"chargingProfileId": 99}
    ]
