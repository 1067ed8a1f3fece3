"""The API under load: reads and commands beside running loops and a stream of appends.

``python -m benchmarks.speed.api`` starts ``voltledger serve`` as a process of its own
on a store it makes by the API: zones with loops, EVs plugged and with needs. Then, at
the same time: reads of the projections, commands, and 100 appends a second by the
stations. The load's own share of the processor is printed beside the server's.
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from benchmarks.speed.http_load import (
    Answered,
    Request,
    figures_of,
    get,
    load,
    post,
    processor_s,
)
from benchmarks.speed.server_start import answers, free_port

_COMMAND = (sys.executable, "-c", "from api.cli import main; main()")
ZONES, EVSES = 4, 50
APPENDS_PER_S = 100
# After the plugs, until the kernels are compiled and the first plans made.
_QUIET_S = 20.0


class Site:
    """A served store and the keys of its callers."""

    def __init__(self, port: int, admin_key: str) -> None:
        self.port = port
        self._address = f"http://127.0.0.1:{port}/v1"
        self._sent = itertools.count()
        # Commands of one run are not those of the run before.
        self._run = 0
        self.keys: dict[str, str] = {"admin": admin_key}
        self.stations: list[str] = []
        self.evses: list[str] = []
        self.sessions: list[str] = []

    def issue(self, role: str, **reach: Any) -> None:
        """Issue the key of a role."""
        body = {"label": role, "roles": [role], "rate_per_minute": 1_000_000, **reach}
        self.keys[role] = str(self.command("admin", "/keys", body)["key"])

    def command(self, role: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Give one command and wait for its answer."""
        sent = UrlRequest(
            f"{self._address}{path}",
            json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self.keys[role]}",
                "Idempotency-Key": f"setup-{next(self._sent)}",
                "Content-Type": "application/json",
            },
        )
        with urlopen(sent) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        return told

    def next_run(self) -> None:
        """Begin a run: its commands have ids of their own."""
        self._run += 1

    def settle(self) -> None:
        """Commission the zones and plug an EV at every EVSE."""
        self.issue("operator", zones=["*"])
        for zone in range(ZONES):
            zone_id = f"zone{zone}"
            body = {"zone_id": zone_id, "name": zone_id, "limit_w": 200_000}
            self.command("operator", "/zones", {**body, "safe_upper_w": 120_000})
            for number in range(EVSES):
                self._station(
                    zone_id, f"DE*VLT*E{zone}{number:03}", f"s{zone}-{number}"
                )
        self.issue("station", stations=self.stations)
        for evse_id in self.evses:
            told = self.command(
                "station", f"/evses/{evse_id}/plugs", {"register_wh": 0}
            )
            self.sessions.append(told["session_id"])

    def _station(self, zone_id: str, evse_id: str, station_id: str) -> None:
        evse = {
            "evse_id": evse_id,
            "current": "AC",
            "phases": 3,
            "voltage_v": 230,
            "max_w": 11_040,
            "floor_w": 4_140,
        }
        station = {"station_id": station_id, "zone_id": zone_id, "evses": [evse]}
        self.command("operator", "/stations", station)
        self.evses.append(evse_id)
        self.stations.append(station_id)

    def reads(self, draw: random.Random) -> Iterator[Request]:
        """Yield reads of the projections, as a console makes them."""
        key = self.keys["operator"]
        while True:
            zone = f"zone{draw.randrange(ZONES)}"
            evse = draw.choice(self.evses)
            session = draw.choice(self.sessions)
            yield get(f"/v1/zones/{zone}", key, "one zone")
            yield get(f"/v1/evses/{evse}", key, "one EVSE")
            yield get(f"/v1/service-sessions/{session}", key, "one session")
            yield get(f"/v1/zones/{zone}/aetp", key, "AETP")
            yield get(f"/v1/evses?zone_id={zone}&limit=20", key, "20 EVSEs")
            yield get(
                f"/v1/service-sessions?zone_id={zone}&limit=20", key, "20 sessions"
            )

    def needs(self, draw: random.Random) -> Iterator[Request]:
        """Yield commands that change what drivers need."""
        for number in itertools.count():
            session = draw.choice(self.sessions)
            departure = datetime.now(UTC) + timedelta(hours=draw.randint(1, 9))
            body = {
                "departure_at": departure.isoformat(timespec="seconds"),
                "energy_target_wh": draw.randrange(5_000, 40_000),
            }
            yield post(
                f"/v1/service-sessions/{session}/needs",
                self.keys["operator"],
                f"needs-{self._run}-{number}",
                json.dumps(body).encode(),
                "needs",
            )

    def pauses(self, draw: random.Random) -> Iterator[Request]:
        """Yield what stations report: the appends that go on meanwhile."""
        for number in itertools.count():
            evse_id = draw.choice(self.evses)
            yield post(
                f"/v1/evses/{evse_id}/pauses",
                self.keys["station"],
                f"pause-{self._run}-{number}",
                json.dumps({"paused": bool(number % 2)}).encode(),
                "append",
            )


