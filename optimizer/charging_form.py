"""A charging problem as the arrays of a flow, in whole units."""

from dataclasses import dataclass

import numpy as np

from optimizer.checks import Floats, Ints
from optimizer.kernels.charge import PLENTY, UNITS
from optimizer.problem import Problem
from optimizer.tree import group_tree


@dataclass(frozen=True, eq=False)
class Needs:
    """Energy at the EVSE [units]: promised, beyond it asked for, and beyond both."""

    promised: Ints
    asked: Ints
    optional: Ints


@dataclass(frozen=True, eq=False)
class Form:
    """What all EVs share: columns (K) with their prices, and the tree of limits (g).

    ``order`` has the columns by price, then time; ``lower`` and ``room`` are the least
    load and what nodes let through [units]. ``leaf`` is each EV's node,
    ``node_of_group`` each group's.
    """

    hours: Floats
    price: Floats
    order: Ints
    lower: Ints
    room: Ints
    parent: Ints
    leaf: Ints
    node_of_group: Ints


def form_of(problem: Problem) -> Form:
    """Return the form, with a last column where more than the target may be of use."""
    n_step, hours = problem.n_step, problem.hours
    n_column = n_step + int(_has_use_for_optional(problem))
    parent, leaf, node_of_group = group_tree(problem)
    lower = np.zeros(n_column, np.int64)
    lower[:n_step] = np.clip(
        np.ceil(problem.pre_lower_w * hours * UNITS - 1e-3), 0, PLENTY
    )
    price = np.zeros(n_column)
    price[:n_step] = problem.price_per_kwh
    when = np.arange(n_column)
    when[n_step:] = -1  # at price 0 rather nothing than something
    return Form(
        hours=hours,
        price=price,
        order=np.lexsort((when, price)),
        lower=lower,
        room=_rooms(problem, hours, node_of_group, n_column),
        parent=parent,
        leaf=leaf,
        node_of_group=node_of_group,
    )


def needs_of(problem: Problem, own: Ints) -> Needs:
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


def _has_use_for_optional(problem: Problem) -> bool:
    """Whether energy beyond the target may be worth transferring."""
    wanted = (problem.price_per_kwh < 0).any() or (problem.pre_lower_w > 0).any()
    return bool(wanted and (problem.energy_max_wh > problem.energy_target_wh).any())


def _rooms(problem: Problem, hours: Floats, node_of_group: Ints, n_column: int) -> Ints:
    """Return what each node lets through in each column, (g, K)."""
    room = np.full((1 + node_of_group.size, n_column), PLENTY, np.int64)
    room[0, : hours.size] = _room(problem.pre_upper_w, hours)
    for group, node in zip(problem.groups, node_of_group, strict=True):
        room[node, : hours.size] = _room(group.upper_w, hours)
    return room


def _room(upper_w: Floats, hours: Floats) -> Ints:
    return np.clip(np.floor(upper_w * hours * UNITS + 1e-3), 0, PLENTY).astype(np.int64)
