"""M4, M8 and upkeep: firmware, logs, caches, profiles, data, network profiles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.model import activity_events as y
from domain.model import station_events as t
from domain.model.activity_events import ActivityKind
from domain.model.values import DAY, HOUR
from tests.api.ocpp.activities import ask, connected, ended, steps
from tests.api.ocpp.office import NOW, ONE, V2, VERSIONS, Office, open_with_station

AT, LATER = "2024-10-04T00:00:00Z", "2024-10-05T00:00:00Z"
FIRMWARE = {"location": "https://example.com/fw.bin", "retrieve_at": str(NOW)}
LOG = {"location": "https://example.com/logs", "log": "diagnostics"}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path, is_asked=False) as office:
        yield office


def accepted(version: Version) -> dict[str, Any]:
    return {} if version == "1.6" else {"status": "Accepted"}


def of(version: Version, number: int, status: str) -> dict[str, Any]:
    told: dict[str, Any] = {"status": status}
    return told if version == "1.6" else {**told, "requestId": number}


@pytest.mark.parametrize("version", VERSIONS)
def test_firmware_is_followed_until_it_is_installed(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    ask(office, ActivityKind.UPDATE_FIRMWARE, parameters={**FIRMWARE, "retries": "2"})
    (call,) = wire.calls("UpdateFirmware")
    number = call[3].get("requestId", 0)
    at = AT.replace("Z", ".000Z")
    if version == "1.6":
        assert call[3] == {
            "location": FIRMWARE["location"],
            "retrieveDate": call[3]["retrieveDate"],
            "retries": 2,
        }
        assert call[3]["retrieveDate"] in (AT, at)
    else:
        assert call[3]["firmware"]["location"] == FIRMWARE["location"]
        assert call[3]["firmware"]["retrieveDateTime"] in (AT, at)
    wire.answer(call, accepted(version))
    for status in ("Downloading", "Downloaded", "Installing", "Idle", "Installed"):
        told = of(version, number, status)
        assert wire.ask("FirmwareStatusNotification", told) == {}
    assert steps(office) == [
        *("sent", "accepted", "Downloading", "Downloaded", "Installing", "done"),
    ]
    assert ended(office).detail == "Installed"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", ["DownloadFailed", "InstallationFailed"])
def test_firmware_that_a_station_could_not_install_has_failed(
    office: Office, version: Version, status: str
) -> None:
    wire = connected(office, version)
    ask(office, ActivityKind.UPDATE_FIRMWARE, parameters=FIRMWARE)
    (call,) = wire.calls("UpdateFirmware")
    wire.answer(call, accepted(version))
    told = of(version, call[3].get("requestId", 0), status)
    wire.ask("FirmwareStatusNotification", told)
    assert (ended(office).outcome, ended(office).detail) == ("failed", status)


def test_a_status_of_firmware_that_we_did_not_ask_for_is_kept(office: Office) -> None:
    wire = connected(office, "2.1")
    ask(office, ActivityKind.UPDATE_FIRMWARE, parameters=FIRMWARE)
    (call,) = wire.calls("UpdateFirmware")
    wire.answer(call, {"status": "Accepted"})
    other = {"status": "Installed", "requestId": call[3]["requestId"] + 1}
    wire.ask("FirmwareStatusNotification", other)
    assert steps(office) == ["sent", "accepted"]
    (kept,) = office.events(t.StationMessageKept)
    assert isinstance(kept, t.StationMessageKept)
    assert kept.action == "FirmwareStatusNotification"


def test_signed_firmware_of_1_6_has_a_message_of_its_own(office: Office) -> None:
    wire = connected(office, "1.6")
    signed = {"signing_certificate": "PEM", "signature": "MEUC"}
    ask(office, ActivityKind.UPDATE_FIRMWARE, parameters={**FIRMWARE, **signed})
    (call,) = wire.calls("SignedUpdateFirmware")
    assert call[3]["firmware"]["signature"] == "MEUC"
    wire.answer(call, {"status": "Accepted"})
    told = {"status": "InvalidSignature", "requestId": call[3]["requestId"]}
    assert wire.ask("SignedFirmwareStatusNotification", told) == {}
    assert ended(office).detail == "InvalidSignature"


@pytest.mark.requirement("M8.Req1")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_log_is_followed_until_it_is_uploaded(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    times = {"from_at": str(NOW - DAY), "until_at": str(NOW)}
    ask(office, ActivityKind.GET_LOG, parameters={**LOG, **times})
    call = wire.calls()[-1]
    if version == "1.6":
        assert call[2] == "GetDiagnostics"
        assert call[3]["location"] == LOG["location"]
        assert call[3]["startTime"] < call[3]["stopTime"]
        wire.answer(call, {"fileName": "diagnostics.txt"})
        wire.ask("DiagnosticsStatusNotification", {"status": "Uploading"})
        wire.ask("DiagnosticsStatusNotification", {"status": "UploadFailed"})
        assert steps(office) == ["sent", "accepted", "Uploading", "failed"]
        return
    assert call[2] == "GetLog"
    assert call[3]["logType"] == "DiagnosticsLog"
    assert call[3]["log"]["remoteLocation"] == LOG["location"]
    wire.answer(call, {"status": "Accepted", "filename": "log.txt"})
    for status in ("Uploading", "Uploaded"):
        told = {"status": status, "requestId": call[3]["requestId"]}
        assert wire.ask("LogStatusNotification", told) == {}
    assert steps(office) == ["sent", "accepted", "Uploading", "done"]


def test_a_security_log_of_1_6_is_asked_for_by_the_newer_message(
    office: Office,
) -> None:
    wire = connected(office, "1.6")
    ask(office, ActivityKind.GET_LOG, parameters={**LOG, "log": "security"})
    (call,) = wire.calls("GetLog")
    assert call[3]["logType"] == "SecurityLog"
    wire.answer(call, {"status": "Rejected"})
    assert ended(office).outcome == "refused"


def test_a_station_without_a_log_to_upload_says_so(office: Office) -> None:
    wire = connected(office, "1.6")
    ask(office, ActivityKind.GET_LOG, parameters=LOG)
    wire.answer(wire.calls("GetDiagnostics")[0], {})
    assert ended(office).detail == "the station has nothing to upload"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", ["Accepted", "Rejected"])
def test_a_cache_is_cleared(office: Office, version: Version, status: str) -> None:
    wire = connected(office, version)
    ask(office, ActivityKind.CLEAR_CACHE)
    (call,) = wire.calls("ClearCache")
    assert call[3] == {}
    wire.answer(call, {"status": status})
    assert ended(office).outcome == ("done" if status == "Accepted" else "refused")


@pytest.mark.parametrize("version", VERSIONS)
def test_vendors_data_goes_out_and_its_answer_is_shown(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    told = {"vendor_id": "com.example", "message_id": "lamp", "data": "on"}
    ask(office, ActivityKind.DATA_TRANSFER, parameters=told)
    (call,) = wire.calls("DataTransfer")
    assert call[3] == {"vendorId": "com.example", "messageId": "lamp", "data": "on"}
    wire.answer(call, {"status": "Accepted", "data": "lit"})
    assert ended(office).results == (("data", "lit"),)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_station_will_allow_is_shown(office: Office, version: Version) -> None:
    wire = connected(office, version)
    told = {"duration_s": "600", "unit": "W"}
    ask(office, ActivityKind.COMPOSITE_SCHEDULE, evse_id=ONE, parameters=told)
    (call,) = wire.calls("GetCompositeSchedule")
    place = "connectorId" if version == "1.6" else "evseId"
    assert call[3] == {place: 1, "duration": 600, "chargingRateUnit": "W"}
    periods = [
        {"startPeriod": 0, "limit": 11_000.0},
        {"startPeriod": 300, "limit": 0.0},
    ]
    schedule: dict[str, Any] = {
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": periods,
    }
    if version == "1.6":
        answer = {"connectorId": 1, "scheduleStart": AT, "chargingSchedule": schedule}
    else:
        of_evse = {"evseId": 1, "duration": 600, "scheduleStart": AT}
        answer = {"schedule": {**of_evse, **schedule}}
    wire.answer(call, {"status": "Accepted", **answer})
    shown = dict(ended(office).results)
    assert shown.pop("from_at").startswith("2024-10-04T00:00:00")
    assert shown == {"0 s": "11000 W", "300 s": "0 W"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_profile_is_cleared_and_ours_are_installed_again(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    ask(office, ActivityKind.CLEAR_PROFILE, parameters={"profile_id": "77"})
    (call,) = wire.calls("ClearChargingProfile")
    name = "id" if version == "1.6" else "chargingProfileId"
    assert call[3] == {name: 77}
    wire.answer(call, {"status": "Accepted"})
    assert ended(office).outcome == "done"
    assert wire.calls()[-1][2] == "SetChargingProfile"


@pytest.mark.parametrize("version", VERSIONS)
def test_profiles_are_cleared_by_their_purpose(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    told = {"purpose": "ChargingStationMaxProfile", "level": "0"}
    ask(office, ActivityKind.CLEAR_PROFILE, parameters=told)
    (call,) = wire.calls("ClearChargingProfile")
    if version == "1.6":
        purpose = {"chargingProfilePurpose": "ChargePointMaxProfile", "stackLevel": 0}
        assert call[3] == purpose
    else:
        purpose = {"chargingProfilePurpose": told["purpose"], "stackLevel": 0}
        assert call[3] == {"chargingProfileCriteria": purpose}
    wire.answer(call, {"status": "Unknown"})
    assert ended(office).outcome == "refused"
    assert wire.calls("SetChargingProfile") == []


def test_a_network_profile_is_set_where_the_version_can(office: Office) -> None:
    told = {
        "slot": "1",
        "url": "wss://csms.example.com/ocpp",
        "message_timeout_s": "30",
        "security_profile": "2",
        "interface": "Wired0",
        "ocpp_version": "OCPP201",
    }
    for version in V2:
        wire = connected(office, version)
        ask(office, ActivityKind.NETWORK_PROFILE, parameters=told)
        (call,) = wire.calls("SetNetworkProfile")
        assert call[3]["configurationSlot"] == 1
        assert call[3]["connectionData"] == {
            "ocppVersion": "OCPP20" if version == "2.0.1" else "OCPP201",
            "ocppTransport": "JSON",
            "ocppCsmsUrl": told["url"],
            "messageTimeout": 30,
            "securityProfile": 2,
            "ocppInterface": "Wired0",
        }
        wire.answer(call, {"status": "Accepted"})
        assert ended(office).outcome == "done"
    connected(office, "1.6")
    ask(office, ActivityKind.NETWORK_PROFILE, parameters=told)
    assert ended(office).detail == "OCPP 1.6 has no message for network profiles"


def test_a_connector_that_is_none_of_ours_is_unlocked_by_its_number(
    office: Office,
) -> None:
    wire = connected(office, "1.6")
    ask(office, ActivityKind.UNLOCK, parameters={"evse_number": "99"})
    (call,) = wire.calls("UnlockConnector")
    assert call[3] == {"connectorId": 99}
    wire.answer(call, {"status": "NotSupported"})
    assert ended(office).outcome == "refused"


def test_firmware_is_not_asked_for_twice(office: Office) -> None:
    wire = connected(office, "2.1")
    ask(office, ActivityKind.UPDATE_FIRMWARE, parameters=FIRMWARE)
    assert wire.connection is not None
    office.gateway.disconnect(wire.connection, "gone")
    assert connected(office, "2.1").calls("UpdateFirmware") == []
    office.pass_time(HOUR)
    assert steps(office) == ["sent", "unanswered"]
    assert not office.events(y.ActivityEnded)


def test_an_etp_is_not_cleared_by_hand(office: Office) -> None:
    wire = connected(office, "2.1")
    ask(office, ActivityKind.CLEAR_PROFILE, parameters={"profile_id": "7"})
    assert wire.calls() == []
    assert ended(office).detail.startswith("profile 7 is the ETP of EVSE 2")
