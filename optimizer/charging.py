"""Charging without phases: every tier exactly, by a compiled flow.

The energies EVs can get and the loads steps can have are two sides of one flow, and
both form polymatroids (docs/planner.md). So the strict tiers are greedy orders: who is
served first, class by class, never loses to who comes later, and with the energies
settled the steps are filled by price, then by time.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optimizer.checks import Floats, Ints
from optimizer.kernels import charge
from optimizer.kernels.charge import PLENTY, UNITS
from optimizer.kernels.flow import Flow, Words, clear, empty_flow
from optimizer.kernels.nearest import nearest, network_of
from optimizer.kernels.nearest_search import Network
from optimizer.problem import Problem, Shortage
from optimizer.solution import Solution
from optimizer.tiers import gaps_wh

# What may be left out of one EV's energy as rounding [units].
ROUNDING = 500


class NoKernel(Exception):
    """The problem has a feature that this solver leaves to the general one."""


@dataclass(frozen=True, eq=False)
class Needs:
    """Energy at the EVSE [units]: promised, beyond it asked for, and beyond both."""

    promised: Ints
    asked: Ints
    optional: Ints


class Charging:
    """Keeps its arrays between calls."""

    def __init__(self) -> None:
        self._flow: Flow | None = None
        self._network: Network | None = None
        self._leaf = np.empty(0, np.int64)

    def solve(self, problem: Problem, deadline: float = np.inf) -> Solution:
        """Return the plan; it always ends in time.

        Raises
        ------
        NoKernel
            for V2G, phases, energy windows, a price of the peak, lower bounds of groups
            above 0, and a PRE's lower bound that conflicts with promised energy.
        """
        _refuse(problem)
        if problem.n_evse == 0:
            return Solution.without_prices(problem, np.zeros((0, problem.n_step)))
        run = _Run(problem, self._sized(problem))
        service = run.serve_all()
        solution = run.solution(service)
        if problem.previous_power_w is not None:
            self._go_near(run, solution.power_w)
        return solution

    def _go_near(self, run: "_Run", power_w: Floats) -> None:
        """Move a plan (n, T) [W] as near to the one in force as its sums allow."""
        flow, problem, n_step = run.flow, run.problem, run.problem.n_step
        network = self._network
        if network is None or not (
            network.kept.shape == power_w.shape
            and np.array_equal(network.parent, flow.parent)
            and np.array_equal(self._leaf, flow.leaf)
        ):
            self._leaf = flow.leaf.copy()
            self._network = network = network_of(n_step, self._leaf, flow.parent.copy())
        assert problem.previous_power_w is not None
        previous = np.rint(problem.previous_power_w * (run.hours * UNITS))
        columns = slice(0, n_step)
        x = np.ascontiguousarray(flow.x[:, columns])
        nearest(
            x,
            np.ascontiguousarray(flow.cap[:, columns]),
            previous.astype(np.int64),
            np.ascontiguousarray(run.room[:, columns]),
            network,
        )
        charge.powers(x, run.hours, power_w)

    def _sized(self, problem: Problem) -> Flow:
        n, g = problem.n_evse, 1 + len(problem.groups)
        n_column = problem.n_step + int(_has_use_for_optional(problem))
        flow = self._flow
        if flow is None or flow.x.shape != (n, n_column) or flow.parent.size != g:
            self._flow = flow = empty_flow(n, n_column, g)
        return flow


class _Run:
    """One problem on its way through the tiers."""

    def __init__(self, problem: Problem, flow: Flow) -> None:
        n, n_step = problem.n_evse, problem.n_step
        self.problem, self.flow, self.hours = problem, flow, problem.hours
        self.n_column = flow.x.shape[1]
        power = problem.power_max_w
        if power.strides[1] == 0:
            power = power[:, :1]
        charge.set_caps(
            flow,
            np.ascontiguousarray(power),
            self.hours,
            problem.arrival_step,
            problem.departure_step,
        )
        self.own = np.empty(n, np.int64)
        charge.own_limits(flow, n_step, self.own)
        self.needs = _needs(problem, self.own)
        flow.parent[:], flow.leaf[:], self.node_of_group = _tree(problem)
        self.room = _rooms(problem, self.hours, self.node_of_group, self.n_column)
        self.lower = np.zeros(self.n_column, np.int64)
        self.lower[:n_step] = np.clip(
            np.ceil(problem.pre_lower_w * self.hours * UNITS - 1e-3), 0, PLENTY
        )
        if self.n_column > n_step:
            flow.cap[:, n_step] = self.needs.optional
        price = np.zeros(self.n_column)
        price[:n_step] = problem.price_per_kwh
        when = np.arange(self.n_column)
        when[n_step:] = -1  # at price 0 rather nothing than something
        self.price, self.order = price, np.lexsort((when, price))

    def serve_all(self) -> NDArray[np.float64]:
        """Settle every EV's energy and send it; return the service prices."""
        needs, problem = self.needs, self.problem
        energy = needs.promised + needs.asked
        served = self._send(energy)
        if problem.groups and self._lower_missing() > 0:
            # Leaving a group's limit may then be worth as much as filling the PRE.
            raise NoKernel("a PRE's lower bound that groups may keep from being met")
        if served:
            return np.zeros((0, self.flow.parent.size, problem.n_step))
        relieved = self._lower_missing()
        energy, service = self._share_shortage()
        if not self._send(energy) or self._lower_missing() > relieved:
            raise NoKernel("the PRE's lower bound conflicts with promised energy")
        return service

    def _send(self, energy: Ints) -> bool:
        """Send energies (n,) and optional ones at least price; whether all went."""
        flow = self.flow
        flow.room[:] = self.room
        flow.supply[:] = energy
        if self.n_column > self.problem.n_step:
            flow.supply[:] += self.needs.optional
        charge.cheapest(flow, self.order, self.lower)
        return bool(flow.supply.max(initial=0) <= ROUNDING)

    def _lower_missing(self) -> int:
        missing = self.lower - charge.loads(self.flow)
        return int(missing.clip(0).sum())

    def _share_shortage(self) -> tuple[Ints, Floats]:
        """Return every EV's energy (n,) [units] in a shortage, and service prices."""
        problem, flow, n_step = self.problem, self.flow, self.problem.n_step
        flow.room[:] = self.room
        flow.room[0, n_step:] = 0
        clear(flow)
        columns = charge.least_wanted_first(flow, n_step)
        energy = np.zeros(problem.n_evse, np.int64)
        min_gap, target_gap = gaps_wh(problem)
        classes = np.unique(problem.priority)
        service = np.zeros((classes.size, flow.parent.size, n_step))
        for amounts, gap_wh in (
            (self.needs.promised, min_gap),
            (self.needs.asked, target_gap),
        ):
            for k, number in enumerate(classes):
                blocks = self._blocks(problem.priority == number)
                service[k] = 0.0
                for (better, members), (worse, _) in pairwise(
                    [*blocks, (0.0, np.empty(0, np.int64))]
                ):
                    energy[members] += self._serve(
                        members, amounts[members], gap_wh[members], columns
                    )
                    service[k] += (better - worse) * self._cut()
        return energy, service

    def _cut(self) -> Floats:
        """Return 1 where a limit is full and more of it would serve more, (g, T)."""
        flow, n_step = self.flow, self.problem.n_step
        inside = _as_columns(flow.closed, n_step)
        carries = self.room[:, :n_step] > flow.room[:, :n_step]
        out = inside.astype(np.float64)
        for v in range(1, flow.parent.size):
            above = inside[flow.parent[v]]
            inside[v] |= above & carries[v]
            out[v] = inside[v] & ~above
        return out

    def _blocks(self, chosen: NDArray[np.bool_]) -> list[tuple[float, Ints]]:
        """Return efficiency and rows of a class, those with a better one first."""
        rows = np.flatnonzero(chosen)
        efficiency = self.problem.charge_efficiency[rows]
        return [(e, rows[efficiency == e]) for e in np.unique(efficiency)[::-1]]

    def _serve(self, rows: Ints, amounts: Ints, gap_wh: Floats, columns: Ints) -> Ints:
        evenly = np.zeros(rows.size, np.int64)
        if self.problem.shortage is Shortage.MAX_MIN:
            evenly = _serve_evenly(self.flow, rows, amounts, gap_wh, columns)
        # After even shares this places their rounding, and finds what is full.
        order = np.argsort(gap_wh, kind="stable")
        rest, served = (amounts - evenly)[order], np.zeros(rows.size, np.int64)
        charge.serve_in_order(self.flow, rows[order], rest, columns, served)
        evenly[order] += served
        return evenly

    def solution(self, service: Floats) -> Solution:
        """Return what was sent, with the prices of the limits."""
        problem, flow, n_step = self.problem, self.flow, self.problem.n_step
        power = np.empty((problem.n_evse, n_step))
        charge.powers(flow.x, self.hours, power)
        potential = np.empty((flow.parent.size, self.n_column))
        energy = self.needs.promised + self.needs.asked
        wants_more = flow.x[:, :n_step].sum(axis=1) < energy - ROUNDING
        charge.prices(flow, self.price, self.order, self.lower, wants_more, potential)
        pre_price = potential[0, :n_step] - self.price[:n_step]
        worth = potential[1:] - potential[flow.parent[1:]]
        rows = np.concatenate([[0], self.node_of_group]).astype(np.int64)
        return Solution(
            power,
            pre_price,
            worth[self.node_of_group - 1, :n_step],
            service[:, rows],
        )


