"""Where a closed loop takes place: capacity, EVSEs, and the lines behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.scenarios.caltech import MAX_A, VOLTAGE_V, caltech_network
from domain.errors import InvalidValue
from optimizer import PhaseNetwork
from optimizer.checks import Ints

FLAT, CALTECH = "flat", "caltech"
SITES = (FLAT, CALTECH)
EVSE_MAX_W = VOLTAGE_V * MAX_A


@dataclass(frozen=True, eq=False)
class LabSite:
    """A zone with a flat PRE of its capacity, and lines where the site has them."""

    name: str
    capacity_w: float
    station_ids: tuple[str, ...]
    network: PhaseNetwork | None = None

    def rows(self, station_ids: Sequence[str]) -> Ints:
        """Return the index of each station's EVSE."""
        index = {station: i for i, station in enumerate(self.station_ids)}
        return np.array([index[station] for station in station_ids], np.int64)


def site_of(name: str, capacity_kw: float, station_ids: Sequence[str]) -> LabSite:
    """Return a site by its name.

    ``flat`` has an EVSE of 208 V and 32 A for each station and no lines; ``caltech`` is
    the garage behind a transformer of that capacity, which all stations must be at.
    """
    capacity_w = capacity_kw * 1000.0
    if name == FLAT:
        return LabSite(name, capacity_w, tuple(sorted(set(station_ids))))
    if name != CALTECH:
        raise InvalidValue(f"site {name!r} is not one of {', '.join(SITES)}")
    garage = caltech_network(capacity_kw)
    garage.rows(sorted(set(station_ids)))  # refuses who is not there
    return LabSite(name, capacity_w, garage.station_ids, garage.network)
