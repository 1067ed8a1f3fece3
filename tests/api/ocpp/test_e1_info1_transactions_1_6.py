"""E1 Info1: transactions of OCPP 1.6, which has no one message of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.model import session_events as s
from domain.model.values import MINUTE
from tests.api.ocpp.office import (
    NOW,
    Office,
    evse_data,
    iso,
)
from tests.api.ocpp.transactions import (
    CARD,
    kinds,
    only,
    open_with_contract,
    running,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_contract(tmp_path) as office:
        yield office


def test_1_6_starts_once_charges_and_stops(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    start = {
        "connectorId": 2,
        "idTag": CARD,
        "meterStart": 5_000,
        "timestamp": iso(NOW),
    }
    answer = wire.ask("StartTransaction", start)
    number = answer["transactionId"]
    assert answer["idTagInfo"]["status"] == "Accepted"
    assert wire.ask("StartTransaction", start)["transactionId"] == number
    assert kinds(office) == ["started"]
    assert running(office, 2).transaction_id == number
    office.pass_time(MINUTE)
    value = {"value": " 5.1 ", "unit": "kWh", "context": "Sample.Periodic"}
    told = {
        "connectorId": 2,
        "transactionId": number,
        "meterValue": [{"timestamp": iso(office.clock.at), "sampledValue": [value]}],
    }
    assert wire.ask("MeterValues", told) == {}
    office.pass_time(MINUTE)
    value["value"] = "5.2"
    told["meterValue"] = [{"timestamp": iso(office.clock.at), "sampledValue": [value]}]
    wire.ask("MeterValues", told)
    assert [(r.power_w, r.register_wh) for _, r in office.readings][-1] == (
        6_000,
        5_200,
    )
    stop = {
        "transactionId": number,
        "meterStop": 5_250,
        "timestamp": iso(office.clock.at),
        "reason": "EVDisconnected",
    }
    assert wire.ask("StopTransaction", stop) == {}
    assert only(office, s.TransferEnded).energy_wh == 250
    assert running(office, 2) is None


@pytest.mark.parametrize("number", [-1, 0])
def test_1_6_a_transaction_that_ran_offline_ends_by_place_and_time(
    office: Office, number: int
) -> None:
    wire = office.connect("S1", "1.6")
    begin = NOW - 2 * 60 * MINUTE
    start = {
        "connectorId": 1,
        "idTag": CARD,
        "meterStart": 700,
        "timestamp": iso(begin),
    }
    wire.ask("StartTransaction", start)
    stop = {
        "transactionId": number,
        "meterStop": 3_700,
        "timestamp": iso(begin + 60 * MINUTE),
    }
    assert wire.ask("StopTransaction", stop) == {}
    assert only(office, s.TransferSettled).energy_wh == 3_000


def test_1_6_the_end_of_a_transaction_nobody_knows_is_accepted_and_kept(
    office: Office,
) -> None:
    wire = office.connect("S1", "1.6")
    stop = {"transactionId": 4711, "meterStop": 3_700, "timestamp": iso(NOW)}
    assert wire.ask("StopTransaction", stop) == {}
    assert kinds(office) == ["ended"]
    assert office.gateway.peers.by_id["S1"].unreadable["UNKNOWN_TRANSACTION"] == 1


def test_1_6_nobody_ends_the_transaction_of_another_station(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    start = {"connectorId": 1, "idTag": CARD, "meterStart": 0, "timestamp": iso(NOW)}
    number = wire.ask("StartTransaction", start)["transactionId"]
    office.register("S2")
    office.commission("S2", evse_data("DE*VLT*ES2*1"))
    other = office.connect("S2", "1.6")
    noted: list[str] = []
    office.desk.desk.note = lambda *_, **told: noted.append(told["detail"])  # type: ignore[method-assign]
    stop = {"transactionId": number, "meterStop": 9, "timestamp": iso(NOW)}
    assert other.ask("StopTransaction", stop) == {}
    assert noted == [f"it ends the transaction {number} of another station"]
    assert office.events(s.TransferEnded) == []
    assert running(office).transaction_id == number


def test_1_6_a_refused_tag_gets_its_reason_and_a_number(office: Office) -> None:
    wire = office.connect("S1", "1.6")
    start = {
        "connectorId": 1,
        "idTag": "FFFF0000",
        "meterStart": 0,
        "timestamp": iso(NOW),
    }
    answer = wire.ask("StartTransaction", start)
    assert answer["idTagInfo"]["status"] == "Invalid"
    assert answer["transactionId"] > 0
    assert wire.calls("RemoteStopTransaction") == []
