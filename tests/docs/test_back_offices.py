"""docs/back-offices.md: a CSO's day at a site, as it stands."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.page import DOCS, Terminal, read_through, terminal

PAGE = DOCS / "back-offices.md"
STORE = ("--store", "sqlite:///depot")
ZONE = {"zone_id": "depot", "name": "Depot", "limit_w": 50_000, "safe_upper_w": 9_000}
EVSE = {
    "current": "AC",
    "phases": 3,
    "voltage_v": 230,
    "max_w": 11_040,
    "floor_w": 4_140,
}
STATION = {
    "station_id": "cs-1",
    "zone_id": "depot",
    "evses": [{"evse_id": f"DE*ABC*E10{n}", **EVSE} for n in (1, 2)],
}
KEYS: dict[str, dict[str, Any]] = {
    "OPERATOR": {"roles": ["operator"], "zones": ["*"]},
    "STATION": {"roles": ["station"], "stations": ["cs-1"]},
    "PARKING": {"roles": ["parking-operator"], "party": "park-co"},
}


def commission(shell: Terminal, home: Path) -> dict[str, str]:
    """Settle the page's site; return the keys of who else takes part."""
    shell.serve(*STORE, "--create")
    (first,) = (home / ".config" / "voltledger").glob("first-admin-*.key")
    admin = {"Authorization": f"Bearer {first.read_text().strip()}"}
    with httpx.Client(base_url=shell.here("http://127.0.0.1:8137/v1")) as client:

        def done(path: str, body: object, name: str) -> dict[str, str]:
            headers = {**admin, "Idempotency-Key": name}
            answer = client.post(path, json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            told: dict[str, str] = answer.json()
            return told

        done("/zones", ZONE, "zone")
        done("/stations", STATION, "station")
        return {
            name: done("/keys", {"label": name, **reach}, name)["key"]
            for name, reach in KEYS.items()
        }


@pytest.mark.skipif(not shutil.which("sh"), reason="the page needs a shell")
def test_the_page_runs_in_order_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with terminal(home) as shell:
        for name, key in commission(shell, home).items():
            monkeypatch.setenv(name, key)
        shell.stop_server()
        met = read_through(PAGE, shell, monkeypatch)
    assert met == {"sh", "python", "text"}
