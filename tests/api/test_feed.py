"""The feed on a real socket: from a position, as it comes, resumed, and cut."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import msgspec
import pytest

from api.rest import log_tail
from api.security import event_reach
from domain.model import site_events as z
from domain.model.session import Session
from domain.model.session_events import OtherStarted
from domain.model.values import MINUTE
from domain.ports import System
from domain.use_cases.clause_6_2_joining import resolve
from tests.api.conftest import BEARER, KEY, KeyFor, Served, listening, port_of
from tests.projections.small_site import ZONE, Told


class Sent(msgspec.Struct):
    position: int
    type: str


@contextmanager
def following(
    address: str, query: str = "", headers: dict[str, str] | None = None
) -> Iterator[Iterator[str]]:
    url = f"{address}/events/feed{query}"
    sent = {**BEARER, **(headers or {})}
    with httpx.stream("GET", url, headers=sent, timeout=5) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield answer.iter_lines()


def take(lines: Iterator[str], count: int) -> list[Sent]:
    found: list[Sent] = []
    while len(found) < count:
        line = next(lines)
        if line.startswith("data: "):
            found.append(msgspec.json.decode(line[6:], type=Sent))
    return found


def limited(served: Served, limit_w: int) -> int:
    event = z.ZoneLimitsChanged(zone_id=ZONE, limit_w=limit_w, safe_upper_w=1)
    return served.tell(Told(f"zone-{ZONE}", served.clock.at + MINUTE, event))


def test_the_feed_gives_what_was_missed_and_what_comes(
    served: Served, address: str
) -> None:
    last = served.system.log.last_position()
    with following(address, "?after=0") as lines:
        missed = take(lines, last)
        assert [sent.position for sent in missed] == list(range(1, last + 1))
        position = limited(served, 7_000)
        assert take(lines, 1) == [Sent(position, "zone.limits")]


def test_the_feed_resumes_behind_the_last_event_id(
    served: Served, address: str
) -> None:
    last = served.system.log.last_position()
    resumed = {"Last-Event-ID": str(last - 2)}
    with following(address, "?after=0", resumed) as lines:
        assert [sent.position for sent in take(lines, 2)] == [last - 1, last]


def test_without_a_position_the_feed_begins_with_what_comes(
    served: Served, address: str
) -> None:
    with following(address) as lines:
        assert next(lines) == ": still here"
        position = limited(served, 7_000)
        assert take(lines, 1)[0].position == position


def test_the_feed_can_be_narrowed(served: Served, address: str) -> None:
    with following(address, "?after=0&type=plan.") as lines:
        types = {sent.type for sent in take(lines, 4)}
    assert types == {"plan.made", "plan.superseded"}
    with following(address, "?after=0&stream=session-a") as lines:
        assert take(lines, 1)[0].type == "session.opened"


def test_a_silent_feed_says_that_it_is_there(address: str) -> None:
    with following(address) as lines:
        beats = [line for line in (next(lines) for _ in range(6)) if line]
    assert beats == [": still here"] * 3


def test_many_readers_each_get_everything_once(
    served: Served, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who falls behind what is held reads for itself, then follows with the others."""
    monkeypatch.setattr(log_tail, "_HELD_ROWS", 4)
    last = served.system.log.last_position()
    with ExitStack() as opened:
        readers = [
            opened.enter_context(following(address, f"?after={after}"))
            for after in (0, last // 2, last, last)
        ]
        assert threads() == 1
        positions = [limited(served, 7_000 + i) for i in range(30)]
        for lines, after in zip(readers, (0, last // 2, last, last), strict=True):
            found = [sent.position for sent in take(lines, positions[-1] - after)]
            assert found == list(range(after + 1, positions[-1] + 1))
    until = time.monotonic() + 5
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    assert threads() == 0


def test_where_rows_stand_is_asked_for_all_readers_and_not_in_the_loop(
    served: Served, address: str, key_for: KeyFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def told(system: System, session_id: str) -> Session:
        asked.append(threading.current_thread().name)
        return resolve(system, session_id)

    monkeypatch.setattr(event_reach, "resolve", told)
    valet = OtherStarted(session_id="a", service="valet")
    with ExitStack() as opened:
        headers = [key_for("operator", zones=(ZONE,)) for _ in range(5)]
        readers = [
            opened.enter_context(following(address, "", each)) for each in headers
        ]
        assert {next(lines) for lines in readers} == {": still here"}
        limited(served, 7_000)
        for lines in readers:
            take(lines, 1)
        asked.clear()
        last = served.tell(*[Told("session-a", served.clock.at, valet)] * 20)
        for lines in readers:
            found = [sent.position for sent in take(lines, 20)]
            assert found == list(range(last - 19, last + 1))
    assert 0 < len(asked) <= 20
    assert set(asked) == {"feed"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_readers_are_cut_when_the_log_cannot_be_followed(
    served: Served, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("a row that nobody can show")

    with following(address) as lines:
        assert next(lines) == ": still here"
        tail = served.app.state.tails["main"]
        monkeypatch.setattr(tail, "_encode", broken)
        limited(served, 7_000)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    monkeypatch.undo()
    with following(address, f"?after={served.system.log.last_position() - 1}") as lines:
        assert take(lines, 1)


def threads() -> int:
    return [thread.name for thread in threading.enumerate()].count("feed")


def tell_megabytes(served: Served) -> None:
    blocked = z.EvseBlocked(evse_id="US*CAL*E1", reason="x" * 20_000)
    for _ in range(600):
        served.tell(Told("evse-US*CAL*E1", served.clock.at, blocked))
    tenants = served.app.state.tenants
    served.app.state.tenants = dict(
        main=msgspec.structs.replace(tenants["main"], stall_s=0.3)
    )


@contextmanager
def lazy_reader(port: int) -> Iterator[socket.socket]:
    """Ask for everything and take nothing yet."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.connect(("127.0.0.1", port))
        reader.sendall(
            b"GET /v1/events/feed?after=0 HTTP/1.1\r\nHost: test\r\n"
            b"Authorization: Bearer %s\r\n\r\n" % KEY.encode()
        )
        time.sleep(1)
        yield reader


def test_a_reader_that_stops_reading_is_cut(served: Served) -> None:
    tell_megabytes(served)
    enough = 10_000_000
    with listening(served.app) as server, lazy_reader(port_of(server)) as reader:
        reader.settimeout(5)
        received = 0
        while received < enough and (chunk := reader.recv(1 << 20)):
            received += len(chunk)
    # What the sockets held, and no more of the 12 MB there are.
    assert 0 < received < enough


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's timeout is Linux's")
def test_a_reader_that_never_reads_again_is_dropped(served: Served) -> None:
    tell_megabytes(served)
    with (
        listening(served.app, stall_s=0.5) as server,
        lazy_reader(port_of(server)),
    ):
        until = time.monotonic() + 10
        while server.server_state.connections and time.monotonic() < until:
            time.sleep(0.05)
        assert not server.server_state.connections
