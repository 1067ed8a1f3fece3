"""The comparison over days: which days, and what their means are."""

from collections import Counter
from datetime import date

import pytest

from benchmarks.data.sessions import local_day, read_sessions
from benchmarks.simulator.day import DayFigures
from benchmarks.strategies import compare
from benchmarks.strategies.compare import Compared, busiest_days, means_of, table


def figures(strategy: str, served: int, energy_wh: int) -> DayFigures:
    return DayFigures(
        strategy=strategy, date="2019-10-01", capacity_w=20_000, drivers=40,
        drivers_servable=0, drivers_served=served, drivers_cut_off=0,
        energy_requested_wh=0, energy_needed_wh=0, energy_delivered_wh=energy_wh,
        pre_violation_steps=0, pre_violation_wh=0, pre_violation_steps_short_notice=0,
        aetp_outside_pre=0, etps_changed=0, plans=0, plans_superseded=0,
        plan_ms_p50=0.0, plan_ms_p99=0.0, events=1, chain_head="", wall_s=0.0,
    )  # fmt: skip


def one(day: int, capacity_kw: int, ours: int, equal: int) -> Compared:
    return Compared(
        day=date(2019, 10, day),
        capacity_kw=capacity_kw,
        ours=figures("voltledger", ours, ours * 10_000),
        equal_share=figures("equal-share", equal, equal * 10_000),
        uncontrolled=figures("uncontrolled", 39, 390_000),
    )


def test_the_busiest_days_leave_out_the_one_that_was_tuned_on() -> None:
    sessions = read_sessions(compare.CALTECH, compare.TZ)
    days = busiest_days(sessions, 10)
    taken: Counter[date] = Counter()
    for record in sessions.records:
        taken[local_day(record)] += record.delivered_wh
    assert len(set(days)) == 10
    assert compare.TUNED_ON not in days
    others = set(taken) - set(days) - {compare.TUNED_ON}
    assert min(taken[day] for day in days) >= max(taken[day] for day in others)


def test_means_are_of_runs_and_the_ratio_is_of_all_energy() -> None:
    means = means_of([one(1, 20, 20, 10), one(2, 20, 10, 10)])
    assert (means.drivers_ours, means.drivers_equal_share) == (15, 10)
    assert means.energy_ratio == pytest.approx(1.5)
    assert means.drivers_servable == 39


def test_the_table_has_every_run_every_capacity_and_all() -> None:
    lines = list(table([one(1, 20, 20, 10), one(1, 40, 30, 30)]))
    assert len({line.count("|") for line in lines}) == 1
    starts = [line.split(" | ")[:2] for line in lines[2:]]
    assert starts == [
        ["| 2019-10-01", "20"],
        ["| 2019-10-01", "40"],
        ["| **mean**", "20"],
        ["| **mean**", "40"],
        ["| **mean**", "all"],
    ]
