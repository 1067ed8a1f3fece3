"""The allocation problem of a charging site zone, as arrays.

Axes are always (n_evse, n_step). Powers [W], energies [Wh], + is grid to EV. What the
fields mean together, tier by tier, is in `docs/planner.md`.
"""

import enum
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

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
    repeated_part,
    whole,
)
from optimizer.limits import (
    EnergyWindow,
    Group,
    PhaseNetwork,
    checked_windows,
    fitted_phases,
    laminar_groups,
    listed,
)


class Shortage(enum.StrEnum):
    """What a shortage does within a priority class, at the greatest total energy."""

    FINISH_MOST = "finish_most"
    """Greatest sum of served shares: the smallest needs first."""
    MAX_MIN = "max_min"
    """The least served share as great as can be, then the next one, and so on."""


_ZERO = np.zeros(1)
_NONE = np.empty(0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """What there is to allocate, to whom, and what must hold.

    A given array is not copied where its shape and type fit; scalars and (n,) arrays
    may become read-only views. ``stored`` fields are in the EV's battery, all powers at
    the EVSE.

    Parameters
    ----------
    step_s : float or (T,)
        Length of each step [s], above 0.
    power_min_w, power_max_w : (n,) or (n, T)
        What the EV can take [W]; the minimum is at most 0, and below it only for V2G.
    arrival_step, departure_step : (n,) int
        The EV is there in steps arrival_step .. departure_step - 1; else it takes 0.
    energy_min_wh, energy_target_wh, energy_max_wh : (n,)
        Energy still to get into the EV's battery by departure [Wh]: promised, asked for
        and at most taken; min <= target <= max. Below 0 only for V2G.
    stored_wh, capacity_wh : (n,), optional
        Energy in the battery now and at most [Wh]. Given both, the battery stays
        between 0 and its capacity after every step. NaN where not known.
    charge_efficiency, discharge_efficiency : float or (n,)
        In (0, 1].
    priority : (n,) int, optional
        Class, 0 first.
    pre_lower_w, pre_upper_w : (T,)
        The power range envelope [W].
    groups : sequence of Group
    phases : PhaseNetwork, optional
    energy_windows : sequence of EnergyWindow
    buy_per_kwh, sell_per_kwh : float or (T,)
        Price of the zone's import and worth of its export, at most the price to buy;
        that where not given.
    carbon_per_kwh : float or (T,), optional
        Price of the carbon in the grid's energy, added to both.
    peak_per_kw, peak_so_far_w : float
        Price of the greatest import, and what it already is [W].
    wear_per_kwh : float
        Price of energy discharged by EVs.
    power_floor_w : float or (n,)
        Power is 0 or at least this in size [W] (6 A of IEC 61851).
    power_step_w : float or (n,)
        Powers are multiples of this [W] (an EVSE's pilot steps); 0 where any will do.
    previous_power_w : (n, T), optional
        The plan in force [W]; among equal plans the nearest is taken.
    shortage : Shortage
    energy_expected_wh : (n,), optional
        Energy the EV is expected to take [Wh]; orders service in a shortage, least
        first. The target where not given.
    evse_max_w : (n,), optional
        The EVSE's own limit [W], whatever its EV was seen to take; for strategies that
        do not look at that. ``power_max_w`` where not given.
    arrival_rank : (n,) int, optional
        Order of arrival, for strategies that serve by it.
    row_key : (n,) int, optional
        Identity of each row between calls, for warm starts; its index where not given.

    Raises
    ------
    ProblemError
        for wrong shapes and types, NaN, infinities where none may be, and limits that
        contradict. What cannot be met together is no error but a result.
    """

    step_s: Floats
    power_max_w: Floats
    arrival_step: Ints
    departure_step: Ints
    energy_target_wh: Floats
    energy_max_wh: Floats
    pre_lower_w: Floats
    pre_upper_w: Floats
    power_min_w: Floats = field(default_factory=lambda: _ZERO)
    energy_min_wh: Floats = field(default_factory=lambda: _ZERO)
    stored_wh: Floats | None = None
    capacity_wh: Floats | None = None
    charge_efficiency: Floats = field(default_factory=lambda: np.ones(1))
    discharge_efficiency: Floats = field(default_factory=lambda: np.ones(1))
    priority: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    groups: Sequence[Group] = ()
    phases: PhaseNetwork | None = None
    energy_windows: Sequence[EnergyWindow] = ()
    buy_per_kwh: Floats = field(default_factory=lambda: _ZERO)
    sell_per_kwh: Floats | None = None
    peak_per_kw: float = 0.0
    peak_so_far_w: float = 0.0
    wear_per_kwh: float = 0.0
    carbon_per_kwh: Floats | None = None
    power_floor_w: Floats = field(default_factory=lambda: _ZERO)
    power_step_w: Floats = field(default_factory=lambda: _ZERO)
    previous_power_w: Floats | None = None
    shortage: Shortage = Shortage.FINISH_MOST
    energy_expected_wh: Floats = field(default_factory=lambda: _NONE)
    evse_max_w: Floats = field(default_factory=lambda: _NONE)
    arrival_rank: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    row_key: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        upper = floats("pre_upper_w", self.pre_upper_w)
        target = floats("energy_target_wh", self.energy_target_wh)
        for name, array in (("pre_upper_w", upper), ("energy_target_wh", target)):
            if array.ndim != 1:
                raise ProblemError(
                    f"{name} has shape {array.shape}; it must have one axis"
                )
        if upper.size == 0:
            raise ProblemError("pre_upper_w has no step; it must have at least one")
        self._fit(target.size, upper.size, upper, target)
        self._check()
        groups = listed("groups", self.groups, Group)
        self._put("groups", tuple(laminar_groups(groups, target.size, upper.size)))
        if self.phases is not None:
            if not isinstance(self.phases, PhaseNetwork):
                raise ProblemError(
                    f"phases is {self.phases!r:.60}; it must be a PhaseNetwork"
                )
            self._put("phases", fitted_phases(self.phases, target.size))
        windows = listed("energy_windows", self.energy_windows, EnergyWindow)
        self._put("energy_windows", tuple(checked_windows(windows, upper.size)))

    @property
    def n_evse(self) -> int:
        """Number of EVSEs with an EV."""
        return int(self.energy_target_wh.size)

    @property
    def n_step(self) -> int:
        """Number of steps."""
        return int(self.pre_upper_w.size)

    @property
    def has_v2g(self) -> bool:
        """Whether any EV can discharge."""
        power_min = self.power_min_w
        return bool((repeated_part(power_min) < 0).any())

    @property
    def hours(self) -> Floats:
        """Length of each step [h], (T,)."""
        hours: Floats = self.step_s / 3600.0
        return hours

    @property
    def price_per_kwh(self) -> Floats:
        """Price of import with its carbon, (T,)."""
        if self.carbon_per_kwh is None:
            return self.buy_per_kwh
        # Rounded, so that steps of equal sums are equal: the earlier one comes first.
        price: Floats = np.round(self.buy_per_kwh + self.carbon_per_kwh, 12)
        return price

    @property
    def worth_per_kwh(self) -> Floats:
        """Worth of export with its carbon, (T,)."""
        if self.sell_per_kwh is None:
            return self.price_per_kwh
        if self.carbon_per_kwh is None:
            return self.sell_per_kwh
        worth: Floats = np.round(self.sell_per_kwh + self.carbon_per_kwh, 12)
        return worth

    def available(self) -> NDArray[np.bool_]:
        """Return whether the EV is there, (n, T)."""
        steps = np.arange(self.n_step)
        return (steps >= self.arrival_step[:, None]) & (
            steps < self.departure_step[:, None]
        )

    def digest(self) -> bytes:
        """Return SHA-256 over all fields, by which replay compares problems."""
        sha = hashlib.sha256()
        for name, value in _parts("", self):
            sha.update(name.encode())
            if isinstance(value, np.ndarray):
                sha.update(repr(value.shape).encode())
                sha.update(np.ascontiguousarray(value).tobytes())
            else:
                sha.update(repr(value).encode())
        return sha.digest()

    def _put(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _fit(self, n: int, n_step: int, upper: Floats, target: Floats) -> None:
        """Give every array its type and shape."""
        self._put("pre_upper_w", upper)
        self._put("energy_target_wh", target)
        for name in ("power_min_w", "power_max_w"):
            power = floats(name, getattr(self, name))
            if power.ndim < 2:
                power = fitted(name, power, (n,))[:, None]
            self._put(name, fitted(name, power, (n, n_step)))
        self._default("energy_expected_wh", self.energy_target_wh)
        self._default("evse_max_w", self.power_max_w.max(axis=1, initial=0.0))
        self._default("priority", 0)
        self._default("arrival_rank", 0)
        self._default("row_key", np.arange(n))
        for name in _PER_STEP:
            if getattr(self, name) is not None:
                self._put(
                    name, fitted(name, floats(name, getattr(self, name)), (n_step,))
                )
        for name in _PER_EVSE:
            self._put(name, fitted(name, floats(name, getattr(self, name)), (n,)))
        for name in _WHOLE:
            self._put(name, fitted(name, whole(name, getattr(self, name)), (n,)))
        for name in ("stored_wh", "capacity_wh"):
            if getattr(self, name) is not None:
                known = numbers(name, getattr(self, name))
                self._put(name, fitted(name, known, (n,)))
        for name in ("peak_per_kw", "peak_so_far_w", "wear_per_kwh"):
            self._put(name, float(fitted(name, floats(name, getattr(self, name)), ())))
        if self.previous_power_w is not None:
            previous = floats("previous_power_w", self.previous_power_w)
            self._put(
                "previous_power_w", fitted("previous_power_w", previous, (n, n_step))
            )
        if self.shortage not in set(Shortage):
            raise ProblemError(f"shortage is {self.shortage!r}; it must be a Shortage")
        self._put("shortage", Shortage(self.shortage))

    def _default(self, name: str, value: ArrayLike) -> None:
        given = getattr(self, name)
        if given is None or np.size(given) == 0:
            self._put(name, value)

    def _check(self) -> None:
        must("step_s", self.step_s, self.step_s > 0, "above 0")
        most_w = repeated_part(self.power_max_w)
        must("power_max_w", most_w, most_w >= 0, "at least 0")
        least_w = repeated_part(self.power_min_w)
        must("power_min_w", least_w, least_w <= 0, "at most 0")
        for name in (
            "power_floor_w",
            "power_step_w",
            "peak_per_kw",
            "wear_per_kwh",
            "priority",
        ):
            value = np.asarray(getattr(self, name))
            must(name, value, value >= 0, "at least 0")
        for name in ("charge_efficiency", "discharge_efficiency"):
            value = getattr(self, name)
            must(name, value, (value > 0) & (value <= 1), "above 0 and at most 1")
        self._check_energies()
        must(
            "pre_upper_w",
            self.pre_upper_w,
            self.pre_upper_w >= self.pre_lower_w,
            "at least pre_lower_w",
        )
        must(
            "departure_step",
            self.departure_step,
            self.departure_step >= self.arrival_step,
            "at least arrival_step",
        )
        self._check_battery()
        if self.sell_per_kwh is not None:
            sell = self.sell_per_kwh
            must("sell_per_kwh", sell, sell <= self.buy_per_kwh, "at most buy_per_kwh")

    def _check_energies(self) -> None:
        discharges = repeated_part(self.power_min_w) < 0
        bidirectional = discharges.any(axis=1) if discharges.any() else False
        for name in ("energy_min_wh", "energy_target_wh", "energy_max_wh"):
            value = getattr(self, name)
            must(name, value, (value >= 0) | bidirectional, "at least 0 without V2G")
        low, target, most = (
            self.energy_min_wh,
            self.energy_target_wh,
            self.energy_max_wh,
        )
        must("energy_target_wh", target, target >= low, "at least energy_min_wh")
        must("energy_max_wh", most, most >= target, "at least energy_target_wh")

    def _check_battery(self) -> None:
        if (self.stored_wh is None) != (self.capacity_wh is None):
            raise ProblemError(
                "stored_wh and capacity_wh must be given both or neither"
            )
        if self.stored_wh is None or self.capacity_wh is None:
            return
        stored, capacity = self.stored_wh, self.capacity_wh
        unknown = np.isnan(stored) | np.isnan(capacity)
        must(
            "capacity_wh",
            capacity,
            unknown | ((capacity >= 0) & np.isfinite(capacity)),
            "at least 0 and finite",
        )
        must(
            "stored_wh",
            stored,
            unknown | ((stored >= 0) & (stored <= capacity)),
            "between 0 and capacity_wh",
        )


_PER_STEP = ("step_s", "pre_lower_w", "buy_per_kwh", "sell_per_kwh", "carbon_per_kwh")
_PER_EVSE = (
    "energy_min_wh",
    "energy_max_wh",
    "power_floor_w",
    "power_step_w",
    "charge_efficiency",
    "discharge_efficiency",
    "energy_expected_wh",
    "evse_max_w",
)
_WHOLE = ("priority", "row_key", "arrival_rank", "arrival_step", "departure_step")


def _parts(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield every field of a dataclass and of those within it, by its path."""
    for part in fields(value):  # type: ignore[arg-type]
        name, inner = prefix + part.name, getattr(value, part.name)
        if isinstance(inner, tuple):
            for i, item in enumerate(inner):
                yield from _parts(f"{name}[{i}].", item)
        elif isinstance(inner, PhaseNetwork):
            yield from _parts(f"{name}.", inner)
        elif inner is not None:
            yield name, inner
