"""7.3 Commissioning of zones, stations and EVSEs."""

from collections.abc import Callable

import msgspec
import pytest

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import ids
from domain.model import site_events as z
from domain.model.profile import POWER_LIMIT_W
from domain.model.values import Current
from domain.ports import Answer, System
from domain.use_cases.clause_7_3_commissioning import (
    ChangeEvseLimits,
    ChangeZoneLimits,
    CommissionEvse,
    CommissionStation,
    DefineZone,
    EvseData,
    change_evse_limits,
    change_zone_limits,
    commission_evse,
    commission_station,
    define_zone,
)
from domain.use_cases.shared_path import load_evse, load_zone
from tests.use_cases.small_site import E1, E2, E3, E4, ZONE, Site, by, evse_data

ZONE_B = DefineZone(zone_id="b", name="B", limit_w=9_000, safe_upper_w=3_000)
E5 = evse_data("US*CAL*E5")


def station(*evses: EvseData, station_id: str = "s5") -> CommissionStation:
    return CommissionStation(station_id=station_id, zone_id=ZONE, evses=evses)


def test_a_zone_is_defined(system: System) -> None:
    define_zone(system, ZONE_B, by())
    (row,) = system.log.read_stream("zone-b")
    assert row.event == z.ZoneDefined(
        zone_id="b", name="B", limit_w=9_000, safe_upper_w=3_000
    )


def test_a_station_makes_its_evses_members_of_the_zone(site: Site) -> None:
    commission_station(site.system, station(E5), by())
    members = (E1, E2, E3, E4, E5.evse_id)
    assert load_zone(site.system, ZONE).evse_ids == members
    assert site.log.read_stream("station-s5")[0].event == z.StationCommissioned(
        station_id="s5", zone_id=ZONE, evse_ids=(E5.evse_id,)
    )
    data = load_evse(site.system, E5.evse_id).commissioned
    assert data is not None
    assert (data.station_id, data.zone_id, data.max_w) == ("s5", ZONE, 6_656)


def test_limits_of_a_zone_change(site: Site) -> None:
    command = ChangeZoneLimits(zone_id=ZONE, limit_w=10, safe_upper_w=5)
    change_zone_limits(site.system, command, by())
    zone = load_zone(site.system, ZONE).defined
    assert zone is not None
    assert (zone.limit_w, zone.safe_upper_w, zone.name) == (10, 5, "Garage")


def test_a_station_gets_one_more_evse(site: Site) -> None:
    command = CommissionEvse(station_id="s1", evse=E5)
    answer = commission_evse(site.system, command, by())
    assert load_zone(site.system, ZONE).evse_ids == (E1, E2, E3, E4, E5.evse_id)
    data = load_evse(site.system, E5.evse_id).commissioned
    assert data is not None
    assert (data.station_id, data.zone_id, data.max_w) == ("s1", ZONE, 6_656)
    assert site.log.read_stream("station-s1")[-1].event == z.StationCommissioned(
        station_id="s1", zone_id=ZONE, evse_ids=(E1, E2, E5.evse_id)
    )
    assert site.rows(answer.first - 1)[0].stream == "station-s1"
    site.plug(E5.evse_id)


def test_limits_of_an_evse_change(site: Site) -> None:
    command = ChangeEvseLimits(evse_id=E1, max_w=3_000, floor_w=1_300)
    change_evse_limits(site.system, command, by())
    data = load_evse(site.system, E1).commissioned
    assert data is not None
    assert (data.max_w, data.floor_w, data.min_w) == (3_000, 1_300, 0)
    assert (data.voltage_v, data.station_id) == (208, "s1")


def test_a_refusal_says_nothing_of_whose_the_evse_is(site: Site) -> None:
    """Given a zone whose operator may know nothing of the other."""
    define_zone(site.system, ZONE_B, by())
    taken = msgspec.structs.replace(station(evse_data(E1)), zone_id="b")
    with pytest.raises(Refused) as refused:
        commission_station(site.system, taken, by())
    assert str(refused.value) == f"EVSE {E1} is commissioned already"


BARE_E1 = ids.bare_evse_id(E1)
Act = Callable[[System], Answer]


def defines(**change: object) -> Act:
    command = msgspec.structs.replace(ZONE_B, **change)
    return lambda system: define_zone(system, command, by())


def limits(zone_id: str, limit_w: int, safe_upper_w: int) -> Act:
    command = ChangeZoneLimits(
        zone_id=zone_id, limit_w=limit_w, safe_upper_w=safe_upper_w
    )
    return lambda system: change_zone_limits(system, command, by())


def commissions(command: CommissionStation) -> Act:
    return lambda system: commission_station(system, command, by())


def evse(**change: object) -> Act:
    return commissions(station(msgspec.structs.replace(E5, **change)))


def adds(station_id: str, evse: EvseData) -> Act:
    command = CommissionEvse(station_id=station_id, evse=evse)
    return lambda system: commission_evse(system, command, by())


