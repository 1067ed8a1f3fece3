"""Duals of a programme as prices: `optimizer.solution.Solution`."""

from dataclasses import dataclass

import numpy as np

from optimizer.checks import Floats
from optimizer.highs import objectives
from optimizer.highs.model import K, Model
from optimizer.highs.sequence import TierSequence
from optimizer.tiers import NOTHING_WH


@dataclass(frozen=True, eq=False)
class Prices:
    """The fields of a solution that are duals."""

    pre_per_kwh: Floats
    group_per_kwh: Floats
    service: Floats
    stored_per_kwh: Floats | None
    zone_per_kwh: Floats | None


def prices_of(sequence: TierSequence, x: Floats) -> Prices:
    """Return the prices at the point that a sequence ended with.

    Where something gave way, closed faces have taken over part of the duals. So the
    money is minimised once more in a programme without them, with what gave way given;
    and for the service prices, what the first classes ask for and the later ones were
    promised, left out together.
    """
    model = sequence.model
    if not sequence.gave_way:
        worth = _limit_worth(model, sequence.money_dual)
        none = np.zeros((0, 1 + len(model.problem.groups), model.problem.n_step))
        stored = _stored(model, sequence.money_dual)
        zone = _zone(model, sequence.money_dual)
        return Prices(worth[0], worth[1:], none, stored, zone)
    again = TierSequence(model, sequence.programme.deadline)
    service = _service(again, x)
    cost, dual = objectives.money(model), np.zeros(again.programme.n_row)
    if cost.any():
        elastic = model.elastic()
        given = np.maximum(x[elastic], again.programme.lower[elastic])
        again.programme.bound(elastic, given, given)
        again.settle("money", cost)
        dual = again.programme.row_dual
    worth = _limit_worth(model, dual)
    stored, zone = _stored(model, dual), _zone(model, dual)
    return Prices(worth[0], worth[1:], service, stored, zone)


def _service(again: TierSequence, x: Floats) -> Floats:
    model = again.model
    unmet = x[model.left_min] + x[model.left_beyond]
    classes = np.unique(model.problem.priority)
    shape = (classes.size, 1 + len(model.problem.groups), model.problem.n_step)
    if unmet.sum() <= NOTHING_WH / K:
        return np.zeros((0, *shape[1:]))
    out = np.zeros(shape)
    excess = np.arange(model.excess.start, model.excess.stop)
    again.programme.bound(excess, np.zeros(excess.size), x[excess].clip(0.0))
    for k, c in enumerate(classes):
        first_classes = (model.problem.priority <= c).astype(np.float64)
        cost = objectives.unmet_min(model, np.ones(model.problem.n_evse))
        cost[model.left_beyond] = first_classes
        again.settle("service", cost)
        out[k] = _limit_worth(model, again.programme.row_dual)
    return out


def _limit_worth(model: Model, row_dual: Floats) -> Floats:
    """Return what a kWh more of PRE and groups saves, (1 + g, T)."""
    n_step = model.problem.n_step
    pre = -row_dual[model.pre_rows]
    groups = -row_dual[model.group_rows]
    worth: Floats = np.concatenate([pre, groups]).reshape(-1, n_step) / model.hours
    return worth


def _zone(model: Model, row_dual: Floats) -> Floats | None:
    """Return what a kWh in the zone costs by the grid and all that limits it, (T,).

    None where the zone's power is no column: then grid and PRE are all of it.
    """
    if model.balance_rows is None:
        return None
    limits = row_dual[model.balance_rows] / model.hours
    price: Floats = model.problem.price_per_kwh - limits
    return price


def _stored(model: Model, row_dual: Floats) -> Floats | None:
    """Return the worth of a kWh in each battery after each step, (n, T)."""
    p = model.problem
    if not p.has_v2g:
        return None
    worth = np.repeat(row_dual[model.ev_rows][:, None], p.n_step, axis=1)
    ev, step = model.state_ev, model.state_step
    worth[ev, step] = -row_dual[model.state_rows]
    # Before arrival and after departure it is what it is at that moment.
    if ev.size:
        first = np.concatenate([[True], ev[1:] != ev[:-1]])
        last = np.concatenate([ev[1:] != ev[:-1], [True]])
        steps = np.arange(p.n_step)
        for edge, beyond in (
            (first, steps[None, :] < step[first][:, None]),
            (last, steps[None, :] > step[last][:, None]),
        ):
            own = worth[ev[edge], step[edge]][:, None]
            worth[ev[edge]] = np.where(beyond, own, worth[ev[edge]])
    return worth
