from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.model import station_events as t
from domain.model.profile import POWER_LIMIT_W, PowerProfile
from domain.model.values import MINUTE, SECOND, datetime_of
from tests.api.ocpp.office import NOW, ONE, TWO, Office, Wire, evse_data, open_office
from tests.api.ocpp.test_e1_info1_ev_schedule import send_etp
from tests.api.ocpp.test_e1_info1_needs import begin

VERSIONS: tuple[Version, ...] = ("2.0.1", "2.1")


def connected(office: Office, version: Version) -> Wire:
    office.register("S1")
    office.commission("S1", evse_data(ONE), evse_data(TWO, phases=1))
    return office.connect("S1", version)


def limits(office: Office) -> list[t.LimitReported]:
    found = office.events(t.LimitReported)
    return [event for event in found if isinstance(event, t.LimitReported)]


def schedule(*periods: tuple[int, float], **changes: Any) -> dict[str, Any]:
    told = [{"startPeriod": at, "limit": limit} for at, limit in periods]
    return {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": told, **changes}


def iso(offset: int) -> str:
    return datetime_of(NOW + offset).isoformat()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_limit_of_the_grids_operator_is_recorded_with_its_power(
    tmp_path: Path, version: Version
) -> None:
    with open_office(tmp_path) as office:
        wire = connected(office, version)
        told = {
            "chargingLimit": {"chargingLimitSource": "SO", "isGridCritical": True},
            "chargingSchedule": [schedule((0, 4_000.9), (600, 7_000), duration=900)],
            "evseId": 1,
        }
        assert wire.ask("NotifyChargingLimit", told) == {}
        changes = ((0, 4_000), (600, 7_000), (900, POWER_LIMIT_W))
        assert limits(office) == [
            t.LimitReported(
                station_id="S1",
                evse_id=ONE,
                source="SO",
                profile=PowerProfile(NOW, changes),
                is_grid_critical=True,
            )
        ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_limit_of_the_station_ends_for_all_its_evses(
    tmp_path: Path, version: Version
) -> None:
    with open_office(tmp_path) as office:
        wire = connected(office, version)
        limit = {"chargingLimit": {"chargingLimitSource": "EMS"}}
        wire.ask("NotifyChargingLimit", limit)
        wire.ask("ClearedChargingLimit", {"chargingLimitSource": "EMS"})
        told = [(e.evse_id, e.profile, e.is_over) for e in limits(office)]
        assert told == [
            ("", None, False),
            ("", None, True),
            (ONE, None, True),
            (TWO, None, True),
        ]


def test_amperes_count_with_the_phases_an_evse_has(tmp_path: Path) -> None:
    with open_office(tmp_path) as office:
        wire = connected(office, "2.1")
        for evse in (1, 2):
            told = {
                "chargingLimit": {"chargingLimitSource": "EMS"},
                "chargingSchedule": [schedule((0, 10), chargingRateUnit="A")],
                "evseId": evse,
            }
            wire.ask("NotifyChargingLimit", told)
        assert [e.profile.changes for e in limits(office) if e.profile] == [
            ((0, 6_900),),
            ((0, 2_300),),
        ]


def test_of_several_schedules_the_lowest_holds_and_what_begins_later_does(
    tmp_path: Path,
) -> None:
    with open_office(tmp_path) as office:
        wire = connected(office, "2.1")
        later = schedule((0, 2_000), startSchedule=iso(MINUTE + SECOND // 2))
        earlier = schedule((0, 9_000), (120, 1_000), startSchedule=iso(-MINUTE))
        told = {
            "chargingLimit": {"chargingLimitSource": "EMS"},
            "chargingSchedule": [later, earlier],
            "evseId": 1,
        }
        wire.ask("NotifyChargingLimit", told)
        profile = limits(office)[0].profile
        assert profile is not None
        assert profile.changes == ((0, 9_000), (60, 1_000))


@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_profiles_are_no_limit_of_others(
    tmp_path: Path, version: Version
) -> None:
    with open_office(tmp_path) as office:
        wire = connected(office, version)
        limit = {"chargingLimit": {"chargingLimitSource": "CSO"}}
        wire.ask("NotifyChargingLimit", limit)
        profile = {
            "id": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute",
            "chargingSchedule": [schedule((0, 4_000))],
        }
        told: dict[str, Any] = {
            "requestId": 1,
            "chargingLimitSource": "CSO",
            "chargingProfile": [profile],
            "evseId": 1,
        }
        wire.ask("ReportChargingProfiles", told)
        assert limits(office) == []
        by_ems = {
            **profile,
            "chargingProfilePurpose": "ChargingStationExternalConstraints",
        }
        told |= {"chargingLimitSource": "EMS", "chargingProfile": [by_ems], "evseId": 0}
        wire.ask("ReportChargingProfiles", told)
        assert [(e.evse_id, e.source) for e in limits(office)] == [("", "EMS")]


def test_a_limit_of_an_evse_that_is_none_of_ours_is_answered_and_counted(
    tmp_path: Path,
) -> None:
    with open_office(tmp_path) as office:
        wire = connected(office, "2.1")
        told = {"chargingLimit": {"chargingLimitSource": "EMS"}, "evseId": 9}
        assert wire.ask("NotifyChargingLimit", told) == {}
        assert limits(office) == []
        assert office.gateway.peers.by_id["S1"].unreadable["UNKNOWN_EVSE"] == 1


def answer_all(wire: Wire) -> None:
    """Accept all profiles and reject other calls, so that the next need not wait."""
    for frame in wire.frames:  # it grows as the next ones come
        if frame[0] == 2:
            status = "Accepted" if frame[2] == "SetChargingProfile" else "Rejected"
            wire.answer(frame, {"status": status})


def test_a_rate_that_changes_by_itself_has_the_station_asked_what_it_allows(
    tmp_path: Path,
) -> None:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1")
        wire = office.connect("S1", "2.1")
        begin(wire)
        send_etp(office, wire, 1, 7_000)
        for seq_no, times in ((1, 1), (2, 2), (3, 2)):
            told = {
                "eventType": "Updated",
                "timestamp": iso(office.clock.at - NOW),
                "triggerReason": "ChargingRateChanged",
                "seqNo": seq_no,
                "transactionInfo": {"transactionId": "tx-1"},
            }
            wire.ask("TransactionEvent", told)
            # The first is after a reconnection; one at once is our own ETP's doing.
            assert len(wire.calls("GetCompositeSchedule")) == times
            answer_all(wire)
            office.pass_time(3 * MINUTE if seq_no == 1 else MINUTE)
            answer_all(wire)
