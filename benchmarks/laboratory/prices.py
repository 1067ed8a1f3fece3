"""Price profiles by local hour.

A file has the columns ``hour`` (0..23, each once) and ``price_per_kwh``.
"""

from pathlib import Path

import numpy as np

from benchmarks.data.csv_rows import read_rows
from domain.errors import InvalidValue
from optimizer.checks import Floats

# Ours, for want of the site's: a cheap night, a dear evening, the day between them.
DEFAULT_PER_KWH = (0.15,) * 6 + (0.25,) * 10 + (0.40,) * 5 + (0.25,) + (0.15,) * 2


def read_prices(path: Path) -> tuple[float, ...]:
    """Return the prices of a file's 24 hours.

    Raises
    ------
    InvalidValue
        for a missing, repeated or impossible hour or a price that is no number.
    """
    prices: dict[int, float] = {}
    for row in read_rows(path, ("hour", "price_per_kwh")):
        hour = row.number("hour")
        if hour != int(hour) or not 0 <= hour <= 23:
            raise row.refusal("hour", "is not a whole hour within 0..23")
        if int(hour) in prices:
            raise row.refusal("hour", "is there already")
        prices[int(hour)] = row.number("price_per_kwh")
    missing = [hour for hour in range(24) if hour not in prices]
    if missing:
        raise InvalidValue(f"{path}: hour {missing[0]} has no price; all 24 must have")
    return tuple(prices[hour] for hour in range(24))


def price_steps(hourly: tuple[float, ...], n_step: int, step_s: int) -> Floats:
    """Return the price of each step from a local midnight on, (n_step,)."""
    hours = np.arange(n_step) * step_s // 3600 % 24
    return np.array(hourly)[hours]
