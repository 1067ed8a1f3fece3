"""The gateway as a live service: its own thread and loop, the committer, the log."""

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from api.listening import loopback_socket
from api.ocpp.service import StationService, Tenant
from domain.errors import StoreFull
from domain.model import station_events as t
from domain.ports import TENANT, Append, Batch, Log
from domain.store.master_key import load
from domain.store.reader import LedgerReader
from domain.store.store import LEDGER_FILE
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    commission_station,
    define_zone,
)
from domain.use_cases.clause_7_3_stations import BlockStation, block_station
from domain.use_cases.shared_path import By
from tests.api.ocpp.live import (
    Live,
    open_live,
    open_system,
    page_limit,
    register,
)
from tests.api.ocpp.office import evse_data
from tests.api.ocpp.sockets import (
    BOOT,
    HEARTBEAT,
    Calling,
    ask,
    basic,
    heartbeats,
    until,
    upgraded,
)
from tests.api.security.test_tls import LONG, NOW, signed, trusting
from tests.api.small_day import run
from tests.api.test_cli_serve import key_file, serving

PROTOCOL = "ocpp1.6"
BOOTED = (2, "b1", "BootNotification", BOOT)


def test_what_is_answered_is_durable(tmp_path: Path) -> None:
    async def check(live: Calling) -> None:
        async with live.connect("S1", PROTOCOL) as client:
            assert (await ask(client, *BOOTED))[2]["status"] == "Pending"
            with LedgerReader.open(tmp_path / LEDGER_FILE) as log:
                kinds = [row.type for row in log.read(after=0, limit=100)]
            assert kinds[-2:] == ["station.connected", "station.booted"]

    with open_live(tmp_path, "S1") as live:
        asyncio.run(check(live))
    # A service that stops says goodbye, and what then happened is recorded.
    with LedgerReader.open(tmp_path / LEDGER_FILE) as log:
        assert "station.disconnected" in [r.type for r in log.read(after=0, limit=100)]


def test_what_others_record_is_known_to_the_gateway(tmp_path: Path) -> None:
    async def status_of(live: Calling) -> str:
        async with live.connect("S1", PROTOCOL) as client:
            status: str = (await ask(client, *BOOTED))[2]["status"]
            return status

    with open_live(tmp_path) as live:
        register(live.system, "S1")
        deadline = 100
        while deadline:
            try:
                assert asyncio.run(status_of(live)) == "Pending"
                break
            except InvalidStatus:
                deadline -= 1
        block_station(live.system, BlockStation(station_id="S1", reason="x"), live.by())

        async def blocked() -> None:
            async with asyncio.timeout(5):
                while await status_of(live) != "Rejected":
                    pass

        asyncio.run(blocked())


@pytest.mark.requirement("7.9.4.6b")
def test_attempts_to_connect_that_were_refused_are_counted_and_noted(
    tmp_path: Path,
) -> None:
    async def check(live: Calling) -> None:
        for identity, password in (("S9", b"x"), ("S9", b"x"), ("S1", b"x")):
            with pytest.raises(InvalidStatus):
                await live.connect(identity, PROTOCOL, password=password)

    with open_live(tmp_path, "S1") as live:
        asyncio.run(check(live))
        counts = live.security.counts()
        assert counts["unknown-station"] == 2
        assert counts["wrong-credentials"] == 1
        assert live.metric("refused_unknown_station_total") == 2
        assert live.metric("refused_wrong_credentials_total") == 1


def test_a_flood_makes_itself_wait_and_nobody_else(tmp_path: Path) -> None:
    async def check(live: Live) -> None:
        async with (
            live.connect("S2", PROTOCOL) as other,
            upgraded(live, "S1") as (reader, writer),
        ):
            writer.write(heartbeats(5_000))
            begun = time.monotonic()
            for _ in range(20):
                assert (await ask(other, *HEARTBEAT))[0] == 3
            assert time.monotonic() - begun < 2.0
            assert live.metric("floods_total") > 0
            # Each is answered all the same: it has not booted.
            told = b""
            async with asyncio.timeout(20):
                while told.count(b'"SecurityError"') < 5_000:
                    told += await reader.read(1_000_000)

    with open_live(tmp_path, "S1", "S2") as live:
        asyncio.run(check(live))
        assert live.security.counts()["rate-limited"] > 0


