"""What a closed loop is like: steps, what is known of cars, and how cars behave."""

import enum
import math

import msgspec
import numpy as np

from benchmarks.simulator import car as cars
from domain.errors import InvalidValue
from optimizer.checks import Ints


class Departures(enum.StrEnum):
    """Which departure a strategy is told."""

    TRUE = "true"
    ESTIMATED = "estimated"


class Energy(enum.StrEnum):
    """Which energy a strategy is told."""

    TAKEN = "taken"
    ASKED = "asked"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A closed loop's setting.

    Parameters
    ----------
    name
        What it is called in tables.
    step_s
        Length of a step [s].
    replan_steps
        A plan is made at every arrival and departure, and after so many steps.
    horizon_steps
        A plan looks so far ahead, or to the last departure where that is sooner.
    coarse_steps
        The columns of a plan are single steps as far as they are used
        (``replan_steps``), and after that so many steps together.
    departures, energy
        What strategies are told. With ``asked``, what an EV may get does not end at
        what its driver asked for.
    floor_w
        Below it a car draws nothing [W].
    taper
        Whether power falls over the last 10 % of a car's energy.
    slow_share
        Share of the cars that take at most 3.3 kW.
    observes
        Whether what a car can take is learned from what it draws, instead of known; to
        be surprised by a car makes a plan.
    minimum_share
        This share of the energy told is promised: the tier before all others.
    """

    name: str
    step_s: int = 300
    replan_steps: int = 12
    horizon_steps: int = 288
    coarse_steps: int = 1
    departures: Departures = Departures.TRUE
    energy: Energy = Energy.TAKEN
    floor_w: float = 0.0
    taper: bool = False
    slow_share: float = 0.0
    observes: bool = False
    minimum_share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no loop."""
        if not (60 <= self.step_s <= 3600 and 3600 % self.step_s == 0):
            raise InvalidValue(
                f"a step of {self.step_s} s is not 60..3600 s and a part of an hour"
            )
        if self.replan_steps < 1:
            raise InvalidValue(
                f"planning every {self.replan_steps} steps is not every 1 or more"
            )
        if self.horizon_steps < 1:
            raise InvalidValue(f"a horizon of {self.horizon_steps} steps has none")
        if self.coarse_steps < 1:
            raise InvalidValue(f"columns of {self.coarse_steps} steps have none")
        if not 0 <= self.minimum_share <= 1:  # also refuses NaN
            raise InvalidValue(
                f"a minimum share of {self.minimum_share:g} is not within 0..1"
            )
        if not (math.isfinite(self.floor_w) and self.floor_w >= 0):
            raise InvalidValue(f"a floor of {self.floor_w:g} W is not 0 or more")

    def edges(self, n_step: int) -> Ints:
        """Return the steps at which columns begin, and at last the end, (T + 1,)."""
        if self.coarse_steps == 1:
            return np.arange(n_step + 1)
        single = np.arange(min(self.replan_steps, n_step))
        coarse = np.arange(self.replan_steps, n_step, self.coarse_steps)
        return np.concatenate([single, coarse, [n_step]])

    @property
    def step_h(self) -> float:
        """Length of a step [h]."""
        return self.step_s / 3600


STANDARD = Setting(name="standard")
"""The published comparison's: the energy taken is the need, departures are true."""

REALISTIC = Setting(
    name="realistic",
    step_s=60,
    replan_steps=15,
    horizon_steps=1440,
    coarse_steps=15,
    departures=Departures.ESTIMATED,
    energy=Energy.ASKED,
    floor_w=6 * 208.0,
    taper=True,
    slow_share=cars.SLOW_SHARE,
    observes=True,
)
"""The cars of ``voltledger simulate``, without lags and lost answers."""

SETTINGS = {setting.name: setting for setting in (STANDARD, REALISTIC)}
