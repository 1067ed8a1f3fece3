"""Bodies that are too large, too slow or endless, on a real socket."""

import socket
import time

import httpx
import pytest

from api.app import create_app
from api.security.passing_key import PassingKey
from api.serving import bodies
from tests.api.conftest import BEARER, EVERYBODY, KEY, Served, listening, port_of

HEAD = (
    b"POST /v1/zones HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\n"
    b"Content-Type: application/json\r\nIdempotency-Key: k\r\n" % KEY.encode()
)


def codes_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("size", [bodies.LARGEST + 1, 10_000_000])
def test_a_body_that_is_too_large_is_refused(address: str, size: int) -> None:
    answer = httpx.post(f"{address}/zones", content=b"x" * size, headers=BEARER)
    assert codes_of(answer) == (413, "body-too-large")
    assert answer.headers["connection"] == "close"


def test_a_body_without_a_length_is_counted(address: str) -> None:
    parts = iter([b"x" * 1_000] * 300)
    answer = httpx.post(f"{address}/zones", content=parts, headers=BEARER)
    assert codes_of(answer) == (413, "body-too-large")


def test_a_body_as_large_as_it_may_be_is_read(address: str) -> None:
    body = b'"' + b"x" * (bodies.LARGEST - 2) + b'"'
    sent = {**BEARER, "Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = httpx.post(f"{address}/zones", content=body, headers=sent)
    assert codes_of(answer) == (422, "invalid-parameter")


def test_a_caller_nobody_knows_is_refused_before_its_body(address: str) -> None:
    answer = httpx.post(f"{address}/zones", content=b"x" * 300_000)
    assert codes_of(answer) == (401, "not-authenticated")


def test_a_body_that_does_not_come_is_not_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies.Bodies.__init__, "__defaults__", (1_000, 0.3))
    app = create_app(served.app.state.tenants, PassingKey(KEY, EVERYBODY))
    with listening(app) as server, socket.socket() as slow:
        slow.settimeout(5)
        slow.connect(("127.0.0.1", port_of(server)))
        begun = time.monotonic()
        slow.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"zone')
        answer = slow.recv(10_000)
        assert b" 408 " in answer
        assert b"body-too-slow" in answer
        assert 0.2 < time.monotonic() - begun < 3
        assert slow.recv(10_000) == b""


def test_a_chunked_body_that_drips_is_not_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies.Bodies.__init__, "__defaults__", (1_000, 0.5))
    app = create_app(served.app.state.tenants, PassingKey(KEY, EVERYBODY))
    with listening(app) as server, socket.socket() as slow:
        slow.settimeout(0.1)
        slow.connect(("127.0.0.1", port_of(server)))
        slow.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        answer, begun = b"", time.monotonic()
        while not answer and time.monotonic() < begun + 5:
            slow.sendall(b"1\r\n \r\n")
            try:
                answer = slow.recv(10_000)
            except TimeoutError:
                continue
        assert b" 408 " in answer
