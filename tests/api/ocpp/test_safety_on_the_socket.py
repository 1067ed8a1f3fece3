"""7.10 seen from a socket, by a client that shares no code with the gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

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
from tests.api.ocpp.sockets import BOOT, BOOT_2, until

EVSE = "DE*VLT*E1"


class Station:
    """A station that keeps all that it is asked, and takes it or ``says`` else."""

    def __init__(self, socket: ClientConnection, version: str) -> None:
        self.socket = socket
        self.version = version
        self.asked: list[tuple[str, Any]] = []
        self.says: dict[str, Any] = {}
        self._answers: dict[str, Any] = {}
        self._count = 0

    async def listen(self) -> None:
        """Take what comes; answer calls."""
        async for text in self.socket:
            frame = json.loads(text)
            if frame[0] == 2:
                self.asked.append((frame[2], frame[3]))
                said = self.says.get(frame[2], answer(frame[2]))
                await self.socket.send(json.dumps([3, frame[1], said]))
            else:
                self._answers[frame[1]] = frame

    async def ask(self, action: str, payload: Any) -> Any:
        """Call the gateway; return its result."""
        self._count += 1
        message_id = f"c{self._count}"
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        await until(lambda: message_id in self._answers)
        frame = self._answers.pop(message_id)
        assert frame[0] == 3, frame
        return frame[2]

    async def boot(self) -> None:
        """Boot and be accepted; as stations do, ask again while that is pending."""
        boot = BOOT if self.version == "ocpp1.6" else BOOT_2
        for _ in range(40):  # the gateway hears of a commissioning a moment later
            answer = await self.ask("BootNotification", boot)
            if answer["status"] != "Pending":
                break
            await asyncio.sleep(0.05)
        assert answer["status"] == "Accepted"

    async def charge(self, at: str) -> None:
        """Begin a transaction."""
        if self.version == "ocpp1.6":
            start = {"connectorId": 1, "idTag": "A", "meterStart": 1, "timestamp": at}
            await self.ask("StartTransaction", start)
            return
        event = {
            "eventType": "Started",
            "timestamp": at,
            "triggerReason": "CablePluggedIn",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "t", "chargingState": "Charging"},
            "evse": {"id": 1, "connectorId": 1},
        }
        await self.ask("TransactionEvent", event)

    async def fail(self, at: str) -> None:
        """Tell that an EVSE is unsafe."""
        if self.version == "ocpp1.6":
            failed = {
                "connectorId": 1,
                "status": "Faulted",
                "errorCode": "GroundFailure",
            }
            await self.ask("StatusNotification", failed)
            return
        data = {
            "eventId": 1,
            "timestamp": at,
            "trigger": "Alerting",
            "actualValue": "true",
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": "ElectricalFeed", "evse": {"id": 1}},
            "variable": {"name": "Problem"},
        }
        told = {"generatedAt": at, "seqNo": 0, "eventData": [data]}
        await self.ask("NotifyEvent", told)

    def told(self) -> list[str]:
        """Return what it was told its EVSE is to be."""
        return [
            asked.get("operationalStatus", asked.get("type"))
            for action, asked in self.asked
            if action == "ChangeAvailability"
        ]


def answer(action: str) -> Any:
    match action:
        case "GetConfiguration":
            return {}
        case "GetChargingProfiles":
            return {"status": "NoProfiles"}
        case _:
            return {"status": "Accepted"}


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
