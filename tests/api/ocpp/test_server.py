"""Stations' sockets: who comes in, what is spoken, what is answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from api.ocpp.calls import Call
from api.ocpp.v16 import messages as v16
from domain.model import station_events as t
from domain.model.session_events import AuthorizationRequested
from domain.model.values import MINUTE
from domain.use_cases.clause_7_3_stations import (
    ChangeCredentials,
    change_credentials,
    digest_of,
)
from tests.api.ocpp.sockets import (
    BOOT,
    BOOT_2,
    HEARTBEAT,
    Yard,
    ask,
    basic,
    open_yard,
    until,
)


@pytest.mark.requirement("7.3.1")
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


async def status_of(attempt: connect) -> int:
    """Return the status by which an upgrade was refused."""
    with pytest.raises(InvalidStatus) as refused:
        await attempt
    return refused.value.response.status_code


def test_identities_are_percent_decoded_and_base_urls_may_end_in_a_slash(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1", "DE*VLT*S2") as yard:
            for path in ("/S1", "S%31", "main/S1", "S1?v=1"):
                async with connect_to(yard, path, "S1") as client:
                    assert (await ask(client, *HEARTBEAT))[0] == 3
            async with connect_to(yard, "DE%2AVLT%2AS2", "DE*VLT*S2") as client:
                assert (await ask(client, *HEARTBEAT))[0] == 3
            for path in ("", "S1/more/still", "other/S1", "..%2FS1", "%00"):
                assert await status_of(connect_to(yard, path, "S1")) == 404

    asyncio.run(check())


def connect_to(yard: Yard, path: str, identity: str) -> connect:
    """Return a client that comes to any path under the endpoint."""
    return connect(
        f"ws://127.0.0.1:{yard.port}/ocpp/{path}",
        subprotocols=[Subprotocol("ocpp1.6")],
        additional_headers=basic(identity, b"secret"),
    )


def test_a_password_in_hexadecimal_digits_may_come_as_the_bytes_they_stand_for(
    tmp_path: Path,
) -> None:
    key = bytes(range(236, 256))

    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            command = ChangeCredentials(station_id="S1", security_profile=1)
            digest, by = digest_of(key.hex()), yard.office.by()
            change_credentials(yard.office.system, command, by, password_digest=digest)
            yard.office.follow()
            for password in (key, key.hex().encode()):
                async with yard.connect("S1", "ocpp1.6", password=password) as client:
                    assert (await ask(client, *HEARTBEAT))[0] == 3
            wrong = yard.connect("S1", "ocpp1.6", password=key[:-1])
            assert await status_of(wrong) == 401

    asyncio.run(check())


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !", "Bearer c2VjcmV0", "Basic c2VjcmV0", "Basic UzI6c2VjcmV0", ""],
)
def test_credentials_of_another_form_or_another_station_do_not_do(
    tmp_path: Path, header: str
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1", "S2") as yard:
            attempt = connect(
                yard.url("S1"),
                subprotocols=[Subprotocol("ocpp1.6")],
                additional_headers={"Authorization": header},
            )
            assert await status_of(attempt) == 401

    asyncio.run(check())


def test_a_second_connection_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            first = await yard.connect("S1", "ocpp1.6")
            assert (await ask(first, *HEARTBEAT))[0] == 3
            second = await yard.connect("S1", "ocpp1.6")
            await asyncio.wait_for(first.wait_closed(), 5)
            assert (first.close_code, second.close_code) == (1000, None)
            assert (await ask(second, *HEARTBEAT))[0] == 3
            kinds = (t.StationConnected, t.StationDisconnected)
            told = [type(event).__name__ for event in yard.office.events(*kinds)]
            assert told == [
                "StationConnected",
                "StationDisconnected",
                "StationConnected",
            ]
            await second.close()
            await until(lambda: len(yard.office.events(*kinds)) == 4)

    asyncio.run(check())


@pytest.mark.requirement("7.9.4.4")
def test_a_call_that_is_repeated_is_answered_as_before_also_on_a_new_connection(
    tmp_path: Path,
) -> None:
    authorize = (2, "a1", "Authorize", {"idTag": "tag"})

    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            yard.office.commission("S1")
            async with yard.connect("S1", "ocpp1.6") as client:
                boot = await ask(client, 2, "b1", "BootNotification", BOOT)
                assert await ask(client, 2, "b1", "BootNotification", BOOT) == boot
                answer = await ask(client, *authorize)
                assert await ask(client, *authorize) == answer
            yard.office.clock.at += MINUTE
            async with yard.connect("S1", "ocpp1.6") as client:
                assert await ask(client, *authorize) == answer
                # Who starts anew may count from 1 again, and is told the time.
                assert await ask(client, 2, "b1", "BootNotification", BOOT) != boot
            assert len(yard.office.events(AuthorizationRequested)) == 1
            assert len(yard.office.events(t.StationBooted)) == 2

    asyncio.run(check())


def test_messages_that_are_none_are_answered_by_their_protocols_code(
    tmp_path: Path,
) -> None:
    deep = '[2,"d","DataTransfer",' + "[" * 10_000 + "]" * 10_000 + "]"
    big = f'[2,"b","DataTransfer",{{"vendorId":"{"x" * 100_000}"}}]'
    cases = {
        '[2,"j","Heartbeat",{]': ("j", "FormationViolation"),
        '[2,"t","Heartbeat",[]]': ("t", "FormationViolation"),
        '[2,"n","Nonsense",{}]': ("n", "NotImplemented"),
        deep: ("d", "FormationViolation"),
        big: ("b", "FormationViolation"),
        '[2,"w","BootNotification",{"chargePointVendor":1,"chargePointModel":"m"}]': (
            "w",
            "TypeConstraintViolation",
        ),
    }

    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1") as yard,
            yard.connect("S1", "ocpp1.6") as client,
        ):
            for frame, (message_id, code) in cases.items():
                await client.send(frame)
                answer = json.loads(await asyncio.wait_for(client.recv(), 5))
                assert answer[:3] == [4, message_id, code], frame[:60]
            for noise in ("", "nonsense", "[]", "{}", '[3,"nobody-asked",{}]', "[9]"):
                await client.send(noise)
            while (answer := await ask(client, *HEARTBEAT))[0] != 3:
                pass
            assert yard.office.gateway.peers.by_id["S1"].unreadable.total() >= 6

    asyncio.run(check())


def test_a_message_in_parts_is_put_together_and_pings_go_between(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1") as yard,
            yard.connect("S1", "ocpp1.6") as client,
        ):
            parts = asyncio.create_task(client.send(slowly(json.dumps(HEARTBEAT))))
            await (await client.ping())
            await parts
            answer = json.loads(await asyncio.wait_for(client.recv(), 5))
            assert answer[:2] == [3, HEARTBEAT[1]]

    asyncio.run(check())


async def slowly(text: str) -> AsyncIterator[str]:
    """Yield a text letter by letter."""
    for letter in text:
        await asyncio.sleep(0.001)
        yield letter


@pytest.mark.parametrize(("version", "is_packed"), [("2.0.1", True), ("1.6", False)])
def test_messages_are_compressed_where_a_station_of_2_x_asks_for_it(
    tmp_path: Path, version: str, is_packed: bool
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            client = await yard.connect("S1", f"ocpp{version}", compression="deflate")
            assert client.response is not None
            extensions = client.response.headers.get("Sec-WebSocket-Extensions", "")
            assert ("permessage-deflate" in extensions) is is_packed
            long = "x" * 2_000
            answer = await ask(client, 2, "d", "Nonsense", {"vendorId": long})
            assert answer[:2] == [4, "d"]
            answer = await ask(client, 2, long, "Heartbeat", {})
            assert answer[0] == 4
            await client.close()

    asyncio.run(check())


def test_an_answer_with_a_wrong_id_leaves_the_call_open(tmp_path: Path) -> None:
    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1") as yard,
            yard.connect("S1", "ocpp1.6") as client,
        ):
            assert (await ask(client, *HEARTBEAT))[0] == 3
            told: list[object] = []
            request = v16.GetConfigurationRequest()
            call = Call(
                "GetConfiguration",
                request,
                lambda g, d, p, answered: told.append(answered),
            )
            gateway = yard.office.gateway
            peer = gateway.peers.by_id["S1"]
            gateway.desk.put(lambda desk: gateway.ask(desk, peer, call))
            asked = json.loads(await asyncio.wait_for(client.recv(), 5))
            await client.send('[3,"another",{}]')
            assert (await ask(client, *HEARTBEAT))[0] == 3
            assert told == []
            await client.send(json.dumps([3, asked[1], {}]))
            assert (await ask(client, *HEARTBEAT))[0] == 3
            assert told == [v16.GetConfigurationResponse()]

    asyncio.run(check())
