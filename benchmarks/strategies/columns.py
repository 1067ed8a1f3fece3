"""The first columns of a problem, as the compiled heuristics take them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer import PhaseNetwork, Problem
from optimizer.checks import Floats

# As many columns as the laboratory's standard setting uses between two plans.
COLUMNS = 12


# Kernels are compiled once for each layout of their arrays, so there is only one.
plain = np.ascontiguousarray


@dataclass(frozen=True, eq=False)
class Columns:
    """The first k columns: who can take what, and the limits.

    Energies are counted at the EVSE, so losses are in them. The PRE is the first of the
    sum limits; after it the groups. ``re`` and ``im`` (m, n) are the phasor that a watt
    adds to each line [A/W].
    """

    hours: Floats
    begin_h: Floats
    departure_h: Floats
    can_w: Floats
    evse_can_w: Floats
    floor_w: Floats
    target_wh: Floats
    most_wh: Floats
    upper_w: Floats
    member: NDArray[np.bool_]
    re: Floats
    im: Floats
    limit_a: Floats

    @classmethod
    def of(cls, problem: Problem, columns: int) -> "Columns":
        """Return the first columns of a problem."""
        k = min(columns, problem.n_step)
        hours = plain(problem.hours)
        edges = np.concatenate([[0.0], np.cumsum(hours)])
        steps = np.arange(k)
        there = (steps >= problem.arrival_step[:, None]) & (
            steps < problem.departure_step[:, None]
        )
        re, im, limit_a = lines_of(problem.phases, problem.n_evse)
        return cls(
            hours=hours[:k],
            begin_h=edges[:k],
            departure_h=edges[np.minimum(problem.departure_step, problem.n_step)],
            can_w=plain(np.where(there, problem.power_max_w[:, :k], 0.0)),
            evse_can_w=plain(np.where(there, problem.evse_max_w[:, None], 0.0)),
            floor_w=np.array(problem.power_floor_w),
            target_wh=problem.energy_target_wh / problem.charge_efficiency,
            most_wh=problem.energy_max_wh / problem.charge_efficiency,
            upper_w=_upper(problem, k),
            member=_member(problem),
            re=re,
            im=im,
            limit_a=limit_a,
        )


def _upper(problem: Problem, k: int) -> Floats:
    rows = [problem.pre_upper_w[:k], *(group.upper_w[:k] for group in problem.groups)]
    upper: Floats = plain(np.array(rows))
    return upper


def _member(problem: Problem) -> NDArray[np.bool_]:
    member = np.zeros((1 + len(problem.groups), problem.n_evse), np.bool_)
    member[0] = True
    for g, group in enumerate(problem.groups):
        member[1 + g, group.members] = True
    return member


def lines_of(phases: PhaseNetwork | None, n: int) -> tuple[Floats, Floats, Floats]:
    """Return re and im (m, n) [A/W] and limits (m,) [A]; no lines without a network."""
    if phases is None:
        none = np.zeros((0, n))
        return none, none, np.zeros(0)
    a_per_w = phases.matrix / phases.voltage_v
    return (
        plain(a_per_w * np.cos(phases.phase_rad)),
        plain(a_per_w * np.sin(phases.phase_rad)),
        np.array(phases.limit_a, np.float64),
    )
