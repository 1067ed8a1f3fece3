from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.model import station_events as t
from domain.model.values import MINUTE
from domain.use_cases.clause_7_3_stations import (
    BlockStation,
    UnblockStation,
    block_station,
    unblock_station,
)
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from tests.api.ocpp.office import VERSIONS, Office, Wire, open_office

BOOT_1_6 = {
    "chargePointVendor": "Acme",
    "chargePointModel": "One",
    "firmwareVersion": "1.0",
}
BOOT_2 = {
    "reason": "PowerUp",
    "chargingStation": {
        "vendorName": "Acme",
        "model": "One",
        "firmwareVersion": "1.0",
    },
}


def boot(wire: Wire, version: Version) -> Any:
    return wire.ask("BootNotification", BOOT_1_6 if version == "1.6" else BOOT_2)


def report(wire: Wire, version: Version) -> Any:
    """Send a message that only accepted stations may send."""
    if version == "1.6":
        return wire.call("Authorize", {"idTag": "A"})
    return wire.call("Heartbeat", {})


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        yield office


def statuses(office: Office) -> list[str]:
    return [
        b.status
        for b in office.events(t.StationBooted)
        if isinstance(b, t.StationBooted)
    ]


@pytest.mark.requirement("7.3.1")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_waits_until_it_is_commissioned_and_boots_then(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    answer = boot(wire, version)
    assert (answer["status"], answer["interval"]) == ("Pending", 30)
    assert answer["currentTime"] == "2024-10-04T00:00:00Z"
    assert wire.calls("TriggerMessage") == []
    office.commission("S1")
    (trigger,) = wire.calls("TriggerMessage")
    assert trigger[3] == {"requestedMessage": "BootNotification"}
    wire.answer(trigger, {"status": "Accepted"})
    answer = boot(wire, version)
    assert (answer["status"], answer["interval"]) == ("Accepted", 300)
    assert statuses(office) == ["Pending", "Accepted"]
    (_, booted) = office.events(t.StationBooted)
    assert isinstance(booted, t.StationBooted)
    assert (booted.vendor, booted.model, booted.firmware) == ("Acme", "One", "1.0")
    assert booted.reason == ("" if version == "1.6" else "PowerUp")


def test_who_waits_and_asks_again_and_again_is_recorded_once(office: Office) -> None:
    wire = office.connect("S1", "2.0.1")
    for _ in range(3):
        boot(wire, "2.0.1")
    assert statuses(office) == ["Pending"]
    office.commission("S1")
    boot(wire, "2.0.1")
    boot(wire, "2.0.1")
    assert statuses(office) == ["Pending", "Accepted", "Accepted"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_blocked_station_is_rejected_for_long_and_served_nothing(
    office: Office, version: Version
) -> None:
    office.commission("S1")
    command = BlockStation(station_id="S1", reason="stolen")
    block_station(office.system, command, office.by())
    office.follow()
    wire = office.connect("S1", version)
    answer = boot(wire, version)
    assert (answer["status"], answer["interval"]) == ("Rejected", 3600)
    assert report(wire, version)[:1] + report(wire, version)[2:3] == [
        4,
        "SecurityError",
    ]
    unblocked = UnblockStation(station_id="S1", reason="found")
    unblock_station(office.system, unblocked, office.by())
    office.follow()
    assert len(wire.calls("TriggerMessage")) == 1
    assert boot(wire, version)["status"] == "Accepted"
    assert report(wire, version)[0] == 3


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_a_pending_station_may_only_boot_and_report(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    boot(wire, version)
    assert wire.call("Heartbeat", {})[2] == "SecurityError"
    told = {"requestId": 1, "generatedAt": "2024-10-04T00:00:00Z", "seqNo": 0}
    assert wire.call("NotifyReport", told)[2] != "SecurityError"


def test_a_pending_station_of_1_6_may_tell_that_it_lives(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    boot(wire, "1.6")
    assert wire.ask("Heartbeat", {}) == {"currentTime": "2024-10-04T00:00:00Z"}


def test_an_action_that_there_is_not_is_told_so_before_anything_else(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.1")
    assert wire.call("Dance", {})[2] == "NotImplemented"


def test_a_heartbeat_is_no_row(office: Office) -> None:
    office.commission("S1")
    wire = office.connect("S1", "2.1")
    before = office.system.log.last_position()
    office.clock.at += MINUTE
    assert wire.ask("Heartbeat", {}) == {"currentTime": "2024-10-04T00:01:00Z"}
    assert office.system.log.last_position() == before
    assert office.gateway.peers.by_id["S1"].heard_at == office.clock.at


def test_a_boot_makes_the_clock_unknown_and_leaves_transactions(
    office: Office,
) -> None:
    office.commission("S1")
    wire = office.connect("S1", "1.6")
    peer = office.gateway.peers.by_id["S1"]
    peer.clock_offset = 5
    boot(wire, "1.6")
    assert peer.clock_offset is None


def begin(wire: Wire, version: Version) -> Any:
    """Begin a transaction."""
    at = "2024-10-04T00:00:00Z"
    if version == "1.6":
        start = {"connectorId": 1, "idTag": "A", "meterStart": 1, "timestamp": at}
        return wire.ask("StartTransaction", start)["idTagInfo"]
    event = {
        "eventType": "Started",
        "timestamp": at,
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "t"},
        "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": "A", "type": "ISO14443"},
    }
    return wire.ask("TransactionEvent", event)["idTokenInfo"]


@pytest.mark.parametrize("version", VERSIONS)
def test_transactions_of_a_station_that_is_not_commissioned_are_facts(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    assert boot(wire, version)["status"] == "Pending"
    assert begin(wire, version)["status"] != "Accepted"
    assert len(office.events(t.StationTransactionReported)) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_transactions_of_a_blocked_station_are_facts_and_nobody_may_charge(
    office: Office, version: Version
) -> None:
    office.commission("S1")
    contract = RegisterContract(
        contract_id="c-1",
        subject_id=office.system.vault.subject_of("rfid", "A"),
        valid_from_at=0,
    )
    register_contract(office.system, contract, office.by())
    blocked = BlockStation(station_id="S1", reason="stolen")
    block_station(office.system, blocked, office.by())
    office.follow()
    wire = office.connect("S1", version)
    assert begin(wire, version)["status"] == "Invalid"
    assert len(office.events(t.StationTransactionReported)) == 1
