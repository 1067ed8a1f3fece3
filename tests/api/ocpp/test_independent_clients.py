"""The client of the ``ocpp`` package against ``voltledger serve``, in three versions.

It shares no code with the gateway. Everything else is done as an operator would, over
HTTP. Where the package mangles a field, raw JSON is sent over the same socket.
"""

import asyncio
import json
import logging
import re
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v21 import ChargePoint as ChargePoint21
from ocpp.v21 import call as call21
from ocpp.v21 import call_result as result21
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.api.test_cli_serve import Server, key_file, serving

EVSE = "DE*VLT*E1*1"
TOKEN = "04A2B3C4D5E6F7"
# On an empty cache the planner is compiled first.
WITHIN_S = 120.0


class Desk:
    """An operator at the API."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._count = 0

    def post(self, path: str, **body: Any) -> Any:
        self._count += 1
        answer = httpx.post(
            f"{self._server.address}/v1{path}",
            json=body,
            headers={**self._server.headers, "Idempotency-Key": f"d-{self._count}"},
        )
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self._server.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


def site(desk: Desk) -> str:
    """Set up a zone, a contract and a station; return the station's password."""
    desk.post("/zones", zone_id="yard", name="Yard", limit_w=50_000, safe_upper_w=9_000)
    desk.post(
        "/contracts",
        token={"kind": "token", "text": TOKEN},
        valid_from_at="2026-01-01T00:00:00Z",
    )
    told = desk.post("/stations/cs-1/registration", identity="cs-1", security_profile=1)
    evse = {
        "evse_id": EVSE,
        "current": "AC",
        "phases": 3,
        "voltage_v": 230,
        "max_w": 11_040,
        "floor_w": 4_140,
    }
    desk.post("/stations", station_id="cs-1", zone_id="yard", evses=[evse])
    password: str = told["password"]
    return password


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Told:
    """What the gateway asked of a station."""

    def __init__(self) -> None:
        self.profiles: list[Any] = []
        self.resets: list[Any] = []


class Station16(ChargePoint16):  # type: ignore[misc]
    told: Told

    @on("SetChargingProfile")  # type: ignore[untyped-decorator]
    def profile(self, **asked: Any) -> Any:
        self.told.profiles.append(asked)
        return result16.SetChargingProfile(status="Accepted")

    @on("GetConfiguration")  # type: ignore[untyped-decorator]
    def configuration(self, **asked: Any) -> Any:
        known = [
            {"key": "ChargeProfileMaxStackLevel", "readonly": True, "value": "8"},
            {
                "key": "ChargingScheduleAllowedChargingRateUnit",
                "readonly": True,
                "value": "Current,Power",
            },
            {"key": "ChargingScheduleMaxPeriods", "readonly": True, "value": "24"},
        ]
        return result16.GetConfiguration(configuration_key=known)

    @on("ChangeConfiguration")  # type: ignore[untyped-decorator]
    def change(self, **asked: Any) -> Any:
        return result16.ChangeConfiguration(status="Accepted")

    @on("Reset")  # type: ignore[untyped-decorator]
    def reset(self, **asked: Any) -> Any:
        self.told.resets.append(asked)
        return result16.Reset(status="Accepted")

    async def boots(self) -> str:
        boot = call16.BootNotification(
            charge_point_model="One", charge_point_vendor="Acme"
        )
        return str((await self.call(boot, suppress=False)).status)

    async def authorizes(self) -> str:
        asked = call16.Authorize(id_tag=TOKEN)
        answer = await self.call(asked, suppress=False)
        return str(answer.id_tag_info["status"])

    async def charges(self) -> None:
        start = call16.StartTransaction(
            connector_id=1, id_tag=TOKEN, meter_start=1_000, timestamp=now()
        )
        answer = await self.call(start, suppress=False)
        assert answer.id_tag_info["status"] == "Accepted"
        self.transaction_id = answer.transaction_id

    async def stops(self) -> None:
        stop = call16.StopTransaction(
            meter_stop=1_040,
            timestamp=now(),
            transaction_id=self.transaction_id,
            reason="EVDisconnected",
        )
        await self.call(stop, suppress=False)
        for status in ("Finishing", "Available"):
            told = call16.StatusNotification(
                connector_id=1, error_code="NoError", status=status, timestamp=now()
            )
            await self.call(told, suppress=False)


