"""Connections that are slow, silent or too many, on a real socket."""

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from api.serving import config, connections
from tests.api.conftest import BEARER, KEY, Served, listening, port_of

SLOW = 1_000 if os.environ.get("VOLTLEDGER_FULL") == "1" else 300
ASKED = b"GET /v1/zones HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\n\r\n"
BEGUN = (
    b"POST /v1/zones HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\n"
    b'Content-Length: 100\r\n\r\n{"zo'
)


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.settimeout(5)
        one.connect(("127.0.0.1", port))
        yield one


def is_closed(one: socket.socket) -> bool:
    """Read what is there, without waiting; True at the end."""
    one.setblocking(False)
    try:
        while one.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_slow_clients_keep_nobody_else_waiting(served: Served) -> None:
    parts = (ASKED[:20], BEGUN % KEY.encode(), ASKED % KEY.encode())
    with (
        listening(served.app, head_within_s=2.0) as server,
        ExitStack() as opened,
        httpx.Client(headers=BEARER) as other,
    ):
        port = port_of(server)
        slow = [opened.enter_context(connected(port)) for _ in range(SLOW)]
        for i, one in enumerate(slow):
            one.sendall(parts[i % 3])
        took_s: list[float] = []
        until = time.monotonic() + 12
        while server.server_state.connections and time.monotonic() < until:
            begun = time.monotonic()
            assert other.get(f"http://127.0.0.1:{port}/v1/zones").status_code == 200
            took_s.append(time.monotonic() - begun)
            if len(server.server_state.connections) == 1:
                break
        took_s.sort()
        print(f"{SLOW} slow clients: p99 {took_s[int(len(took_s) * 0.99)]:.4f} s")
        assert took_s[int(len(took_s) * 0.99)] < 0.1
        assert all(is_closed(one) for one in slow)


def test_a_head_that_drips_does_not_gain_time(served: Served) -> None:
    with (
        listening(served.app, head_within_s=0.6) as server,
        connected(port_of(server)) as one,
    ):
        begun = time.monotonic()
        for letter in ASKED:
            one.sendall(bytes([letter]))
            time.sleep(0.1)
            if is_closed(one):
                break
        assert 0.4 < time.monotonic() - begun < 3


def test_a_second_request_has_its_time_too(served: Served) -> None:
    with (
        listening(served.app, head_within_s=0.4) as server,
        connected(port_of(server)) as one,
    ):
        one.sendall(ASKED % KEY.encode())
        assert b" 200 " in one.recv(65_536)
        time.sleep(0.6)
        assert not is_closed(one)
        one.sendall(b"GET /v1")
        time.sleep(0.8)
        assert is_closed(one)


def test_an_endless_head_is_refused(served: Served) -> None:
    with listening(served.app) as server, connected(port_of(server)) as one:
        one.sendall(b"GET /v1/zones HTTP/1.1\r\n")
        answer = b""
        try:
            for _ in range(100):
                one.sendall(b"X-More: " + b"x" * 10_000 + b"\r\n")
            answer = one.recv(1_000)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed while it was still sending
        assert answer == b"" or b" 431 " in answer
        until = time.monotonic() + 5
        while server.server_state.connections and time.monotonic() < until:
            time.sleep(0.01)
        assert not server.server_state.connections


def test_an_endless_head_behind_a_running_answer_is_refused(served: Served) -> None:
    feed = ASKED.replace(b"/v1/zones", b"/v1/events/feed") % KEY.encode()
    with listening(served.app) as server, connected(port_of(server)) as one:
        one.sendall(feed)
        assert b" 200 " in one.recv(65_536)
        one.sendall(b"GET /v1/zones HTTP/1.1\r\n")
        sent = 0
        try:
            while sent < 20_000_000:
                one.sendall(b"X-More: " + b"x" * 10_000 + b"\r\n")
                sent += 10_000
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed while it was still sending
        assert sent < 20_000_000
        until = time.monotonic() + 5
        while server.server_state.connections and time.monotonic() < until:
            time.sleep(0.01)
        assert not server.server_state.connections


def test_requests_sent_at_once_are_no_long_head(served: Served) -> None:
    count = 100
    long = ASKED.replace(b"test\r\n", b"test\r\nX-More: " + b"x" * 1_000 + b"\r\n")
    with listening(served.app) as server, connected(port_of(server)) as one:
        one.sendall((long % KEY.encode()) * count)
        answered = b""
        while answered.count(b" 200 ") < count and (part := one.recv(65_536)):
            answered += part
        assert answered.count(b" 200 ") == count


def test_more_connections_than_files_are_refused(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(served.app) as server, ExitStack() as opened:
        assert isinstance(server.config, connections.Settings)
        server.config.most_connections = 5
        port = port_of(server)
        for _ in range(5):
            opened.enter_context(connected(port))
        for _ in range(3):
            with connected(port) as refused:
                assert b" 503 " in refused.recv(1_000)
    told = [r for r in caplog.records if r.name == connections.__name__]
    assert len(told) == 1
    assert "limit of open files" in told[0].getMessage()


def test_the_limit_of_files_is_raised_and_leaves_some_for_the_store() -> None:
    code = (
        "import resource; from api.serving import config; "
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE); "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (512, 2_000)); "
        "print(config.most_connections(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "1744 (2000, 2000)"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] != 2_000
    assert config.most_connections() > 16
