"""The system that `api.compose` puts together."""

import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from api.compose import (
    BackOffice,
    ReadOnlyLog,
    SystemIds,
    WallClock,
    is_simulated,
    log_id_of,
    open_log,
    open_service,
    open_simulation,
    store_folder,
)
from benchmarks.simulator.clock import SeededIds, SimulatedClock
from domain.errors import InvalidValue, StoreError
from domain.model.plan_events import PreFallbackBegan
from domain.ports import Append, Batch
from domain.store.master_key import KEY_FILE

AT = 1_572_300_000_000_000


def batch() -> Batch:
    event = PreFallbackBegan(zone_id="site")
    return Batch(appends=(Append("pre-site", (event,), AT),))


def simulated(folder: Path, seed: int = 0, rows: int = 3) -> bytes:
    """Make a store; return the hash of its last row."""
    clock = SimulatedClock(AT)
    with open_simulation(folder, clock, SeededIds(seed)) as system:
        for _ in range(rows):
            system.log.append(batch())
        head = system.log.hash_at(system.log.last_position())
    assert head is not None
    return head


def test_a_seed_decides_every_byte_of_chain_and_key(tmp_path: Path) -> None:
    heads = {simulated(tmp_path / name) for name in "ab"}
    assert len(heads) == 1
    keys = {(tmp_path / name / "master.key").read_bytes() for name in "ab"}
    assert len(keys) == 1
    assert simulated(tmp_path / "c", seed=1) not in heads


def test_a_simulated_store_says_so_in_its_chain(tmp_path: Path) -> None:
    simulated(tmp_path)
    assert log_id_of(tmp_path).startswith("sim-")
    assert is_simulated(tmp_path)


def test_a_served_simulation_stands_at_its_last_row_and_is_not_written(
    tmp_path: Path,
) -> None:
    simulated(tmp_path)
    with open_service(tmp_path, {}) as service:
        assert service.is_simulated
        assert service.system.clock.now() == AT
        with pytest.raises(StoreError, match="reading only"):
            service.system.log.append(batch())
        with pytest.raises(StoreError, match="reading only"):
            service.system.log.raise_epoch("site")
        service.system.log.flush()


def test_a_live_store_is_written_and_projected(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    store = tmp_path / "store"
    with open_service(store, {KEY_FILE: str(key)}) as service:
        assert not service.is_simulated
        service.system.log.append(batch())
        assert service.models.runner.wait_for(service.system.log.last_position())
    assert not is_simulated(store)


def test_several_threads_read_one_log_at_once(tmp_path: Path) -> None:
    simulated(tmp_path, rows=500)
    wrong: list[object] = []

    def read(log: ReadOnlyLog) -> None:
        for after in range(0, 500, 7):
            rows = log.read(after=after, limit=50)
            expected = list(range(after + 1, min(after + 50, 500) + 1))
            if [row.position for row in rows] != expected:
                wrong.append(rows)
            if log.last_position() != 500 or log.hash_at(after) is None:
                wrong.append(after)

    with open_log(tmp_path) as log:
        threads = [threading.Thread(target=read, args=(log,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_url_names_a_folder_that_has_a_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}"
    with pytest.raises(InvalidValue, match=r"no ledger\.sqlite"):
        store_folder(url)
    assert store_folder(url, must_exist=False) == tmp_path
    simulated(tmp_path)
    assert store_folder(url) == tmp_path
    with pytest.raises(InvalidValue, match="FOLDER"):
        store_folder(str(tmp_path))


def test_what_a_loop_asks_the_planner_is_compiled_before() -> None:
    """Else the first EV of a fresh machine waits half a minute for its plan."""
    script = Path(__file__).with_name("compiled_kernels.py")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    plans, *compiled_late = done.stdout.split(" plans")
    assert int(plans) > 10
    assert "".join(compiled_late).split() == []


def test_clock_and_ids_of_a_service_are_those_of_the_machine() -> None:
    assert WallClock().now() > AT
    ids = SystemIds()
    assert len({ids.new_id() for _ in range(100)}) == 100
    assert len(ids.random(32)) == 32


class SetClocks:
    """The machine's two clocks, the second of which nobody can set [s]."""

    def __init__(self) -> None:
        self.wall_s, self.steady_s = 1_000_000.0, 50.0

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def clock(self) -> WallClock:
        return WallClock(
            lambda: round(self.wall_s * 1e9), lambda: round(self.steady_s * 1e9)
        )


def test_time_goes_on_where_the_machines_clock_is_set_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = SetClocks()
    clock = machine.clock()
    told = [clock.now()]
    for set_s in (0, -3_600, 0, 1_000, 0):
        machine.wall_s += set_s
        machine.pass_s(5)
        told.append(clock.now())
    assert [b - a for a, b in pairwise(told)] == [5_000_000] * 5
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "set back by 3600.0 s" in caplog.text


def test_a_clock_set_on_is_believed_and_one_that_catches_up_is_as_before() -> None:
    machine = SetClocks()
    clock = machine.clock()
    machine.wall_s += 7_200
    assert clock.now() == machine.wall_s * 1e6
    machine.wall_s -= 30
    machine.pass_s(1)
    assert clock.now() == (machine.wall_s + 30) * 1e6
    machine.wall_s += 31
    assert clock.now() == machine.wall_s * 1e6


@pytest.mark.parametrize(
    ("back_office", "answers"), [("embedded", True), ("external", False)]
)
def test_the_embedded_back_office_answers_where_no_other_does(
    tmp_path: Path, back_office: str, answers: bool
) -> None:
    key, office = tmp_path / "key", BackOffice(back_office)
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    environment = {KEY_FILE: str(key)}
    with open_service(tmp_path / "store", environment, back_office=office) as service:
        said = service.system.cso.answer("somebody", "DE*ABC*E1", AT)
    assert (said is not None) == answers
