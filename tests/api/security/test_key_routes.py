"""Keys over HTTP (7.9.4.5), at the socket: issued, listed, revoked, never elevated."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import KeyFor, Served
from tests.projections.small_site import ZONE

BACK_OFFICE = {"label": "Back office", "roles": ["cso"], "party": "fleet"}


@pytest.fixture
def admin(address: str, key_for: KeyFor) -> Iterator[httpx.Client]:
    headers = key_for("admin", zones=("*",))
    with httpx.Client(base_url=address, headers=headers, timeout=20) as client:
        yield client


def issue(client: httpx.Client, body: Any, name: str = "k1") -> httpx.Response:
    return client.post("/keys", json=body, headers={"Idempotency-Key": name})


def bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['key']}"}


@pytest.mark.requirement("7.9.4.2")
def test_a_key_is_issued_used_and_revoked(admin: httpx.Client) -> None:
    issued = issue(admin, BACK_OFFICE)
    assert issued.status_code == 200, issued.text
    holder = bearer(issued)
    assert admin.get("/service-sessions", headers=holder).status_code == 200
    key_id = issued.json()["key_id"]
    revoked = admin.post(
        f"/keys/{key_id}/revocation",
        json={"reason": "lost"},
        headers={"Idempotency-Key": "r1"},
    )
    assert revoked.status_code == 200, revoked.text
    assert admin.get("/service-sessions", headers=holder).status_code == 401
    (listed,) = [
        k for k in admin.get("/keys").json()["items"] if k["label"] != "of a test"
    ]
    assert (listed["key_id"], listed["state"]) == (key_id, "revoked")
    assert listed["revoked_reason"] == "lost"


def test_a_repeated_request_does_not_show_the_key_again(admin: httpx.Client) -> None:
    first = issue(admin, BACK_OFFICE)
    again = issue(admin, BACK_OFFICE)
    assert again.status_code == 200
    assert again.json()["key"] is None
    assert again.json()["repeated"] is True
    assert again.json()["key_id"] == first.json()["key_id"]
    assert "revoke it" in again.json()["note"]
    other = issue(admin, BACK_OFFICE | {"party": "other"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.requirement("7.9.4.5")
def test_a_key_opens_what_its_role_and_reach_say_and_no_more(
    admin: httpx.Client,
) -> None:
    body = {"label": "RM", "roles": ["resource-manager"], "zones": [ZONE]}
    holder = bearer(issue(admin, body))
    assert admin.get(f"/zones/{ZONE}", headers=holder).status_code == 200
    for path in ("/service-sessions", "/keys", "/audit", "/events", "/key-figures"):
        answer = admin.get(path, headers=holder)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


@pytest.mark.requirement("7.9.4.5")
@pytest.mark.parametrize("role", ["operator", "analyst", "integrator", "auditor"])
def test_nobody_but_an_administrator_issues_keys(
    address: str, key_for: KeyFor, role: str
) -> None:
    wanted = {"label": "me", "roles": ["admin"], "zones": ["*"]}
    headers = key_for(role, zones=("*",))
    with httpx.Client(base_url=address, headers=headers, timeout=20) as client:
        assert issue(client, wanted).status_code == 403


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"label": "x", "roles": ["root"]}, "root"),
        ({"label": "x", "roles": ["cso"]}, "party"),
        ({"label": "x", "roles": ["admin"], "zones": [ZONE]}, "whole tenant"),
        ({"label": "x", "roles": ["operator"]}, "zones or stations"),
        ({"label": " ", "roles": ["operator"], "zones": ["*"]}, "label"),
        (
            {
                "label": "x",
                "roles": ["operator"],
                "zones": ["*"],
                "expires_at": "2019-01-01T00:00:00Z",
            },
            "expired",
        ),
        (
            {"label": "x", "roles": ["operator"], "zones": ["*"], "digest": "0"},
            "digest",
        ),
    ],
)
def test_a_key_that_cannot_be_is_refused(
    admin: httpx.Client, body: dict[str, Any], said: str
) -> None:
    answer = issue(admin, body)
    assert answer.status_code == 422
    assert said in answer.text


def test_a_key_for_an_unknown_zone_is_refused(admin: httpx.Client) -> None:
    body = {"label": "x", "roles": ["operator"], "zones": ["elsewhere"]}
    answer = issue(admin, body)
    assert answer.status_code == 404
    assert "elsewhere" in answer.text


def test_an_unknown_key_cannot_be_revoked(admin: httpx.Client) -> None:
    answer = admin.post(
        "/keys/nobody/revocation",
        json={"reason": "lost"},
        headers={"Idempotency-Key": "r"},
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-key")


def test_keys_are_listed_in_pages(admin: httpx.Client, served: Served) -> None:
    for n in range(4):
        assert issue(admin, BACK_OFFICE, f"k{n}").status_code == 200
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = admin.get("/keys", params={"limit": 2, "cursor": cursor}).json()
        found += [key["key_id"] for key in page["items"]]
        cursor = page["next"]
    assert found == sorted(found)
    assert len(found) == 5
    assert "digest" not in admin.get("/keys").text
