"""An operator's limit of an EVSE reaches its station by the ETPs that follow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidValue
from domain.loop.router import restore, state_of
from domain.model import station_events as t
from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.values import DAY, HOUR, MINUTE, Instant
from domain.use_cases.e1_operator_limits import LimitEvse, limit_evse
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from tests.api.ocpp.etps_told import etps, told
from tests.api.ocpp.office import NOW, ONE, TWO, Office, open_with_station
from tests.api.ocpp.test_gateway_restart import UPPER_W, Site, charging

LIMIT_W = 7_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_with_station(tmp_path, is_asked=False) as office:
        envelope = PowerRangeEnvelope(NOW, (Range(86_400, 0, UPPER_W),))
        pre = ReceivePre(zone_id="site", pre_id="pre", envelope=envelope)
        receive_pre(office.system, pre, office.by("rm"))
        yield Site(office)


def limit(office: Office, max_w: int | None, until_at: Instant = 0) -> None:
    command = LimitEvse(evse_id=ONE, max_w=max_w, until_at=until_at)
    limit_evse(office.system, command, office.by())


def powers(call: Any) -> list[float]:
    """Return the steps of an ETP on the wire [W]."""
    (schedule,) = call[3]["chargingProfile"]["chargingSchedule"]
    per_a = 1 if schedule["chargingRateUnit"] == "W" else 3 * 230
    periods = schedule["chargingSchedulePeriod"]
    return [period["limit"] * per_a for period in periods]


@pytest.mark.requirement("E1.Req2")
def test_an_etp_stays_within_the_limit_until_it_is_over(site: Site) -> None:
    office = site.office
    wire = charging(site)
    assert max(powers(etps(wire)[-1])) > LIMIT_W
    limit(office, LIMIT_W)
    site.drive(5)
    told(wire)
    assert 0 < max(powers(etps(wire)[-1])) <= LIMIT_W
    site.drive(60)
    assert site.counted_w() <= LIMIT_W
    limit(office, None)
    site.drive(60)
    assert max(powers(etps(wire)[-1])) > LIMIT_W


def test_the_limit_is_known_for_good_and_of_its_evse_alone(site: Site) -> None:
    office = site.office
    limit(office, LIMIT_W)
    now = office.clock.at + 500 * DAY
    upto, rows = restore(office.system.log, "site", now)
    slots = state_of("site", rows, upto).slots
    assert slots[ONE].limits["operator"].largest(now, now) == LIMIT_W
    assert slots[TWO].limits == {}
    limit(office, None)
    upto, rows = restore(office.system.log, "site", now)
    assert state_of("site", rows, upto).slots[ONE].limits == {}


def test_a_limit_for_a_while_ends_by_itself(site: Site) -> None:
    office = site.office
    limit(office, LIMIT_W, office.clock.at + HOUR)
    (event,) = office.events(t.LimitReported)
    assert isinstance(event, t.LimitReported)
    assert event.profile is not None
    ends_at = office.clock.at + HOUR
    assert event.profile.power_w(ends_at - MINUTE) == LIMIT_W
    assert event.profile.power_w(ends_at) > UPPER_W


@pytest.mark.parametrize(
    ("max_w", "after", "says"),
    [
        (22_080, 0, "no limit below the 22080 W"),
        (-1, 0, "no limit below"),
        (LIMIT_W, -HOUR, "is not after"),
    ],
)
def test_what_is_no_limit_is_refused(
    site: Site, max_w: int, after: Instant, says: str
) -> None:
    until_at = site.office.clock.at + after if after else 0
    with pytest.raises(InvalidValue, match=says):
        limit(site.office, max_w, until_at)
