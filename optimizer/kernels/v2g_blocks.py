"""Every EV's part of a Newton step: a chain of stored energies, eliminated by hand.

With ``theta`` the inverse of the barrier's curvature, the multipliers of an EV's rows
(`V2gRows`) solve a tridiagonal system: row k has ``A = gain² theta_c + loss² theta_d``
and shares ``theta_s`` of its stored energy with row k + 1. Eliminated from the arrival
on, with E what a row has beside its own stored energy::

    E[k] = A[k] + theta_s[k-1] E[k-1] / D[k-1],   D[k] = E[k] + theta_s[k]

which subtracts nothing and so loses no digits. The inverse needs scalars only:
``inv[k, j] = r[k] inv[k+1, j]`` with ``r = theta_s / D``, below the diagonal element
``inv[k, k] = 1 / D[k] + r[k]² inv[k+1, k+1]``. The EV's power answers to prices of
energy by ``diag(theta_c + theta_d) - G inv G``, ``G = gain theta_c + loss theta_d``.

An EV without battery limits has the one row of its departure.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A link of the chain weaker than this carries nothing that a float could add.
CUT = 1e-40
# Curvature of its own that every row gets: `v2g_newton`.
TINY = 1e-9


class Chains(NamedTuple):
    """The constant part: cells are EV by EV, steps in order.

    ``first`` (n + 1,) first cell of each EV; ``arrival`` (n,) its step; ``home`` (n,)
    the smallest group's row; ``stores`` (n,) whether the battery has limits; ``gain``,
    ``loss`` (n,) stored per energy charged and taken per energy discharged; ``stored``
    and ``want`` (n,) energy at arrival and wanted at departure, both from 0 where the
    battery has no limits; ``upper``, ``cost`` (3 N + 3 n + 4 R T,) of the variables:
    charge, discharge, stored (N each), then by EV promised and asked-for energy left
    out and energy beyond, then by row and step four segments of its power, up and down
    within its limits and beyond them; ``free`` 1 where a variable has room, else 0;
    ``base`` (R, T) where segments start; ``parent`` (R,), row 0 the zone, its own -1.
    """

    first: Ints
    arrival: Ints
    home: Ints
    stores: Bools
    gain: Floats
    loss: Floats
    stored: Floats
    want: Floats
    upper: Floats
    free: Floats
    cost: Floats
    base: Floats
    parent: Ints


class Point(NamedTuple):
    """Variables, room to their upper bounds, multipliers of both and of the rows.

    ``x``, ``room``, ``low``, ``high`` by variable, above 0 (1 where not free); ``mu``
    (N,), ``nu`` (n,) of the EVs' rows, ``lam`` (R, T) of the coupling ones.
    """

    x: Floats
    room: Floats
    low: Floats
    high: Floats
    mu: Floats
    nu: Floats
    lam: Floats


class Step(NamedTuple):
    """Work space of a Newton step.

    ``per_x``, ``per_room`` (inverses), ``theta``, ``g`` and the step ``dx``, ``dlow``,
    ``dhigh`` by variable; ``link``, ``pivot`` (N,) and ``last`` (n,) the eliminated
    chains; ``lack`` (N,), ``lack_end`` (n,) residuals of the EVs' rows and ``rhs``,
    ``rhs_end`` their right-hand sides; ``dmu``, ``dnu`` their step.
    """

    per_x: Floats
    per_room: Floats
    theta: Floats
    g: Floats
    dx: Floats
    dlow: Floats
    dhigh: Floats
    link: Floats
    pivot: Floats
    last: Floats
    lack: Floats
    lack_end: Floats
    rhs: Floats
    rhs_end: Floats
    dmu: Floats
    dnu: Floats


@njit(cache=True, nogil=True, error_model="numpy")
def reduced_costs(
    c: Chains, p: Point, s: Step, price: Floats, begin: int, end: int
) -> None:
    """Put the reduced costs of the variables of EVs begin..end into ``g``."""
    n_cell = c.first[-1]
    for i in range(begin, end):
        a, size = c.first[i], c.first[i + 1] - c.first[i]
        gain, loss, nu = c.gain[i], c.loss[i], p.nu[i]
        lam = price[c.home[i], c.arrival[i] :]
        e = 3 * n_cell + 3 * i
        s.g[e] = c.cost[e] - nu
        s.g[e + 1] = c.cost[e + 1] - nu
        s.g[e + 2] = c.cost[e + 2] + nu
        cost, out_cost = c.cost[a:], c.cost[n_cell + a :]
        g, out_g = s.g[a:], s.g[n_cell + a :]
        if not c.stores[i]:
            for j in range(size):
                g[j] = cost[j] - gain * nu - lam[j]
                out_g[j] = out_cost[j] + loss * nu + lam[j]
            continue
        mu = p.mu[a:]
        for j in range(size):
            g[j] = cost[j] - gain * mu[j] - lam[j]
            out_g[j] = out_cost[j] + loss * mu[j] + lam[j]
        kept_cost, kept_g = c.cost[2 * n_cell + a :], s.g[2 * n_cell + a :]
        for j in range(size - 1):
            kept_g[j] = kept_cost[j] + mu[j] - mu[j + 1]
        kept_g[size - 1] = kept_cost[size - 1] + mu[size - 1] - nu


@njit(cache=True, nogil=True, error_model="numpy")
def lacks(c: Chains, p: Point, s: Step, power: Floats, begin: int, end: int) -> float:
    """Put the residuals of EVs' rows and add their power; return the worst."""
    n_cell = c.first[-1]
    worst = 0.0
    for i in range(begin, end):
        a, size = c.first[i], c.first[i + 1] - c.first[i]
        gain, loss = c.gain[i], c.loss[i]
        into, out = p.x[a:], p.x[n_cell + a :]
        total = power[c.home[i], c.arrival[i] :]
        for j in range(size):
            total[j] += c.free[a + j] * into[j] - c.free[n_cell + a + j] * out[j]
        have = c.stored[i]
        kept = p.x[2 * n_cell + a :]
        for j in range(size):
            flow = gain * c.free[a + j] * into[j]
            flow -= loss * c.free[n_cell + a + j] * out[j]
            if c.stores[i]:
                now = c.free[2 * n_cell + a + j] * kept[j]
                s.lack[a + j] = now - have - flow
                worst = max(worst, abs(s.lack[a + j]))
                have = now
            else:
                have += flow
        e = 3 * n_cell + 3 * i
        have += c.free[e] * p.x[e] + c.free[e + 1] * p.x[e + 1]
        have -= c.free[e + 2] * p.x[e + 2]
        s.lack_end[i] = c.want[i] - have
        worst = max(worst, abs(s.lack_end[i]))
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def eliminate(c: Chains, s: Step, answer: Floats, begin: int, end: int) -> None:
    """Factor the rows of EVs begin..end; add their power's answer to prices.

    ``answer`` (R, T, T), upper triangles, by the EVs' smallest rows.
    """
    n_cell = c.first[-1]
    line = np.empty(answer.shape[1])
    for i in range(begin, end):
        a, size = c.first[i], c.first[i + 1] - c.first[i]
        gain, loss = c.gain[i], c.loss[i]
        into, out = s.theta[a : a + size], s.theta[n_cell + a :]
        block = answer[c.home[i]]
        e, at = 3 * n_cell + 3 * i, c.arrival[i]
        tail = s.theta[e] + s.theta[e + 1] + s.theta[e + 2]
        if c.stores[i]:
            kept = s.theta[2 * n_cell + a :]
            link, pivot = s.link[a:], s.pivot[a:]
            carried = 0.0
            for j in range(size):
                own = gain * gain * into[j] + loss * loss * out[j] + carried
                pivot[j] = own + kept[j] + TINY
                link[j] = kept[j] / pivot[j]
                carried = link[j] * own
            s.last[i] = carried + tail + TINY
            _add_chain(block, line, into, out, link, pivot, s.last[i], gain, loss, at)
        else:
            for j in range(size):
                tail += gain * gain * into[j] + loss * loss * out[j]
            s.last[i] = tail + TINY
            _add_flat(block, line, into, out, s.last[i], gain, loss, at)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_flat(
    block: Floats,
    line: Floats,
    into: Floats,
    out: Floats,
    last: float,
    gain: float,
    loss: float,
    at: int,
) -> None:
    size = into.size
    for j in range(size):
        line[j] = gain * into[j] + loss * out[j]
    for j in range(size):
        row = block[at + j, at:]
        weight = line[j] / last
        for m in range(j, size):
            row[m] -= weight * line[m]
        row[j] += into[j] + out[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _add_chain(
    block: Floats,
    line: Floats,
    into: Floats,
    out: Floats,
    link: Floats,
    pivot: Floats,
    last: float,
    gain: float,
    loss: float,
    at: int,
) -> None:
    reach = size = into.size
    after = 1.0 / last
    for j in range(size - 1, -1, -1):
        if link[j] < CUT:
            reach = j + 1
        after = 1.0 / pivot[j] + link[j] * link[j] * after
        own = gain * into[j] + loss * out[j]
        row = block[at + j, at:]
        weight = link[j]
        for m in range(j + 1, reach):
            line[m] *= weight
            row[m] -= own * line[m]
        line[j] = after * own
        row[j] += into[j] + out[j] - own * line[j]


@njit(cache=True, nogil=True, error_model="numpy")
def chain_rhs(c: Chains, s: Step, crossing: Floats, begin: int, end: int) -> None:
    """Put the right-hand sides of EVs' rows; add what they give their coupling row."""
    n_cell = c.first[-1]
    for i in range(begin, end):
        a, size = c.first[i], c.first[i + 1] - c.first[i]
        gain, loss = c.gain[i], c.loss[i]
        into, out, kept = s.theta[a:], s.theta[n_cell + a :], s.theta[2 * n_cell + a :]
        g, out_g, kept_g = s.g[a:], s.g[n_cell + a :], s.g[2 * n_cell + a :]
        e = 3 * n_cell + 3 * i
        last = s.lack_end[i] + s.theta[e] * s.g[e] + s.theta[e + 1] * s.g[e + 1]
        last -= s.theta[e + 2] * s.g[e + 2]
        total = crossing[c.home[i], c.arrival[i] :]
        lack, rhs = s.lack[a:], s.rhs[a:]
        before = 0.0
        for j in range(size):
            charge, discharge = into[j] * g[j], out[j] * out_g[j]
            total[j] += charge - discharge
            flow = gain * charge - loss * discharge
            if c.stores[i]:
                now = kept[j] * kept_g[j]
                rhs[j] = lack[j] + flow - now + before
                before = now
            else:
                last += flow
        s.rhs_end[i] = last + before
        _chain_solve(c, s, i, a, size)
        worth = s.dmu[a:]
        for j in range(size):
            total[j] -= (gain * into[j] + loss * out[j]) * worth[j]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _chain_solve(c: Chains, s: Step, i: int, a: int, size: int) -> None:
    """Solve an EV's rows from ``rhs`` into ``dmu`` and ``dnu``."""
    worth = s.rhs_end[i] / s.last[i]
    if not c.stores[i]:
        s.dnu[i] = worth
        for k in range(a, a + size):
            s.dmu[k] = worth
        return
    carried = 0.0
    for k in range(a, a + size):
        here = s.rhs[k] + carried
        s.dmu[k] = here
        carried = s.link[k] * here
    worth = (s.rhs_end[i] + carried) / s.last[i]
    s.dnu[i] = worth
    for k in range(a + size - 1, a - 1, -1):
        worth = s.dmu[k] / s.pivot[k] + s.link[k] * worth
        s.dmu[k] = worth


@njit(cache=True, nogil=True, error_model="numpy")
def chain_step(c: Chains, s: Step, dprice: Floats, begin: int, end: int) -> None:
    """Put the step ``dx``, ``dmu`` and ``dnu`` of EVs begin..end after the prices'."""
    n_cell = c.first[-1]
    for i in range(begin, end):
        a, size = c.first[i], c.first[i + 1] - c.first[i]
        gain, loss = c.gain[i], c.loss[i]
        into, out, kept = s.theta[a:], s.theta[n_cell + a :], s.theta[2 * n_cell + a :]
        g, out_g, kept_g = s.g[a:], s.g[n_cell + a :], s.g[2 * n_cell + a :]
        dx, out_dx, kept_dx = s.dx[a:], s.dx[n_cell + a :], s.dx[2 * n_cell + a :]
        lam, rhs, worth = dprice[c.home[i], c.arrival[i] :], s.rhs[a:], s.dmu[a:]
        if c.stores[i]:
            for j in range(size):
                rhs[j] -= (gain * into[j] + loss * out[j]) * lam[j]
        else:
            for j in range(size):
                s.rhs_end[i] -= (gain * into[j] + loss * out[j]) * lam[j]
        _chain_solve(c, s, i, a, size)
        nu = s.dnu[i]
        for j in range(size):
            dx[j] = into[j] * (gain * worth[j] + lam[j] - g[j])
            out_dx[j] = out[j] * (-loss * worth[j] - lam[j] - out_g[j])
        if c.stores[i] and size > 0:
            for j in range(size - 1):
                kept_dx[j] = kept[j] * (worth[j + 1] - worth[j] - kept_g[j])
            j = size - 1
            kept_dx[j] = kept[j] * (nu - worth[j] - kept_g[j])
        e = 3 * n_cell + 3 * i
        s.dx[e] = s.theta[e] * (nu - s.g[e])
        s.dx[e + 1] = s.theta[e + 1] * (nu - s.g[e + 1])
        s.dx[e + 2] = s.theta[e + 2] * (-nu - s.g[e + 2])
