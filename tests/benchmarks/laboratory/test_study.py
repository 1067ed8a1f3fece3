"""Studies: figures, processes and Ray, tables and the page."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from benchmarks.laboratory.figures import figures_of, unfairness
from benchmarks.laboratory.page import page
from benchmarks.laboratory.prices import DEFAULT_PER_KWH
from benchmarks.laboratory.setting import STANDARD
from benchmarks.laboratory.study import (
    Run,
    Study,
    all_strategies,
    check_strategies,
    run_study,
)
from benchmarks.laboratory.tables import (
    DRIVERS_FILE,
    RUNS_FILE,
    origin_of,
    write_tables,
)
from benchmarks.strategies.registry import make_strategy
from domain.errors import InvalidValue
from tests.benchmarks.laboratory.cases import (
    GARAGE,
    fleet,
    plain_fleet,
    run,
    site_for,
)

NAMES = ("earliest-deadline-first", "equal-share", "perfect-information")
PLUGIN = """
import numpy as np

class Broken:
    name = "broken"
    def plan(self, problem):
        return np.zeros(3)

class Greedy:
    name = "greedy"
    def plan(self, problem):
        return np.where(problem.available(), problem.power_max_w, 0.0)
"""


def study(*strategies: str) -> Study:
    return Study(
        fleets=(fleet(per_day=15), fleet(per_day=15, seed=1)),
        site="caltech",
        station_ids=GARAGE.station_ids,
        capacities_kw=(8.0, 12.0),
        strategies=strategies,
        setting=STANDARD,
        price_by_hour=DEFAULT_PER_KWH,
    )


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "labplugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labplugin\n")
    (info / "entry_points.txt").write_text(
        "[voltledger.strategies]\nbroken = labplugs:Broken\ngreedy = labplugs:Greedy\n"
    )
    (tmp_path / "labplugs.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))


def numbers(runs: list[Run]) -> list[object]:
    """Return all of runs but their times."""
    return [
        (r.strategy, r.capacity_kw, r.figures, [e.tobytes() for e in r.energy_wh])
        for r in runs
    ]


def test_two_processes_give_the_numbers_of_one() -> None:
    asked = study(*NAMES)
    one = run_study(asked)
    seen: list[Run] = []
    two = run_study(asked, processes=2, on_run=seen.append)
    assert numbers(one) == numbers(two)
    assert len(seen) == len(one) == 6
    assert [r.capacity_kw for r in one] == [8.0] * 3 + [12.0] * 3


@pytest.mark.filterwarnings("default")
def test_ray_gives_the_numbers_of_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked = replace(study("earliest-deadline-first"), capacities_kw=(8.0, 12.0))
    assert numbers(run_study(asked)) == numbers(
        run_study(asked, processes=2, on_ray=True)
    )


def test_without_the_extra_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InvalidValue, match=r"voltledger\[ray\]"):
        run_study(study("equal-share"), on_ray=True)


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_fails_is_named_and_the_others_go_on() -> None:
    runs = run_study(replace(study("broken", "greedy"), capacities_kw=(8.0,)))
    assert runs[0].figures is None
    assert "'broken' returned (3,)" in runs[0].failure
    figures = runs[1].figures
    assert figures is not None
    # It breaks PRE and lines: that is counted, and nothing of it taken away.
    assert figures.plan_pre_violation_steps >= figures.pre_violation_steps > 0
    assert figures.phase_violation_steps > 0
    assert figures.worst_line_excess_a > 1
    assert figures.peak_kw > 8
    assert figures.energy_percent == pytest.approx(100)


@pytest.mark.usefixtures("plugin")
def test_all_strategies_are_ours_those_brought_and_the_bound() -> None:
    assert all_strategies()[-3:] == ["broken", "greedy", "perfect-information"]
    check_strategies(all_strategies())
    with pytest.raises(InvalidValue, match=r"'nope'.*greedy, perfect-information"):
        check_strategies(["nope"])


def test_figures_are_of_what_happened() -> None:
    cars = plain_fleet([(0, 12, 3_000), (0, 12, 9_000), (0, 6, 1_000)])
    found = run(make_strategy("first-come-first-served"), cars, site_for(cars, 6))
    figures = figures_of("x", [found, found])
    # 3 kWh in half an hour, then the second one's half hour at 6 kW; the third goes.
    assert figures.sessions == 6
    assert figures.drivers_served == 2
    assert figures.drivers_percent == pytest.approx(100 / 3)
    assert figures.worst_driver_percent == 0
    assert figures.energy_delivered_kwh == pytest.approx(12)
    assert figures.energy_percent == pytest.approx(600 / 13)
    assert figures.cost == pytest.approx(12)
    assert figures.peak_kw == pytest.approx(6)
    assert figures.plans == found.plan_s.size * 2
    assert figures.unfairness == pytest.approx(1 - (4 / 3) ** 2 / (3 * (1 + 1 / 9)))


def test_violations_are_counted_apart_by_what_was_drawn_and_what_was_planned() -> None:
    cars = plain_fleet([(0, 12, 1_000), (0, 12, 1_000)])
    found = run(make_strategy("uncontrolled"), cars, site_for(cars, 10))
    figures = figures_of("x", [found])
    # 12 kW of 10 are drawn for two steps, and were allotted until the next plan.
    assert figures.pre_violation_steps == 2
    assert figures.plan_pre_violation_steps == 12
    assert figures.worst_pre_excess_kw == pytest.approx(2)
    assert figures.plan_beyond_evse_steps == 0


def test_unfairness_is_0_for_equal_shares_and_grows_to_1_less_1_of_n() -> None:
    assert unfairness(np.full(5, 0.3)) == pytest.approx(0)
    assert unfairness(np.array([0, 0, 0, 1.0])) == pytest.approx(0.75)
    assert unfairness(np.zeros(3)) == 0


def test_tables_have_runs_and_drivers_with_their_origin(tmp_path: Path) -> None:
    asked = study(*NAMES)
    runs = run_study(asked)
    write_tables(tmp_path, asked, runs, origin_of("generated", "today", 3))
    table = pq.read_table(tmp_path / RUNS_FILE)
    rows = table.to_pylist()
    assert [r["strategy"] for r in rows] == list(NAMES) * 2
    assert {r["seed"] for r in rows} == {3}
    assert all(r["commit"] for r in rows)
    assert "numpy" in json.loads(table.schema.metadata[b"origin"])["libraries"]
    drivers = pq.read_table(tmp_path / DRIVERS_FILE).to_pylist()
    sessions = sum(f.size for f in asked.fleets)
    assert len(drivers) == sessions * 6
    for row in rows:
        own = [
            d
            for d in drivers
            if (d["strategy"], d["capacity_kw"])
            == (row["strategy"], row["capacity_kw"])
        ]
        assert sum(d["served"] for d in own) == row["drivers_served"]
        energy_wh = sum(d["energy_wh"] for d in own)
        assert energy_wh == pytest.approx(1_000 * row["energy_delivered_kwh"])


@pytest.mark.usefixtures("plugin")
def test_the_page_shows_runs_and_failures_and_asks_for_nothing_else() -> None:
    asked = study("equal-share", "broken", "perfect-information")
    html = page(asked, run_study(asked), origin_of("<file>", "today", 0))
    assert html.count("<svg") > 8
    assert "&lt;file&gt;" in html
    assert "returned (3,)" in html
    for outside in ("http:", "https:", "<script", "<link", "@import"):
        assert outside not in html
    nobody = page(asked, [Run("broken", 8.0, failure="it")], origin_of("x", "y", 0))
    assert "it" in nobody


def test_the_origin_says_with_what_figures_were_made() -> None:
    origin = msgspec.structs.asdict(origin_of("file", "days", 1))
    assert all(origin[name] for name in ("version", "commit", "python", "cpu"))
