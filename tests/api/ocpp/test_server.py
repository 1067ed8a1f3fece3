import asyncio
import contextlib
import json
import resource
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from api.ocpp.calls import Call
from api.ocpp.link import Limits
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
    bare,
    basic,
    closed_with,
    heartbeats,
    open_yard,
    until,
    upgraded,
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


def test_binary_messages_end_the_connection(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            client = await yard.connect("S1", "ocpp1.6")
            await client.send(b'[2,"h","Heartbeat",{}]')
            await asyncio.wait_for(client.wait_closed(), 5)
            assert client.close_code == 1003

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


def test_frames_of_ten_megabytes_end_the_connection_before_they_are_read(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            async with upgraded(yard, "S1") as (reader, writer):
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                size = 10_000_000
                writer.write(b"\x81\xff" + size.to_bytes(8, "big") + bytes(4))
                with contextlib.suppress(ConnectionError):
                    for _ in range(100):
                        writer.write(b" " * (size // 100))
                        await writer.drain()
                    # Where what was not read resets the connection first.
                    assert await closed_with(reader) == 1009
                after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                assert after - before < 8_000  # KiB
            await until(lambda: yard.traffic.dropped["protocol"] == 1)
            async with upgraded(yard, "S1") as (reader, writer):
                writer.write(b"\x81\xff" + size.to_bytes(8, "big") + bytes(4))
                assert await closed_with(reader) == 1009
            await until(lambda: yard.traffic.dropped["protocol"] == 2)

    asyncio.run(check())


def test_parts_that_come_to_ten_megabytes_end_the_connection(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            client = await yard.connect("S1", "ocpp1.6")
            with contextlib.suppress(ConnectionClosed):
                await client.send(["x" * 50_000] * 200)
            await asyncio.wait_for(client.wait_closed(), 5)
            assert client.close_code == 1009

    asyncio.run(check())


def test_frames_that_break_the_protocol_end_the_connection(tmp_path: Path) -> None:
    zeros = bytes(4)
    cases = [
        b"\x83\x80" + zeros,  # an opcode that is reserved
        b"\x81\x02{}",  # not masked
        b"\x80\x80" + zeros,  # a part of nothing
        b"\xc1\x80" + zeros,  # compressed, and nobody agreed
        b"\x91\x80" + zeros,  # another extension
        b"\x01\x80" + zeros + b"\x81\x80" + zeros,  # anew before the end
        b"\x09\x80" + zeros,  # a ping in parts
        b"\x88\x82" + zeros + b"\x00\x01",  # no such code
    ]

    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            for case in cases:
                async with upgraded(yard, "S1") as (reader, writer):
                    writer.write(case)
                    assert await closed_with(reader) == 1002, case
            await until(lambda: yard.traffic.dropped["protocol"] == len(cases))

    asyncio.run(check())


def test_requests_that_are_no_upgrade_are_refused_in_http(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            for request, status in (
                (b"POST /ocpp/S1 HTTP/1.1\r\n\r\n", b"400"),
                (b"GET /ocpp/S1 HTTP/1.0\r\n\r\n", b"400"),
                (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
                (b"GET / HTTP/1.1\r\n\r\n", b"404"),
            ):
                async with bare(yard) as (reader, writer):
                    writer.write(request)
                    said = await asyncio.wait_for(reader.read(1_000), 5)
                    assert said.split(b" ")[1] == status, request
            async with bare(yard) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10_000)
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(1_000), 5) == b""

    asyncio.run(check())


def test_a_thousand_connections_that_say_nothing_end_and_stations_are_served(
    tmp_path: Path,
) -> None:
    limits = Limits(upgrade_within_s=0.5, first_word_within_s=0.5, close_within_s=0.1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4_096)), hard))

    async def check() -> None:
        async with open_yard(tmp_path, "S1", "S2", limits=limits) as yard:
            async with contextlib.AsyncExitStack() as opened:
                client = await opened.enter_async_context(yard.connect("S1", "ocpp1.6"))
                assert (await ask(client, *HEARTBEAT))[0] == 3
                silent = [
                    await opened.enter_async_context(bare(yard)) for _ in range(1_000)
                ]
                mute = await yard.connect("S2", "ocpp1.6")
                for reader, _ in silent:
                    assert await asyncio.wait_for(reader.read(), 5) == b""
                await asyncio.wait_for(mute.wait_closed(), 5)
                assert mute.close_code == 1008
                # Who said something may be silent.
                assert (await ask(client, *HEARTBEAT))[0] == 3
            assert yard.traffic.dropped == {"silent": 1}

    asyncio.run(check())


def test_a_peer_that_does_not_answer_pings_is_dropped(tmp_path: Path) -> None:
    limits = Limits(ping_after_s=0.2)

    async def check() -> None:
        async with open_yard(tmp_path, "S1", limits=limits) as yard:
            async with upgraded(yard, "S1") as (reader, _):
                assert (await asyncio.wait_for(reader.read(2), 5))[:1] == b"\x89"
                await until(lambda: not yard.traffic.links)
            assert len(yard.office.events(t.StationDisconnected)) == 1

    asyncio.run(check())


def test_a_station_that_does_not_read_is_not_heard_either(tmp_path: Path) -> None:
    limits = Limits(unsent_bytes=100_000_000)

    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1", limits=limits) as yard,
            upgraded(yard, "S1") as (reader, writer),
        ):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            (link,) = yard.traffic.links
            for _ in range(1_000):
                link.send(b"x" * 10_000)
            writer.write(heartbeats(1_000))
            await asyncio.sleep(0.3)
            assert yard.traffic.messages_in == 0
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            reading = asyncio.create_task(reader.read(-1))
            await until(lambda: yard.traffic.messages_in == 1_000)
            reading.cancel()

    asyncio.run(check())


def test_a_station_that_reads_nothing_of_what_it_is_asked_is_dropped(
    tmp_path: Path,
) -> None:
    limits = Limits(unsent_bytes=100_000, close_within_s=0.1)

    async def check() -> None:
        async with (
            open_yard(tmp_path, "S1", limits=limits) as yard,
            upgraded(yard, "S1") as (_, writer),
        ):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            (link,) = yard.traffic.links
            for _ in range(1_000):
                link.send(b'"' + b"x" * 10_000 + b'"')
            await until(lambda: not yard.traffic.links)
            assert yard.traffic.dropped == {"slow": 1}

    asyncio.run(check())


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


def test_a_message_that_unpacks_to_a_hundred_megabytes_ends_the_connection(
    tmp_path: Path,
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(100))
            bomb += packer.flush(zlib.Z_SYNC_FLUSH)
            size = len(bomb).to_bytes(8, "big")
            packing = "Sec-WebSocket-Extensions: permessage-deflate"
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            async with upgraded(yard, "S1", packing) as (reader, writer):
                writer.write(b"\xc1\xff" + size + bytes(4) + bomb)
                assert await closed_with(reader) == 1009
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert after - before < 8_000  # KiB

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
