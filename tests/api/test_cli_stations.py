"""``voltledger stations`` on a live store: seen always, kept where no server has it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from api.compose import open_log, open_service
from domain.model import ids
from domain.model import plan_events as p
from domain.model import station_events as t
from domain.model.access_events import CommandAudited
from domain.model.profile import PowerProfile
from domain.model.values import Quality
from domain.ports import Append, Batch, System
from domain.store.master_key import KEY_FILE
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    commission_station,
    define_zone,
)
from domain.use_cases.clause_7_3_stations import digest_of
from domain.use_cases.shared_path import By
from tests.api.small_day import Ran, run, sessions_file, simulate
from tests.use_cases.small_site import evse_data

EVSE = "DE*ABC*E1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A live store with one station in a zone, that no server has."""
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    monkeypatch.setenv(KEY_FILE, str(key))
    with open_service(tmp_path / "live", {KEY_FILE: str(key)}) as service:
        settle(service.system)
    return tmp_path / "live"


def settle(system: System) -> None:
    by = By(actor="settler", at=system.clock.now())
    zone = DefineZone(zone_id="yard", name="Yard", limit_w=50_000, safe_upper_w=9_000)
    define_zone(system, zone, by)
    station = CommissionStation(
        station_id="cs-1", zone_id="yard", evses=(evse_data(EVSE),)
    )
    commission_station(system, station, by)


def of(folder: Path, *arguments: object) -> Result:
    command, *more = arguments
    return run("stations", command, "--store", f"sqlite:///{folder}", *more)


