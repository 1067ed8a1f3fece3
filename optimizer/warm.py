"""What changed between two charging problems, and the last plan made to fit it.

When an EV came, left or needs something else and all else is as it was, the last flow
is one of least cost but for that EV: `optimizer.kernels.warm` repairs it. The flow's
rows are slots that EVs keep while they stay; problems name them by ``row_key``. Which
row is taken for which slot is a matter of speed alone: what differs is repaired.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.charging_form import Form, needs_of
from optimizer.checks import Floats, Ints, repeated_part
from optimizer.kernels.flow import Flow, empty_flow
from optimizer.kernels.warm import caps_of, differing, match, repair
from optimizer.problem import Problem

# More rows than this that differ: a plan made anew is about as fast.
MOST_CHANGES = 8
# Rows of a flow beyond those of its first problem, at least.
SPARE = 64


@dataclass(eq=False)
class _Kept:
    """What the flow was made from; by slot but for key and slot, which are by row."""

    form: Form
    key: Ints
    slot: Ints
    power_w: Floats
    arrival: Ints
    departure: Ints
    energy: Ints
    own: Ints


@dataclass(frozen=True, eq=False)
class _Changes:
    """The slot of each row, slots without an EV, and rows that are not as kept.

    Caps (k, T) are those of the rows; energy and own limits are of all rows.
    """

    slot: Ints
    gone: Ints
    rows: Ints
    caps: Ints
    energy: Ints
    own: Ints


class Memory:
    """The flow of the last plan by slots, and what it was made from.

    Attributes
    ----------
    flow : Flow
        Slots without an EV have no cap and send nothing.
    slot : (n,) int
        Slot of each row of the last problem.
    """

    def __init__(self) -> None:
        self.flow: Flow = empty_flow(0, 0, 0)
        self.slot: Ints = np.empty(0, np.int64)
        self._kept: _Kept | None = None

    def forget(self, problem: Problem, form: Form) -> Flow:
        """Return the flow's first rows, one for each EV, to be filled anew."""
        n, shape = problem.n_evse, form.room.shape
        size, flow = self.flow.x.shape[0], self.flow
        if not n <= size <= 2 * n + 2 * SPARE or flow.room.shape != shape:
            size = (n + SPARE + 63) // 64 * 64
            self.flow = flow = empty_flow(size, shape[1], shape[0])
        for name in ("cap", "x", "supply", "leaf", "give", "take", "largest"):
            getattr(flow, name)[n:] = 0
        self._kept, self.slot = None, np.arange(n)
        return _first_rows(flow, n)

    def remember(self, problem: Problem, form: Form, energy: Ints, own: Ints) -> None:
        """Note that the flow is that of a problem, whose EVs get all their energy."""
        flow, n = self.flow, problem.n_evse
        if form.lower.any() or flow.supply.any() or form.order.size > problem.n_step:
            return

        def by_slot(rows: Ints) -> Ints:
            slots = np.zeros(flow.supply.size, np.int64)
            slots[:n] = rows
            return slots

        power_w = repeated_part(problem.power_max_w)
        kept_w = np.zeros((flow.supply.size, power_w.shape[1]))
        kept_w[:n] = power_w
        self._kept = _Kept(
            form=form,
            key=problem.row_key.copy(),
            slot=self.slot,
            power_w=kept_w,
            arrival=by_slot(problem.arrival_step),
            departure=by_slot(problem.departure_step),
            energy=by_slot(energy),
            own=by_slot(own),
        )

    def follow(self, problem: Problem, form: Form) -> Form | None:
        """Make the flow that of a new problem, if few EVs differ and all are served.

        Returns
        -------
        Form or None
            The form with the tree's nodes numbered as in the flow; None when the plan
            is to be made anew.
        """
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        numbered = _numbered_like(kept.form, form)
        if numbered is None:
            return None
        changes = _changes(kept, self.flow, problem, numbered)
        if changes is None:
            return None
        slots = changes.slot[changes.rows]
        if (changes.gone.size or slots.size) and not repair(
            self.flow,
            form.order,
            changes.gone,
            slots,
            changes.caps,
            numbered.leaf[changes.rows],
            changes.energy[changes.rows],
        ):
            return None
        self._note(kept, problem, numbered, changes)
        return numbered

    def _note(
        self, kept: _Kept, problem: Problem, form: Form, changes: _Changes
    ) -> None:
        rows, slots = changes.rows, changes.slot[changes.rows]
        kept.form, kept.key, kept.slot = form, problem.row_key.copy(), changes.slot
        kept.power_w[slots] = repeated_part(problem.power_max_w)[rows]
        for array, values in (
            (kept.arrival, problem.arrival_step),
            (kept.departure, problem.departure_step),
            (kept.energy, changes.energy),
            (kept.own, changes.own),
        ):
            array[slots] = values[rows]
        self.slot, self._kept = changes.slot, kept


