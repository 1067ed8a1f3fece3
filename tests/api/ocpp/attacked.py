"""A ``voltledger serve`` to attack, and stations by hand to attack it with.

No code is shared with the gateway: frames are hand-made JSON, sockets raw or those of
the ``websockets`` package.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.api.test_cli_serve import ROOT, Server, key_file, serving

FULL = os.environ.get("VOLTLEDGER_FULL") == "1"
TOKEN = "04A2B3C4D5E6F7"
SERVED_WITHIN_S = 1.0
# The first plan of all may be compiled before.
PLANNED_WITHIN_S = 60.0
VERSIONS = ("1.6", "2.0.1", "2.1")
BOOT: dict[str, Any] = {"chargePointVendor": "A", "chargePointModel": "B"}
BOOT_2: dict[str, Any] = {
    "reason": "PowerUp",
    "chargingStation": {"vendorName": "A", "model": "B"},
}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Site:
    """A server, its stations' passwords, and all that it says."""

    def __init__(self, server: Server) -> None:
        self.server = server
        found = re.search(r"ws://127\.0\.0\.1:(\d+)/ocpp", server.said)
        assert found is not None, server.said
        self.url, self.port = found.group(), int(found[1])
        self.passwords: dict[str, str] = {}
        self._posted = 0
        self._told = 0

    def post(self, path: str, **body: Any) -> Any:
        self._posted += 1
        answer = httpx.post(
            f"{self.server.address}/v1{path}",
            json=body,
            headers={**self.server.headers, "Idempotency-Key": f"k-{self._posted}"},
        )
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def add(self, station_id: str) -> None:
        told = self.post(
            f"/stations/{station_id}/registration",
            identity=station_id,
            security_profile=1,
        )
        self.passwords[station_id] = told["password"]
        evses = [
            {
                "evse_id": f"DE*VLT*E{len(self.passwords)}*{n}",
                "current": "AC",
                "phases": 3,
                "voltage_v": 230,
                "max_w": 11_040,
                "floor_w": 4_140,
            }
            for n in (1, 2)
        ]
        self.post("/stations", station_id=station_id, zone_id="yard", evses=evses)

    def authorization(self, station_id: str) -> str:
        login = f"{station_id}:{self.passwords[station_id]}"
        return f"Basic {b64encode(login.encode()).decode()}"

    def check(self) -> None:
        """Nothing of ours went wrong, and a good station is served."""
        asyncio.run(self._serve_one())
        assert self.server.process.poll() is None
        said = "".join(self.server.errors.lines)
        assert "Traceback" not in said, said[-3_000:]
        assert "a work of the gateway failed" not in said

    async def _serve_one(self) -> None:
        self._told += 1
        name = f"good-{self._told}"
        async with Station.of(self, "good", "2.0.1") as good:

            async def told(action: str, payload: Any) -> None:
                begun = time.monotonic()
                answer = await good.ask(action, payload)
                assert answer[0] == 3, answer
                assert time.monotonic() - begun < SERVED_WITHIN_S

            await told("BootNotification", BOOT_2)
            await told("TransactionEvent", transaction(name))
            await good.until(lambda: good.is_told_etp, PLANNED_WITHIN_S)
            await told(
                "TransactionEvent", transaction(name, eventType="Ended", seqNo=1)
            )


def transaction(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "eventType": "Started",
        "timestamp": now(),
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": {"transactionId": name},
        "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": TOKEN, "type": "ISO14443"},
        **changes,
    }


Policy = Callable[[Any], list[Any]]


def accepts(call: Any) -> list[Any]:
    given = call[3]
    match call[2]:
        case "GetVariables":
            asked = [(v["component"], v["variable"]) for v in given["getVariableData"]]
            said = [
                {"attributeStatus": "UnknownVariable", "component": c, "variable": v}
                for c, v in asked
            ]
            return [[3, call[1], {"getVariableResult": said}]]
        case "SetVariables":
            asked = [(v["component"], v["variable"]) for v in given["setVariableData"]]
            said = [
                {"attributeStatus": "Accepted", "component": c, "variable": v}
                for c, v in asked
            ]
            return [[3, call[1], {"setVariableResult": said}]]
        case "GetConfiguration":
            return [[3, call[1], {"unknownKey": given.get("key", [])}]]
        case "GetChargingProfiles":
            return [[3, call[1], {"status": "NoProfiles"}]]
        case _:
            return [[3, call[1], {"status": "Accepted"}]]


class Station:
    """A station by hand; what it answers to calls is a policy."""

    def __init__(self, socket: ClientConnection, policy: Policy) -> None:
        self.socket = socket
        self.calls: list[Any] = []
        self.answers: dict[str, Any] = {}
        self._policy = policy
        self._asked = 0
        self._came = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def of(
        cls, site: Site, station_id: str, version: str, policy: Policy = accepts
    ) -> AsyncIterator["Station"]:
        async with connected(site, station_id, version) as socket:
            station = cls(socket, policy)
            hearing = asyncio.create_task(station.hear())
            try:
                yield station
            finally:
                hearing.cancel()

    async def hear(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                frame = json.loads(text)
                if frame[0] == 2:
                    self.calls.append(frame)
                    for answer in self._policy(frame):
                        await self.socket.send(
                            answer if isinstance(answer, str) else json.dumps(answer)
                        )
                else:
                    self.answers[frame[1]] = frame
                self._came.set()

    async def ask(self, action: str, payload: Any) -> Any:
        self._asked += 1
        message_id = f"m-{self._asked}"
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        return await self.answer(message_id)

    async def answer(self, message_id: str) -> Any:
        async with asyncio.timeout(5):
            while message_id not in self.answers:
                self._came.clear()
                await self._came.wait()
        return self.answers.pop(message_id)

    @property
    def is_told_etp(self) -> bool:
        """Whether it got a profile of a transaction."""
        profiles = [c for c in self.calls if c[2] == "SetChargingProfile"]
        return any('"TxProfile"' in json.dumps(call) for call in profiles)

    async def until(self, is_so: Callable[[], Any], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not is_so():
                await asyncio.sleep(0.01)


def connected(site: Site, station_id: str, version: str) -> connect:
    return connect(
        f"{site.url}/{station_id}",
        subprotocols=[Subprotocol(f"ocpp{version}")],
        additional_headers={"Authorization": site.authorization(station_id)},
        ping_interval=None,
        compression=None,
        close_timeout=1,
    )


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Serve a new store; in the end it is intact, and no mistake of ours was logged."""
    environment = key_file(folder / "key", 1)
    with serving(folder / "live", "--create", environment=environment) as server:
        site = Site(server)
        site.post(
            "/zones", zone_id="yard", name="Y", limit_w=500_000, safe_upper_w=300_000
        )
        site.post(
            "/contracts",
            token={"kind": "token", "text": TOKEN},
            valid_from_at="2026-01-01T00:00:00Z",
        )
        for name in ("good", *(f"bad-{version}" for version in VERSIONS)):
            site.add(name)
        yield site
        server.process.terminate()
        server.process.wait(20)
    said = "".join(site.server.errors.lines)
    assert "Traceback" not in said, said[-3_000:]
    verify = "from api.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", verify, "verify", "--store", f"sqlite:///{folder}/live"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("intact")
