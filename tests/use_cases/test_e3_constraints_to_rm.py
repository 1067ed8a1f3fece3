"""E3 Power and energy constraints sent to a zone's RM."""

import msgspec
import pytest

from domain.errors import InvalidValue, Unknown
from domain.model.site_events import ConstraintsSent, EnergyWindow
from domain.model.values import DAY, HOUR
from domain.use_cases.e3_constraints_to_rm import (
    LONGEST_AWAY,
    SendConstraints,
    send_constraints,
)
from tests.use_cases.small_site import NINE, ZONE, Site, by

TWO, FOUR = NINE + 2 * HOUR, NINE + 4 * HOUR
SENT = SendConstraints(
    zone_id=ZONE,
    constraints_id="c1",
    from_at=NINE,
    lower_w=0,
    upper_w=25_000,
    windows=(EnergyWindow(TWO, 10_000, 40_000), EnergyWindow(FOUR, 30_000, 80_000)),
)


def test_constraints_are_recorded_as_a_decision_of_the_zone(site: Site) -> None:
    send_constraints(site.system, SENT, by())
    row = site.log.read_stream(f"zone-{ZONE}")[-1]
    assert row.is_decision
    assert row.event == ConstraintsSent(
        zone_id=ZONE,
        constraints_id="c1",
        from_at=NINE,
        lower_w=0,
        upper_w=25_000,
        windows=SENT.windows,
    )


def test_power_alone_and_power_to_the_grid_are_constraints_too(site: Site) -> None:
    command = msgspec.structs.replace(SENT, lower_w=-30_000, upper_w=-1, windows=())
    send_constraints(site.system, command, by())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"zone_id": "x"}, "zone 'x' was never defined"),
        ({"constraints_id": "a b"}, "constraints id 'a b' is not"),
        ({"lower_w": 25_001}, "lower 25001 W, upper 25000 W do not increase within"),
        ({"upper_w": 30_001}, r"upper 30001 W do not increase within ±30000 W"),
        ({"lower_w": -30_001}, "lower -30001 W"),
        ({"upper_w": float("nan")}, "upper nan W"),
        ({"from_at": TWO}, "window until 2019-10-21T11:00:00Z does not end after"),
        ({"windows": SENT.windows[::-1]}, "window until 2019-10-21T11:00:00Z does not"),
        ({"windows": (EnergyWindow(TWO, 5, 4),)}, "lower 5 Wh, upper 4 Wh"),
        ({"windows": (EnergyWindow(TWO, 0, 10**13),)}, "10{13} Wh do not increase"),
        ({"from_at": NINE - LONGEST_AWAY - 1}, "more than a year away"),
        ({"windows": (EnergyWindow(NINE + 400 * DAY, 0, 1),)}, "more than a year away"),
    ],
)
def test_constraints_that_cannot_be_are_refused(
    site: Site, change: dict[str, object], says: str
) -> None:
    before = site.log.last_position()
    with pytest.raises((InvalidValue, Unknown), match=says):
        send_constraints(site.system, msgspec.structs.replace(SENT, **change), by())
    assert site.log.last_position() == before
