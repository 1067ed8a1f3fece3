"""The speed table has a line for every piece of work, and says when optima differ."""

import os
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.speed import planner, planner_rows
from benchmarks.speed.highs_forms import Measured
from benchmarks.speed.planner_cases import arrays_of, events, kept_rows, patterns
from benchmarks.speed.planner_instances import instance, tree_instance
from benchmarks.speed.planner_rows import Scale
from benchmarks.speed.planner_table import (
    HEAD,
    SAME,
    Goal,
    Peer,
    Row,
    Times,
    markdown,
    timed,
)
from optimizer import Problem, Status
from optimizer.planner import Planner

IN_PROCESS = ("cold", "groups", "shortage", "events", "pre", "v2g", "patterns")
RUNS = ("zones", "caltech", "first")
TIMES = Times((3.0, 1.0, 2.0), (1.0, 1.0, 1.0))


def quick(names: tuple[str, ...], file: Path) -> planner.Table:
    """Return what the command writes to a file."""
    planner.main(["--quick", "--rows", ",".join(names), "--json", str(file)])
    return msgspec.json.decode(file.read_bytes(), type=planner.Table)


def test_every_plan_has_the_optimum_of_its_peers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("ortools") is None:
        for peers in ("LIMIT", "FLAT"):
            few = tuple(n for n in getattr(planner_rows, peers) if "OR-tools" not in n)
            monkeypatch.setattr(planner_rows, peers, few)
    table = quick(IN_PROCESS, tmp_path / "table.json")
    assert tuple(table.rows) == IN_PROCESS
    rows = [row for name in IN_PROCESS for row in table.rows[name]]
    assert [row.work for row in rows if row.same is False] == []
    compared = [row for row in rows if row.same]
    assert len(compared) == len(rows) - 1, "all but the summary of patterns"
    with_peer = [row for row in compared if row.peers]
    assert len(with_peer) >= 10
    for row in with_peer:
        assert row.ratio is not None
        assert len(row.differences) > 1, f"{row.work}: only its own certificate"
        assert all((peer.difference or 0.0) < 1e-5 for peer in row.peers)
    printed = capsys.readouterr().out.splitlines()
    start = printed.index(HEAD[0])
    assert printed[start + 1] == HEAD[1]
    lines = printed[start + 2 : start + 2 + len(rows)]
    assert {line.count("|") for line in lines} == {HEAD[0].count("|")}
    assert printed[-1].startswith("Load at the end")


def test_whole_runs_have_times_and_goals(tmp_path: Path) -> None:
    table = quick(RUNS, tmp_path / "table.json")
    threads, processes = table.rows["zones"]
    assert [bool(row.goals) for row in (threads, processes)].count(True) == 1
    (caltech,) = table.rows["caltech"]
    assert [goal.what for goal in caltech.goals] == ["mean", "p99", "max"]
    (first,) = table.rows["first"]
    assert first.ours.median_ms > 100.0
    assert table.libraries["numpy"] == np.__version__


def test_a_busy_machine_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for load, is_busy in ((1.1, True), (0.2, False)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        planner.measured([], Scale(quick=True))
        assert ("Other work ran" in capsys.readouterr().out) == is_busy


@pytest.mark.parametrize("wrong", [["--rows", "cold,warm"], ["--repeat", "0"]])
def test_what_is_not_understood_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        planner.main(wrong)


def test_the_ratio_is_to_the_fastest_form_of_highs() -> None:
    peers = (Peer("HiGHS IPM", 9.0), Peer("HiGHS simplex", 6.0), Peer("OR-tools", 2.0))
    row = Row(work="x", ours=TIMES, peers=peers)
    assert row.ratio == pytest.approx(3.0)
    left_out = Row(work="x", ours=TIMES, peers=(Peer("HiGHS IPM", left_out="long"),))
    assert left_out.ratio is None
    assert "left out, long" in markdown(left_out)


def test_goals_missed_and_other_optima_are_told() -> None:
    fine = Row(
        work="x",
        ours=TIMES,
        goals=(Goal(2.0, 2.0), Goal(100.0, 120.0, at_least=True)),
        differences={"HiGHS": -0.5 * SAME},
    )
    assert (fine.met, fine.same) == (True, True)
    slow = msgspec.structs.replace(fine, goals=(*fine.goals, Goal(2.0, 2.1)))
    assert slow.met is False
    assert "**not met**" in markdown(slow)
    unknown = msgspec.structs.replace(fine, goals=(Goal(2.0, None),))
    assert unknown.met is None
    for off in (-2.0 * SAME, 2.0 * SAME, np.inf):
        other = msgspec.structs.replace(fine, differences={"a": 0.0, "b": off})
        assert other.same is False
        assert "**not the same**" in markdown(other)


def test_a_peer_with_another_optimum_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = instance(5, n_step=24)
    money = Planner().plan(problem).objective["money"]

    def measure(*_: object) -> Measured:
        return Measured(1.001 * money, 1.0, 1.0, problem)

    monkeypatch.setattr(planner_rows, "measure", measure)
    scale = Scale(repeat=1, quick=True)
    row = planner_rows.row_of("x", problem, ("simplex, tuned",), scale, 1.0)
    assert row.same is False


def test_short_calls_are_repeated_more_often() -> None:
    assert len(timed(lambda: None, 3).wall_ms) == 3
    assert len(timed(lambda: None, 3, within_s=5.0).wall_ms) > 100


def test_arrays_build_the_very_same_problem() -> None:
    for problem in (instance(6, 24, groups=2), instance(6, 24, v2g=True)):
        arrays = arrays_of(problem)
        assert arrays["power_max_w"].shape == (6,)
        assert Problem(**arrays).digest() == problem.digest()


def test_events_change_one_ev_each() -> None:
    problem = instance(8, n_step=24)
    n, before = 8, problem
    for event in events(problem, 12):
        now = Problem(**event.arrays)
        n += {"need": 0, "departure": -1, "arrival": 1}[event.kind]
        assert now.n_evse == n
        assert np.unique(now.row_key).size == n
        kept = event.row_of >= 0
        assert np.array_equal(now.row_key[kept], before.row_key[event.row_of[kept]])
        same = now.energy_target_wh[kept] == before.energy_target_wh[event.row_of[kept]]
        assert (~same).sum() == (event.kind == "need")
        power_w = np.arange(float(before.n_evse))[:, None] + np.ones((1, 24))
        moved = kept_rows(power_w, event)
        assert np.array_equal(moved[kept], power_w[event.row_of[kept]])
        assert not moved[~kept].any()
        before = now


@pytest.mark.parametrize("seed", range(3))
def test_a_tree_is_met_by_its_limits(seed: int) -> None:
    problem = tree_instance(30, (2, 3), n_step=24, seed=seed)
    assert [group.members.size for group in problem.groups[:2]] == [
        sum(group.members.size for group in problem.groups[2 + 3 * k : 5 + 3 * k])
        for k in range(2)
    ]
    result = Planner().plan(problem)
    assert result.status is Status.OPTIMAL
    for group in problem.groups[:2]:
        alone = result.power_w[group.members].sum(axis=0)
        assert (alone <= group.upper_w + 1e-3).all()


def test_patterns_can_be_met_but_for_the_shortage() -> None:
    found = dict(patterns(30))
    assert len(found) == 10
    for name, problem in found.items():
        short = Planner().plan(problem).status is not Status.OPTIMAL
        assert short == (name == "shortage"), name
