"""How long the plan nearest to the one in force takes after the usual changes.

``python -m benchmarks.speed.nearest``: EVs with random windows, caps and needs over 96
quarter hours under a constant site limit 5 % above what is needed; a greedy by price
makes the plan in force, and makes it anew after each change, knowing nothing of the
first. Printed are medians, least and most of several runs, the EVs whose plan differs
from the one in force before and after, and the energy that moves.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optimizer.kernels.nearest import nearest, network_of

Ints = NDArray[np.int64]
N_STEP = 96
STEPS_PER_HOUR = 4
UWH_PER_KWH = 10**9


@dataclass(frozen=True, eq=False)
class Site:
    """A charging problem in µWh: caps (n, T), needs (n,), limits and prices (T,)."""

    cap: Ints
    need: Ints
    limit: Ints
    price: Ints


def random_site(n: int, seed: int) -> Site:
    """Return EVs that stay for 2 to 14 hours and need part of what they can take."""
    dice = np.random.default_rng(seed)
    start = dice.integers(0, N_STEP - 8, n)
    stop = np.minimum(start + dice.integers(8, 56, n), N_STEP)
    power_kw = dice.choice([3.7, 7.4, 11.0, 22.0], n)
    steps = np.arange(N_STEP)
    present = (steps >= start[:, None]) & (steps < stop[:, None])
    step_uwh = np.rint(power_kw * UWH_PER_KWH / STEPS_PER_HOUR).astype(np.int64)
    cap = step_uwh[:, None] * present
    need = (cap.sum(axis=1) * dice.uniform(0.1, 0.7, n)).astype(np.int64)
    spread = (need / (stop - start))[:, None] * present
    limit = np.full(N_STEP, int(1.05 * spread.sum(axis=0).max()))
    return Site(cap, need, limit, dice.permutation(N_STEP))


def greedy(site: Site) -> Ints:
    """Fill steps by price, EVs with least choice first; what does not fit stays out."""
    x = np.zeros_like(site.cap)
    left = site.need.copy()
    could = site.cap.sum(axis=1)
    for t in np.argsort(site.price, kind="stable"):
        could -= site.cap[:, t]
        order = np.argsort(could - left, kind="stable")
        wanted = np.minimum(site.cap[order, t], left[order])
        before = np.cumsum(wanted) - wanted
        x[order, t] = np.clip(site.limit[t] - before, 0, wanted)
        left -= x[:, t]
    return x


def changes(site: Site, seed: int) -> Iterator[tuple[str, Site]]:
    """Yield what may change, by name."""
    dice = np.random.default_rng(seed)
    for name, count in (("1 need", 1), ("10 needs", 10)):
        need = site.need.copy()
        some = dice.choice(need.size, min(count, need.size), replace=False)
        need[some] = (need[some] * dice.uniform(0.5, 1.2, some.size)).astype(np.int64)
        yield name, replace(site, need=np.minimum(need, site.cap.sum(axis=1)))
    limit = site.limit.copy()
    some = dice.choice(N_STEP, 8, replace=False)
    limit[some] = (limit[some] * dice.uniform(0.9, 1.1, 8)).astype(np.int64)
    yield "8 PRE steps", replace(site, limit=limit)
    factor = dice.uniform(0.9, 1.1, N_STEP)
    yield "whole PRE", replace(site, limit=(site.limit * factor).astype(np.int64))
    yield "all prices", replace(site, price=dice.permutation(N_STEP))


def tree_of(n: int, n_group: int) -> tuple[Ints, Ints]:
    """Return leaves and parents of one level of groups below the zone."""
    leaf = np.arange(n) % n_group + 1 if n_group else np.zeros(n, np.int64)
    return leaf, np.array([-1] + [0] * n_group)


def group_limits(plan: Ints, leaf: Ints, n_group: int) -> Ints:
    """Return limits that the plan keeps, 5 % above its load of each group."""
    upper = np.zeros((1 + n_group, plan.shape[1]), np.int64)
    np.add.at(upper, leaf, plan)
    return upper + upper // 20


def measure(n: int, n_group: int, runs: int, seed: int) -> None:
    """Print a line for each change."""
    site = random_site(n, seed)
    previous = greedy(site)
    leaf, parent = tree_of(n, n_group)
    network = network_of(N_STEP, leaf, parent)
    for name, changed in changes(site, seed + 1):
        plan = greedy(changed)
        upper = group_limits(plan, leaf, n_group)
        times_ms = []
        for _ in range(1 + runs):  # the first one compiles
            x = plan.copy()
            began = time.perf_counter()
            moved = nearest(x, changed.cap, previous, upper, network)
            times_ms.append(1e3 * (time.perf_counter() - began))
        del times_ms[0]
        before = int((plan != previous).any(axis=1).sum())
        after = int((x != previous).any(axis=1).sum())
        energy = np.abs(plan - previous).sum() / UWH_PER_KWH
        print(
            f"{n:6} EVs, {n_group:3} groups, {name:12}"
            f" {statistics.median(times_ms):8.2f} ms"
            f" ({min(times_ms):.2f} to {max(times_ms):.2f}),"
            f" {before} -> {after} EVs,"
            f" {energy:,.0f} -> {moved.energy / UWH_PER_KWH:,.0f} kWh,"
            f" {network.effort[0]} searches, {network.effort[1]} paths"
            f"{'' if moved.is_proven else ', NOT PROVEN'}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evs", type=int, nargs="+", default=[200, 1000, 5000, 20000])
    parser.add_argument("--groups", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args(arguments)
    for n in options.evs:
        for n_group in options.groups:
            measure(n, n_group, options.runs, options.seed)


if __name__ == "__main__":
    main()
