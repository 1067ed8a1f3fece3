"""What 500 readers of the feed cost a server that records 100 events a second.

``python -m benchmarks.speed.feed`` starts ``voltledger serve`` as a process of its own
on a new store, lets one EV pause and go on 50 times a second (two rows each), and
compares memory, processor time and delay with no readers and with many.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from benchmarks.speed.http_load import Request, load, post, processor_s
from benchmarks.speed.server_start import answers, free_port

_COMMAND = (sys.executable, "-c", "from api.cli import main; main()")
_EVSE = "DE*VLT*E1"
_STATION = {
    "station_id": "s1",
    "zone_id": "z1",
    "evses": [
        {
            "evse_id": _EVSE,
            "current": "AC",
            "phases": 3,
            "voltage_v": 230,
            "max_w": 11_040,
            "floor_w": 4_140,
        }
    ],
}
_ZONE = {"zone_id": "z1", "name": "z1", "limit_w": 20_000, "safe_upper_w": 9_000}
# Each command is recorded as what happened and who said so.
_ROWS_A_COMMAND = 2
# Of the readers, these look at what they get; the rest only take it.
_LOOKING = 5


class Server(NamedTuple):
    """A server and the keys of its callers."""

    process: "subprocess.Popen[bytes]"
    port: int
    keys: dict[str, str]

    def rss_mib(self) -> float:
        """Return the memory it has [MiB]."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        (line,) = (x for x in status.splitlines() if x.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def command(self, role: str, path: str, body: dict[str, Any]) -> None:
        """Give one command."""
        headers = {
            "Authorization": f"Bearer {self.keys[role]}",
            "Idempotency-Key": f"setup{path}",
            "Content-Type": "application/json",
        }
        url = f"http://127.0.0.1:{self.port}/v1{path}"
        with urlopen(UrlRequest(url, json.dumps(body).encode(), headers)):
            pass


def issued(store: str, role: str, reach: str, name: str) -> str:
    """Return a new key; no server has the store."""
    asked = ["keys", "issue", "--store", store, "--label", role, "--role", role]
    rate = ["--rate-per-minute", "1000000"]
    told = subprocess.run(
        [*_COMMAND, *asked, reach, name, *rate],
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.strip()


@contextmanager
def started(store: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start a server and wait until it answers."""
    port = free_port()
    serve = ["serve", "--store", store, "--create", "--port", str(port), "--no-ocpp"]
    with subprocess.Popen(
        [*_COMMAND, *serve], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not answers(port):
                if process.poll() is not None:
                    raise RuntimeError(f"no server on {store}")
                time.sleep(0.05)
            yield process, port
        finally:
            process.terminate()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a new store with one zone, one station and one EV."""
    store = f"sqlite:///{folder}/store"
    key_file = folder / "master.key"
    key_file.write_bytes(os.urandom(32))
    key_file.chmod(0o600)
    os.environ["VOLTLEDGER_KEY_FILE"] = str(key_file)
    with started(store):
        pass
    keys = {"operator": issued(store, "operator", "--zone", "*")}
    with started(store) as (process, port):
        server = Server(process, port, keys)
        server.command("operator", "/zones", _ZONE)
        server.command("operator", "/stations", _STATION)
    keys["station"] = issued(store, "station", "--station", "s1")
    with started(store) as (process, port):
        server = Server(process, port, keys)
        server.command("station", f"/evses/{_EVSE}/plugs", {"register_wh": 0})
        yield server


def pauses(server: Server, name: str) -> Iterator[Request]:
    """Yield what the station reports."""
    for number in itertools.count():
        yield post(
            f"/v1/evses/{_EVSE}/pauses",
            server.keys["station"],
            f"{name}-{number}",
            json.dumps({"paused": bool(number % 2)}).encode(),
        )


class Reader:
    """Follows the feed; notes how late each event came, if it looks."""

    def __init__(self) -> None:
        self.bytes = 0
        self.late_ms: list[float] = []

    async def follow(self, port: int, key: str, looks: bool) -> None:
        """Read until cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /v1/events/feed HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer %s"
            b"\r\n\r\n" % key.encode()
        )
        try:
            while chunk := await reader.read(65_536):
                self.bytes += len(chunk)
                if looks:
                    self._look(chunk)
        finally:
            writer.close()

    def _look(self, chunk: bytes) -> None:
        now = time.time()
        for line in chunk.split(b"\n"):
            if line.startswith(b"data: ") and line.endswith(b"}"):
                recorded = datetime.fromisoformat(json.loads(line[6:])["recorded_at"])
                self.late_ms.append(1000 * (now - recorded.timestamp()))


async def read_all(port: int, key: str, count: int, seconds: float) -> str:
    """Follow with many readers for a while; return what they saw."""
    readers = [Reader() for _ in range(count)]
    tasks = [
        asyncio.create_task(reader.follow(port, key, looks=i < _LOOKING))
        for i, reader in enumerate(readers)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    late_ms = sorted(ms for reader in readers for ms in reader.late_ms)
    got = [reader.bytes for reader in readers]
    return (
        f"rows late p50 {statistics.median(late_ms):.0f} p99 "
        f"{late_ms[int(len(late_ms) * 0.99)]:.0f} ms; each got {min(got):,} to "
        f"{max(got):,} bytes"
    )


def measured(server: Server, count: int, per_s: int, seconds: float) -> str:
    """Return what some readers cost while rows are recorded.

    They are in a process of their own, so that their work is not in the way of those
    who command.
    """
    context = multiprocessing.get_context("spawn")
    asked = (server.port, server.keys["operator"], count, seconds + 5)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        seen = pool.submit(_read_all, *asked) if count else None
        time.sleep(4)
        used_s = processor_s(server.process.pid)
        requests = pauses(server, f"{count}-{used_s}")
        rate = per_s / _ROWS_A_COMMAND
        found = asyncio.run(load(server.port, requests, rate, seconds))
        used_s = processor_s(server.process.pid) - used_s
        rss_mib = server.rss_mib()
        took_ms = sorted(1000 * answer.after_s for answer in found)
        refused = sum(answer.status != 200 for answer in found)
        return (
            f"{count:4} readers: memory {rss_mib:.0f} MiB; processor "
            f"{used_s / seconds:.0%} of a core; commands p50 "
            f"{statistics.median(took_ms):.1f} p99 "
            f"{took_ms[int(len(took_ms) * 0.99)]:.1f} ms ({refused} refused); "
            f"{seen.result() if seen else ''}"
        )


def _read_all(port: int, key: str, count: int, seconds: float) -> str:
    return asyncio.run(read_all(port, key, count, seconds))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--per-s", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        for count in (0, given.readers, 0):
            print(measured(server, count, given.per_s, given.seconds))


if __name__ == "__main__":
    main()
