"""Rows of the speed table in which one planner is kept from problem to problem.

Every plan's money is compared with that of a new planner, and HiGHS's warm simplex
solves changes of the same kind on the same instance.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.speed.planner_cases import (
    Arrays,
    arrays_of,
    events,
    kept_rows,
)
from benchmarks.speed.planner_instances import instance, with_new_pre
from benchmarks.speed.planner_rows import Scale, gap_of, peer_of, planned
from benchmarks.speed.planner_table import (
    Goal,
    Peer,
    Row,
    Times,
    at_least,
    ratio,
    relative,
)
from optimizer import Problem, Result
from optimizer.checks import Floats
from optimizer.planner import Planner

# A plan changed for an EV whose power is another by more than this in some step [W].
SAME_W = 1e-3
# Of one row: so many of each kind, so that there is a 99th percentile.
EVENTS_A_RUN = 15


@dataclass
class _Seen:
    """Times of calls [ms], shares of EVs whose plan changed, and what was planned.

    Planning anew to compare comes after all calls, so that it disturbs none.
    """

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    gap: float = 0.0
    planned: list[tuple[Arrays, float]] = field(default_factory=list)

    def call(self, planner: Planner, arrays: Arrays) -> Result:
        """Plan by a kept planner, timed."""
        begun, cpu_begun = time.perf_counter(), time.process_time()
        result = planner.plan(Problem(**arrays))
        self.cpu_ms.append(1e3 * (time.process_time() - cpu_begun))
        self.wall_ms.append(1e3 * (time.perf_counter() - begun))
        alone = arrays | {"previous_power_w": None}
        self.planned.append((alone, result.objective["money"]))
        self.gap = max(self.gap, gap_of(result)["certified gap"])
        return result

    def moved(self, power_w: Floats, before_w: Floats) -> None:
        """Note the share of EVs whose plan changed."""
        changed = (np.abs(power_w - before_w) > SAME_W).any(axis=1)
        self.share.append(float(changed.mean()))

    @property
    def times(self) -> Times:
        """The times."""
        return Times(tuple(self.wall_ms), tuple(self.cpu_ms))

    @property
    def differences(self) -> dict[str, float]:
        """The greatest differences of any call."""
        off = (
            abs(relative(money, planned(arrays).objective["money"]))
            for arrays, money in self.planned
        )
        return {"a plan made anew": max(off), "certified gap": self.gap}


def event_rows(scale: Scale) -> Iterator[Row]:
    """Yield single events, by kind, with and without the plan in force given."""
    for n in scale.sizes(1_000):
        problem = instance(n)
        peer, difference = _warm(problem, "warm, one EV's need", scale)
        for near in (False, True):
            found = _events(problem, scale, near)
            for kind, seen in found.items():
                given = ", plan in force given" if near else ""
                yield _event_row(f"{n:,} EVs, {kind}{given}", seen, peer, difference)


def _events(problem: Problem, scale: Scale, near: bool) -> dict[str, _Seen]:
    """Return what each kind of event took; the first two rounds are not counted."""
    rounds = 1 if scale.quick else EVENTS_A_RUN * scale.repeat // 3
    planner = Planner()
    found: dict[str, _Seen] = {}
    power_w = planner.plan(problem).power_w
    for i, event in enumerate(events(problem, 3 * (2 + rounds))):
        if i == 6:
            found = {}
        before_w = kept_rows(power_w, event)
        given = {"previous_power_w": before_w} if near else {}
        seen = found.setdefault(event.kind, _Seen())
        power_w = seen.call(planner, event.arrays | given).power_w
        seen.moved(power_w, before_w)
    return found


def _event_row(work: str, seen: _Seen, peer: Peer, difference: dict[str, float]) -> Row:
    ours = seen.times
    percent = 100.0 * float(np.median(seen.share))
    return Row(
        work=f"{work} ({len(ours.wall_ms)} events)",
        ours=ours,
        peers=(peer,),
        goals=(
            Goal(1.0, ours.median_ms, "median"),
            Goal(3.0, ours.percentile_ms(99.0), "p99"),
            at_least(200.0, ratio([peer], ours), "HiGHS"),
            Goal(5.0, percent, "EVs whose plan changes, median", "%"),
        ),
        differences=seen.differences | difference,
        notes=(f"at most {100.0 * max(seen.share):.1f} % of the plans change",),
    )


def pre_rows(scale: Scale) -> Iterator[Row]:
    """Yield a new PRE, the nearest plan to the one in force sought."""
    for n in scale.sizes(1_000):
        problem = instance(n)
        seen, planner = _Seen(), Planner()
        before_w = planner.plan(problem).power_w
        calls = 1 if scale.quick else max(scale.repeat, 7)
        for seed in range(-2, calls):
            if seed == 0:
                seen = _Seen()
            changed = arrays_of(with_new_pre(problem, 100 + seed))
            given = {"previous_power_w": before_w}
            power_w = seen.call(planner, changed | given).power_w
            seen.moved(power_w, before_w)
            before_w = power_w
        peer, difference = _warm(problem, "warm, new PRE", scale)
        ours, percent = seen.times, 100.0 * float(np.median(seen.share))
        yield Row(
            work=f"{n:,} EVs, new PRE, nearest plan",
            ours=ours,
            peers=(peer,),
            goals=(
                Goal(6.0, ours.median_ms),
                at_least(60.0, ratio([peer], ours), "HiGHS"),
            ),
            differences=seen.differences | difference,
            notes=(f"plans change for {percent:.0f} % of the EVs (median)",),
        )


def _warm(problem: Problem, name: str, scale: Scale) -> tuple[Peer, dict[str, float]]:
    """Return a warm peer, and how far ours is from its optimum of its last problem."""
    peer, run = peer_of(problem, name, scale)
    if run is None:
        return peer, {}
    money = planned(arrays_of(run.problem)).objective["money"]
    return peer, {peer.name: relative(money, run.objective)}
