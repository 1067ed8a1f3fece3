"""A problem and a plan as the certificate's kernels want them, found independently."""

from dataclasses import dataclass

import numpy as np

from optimizer.checks import Floats, Ints
from optimizer.kernels.certify import charging_plan
from optimizer.problem import Problem


@dataclass(frozen=True, eq=False)
class Site:
    """A problem as the kernels want it.

    ``most_w`` and ``least_w`` are (n, T), or (n, 1) where the same at all steps;
    ``node`` (n,) is the smallest group of each EV plus 1, 0 for the zone;
    ``parent`` (1 + g,) that of each node; ``inner_first`` lists groups by size.
    """

    problem: Problem
    hours: Floats
    start: Ints
    stop: Ints
    least_w: Floats
    most_w: Floats
    most_wh: Floats
    node: Ints
    parent: Ints
    inner_first: tuple[int, ...]
    has_v2g: bool

    @classmethod
    def of(cls, problem: Problem) -> "Site":
        """Return the site of a problem."""
        start = np.clip(problem.arrival_step, 0, problem.n_step)
        most_wh = problem.energy_max_wh
        if problem.stored_wh is not None and problem.capacity_wh is not None:
            most_wh = np.fmin(most_wh, problem.capacity_wh - problem.stored_wh)
        node: Ints = np.zeros(problem.n_evse, np.int64)
        parent: Ints = np.zeros(1 + len(problem.groups), np.int64)
        sizes = [group.members.size for group in problem.groups]
        outer_first = sorted(range(len(sizes)), key=lambda g: (-sizes[g], g))
        for g in outer_first:
            members = problem.groups[g].members
            if members.size:
                parent[1 + g] = node[members[0]]
                node[members] = 1 + g
        return cls(
            problem=problem,
            hours=problem.hours,
            start=start,
            stop=np.clip(problem.departure_step, start, problem.n_step),
            least_w=_narrow(problem.power_min_w),
            most_w=_narrow(problem.power_max_w),
            most_wh=most_wh,
            node=node,
            parent=parent,
            inner_first=tuple(1 + g for g in reversed(outer_first)),
            has_v2g=problem.has_v2g,
        )

    def summed(self, own_w: Floats) -> Floats:
        """Return the power of each node (1 + g, T) from that of its own EVs."""
        for node in self.inner_first:
            own_w[self.parent[node]] += own_w[node]
        return own_w

    def node_prices(self, zone: Floats, groups: Floats) -> Floats:
        """Return the price of energy at each node (1 + g, T)."""
        prices: Floats = np.vstack([zone[None], groups])
        for node in reversed(self.inner_first):
            prices[node] += prices[self.parent[node]]
        return prices


@dataclass(frozen=True, eq=False)
class Plan:
    """What a plan amounts to: energies (n,), power of each node (1 + g, T).

    ``wrong_w`` (n,): power outside bounds and presence, summed over steps.
    ``cost``: bound of what the EVs pay, where it was found on the way.
    """

    energy_wh: Floats
    node_w: Floats
    wrong_w: Floats
    cost: float


def charging(site: Site, power_w: Floats, price_per_kwh: Floats) -> Plan:
    """Measure a plan without discharge at the prices of the nodes (1 + g, T)."""
    problem, n = site.problem, site.problem.n_evse
    energy, wrong = np.empty(n), np.empty(n)
    node_w = np.zeros(price_per_kwh.shape)
    cost = charging_plan(
        power_w,
        site.most_w,
        site.start,
        site.stop,
        site.hours,
        problem.charge_efficiency,
        problem.energy_target_wh,
        site.most_wh,
        site.node,
        price_per_kwh / 1000.0,
        np.argsort(price_per_kwh, axis=1, kind="stable"),
        energy,
        node_w,
        wrong,
    )
    return Plan(energy, site.summed(node_w), wrong, cost)


def battery_bounds_wh(problem: Problem) -> tuple[Floats, Floats]:
    """Return the bounds of the energy gained by the end of any step, (n,) each."""
    if problem.stored_wh is None or problem.capacity_wh is None:
        return np.full(problem.n_evse, -np.inf), np.full(problem.n_evse, np.inf)
    room = problem.capacity_wh - problem.stored_wh
    known = np.isfinite(room)
    return (
        np.where(known, -problem.stored_wh, -np.inf),
        np.where(known, room, np.inf),
    )


def _narrow(power_w: Floats) -> Floats:
    """Return (n, 1) where steps repeat it, else (n, T); contiguous."""
    same = power_w.ndim == 2 and power_w.shape[1] > 0 and power_w.strides[1] == 0
    return np.ascontiguousarray(power_w[:, :1] if same else power_w, np.float64)
