"""Bad input at the socket, at every route it can reach: a problem, and nothing done."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.errors import Problem
from api.openapi import operations
from api.rest.reading import cursor_of, key_of, kind_in
from tests.api.caller import Caller
from tests.api.conftest import BEARER, CallerFor, Served

NO_MESSAGES = {
    "nothing at all": b"",
    "no JSON": b"{",
    "two values": b"{} {}",
    "not UTF-8": b'{"reason": "\xff\xfe"}',
    "half a surrogate": b'{"reason": "\\ud800"}',
    "NaN": b'{"limit_w": NaN}',
    "infinity": b'{"limit_w": 1e999}',
    "as many brackets as fit": b"[" * 260_000,
    "nested too deep": b'{"a":' * 33 + b"1" + b"}" * 33,
    "nested deep in a field": b'{"limit_w":' + b"[" * 40 + b"]" * 40 + b"}",
}
# A body may be left out where there is nothing to say.
MAY_BE_EMPTY = {"post_pre_revocation", "post_withdrawal"}
WRONG = [None, True, 1, -1, 1.5, 10**30, "x" * 9_000, "\0", [], [1], {}, {"a": 1}]
LISTS = ["/zones", "/evses", "/service-sessions", "/plans", "/events", "/keys"]
CURSORS = [
    "garbage",
    "W10",
    "A" * 900,
    cursor_of("nothing", "x"),
    cursor_of("history", 1 << 70),
    cursor_of("service-sessions", "x", 1),
    cursor_of("events as of 5", 1),
]


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    headers = {**BEARER, "Content-Type": "application/json"}
    with httpx.Client(base_url=address, headers=headers, timeout=20) as client:
        yield client


def commands_of(served: Served) -> list[tuple[str, str, Any]]:
    """Return the name, path and example of each command with a body."""
    return [
        (
            operation["operationId"],
            path.removeprefix("/v1").replace("{", "").replace("}", ""),
            operation["requestBody"]["content"]["application/json"]["example"],
        )
        for path, method, operation in operations(served.app.openapi())
        if method == "post"
    ]


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("name", NO_MESSAGES)
def test_what_is_no_message_is_refused_by_every_command(
    client: httpx.Client, served: Served, name: str
) -> None:
    before = served.system.log.last_position()
    for operation, path, _ in commands_of(served):
        headers = {"Idempotency-Key": operation}
        answer = client.post(path, content=NO_MESSAGES[name], headers=headers)
        if name == "nothing at all" and operation in MAY_BE_EMPTY:
            assert answer.status_code in (404, 422), operation
        elif name == "nothing at all":
            assert problem(answer) == (422, "invalid-parameter"), operation
        else:
            assert problem(answer) == (400, "faulty-message"), operation
    assert served.system.log.last_position() == before


def test_a_field_nobody_knows_is_refused_by_every_command(
    client: httpx.Client, served: Served
) -> None:
    before = served.system.log.last_position()
    for operation, path, example in commands_of(served):
        headers = {"Idempotency-Key": operation}
        answer = client.post(path, json={**example, "zonk": 1}, headers=headers)
        assert problem(answer) == (422, "invalid-parameter"), operation
        (broken,) = answer.json()["errors"]
        assert broken["where"] == "body.zonk", operation
    assert served.system.log.last_position() == before


def test_a_value_of_another_type_is_never_a_mistake_of_ours(
    client: httpx.Client, served: Served
) -> None:
    """Each field of each command gets each wrong value; those that fit may be done."""
    tried = 0
    for operation, path, example in commands_of(served):
        for field in example:
            for value in WRONG:
                tried += 1
                headers = {"Idempotency-Key": f"{operation}-{tried}"}
                body = {**example, field: value}
                answer = client.post(path, json=body, headers=headers)
                assert answer.status_code < 500, (operation, field, value)
                if answer.status_code != 200:
                    assert problem(answer)[0] in (400, 404, 409, 422)
    assert tried > 800


@pytest.mark.parametrize("path", LISTS)
def test_a_forged_cursor_is_refused(client: httpx.Client, path: str) -> None:
    too_long = cursor_of(path.strip("/"), *["x"] * 9)
    for cursor in (*CURSORS, too_long):
        answer = client.get(path, params={"cursor": cursor})
        assert problem(answer) == (400, "bad-cursor"), cursor


@pytest.mark.parametrize("depth", [700, 20_000])
@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_nested_deeply_is_no_cursor(
    client: httpx.Client, path: str, depth: int
) -> None:
    nested = base64.urlsafe_b64encode(b'["zones",' + b"[" * depth)
    answer = client.get(path, params={"cursor": nested.decode().rstrip("=")})
    assert answer.status_code in (400, 422)


def test_deep_nesting_of_a_cursor_is_caught_where_it_is_read() -> None:
    nested = base64.urlsafe_b64encode(b'["zones",' + b"[" * 20_000).decode().rstrip("=")
    assert kind_in(nested) == ""
    with pytest.raises(Problem, match="page of zones"):
        key_of("zones", nested, tuple[str], ("",))


def test_a_cursor_of_who_sees_more_shows_no_more(
    client: httpx.Client, caller_for: CallerFor
) -> None:
    """A cursor says where to go on, never what may be seen."""
    page = client.get("/service-sessions", params={"limit": 1}).json()
    assert page["next"]
    stranger: Caller = caller_for("cso", party="elsewhere")
    assert stranger.get("/service-sessions", cursor=page["next"])["items"] == []


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00Z", "1583-10-15T00:00:00Z", "1970-01-01T00:00:00Z", "0"],
)
def test_before_everything_there_is_nothing(client: httpx.Client, moment: str) -> None:
    for path in ("/zones", "/evses", "/service-sessions"):
        answer = client.get(path, params={"as_of": moment})
        assert (answer.status_code, answer.json()["items"]) == (200, []), path
    for path in ("/zones/garage", "/service-sessions/a"):
        assert client.get(path, params={"as_of": moment}).status_code == 404


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("9999-12-31T23:59:59Z", "invalid-parameter"),
        ("2100-01-01T00:00:00Z", "invalid-parameter"),
        ("999999999999", "position-ahead"),
        ("9" * 40, "invalid-parameter"),
        ("-1", "invalid-parameter"),
        ("NaN", "invalid-parameter"),
        ("\0", "invalid-parameter"),
    ],
)
def test_what_has_not_been_is_refused(
    client: httpx.Client, moment: str, code: str
) -> None:
    for path in ("/zones", "/zones/garage", "/service-sessions/a", "/plans/5"):
        answer = client.get(path, params={"as_of": moment})
        assert problem(answer) == (422, code), path
