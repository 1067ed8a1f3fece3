"""What stations that are in the field do, and nobody wrote into a protocol."""

from collections.abc import Iterator
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.model import ids
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.plan_events import EtpAccepted, EtpRefused, EtpSent
from domain.model.profile import PowerProfile
from domain.model.values import (
    MINUTE,
    SECOND,
    Instant,
    datetime_of,
)
from domain.ports import Append, Batch
from tests.api.ocpp.office import (
    ONE,
    V2,
    Office,
    Wire,
    iso,
)
from tests.api.ocpp.transactions import CARD, only, open_with_contract, running

ALL: tuple[Version, ...] = ("1.6", *V2)
BOOT: dict[Version, dict[str, Any]] = {
    "1.6": {"chargePointVendor": "Acme", "chargePointModel": "One"},
    "2.0.1": {
        "reason": "PowerUp",
        "chargingStation": {"vendorName": "Acme", "model": "One"},
    },
}
BOOT["2.1"] = BOOT["2.0.1"]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_contract(tmp_path) as office:
        yield office


# 1.6


def starts(office: Office, wire: Wire, **changes: Any) -> Any:
    told = {
        "connectorId": 1,
        "idTag": CARD,
        "meterStart": 1_000,
        "timestamp": iso(office.clock.at),
        **changes,
    }
    return wire.ask("StartTransaction", told)


def stops(office: Office, wire: Wire, transaction_id: int, **changes: Any) -> Any:
    told = {
        "transactionId": transaction_id,
        "meterStop": 1_600,
        "timestamp": iso(office.clock.at),
        **changes,
    }
    return wire.ask("StopTransaction", told)


def status(wire: Wire, connector: int, name: str, **more: Any) -> Any:
    told = {"connectorId": connector, "errorCode": "NoError", "status": name, **more}
    return wire.ask("StatusNotification", told)


