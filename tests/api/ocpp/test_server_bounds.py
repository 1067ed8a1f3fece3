"""Stations' sockets: what is too much, too slow or no WebSocket ends alone."""

import asyncio
import contextlib
import resource
import zlib
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from api.ocpp.link import Limits
from domain.model import station_events as t
from tests.api.ocpp.sockets import (
    HEARTBEAT,
    ask,
    bare,
    closed_with,
    heartbeats,
    open_yard,
    until,
    upgraded,
)


def test_binary_messages_end_the_connection(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            client = await yard.connect("S1", "ocpp1.6")
            await client.send(b'[2,"h","Heartbeat",{}]')
            await asyncio.wait_for(client.wait_closed(), 5)
            assert client.close_code == 1003

    asyncio.run(check())


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
