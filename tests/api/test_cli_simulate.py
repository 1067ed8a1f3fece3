"""``voltledger simulate`` and ``report``, on a day of three cars."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.compose import KEY_NAME, PROJECTIONS_FOLDER, log_id_of
from benchmarks.kept import read_kept
from benchmarks.simulator.day import STRATEGIES
from domain.store.store import LEDGER_FILE, Store
from tests.api.small_day import CARS, DAY, Ran, run, sessions_file, simulate
from tests.store.fakes import FakeClock, SeededIds

REQUIRED = {
    "strategy", "drivers", "drivers_servable", "drivers_served", "energy_requested_wh",
    "energy_needed_wh", "energy_delivered_wh", "pre_violation_steps",
    "pre_violation_wh", "aetp_outside_pre", "etps_changed", "plans", "plan_ms_p50",
    "plan_ms_p99", "events", "wall_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All three strategies, for the tests that only look."""
    folder = tmp_path_factory.mktemp("all")
    return simulate(sessions_file(folder), folder / "out")


def test_each_strategy_gets_a_store_with_key_and_projections(ran: Ran) -> None:
    assert ran.result.exit_code == 0
    for strategy in STRATEGIES:
        store = ran.out / strategy
        assert (store / LEDGER_FILE).is_file()
        assert (store / KEY_NAME).stat().st_mode & 0o777 == 0o600
        assert any((store / PROJECTIONS_FOLDER).iterdir())
        assert log_id_of(store).startswith("sim-")


def test_the_terminal_shows_the_figures_side_by_side(ran: Ran) -> None:
    said = ran.result.stdout
    assert all(strategy in said for strategy in STRATEGIES)
    assert "minutes outside the PRE" in said
    assert str(ran.out / "report.html") in said
    assert ran.result.stderr == ""  # no bars where nobody looks


def test_what_uncontrolled_serves_is_servable_for_all(ran: Ran) -> None:
    figures = [read_kept(ran.out / s).outcome.figures for s in STRATEGIES]
    assert {f.drivers_servable for f in figures} == {figures[-1].drivers_served}
    assert figures[-1].drivers_served > 0


def test_ours_stays_within_the_pre(ran: Ran) -> None:
    figures = read_kept(ran.out / "voltledger").outcome.figures
    assert (figures.pre_violation_steps, figures.aetp_outside_pre) == (0, 0)


def test_one_strategy_prints_its_figures_as_one_object(tmp_path: Path) -> None:
    ran = simulate(
        sessions_file(tmp_path), tmp_path / "out", "--strategy", "voltledger", "--json"
    )
    figures = json.loads(ran.result.stdout)
    assert figures.keys() >= REQUIRED
    assert figures["strategy"] == "voltledger"
    assert figures["drivers"] == CARS
    # Uncontrolled ran aside, to know this.
    assert figures["drivers_servable"] > 0
    assert [path.name for path in ran.out.iterdir() if path.is_dir()] == ["voltledger"]


def test_all_strategies_print_ours_with_all_three_inside(tmp_path: Path) -> None:
    ran = simulate(sessions_file(tmp_path), tmp_path / "out", "--json", "--flat-pre")
    figures = json.loads(ran.result.stdout)
    assert figures.keys() >= REQUIRED
    inside = figures["strategies"]
    assert [f["strategy"] for f in inside] == list(STRATEGIES)
    assert inside[0] == {k: v for k, v in figures.items() if k != "strategies"}


def test_two_runs_end_with_the_same_chain_head_and_key(tmp_path: Path) -> None:
    sessions = sessions_file(tmp_path)
    heads, keys = set(), set()
    for name in ("one", "two"):
        ran = simulate(
            sessions, tmp_path / name, "--strategy", "voltledger", "--seed", 7
        )
        assert ran.result.exit_code == 0
        store = ran.out / "voltledger"
        heads.add(read_kept(store).outcome.figures.chain_head)
        keys.add((store / KEY_NAME).read_bytes())
    assert (len(heads), len(keys)) == (1, 1)


def test_another_seed_ends_with_another_chain_head(tmp_path: Path, ran: Ran) -> None:
    other = simulate(
        ran.sessions, tmp_path / "o", "--strategy", "voltledger", "--seed", 8
    )
    heads = {
        read_kept(r.out / "voltledger").outcome.figures.chain_head for r in (ran, other)
    }
    assert len(heads) == 2


def test_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    sessions, log_ids = sessions_file(tmp_path), set()
    for seed in (1, 2):
        ran = simulate(
            sessions, tmp_path / "out", "--strategy", "equal-share", "--seed", seed
        )
        assert ran.result.exit_code == 0
        log_ids.add(log_id_of(ran.out / "equal-share"))
    assert len(log_ids) == 2


def _files_of_somebody(out: Path) -> Path:
    (out / "voltledger").mkdir(parents=True)
    kept = out / "voltledger" / "thesis.txt"
    kept.write_text("years of work")
    return kept


def _store_of_a_server(out: Path) -> Path:
    folder = out / "voltledger"
    Store(
        folder, clock=FakeClock(), ids=SeededIds("live"), master_key=bytes(32)
    ).close()
    return folder / LEDGER_FILE


