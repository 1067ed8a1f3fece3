"""E2 and S3 as a station of another hand sees them: by JSON on its socket."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from domain.model import activity_events as y
from domain.model import incentive_events as n
from domain.model import station_events as t
from domain.model.values import HOUR
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.e2_demand_response import ReceiveIncentive, receive_incentive
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from domain.use_cases.s3_remote_start import StartRemotely, start_remotely
from tests.api.ocpp.office import Office, evse_data
from tests.api.ocpp.sockets import BOOT, BOOT_2, open_yard, until

# Station, version and the message by which it hears of an incentive, and of a start.
STATIONS = (
    ("S1", "ocpp1.6", "DataTransfer", "RemoteStartTransaction"),
    ("S2", "ocpp2.0.1", "SetDisplayMessage", "RequestStartTransaction"),
    ("S3", "ocpp2.1", "SetDisplayMessage", "RequestStartTransaction"),
)
TOKEN = "04AABBCC"


def evses(station_id: str) -> tuple[str, str]:
    return f"DE*VLT*E{station_id}*1", f"DE*VLT*E{station_id}*2"


async def listen(client: ClientConnection, heard: list[Any]) -> None:
    """Keep what the gateway asks; accept what is asked here, refuse all else."""
    wanted = {action for station in STATIONS for action in station[2:]}
    async for text in client:
        frame = json.loads(text)
        if frame[0] != 2:
            continue
        heard.append(frame)
        if frame[2] in wanted:
            await client.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
        else:
            await client.send(json.dumps([4, frame[1], "NotImplemented", "", {}]))


def bring_incentive(office: Office) -> None:
    command = ReceiveIncentive(
        zone_id="site",
        incentive_id="peak-1",
        from_at=office.clock.at,
        until_at=office.clock.at + HOUR,
        maximum_w=7_000,
        peak="Peak hour",
    )
    receive_incentive(office.system, command, office.by())
    office.follow()


def start(office: Office, evse_id: str) -> None:
    vault = office.system.vault
    subject_id = vault.subject_of("rfid", TOKEN)
    command = StartRemotely(
        evse_id=evse_id,
        subject_id=subject_id,
        token_kind="rfid",
        credential=vault.seal(subject_id, credential_context(evse_id), TOKEN.encode()),
    )
    start_remotely(office.system, command, office.by())
    office.follow()


def contract(office: Office) -> None:
    subject_id = office.system.vault.subject_of("rfid", TOKEN)
    command = RegisterContract(
        contract_id="c-1", subject_id=subject_id, valid_from_at=office.clock.at
    )
    register_contract(office.system, command, office.by())


@pytest.mark.requirement("E2.Req1")
@pytest.mark.requirement("S3.Req1")
def test_stations_of_three_versions_hear_of_incentives_and_starts(
    tmp_path: Path,
) -> None:
    asyncio.run(hear(tmp_path))


async def hear(folder: Path) -> None:
    async with open_yard(folder, *(station[0] for station in STATIONS)) as yard:
        office = yard.office
        contract(office)
        heard: dict[str, list[Any]] = {}
        tasks = []
        clients = []
        for station_id, protocol, _, _ in STATIONS:
            office.commission(station_id, *map(evse_data, evses(station_id)))
            client = await yard.connect(station_id, protocol)
            clients.append(client)
            boot = BOOT if protocol == "ocpp1.6" else BOOT_2
            await client.send(json.dumps([2, "b", "BootNotification", boot]))
            said = heard[station_id] = []
            tasks.append(asyncio.create_task(listen(client, said)))
        await until(lambda: len(office.events(t.StationBooted)) == 3)
        bring_incentive(office)
        await until(lambda: len(office.events(n.IncentiveTold)) == 6)
        for station_id, _, told, _ in STATIONS:
            calls = [frame for frame in heard[station_id] if frame[2] == told]
            assert len(calls) == 2, station_id
            assert all("Peak hour" in json.dumps(call) for call in calls)
        assert {event.outcome for event in told_events(office)} == {"accepted"}
        for station_id, _, _, _ in STATIONS:
            start(office, evses(station_id)[1])
        await until(lambda: len(office.events(y.ActivityProgressed)) == 6)
        for station_id, _, _, started in STATIONS:
            (call,) = (frame for frame in heard[station_id] if frame[2] == started)
            assert TOKEN in json.dumps(call[3])
            assert 2 in (call[3].get("connectorId"), call[3].get("evseId"))
        for task, client in zip(tasks, clients, strict=True):
            task.cancel()
            await client.close()


def told_events(office: Office) -> list[n.IncentiveTold]:
    found = office.events(n.IncentiveTold)
    return [event for event in found if isinstance(event, n.IncentiveTold)]
