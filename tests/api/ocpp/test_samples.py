from collections.abc import Sequence

from api.ocpp.samples import Measure, Sampled
from domain.loop.observer import Reading
from domain.model.plan_events import MeasuresTaken, ReadingsTaken
from domain.model.values import DAY, HOUR, Event, Instant
from projections.readings import readings_of
from tests.api.ocpp.office import NOW


class Kept:
    """The samples, as a list."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Event]] = []

    def append_all(
        self, rows: Sequence[tuple[str, Event]], occurred_at: Instant
    ) -> None:
        """Record rows."""
        self.rows += rows


def test_readings_of_a_month_ago_do_not_take_those_of_now_down() -> None:
    sampled, kept = Sampled(), Kept()
    told = [
        Reading(evse_id="E", at=at, power_w=1, register_wh=2)
        for at in (NOW, NOW - 30 * DAY, NOW - 30 * DAY + HOUR, NOW - 400 * DAY)
    ]
    for reading in told:
        sampled.reading("site", reading)
        sampled.measure("site", Measure("E", reading.at, "SoC", "Percent", 50_000))
    sampled.keep(kept, NOW)  # type: ignore[arg-type]
    rows = [event for _, event in kept.rows if isinstance(event, ReadingsTaken)]
    found = [reading.taken_at for row in rows for reading in readings_of(row)]
    assert found == sorted(reading.at for reading in told)
    assert len(rows) == 3
    assert sum(isinstance(event, MeasuresTaken) for _, event in kept.rows) == 3
