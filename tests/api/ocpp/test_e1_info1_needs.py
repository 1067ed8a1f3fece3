from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.model import session_events as s
from domain.model import station_events as t
from domain.model.values import HOUR, MINUTE, Quality, datetime_of
from domain.ports import Append, Batch
from domain.use_cases.e1_smart_charging import StateNeeds, state_needs
from tests.api.ocpp.office import NOW, V2, Office, Wire, open_office

AC = {"energyAmount": 8_000, "evMinCurrent": 6, "evMaxCurrent": 32, "evMaxVoltage": 400}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1")
        yield office


def begin(wire: Wire) -> None:
    """Plug an EV; its meter stands at 1 kWh."""
    value = {"timestamp": iso(0), "sampledValue": [{"value": 1_000}]}
    told = {
        "eventType": "Started",
        "timestamp": iso(0),
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-1", "chargingState": "EVConnected"},
        "evse": {"id": 1},
        "meterValue": [value],
    }
    assert wire.ask("TransactionEvent", told) == {}


def iso(offset: int) -> str:
    return datetime_of(NOW + offset).isoformat()


def needs(mode: str = "AC_three_phase", **changes: Any) -> dict[str, Any]:
    told = {"requestedEnergyTransfer": mode, **changes}
    return {"evseId": 1, "maxScheduleTuples": 3, "chargingNeeds": told}


def stated(office: Office) -> list[s.NeedsStated]:
    found = office.events(s.NeedsStated)
    return [e for e in found if isinstance(e, s.NeedsStated) and e.source == "ev"]


def running(office: Office) -> Any:
    return office.gateway.peers.by_id["S1"].transactions[1]


