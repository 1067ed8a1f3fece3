"""The car model, kept fixed because it decides the figures.

A car takes at most 6.656 kW; 30 % of the cars, by seed, at most 3.3 kW; never less than
1.1 times what its stay needs, as far as the EVSE gives that. Over the last 10 % of the
energy it takes, its power falls linearly to 15 %. It follows what the station allows
after a lag of 1 to 30 s of its own, draws nothing below the EVSE's floor, stops at what
the real car took and leaves when the real one left.
"""

from dataclasses import dataclass

from domain.model.values import HOUR, Instant

FULL_W = 6_656
SLOW_W = 3_300
SLOW_SHARE = 0.30
NEED_MARGIN = 1.1
TAPER_FROM = 0.90
TAPER_TO = 0.15
LAG_S = (1, 30)


@dataclass(slots=True)
class Car:
    """One car at an EVSE; energies [Wh], powers [W]."""

    max_w: float
    lag: Instant
    needed_wh: float
    floor_w: float
    allowed_w: float = 0.0
    energy_wh: float = 0.0
    power_w: float = 0.0

    def settle(self) -> None:
        """Set the power to what the car draws now."""
        if self.energy_wh >= self.needed_wh - 1e-9 or self.allowed_w < self.floor_w:
            self.power_w = 0.0
            return
        self.power_w = min(self.allowed_w, self.limit_w())

    def limit_w(self) -> float:
        """Return the most the car takes at its energy [W]."""
        share = self.energy_wh / self.needed_wh
        if share <= TAPER_FROM:
            return self.max_w
        fallen = (share - TAPER_FROM) / (1 - TAPER_FROM) * (1 - TAPER_TO)
        return self.max_w * (1 - fallen)

    def advance(self, duration: Instant) -> float:
        """Draw for a while; return the energy taken [Wh]."""
        if self.power_w == 0.0:
            return 0.0
        taken = min(self.power_w * duration / HOUR, self.needed_wh - self.energy_wh)
        self.energy_wh += taken
        return taken


def max_power_w(base_w: float, needed_wh: float, stay: Instant, evse_w: float) -> float:
    """Return a car's largest power [W]."""
    return min(evse_w, max(base_w, NEED_MARGIN * needed_wh * HOUR / stay))
