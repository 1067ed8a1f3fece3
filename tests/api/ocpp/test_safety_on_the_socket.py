"""7.10 seen from a socket, by a client that shares no code with the gateway."""

import asyncio
from pathlib import Path

import pytest

from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.values import iso_of
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    commission_station,
    define_zone,
)
from domain.use_cases.clause_7_10_safety import RecordAssessment, record_assessment
from tests.api.ocpp.live import Live, open_live
from tests.api.ocpp.office import evse_data
from tests.api.ocpp.socket_station import Station
from tests.api.ocpp.sockets import until

EVSE = "DE*VLT*E1"


def commission(live: Live) -> None:
    zone = DefineZone(zone_id="z", name="z", limit_w=50_000, safe_upper_w=20_000)
    define_zone(live.system, zone, live.by())
    station = CommissionStation(station_id="S1", zone_id="z", evses=(evse_data(EVSE),))
    commission_station(live.system, station, live.by())


async def unsafe_day(live: Live, version: str) -> Station:
    async with live.connect("S1", version) as socket:
        station = Station(socket, version)
        listening = asyncio.create_task(station.listen())
        await station.boot()
        at = iso_of(live.system.clock.now())
        await station.charge(at)
        await until(lambda: len(live.events(s.SessionOpened)) == 1)
        await station.fail(at)
        await until(lambda: station.told() == ["Inoperative"])
        await station.boot()
        await until(lambda: station.told() == ["Inoperative"] * 2)
        assessed = RecordAssessment(
            evse_id=EVSE, issue_number=1, is_safe=True, assessor="electrician"
        )
        record_assessment(live.system, assessed, live.by())
        await until(lambda: station.told()[2:] == ["Operative"])
        listening.cancel()
        return station


@pytest.mark.requirement("7.10.1")
@pytest.mark.requirement("7.10.2")
@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_an_unsafe_evse_is_stopped_and_kept_from_use_until_it_was_assessed(
    tmp_path: Path, version: str
) -> None:
    with open_live(tmp_path, "S1") as live:
        commission(live)
        station = asyncio.run(unsafe_day(live, version))
        stop = "RemoteStop" if version == "ocpp1.6" else "RequestStop"
        actions = [action for action, _ in station.asked]
        stopped = actions.index(f"{stop}Transaction")
        assert stopped < actions.index("ChangeAvailability")
        assert len(live.events(z.EvseBlocked)) == 1
        (told,) = live.events(s.SafetyReported)
        (opened,) = live.events(s.SessionOpened)
        assert isinstance(told, s.SafetyReported)
        assert isinstance(opened, s.SessionOpened)
        assert told.session_id == opened.session_id