def evse_limits(evse_id: str, **limits: int) -> Act:
    command = ChangeEvseLimits(evse_id=evse_id, **limits)
    return lambda system: change_evse_limits(system, command, by())


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (defines(zone_id=ZONE), Refused, "zone garage is defined already"),
        (defines(zone_id="a b"), InvalidValue, "zone id 'a b' is not"),
        (defines(limit_w=-1, safe_upper_w=-1), InvalidValue, "safe_upper_w -1 W"),
        (defines(safe_upper_w=9_001), InvalidValue, "9001 W is not within 0 and"),
        (defines(limit_w=POWER_LIMIT_W + 1), InvalidValue, "100000001 W is beyond"),
        (defines(limit_w=float("nan")), InvalidValue, "limit_w nan W"),
        (defines(reaction_time_s=0), InvalidValue, "reaction_time_s 0 is not above"),
        (defines(default_stay_s=10**30), InvalidValue, "default_stay_s 10{30} is not"),
        (defines(min_on_s=-1), InvalidValue, "min_on_s -1 is not within 0 and"),
        (defines(max_pauses=0), InvalidValue, "max_pauses 0 is not within 1 and 10"),
        (defines(max_pauses=11), InvalidValue, "max_pauses 11 is not within 1 and 10"),
        (limits("x", 2, 1), Unknown, "zone 'x' was never defined"),
        (limits(ZONE, 1, 2), InvalidValue, "safe_upper_w 2 W is not within 0 and"),
        (commissions(station()), InvalidValue, "station s5 has no EVSE"),
        (commissions(station(E5, E5)), InvalidValue, r"US\*CAL\*E5 twice"),
        (
            commissions(station(E5, station_id="s1")),
            Refused,
            "station s1 is commissioned already",
        ),
        (commissions(station(evse_data(E1))), Refused, r"E1 is commissioned already"),
        (
            commissions(msgspec.structs.replace(station(E5), zone_id="x")),
            Unknown,
            "zone 'x' was never defined",
        ),
        (evse(evse_id="US-CAL-5"), InvalidValue, "EVSE id 'US-CAL-5' is not country"),
        (evse(phases=4), InvalidValue, "4 phases, not 1 to 3"),
        (evse(voltage_v=0), InvalidValue, "voltage_v 0 V is not within"),
        (evse(max_w=0, floor_w=0), InvalidValue, "max_w 0 W is not above 0"),
        (evse(max_w=10**9), InvalidValue, "max_w 1000000000 W is not"),
        (evse(floor_w=6_657), InvalidValue, "floor_w 6657 W is not within 0 and"),
        (evse(floor_w=-1), InvalidValue, "floor_w -1 W is not within 0"),
        (evse(min_w=-1), InvalidValue, "min_w -1 W is below 0 without V2G"),
        (evse(min_w=1), InvalidValue, "min_w 1 W is not within -100000000 and 0 W"),
        (evse(min_w=-(10**9), v2g=True), InvalidValue, "min_w -1000000000 W is not"),
        (adds("s9", E5), Unknown, "station 's9' was never commissioned"),
        (adds("s1", evse_data(E1)), Refused, r"E1 is commissioned already"),
        (adds("s1", evse_data(BARE_E1)), Refused, "USCALE1 is commissioned already"),
        (commissions(station(evse_data(BARE_E1))), Refused, "is commissioned already"),
        (
            commissions(station(E5, evse_data(ids.bare_evse_id(E5.evse_id)))),
            InvalidValue,
            r"names EVSE US\*CAL\*E5 twice",
        ),
        (adds("s1", evse_data(E3)), Refused, r"E3 is commissioned already"),
        (
            adds("s1", msgspec.structs.replace(E5, phases=4)),
            InvalidValue,
            "4 phases, not 1 to 3",
        ),
        (evse_limits("US*CAL*E9", max_w=2, floor_w=1), Unknown, "was never"),
        (evse_limits(E1, max_w=0, floor_w=0), InvalidValue, "max_w 0 W is not above"),
        (evse_limits(E1, max_w=5, floor_w=6), InvalidValue, "floor_w 6 W is not"),
        (
            evse_limits(E1, max_w=5, floor_w=5, min_w=-1),
            InvalidValue,
            "min_w -1 W is below 0 without V2G",
        ),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    site: Site, act: Act, error: type[Refused], says: str
) -> None:
    before = site.log.last_position()
    with pytest.raises(error, match=says):
        act(site.system)
    assert site.log.last_position() == before


def test_limits_below_zero_need_v2g(site: Site) -> None:
    evse(min_w=-6_000, v2g=True, current=Current.DC)(site.system)
    data = load_evse(site.system, E5.evse_id).commissioned
    assert data is not None
    assert data.min_w == -6_000


def test_a_repeated_definition_gets_the_first_answer(system: System) -> None:
    first = define_zone(system, ZONE_B, by(command_id="c"))
    again = define_zone(system, ZONE_B, by(command_id="c"))
    assert again == Answer(first.first, first.count, repeated=True)
