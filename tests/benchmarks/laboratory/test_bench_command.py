"""``voltledger bench`` as it is typed."""

import json
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner, Result

from api.cli import app

ROOT = Path(__file__).resolve().parents[3]
CALTECH = ROOT / "benchmarks" / "data" / "caltech-2019.csv.gz"


def bench(out: Path, **given: object) -> Result:
    options: dict[str, object] = {
        "sessions": CALTECH,
        "site": "caltech",
        "capacity-kw": "20",
        "strategies": "earliest-deadline-first,round-robin",
        "days": "2019-05-06..2019-05-07",
        "processes": 1,
    }
    arguments = ["bench", "--out", str(out)]
    for name, value in (options | given).items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return CliRunner().invoke(app, arguments)


def test_two_days_give_table_page_and_parquet_and_the_same_again(
    tmp_path: Path,
) -> None:
    found = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        result = bench(folder, json=True)
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        assert told["origin"]["seed"] == 0
        assert (folder / "report.html").exists()
        for run in told["runs"]:
            assert run.pop("times")["plan_ms_mean"] > 0
        found.append((told["runs"], pq.read_table(folder / "drivers.parquet")))
    assert found[0] == found[1]
    first = found[0][0][0]
    assert first["strategy"] == "earliest-deadline-first"
    assert first["phase_violation_steps"] == first["pre_violation_steps"] == 0
    assert 40 < first["energy_percent"] < 100


def test_people_get_a_table_without_a_figure_cut(tmp_path: Path) -> None:
    result = bench(
        tmp_path, strategies="equal-share", sessions="generated:10", setting="realistic"
    )
    assert result.exit_code == 0, result.output
    assert "equal-share" in result.stdout
    assert "…" not in result.stdout
    assert "ms mean / p99 / max" in result.stdout


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    result = bench(tmp_path / "out", strategies="uncontrolled")
    assert result.exit_code == 2
    assert "out: cannot be a folder" in result.stderr


def test_days_apart_and_other_steps_are_understood(tmp_path: Path) -> None:
    given = {"days": "2019-05-06,2019-05-08", "step-min": 15, "replan-steps": 2}
    result = bench(tmp_path, **given, json=True)
    assert result.exit_code == 0, result.output
    drivers = pq.read_table(tmp_path / "drivers.parquet").to_pylist()
    days = {d["arrival_at"][:10] for d in drivers}
    assert {"2019-05-06", "2019-05-08"} <= days
    assert all(d["arrival_at"][14:16] in ("00", "15", "30", "45") for d in drivers)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("strategies", "nope", "'nope' is not known; known are finish-most"),
        ("strategies", "equal-share,,", "has an empty part"),
        ("strategies", "equal-share,equal-share", "names 'equal-share' twice"),
        ("capacity-kw", "20,x", "--capacity-kw 'x' is not above 0"),
        ("capacity-kw", "-1", "--capacity-kw '-1' is not above 0"),
        ("capacity-kw", "nan", "--capacity-kw 'nan' is not above 0"),
        ("days", "2019-05-32", "is not a day as YYYY-MM-DD"),
        ("days", "2019-05-07..2019-05-06", "ends before it begins"),
        ("days", "2019-05-06..2019-05-07,2019-05-07", "has 2019-05-07 twice"),
        ("days", "2018-05-06", "no session arrives then; days are 2019-05-01..2019"),
        ("site", "moon", "--site 'moon' is not one of flat, caltech"),
        ("setting", "odd", "--setting 'odd' is not one of standard, realistic"),
        ("departures", "odd", "--departures 'odd' is not one of true, estimated"),
        ("energy", "odd", "--energy 'odd' is not one of taken, asked"),
        ("processes", "0", "--processes 0 is not 1 or more"),
        ("minimum-share", "2", "a minimum share of 2 is not within 0..1"),
        ("step-min", "7", "a step of 420 s is not 60..3600 s"),
        ("step-min", "0.001", "--step-min 0.001 is not whole seconds"),
        ("replan-steps", "0", "planning every 0 steps"),
        ("sessions", "nowhere.csv", "nowhere.csv: cannot be read"),
        ("prices", "nowhere.csv", "nowhere.csv: cannot be read"),
    ],
)
def test_bad_input_is_one_line_with_value_and_rule(
    tmp_path: Path, option: str, value: str, rule: str
) -> None:
    result = bench(tmp_path / "out", **{option: value})
    assert result.exit_code == 2
    assert rule in result.stderr
    assert not (tmp_path / "out").exists()
