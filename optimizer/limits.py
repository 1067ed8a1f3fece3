"""Limits below and beside the PRE: groups, phases, energy windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.checks import (
    Floats,
    Ints,
    ProblemError,
    fitted,
    floats,
    must,
    numbers,
    whole,
)

_T = TypeVar("_T")

# What the product of two phasors at a right angle may be by rounding alone.
_RIGHT_ANGLE = 1e-9


@dataclass(frozen=True, eq=False)
class Group:
    """A limit below the zone's: on the sum of the members' powers.

    Parameters
    ----------
    members : (k,) int
        Rows of the problem, each once.
    upper_w, lower_w : (T,) or float
        Bounds of the sum [W].

    Any two groups of a problem are nested or have no member in common (laminar).
    """

    members: Ints
    upper_w: Floats
    lower_w: Floats = field(default_factory=lambda: np.full(1, -np.inf))


@dataclass(frozen=True, eq=False)
class PhaseNetwork:
    """Limits on line currents, each the norm of a sum of phasors.

    Line l carries ``|sum_i matrix[l, i] power_w[i] e^(j phase_rad[i]) / voltage_v[i]|``
    and may carry ``limit_a[l]`` [A].

    Parameters
    ----------
    matrix : (m, n)
    phase_rad : (n,)
        Angle of each EVSE's current [rad].
    limit_a : (m,)
        [A], at least 0.
    voltage_v : (n,)
        [V], above 0.
    """

    matrix: Floats
    phase_rad: Floats
    limit_a: Floats
    voltage_v: Floats

    def compensates(self) -> bool:
        """Whether in some line the current of one EV takes from that of another.

        As in a neutral: two phases of three give it less than one.
        """
        flows = self._flows()
        together = np.real(flows[:, :, None] * flows[:, None, :].conj())
        return bool((together < -_RIGHT_ANGLE).any())

    def current_a(self, power_w: Floats) -> Floats:
        """Return the line currents (m, T) [A] of powers (n, T) [W]."""
        phasor = self._flows() / self.voltage_v
        magnitude: Floats = np.abs(phasor @ power_w)
        return magnitude

    def _flows(self) -> NDArray[np.complex128]:
        """Return each EVSE's share in each line as a phasor (m, n)."""
        flows: NDArray[np.complex128] = self.matrix * np.exp(1j * self.phase_rad)
        return flows


@dataclass(frozen=True)
class EnergyWindow:
    """Bounds on the zone's average power over the steps [start_step, stop_step) [W]."""

    start_step: int
    stop_step: int
    lower_w: float = -np.inf
    upper_w: float = np.inf


def listed(name: str, given: object, kind: type[_T]) -> tuple[_T, ...]:
    """Return what is given as a tuple of its kind."""
    try:
        found: tuple[_T, ...] = tuple(given)  # type: ignore[arg-type]
    except TypeError:
        raise ProblemError(
            f"{name} is {given!r:.60}; it must be a sequence of {kind.__name__}"
        ) from None
    for i, one in enumerate(found):
        if not isinstance(one, kind):
            raise ProblemError(
                f"{name}[{i}] is {one!r:.60}; it must be a {kind.__name__}"
            )
    return found


def laminar_groups(groups: Sequence[Group], n: int, n_step: int) -> Iterator[Group]:
    """Yield the groups with arrays of full shape; check that they are laminar."""
    home: Ints = np.full(n, -1)  # the smallest group so far that holds the row
    whole_groups: list[Group] = []
    for g, group in enumerate(groups):
        name = f"groups[{g}]"
        members = whole(f"{name}.members", group.members).reshape(-1)
        must(
            f"{name}.members", members, (members >= 0) & (members < n), f"in 0..{n - 1}"
        )
        upper, lower = (
            _bound(f"{name}.{bound}", getattr(group, bound), none, n_step)
            for bound, none in (("upper_w", np.inf), ("lower_w", -np.inf))
        )
        must(f"{name}.upper_w", upper, upper >= lower, "at least lower_w")
        whole_groups.append(Group(members, upper, lower))
    sizes = [group.members.size for group in whole_groups]
    for g in sorted(range(len(sizes)), key=lambda g: (-sizes[g], g)):
        members = whole_groups[g].members
        homes = home[members]
        if homes.size and (homes != homes[0]).any():
            raise ProblemError(
                f"groups[{g}] shares some, but not all, of its members with another "
                "group; groups must be nested or apart (laminar)"
            )
        home[members] = g
        if np.count_nonzero(home == g) != members.size:
            raise ProblemError(
                f"groups[{g}].members names a row twice; each may be there once"
            )
    yield from whole_groups


def _bound(name: str, given: ArrayLike, none: float, n_step: int) -> Floats:
    """Return a bound of each step; ``none`` is an infinity that means no bound."""
    value = numbers(name, given)
    if not np.isfinite(value).all():
        must(name, value, np.isfinite(value) | (value == none), f"finite or {none}")
    return fitted(name, value, (n_step,))


def fitted_phases(phases: PhaseNetwork, n: int) -> PhaseNetwork:
    """Return the network with arrays of full shape."""
    matrix = floats("phases.matrix", phases.matrix)
    if matrix.ndim != 2 or matrix.shape[1] != n:
        raise ProblemError(
            f"phases.matrix has shape {matrix.shape}; it must fit (m, {n})"
        )
    rad = fitted("phases.phase_rad", floats("phases.phase_rad", phases.phase_rad), (n,))
    limit = floats("phases.limit_a", phases.limit_a)
    limit = fitted("phases.limit_a", limit, (matrix.shape[0],))
    voltage = fitted(
        "phases.voltage_v", floats("phases.voltage_v", phases.voltage_v), (n,)
    )
    must("phases.limit_a", limit, limit >= 0, "at least 0")
    must("phases.voltage_v", voltage, voltage > 0, "above 0")
    return PhaseNetwork(matrix, rad, limit, voltage)


def checked_windows(
    windows: Sequence[EnergyWindow], n_step: int
) -> Iterator[EnergyWindow]:
    """Yield the windows whose steps and bounds are in order."""
    for w, window in enumerate(windows):
        name, start, stop = f"energy_windows[{w}]", window.start_step, window.stop_step
        ends = whole(f"{name} of steps", (start, stop))
        if not 0 <= ends[0] < ends[1] <= n_step:
            raise ProblemError(
                f"{name} is [{start}, {stop}); it must be steps in 0..{n_step}"
            )
        if not window.lower_w <= window.upper_w:  # also refuses NaN
            raise ProblemError(
                f"{name}.upper_w is {window.upper_w}; it must be at least lower_w"
            )
        if window.lower_w == np.inf or window.upper_w == -np.inf:
            raise ProblemError(
                f"{name} is [{window.lower_w}, {window.upper_w}] W; "
                "it must leave a finite power"
            )
        yield window
