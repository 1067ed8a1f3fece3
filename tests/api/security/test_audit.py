"""Audit and security log (7.9.4.6), at the socket: what is noted, who reads it."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from domain.model.access_events import CommandAudited
from domain.model.registry import encode
from domain.model.values import utc_day_of
from domain.store.store import LEDGER_FILE
from domain.store.verify import verify
from tests.api.conftest import KeyFor, Served

NEW_ZONE = {"zone_id": "yard", "name": "Yard", "limit_w": 9_000, "safe_upper_w": 1_000}
AGENT = "back-office/1.0"


@pytest.fixture
def admin(address: str, key_for: KeyFor) -> Iterator[httpx.Client]:
    headers = key_for("admin", zones=("*",)) | {"User-Agent": AGENT}
    with httpx.Client(base_url=address, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
def auditor(address: str, key_for: KeyFor) -> Iterator[httpx.Client]:
    headers = key_for("auditor", zones=("*",))
    with httpx.Client(base_url=address, headers=headers, timeout=20) as client:
        yield client


def post(client: httpx.Client, path: str, body: Any, **headers: str) -> httpx.Response:
    named = {"Idempotency-Key": "c1"} | headers
    return client.post(path, json=body, headers=named)


def noted(served: Served, auditor: httpx.Client, **params: str) -> list[dict[str, Any]]:
    """Return what the log says once everything noted so far is written."""
    served.security.close()
    served.runner.wait_for(served.system.log.last_position())
    items: list[dict[str, Any]] = auditor.get("/security/events", params=params).json()[
        "items"
    ]
    return items


@pytest.mark.requirement("7.9.4.6a")
def test_the_audit_says_who_did_what_for_whom_from_where(
    admin: httpx.Client, auditor: httpx.Client
) -> None:
    done = post(admin, "/zones", NEW_ZONE, **{"On-Behalf-Of": "Ms Example"})
    assert done.status_code == 200, done.text
    position = done.json()["position"]
    (entry,) = auditor.get("/audit", params={"after": position}).json()["items"]
    assert entry["position"] == position
    assert entry["actor"].startswith("key-")
    assert entry["roles"] == ["admin"]
    assert entry["permission"] == "zones.commission"
    assert entry["route"].startswith("POST ")
    assert entry["command_id"] == "c1"
    assert entry["origin"] == {
        "state": "open",
        "address": "127.0.0.1",
        "user_agent": AGENT,
        "on_behalf_of": "Ms Example",
        "path": "",
    }


@pytest.mark.requirement("7.9.4.6a")
def test_a_changed_configuration_is_a_security_event(
    admin: httpx.Client, auditor: httpx.Client, served: Served
) -> None:
    assert post(admin, "/zones", NEW_ZONE).status_code == 200
    (entry,) = noted(served, auditor, kind="configuration-changed")
    assert entry["detail"] == "zones.commission"
    assert entry["origin"]["address"] == "127.0.0.1"


@pytest.mark.requirement("7.9.4.6a")
def test_logins_good_and_bad_are_security_events(
    admin: httpx.Client, auditor: httpx.Client, served: Served
) -> None:
    for _ in range(3):
        assert admin.get("/zones").status_code == 200
    httpx.get(f"{admin.base_url}zones")
    httpx.get(f"{admin.base_url}zones", headers={"Authorization": "Bearer wrong"})
    entries = noted(served, auditor)
    kinds = [entry["kind"] for entry in entries]
    assert kinds.count("no-credentials") == 1
    assert kinds.count("wrong-credentials") == 1
    actors = [entry["actor"] for entry in entries if entry["kind"] == "login"]
    assert len(actors) == len(set(actors)) == 1, "three requests are one login"
    (wrong,) = [entry for entry in entries if entry["kind"] == "wrong-credentials"]
    assert wrong["origin"]["address"] == "127.0.0.1"
    assert wrong["origin"]["path"] == "/v1/zones"


@pytest.mark.requirement("7.9.4.6a")
@pytest.mark.parametrize(
    ("body", "headers", "detail"),
    [
        (b"{", {}, "faulty-message"),
        (b"{}", {"Content-Digest": "sha-256=:AAAA:"}, "digest-mismatch"),
    ],
)
def test_a_faulty_message_is_a_security_event(
    admin: httpx.Client,
    auditor: httpx.Client,
    served: Served,
    body: bytes,
    headers: dict[str, str],
    detail: str,
) -> None:
    headers = headers | {"Idempotency-Key": "c", "Content-Type": "application/json"}
    assert admin.post("/zones", content=body, headers=headers).status_code == 400
    (entry,) = noted(served, auditor, kind="faulty-message")
    assert entry["detail"] == detail
    assert entry["route"].endswith("/zones")
    assert served.security.counts()["faulty-message"] == 1


@pytest.mark.requirement("7.9.4.6b")
def test_counters_count_by_kind_and_day(
    admin: httpx.Client, auditor: httpx.Client, served: Served
) -> None:
    for _ in range(7):
        httpx.get(f"{admin.base_url}zones", headers={"Authorization": "Bearer wrong"})
    for _ in range(2):
        httpx.get(f"{admin.base_url}zones")
    noted(served, auditor)
    items = auditor.get("/security/counters").json()["items"]
    counted = {item["kind"]: item["count"] for item in items}
    assert counted["wrong-credentials"] == 7
    assert counted["no-credentials"] == 2
    assert {item["day"] for item in items} == {utc_day_of(served.clock.now())}


@pytest.mark.requirement("7.9.4.6c")
@pytest.mark.parametrize("role", ["admin", "operator", "analyst", "integrator", "cso"])
def test_nobody_but_an_auditor_reads_the_logs(
    address: str, key_for: KeyFor, role: str
) -> None:
    headers = key_for(role, party="fleet", zones=("*",))
    for path in ("/audit", "/security/events", "/security/counters"):
        assert httpx.get(f"{address}{path}", headers=headers).status_code == 403


@pytest.mark.requirement("7.9.4.6c")
def test_an_actor_is_whose_credentials_were_given_whatever_the_headers_say(
    admin: httpx.Client, auditor: httpx.Client
) -> None:
    spoofed = {
        "X-Actor": "somebody",
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "X-Real-IP": "203.0.113.9",
    }
    done = post(admin, "/zones", NEW_ZONE, **spoofed)
    params = {"after": done.json()["position"]}
    (entry,) = auditor.get("/audit", params=params).json()["items"]
    own = str(admin.headers["authorization"]).split(".")[1]
    assert entry["actor"] == f"key-{own}"
    assert entry["origin"]["address"] == "127.0.0.1"


@pytest.mark.requirement("7.9.4.6c")
def test_an_audit_row_that_was_changed_is_found(
    admin: httpx.Client, served: Served, tmp_path: Any
) -> None:
    done = post(admin, "/zones", NEW_ZONE)
    folder = tmp_path / "store"
    ledger = folder / LEDGER_FILE
    position = done.json()["position"]
    (row,) = served.system.log.read(after=position - 1, limit=1)
    assert isinstance(row.event, CommandAudited)
    other = msgspec.structs.replace(row.event, actor="key-somebody-else")
    db = sqlite3.connect(ledger)
    with db:
        db.execute(
            "UPDATE rows SET state = ? WHERE position = ?", (encode(other), position)
        )
    db.close()
    report = verify(folder)
    assert not report.is_intact
    assert [broken.position for broken in report.broken] == [position]


def test_the_audit_is_filtered_and_paged(
    admin: httpx.Client, auditor: httpx.Client, served: Served
) -> None:
    for n in range(5):
        body = NEW_ZONE | {"zone_id": f"yard-{n}"}
        done = post(admin, "/zones", body, **{"Idempotency-Key": f"c{n}"})
    last = done.json()["position"]
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        params: dict[str, Any] = {"limit": 2, "cursor": cursor, "after": last}
        page = auditor.get("/audit", params=params).json()
        found += [entry["command_id"] for entry in page["items"]]
        cursor = page["next"]
    assert found == ["c4", "c3", "c2", "c1", "c0"]

    def count(**params: str) -> int:
        return len(auditor.get("/audit", params=params).json()["items"])

    assert count(permission="zones.commission") == 5
    assert count(permission="keys.keep") == 0
    assert count(actor="nobody") == 0
    assert count(from_at="2019-01-01T00:00:00Z") == 5
    assert count(from_at="2030-01-01T00:00:00Z") == 0
    assert count(until_at="2019-01-01T00:00:00Z") == 0
    assert count(until_at="2030-01-01T00:00:00Z") == 5


def test_an_origin_is_gone_when_its_days_key_is_destroyed(
    auditor: httpx.Client, served: Served
) -> None:
    httpx.get(f"{auditor.base_url}zones")
    noted(served, auditor)
    day = utc_day_of(served.clock.now())
    served.system.vault.destroy(f"origins-{day}")
    params = {"kind": "no-credentials"}
    (entry,) = auditor.get("/security/events", params=params).json()["items"]
    assert entry["origin"]["state"] == "erased"
    assert entry["origin"]["address"] == ""
