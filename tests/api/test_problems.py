"""Bad input is answered with a problem that names value and rule, never with 5xx."""

from typing import Any

import httpx
import pytest

from api.rest.reading import cursor_of
from domain.errors import ChainBroken
from tests.api.conftest import Served
from tests.projections.small_site import ZONE

pytestmark = pytest.mark.anyio

BAD = [
    # unknown ids
    ("/zones/nowhere", 404, "unknown-zone", "nowhere"),
    ("/zones/nowhere/pre", 404, "unknown-zone", "nowhere"),
    ("/zones/nowhere/aetp", 404, "unknown-zone", "nowhere"),
    ("/zones/nowhere/etps", 404, "unknown-zone", "nowhere"),
    ("/evses/DE*ABC*E9", 404, "unknown-evse", "DE*ABC*E9"),
    ("/service-sessions/%00", 404, "unknown-session", "x00"),
    ("/plans/1", 404, "unknown-plan", "1"),
    ("/key-figures?zone_id=nowhere", 404, "unknown-zone", "nowhere"),
    ("/nothing", 404, "unknown-path", "/v1/nothing"),
    ("/zones/", 404, "unknown-path", "/v1/zones/"),
    ("/zones/%FF%FE", 404, "unknown-zone", "there is no"),
    ("/evses?zone_id=%ED%A0%80&state=x", 422, "invalid-parameter", "x"),
    # limits and positions
    ("/zones?limit=0", 422, "invalid-parameter", "limit"),
    ("/zones?limit=5000", 422, "invalid-parameter", "5000"),
    ("/zones?limit=NaN", 422, "invalid-parameter", "NaN"),
    ("/zones?limit=1e2", 422, "invalid-parameter", "1e2"),
    ("/zones?after=-1", 422, "invalid-parameter", "-1"),
    (f"/zones?after={1 << 70}", 422, "invalid-parameter", str(1 << 70)),
    ("/zones?after=999999", 422, "position-ahead", "999999"),
    ("/plans/none", 422, "invalid-parameter", "none"),
    (f"/plans/{1 << 70}", 422, "invalid-parameter", str(1 << 70)),
    # filters
    ("/evses?state=broken", 422, "invalid-parameter", "broken"),
    ("/events?type=zonk.", 422, "invalid-parameter", "zonk."),
    ("/evses?zone=garage", 422, "unknown-parameter", "zone"),
    ("/evses?limit=1&limit=2", 422, "unknown-parameter", "limit"),
    ("/operation?x=1", 422, "unknown-parameter", "x"),
    # cursors
    ("/zones?cursor=%20", 400, "bad-cursor", "zones"),
    ("/zones?cursor=garbage", 400, "bad-cursor", "garbage"),
    ("/zones?cursor=%C3%A4", 400, "bad-cursor", "zones"),
    (f"/zones?cursor={cursor_of('evses', 'x')}", 400, "bad-cursor", "zones"),
    (f"/plans?cursor={cursor_of('plans', 'x')}", 400, "bad-cursor", "plans"),
    (f"/plans?cursor={cursor_of('plans', 1 << 70)}", 400, "bad-cursor", "plans"),
    (f"/plans?cursor={cursor_of('plans')}", 400, "bad-cursor", "plans"),
    (f"/events?cursor={cursor_of('events', 3)}&after=2", 422, "invalid-parameter", "2"),
    ("/zones?cursor=WyJ6b25lcyIsWyJcdWQ4MDAiXV0", 400, "bad-cursor", "zones"),
    # instants
    (f"/zones/{ZONE}/pre?valid_at=noon", 422, "invalid-parameter", "noon"),
    (
        f"/zones/{ZONE}/pre?valid_at=2019-10-29T08:00:00",
        422,
        "invalid-parameter",
        "08:00:00",
    ),
    (f"/zones/{ZONE}/pre?valid_at=NaN", 422, "invalid-parameter", "NaN"),
    (
        f"/zones/{ZONE}/pre?valid_at=99999-01-01T00:00:00Z",
        422,
        "invalid-parameter",
        "99999",
    ),
]


@pytest.mark.parametrize(("path", "status", "code", "named"), BAD)
async def test_bad_input_is_a_problem_that_names_it(
    client: httpx.AsyncClient, path: str, status: int, code: str, named: str
) -> None:
    problem = await problem_of(client, path, status, code)
    assert named in problem["detail"]


async def problem_of(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> Any:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"urn:voltledger:problem:{code}"
    assert problem["instance"].startswith("/v1/")
    if status == 422:
        assert problem["errors"][0]["rule"]
    return problem


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_what_can_only_be_read_is_not_changed(
    client: httpx.AsyncClient, method: str
) -> None:
    answer = await client.request(method, "/key-figures")
    assert answer.status_code == 405
    assert answer.json()["code"] == "method-not-allowed"
    assert answer.headers["allow"] == "GET, HEAD"


async def test_all_methods_of_a_path_are_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.put("/zones")
    assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_a_bad_last_event_id_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/events/feed", headers={"Last-Event-ID": "x1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-parameter")
    assert "x1" in answer.json()["detail"]


async def test_a_store_that_cannot_be_read_is_503(
    client: httpx.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ChainBroken("position 3 is not the row that was written")

    log = type(served.system.log)
    monkeypatch.setattr(log, "last_position", broken)
    monkeypatch.setattr(log, "read", broken)
    answer = await client.get("/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")
    health = await client.get("/health")
    assert health.status_code == 503
    assert health.json() == {"status": "degraded"}
    operation = await client.get("/operation")
    assert operation.json()["store"]["state"] == "unreadable"


async def test_a_mistake_of_ours_says_nothing_of_its_cause(
    client: httpx.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("token 04AABBCCDD")

    monkeypatch.setattr(
        type(served.app.state.tenants["main"].models.zones), "page", broken
    )
    answer = await client.get("/zones")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "04AABBCCDD" not in answer.text
