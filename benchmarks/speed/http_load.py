"""Open-loop HTTP load: requests leave when they are due, however slow the answers are.

Latency counts from the instant a request was due, so a server that falls behind cannot
hide it. Bare sockets: a client library would take more processor than the server.
"""

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_CONNECTIONS = 32


class Request(NamedTuple):
    """What is sent, whole."""

    name: str
    data: bytes


class Figures(NamedTuple):
    """What was seen of one kind of request."""

    name: str
    asked: int
    per_s: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    refused: int

    def __str__(self) -> str:
        return (
            f"{self.name:30} {self.per_s:8.0f}/s   p50 {self.p50_ms:7.2f}"
            f"   p99 {self.p99_ms:7.2f}   worst {self.worst_ms:7.1f} ms"
            f"   not 200: {self.refused}"
        )


class Answered(NamedTuple):
    """One answer: what was asked, after how long, with which status."""

    name: str
    after_s: float
    status: int


def get(path: str, key: str, name: str = "") -> Request:
    """Return a reading request."""
    head = f"GET {path} HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer {key}\r\n\r\n"
    return Request(name or path, head.encode())


def post(path: str, key: str, command_id: str, body: bytes, name: str = "") -> Request:
    """Return a command."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer {key}\r\n"
        f"Idempotency-Key: {command_id}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return Request(name or path, head.encode() + body)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader, self._writer = reader, writer

    async def ask(self, data: bytes) -> int:
        """Send a request and take its whole answer; return the status."""
        self._writer.write(data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at >= 0:
            length = int(lower[at + 15 : lower.index(b"\r\n", at)])
            await self._reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        self._writer.close()


async def load(
    port: int, requests: Iterator[Request], per_s: float, seconds: float
) -> list[Answered]:
    """Send requests at a rate for some time; return what was answered."""
    loop = asyncio.get_running_loop()
    due: asyncio.Queue[tuple[float, Request] | None] = asyncio.Queue()
    found: list[Answered] = []

    async def work() -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        connection = _Connection(*streams)
        while (next_one := await due.get()) is not None:
            at, request = next_one
            status = await connection.ask(request.data)
            found.append(Answered(request.name, loop.time() - at, status))
        connection.close()

    workers = [asyncio.create_task(work()) for _ in range(_CONNECTIONS)]
    begun = loop.time()
    for number in range(int(per_s * seconds)):
        at = begun + number / per_s
        wait_s = at - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        due.put_nowait((at, next(requests)))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return found


def figures_of(name: str, found: Sequence[Answered], seconds: float) -> Figures:
    """Return the figures of some answers."""
    took_ms = sorted(answer.after_s * 1e3 for answer in found)
    return Figures(
        name,
        len(found),
        len(found) / seconds,
        statistics.median(took_ms),
        took_ms[min(len(took_ms) - 1, int(len(took_ms) * 0.99))],
        took_ms[-1],
        sum(answer.status != 200 for answer in found),
    )


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used so far [s]."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
