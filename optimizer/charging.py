"""Charging without phases: every tier exactly, by a compiled flow.

The energies EVs can get and the loads steps can have are two sides of one flow, and
both form polymatroids (docs/planner.md). So the strict tiers are greedy orders: who is
served first, class by class, never loses to who comes later, and with the energies
settled the steps are filled by price, then by time.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optimizer.charging_form import Form, form_of, needs_of
from optimizer.checks import Floats, Ints, repeated_part
from optimizer.kernels import charge
from optimizer.kernels.flow import Flow, Words, clear
from optimizer.kernels.nearest import nearest, network_of
from optimizer.kernels.nearest_search import Network
from optimizer.kernels.warm import adopt, powers_of, units_of
from optimizer.problem import Problem, Shortage
from optimizer.solution import Solution
from optimizer.tiers import gaps_wh
from optimizer.warm import Memory

# What may be left out of one EV's energy as rounding [units].
ROUNDING = 500
NOBODY = (0.0, np.empty(0, np.int64))


class NoKernel(Exception):
    """The problem has a feature that this solver leaves to the general one."""


class Charging:
    """Keeps its arrays between calls, and the last flow for when little changes."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._network: Network | None = None
        self._leaf = np.empty(0, np.int64)
        self._previous = np.empty((0, 0), np.int64)

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
        form = form_of(problem)
        service = np.zeros((0, form.parent.size, problem.n_step))
        followed, memory = self._memory.follow(problem, form), self._memory
        wants_more = np.zeros(memory.flow.supply.size, np.bool_)
        if followed is None:
            run = _Run(problem, form, memory.forget(problem, form))
            service = run.serve_all()
            wants_more = np.zeros(memory.flow.supply.size, np.bool_)
            if service.size:
                wants_more[: problem.n_evse] = run.wants_more()
            else:
                energy = run.needs.promised + run.needs.asked
                memory.remember(problem, form, energy, run.own)
        form = followed or form
        if problem.previous_power_w is not None:
            self._go_near(problem.previous_power_w, form)
        return self._solution(problem, form, service, wants_more)

    def _go_near(self, previous_w: Floats, form: Form) -> None:
        """Move the flow as near to the plan in force [W] as its sums allow."""
        flow, slot = self._memory.flow, self._memory.slot
        network, columns = self._network, slice(0, form.hours.size)
        x = np.ascontiguousarray(flow.x[:, columns])
        if network is None or not (
            network.kept.shape == x.shape
            and np.array_equal(network.parent, flow.parent)
            and np.array_equal(self._leaf, flow.leaf)
        ):
            self._leaf = flow.leaf.copy()
            network = network_of(form.hours.size, self._leaf, flow.parent.copy())
            self._network = network
        previous = self._previous
        if previous.shape != x.shape:
            previous = self._previous = np.empty_like(x)
        units_of(np.ascontiguousarray(previous_w), slot, form.hours, previous)
        nearest(
            x,
            np.ascontiguousarray(flow.cap[:, columns]),
            previous,
            np.ascontiguousarray(form.room[:, columns]),
            network,
        )
        if x.base is flow.x:
            adopt(flow, network.kept, network.is_kept)
        else:
            flow.x[:, columns] = x

    def _solution(
        self,
        problem: Problem,
        form: Form,
        service: Floats,
        wants_more: NDArray[np.bool_],
    ) -> Solution:
        """Return what is sent, with the prices of the limits."""
        flow, n_step = self._memory.flow, problem.n_step
        power_w = np.empty((problem.n_evse, n_step))
        powers_of(flow.x, self._memory.slot, form.hours, power_w)
        potential = np.empty(form.room.shape)
        load = form.room[0] - flow.room[0]
        charge.prices(
            flow, form.price, form.order, load, form.lower, wants_more, potential
        )
        worth = potential[1:] - potential[form.parent[1:]]
        rows = np.concatenate([[0], form.node_of_group]).astype(np.int64)
        return Solution(
            power_w,
            potential[0, :n_step] - form.price[:n_step],
            worth[form.node_of_group - 1, :n_step],
            service[:, rows],
        )


class _Run:
    """One problem on its way through the tiers."""

    def __init__(self, problem: Problem, form: Form, flow: Flow) -> None:
        n_step = problem.n_step
        self.problem, self.form, self.flow = problem, form, flow
        charge.set_caps(
            flow,
            np.ascontiguousarray(repeated_part(problem.power_max_w)),
            form.hours,
            problem.arrival_step,
            problem.departure_step,
        )
        self.own = np.empty(problem.n_evse, np.int64)
        charge.own_limits(flow, n_step, self.own)
        self.needs = needs_of(problem, self.own)
        flow.parent[:], flow.leaf[:] = form.parent, form.leaf
        if form.order.size > n_step:
            flow.cap[:, n_step] = self.needs.optional

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
        flow.room[:] = self.form.room
        flow.supply[:] = energy
        if self.form.order.size > self.problem.n_step:
            flow.supply[:] += self.needs.optional
        charge.cheapest(flow, self.form.order, self.form.lower)
        return bool(flow.supply.max(initial=0) <= ROUNDING)

    def _lower_missing(self) -> int:
        missing = self.form.lower - (self.form.room[0] - self.flow.room[0])
        return int(missing.clip(0).sum())

    def _share_shortage(self) -> tuple[Ints, Floats]:
        """Return every EV's energy (n,) [units] in a shortage, and service prices."""
        problem, flow, n_step = self.problem, self.flow, self.problem.n_step
        flow.room[:] = self.form.room
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
                for (better, members), (worse, _) in pairwise([*blocks, NOBODY]):
                    energy[members] += self._serve(
                        members, amounts[members], gap_wh[members], columns
                    )
                    service[k] += (better - worse) * self._cut()
        return energy, service

    def _cut(self) -> Floats:
        """Return 1 where a limit is full and more of it would serve more, (g, T)."""
        flow, n_step = self.flow, self.problem.n_step
        inside = _as_columns(flow.closed, n_step)
        carries = self.form.room[:, :n_step] > flow.room[:, :n_step]
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

    def wants_more(self) -> NDArray[np.bool_]:
        """Return whether an EV got less than it asked for, (n,)."""
        energy = self.needs.promised + self.needs.asked
        sent = self.flow.x[:, : self.problem.n_step].sum(axis=1)
        wants: NDArray[np.bool_] = sent < energy - ROUNDING
        return wants


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