async def _together(
    site: Site, reads_per_s: int, commands_per_s: int, seconds: float
) -> list[Answered]:
    draw = random.Random(7)
    found = await asyncio.gather(
        load(site.port, site.reads(draw), reads_per_s, seconds),
        load(site.port, site.needs(draw), commands_per_s, seconds),
        load(site.port, site.pauses(draw), APPENDS_PER_S, seconds),
    )
    return [answer for part in found for answer in part]


def measure(
    site: Site, pid: int, reads_per_s: int, commands_per_s: int, seconds: float
) -> None:
    """Load the server and print what it did."""
    site.next_run()
    begun, used_s, own_s = time.perf_counter(), processor_s(pid), time.process_time()
    found = asyncio.run(_together(site, reads_per_s, commands_per_s, seconds))
    used_s, own_s = processor_s(pid) - used_s, time.process_time() - own_s
    reads = [a for a in found if a.name not in ("needs", "append")]
    print(figures_of("all reads", reads, seconds))
    for name in sorted({a.name for a in found}):
        print(figures_of(f"  {name}", [a for a in found if a.name == name], seconds))
    took_s = time.perf_counter() - begun
    print(
        f"answered within {took_s:.1f} s; processor: server {used_s / took_s:.0%} of a"
        f" core, {1e6 * used_s / len(found):.0f} µs a request, load"
        f" {own_s / took_s:.0%}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reads", type=int, default=1_500, help="a second")
    parser.add_argument("--commands", type=int, default=0, help="a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print(
        f"{platform.platform()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores"
    )
    with tempfile.TemporaryDirectory() as folder, _served(Path(folder)) as (site, pid):
        site.settle()
        time.sleep(_QUIET_S)
        for _ in range(given.runs):
            measure(site, pid, given.reads, given.commands, given.seconds)
        print(f"server: {_resident_mib(pid):.0f} MiB resident")


@contextmanager
def _served(folder: Path) -> Iterator[tuple[Site, int]]:
    """Serve a new store in a process of its own."""
    key_file = folder / "master.key"
    key_file.write_bytes(os.urandom(32))
    key_file.chmod(0o600)
    port, store = free_port(), f"sqlite:///{folder}/store"
    serve = ["serve", "--create", "--no-ocpp"]
    server = subprocess.Popen(
        [*_COMMAND, *serve, f"--port={port}", f"--store={store}"],
        env={**os.environ, "VOLTLEDGER_KEY_FILE": str(key_file)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not answers(port):
            if server.poll() is not None:
                raise RuntimeError("the server ended at its start")
            time.sleep(0.05)
        (first,) = folder.glob("first-admin-*.key")
        yield Site(port, first.read_text().strip()), server.pid
    finally:
        server.terminate()
        server.wait()


def _resident_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
