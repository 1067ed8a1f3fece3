"""Rows of the speed table that plan one problem: cold, in a shortage, with V2G.

Ours is timed through the public face: `Problem` from plain arrays, a new `Planner`, the
plan with prices and certificate. What is compiled was compiled before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from benchmarks.speed.highs_forms import Measured
from benchmarks.speed.planner_cases import Arrays, arrays_of, patterns
from benchmarks.speed.planner_forms import TooLong, forms, measure
from benchmarks.speed.planner_instances import instance, tree_instance
from benchmarks.speed.planner_table import (
    Goal,
    Peer,
    Row,
    Times,
    at_least,
    ratio,
    relative,
    timed,
)
from optimizer import Problem, Result, Shortage, Status
from optimizer.planner import Planner

# The peers' own names are of a table that has nothing else.
NAMES = {
    "transport, simplex": "HiGHS simplex",
    "simplex, tuned": "HiGHS simplex, tuned",
    "transport, IPM": "HiGHS IPM",
    "transport, crossover": "HiGHS IPM + crossover",
    "stock": "HiGHS, a state a step",
    "warm, one EV's need": "HiGHS warm",
    "warm, new PRE": "HiGHS warm",
    "sequence of tiers": "HiGHS, tier by tier",
    "V2G, IPM": "HiGHS IPM",
    "V2G, simplex, tuned": "HiGHS simplex, tuned",
    "OR-tools flow": "OR-tools flow",
    "Pyomo + HiGHS": "Pyomo + HiGHS",
}
# These end as near to the optimum as arithmetic lets them; others by a tolerance.
EXACT = ("simplex, tuned", "OR-tools flow", "V2G, simplex, tuned")
SITE = (
    "transport, simplex",
    "simplex, tuned",
    "transport, IPM",
    "transport, crossover",
)
LIMIT = (*SITE, "stock", "Pyomo + HiGHS", "OR-tools flow")
TREE = (*SITE,)
FLAT = (*SITE, "OR-tools flow")


class Scale(msgspec.Struct, frozen=True):
    """How much to measure: calls of ours, seconds of a peer's run, small sizes only."""

    repeat: int = 7
    longest_s: float = 60.0
    quick: bool = False

    @property
    def short_s(self) -> float:
        """Calls are repeated for so long where they are short [s]."""
        return 0.0 if self.quick else 0.3

    def sizes(self, *full: int) -> tuple[int, ...]:
        """Return the numbers of EVs to measure."""
        return (20,) if self.quick else full


def planned(arrays: Arrays) -> Result:
    """Return a cold plan from plain arrays."""
    return Planner().plan(Problem(**arrays))


def cold(problem: Problem, scale: Scale) -> tuple[Times, Result]:
    """Return the times of cold plans, and the plan."""
    arrays = arrays_of(problem)
    result = planned(arrays)  # compiles or loads what this problem needs
    return timed(lambda: planned(arrays), scale.repeat, scale.short_s), result


def peers_of(
    problem: Problem, names: Sequence[str], scale: Scale, money: float
) -> tuple[tuple[Peer, ...], dict[str, float]]:
    """Return peers, and how far the optimum is from that of those who are exact."""
    found, differences = [], {}
    for name in names:
        peer, run = peer_of(problem, name, scale)
        if run is not None:
            off = relative(money, run.objective)
            if name in EXACT:
                differences[peer.name] = off
            else:
                peer = msgspec.structs.replace(peer, difference=abs(off))
        found.append(peer)
    return tuple(found), differences


def peer_of(problem: Problem, name: str, scale: Scale) -> tuple[Peer, Measured | None]:
    """Return a peer's time and run, or why there is none."""
    try:
        run = measure(forms()[name], problem, scale.repeat, scale.longest_s)
    except TooLong as reason:
        return Peer(NAMES[name], left_out=str(reason)), None
    except RuntimeError as failure:
        return Peer(NAMES[name], left_out=str(failure).splitlines()[0][:80]), None
    return Peer(NAMES[name], 1e3 * run.total_s), run


def gap_of(result: Result) -> dict[str, float]:
    """Return the certified gap as a difference; an uncertified plan has none."""
    gap = result.certificate.gap if result.certificate.accepted else np.inf
    return {"certified gap": gap}


def row_of(
    work: str,
    problem: Problem,
    names: Sequence[str],
    scale: Scale,
    factor: float,
    most_ms: float | None = None,
) -> Row:
    """Return the row of a plain problem planned cold."""
    ours, result = cold(problem, scale)
    peers, differences = peers_of(problem, names, scale, result.objective["money"])
    goals = [at_least(factor, ratio(peers, ours), "HiGHS")]
    if most_ms is not None:
        goals.append(Goal(most_ms, ours.median_ms))
    return Row(
        work=work,
        ours=ours,
        peers=peers,
        goals=tuple(goals),
        differences=differences | gap_of(result),
    )