def second(base: Any, call: Any, result: Any) -> type[Any]:
    """Return a station of 2.0.1 or 2.1, which the package has apart."""

    class Station(base):  # type: ignore[misc]
        told: Told
        sent = 0

        @on("SetChargingProfile")  # type: ignore[untyped-decorator]
        def profile(self, **asked: Any) -> Any:
            self.told.profiles.append(asked)
            return result.SetChargingProfile(status="Accepted")

        @on("GetVariables")  # type: ignore[untyped-decorator]
        def variables(self, get_variable_data: Any, **more: Any) -> Any:
            answers = [
                {
                    "attribute_status": "UnknownVariable",
                    "component": each["component"],
                    "variable": each["variable"],
                }
                for each in get_variable_data
            ]
            return result.GetVariables(get_variable_result=answers)

        @on("SetVariables")  # type: ignore[untyped-decorator]
        def set_variables(self, set_variable_data: Any, **more: Any) -> Any:
            answers = [
                {
                    "attribute_status": "Accepted",
                    "component": each["component"],
                    "variable": each["variable"],
                }
                for each in set_variable_data
            ]
            return result.SetVariables(set_variable_result=answers)

        # The package's 2.1 does not survive a call that it has no handler for.
        @on("GetChargingProfiles")  # type: ignore[untyped-decorator]
        def profiles(self, **asked: Any) -> Any:
            return result.GetChargingProfiles(status="NoProfiles")

        @on("TriggerMessage")  # type: ignore[untyped-decorator]
        def trigger(self, **asked: Any) -> Any:
            return result.TriggerMessage(status="Rejected")

        @on("GetCompositeSchedule")  # type: ignore[untyped-decorator]
        def composite(self, **asked: Any) -> Any:
            return result.GetCompositeSchedule(status="Rejected")

        @on("Reset")  # type: ignore[untyped-decorator]
        def reset(self, **asked: Any) -> Any:
            self.told.resets.append(asked)
            return result.Reset(status="Accepted")

        async def boots(self) -> str:
            boot = call.BootNotification(
                charging_station={"model": "One", "vendor_name": "Acme"},
                reason="PowerUp",
            )
            return str((await self.call(boot, suppress=False)).status)

        async def authorizes(self) -> str:
            asked = call.Authorize(id_token={"id_token": TOKEN, "type": "ISO14443"})
            answer = await self.call(asked, suppress=False)
            return str(answer.id_token_info["status"])

        async def charges(self) -> None:
            answer = await self.tells(
                "Started",
                "CablePluggedIn",
                "EVConnected",
                1_000,
                id_token={"id_token": TOKEN, "type": "ISO14443"},
            )
            assert answer.id_token_info["status"] == "Accepted"
            await self.tells("Updated", "ChargingStateChanged", "Charging", 1_000)

        async def stops(self) -> None:
            await self.tells("Ended", "EVCommunicationLost", "Idle", 1_040)

        async def tells(
            self, kind: str, trigger: str, state: str, wh: int, **more: Any
        ) -> Any:
            info = {"transaction_id": "tx-1", "charging_state": state}
            if kind == "Ended":
                info["stopped_reason"] = "EVDisconnected"
            event = call.TransactionEvent(
                event_type=kind,
                timestamp=now(),
                trigger_reason=trigger,
                seq_no=self.sent,
                transaction_info=info,
                evse={"id": 1, "connector_id": 1},
                meter_value=[
                    {"timestamp": now(), "sampled_value": [{"value": float(wh)}]}
                ],
                **more,
            )
            self.sent += 1
            return await self.call(event, suppress=False)

    return Station


STATIONS: dict[str, type[Any]] = {
    "ocpp1.6": Station16,
    "ocpp2.0.1": second(ChargePoint201, call201, result201),
    "ocpp2.1": second(ChargePoint21, call21, result21),
}


async def until(ready: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while not (found := ready()):
        assert time.monotonic() < deadline, f"{what} did not come in {WITHIN_S} s"
        await asyncio.sleep(0.05)
    return found


async def drive(desk: Desk, url: str, password: str, version: str) -> None:
    login = b64encode(f"cs-1:{password}".encode()).decode()
    async with connect(
        f"{url}/cs-1",
        subprotocols=[Subprotocol(version)],
        additional_headers={"Authorization": f"Basic {login}"},
        ping_timeout=WITHIN_S,  # while the planner is compiled nothing is answered
    ) as socket:
        assert socket.subprotocol == version
        station = STATIONS[version]("cs-1", socket)
        station.told = told = Told()
        listening = asyncio.create_task(station.start())
        assert await station.boots() == "Accepted"
        assert await station.authorizes() == "Accepted"
        await until(lambda: told.profiles, "the standing profiles")
        await station.charges()

        def of_transaction() -> list[Any]:
            return [
                p for p in told.profiles if "TxProfile" in json.dumps(p, default=str)
            ]

        await until(of_transaction, "the ETP")
        accepted = "/events?type=etp.accepted"
        await until(
            lambda: asyncio.get_running_loop() and desk.get(accepted)["items"],
            "that the ETP was accepted",
        )
        await station.stops()
        desk.post("/stations/cs-1/reset", how="forced")
        await until(lambda: told.resets, "the reset")
        assert not listening.done(), listening.exception()
        listening.cancel()


@pytest.mark.requirement("E1.Req1")
@pytest.mark.requirement("E1.Req2")
@pytest.mark.requirement("7.3.1")
@pytest.mark.requirement("7.5.1")
@pytest.mark.parametrize("version", list(STATIONS))
def test_a_station_of_another_make_boots_charges_and_is_reset(
    tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "ocpp")
    environment = key_file(tmp_path / "key", 1)
    with serving(tmp_path / "live", "--create", environment=environment) as server:
        found = re.search(r"ws://127\.0\.0\.1:\d+/ocpp", server.said)
        assert found is not None, server.said
        desk = Desk(server)
        password = site(desk)
        asyncio.run(drive(desk, found.group(), password, version))
        sessions = desk.get("/service-sessions")["items"]
        assert len(sessions) == 1
        path = f"/service-sessions/{sessions[0]['session_id']}"

        def energy_wh() -> int:
            return int(desk.get(path)["energy_wh"])

        asyncio.run(until(energy_wh, "the energy of the session"))
        assert energy_wh() == 40
        # All that happened, the ETP's change too, is a transaction of the one session.
        rows = desk.get("/events?limit=200")["items"]
        of_session = f"session-{sessions[0]['session_id']}"
        recorded = {row["type"] for row in rows if row["stream"] == of_session}
        assert recorded >= {
            "authorization.requested",
            "authorization.accepted",
            "transfer.started",
            "transfer.plan_changed",
            "transfer.ended",
        }
