"""Readings of a zone as one row of the samples, column-wise."""

from collections.abc import Sequence

import numpy as np

from domain.loop.observer import Reading
from domain.model.plan_events import ReadingsTaken


def readings_row(zone_id: str, readings: Sequence[Reading]) -> ReadingsTaken:
    """Return readings of a zone as a row; ``from_at`` is the earliest instant."""
    from_at = min(reading.at for reading in readings)
    evse_ids = tuple(dict.fromkeys(reading.evse_id for reading in readings))
    index = {evse_id: i for i, evse_id in enumerate(evse_ids)}
    return ReadingsTaken(
        zone_id=zone_id,
        from_at=from_at,
        evse_ids=evse_ids,
        evse_index=column([index[r.evse_id] for r in readings]),
        offset_ms=column([(r.at - from_at) // 1000 for r in readings]),
        power_w=column([r.power_w for r in readings]),
        register_wh=column([r.register_wh for r in readings]),
    )


def column(values: list[int]) -> bytes:
    """Return whole numbers as little-endian int32."""
    return np.array(values, "<i4").tobytes()