def fill(log: Log) -> None:
    """Append until nothing more fits."""
    event = t.StationDisconnected(station_id="S9", reason="x")
    with contextlib.suppress(StoreFull):
        for _ in range(10_000):
            log.append(Batch(appends=(Append("filling", (event,), 0),)))
        raise AssertionError("there is room for all that")


def test_with_a_full_disk_nobody_is_answered_and_all_ask_again(tmp_path: Path) -> None:
    async def check(live: Live, limit: Callable[[int], None]) -> None:
        client = await live.connect("S1", PROTOCOL)
        other = await live.connect("S2", PROTOCOL)
        assert (await ask(other, *HEARTBEAT))[0] == 3
        limit(0)
        fill(live.system.log)
        with pytest.raises(ConnectionClosed):
            await ask(client, *BOOTED)
        await asyncio.wait_for(other.wait_closed(), 5)
        assert (client.close_code, other.close_code) == (1011, 1011)
        assert not live.events(t.StationBooted)
        limit(100_000)
        async with live.connect("S1", PROTOCOL) as client:
            assert (await ask(client, *BOOTED))[0] == 3
        assert len(live.events(t.StationBooted)) == 1

    with open_live(tmp_path, "S1", "S2") as live:
        asyncio.run(check(live, page_limit(live.system.log)))


def test_a_server_that_is_killed_knows_its_stations_again(tmp_path: Path) -> None:
    environment = key_file(tmp_path / "key", 1)
    store = tmp_path / "live"

    async def boot(port: int) -> None:
        async with Calling(port).connect("S1", PROTOCOL) as client:
            assert (await ask(client, *BOOTED))[0] == 3

    async def killed(port: int, pid: int) -> None:
        client = await Calling(port).connect("S1", PROTOCOL)
        assert (await ask(client, *BOOTED))[0] == 3
        os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(client.wait_closed(), 10)

    with open_system(store, load(environment).key) as system:
        register(system, "S1")
    with serving(store, environment=environment) as server:
        asyncio.run(killed(port_in(server.said), server.process.pid))
        key = server.headers
    with serving(store, environment=environment) as server:
        asyncio.run(boot(port_in(server.said)))
        metrics = httpx.get(f"{server.address}/v1/metrics", headers=key).text
        assert re.search(r"voltledger_stations_connections_total 1\.0", metrics)
        assert re.search(r"voltledger_stations_messages_in_total 1\.0", metrics)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    with LedgerReader.open(store / LEDGER_FILE) as log:
        rows = log.read(after=0, limit=1_000)
    told = [row.type for row in rows if row.stream.startswith("connectivity-")]
    once = ["station.connected", "station.booted", "station.disconnected"]
    assert [kind for kind in told if kind in once] == once + once
    reasons = [
        r.event.reason for r in rows if isinstance(r.event, t.StationDisconnected)
    ]
    assert reasons == ["the service was cut off", "closed by the station"]


@pytest.mark.requirement("7.9.4.2")
@pytest.mark.requirement("7.9.4.6b")
def test_stations_certificates_that_do_not_do_are_counted(tmp_path: Path) -> None:
    environment = key_file(tmp_path / "key", 1)
    authority = signed("authority")
    ca, _ = authority.write(tmp_path, "ca")
    cert, key = signed("server", authority).write(tmp_path, "server")
    options = ["--ocpp-tls-cert", str(cert), "--ocpp-tls-key", str(key)]
    options += ["--ocpp-tls-client-ca", str(ca)]
    old = trusting(tmp_path, signed("old", authority, NOW - LONG))
    forged = trusting(tmp_path, signed("forged", signed("elsewhere")))

    async def refused(port: int, context: ssl.SSLContext) -> None:
        with pytest.raises((OSError, InvalidMessage)):
            await Calling(port).connect("S1", PROTOCOL, ssl=context)

    with serving(
        tmp_path / "live", "--create", *options, environment=environment
    ) as server:
        for context in (old, old, forged):
            asyncio.run(refused(port_in(server.said), context))
        metrics = server.get("/metrics").text
    for kind, count in (("expired-certificate", 2), ("wrong-credentials", 1)):
        assert f'voltledger_security_notes_total{{kind="{kind}"}} {count}.0' in metrics


