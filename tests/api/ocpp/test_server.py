import asyncio
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.api.ocpp.sockets import BOOT, BOOT_2, ask, open_yard


def test_a_station_boots_over_a_socket(tmp_path: Path) -> None:
    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1") as yard,
            yard.connect("S1", "ocpp1.6") as client,
        ):
            assert client.subprotocol == "ocpp1.6"
            answer = await ask(client, 2, "b1", "BootNotification", BOOT)
            assert answer[:2] == [3, "b1"]
            assert answer[2]["status"] == "Pending"

    asyncio.run(check())


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["ocpp1.6", "ocpp2.0.1", "ocpp2.1"], "ocpp2.1"),
        (["ocpp1.6", "ocpp2.0.1"], "ocpp2.0.1"),
        (["ocpp1.5", "ocpp1.6"], "ocpp1.6"),
    ],
)
def test_the_best_protocol_of_those_offered_is_spoken(
    tmp_path: Path, offered: list[str], chosen: str
) -> None:
    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1") as yard,
            yard.connect("S1", *offered) as client,
        ):
            assert client.subprotocol == chosen
            boot = BOOT if chosen == "ocpp1.6" else BOOT_2
            answer = await ask(client, 2, "b1", "BootNotification", boot)
            assert answer[1] == "b1"

    asyncio.run(check())


def test_without_a_common_protocol_the_upgrade_is_done_and_the_connection_ends(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            async with yard.connect("S1", "ocpp1.5") as client:
                assert client.subprotocol is None
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(client.recv(), 5)
                assert client.close_code == 1002
            assert yard.traffic.refused == {"no-protocol": 1}

    asyncio.run(check())


@pytest.mark.requirement("7.9.4.2")
def test_an_unknown_identity_is_not_found_and_a_wrong_password_is_not_let_in(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            with pytest.raises(InvalidStatus) as unknown:
                await yard.connect("S9", "ocpp1.6")
            assert unknown.value.response.status_code == 404
            with pytest.raises(InvalidStatus) as wrong:
                await yard.connect("S1", "ocpp1.6", password=b"guess")
            assert wrong.value.response.status_code == 401
            assert "Basic" in wrong.value.response.headers["WWW-Authenticate"]
            with pytest.raises(InvalidStatus) as nothing:
                await yard.connect("S1", "ocpp1.6", password=None)
            assert nothing.value.response.status_code == 401
            assert yard.traffic.refused == {
                "unknown-station": 1,
                "wrong-credentials": 1,
                "no-credentials": 1,
            }

    asyncio.run(check())
