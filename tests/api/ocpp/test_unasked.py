import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.codec import CODECS
from api.ocpp.exchange import handlers_of
from api.ocpp.exchanges import MODULES
from api.ocpp.kept import CONTEXT
from api.ocpp.violations import Version
from domain.model import station_events as t
from domain.model.values import HOUR, Quality
from tests.api.ocpp.office import VERSIONS, Office, Wire, open_office

AT = "2024-10-04T00:00:00Z"

# Who sends what, by the names in the protocols' own lists of messages.
BOTH = {"DataTransfer"}
CSMS_1_6 = {
    *("CancelReservation", "CertificateSigned", "ChangeAvailability"),
    *("ChangeConfiguration", "ClearCache", "ClearChargingProfile"),
    *("DeleteCertificate", "ExtendedTriggerMessage", "GetCompositeSchedule"),
    *("GetConfiguration", "GetDiagnostics", "GetInstalledCertificateIds"),
    *("GetLocalListVersion", "GetLog", "InstallCertificate"),
    *("RemoteStartTransaction", "RemoteStopTransaction", "ReserveNow", "Reset"),
    *("SendLocalList", "SetChargingProfile", "SignedUpdateFirmware"),
    *("TriggerMessage", "UnlockConnector", "UpdateFirmware"),
}
CSMS_2_0_1 = {
    *("CancelReservation", "CertificateSigned", "ChangeAvailability", "ClearCache"),
    *("ClearChargingProfile", "ClearDisplayMessage", "ClearVariableMonitoring"),
    *("CostUpdated", "CustomerInformation", "DeleteCertificate", "GetBaseReport"),
    *("GetChargingProfiles", "GetCompositeSchedule", "GetDisplayMessages"),
    *("GetInstalledCertificateIds", "GetLocalListVersion", "GetLog"),
    *("GetMonitoringReport", "GetReport", "GetTransactionStatus", "GetVariables"),
    *("InstallCertificate", "PublishFirmware", "RequestStartTransaction"),
    *("RequestStopTransaction", "ReserveNow", "Reset", "SendLocalList"),
    *("SetChargingProfile", "SetDisplayMessage", "SetMonitoringBase"),
    *("SetMonitoringLevel", "SetNetworkProfile", "SetVariableMonitoring"),
    *("SetVariables", "TriggerMessage", "UnlockConnector", "UnpublishFirmware"),
    "UpdateFirmware",
}
CSMS_2_1 = CSMS_2_0_1 | {
    *("AFRRSignal", "AdjustPeriodicEventStream", "ChangeTransactionTariff"),
    *("ClearDERControl", "ClearTariffs", "GetDERControl", "GetPeriodicEventStream"),
    *("GetTariffs", "NotifyAllowedEnergyTransfer", "NotifyWebPaymentStarted"),
    *("RequestBatterySwap", "SetDERControl", "SetDefaultTariff"),
    *("UpdateDynamicSchedule", "UsePriorityCharging"),
}
CSMS: dict[Version, set[str]] = {
    "1.6": CSMS_1_6,
    "2.0.1": CSMS_2_0_1,
    "2.1": CSMS_2_1,
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1")
        yield office


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_a_station_may_send_is_served_and_nothing_else(
    version: Version,
) -> None:
    served = {action for v, action in handlers_of(MODULES) if v == version}
    known = set(CODECS[version].exchanges)
    assert known >= CSMS[version]
    assert served == known - CSMS[version]
    assert served >= BOTH


@pytest.mark.parametrize("version", VERSIONS)
def test_what_only_we_may_send_is_not_supported(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    assert wire.call("ClearCache", {})[2] == "NotSupported"


def kept(office: Office) -> list[t.StationMessageKept]:
    return [
        e
        for e in office.events(t.StationMessageKept)
        if isinstance(e, t.StationMessageKept)
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_data_of_a_vendor_is_kept_sealed_and_not_promised_anything(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    sent = {"vendorId": "Acme", "messageId": "hello", "data": "anna@example.org"}
    assert wire.ask("DataTransfer", sent) == {"status": "UnknownVendorId"}
    (event,) = kept(office)
    assert (event.action, event.quality) == ("DataTransfer", Quality.GOOD)
    assert event.payload is not None
    opened = office.system.vault.open(event.payload, CONTEXT)
    assert opened is not None
    assert json.loads(opened) == sent


HASH = {
    "hashAlgorithm": "SHA256",
    "issuerNameHash": "a",
    "issuerKeyHash": "b",
    "serialNumber": "c",
}
REPORT = {"requestId": 1, "generatedAt": AT, "seqNo": 0}
SAMPLES_2: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("FirmwareStatusNotification", {"status": "Installed"}, {}),
    ("LogStatusNotification", {"status": "Uploaded"}, {}),
    ("NotifyReport", REPORT, {}),
    ("NotifyMonitoringReport", REPORT, {}),
    ("NotifyDisplayMessages", {"requestId": 1}, {}),
    ("NotifyCustomerInformation", REPORT | {"data": "x"}, {}),
    ("PublishFirmwareStatusNotification", {"status": "Idle"}, {}),
    (
        "ReservationStatusUpdate",
        {"reservationId": 1, "reservationUpdateStatus": "Expired"},
        {},
    ),
    ("SignCertificate", {"csr": "x"}, {"status": "Rejected"}),
    (
        "Get15118EVCertificate",
        {"iso15118SchemaVersion": "2", "action": "Install", "exiRequest": "x"},
        {"status": "Failed", "exiResponse": ""},
    ),
    (
        "GetCertificateStatus",
        {"ocspRequestData": HASH | {"responderURL": "http://ocsp.example"}},
        {"status": "Failed"},
    ),
]
SAMPLES_2_1: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("PullDynamicScheduleUpdate", {"chargingProfileId": 1}, {"status": "Rejected"}),
    (
        "OpenPeriodicEventStream",
        {"constantStreamData": {"id": 1, "variableMonitoringId": 1, "params": {}}},
        {"status": "Rejected"},
    ),
    ("ClosePeriodicEventStream", {"id": 1}, {}),
    (
        "VatNumberValidation",
        {"vatNumber": "DE1"},
        {"vatNumber": "DE1", "status": "Rejected"},
    ),
    (
        "NotifyDERStartStop",
        {"controlId": "1", "started": True, "timestamp": AT},
        {},
    ),
    ("NotifyDERAlarm", {"controlType": "FreqDroop", "timestamp": AT}, {}),
    ("ReportDERControl", {"requestId": 1}, {}),
    (
        "NotifySettlement",
        {
            "pspRef": "1",
            "status": "Settled",
            "settlementAmount": 1.5,
            "settlementTime": AT,
        },
        {},
    ),
    (
        "GetCertificateChainStatus",
        {
            "certificateStatusRequests": [
                {
                    "certificateHashData": HASH,
                    "source": "OCSP",
                    "urls": ["http://ocsp.example"],
                }
            ]
        },
        {
            "certificateStatus": [
                {
                    "certificateHashData": HASH,
                    "source": "OCSP",
                    "status": "Failed",
                    "nextUpdate": "2024-10-05T00:00:00Z",
                }
            ]
        },
    ),
]
SAMPLES_1_6: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("DiagnosticsStatusNotification", {"status": "Idle"}, {}),
    ("FirmwareStatusNotification", {"status": "Idle"}, {}),
    ("LogStatusNotification", {"status": "Idle"}, {}),
    ("SignedFirmwareStatusNotification", {"status": "Idle"}, {}),
    ("SignCertificate", {"csr": "x"}, {"status": "Rejected"}),
]


@pytest.mark.parametrize(
    ("version", "samples"),
    [
        ("1.6", SAMPLES_1_6),
        ("2.0.1", SAMPLES_2),
        ("2.1", SAMPLES_2 + SAMPLES_2_1),
    ],
)
def test_it_is_answered_as_its_protocol_says_and_kept(
    office: Office, version: Version, samples: list[Any]
) -> None:
    wire = office.connect("S1", version)
    for action, request, response in samples:
        assert wire.ask(action, request) == response, action
    assert [event.action for event in kept(office)] == [s[0] for s in samples]


@pytest.mark.requirement("7.9.4.6a")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_station_notes_for_security_is_in_our_log_too(
    office: Office, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[str, str, str]] = []

    def note(kind: Any, origin: Any, *, actor: str, detail: str) -> None:
        noted.append((kind.value, actor, detail))

    monkeypatch.setattr(office.desk.desk, "note", note)
    wire = office.connect("S1", version)
    told = {"type": "TamperDetectionActivated", "timestamp": AT, "techInfo": "lid"}
    assert wire.ask("SecurityEventNotification", told) == {}
    assert noted == [("station-event", "S1", "TamperDetectionActivated")]
    assert len(kept(office)) == 1


def flood(wire: Wire, count: int) -> None:
    for _ in range(count):
        wire.ask("DataTransfer", {"vendorId": "Acme"})


def test_a_flood_is_answered_and_counted_but_not_kept(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    flood(wire, 130)
    assert len(kept(office)) == 120
    office.pass_time(HOUR)
    flood(wire, 1)
    assert len(kept(office)) == 121
    (counted,) = office.events(t.StationMessagesCounted)
    assert isinstance(counted, t.StationMessagesCounted)
    assert counted.count == 10


def test_a_flood_of_what_cannot_be_read_is_kept_within_a_larger_bound(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.1")
    for n in range(730):
        wire.raw(f'[2,"u{n}","TransactionEvent",{{}}]'.encode())
    unreadable = [e for e in kept(office) if e.quality == Quality.UNREADABLE]
    assert len(unreadable) == 720
    assert office.gateway.peers.by_id["S1"].unreadable.total() == 730
    office.pass_time(HOUR)
    wire.raw(b'[2,"again","TransactionEvent",{}]')
    (counted,) = office.events(t.StationMessagesCounted)
    assert isinstance(counted, t.StationMessagesCounted)
    assert counted.count == 10


def test_a_message_that_is_not_answered_is_kept(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    stream = {
        "id": 1,
        "pending": 0,
        "basetime": AT,
        "data": [{"t": 0.5, "v": "50.01"}],
    }
    before = len(wire.frames)
    wire.raw(json.dumps([6, "m-1", "NotifyPeriodicEventStream", stream]).encode())
    assert len(wire.frames) == before
    assert [event.action for event in kept(office)] == ["NotifyPeriodicEventStream"]