def port_in(said: str) -> int:
    found = re.search(r"stations connect to wss?://127\.0\.0\.1:(\d+)/ocpp/", said)
    assert found is not None, said
    return int(found[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ocpp-host", "0.0.0.0"], "--ocpp-trusted-network"),
        (["--ocpp-tls-cert", "nowhere.crt"], "--ocpp-tls-key"),
        (
            ["--ocpp-tls-cert", "pyproject.toml", "--ocpp-tls-key", "README.md"],
            "--ocpp-tls-cert, --ocpp-tls-key",
        ),
        (["--ocpp-port", "70000"], "65535"),
    ],
)
def test_places_for_stations_that_make_no_sense_are_refused(
    tmp_path: Path, options: list[str], said: str
) -> None:
    result = run("serve", "--store", f"sqlite:///{tmp_path}/s", "--create", *options)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert not (tmp_path / "s").exists()


ANSWERS = {
    "GetConfiguration": {"configurationKey": [], "unknownKey": []},
    "GetCompositeSchedule": {"status": "Rejected"},
}


@pytest.mark.requirement("E1.Req1")
def test_an_ev_that_comes_gets_its_power_over_the_socket(tmp_path: Path) -> None:
    environment = key_file(tmp_path / "key", 1)
    store = tmp_path / "live"
    profiles: list[dict[str, Any]] = []

    async def answer(client: ClientConnection) -> None:
        async for text in client:
            kind, message_id, *rest = json.loads(str(text))
            if kind == 2:
                if rest[0] == "SetChargingProfile":
                    profiles.append(rest[1])
                payload = ANSWERS.get(rest[0], {"status": "Accepted"})
                await client.send(json.dumps([3, message_id, payload]))

    async def charge(port: int) -> None:
        async with Calling(port).connect("S1", PROTOCOL) as client:
            boot = await ask(client, *BOOTED)
            assert boot[2]["status"] == "Accepted"
            answering = asyncio.create_task(answer(client))
            start = {"connectorId": 1, "idTag": "tag", "meterStart": 0}
            at = datetime.now(UTC).isoformat()
            await client.send(
                json.dumps([2, "s", "StartTransaction", start | {"timestamp": at}])
            )
            await until(lambda: any("transactionId" in str(p) for p in profiles), 40)
            answering.cancel()

    with open_system(store, load(environment).key) as system:
        by = By(actor="operator", at=system.clock.now())
        zone = DefineZone(zone_id="z", name="z", limit_w=50_000, safe_upper_w=9_000)
        define_zone(system, zone, by)
        command = CommissionStation(
            station_id="S1", zone_id="z", evses=(evse_data("DE*VLT*E1"),)
        )
        commission_station(system, command, by)
        register(system, "S1")
    with serving(store, environment=environment) as server:
        asyncio.run(charge(port_in(server.said)))
        sent = server.get("/events?type=etp.sent").json()["items"]
        operation = server.get("/operation").json()
    assert sent
    assert operation["loop"]["running"] == 1
    of_transaction = [
        p["csChargingProfiles"]
        for p in profiles
        if "transactionId" in p["csChargingProfiles"]
    ]
    periods = of_transaction[-1]["chargingSchedule"]["chargingSchedulePeriod"]
    # No PRE was set: the safe envelope holds; 13 A on three phases are 8,970 W.
    assert 0 < periods[0]["limit"] <= 13.1


def test_each_tenants_stations_come_to_their_own_path(tmp_path: Path) -> None:
    async def check(port: int) -> None:
        for path, status in (("S1", 404), ("other/S1", 101), ("nobody/S1", 404)):
            attempt = connect(
                f"ws://127.0.0.1:{port}/ocpp/{path}",
                subprotocols=[Subprotocol(PROTOCOL)],
                additional_headers=basic("S1", b"secret"),
            )
            if status == 101:
                async with attempt as client:
                    assert (await ask(client, *BOOTED))[0] == 3
            else:
                with pytest.raises(InvalidStatus, match=str(status)):
                    await attempt

    with (
        open_system(tmp_path / "one") as one,
        open_system(tmp_path / "other") as other,
        loopback_socket(0) as sock,
    ):
        register(other, "S1")
        systems = {TENANT: one, "other": other}
        tenants = {
            name: Tenant(system, lambda *readings: None, None)
            for name, system in systems.items()
        }
        service = StationService(tenants, sock)
        service.start()
        try:
            asyncio.run(check(sock.getsockname()[1]))
        finally:
            service.close()
        kinds = {
            name: [row.type for row in system.log.read(after=0, limit=100)]
            for name, system in systems.items()
        }
    assert "station.booted" in kinds["other"]
    assert kinds[TENANT] == []
