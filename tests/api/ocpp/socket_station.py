"""A station at its socket, by a client that shares no code with the gateway."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.api.ocpp.sockets import BOOT, BOOT_2, until


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
