import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.model import ids
from domain.model import session_events as s
from domain.model.plan_events import EtpSent
from domain.model.profile import PowerProfile
from domain.model.values import SECOND
from domain.ports import Append, Batch
from tests.api.ocpp.office import NOW, V2, Office, Wire, open_office
from tests.api.ocpp.test_e1_info1_needs import begin, iso

EVSE = "DE*VLT*ES1*1"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1")
        yield office


def send_etp(office: Office, wire: Wire, number: int, power_w: int) -> None:
    """Have the loop's ETP go out, and the station store it."""
    profile = PowerProfile(NOW, ((0, power_w),))
    sent = EtpSent(evse_id=EVSE, number=number, profile=profile)
    stream = ids.delivery_stream("S1", office.clock.at)
    facts = (Append(stream, (sent,), office.clock.at),)
    office.system.log.append(Batch(actor="loop", appends=facts))
    office.follow()
    wire.answer(wire.calls("SetChargingProfile")[-1], {"status": "Accepted"})
    refuse_others(wire)


def refuse_others(wire: Wire) -> None:
    """Refuse all calls but of profiles, so that those are not kept waiting."""
    for frame in wire.frames:  # it grows as the next ones come
        if frame[0] == 2 and frame[2] != "SetChargingProfile":
            wire.raw(json.dumps([4, frame[1], "NotSupported", "", {}]).encode())


def intended(*periods: tuple[int, float]) -> dict[str, Any]:
    told = [{"startPeriod": at, "limit": limit} for at, limit in periods]
    return {
        "timeBase": iso(10 * SECOND),
        "evseId": 1,
        "chargingSchedule": {
            "id": 1,
            "chargingRateUnit": "W",
            "duration": 3_600,
            "chargingSchedulePeriod": told,
        },
    }


def forecasts(office: Office) -> list[s.EvScheduleReported]:
    found = office.events(s.EvScheduleReported)
    return [e for e in found if isinstance(e, s.EvScheduleReported)]


@pytest.mark.requirement("E1.Req2")
@pytest.mark.parametrize("version", V2)
def test_what_an_ev_intends_is_recorded_as_a_forecast(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin(wire)
    send_etp(office, wire, 1, 7_000)
    told = intended((0, 6_000), (600, 3_000))
    if version == "2.1":
        told["selectedChargingScheduleId"] = 2
    assert wire.ask("NotifyEVChargingSchedule", told) == {"status": "Accepted"}
    (forecast,) = forecasts(office)
    changes = ((0, 0), (10, 6_000), (610, 3_000), (3_610, 0))
    assert forecast.profile == PowerProfile(NOW, changes)
    assert forecast.selected_schedule_id == (2 if version == "2.1" else None)
    assert not forecast.is_above
    assert len(wire.calls("SetChargingProfile")) == 1


@pytest.mark.parametrize("version", V2)
def test_an_ev_that_goes_beyond_its_etp_is_told_it_once_more_and_no_more(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin(wire)
    send_etp(office, wire, 1, 7_000)
    for times in (2, 2):
        told = intended((0, 6_000), (600, 11_000))
        assert wire.ask("NotifyEVChargingSchedule", told) == {"status": "Accepted"}
        calls = wire.calls("SetChargingProfile")
        assert len(calls) == times
        wire.answer(calls[-1], {"status": "Accepted"})
    assert [f.is_above for f in forecasts(office)] == [True, True]
    send_etp(office, wire, 2, 5_000)
    wire.ask("NotifyEVChargingSchedule", intended((0, 6_000)))
    assert len(wire.calls("SetChargingProfile")) == 4


@pytest.mark.parametrize("version", V2)
def test_a_schedule_without_a_session_is_rejected_and_kept(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    told = intended((0, 6_000))
    assert wire.ask("NotifyEVChargingSchedule", told) == {"status": "Rejected"}
    assert forecasts(office) == []
