"""E2 Info2: all EVSEs are told of an incentive, in three versions; a refusal binds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.model import incentive_events as n
from domain.model import station_events as t
from domain.model.values import HOUR, MINUTE, SECOND
from domain.use_cases.clause_6_2_service_sessions import run_due_timers
from domain.use_cases.e2_demand_response import (
    AnswerIncentive,
    ReceiveIncentive,
    WithdrawIncentive,
    answer_incentive,
    receive_incentive,
    withdraw_incentive,
)
from domain.use_cases.e2_incentive_effects import part_of
from tests.api.ocpp.etps_told import begin, connected, etps, plug, schedule_of, send
from tests.api.ocpp.office import (
    ONE,
    TWO,
    VERSIONS,
    Office,
    Wire,
    evse_data,
    open_with_station,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path, is_asked=False) as office:
        yield office


def receive(office: Office, **changes: Any) -> None:
    values: dict[str, Any] = {
        "zone_id": "site",
        "incentive_id": "peak-1",
        "from_at": office.clock.at - office.clock.at % MINUTE,
        "until_at": office.clock.at - office.clock.at % MINUTE + HOUR,
        "currency": "EUR",
        "tariff": ((0, 30), (1_800, 45)),
        "co2": ((0, 380),),
        "maximum_w": 11_000,
        "peak": "Peak hour",
    }
    command = ReceiveIncentive(**(values | changes))
    receive_incentive(office.system, command, office.by("fleet"))
    office.follow()


def settled(office: Office, version: Version) -> Wire:
    """Connect the station and let pass what follows from that."""
    wire = connected(office, version)
    office.pass_time(MINUTE)
    return wire


def answer_all(wire: Wire, status: str = "Accepted") -> None:
    answered: set[str] = set()
    while waiting := [call for call in wire.calls() if call[1] not in answered]:
        for call in waiting:
            answered.add(call[1])
            wire.answer(call, {"status": status})


def told(office: Office) -> list[tuple[str, str, str]]:
    return [
        (event.evse_id, event.how, event.outcome)
        for event in office.events(n.IncentiveTold)
        if isinstance(event, n.IncentiveTold)
    ]


def charging(office: Office, wire: Wire) -> None:
    """Let an EV that told its needs charge at the first EVSE, under an ETP."""
    plug(office)
    begin(office, wire)
    office.gateway.peers.by_id["S1"].transactions[1].max_periods = 8
    send(office, 1, (0, 9_000))
    wire.answer(etps(wire)[-1], {"status": "Accepted"})


@pytest.mark.requirement("E2.Req1")
@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_users_at_every_evse_are_shown_an_incentive(
    office: Office, version: Version
) -> None:
    wire = settled(office, version)
    receive(office)
    answer_all(wire)
    shown = [call[3]["message"] for call in wire.calls("SetDisplayMessage")]
    assert [each["display"]["evse"]["id"] for each in shown] == [1, 2]
    assert len({each["id"] for each in shown}) == 2
    text = "Peak hour; 0.30 to 0.45 EUR/kWh; 380 g CO2/kWh; at most 11 kW"
    assert {each["message"]["content"] for each in shown} == {text}
    assert shown[0]["endDateTime"] > shown[0]["startDateTime"]
    assert told(office) == [(ONE, "display", "accepted"), (TWO, "display", "accepted")]


@pytest.mark.requirement("E2.Req1")
def test_a_station_of_1_6_is_told_an_incentive_as_data(office: Office) -> None:
    wire = settled(office, "1.6")
    receive(office)
    answer_all(wire)
    calls = wire.calls("DataTransfer")
    assert {call[3]["vendorId"] for call in calls} == {"voltledger"}
    data = [json.loads(call[3]["data"]) for call in calls]
    assert [each["connectorId"] for each in data] == [1, 2]
    assert data[0]["minorUnitsPerKwh"] == [[0, 30], [1_800, 45]]
    assert data[0]["maximumW"] == 11_000
    assert told(office) == [(ONE, "data", "accepted"), (TWO, "data", "accepted")]


@pytest.mark.requirement("E2.Req1")
@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_an_ev_that_told_its_needs_gets_tariff_and_co2_with_its_etp(
    office: Office, version: Version
) -> None:
    wire = settled(office, version)
    charging(office, wire)
    assert "salesTariff" not in schedule_of(etps(wire)[-1])
    receive(office)
    answer_all(wire)
    schedule = schedule_of(etps(wire)[-1])
    first, second = schedule["salesTariff"]["salesTariffEntry"]
    assert first["ePriceLevel"] == 0
    assert second["ePriceLevel"] == 1
    assert second["relativeTimeInterval"]["duration"] == 1_800
    ends = first["relativeTimeInterval"]
    assert ends["start"] + ends["duration"] == second["relativeTimeInterval"]["start"]
    costs = {c["costKind"]: c["amount"] for c in first["consumptionCost"][0]["cost"]}
    assert costs == {"RelativePricePercentage": 67, "CarbonDioxideEmission": 380}
    assert (ONE, "price", "accepted") in told(office)


def test_a_station_that_refuses_prices_gets_its_etp_without(office: Office) -> None:
    wire = settled(office, "2.1")
    charging(office, wire)
    receive(office)
    while "salesTariff" not in schedule_of(etps(wire)[-1]):
        wire.answer(wire.calls()[-1], {"status": "Accepted"})
    before = len(etps(wire))
    wire.answer(etps(wire)[-1], {"status": "Rejected"})
    assert len(etps(wire)) == before + 1
    assert "salesTariff" not in schedule_of(etps(wire)[-1])
    wire.answer(etps(wire)[-1], {"status": "Accepted"})
    assert (ONE, "price", "refused") in told(office)
    assert office.events(t.EtpSuperseded) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_that_knows_nothing_of_it_is_recorded_as_not_told(
    office: Office, version: Version
) -> None:
    wire = settled(office, version)
    receive(office)
    if version == "1.6":
        answer_all(wire, "UnknownVendorId")
    else:
        for _ in range(2):
            call = wire.calls("SetDisplayMessage")[-1]
            wire.raw(f'[4,"{call[1]}","NotImplemented","",{{}}]'.encode())
    assert [outcome for _, _, outcome in told(office)] == ["not-told", "not-told"]


@pytest.mark.requirement("E2.Req1")
def test_every_evse_of_the_zone_is_told_or_recorded_and_told_when_it_is_there(
    office: Office,
) -> None:
    office.commission("S2", evse_data("DE*VLT*ES2*1"))
    receive(office)
    assert [(evse_id, how) for evse_id, how, _ in told(office)] == [
        (ONE, ""),
        (TWO, ""),
        ("DE*VLT*ES2*1", ""),
    ]
    assert {outcome for _, _, outcome in told(office)} == {"not-told"}
    wire = connected(office, "2.1")
    for _ in range(12):  # it has patience for less than a minute
        office.pass_time(5 * SECOND)
        answer_all(wire)
    assert len(wire.calls("SetDisplayMessage")) == 2
    assert (TWO, "display", "accepted") in told(office)
    assert len(told(office)) == 5
    # Once more it is not told.
    assert settled(office, "2.1").calls("SetDisplayMessage") == []


def test_what_is_withdrawn_is_taken_back(office: Office) -> None:
    wire = settled(office, "2.1")
    receive(office)
    answer_all(wire)
    command = WithdrawIncentive(zone_id="site", incentive_id="peak-1", reason="over")
    withdraw_incentive(office.system, command, office.by("fleet"))
    office.follow()
    answer_all(wire)
    shown = [call[3]["message"]["id"] for call in wire.calls("SetDisplayMessage")]
    assert [c[3]["id"] for c in wire.calls("ClearDisplayMessage")] == shown


def test_priority_charging_refuses_and_its_end_takes_part_again(
    office: Office,
) -> None:
    wire = settled(office, "2.1")
    charging(office, wire)
    session_id = office.system.log.owner("occupant", ONE) or ""
    peer = office.gateway.peers.by_id["S1"]
    peer.transactions[1].session_id = session_id
    peer.open_transactions["tx-1"] = peer.transactions[1]
    receive(office)
    assert part_of(office.system, session_id).under == {"peak-1"}
    notice = {"transactionId": "tx-1", "activated": True}
    assert wire.ask("NotifyPriorityCharging", notice) == {}
    assert part_of(office.system, session_id).refused == {"peak-1"}
    limits = office.events(t.LimitReported)
    assert isinstance(limits[-1], t.LimitReported)
    assert (limits[-1].evse_id, limits[-1].is_over) == (ONE, True)
    wire.ask("NotifyPriorityCharging", {**notice, "activated": False})
    assert part_of(office.system, session_id).under == {"peak-1"}


def test_priority_charging_without_an_incentive_is_kept(office: Office) -> None:
    wire = settled(office, "2.1")
    notice = {"transactionId": "tx-9", "activated": True}
    assert wire.ask("NotifyPriorityCharging", notice) == {}
    kept = office.events(t.StationMessageKept)
    assert isinstance(kept[-1], t.StationMessageKept)
    assert kept[-1].action == "NotifyPriorityCharging"


def test_a_refusal_takes_the_prices_from_the_etp(office: Office) -> None:
    wire = settled(office, "2.1")
    charging(office, wire)
    session_id = office.system.log.owner("occupant", ONE) or ""
    office.gateway.peers.by_id["S1"].transactions[1].session_id = session_id
    receive(office)
    answer_all(wire)
    assert "salesTariff" in schedule_of(etps(wire)[-1])
    command = AnswerIncentive(session_id=session_id, is_accepted=False)
    answer_incentive(office.system, command, office.by())
    office.follow()
    assert "salesTariff" not in schedule_of(etps(wire)[-1])


def test_who_comes_and_goes_meanwhile_was_under_the_incentive(office: Office) -> None:
    settled(office, "2.1")
    receive(office)
    plug(office, TWO)
    session_id = office.system.log.owner("occupant", TWO) or ""
    assert part_of(office.system, session_id).under == {"peak-1"}
    run_due_timers(office.system, office.clock.at + HOUR)
    assert part_of(office.system, session_id).under == frozenset()