_BY_EVSE = (
    *("cap", "x", "supply", "leaf", "give", "take", "active", "seen"),
    *("by_step", "by_evse", "queue", "left", "largest"),
)


def _first_rows(flow: Flow, n: int) -> Flow:
    return flow._replace(**{name: getattr(flow, name)[:n] for name in _BY_EVSE})


def _numbered_like(kept: Form, form: Form) -> Form | None:
    """Return the form with the kept one's nodes; None where more than EVs differ."""
    if (
        form.lower.any()
        or not np.array_equal(form.hours, kept.hours)
        or not np.array_equal(form.order, kept.order)
        or form.room.shape != kept.room.shape
    ):
        return None
    if not np.array_equal(form.node_of_group, kept.node_of_group):
        # Sizes changed, by which nodes are numbered.
        number = np.zeros(form.parent.size, np.int64)
        number[form.node_of_group] = kept.node_of_group
        parent, room = np.full_like(form.parent, -1), np.empty_like(form.room)
        parent[number[1:]] = number[form.parent[1:]]
        room[number] = form.room
        form = replace(
            form,
            parent=parent,
            room=room,
            leaf=number[form.leaf],
            node_of_group=kept.node_of_group,
        )
    is_same = np.array_equal(form.parent, kept.parent) and np.array_equal(
        form.room, kept.room
    )
    return form if is_same else None


def _changes(kept: _Kept, flow: Flow, problem: Problem, form: Form) -> _Changes | None:
    """Return what changed among the EVs; None where too much did."""
    power_w = np.ascontiguousarray(repeated_part(problem.power_max_w))
    if power_w.shape[1] != kept.power_w.shape[1]:
        return None
    slot, some = np.empty(problem.n_evse, np.int64), np.empty(MOST_CHANGES, np.int64)
    n_gone = match(problem.row_key, kept.key, kept.slot, slot, some)
    if n_gone < 0:
        return None
    gone, some = some[:n_gone], np.empty(MOST_CHANGES, np.int64)
    count = differing(
        slot,
        power_w,
        problem.arrival_step,
        problem.departure_step,
        form.leaf,
        kept.power_w,
        kept.arrival,
        kept.departure,
        flow.leaf,
        some,
    )
    if count < 0 or not _give_slots(slot, kept.own.size):
        return None
    rows = some[:count]
    own, caps = kept.own[slot], np.empty((count, problem.n_step), np.int64)
    for cap, row in zip(caps, rows.tolist(), strict=True):
        start, stop = problem.arrival_step[row], problem.departure_step[row]
        own[row] = caps_of(power_w[row], form.hours, start, stop, cap)
    needs = needs_of(problem, own)
    energy = needs.promised + needs.asked
    needs_other = energy != kept.energy[slot]
    needs_other[rows] = False
    needing = np.flatnonzero(needs_other)
    if count + needing.size > MOST_CHANGES:
        return None
    rows = np.concatenate([rows, needing])
    caps = np.concatenate([caps, flow.cap[slot[needing]]])
    return _Changes(slot, gone, rows, caps, energy, own)


def _give_slots(slot: Ints, n_slot: int) -> bool:
    """Give new rows slots that nobody has; whether there are enough."""
    new = np.flatnonzero(slot < 0)
    if new.size:
        is_free = np.ones(n_slot, np.bool_)
        is_free[slot[slot >= 0]] = False
        free = np.flatnonzero(is_free)[: new.size]
        if free.size < new.size:
            return False
        slot[new] = free
    return True
