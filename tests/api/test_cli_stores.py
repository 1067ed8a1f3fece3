"""``voltledger events``, ``verify`` and ``projections`` on a simulated store."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from api.compose import PROJECTIONS_FOLDER
from domain.store.sqlite import WriterLock
from domain.store.store import LEDGER_FILE, open_readonly
from projections.runner import ALL
from tests.api.small_day import Ran, run, sessions_file, simulate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("day")
    return simulate(sessions_file(folder), folder / "out", "--strategy", "voltledger")


@pytest.fixture
def copy(ran: Ran, tmp_path: Path) -> Path:
    """A store that a test may spoil."""
    folder = tmp_path / "copy"
    shutil.copytree(ran.out / "voltledger", folder)
    return folder


def test_tail_prints_the_last_events_in_order(ran: Ran) -> None:
    result = run("events", "tail", "--store", ran.store(), "--last", 3, "--json")
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    with open_readonly(ran.out / "voltledger") as log:
        last = log.last_position()
    assert [row["position"] for row in rows] == [last - 2, last - 1, last]


def test_tail_takes_streams_and_types_by_prefix(ran: Ran) -> None:
    result = run(
        "events", "tail", "--store", ran.store(), "--last", 1000, "--json",
        "--stream", "session-", "--type", "needs.",
    )  # fmt: skip
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows
    assert {row["type"] for row in rows} == {"needs.stated"}
    assert all(row["stream"].startswith("session-") for row in rows)


def test_tail_of_everything_begins_with_row_0(ran: Ran) -> None:
    result = run("events", "tail", "--store", ran.store(), "--last", 100_000)
    lines = result.stdout.splitlines()
    assert lines[0].split()[0] == "0"
    assert "log.opened" in lines[0]


def test_tail_keeps_personal_data_sealed(ran: Ran) -> None:
    result = run(
        "events", "tail", "--store", ran.store(), "--json", "--type", "authorization."
    )
    row = json.loads(result.stdout.splitlines()[0])
    assert row["state"]["credential"] == {"sealed": True}


def test_tail_with_a_type_that_there_is_not_is_refused(ran: Ran) -> None:
    result = run("events", "tail", "--store", ran.store(), "--type", "plans")
    assert result.exit_code == 2
    assert "'plans'" in result.stderr


def test_tail_follows_what_another_process_writes(copy: Path) -> None:
    command = [
        sys.executable, "-c", "from api.cli import main; main()", "events", "tail",
        "--store", f"sqlite:///{copy}", "--follow", "--json", "--last", "0",
        "--stream", "probe-",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found: list[bytes] = []
        out = process.stdout
        reader = threading.Thread(target=lambda: found.append(out.readline()))
        reader.start()
        try:
            with closing(sqlite3.connect(copy / LEDGER_FILE)) as ledger:
                for version in range(1, 200):
                    _add_row(ledger, version)
                    reader.join(0.1)
                    if not reader.is_alive():
                        break
        finally:
            process.kill()
        reader.join(10)
    assert json.loads(found[0])["stream"] == "probe-1"


def _add_row(ledger: sqlite3.Connection, version: int) -> None:
    """Copy the last row into another stream; nobody checks the chain here."""
    with ledger:
        ledger.execute(
            "INSERT INTO rows SELECT tenant, log_id, position + 1, 'probe-1', ?, ?,"
            " type, schema, occurred_at, recorded_at, command_id, correlation_id,"
            " causation, actor, state_digest, state, hash FROM rows"
            " ORDER BY position DESC LIMIT 1",
            (version, version),
        )


def test_every_problem_is_rebuilt_from_the_ledger(ran: Ran) -> None:
    result = run("events", "replay", "--check", "--store", ran.store(), "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["plans"] > 0
    assert report["differing"] == []


def test_a_plan_that_cannot_be_rebuilt_is_found(copy: Path) -> None:
    # What drivers wish is part of the problem.
    with closing(sqlite3.connect(copy / LEDGER_FILE)) as ledger, ledger:
        ledger.execute("UPDATE rows SET state = NULL WHERE type = 'needs.stated'")
    result = run("events", "replay", "--check", "--store", f"sqlite:///{copy}")
    assert result.exit_code == 1
    assert "DIFFERS the plan at position" in result.stdout


def test_replay_without_check_is_refused(ran: Ran) -> None:
    result = run("events", "replay", "--store", ran.store())
    assert result.exit_code == 2
    assert "--check" in result.stderr


def test_verify_finds_an_untouched_store_intact(ran: Ran) -> None:
    result = run("verify", "--store", ran.store(), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["intact"] is True
    assert run("verify", "--store", ran.store()).stdout.endswith("intact\n")


def test_verify_says_where_a_store_was_changed(copy: Path) -> None:
    with closing(sqlite3.connect(copy / LEDGER_FILE)) as ledger, ledger:
        ledger.execute("UPDATE rows SET actor = 'me' WHERE position = 17")
    result = run("verify", "--store", f"sqlite:///{copy}")
    assert result.exit_code == 1
    assert "BROKEN ledger.sqlite, position 17" in result.stdout
    assert run("verify", "--store", f"sqlite:///{copy}", "--json").exit_code == 1


@pytest.mark.parametrize("name", [(), ("zones",)])
def test_projections_are_rebuilt_to_the_end_of_the_log(
    copy: Path, name: tuple[str, ...]
) -> None:
    shutil.rmtree(copy / PROJECTIONS_FOLDER)
    store = f"sqlite:///{copy}"
    result = run("projections", "rebuild", *name, "--store", store, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)["projections"]
    with open_readonly(copy) as log:
        assert {p["position"] for p in found} == {log.last_position()}
    assert len(found) == (len(name) or len(ALL))


def test_an_unknown_projection_is_refused(ran: Ran) -> None:
    result = run("projections", "rebuild", "zonez", "--store", ran.store())
    assert result.exit_code == 2
    assert "'zonez' is not one of zones" in result.stderr


def test_projections_of_a_store_in_use_are_left_to_its_server(copy: Path) -> None:
    lock = WriterLock(copy)
    try:
        result = run("projections", "rebuild", "--store", f"sqlite:///{copy}")
    finally:
        lock.release()
    assert result.exit_code == 3
    assert "another process has the store" in result.stderr


COMMANDS = (
    ("verify",),
    ("events", "tail"),
    ("events", "replay", "--check"),
    ("projections", "rebuild"),
    ("serve",),
    ("report",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgres://host/db", "sqlite:///FOLDER"),
        ("sqlite://", "sqlite:///FOLDER"),
        ("sqlite:///nowhere", "there is no ledger.sqlite in nowhere"),
    ],
)
def test_a_store_that_is_none_is_refused(
    command: tuple[str, ...], url: str, named: str
) -> None:
    result = run(*command, "--store", url)
    assert result.exit_code == 2
    assert named in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS[1:5], ids=" ".join)
def test_a_file_that_is_no_ledger_is_trouble_in_one_line(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(b"this is no database, only some text" * 99)
    result = run(*command, "--store", f"sqlite:///{tmp_path}")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_nothing_is_read_with_the_help_alone() -> None:
    for command in ((), ("events",), ("projections",)):
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.stdout
