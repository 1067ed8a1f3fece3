"""Several tenants in one server: each has its own store, and keys for nothing else."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from api.security.keys import parts_of
from domain.store.master_key import KEY_FILE
from tests.api.small_day import run
from tests.api.test_cli_serve import Server, key_file, serving

ZONE: dict[str, Any] = {
    "zone_id": "yard",
    "name": "Yard",
    "limit_w": 9_000,
    "safe_upper_w": 1_000,
}


def asking(server: Server, key: str, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{server.address}/v1{path}", headers=headers)


def first_key(folder: Path, tenant: str) -> str:
    (path,) = folder.glob(f"first-admin-{tenant}-*.key")
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text().strip()


@pytest.mark.requirement("7.9.4.5")
def test_a_tenants_key_opens_its_own_store_and_no_other(tmp_path: Path) -> None:
    environment = key_file(tmp_path / "key", 1)
    other = f"depot=sqlite:///{tmp_path / 'depot'}"
    options = ["--create", "--tenant", other]
    with serving(tmp_path / "live", *options, environment=environment) as server:
        ours, theirs = first_key(tmp_path, "main"), first_key(tmp_path, "depot")
        done = httpx.post(
            f"{server.address}/v1/zones",
            json=ZONE,
            headers={"Authorization": f"Bearer {theirs}", "Idempotency-Key": "z"},
        )
        assert done.status_code == 200, done.text
        after = f"?after={done.json()['position']}"
        found = asking(server, theirs, f"/zones{after}").json()["items"]
        assert [zone["zone_id"] for zone in found] == ["yard"]
        assert asking(server, ours, "/zones").json()["items"] == []
        assert asking(server, ours, "/zones/yard").status_code == 404
        parts = parts_of(theirs)
        assert parts is not None
        renamed = f"vl_main.{parts.key_id}.{parts.secret}"
        assert asking(server, renamed, "/zones").status_code == 401
        keys = asking(server, ours, "/keys").text
        assert parts.key_id not in keys


def test_the_first_key_is_made_once_and_never_printed(tmp_path: Path) -> None:
    environment = key_file(tmp_path / "key", 1)
    store = tmp_path / "live"
    with serving(store, "--create", environment=environment) as server:
        key = first_key(tmp_path, "main")
        assert server.get("/keys").status_code == 200
        assert key not in server.said
        server.process.terminate()
        noted = server.ended()
        assert "first-admin-main" in noted
        assert key not in noted
    with serving(store, environment=environment) as server:
        assert "$VOLTLEDGER_KEY" in server.said
        assert asking(server, key, "/keys").status_code == 200
    assert first_key(tmp_path, "main") == key


@pytest.mark.parametrize(
    "tenant", ["depot", "=sqlite:///x", "Depot=sqlite:///x", "main=sqlite:///x"]
)
def test_a_tenant_without_a_good_name_is_refused(tmp_path: Path, tenant: str) -> None:
    store = f"sqlite:///{tmp_path / 'live'}"
    result = run("serve", "--store", store, "--create", "--tenant", tenant)
    assert result.exit_code == 2
    assert "tenant" in result.stderr


def test_keys_are_issued_listed_and_revoked_on_a_store_no_server_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = key_file(tmp_path / "key", 1)
    monkeypatch.setenv(KEY_FILE, environment[KEY_FILE])
    store = f"sqlite:///{tmp_path / 'live'}"
    with serving(tmp_path / "live", "--create", environment=environment):
        issue = ("keys", "issue", "--store", store, "--label", "Fleet")
        refused = run(*issue, "--role", "cso", "--party", "fleet")
        assert refused.exit_code == 3
        assert "POST /v1/keys" in refused.stderr
        assert run("keys", "list", "--store", store).exit_code == 0
    issued = run(*issue, "--role", "cso", "--party", "fleet")
    assert issued.exit_code == 0, issued.stderr
    parts = parts_of(issued.stdout.strip())
    assert parts is not None
    no_party = run(*issue, "--role", "cso")
    assert (no_party.exit_code, "party" in no_party.stderr) == (2, True)
    listed = run("keys", "list", "--store", store)
    assert parts.key_id in listed.stdout
    assert parts.secret not in listed.stdout
    with serving(tmp_path / "live", environment=environment) as server:
        answer = asking(server, issued.stdout.strip(), "/service-sessions")
        assert answer.status_code == 200
    revoke = ("keys", "revoke", parts.key_id, "--store", store, "--reason", "lost")
    assert run(*revoke).exit_code == 0
    assert run(*revoke).exit_code == 2
    assert "revoked: lost" in run("keys", "list", "--store", store).stdout
    with serving(tmp_path / "live", environment=environment) as server:
        answer = asking(server, issued.stdout.strip(), "/service-sessions")
        assert answer.status_code == 401
