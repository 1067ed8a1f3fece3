"""7.3 Commissioning over HTTP."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

ZONE = {"zone_id": "yard", "name": "Yard", "limit_w": 50_000, "safe_upper_w": 9_000}


async def test_a_zone_is_defined_once_and_answered_twice(
    client: httpx.AsyncClient,
) -> None:
    key = {"Idempotency-Key": "z1"}
    first = await client.post("/zones", json=ZONE, headers=key)
    assert first.status_code == 200, first.text
    again = await client.post("/zones", json=ZONE, headers=key)
    assert again.json() == {**first.json(), "repeated": True}
    zone = await client.get("/zones/yard", params={"after": first.json()["position"]})
    assert zone.json()["limit_w"] == 50_000
    other = await client.post("/zones", json={**ZONE, "name": "x"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    events = await client.get("/events", params={"type": "command.audited"})
    assert len(events.json()["items"]) == 1