def _refuse(problem: Problem) -> None:
    """Raise NoKernel for what is no flow."""
    if problem.has_v2g:
        raise NoKernel("V2G")
    if problem.phases is not None:
        raise NoKernel("phases")
    if problem.energy_windows:
        raise NoKernel("energy windows")
    if problem.peak_per_kw > 0:
        raise NoKernel("a price of the peak")
    if any((group.lower_w > 0).any() for group in problem.groups):
        raise NoKernel("a group's lower bound above 0")


def _has_use_for_optional(problem: Problem) -> bool:
    """Whether energy beyond the target may be worth transferring."""
    wanted = (problem.price_per_kwh < 0).any() or (problem.pre_lower_w > 0).any()
    return bool(wanted and (problem.energy_max_wh > problem.energy_target_wh).any())


def _needs(problem: Problem, own: Ints) -> Needs:
    """Return the needs, no more than battery and EVSE allow."""
    most_wh = problem.energy_max_wh
    if problem.stored_wh is not None and problem.capacity_wh is not None:
        most_wh = np.fmin(most_wh, problem.capacity_wh - problem.stored_wh)
    scale = UNITS / problem.charge_efficiency
    most = np.rint(most_wh * scale).astype(np.int64)
    promised = np.rint(problem.energy_min_wh * scale).astype(np.int64)
    target = np.rint(problem.energy_target_wh * scale).astype(np.int64)
    target = np.minimum(np.minimum(target, most), own)
    promised = np.minimum(promised, target)
    return Needs(promised, target - promised, np.minimum(most, own) - target)


