"""How often: a key that asks, an address that guesses; at the socket."""

from collections.abc import Iterator

import httpx
import pytest

from api.errors import Problem
from api.security.rate_limits import FAILURES_PER_MINUTE, RateLimits
from tests.api.conftest import KeyFor, Served


@pytest.fixture
def at_socket(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20) as client:
        yield client


def test_a_key_that_asks_too_often_is_told_when_to_come_back(
    at_socket: httpx.Client, key_for: KeyFor, served: Served
) -> None:
    busy = key_for("operator", zones=("*",), rate_per_minute=5)
    other = key_for("operator", zones=("*",))
    answers = [at_socket.get("/zones", headers=busy) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
    last = answers[-1]
    assert last.json()["code"] == "too-many-requests"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.headers["ratelimit-limit"] == "5"
    assert last.headers["ratelimit-remaining"] == "0"
    assert at_socket.get("/zones", headers=other).status_code == 200
    assert served.security.counts()["rate-limited"] == 3


@pytest.mark.requirement("7.9.4.6b")
def test_a_thousand_guesses_of_a_key_are_limited_and_counted(
    at_socket: httpx.Client, key_for: KeyFor, served: Served
) -> None:
    good = key_for("operator", zones=("*",))
    before = served.system.log.last_position()
    statuses = [
        at_socket.get(
            "/zones", headers={"Authorization": f"Bearer vl_main.guess.{n}"}
        ).status_code
        for n in range(1_000)
    ]
    assert statuses.count(401) == FAILURES_PER_MINUTE
    assert statuses.count(429) == 1_000 - FAILURES_PER_MINUTE
    assert served.security.counts()["wrong-credentials"] == 1_000
    # Who has a key is not kept out by who guesses from the same address.
    assert at_socket.get("/zones", headers=good).status_code == 200
    served.security.close()
    rows = served.system.log.read(after=before, limit=1_000)
    assert len(rows) < 10, "a flood is counted, not stored row by row"
    counted = {
        row.event.kind: row.event.count  # type: ignore[union-attr]
        for row in rows
        if row.type == "security.counted"
    }
    assert counted["wrong-credentials"] == 999


def test_addresses_of_one_ipv6_network_share_what_they_may_fail() -> None:
    limits = RateLimits(failures_per_minute=3)
    for n in range(3):
        limits.check_failure(f"2001:db8::{n}")
    with pytest.raises(Problem):
        limits.check_failure("2001:db8::ffff")
    limits.check_failure("2001:db8:0:1::1")


def test_no_number_of_addresses_takes_more_memory_than_a_bound() -> None:
    limits = RateLimits(failures_per_minute=3)
    for n in range(10_010):
        try:
            limits.check_failure(f"10.0.{n // 250}.{n % 250}")
        except Problem:
            break
    else:
        raise AssertionError("those beyond the bound share no limit")
    limits.check_failure("10.0.0.1")