@pytest.mark.requirement("E1.Req2")
@pytest.mark.parametrize("version", V2)
def test_what_an_ac_ev_still_needs_counts_from_its_arrival(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin(wire)
    (bound,) = office.events(s.EvseBound)
    assert isinstance(bound, s.EvseBound)
    stream = f"session-{bound.session_id}"
    observed = s.TransferObserved(
        session_id=bound.session_id,
        evse_id=bound.evse_id,
        energy_wh=500,
        power_w=6_000,
    )
    office.pass_time(5 * MINUTE)
    append(office, stream, observed)
    told = needs(acChargingParameters=AC, departureTime=iso(3 * HOUR))
    assert wire.ask("NotifyEVChargingNeeds", told) == {"status": "Accepted"}
    (event,) = stated(office)
    assert event.energy_target_wh == 8_500
    assert event.departure_at == NOW + 3 * HOUR
    assert running(office).max_periods == 3
    # The same again is no event.
    assert wire.ask("NotifyEVChargingNeeds", told) == {"status": "Accepted"}
    assert len(stated(office)) == 1


def append(office: Office, stream: str, event: s.TransferObserved) -> None:
    facts = (Append(stream, (event,), office.clock.at),)
    office.system.log.append(Batch(actor="loop", appends=facts))


@pytest.mark.parametrize("version", V2)
def test_a_battery_says_what_a_dc_ev_needs(office: Office, version: Version) -> None:
    wire = office.connect("S1", version)
    begin(wire)
    dc = {
        "evMaxCurrent": 200,
        "evMaxVoltage": 800,
        "stateOfCharge": 30,
        "evEnergyCapacity": 60_000,
        "bulkSoC": 80,
    }
    told = needs("DC", dcChargingParameters=dc)
    assert wire.ask("NotifyEVChargingNeeds", told) == {"status": "Accepted"}
    (event,) = stated(office)
    assert (event.energy_target_wh, event.energy_max_wh) == (30_000, 42_000)


def test_iso_15118_20_names_minimum_target_and_maximum(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    begin(wire)
    v2x = {
        "evTargetEnergyRequest": 20_000.5,
        "evMinEnergyRequest": 5_000,
        "evMaxEnergyRequest": 40_000,
        "maxDischargePower": 7_000,
    }
    told = needs(
        "AC_BPT",
        v2xChargingParameters=v2x,
        controlMode="ScheduledControl",
        mobilityNeedsMode="EVCC_SECC",
        availableEnergyTransfer=["AC_BPT", "AC_three_phase"],
    )
    assert wire.ask("NotifyEVChargingNeeds", told) == {"status": "Accepted"}
    (event,) = stated(office)
    amounts = (event.energy_min_wh, event.energy_target_wh, event.energy_max_wh)
    assert amounts == (5_000, 20_000, 40_000)


def test_what_the_ev_does_not_say_stays_as_its_user_said(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    begin(wire)
    (bound,) = office.events(s.EvseBound)
    assert isinstance(bound, s.EvseBound)
    command = StateNeeds(
        session_id=bound.session_id,
        departure_at=NOW + 6 * HOUR,
        energy_target_wh=10_000,
        energy_min_wh=2_000,
    )
    state_needs(office.system, command, office.by())
    wire.ask("NotifyEVChargingNeeds", needs(acChargingParameters=AC))
    (event,) = stated(office)
    assert event.departure_at == NOW + 6 * HOUR
    assert (event.energy_min_wh, event.energy_target_wh) == (2_000, 8_000)


@pytest.mark.parametrize("version", V2)
@pytest.mark.parametrize(
    "told",
    [
        {"departureTime": iso(-HOUR), "acChargingParameters": AC},
        {"acChargingParameters": {**AC, "energyAmount": -1}},
        {"acChargingParameters": {**AC, "energyAmount": 10**15}},
        {"acChargingParameters": {**AC, "evMinCurrent": 40}},
        {
            "dcChargingParameters": {
                "evMaxCurrent": 1,
                "evMaxVoltage": 1,
                "stateOfCharge": 20,
                "evEnergyCapacity": 50_000,
                "bulkSoC": 90,
                "fullSoC": 80,
            }
        },
    ],
)
def test_needs_that_contradict_are_rejected_with_the_reason_and_kept(
    office: Office, version: Version, told: dict[str, Any]
) -> None:
    wire = office.connect("S1", version)
    begin(wire)
    answer = wire.ask("NotifyEVChargingNeeds", needs(**told))
    assert answer["status"] == "Rejected"
    assert answer["statusInfo"]["reasonCode"] == "InvalidValue"
    assert answer["statusInfo"]["additionalInfo"]
    assert stated(office) == []
    (kept,) = office.events(t.StationMessageKept)
    assert isinstance(kept, t.StationMessageKept)
    assert kept.quality == Quality.CONTRADICTS


@pytest.mark.parametrize("version", V2)
def test_needs_before_the_transaction_wait_for_it(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    told = needs(acChargingParameters=AC)
    assert wire.ask("NotifyEVChargingNeeds", told) == {"status": "Processing"}
    assert stated(office) == []
    begin(wire)
    assert [e.energy_target_wh for e in stated(office)] == [8_000]
    assert running(office).max_periods == 3


def test_needs_at_an_evse_that_is_none_of_ours_are_rejected(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    told = {**needs(acChargingParameters=AC), "evseId": 5}
    answer = wire.ask("NotifyEVChargingNeeds", told)
    assert (answer["status"], answer["statusInfo"]["reasonCode"]) == (
        "Rejected",
        "UnknownEvse",
    )


@pytest.mark.parametrize(
    ("version", "status"), [("2.0.1", "Rejected"), ("2.1", "NoChargingProfile")]
)
def test_a_station_without_smart_charging_is_told_that_no_profile_comes(
    office: Office, version: Version, status: str
) -> None:
    wire = office.connect("S1", version)
    begin(wire)
    told = t.StationCapabilities(
        station_id="S1", version=version, has_smart_charging=False
    )
    office.gateway.peers.by_id["S1"].told = told
    answer = wire.ask("NotifyEVChargingNeeds", needs(acChargingParameters=AC))
    assert answer["status"] == status
