"""One optimum of V2G, and what takes no solver."""

from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from optimizer.checks import Floats
from optimizer.kernels.v2g_blocks import Point
from optimizer.kernels.v2g_interior import interior, start_of, vertex_of
from optimizer.kernels.v2g_vertex import follow
from optimizer.tiers import measures_of, tier_values
from optimizer.v2g_form import Form

# Gap at which an optimum is accepted although it was to be better.
CLOSE = 1e-9
# Residual of a row of a plan, in units of the form.
EXACT = 1e-10


class NotReached(Exception):
    """The method came to no optimum."""


class Late(Exception):
    """The deadline came first; ``values`` are a plan's or on the way to one."""

    def __init__(self, values: Floats) -> None:
        super().__init__("deadline")
        self.values = values


@dataclass(frozen=True, eq=False)
class Optimum:
    """Values by variable, whether at a bound in every optimum, multipliers of rows.

    All in units of the form; ``mu`` (N,) and ``nu`` (n,) are the worth of stored energy
    and of that at departure, ``lam`` (R, T) is below 0 where power costs.
    """

    values: Floats
    at_low: NDArray[np.bool_]
    at_high: NDArray[np.bool_]
    mu: Floats
    nu: Floats
    lam: Floats


def optimum(form: Form, deadline: float = inf, offset: float = 0.0) -> Optimum:
    """Return the optimum of a form's objective; ``offset`` is a constant part of it.

    Raises
    ------
    Late
        at the deadline (perf_counter [s]).
    NotReached
        where rounding keeps the method from it.
    """
    chains = form.chains
    lam = np.zeros(chains.base.shape)
    zone = form.parts(chains.cost).rows[0]
    lam[0] = -zone[:, 0]
    worth = np.full(form.problem.n_evse, float(np.median(zone[:, 0])))
    point = start_of(chains, lam, worth)
    reached = interior(chains, point, deadline, offset)
    if not reached.finished and perf_counter() > deadline:
        raise Late(form.values(point))
    if not (reached.finished or reached.gap < CLOSE):
        raise NotReached(f"gap {reached.gap:.1e}, residual {reached.lack:.1e}")
    free = chains.free > 0.0
    low = free & (point.low > point.x) & (point.x < point.room)
    high = free & (point.high > point.room) & ~low
    if _exact(form, point) > EXACT:
        raise NotReached("rows do not hold")
    return Optimum(form.values(point), low, high, point.mu, point.nu, point.lam)


def _exact(form: Form, point: Point) -> float:
    """Put variables to their bounds as far as rows can hold; return what is left."""
    within = point.x.copy()
    residual = vertex_of(form.chains, point, 1.0)
    if residual > EXACT:
        point.x[:] = within
        residual = vertex_of(form.chains, point, inf)
    return residual


def at_once(form: Form, values: Floats) -> Floats:
    """Return the better of a plan near some values and of charging at once [W]."""
    p, chains, parts = form.problem, form.chains, form.parts(values)
    bounds = form.parts(chains.upper)
    unit = form.kwh * 1e3
    lower, upper = p.pre_lower_w * p.hours / unit, p.pre_upper_w * p.hours / unit
    size = np.full(p.n_evse, inf)
    size[form.ev[chains.stores[form.ev]]] = bounds.stored[chains.stores[form.ev]]
    plans = []
    for wish, beyond in (
        (parts.charge - parts.discharge, bounds.left[:, 2]),
        (bounds.charge, 0.0),
    ):
        most = chains.want + beyond
        energy = follow(chains, wish, lower, upper, most, size)
        full = form.zeros()
        form.parts(full).charge[:] = energy
        plans.append(form.power_w(full))
    return min(
        plans,
        key=lambda plan_w: [
            round(v, 3) for v in tier_values(p, measures_of(p, plan_w)).values()
        ],
    )
