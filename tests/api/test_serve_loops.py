"""A live server runs the loops of its zones."""

import time
from pathlib import Path

from api.compose import SystemIds, WallClock
from domain.model.values import Current
from domain.ports import System
from domain.store.master_key import load
from domain.store.store import Store
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.e1_smart_charging import PlugEv, plug_ev
from domain.use_cases.shared_path import By
from tests.api.test_cli_serve import key_file, serving

EVSE = "DE*VLT*E1"


def plugged_store(folder: Path, key: bytes) -> None:
    clock, ids = WallClock(), SystemIds()
    with Store(folder, clock=clock, ids=ids, master_key=key) as store:
        system = System(store.log, store.samples, store.vault, clock, ids)
        by = By(actor="operator", at=clock.now())
        zone = DefineZone(
            zone_id="yard", name="yard", limit_w=50_000, safe_upper_w=9_000
        )
        define_zone(system, zone, by)
        evse = EvseData(
            evse_id=EVSE,
            current=Current.AC,
            phases=3,
            voltage_v=230,
            max_w=11_040,
            floor_w=4_140,
        )
        command = CommissionStation(station_id="s1", zone_id="yard", evses=(evse,))
        commission_station(system, command, by)
        plug_ev(system, PlugEv(evse_id=EVSE), By(actor="s1", at=clock.now()))


def test_a_server_plans_for_the_ev_it_finds_plugged(tmp_path: Path) -> None:
    environment = key_file(tmp_path / "key", 1)
    plugged_store(tmp_path / "live", load(environment).key)
    with serving(tmp_path / "live", "--no-ocpp", environment=environment) as server:
        deadline = time.monotonic() + 20
        plans: list[dict[str, object]] = []
        while not plans and time.monotonic() < deadline:
            plans = server.get("/plans").json()["items"]
            time.sleep(0.1)
        aetp = server.get("/zones/yard/aetp").json()
        metrics = server.get("/operation").json()["loop"]
        sent = server.get("/events?type=etp.").json()["items"]
    assert plans
    # No PRE was ever set: the safe envelope holds.
    assert "9000" in str(aetp)
    assert metrics["running"] == 1
    assert metrics["plans"] >= 1
    # No station can connect, so nothing is recorded as sent.
    assert sent == []