def test_1_6_tells_its_status_before_it_boots(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    for connector in (0, 1, 2):
        assert status(wire, connector, "Available") == {}
    assert wire.ask("BootNotification", BOOT["1.6"])["status"] == "Accepted"


def test_1_6_starts_without_preparing_and_is_told_its_etp(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    answer = starts(office, wire)
    assert answer["idTagInfo"]["status"] == "Accepted"
    assert only(office, s.TransferStarted).evse_id == ONE
    send_etp(office)
    (profile,) = [c for c in wire.calls("SetChargingProfile") if told_to(c) == 1]
    of_transaction = profile[3]["csChargingProfiles"]
    assert of_transaction["transactionId"] == answer["transactionId"]


def test_1_6_meter_values_under_an_unknown_transaction_are_its_connectors(
    office: Office,
) -> None:
    wire = office.connect("S1", "1.6")
    starts(office, wire)
    office.pass_time(10 * SECOND)
    value = {"value": "7000", "measurand": "Power.Active.Import", "unit": "W"}
    told = {
        "connectorId": 1,
        "transactionId": 424_242,
        "meterValue": [{"timestamp": iso(office.clock.at), "sampledValue": [value]}],
    }
    assert wire.ask("MeterValues", told) == {}
    assert [reading.power_w for _, reading in office.readings] == [7_000]


@pytest.mark.parametrize("number", [0, -1])
def test_1_6_stops_before_it_was_told_its_number(office: Office, number: int) -> None:
    wire = office.connect("S1", "1.6")
    starts(office, wire)
    office.pass_time(4 * MINUTE)
    assert stops(office, wire, number) == {}
    assert only(office, s.TransferEnded).energy_wh == 600
    assert running(office) is None


def test_1_6_shows_no_tag_and_tags_in_small_letters(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    answer = wire.ask("Authorize", {"idTag": CARD.lower()})
    assert answer["idTagInfo"]["status"] == "Accepted"
    assert wire.ask("Authorize", {"idTag": ""})["idTagInfo"]["status"] == "Invalid"
    answer = starts(office, wire, idTag="")
    assert answer["idTagInfo"]["status"] == "Invalid"
    assert answer["transactionId"] > 0
    assert stops(office, wire, answer["transactionId"]) == {}


def test_1_6_instants_come_with_offsets_and_without_fractions(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    east = datetime_of(office.clock.at).astimezone(timezone(timedelta(hours=2)))
    answer = starts(office, wire, timestamp=east.isoformat())
    assert east.isoformat().endswith("+02:00")
    office.pass_time(4 * MINUTE)
    plain = datetime_of(office.clock.at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert stops(office, wire, answer["transactionId"], timestamp=plain) == {}
    assert only(office, s.TransferEnded).energy_wh == 600
    assert abs(office.gateway.peers.by_id["S1"].clock_offset or 0) <= SECOND


@pytest.mark.parametrize("version", ALL)
def test_who_boots_twice_and_in_mid_transaction_goes_on(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    for _ in range(2):
        assert wire.ask("BootNotification", BOOT[version])["status"] == "Accepted"
    charge(office, wire, version)
    assert wire.ask("BootNotification", BOOT[version])["status"] == "Accepted"
    assert running(office) is not None
    office.pass_time(4 * MINUTE)
    end(office, wire, version)
    assert only(office, s.TransferEnded).energy_wh == 600


def test_1_6_knows_no_key_and_takes_none(office: Office) -> None:
    wire = office.connect("S1", "1.6", is_known=False)
    wire.ask("BootNotification", BOOT["1.6"])
    charge(office, wire, "1.6")
    answered = 0
    while answered < len(wire.calls()):
        call = wire.calls()[answered]
        answered += 1
        match call[2]:
            case "GetConfiguration":
                wire.answer(call, {"unknownKey": call[3].get("key", [])})
            case "ChangeConfiguration":
                wire.answer(call, {"status": "NotSupported"})
            case _:
                wire.answer(call, {"status": "Accepted"})
        office.follow()
    told = only(office, t.StationCapabilities)
    assert (told.unit, told.max_periods) == ("A", 1)
    send_etp(office)
    (profile,) = [c for c in wire.calls("SetChargingProfile") if is_of_transaction(c)]
    wire.answer(profile, {"status": "Accepted"})
    assert only(office, EtpAccepted).evse_id == ONE


@pytest.mark.parametrize("said", ["NotSupported", "Rejected"])
def test_1_6_does_not_take_profiles(office: Office, said: str) -> None:
    wire = office.connect("S1", "1.6")
    charge(office, wire, "1.6")
    send_etp(office)
    (profile,) = [c for c in wire.calls("SetChargingProfile") if is_of_transaction(c)]
    wire.answer(profile, {"status": said})
    assert said in only(office, EtpRefused).reason


# 2.x


def told(office: Office, kind: str, seq_no: int, trigger: str, **more: Any) -> Any:
    info = {"transactionId": "tx-1"}
    for name in ("chargingState", "stoppedReason"):
        if name in more:
            info[name] = more.pop(name)
    return {
        "eventType": kind,
        "timestamp": iso(office.clock.at),
        "triggerReason": trigger,
        "seqNo": seq_no,
        "transactionInfo": info,
        **more,
    }


def meter(at: Instant, register_wh: float) -> list[dict[str, Any]]:
    return [{"timestamp": iso(at), "sampledValue": [{"value": register_wh}]}]


TOKEN = {"idToken": CARD, "type": "ISO14443"}
EVSE = {"id": 1, "connectorId": 1}


@pytest.mark.parametrize("version", V2)
def test_2_x_a_card_is_shown_before_the_cable_comes(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    asked = told(office, "Started", 0, "Authorized", evse=EVSE, idToken=TOKEN)
    answer = wire.ask("TransactionEvent", asked)
    assert answer["idTokenInfo"]["status"] == "Accepted"
    office.pass_time(20 * SECOND)
    cable = told(
        office,
        "Updated",
        1,
        "CablePluggedIn",
        chargingState="EVConnected",
        meterValue=meter(office.clock.at, 1_000),
    )
    wire.ask("TransactionEvent", cable)
    send_etp(office)
    assert [c for c in wire.calls("SetChargingProfile") if is_of_transaction(c)]
    office.pass_time(4 * MINUTE)
    end(office, wire, version, seq_no=2)
    assert only(office, s.TransferEnded).energy_wh == 600


@pytest.mark.parametrize("first", [1, 1_000])
@pytest.mark.parametrize("version", V2)
def test_2_x_numbers_begin_anywhere_and_nothing_is_missing(
    office: Office, version: Version, first: int
) -> None:
    wire = office.connect("S1", version)
    charge(office, wire, version, seq_no=first)
    office.pass_time(4 * MINUTE)
    end(office, wire, version, seq_no=first + 1)
    office.pass_time(20 * MINUTE)
    assert wire.calls("GetTransactionStatus") == []
    assert office.events(t.StationTransactionGap) == []


@pytest.mark.parametrize("version", V2)
def test_2_x_a_register_is_read_just_after_what_brings_it(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    at = office.clock.at + 5_000
    begun = told(
        office, "Started", 0, "CablePluggedIn", evse=EVSE, meterValue=meter(at, 1_000)
    )
    wire.ask("TransactionEvent", begun)
    office.pass_time(4 * MINUTE)
    at = office.clock.at + 5_000
    ended = told(
        office,
        "Ended",
        1,
        "EVCommunicationLost",
        stoppedReason="EVDisconnected",
        meterValue=meter(at, 1_600),
    )
    wire.ask("TransactionEvent", ended)
    assert only(office, s.TransferEnded).energy_wh == 600


@pytest.mark.parametrize("version", V2)
def test_2_x_ends_without_meter_values_by_the_last_that_it_told(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    charge(office, wire, version)
    office.pass_time(4 * MINUTE)
    periodic = told(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        meterValue=meter(office.clock.at, 1_500),
    )
    wire.ask("TransactionEvent", periodic)
    office.pass_time(MINUTE)
    ended = told(
        office, "Ended", 2, "EVCommunicationLost", stoppedReason="EVDisconnected"
    )
    assert wire.ask("TransactionEvent", ended) == {}
    assert only(office, s.TransferEnded).energy_wh == 500
    assert only(office, s.EvseReleased).evse_id == ONE


@pytest.mark.parametrize("version", V2)
def test_2_x_a_status_of_a_second_connector_is_its_evses(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    charge(office, wire, version)
    for name in ("Available", "Unavailable"):
        office.pass_time(SECOND)
        given = {
            "timestamp": iso(office.clock.at),
            "connectorStatus": name,
            "evseId": 1,
            "connectorId": 2,
        }
        assert wire.ask("StatusNotification", given) == {}
    office.pass_time(MINUTE)
    assert running(office) is not None
    assert office.events(s.EvseReleased) == []


@pytest.mark.parametrize("version", V2)
def test_2_x_events_and_heartbeats_without_end_cost_rows_within_bounds(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    before = office.system.log.last_position()
    for n in range(500):
        office.clock.at += SECOND
        data = {
            "eventId": n,
            "timestamp": iso(office.clock.at),
            "trigger": "Alerting",
            "actualValue": str(n),
            "component": {"name": "Connector", "evse": {"id": 1}},
            "variable": {"name": "Problem"},
            "eventNotificationType": "HardWiredNotification",
        }
        given = {
            "generatedAt": iso(office.clock.at),
            "seqNo": 0,
            "eventData": [data],
        }
        assert wire.ask("NotifyEvent", given) == {}
        assert wire.ask("Heartbeat", {})["currentTime"]
    assert office.system.log.last_position() - before <= 130


# Of all versions


def charge(office: Office, wire: Wire, version: Version, seq_no: int = 0) -> None:
    """Begin a transaction; the station tells no charging state."""
    if version == "1.6":
        starts(office, wire)
        return
    begun = told(
        office,
        "Started",
        seq_no,
        "CablePluggedIn",
        evse=EVSE,
        idToken=TOKEN,
        meterValue=meter(office.clock.at, 1_000),
    )
    assert "idTokenInfo" in wire.ask("TransactionEvent", begun)


def end(office: Office, wire: Wire, version: Version, seq_no: int = 1) -> None:
    """End it, at 600 Wh; neither EVSE nor token is told again."""
    if version == "1.6":
        stops(office, wire, running(office).transaction_id)
        return
    ended = told(
        office,
        "Ended",
        seq_no,
        "EVCommunicationLost",
        stoppedReason="EVDisconnected",
        meterValue=meter(office.clock.at, 1_600),
    )
    assert wire.ask("TransactionEvent", ended) == {}


def send_etp(office: Office, power_w: int = 11_000) -> None:
    """Have the loop's ETP sent to EVSE 1."""
    profile = PowerProfile(office.clock.at, ((0, power_w),))
    sent = EtpSent(evse_id=ONE, number=1, profile=profile)
    stream = ids.delivery_stream("S1", office.clock.at)
    append = Append(stream, (sent,), office.clock.at)
    office.system.log.append(Batch(actor="loop", appends=(append,)))
    office.follow()


def told_to(call: Any) -> int:
    return int(call[3].get("connectorId", call[3].get("evseId")))


def is_of_transaction(call: Any) -> bool:
    profile = call[3].get("csChargingProfiles") or call[3].get("chargingProfile")
    return bool(profile["chargingProfilePurpose"] == "TxProfile")