def _tree(problem: Problem) -> tuple[Ints, Ints, Ints]:
    """Return parent of each node, leaf of each EV, and the node of each group."""
    sizes = [group.members.size for group in problem.groups]
    by_size = sorted(range(len(sizes)), key=lambda g: (-sizes[g], g))
    leaf = np.zeros(problem.n_evse, np.int64)
    parent = np.full(1 + len(sizes), -1, np.int64)
    node_of_group = np.zeros(len(sizes), np.int64)
    for node, g in enumerate(by_size, start=1):
        members = problem.groups[g].members
        parent[node] = leaf[members[0]] if members.size else 0
        leaf[members] = node
        node_of_group[g] = node
    return parent, leaf, node_of_group


def _rooms(problem: Problem, hours: Floats, node_of_group: Ints, n_column: int) -> Ints:
    """Return what each node lets through in each column, (g, K)."""
    room = np.full((1 + node_of_group.size, n_column), PLENTY, np.int64)
    room[0, : hours.size] = _room(problem.pre_upper_w, hours)
    for group, node in zip(problem.groups, node_of_group, strict=True):
        room[node, : hours.size] = _room(group.upper_w, hours)
    return room


def _room(upper_w: Floats, hours: Floats) -> Ints:
    return np.clip(np.floor(upper_w * hours * UNITS + 1e-3), 0, PLENTY).astype(np.int64)


def _as_columns(words: Words, n_step: int) -> NDArray[np.bool_]:
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return bits[:, :n_step].astype(bool)


def _serve_evenly(
    flow: Flow, rows: Ints, amounts: Ints, gap_wh: Floats, columns: Ints
) -> Ints:
    """Serve the least served share as much as can be, then the next one, and so on.

    Newton's method on cuts (Dinkelbach): a share that is too high for some of the EVs
    shows a cut; what the cut lets through, shared by them, is the next share to try.
    The last ones are settled, the rest goes on above them. Returns (n,) [units].
    """
    served = np.zeros(rows.size, np.int64)
    weight = np.maximum(gap_wh, 1.0)
    todo = np.flatnonzero(amounts > 0)
    is_dropped = np.empty(flow.x.shape[0], np.bool_)
    while todo.size:
        base = _state(flow)
        tight, share = todo, float((amounts[todo] / weight[todo]).max())
        while True:
            asked = np.minimum(amounts[tight], np.floor(share * weight[tight]))
            asked = asked.astype(np.int64)
            got = np.zeros(tight.size, np.int64)
            charge.serve_in_order(flow, rows[tight], asked, columns, got)
            if (got == asked).all():
                break
            charge.dropped(flow, is_dropped)
            cut = is_dropped[rows[tight]]
            tight, share = _next_share(tight, got, cut, amounts, weight)
            _restore(flow, base)
        served[tight] = got
        todo = np.setdiff1d(todo, tight)
    return served


def _next_share(
    tight: Ints,
    got: Ints,
    cut: NDArray[np.bool_],
    amounts: Ints,
    weight: Floats,
) -> tuple[Ints, float]:
    """Return the EVs within the cut and the share that it lets them have."""
    inside = tight[cut]
    room = float(got[cut].sum())
    # Who needs less than the share gets what it needs; the others share the rest.
    order = inside[np.argsort(amounts[inside] / weight[inside], kind="stable")]
    weights = weight[order].sum()
    for row in order:
        if amounts[row] / weight[row] >= room / weights:
            break
        room -= float(amounts[row])
        weights -= weight[row]
    return inside, room / weights


def _state(flow: Flow) -> tuple[NDArray[np.generic], ...]:
    kept = (flow.x, flow.room, flow.give, flow.take, flow.open, flow.closed)
    return tuple(a.copy() for a in (*kept, flow.active, flow.n_active))


def _restore(flow: Flow, state: tuple[NDArray[np.generic], ...]) -> None:
    kept = (flow.x, flow.room, flow.give, flow.take, flow.open, flow.closed)
    for array, was in zip((*kept, flow.active, flow.n_active), state, strict=True):
        array[...] = was