@pytest.mark.parametrize("put", [_files_of_somebody, _store_of_a_server])
def test_what_is_not_ours_is_never_replaced(
    tmp_path: Path, put: Callable[[Path], Path]
) -> None:
    kept = put(tmp_path / "out")
    ran = simulate(sessions_file(tmp_path), tmp_path / "out")
    assert ran.result.exit_code == 2
    assert str(tmp_path / "out" / "voltledger") in ran.result.stderr
    assert kept.exists()


def test_report_is_made_again_from_what_was_kept(ran: Ran) -> None:
    page = ran.out / "report.html"
    before = page.read_text("utf-8")
    for where in (("--out", ran.out), ("--store", ran.store("equal-share"))):
        page.unlink()
        result = run("report", *where)
        assert result.exit_code == 0
        assert page.read_text("utf-8") == before


def test_report_of_a_folder_without_outcomes_says_so(tmp_path: Path) -> None:
    result = run("report", "--out", tmp_path)
    assert result.exit_code == 2
    assert "outcome.msgpack" in result.stderr


PRE = "start,end,lower_w,upper_w\n{day}T07:00:00Z,{day}T23:00:00Z,0,3000\n"


def test_a_pre_file_is_what_holds(tmp_path: Path) -> None:
    pre = tmp_path / "pre.csv"
    pre.write_text(PRE.format(day=DAY))
    ran = simulate(
        sessions_file(tmp_path), tmp_path / "out", "--strategy", "voltledger",
        "--pre", pre,
    )  # fmt: skip
    outcome = read_kept(ran.out / "voltledger").outcome
    assert set(outcome.pre_upper_w) == {3000.0}


def test_a_pre_of_another_day_is_refused(tmp_path: Path) -> None:
    pre = tmp_path / "pre.csv"
    pre.write_text(PRE.format(day="2019-11-02"))
    ran = simulate(sessions_file(tmp_path), tmp_path / "out", "--pre", pre)
    assert ran.result.exit_code == 2
    assert "2019-11-02T07:00:00Z" in ran.result.stderr


BAD = {
    "no day": (("--date", "2019-02-30"), "2019-02-30"),
    "a day in another form": (("--date", "20191029"), "YYYY-MM-DD"),
    "a day without sessions": (("--date", "2020-01-01"), "2019-10-29..2019-10-29"),
    "unknown zone": (("--tz", "America/Pasadena"), "America/Pasadena"),
    "folder of zones": (("--tz", "America"), "'America'"),
    "path as zone": (("--tz", "/etc/passwd"), "/etc/passwd"),
    "negative capacity": (("--capacity-kw", "-20"), "-20"),
    "no capacity": (("--capacity-kw", "0"), "above 0"),
    "capacity that is no number": (("--capacity-kw", "nan"), "nan"),
    "endless capacity": (("--capacity-kw", "inf"), "inf"),
    "two PREs": (("--pre", "p.csv", "--flat-pre"), "--flat-pre"),
    "no PRE file": (("--pre", "none.csv"), "none.csv"),
    "no site file": (("--site", "none.json"), "none.json"),
    "no sessions file": (("--sessions", "none.csv"), "none.csv"),
    "unknown strategy": (("--strategy", "fair"), "equal-share"),
}


@pytest.mark.parametrize(("more", "named"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_that_names_it(
    tmp_path: Path, more: tuple[str, ...], named: str
) -> None:
    # The last of two equal options holds.
    ran = simulate(sessions_file(tmp_path), tmp_path / "out", *more)
    assert ran.result.exit_code == 2
    assert named in ran.result.stderr
    assert ran.result.stderr.startswith("error: ")
    assert ran.result.stderr.count("\n") == 1
    assert not ran.out.exists()


CORRUPT = {
    "truncated row": lambda text: text.rstrip()[:-20] + "\n",
    "energy that is text": lambda text: text.replace(",5.0,", ",much,"),
    "departure before arrival": lambda text: text.replace("01:20:00", "00:01:00"),
    "session twice": lambda text: text.replace(",b,", ",a,"),
    "nothing": lambda text: "",
}


@pytest.mark.parametrize("corrupt", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_file_is_refused_with_its_line(
    tmp_path: Path, corrupt: Callable[[str], str]
) -> None:
    sessions = sessions_file(tmp_path)
    sessions.write_text(corrupt(sessions.read_text()))
    ran = simulate(sessions, tmp_path / "out")
    assert ran.result.exit_code == 2
    assert "sessions.csv, line " in ran.result.stderr
    assert not ran.out.exists()


def test_a_file_as_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    ran = simulate(sessions_file(tmp_path), tmp_path / "out")
    assert ran.result.exit_code == 2
    assert "is a file" in ran.result.stderr


def test_the_command_runs_as_a_process(tmp_path: Path) -> None:
    command = [
        sys.executable, "-c", "from api.cli import main; main()", "simulate",
        "--sessions", str(sessions_file(tmp_path)), "--date", str(DAY),
        "--capacity-kw", "4", "--out", str(tmp_path / "out"),
        "--strategy", "voltledger", "--json",
    ]  # fmt: skip
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        command, cwd=root, env=os.environ, capture_output=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["drivers"] == CARS
    assert done.stderr == b""