def shown(folder: Path, station_id: str = "cs-1") -> dict[str, Any]:
    result = of(folder, "show", station_id, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.requirement("7.9.4.2")
def test_a_station_is_registered_and_its_password_printed_this_once(
    folder: Path,
) -> None:
    result = of(folder, "register", "cs-1", "--profile", 1, "--identity", "CS-0001")
    assert result.exit_code == 0, result.stderr
    password = result.stdout.strip()
    with open_log(folder) as log:
        rows = log.read(after=0, limit=1_000)
    (event,) = (r.event for r in rows if isinstance(r.event, t.StationRegistered))
    assert (event.identity, event.password_digest) == ("CS-0001", digest_of(password))
    assert password not in of(folder, "show", "cs-1", "--json").stdout
    (audited,) = (r.event for r in rows if isinstance(r.event, CommandAudited))
    assert audited.permission == "stations.keep"
    assert audited.route == "voltledger stations register"


def test_a_station_is_kept_by_commands(folder: Path) -> None:
    certificate = ("--profile", 3, "--certificate", "cs-1.example")
    by_certificate = of(folder, "register", "cs-1", *certificate)
    assert (by_certificate.exit_code, by_certificate.stdout) == (0, "")
    assert shown(folder)["identity"] == "cs-1"
    again = of(folder, "credentials", "cs-1", "--profile", 2)
    assert len(again.stdout.strip()) == 40
    assert shown(folder)["security_profile"] == 2
    tolerated = of(folder, "deviations", "cs-1", "--deviation", "null-member")
    assert tolerated.stdout == "cs-1: 1 deviations are tolerated\n"
    assert shown(folder)["deviations"] == ["null-member"]
    asked = of(folder, "availability", "cs-1", "--inoperative", "--evse", EVSE)
    assert (asked.exit_code, EVSE in asked.stdout) == (0, True), asked.stderr
    assert of(folder, "availability", "cs-1", "--operative").exit_code == 0
    kinds = [(a["kind"], a["evse_id"]) for a in shown(folder)["activities"]]
    assert kinds == [("change-availability", EVSE), ("change-availability", "")]
    for command, standing in (
        ("block", "blocked"),
        ("unblock", "accepted"),
        ("retire", "retired"),
    ):
        assert of(folder, command, "cs-1", "--reason", "so it is").exit_code == 0
        assert shown(folder)["standing"] == standing
    refused = of(folder, "block", "cs-1", "--reason", "x")
    assert (refused.exit_code, "was retired" in refused.stderr) == (2, True)


def test_what_cannot_be_is_answered_with_one_line_and_the_code_of_bad_input(
    folder: Path,
) -> None:
    for arguments, says in (
        (("show", "none"), "there is no station 'none'"),
        (("block", "cs-1", "--reason", "x"), "was never registered"),
        (("register", "cs-1", "--profile", 3), "certificate"),
        (("register", "cs-1", "--profile", 1, "--deviation", "x"), "deviation 'x'"),
    ):
        result = of(folder, *arguments)
        assert result.exit_code in (1, 2), arguments
        assert says in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert run("stations").exit_code == 2


def test_while_a_server_has_the_store_stations_are_seen_and_not_changed(
    folder: Path,
) -> None:
    of(folder, "register", "cs-1", "--profile", 1)
    with open_service(folder) as service:
        assert service.models.runner.wait_for(service.system.log.last_position())
        assert shown(folder)["standing"] == "accepted"
        refused = of(folder, "block", "cs-1", "--reason", "x")
        assert refused.exit_code == 3
        assert "POST /v1/stations" in refused.stderr


def told(system: System) -> None:
    """Let the station connect, boot, not follow an ETP, and say nonsense."""
    now = system.clock.now()
    profile = PowerProfile(now, ((0, 4_000),))
    connectivity = (
        t.StationConnected("cs-1", "2.0.1", 1),
        t.StationBooted("cs-1", "Accepted", "PowerUp", "Acme", "One", "1.2"),
        t.StationClockMeasured("cs-1", -90_000),
        t.StationCapabilities("cs-1", "2.0.1", unit="W", max_periods=24),
        t.StationStatusReported("cs-1", 1, 1, "Occupied"),
        t.StationMessageKept("cs-1", "MeterValues", Quality.UNREADABLE, "TYPE"),
        t.StationTransactionReported("cs-1", EVSE, "tx-1", "started", state="charging"),
        t.LimitReported("cs-1", "", "EMS", profile),
    )
    delivery = (
        p.EtpSent(EVSE, 1, profile),
        p.EtpAccepted(EVSE, 1),
        t.EtpNotFollowed(EVSE, 1, 7_000),
    )
    system.log.append(
        Batch(
            appends=(
                Append(ids.connectivity_stream("cs-1", now), connectivity, now),
                Append(ids.delivery_stream("cs-1", now), delivery, now),
            )
        )
    )


def test_all_stations_are_listed_on_lines_that_are_not_cut(folder: Path) -> None:
    of(folder, "register", "cs-1", "--profile", 1)
    with open_service(folder) as service:
        told(service.system)
    store = f"sqlite:///{folder}"
    result = run("stations", "--store", store)
    assert result.exit_code == 0, result.stderr
    head, _, line = [x for x in result.stdout.splitlines() if x.strip()]
    assert head.split()[:4] == ["station", "zone", "version", "standing"]
    cells = line.split()
    assert cells[:5] == ["cs-1", "yard", "2.0.1", "accepted", "connected"]
    assert cells[6:8] == ["-90.0", "s"]
    assert cells[-6:] == ["1", "1", "0", "1", "0", "1"]
    assert of(folder, "list", "--zone", "yard").stdout == result.stdout
    assert of(folder, "list", "--zone", "x").stdout == "there are no stations\n"
    listed = json.loads(of(folder, "list", "--json").stdout)["stations"]
    assert [found["station_id"] for found in listed] == ["cs-1"]


def test_one_station_is_shown_with_all_that_is_known(folder: Path) -> None:
    of(folder, "register", "cs-1", "--profile", 1)
    with open_service(folder) as service:
        told(service.system)
    text = of(folder, "show", "cs-1").stdout
    for said in (
        "Acme One 1.2",
        "W, 24 periods",
        "TYPE 1",
        "EVSE 1, connector 1: Occupied",
        f"transaction tx-1 at {EVSE}: charging",
        "limit by EMS on the whole station",
        " NO ",
    ):
        assert said in text


def test_the_stations_of_a_simulated_day_are_seen(tmp_path: Path) -> None:
    ran: Ran = simulate(
        sessions_file(tmp_path), tmp_path / "out", "--strategy", "voltledger"
    )
    result = run("stations", "--store", ran.store(), "--json")
    assert result.exit_code == 0, result.stderr
    stations = json.loads(result.stdout)["stations"]
    assert sum(evse["sent"] for s in stations for evse in s["evses"]) > 0