def cold_rows(scale: Scale) -> Iterator[Row]:
    """Yield one site's limit, by size."""
    most_ms = {1_000: 3.0, 20_000: 150.0}
    for n in scale.sizes(50, 200, 1_000, 5_000, 20_000):
        work = f"{n:,} EVs × 96, cold"
        yield row_of(work, instance(n), LIMIT, scale, 100.0, most_ms.get(n))


def group_rows(scale: Scale) -> Iterator[Row]:
    """Yield one level of groups, and three below the zone's."""
    for n in scale.sizes(1_000):
        problem = instance(n, groups=3 if scale.quick else 20)
        work = f"{n:,} EVs × 96, {len(problem.groups)} groups"
        yield row_of(work, problem, FLAT, scale, 100.0)
        problem = tree_instance(n, (2, 2, 2) if scale.quick else (2, 3, 4))
        work = f"{n:,} EVs × 96, three levels, {len(problem.groups)} groups"
        yield row_of(work, problem, TREE, scale, 50.0)


def shortage_rows(scale: Scale) -> Iterator[Row]:
    """Yield a shortage of 45 % with two classes, by policy and size."""
    most_ms = {1_000: 20.0, 5_000: 150.0}
    for n in scale.sizes(1_000, 5_000):
        for policy in Shortage:
            problem = replace(instance(n, shortage=True), shortage=policy)
            ours, result = cold(problem, scale)
            peer, run = peer_of(problem, "sequence of tiers", scale)
            differences = gap_of(result)
            if run is not None:
                differences |= tier_differences(problem, result, run.tiers)
            goals = [at_least(50.0, ratio([peer], ours), "HiGHS")]
            if n in most_ms:
                goals.append(Goal(most_ms[n], ours.median_ms))
            yield Row(
                work=f"{n:,} EVs, 45 % short, two classes, {policy.name}",
                ours=ours,
                peers=(peer,),
                goals=tuple(goals),
                differences=differences,
            )


def tier_differences(
    problem: Problem, result: Result, other: Mapping[str, float]
) -> dict[str, float]:
    """Return how far each tier to money is from another's, by the tier's name."""
    differences = {}
    for name, value in result.objective.items():
        differences[f"HiGHS's {name}"] = relative(value, other[name])
        if name == "money":
            break
    return differences


def v2g_rows(scale: Scale) -> Iterator[Row]:
    """Yield V2G with losses, also within an envelope that cannot be kept."""
    most_ms = {200: 50.0, 1_000: 350.0, 5_000: 2_500.0}
    factor = {200: 15.0, 1_000: 40.0}
    for n in scale.sizes(200, 1_000, 5_000):
        problem = instance(n, v2g=True)
        ours, result = cold(problem, scale)
        names = ("V2G, IPM", "V2G, simplex, tuned")
        peers, differences = peers_of(problem, names, scale, result.objective["money"])
        goals = [Goal(1e-8, result.certificate.gap, "gap", "")]
        if n in most_ms:
            goals.append(Goal(most_ms[n], ours.median_ms))
        if n in factor:
            goals.append(at_least(factor[n], ratio(peers[:1], ours), "HiGHS IPM"))
        yield Row(
            work=f"{n:,} EVs, V2G with losses",
            ours=ours,
            peers=peers,
            goals=tuple(goals),
            differences=differences | gap_of(result),
        )
        yield _impossible(n, problem, scale, most_ms.get(n))


def _impossible(n: int, problem: Problem, scale: Scale, most_ms: float | None) -> Row:
    half = replace(problem, pre_upper_w=0.5 * problem.pre_upper_w)
    ours, result = cold(half, scale)
    if result.status is not Status.BEST_EFFORT:
        raise RuntimeError(f"half of the limit for {n} EVs is {result.status}")
    goals = [Goal(1e-8, result.certificate.gap, "gap", "")]
    if most_ms is not None:
        goals.append(Goal(most_ms, ours.median_ms))
    return Row(
        work=f"{n:,} EVs, V2G with losses, half of the PRE",
        ours=ours,
        goals=tuple(goals),
        differences=gap_of(result),
        notes=("HiGHS has no form of it here",),
    )


def pattern_rows(scale: Scale) -> Iterator[Row]:
    """Yield every pattern of prices and limits, the last with worst against median."""
    for n in scale.sizes(1_000):
        medians: dict[str, float] = {}
        times = Times((), ())
        found = []
        for name, problem in patterns(n):
            ours, result = cold(problem, scale)
            medians[name] = ours.median_ms
            times = times.joined(ours)
            found.append(
                Row(
                    work=f"{n:,} EVs, {name}",
                    ours=ours,
                    differences=gap_of(result),
                    notes=() if result.status is Status.OPTIMAL else (result.status,),
                )
            )
        yield from found
        # A shortage is more work whatever the prices, and has rows of its own.
        short = medians.pop("shortage")
        median = float(np.median(list(medians.values())))
        worst = max(medians, key=lambda name: medians[name])
        yield Row(
            work=f"{n:,} EVs, all patterns",
            ours=times,
            goals=(Goal(2.0, medians[worst] / median, "worst to median", "×"),),
            notes=(
                f"worst of those without a shortage: {worst}",
                f"the shortage: {short / median:.1f} × their median",
            ),
        )
