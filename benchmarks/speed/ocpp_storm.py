"""All stations come back at once, each with what happened while they were offline.

``python -m benchmarks.speed.ocpp_storm``: 5,000 stations of three versions reconnect by
TLS, each with a whole transaction of 30 messages. Each repeats one of them with a new
id, and one in ten loses its connection before an answer and sends that message again.
Meanwhile stations that never left go on reporting.
"""

import argparse
import asyncio
import datetime
import ipaddress
import json
import multiprocessing
import platform
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.speed.ocpp_fleet import Figures, Fleet, each, report
from benchmarks.speed.ocpp_product import Books, Product, Site, serving
from benchmarks.speed.ocpp_stations import Station

_EVENTS: Final = 30
_EACH_WH: Final = 100
_BEGAN_AGO_S: Final = 4_000.0
_EACH_S: Final = 100.0
# Which message is told twice, and after which one some lose their connection.
_TWICE: Final = 15
_LOST: Final = 10
_MOST_S: Final = 300.0
_WARM_S: Final = 5.0


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "load")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "server.crt", folder / "server.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


class Storm:
    """The stations that come back."""

    def __init__(self, port: int, tls: ssl.SSLContext, fleet: Fleet) -> None:
        self._port = port
        self._tls = tls
        self._fleet = fleet
        self.retries = 0
        self.connected_s: list[float] = []
        self._begun = time.perf_counter()

    async def run(self) -> float:
        """Tell all of it; return how long that took."""
        self._begun = time.perf_counter()
        await each(self._fleet.stations, self._one, len(self._fleet.stations))
        return time.perf_counter() - self._begun

    async def _one(self, station: Station) -> None:
        await self._connect(station)
        self.connected_s.append(time.perf_counter() - self._begun)
        for n in range(_EVENTS):
            ago_s = _BEGAN_AGO_S - n * _EACH_S
            frame = _frame(station, n, ago_s)
            if n == _LOST and station.number % 10 == 0:
                lost = asyncio.create_task(self._tell(station, frame))
                await asyncio.sleep(0)
                station.leave()
                await lost
            else:
                answer = await self._tell(station, frame)
            if n == 0:
                station.take_started(answer)
            if n == _TWICE:
                await self._tell(station, frame.replace(b'[2,"', b'[2,"again-', 1))

    async def _tell(self, station: Station, frame: bytes) -> bytes:
        """Send a message until it is answered."""
        while True:
            try:
                return await station.ask(frame)
            except (ConnectionError, TimeoutError):
                self.retries += 1
                await self._connect(station)

    async def _connect(self, station: Station) -> None:
        while True:
            try:
                await station.connect(self._port, self._tls)
                return
            except Exception:  # whatever it is: a station tries again
                self.retries += 1
                await asyncio.sleep(0.5 + self._fleet.dice.random())


def _frame(station: Station, n: int, ago_s: float) -> bytes:
    if n:
        station.draw_wh(_EACH_WH)
    if n == 0:
        return station.start_frame(ago_s)
    if n == _EVENTS - 1:
        return station.end_frame(ago_s)
    return station.reading_frame(ago_s)


def _trust() -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


def _stay(pipe: Connection, port: int, count: int, per_s: float) -> None:
    """Be the stations that never left, until told; send what they saw.

    In a process of their own: thousands of handshakes would make its clock late.
    """

    async def stay() -> Figures:
        fleet = Fleet(count)
        await fleet.arrive(port, count, _trust())
        await report(fleet, fleet.stations, per_s, _WARM_S)
        pipe.send("ready")
        return await report(fleet, fleet.stations, per_s, _MOST_S, is_over=pipe.poll)

    pipe.send(asyncio.run(stay()))


@contextmanager
def staying(port: int, given: argparse.Namespace) -> Iterator[Connection]:
    """Let live stations report; what is sent to them ends it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_stay, args=(theirs, port, given.live, given.live_per_s)
    )
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield ours
    finally:
        process.kill()


def run(product: Product, given: argparse.Namespace) -> dict[str, Any]:
    """Let live stations report, then let the others come."""
    with staying(product.port, given) as live:
        found, fleet = asyncio.run(_storm(product, given))
        live.send("over")
        figures: Figures = live.recv()
    return found | {
        "refused": len(fleet.tally.refused),
        "refusals": sorted({r[:160].decode() for r in fleet.tally.refused})[:3],
        "live_answered": figures.answered,
        "live_unanswered": figures.unanswered,
        "live_p50_ms": figures.p50_ms,
        "live_p99_ms": figures.p99_ms,
        "live_worst_ms": figures.worst_ms,
        "trouble": product.figures()["trouble"],
    }


async def _storm(
    product: Product, given: argparse.Namespace
) -> tuple[dict[str, Any], Fleet]:
    before: Books = product.ask("books")
    cpu_s, client_s = product.cpu_s, time.process_time()
    fleet = Fleet(given.connections, first=given.live)
    storm = Storm(product.port, _trust(), fleet)
    took_s = await storm.run()
    cpu_s, client_s = product.cpu_s - cpu_s, time.process_time() - client_s
    after: Books = product.ask("books")
    told = given.connections * _EVENTS
    kept = after.messages - before.messages
    energy_wh = after.energy_wh - before.energy_wh
    due_wh = given.connections * (_EVENTS - 1) * _EACH_WH
    return {
        "took_s": round(took_s, 1),
        "last_connected_s": round(max(storm.connected_s), 1),
        "per_s": round(told / took_s),
        "messages_lost": told - kept,
        "booked": after.booked - before.booked,
        "energy_wrong_wh": energy_wh - due_wh,
        "retries": storm.retries,
        "server_us": round(1e6 * cpu_s / told),
        "server_share": round(cpu_s / took_s, 2),
        "client_share": round(client_s / took_s, 2),
        "memory_mib": round(product.memory_mib),
    }, fleet


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--live", type=int, default=200)
    parser.add_argument("--live-per-s", type=float, default=40)
    parser.add_argument("--zones", type=int, default=50)
    parser.add_argument("--zone-w", type=int, default=400_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = certificate(Path(folder))
        count = given.live + given.connections
        site = Site(count, given.zones, given.zone_w, tls=files)
        with serving(site) as product:
            found = run(product, given)
    print(json.dumps({"python": platform.python_version(), **found}, indent=1))


if __name__ == "__main__":
    main()
