"""Bad connections to ``voltledger serve``: nobody falls, and who behaves is served.

See `test_bad_input` for what holds after each attack.
"""

import asyncio
import contextlib
import json
import socket
from base64 import b64encode

from websockets.exceptions import ConnectionClosed

from tests.api.ocpp.attacked import (
    BOOT,
    FULL,
    Site,
    connected,
    transaction,
)


def request(path: str, authorization: str, *more: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: here",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: ocpp1.6",
        *([f"Authorization: {authorization}"] if authorization else []),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def status_of(site: Site, sent: bytes) -> int:
    """Return the status that a request is answered with; 0: it is cut off."""
    with socket.create_connection(("127.0.0.1", site.port), 5) as link:
        try:
            link.sendall(sent)
            said = link.recv(4_096)
        except ConnectionError:
            return 0
    return int(said.split()[1]) if said else 0


def test_the_port_is_no_web_server_and_nobody_guesses_the_way_in(site: Site) -> None:
    way_in = site.authorization("good")
    basic = [b64encode(b).decode() for b in (b"good", b"good:", b"good:\xff\xfe\0")]
    for path in (
        "/",
        "/ocpp/",
        "/ocpp/../../etc/passwd",
        "/ocpp/..%2f..%2fetc%2fpasswd",
        "/ocpp/good%00",
        "/ocpp/%zz%ff",
        "/ocpp/other/good",
        "http://here/ocpp/good",
    ):
        assert status_of(site, request(path, way_in)) == 404, path
    for authorization in (
        *("", "Basic", "Basic !!!!", "Bearer x", "Basic \xff\xff"),
        *(f"Basic {one}" for one in basic),
        site.authorization("bad-1.6"),
    ):
        refused = status_of(site, request("/ocpp/good", authorization))
        assert refused == 401, authorization
    two = request("/ocpp/good", way_in, f"Authorization: {way_in}")
    assert status_of(site, two) == 401
    long = f"Basic {'A' * 1_000_000}"
    assert status_of(site, request("/ocpp/good", long)) in (0, 400)
    many = request("/ocpp/good", way_in, *(f"X-{n}: 1" for n in range(10_000)))
    assert status_of(site, many) in (0, 400)
    for method in (b"POST", b"HEAD", b"PRI"):
        plain = method + b" /ocpp/good HTTP/1.1\r\nHost: here\r\n\r\n"
        assert status_of(site, plain) == 400, method
    site.check()


def test_noise_and_half_handshakes_end_and_nobody_waits(site: Site) -> None:
    hello = bytes.fromhex("16030100f8010000f40303") + bytes(range(240))
    half = request("/ocpp/good", site.authorization("good"))[:90]
    links = []
    for noise in (hello, bytes(100), b"\r\n" * 2_000, b"GET /" + b"a" * 200_000, half):
        link = socket.create_connection(("127.0.0.1", site.port), 5)
        with contextlib.suppress(ConnectionError):
            link.sendall(noise)
        links.append(link)
    silent = 1_000 if FULL else 300
    for _ in range(silent):
        links.append(socket.create_connection(("127.0.0.1", site.port), 5))
    site.check()
    for link in links:
        link.close()
    site.check()


def test_a_hundred_reconnections_in_a_second_are_one_station(site: Site) -> None:
    async def attack() -> None:
        for n in range(100):
            socket = await connected(site, "bad-1.6", "1.6")
            if n % 3 == 0:
                await socket.send(json.dumps([2, f"b{n}", "BootNotification", BOOT]))
            if n % 2:
                socket.transport.abort()
            else:
                await socket.close()
        many = await asyncio.gather(
            *(connected(site, "bad-1.6", "1.6") for _ in range(100))
        )
        await asyncio.sleep(0.5)
        assert sum(socket.state.name == "OPEN" for socket in many) == 1
        for socket in many:
            socket.transport.abort()

    asyncio.run(attack())
    site.check()


def test_two_with_one_identity_take_turns_and_harm_nobody_else(site: Site) -> None:
    async def insist() -> None:
        for _ in range(20):
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                async with connected(site, "bad-2.0.1", "2.0.1") as socket:
                    await socket.send(json.dumps([2, "h", "Heartbeat", {}]))
                    await asyncio.wait_for(socket.recv(), 0.2)

    async def attack() -> None:
        await asyncio.gather(insist(), insist())

    asyncio.run(attack())
    site.check()


def test_frames_of_ten_megabytes_and_floods_make_only_themselves_wait(
    site: Site,
) -> None:
    async def big() -> None:
        async with connected(site, "bad-2.1", "2.1") as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send("x" * 10_000_000)
            await socket.wait_closed()
            assert socket.close_code == 1009

    async def flood(text: str, count: int) -> None:
        async with connected(site, "bad-2.1", "2.1") as socket:

            async def pour() -> None:
                for _ in range(count):
                    await socket.send(text)

            pouring = asyncio.create_task(pour())
            await asyncio.sleep(0.05)
            await asyncio.to_thread(site.check)
            await pouring
            socket.transport.abort()

    asyncio.run(big())
    count = 20_000 if FULL else 2_000
    asyncio.run(flood('[2,"f","Heartbeat",{}]', count))
    asyncio.run(flood("no TransactionEvent", count))
    site.check()


def test_who_reads_nothing_is_no_burden(site: Site) -> None:
    async def attack() -> None:
        async with connected(site, "bad-2.0.1", "2.0.1") as socket:
            socket.transport.pause_reading()
            for n in range(50):
                for kind in ("Started", "Ended"):
                    told = transaction(
                        f"deaf-{n}", eventType=kind, seqNo=int(kind == "Ended")
                    )
                    frame = [2, f"{n}-{kind}", "TransactionEvent", told]
                    await socket.send(json.dumps(frame))
            await asyncio.to_thread(site.check)
            socket.transport.abort()

    asyncio.run(attack())
    site.check()
