"""The allocation problem of a charging site zone, as arrays.

Axes are always (n_evse, n_step). Powers [W], energies [Wh], + is grid to EV.
"""

import hashlib
from dataclasses import dataclass, field, fields
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_T = TypeVar("_T", np.float64, np.int64)


class ProblemError(ValueError):
    """The problem breaks a rule; the message names array, index and rule."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """What there is to allocate, to whom, and what must hold.

    Parameters
    ----------
    step_s : (T,) or float
        Length of each step [s], above 0.
    power_max_w : (n,) or (n, T)
        Most an EVSE's EV can take [W].
    arrival_step, departure_step : (n,) int
        The EV can take energy in steps arrival_step .. departure_step - 1.
    energy_target_wh : (n,)
        Energy asked for by departure, still to be transferred [Wh].
    energy_max_wh : (n,)
        Most energy that may be transferred [Wh], at least the target.
    energy_expected_wh : (n,), optional
        Energy the EV is expected to take [Wh]; orders service in a shortage, least
        first. The target where not given.
    priority : (n,) int, optional
        Class, 0 first: punctual 0, overdue 1, offered from unused PRE 2.
    pre_lower_w, pre_upper_w : (T,)
        The power range envelope [W]; hard.
    power_floor_w : (n,) or float
        Power is 0 or at least this [W] (6 A of IEC 61851).
    evse_max_w : (n,), optional
        The EVSE's own limit [W], whatever its EV was seen to take; for strategies that
        do not look at that. ``power_max_w`` where not given.
    arrival_rank : (n,) int, optional
        Order of arrival, for strategies that serve by it.
    row_key : (n,) int, optional
        Identity of each row between calls, for warm starts; its index where not given.
    previous_power_w : (n, T), optional
        The plan in force [W]; among equal plans the nearest is taken.

    Raises
    ------
    ProblemError
        for wrong shapes, numbers that are not finite, and limits that contradict.
    """

    step_s: Floats
    power_max_w: Floats
    arrival_step: Ints
    departure_step: Ints
    energy_target_wh: Floats
    energy_max_wh: Floats
    pre_lower_w: Floats
    pre_upper_w: Floats
    energy_expected_wh: Floats = field(default_factory=lambda: np.empty(0))
    priority: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    power_floor_w: Floats = field(default_factory=lambda: np.zeros(1))
    evse_max_w: Floats = field(default_factory=lambda: np.empty(0))
    arrival_rank: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    row_key: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    previous_power_w: Floats | None = None

    def __post_init__(self) -> None:
        upper = _floats("pre_upper_w", self.pre_upper_w)
        target = _floats("energy_target_wh", self.energy_target_wh)
        n, n_step = target.size, upper.size
        put = object.__setattr__
        power = _floats("power_max_w", self.power_max_w)
        if power.ndim < 2:
            power = _broadcast("power_max_w", power, (n,))[:, None]
        expected = self.energy_expected_wh
        put(self, "pre_upper_w", upper)
        put(self, "energy_target_wh", target)
        put(self, "power_max_w", _broadcast("power_max_w", power, (n, n_step)))
        evse_max = self.evse_max_w
        for name, value, size in (
            ("step_s", self.step_s, n_step),
            ("pre_lower_w", self.pre_lower_w, n_step),
            ("energy_max_wh", self.energy_max_wh, n),
            ("power_floor_w", self.power_floor_w, n),
            ("energy_expected_wh", expected if np.size(expected) else target, n),
            ("evse_max_w", evse_max if np.size(evse_max) else power.max(axis=1), n),
        ):
            put(self, name, _broadcast(name, value, (size,)))
        for name, whole in (
            ("priority", self.priority if np.size(self.priority) else 0),
            ("row_key", self.row_key if np.size(self.row_key) else np.arange(n)),
            ("arrival_rank", self.arrival_rank if np.size(self.arrival_rank) else 0),
            ("arrival_step", self.arrival_step),
            ("departure_step", self.departure_step),
        ):
            put(self, name, _fitted(name, np.asarray(whole, np.int64), (n,)))
        if self.previous_power_w is not None:
            previous = _broadcast(
                "previous_power_w", self.previous_power_w, (n, n_step)
            )
            put(self, "previous_power_w", previous)
        self._check()

    @property
    def n_evse(self) -> int:
        """Number of EVSEs with an EV."""
        return int(self.energy_target_wh.size)

    @property
    def n_step(self) -> int:
        """Number of steps."""
        return int(self.pre_upper_w.size)

    def available(self) -> NDArray[np.bool_]:
        """Return whether the EV is there, (n, T)."""
        steps = np.arange(self.n_step)
        return (steps >= self.arrival_step[:, None]) & (
            steps < self.departure_step[:, None]
        )

    def digest(self) -> bytes:
        """Return SHA-256 over all arrays, by which replay compares problems."""
        sha = hashlib.sha256()
        for part in fields(self):
            value = getattr(self, part.name)
            sha.update(part.name.encode())
            if value is not None:
                sha.update(repr(value.shape).encode())
                sha.update(np.ascontiguousarray(value).tobytes())
        return sha.digest()

    def _check(self) -> None:
        _rule("step_s", self.step_s, self.step_s > 0, "above 0")
        _rule("power_max_w", self.power_max_w, self.power_max_w >= 0, "at least 0")
        _rule(
            "power_floor_w", self.power_floor_w, self.power_floor_w >= 0, "at least 0"
        )
        _rule(
            "energy_target_wh",
            self.energy_target_wh,
            self.energy_target_wh >= 0,
            "at least 0",
        )
        _rule(
            "energy_max_wh",
            self.energy_max_wh,
            self.energy_max_wh >= self.energy_target_wh,
            "at least energy_target_wh",
        )
        _rule(
            "pre_upper_w",
            self.pre_upper_w,
            self.pre_upper_w >= self.pre_lower_w,
            "at least pre_lower_w",
        )
        _rule(
            "departure_step",
            self.departure_step,
            self.departure_step >= self.arrival_step,
            "at least arrival_step",
        )


def _floats(name: str, value: ArrayLike) -> Floats:
    array = np.asarray(value, np.float64)
    _rule(name, array, np.isfinite(array), "finite")
    return array


def _broadcast(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    return np.ascontiguousarray(_fitted(name, _floats(name, value), shape))


def _fitted(name: str, array: NDArray[_T], shape: tuple[int, ...]) -> NDArray[_T]:
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ProblemError(
            f"{name} has shape {array.shape}; it must fit {shape}"
        ) from None


def _rule(
    name: str, value: NDArray[np.generic], holds: NDArray[np.bool_], rule: str
) -> None:
    if not holds.all():
        index = tuple(int(i) for i in np.argwhere(~np.atleast_1d(holds))[0])
        raise ProblemError(
            f"{name}{list(index)} is {np.atleast_1d(value)[index]}; it must be {rule}"
        )
