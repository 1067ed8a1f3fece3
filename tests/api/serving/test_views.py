"""What HTTP gives to readers of views: HEAD, ETags, gzip."""

import httpx
import pytest

from tests.api.conftest import BEARER

pytestmark = pytest.mark.anyio


async def test_a_view_that_did_not_change_is_not_sent_again(
    client: httpx.AsyncClient,
) -> None:
    first = await client.get("/zones")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    assert "Authorization" in first.headers["vary"]
    for told in (tag, f'"x", {tag}', "*"):
        again = await client.get("/zones", headers={"If-None-Match": told})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert "content-length" not in again.headers
    other = await client.get("/zones", headers={"If-None-Match": '"x"'})
    assert (other.status_code, other.json()) == (200, first.json())
    assert (await client.get("/evses")).headers["etag"] != tag


async def test_problems_and_commands_have_no_etag(client: httpx.AsyncClient) -> None:
    assert "etag" not in (await client.get("/zones/nowhere")).headers
    posted = await client.post("/zones", json={})
    assert "etag" not in posted.headers


async def test_long_views_are_packed_for_who_takes_it(
    client: httpx.AsyncClient,
) -> None:
    packed = await client.get("/events")
    assert packed.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["vary"]
    plain = await client.get("/events", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == packed.json()
    assert plain.headers["etag"] == packed.headers["etag"]
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    short = await client.get("/health")
    assert "content-encoding" not in short.headers


async def test_head_is_answered_as_get_without_the_body(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, headers=BEARER) as client:
        for path in ("/zones", "/health", "/openapi.json", "/nothing", "/events"):
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")
            for name in ("content-type", "content-length", "etag"):
                assert head.headers.get(name) == got.headers.get(name), (path, name)
        feed = await client.head("/events/feed")
        assert feed.headers["content-type"].startswith("text/event-stream")
