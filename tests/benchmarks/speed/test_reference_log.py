"""A reference log of two zones for a few hours has what a long one promises."""

from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.speed import projections, reference_log, server_start
from benchmarks.speed.reference_log import Made, make
from benchmarks.system_factory import DEFAULT, system_factory
from domain.loop import replay
from domain.loop.router import Router
from domain.model.ids import evse_id_of
from domain.model.plan_events import PreReceived
from domain.model.site_events import EvseCommissioned
from domain.store.store import open_readonly
from domain.store.verify import verify

EVENTS = 1_000


def made_in(folder: Path, seed: int = 0) -> Made:
    open_system = system_factory(DEFAULT)
    return make(open_system, folder, zones=2, events=EVENTS, seed=seed)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    folder = tmp_path_factory.mktemp("reference")
    return folder, made_in(folder)


def test_its_zones_are_interleaved_by_time(log: tuple[Path, Made]) -> None:
    folder, made = log
    with open_readonly(folder) as reader:
        rows = reader.read(after=0, limit=100_000)
    assert len(rows) == made.events >= EVENTS
    assert all(a.recorded_at <= b.recorded_at for a, b in pairwise(rows))
    router = Router()
    zones = [zone for row in rows if (zone := router.zone_of(row))]
    assert set(zones) == {"Z01", "Z02"}
    changes = sum(a != b for a, b in pairwise(zones))
    assert changes > 20


def test_each_zone_has_evses_and_a_pre_of_its_own(log: tuple[Path, Made]) -> None:
    with open_readonly(log[0]) as reader:
        events = [row.event for row in reader.read(after=0, limit=100_000)]
    evses = [e for e in events if isinstance(e, EvseCommissioned)]
    assert len({e.evse_id for e in evses}) == len(evses) == 2 * 53
    assert all(evse_id_of(e.evse_id) == e.evse_id for e in evses)
    pres = [e for e in events if isinstance(e, PreReceived)]
    assert {(e.zone_id, e.pre_id[4:]) for e in pres} == {
        (zone, day) for zone in ("Z01", "Z02") for day in ("2019-06-03", "2019-06-04")
    }
    assert len({e.envelope for e in pres if e.pre_id.endswith("03")}) == 2


def test_it_is_intact_and_every_plan_can_be_made_again(log: tuple[Path, Made]) -> None:
    assert verify(log[0]).is_intact
    with open_readonly(log[0]) as reader:
        report = replay.check(reader)  # type: ignore[arg-type] # it only reads
    assert report.plans > 0
    assert not report.differing


def test_the_seed_decides_every_byte(log: tuple[Path, Made], tmp_path: Path) -> None:
    again = made_in(tmp_path / "again")
    assert again.chain_head == log[1].chain_head
    assert made_in(tmp_path / "other", seed=1).chain_head != again.chain_head


def test_speed_of_reading_and_projecting_is_measured_on_it(
    log: tuple[Path, Made], capsys: pytest.CaptureFixture[str]
) -> None:
    projections.main(["--store", str(log[0]), "--runs", "2"])
    printed = capsys.readouterr().out
    assert f"2 runs of {log[1].events:,} events" in printed
    assert "all projections" in printed


def test_the_start_of_a_server_is_measured_on_it(
    log: tuple[Path, Made], capsys: pytest.CaptureFixture[str]
) -> None:
    server_start.main(["--store", str(log[0]), "--runs", "1"])
    assert "server start: " in capsys.readouterr().out


def test_what_is_already_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit):
        reference_log.main(["--out", str(tmp_path)])
