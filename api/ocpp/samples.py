"""Readings of one batch, column-wise, as they go to the samples: a row a zone."""

from typing import Final, NamedTuple, TypeVar

import numpy as np

from domain.loop.observer import Reading
from domain.loop.readings_row import column, readings_row
from domain.model.plan_events import MeasuresTaken
from domain.model.values import DAY, Event, Instant
from domain.ports import SampleLog

# What one row can hold, its instants being counted in milliseconds from the first.
_LONGEST_ROW: Final = 20 * DAY


class Measure(NamedTuple):
    """One value of one measurand at an EVSE, in thousandths of ``unit``.

    ``name`` is measurand, phase, location and context as the station has them, joined
    by ``/``; a register that runs backwards keeps its value all the same.
    """

    evse_id: str
    at: Instant
    name: str
    unit: str
    value_milli: int


Told = TypeVar("Told", Reading, Measure)


class Sampled:
    """What was read since the last time it was kept."""

    def __init__(self) -> None:
        self._readings: dict[str, list[Reading]] = {}
        self._measures: dict[str, list[Measure]] = {}
        # Since the mark: of each value the list that it is the last of.
        self._grown: list[list[Reading] | list[Measure]] = []

    def mark(self) -> None:
        """From here on what is added can be undone."""
        self._grown.clear()

    def undo(self) -> None:
        """Take out what was added since the mark."""
        while self._grown:
            self._grown.pop().pop()
        self._readings = {zone: rows for zone, rows in self._readings.items() if rows}
        self._measures = {zone: rows for zone, rows in self._measures.items() if rows}

    def reading(self, zone_id: str, reading: Reading) -> None:
        """Add a reading of power and import register."""
        rows = self._readings.setdefault(zone_id, [])
        rows.append(reading)
        self._grown.append(rows)

    def measure(self, zone_id: str, measure: Measure) -> None:
        """Add what else was measured."""
        rows = self._measures.setdefault(zone_id, [])
        rows.append(measure)
        self._grown.append(rows)

    def keep(self, samples: SampleLog, now: Instant) -> None:
        """Append a row a zone and kind; more, where a row cannot hold what was told."""
        rows: list[tuple[str, Event]] = []
        for zone_id, readings in self._readings.items():
            stream = f"samples-{zone_id}"
            rows += [(stream, readings_row(zone_id, r)) for r in _of_rows(readings)]
        for zone_id, measures in self._measures.items():
            stream = f"measures-{zone_id}"
            rows += [(stream, _measures_row(zone_id, m)) for m in _of_rows(measures)]
        if rows:
            samples.append_all(rows, now)
        self._measures = {}

    def taken(self) -> dict[str, list[Reading]]:
        """Return the readings by zone, and begin anew."""
        readings, self._readings = self._readings, {}
        return readings


def _of_rows(told: list[Told]) -> list[list[Told]]:
    """Return what was told as rows: each holds some three weeks, in 32 bits."""
    at = [one.at for one in told]
    if max(at) - min(at) <= _LONGEST_ROW:
        return [told]
    rows: list[list[Told]] = [[]]
    for one in sorted(told, key=lambda each: each.at):
        if rows[-1] and one.at - rows[-1][0].at > _LONGEST_ROW:
            rows.append([])
        rows[-1].append(one)
    return rows


def _measures_row(zone_id: str, measures: list[Measure]) -> MeasuresTaken:
    from_at = min(measure.at for measure in measures)
    evse_ids = tuple(dict.fromkeys(m.evse_id for m in measures))
    names = tuple(dict.fromkeys(f"{m.name} {m.unit}" for m in measures))
    evse_index = {evse_id: i for i, evse_id in enumerate(evse_ids)}
    name_index = {name: i for i, name in enumerate(names)}
    return MeasuresTaken(
        zone_id=zone_id,
        from_at=from_at,
        evse_ids=evse_ids,
        names=names,
        evse_index=column([evse_index[m.evse_id] for m in measures]),
        name_index=column([name_index[f"{m.name} {m.unit}"] for m in measures]),
        offset_ms=column([(m.at - from_at) // 1000 for m in measures]),
        value_milli=np.array([m.value_milli for m in measures], "<i8").tobytes(),
    )
