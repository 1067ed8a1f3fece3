"""E2 over HTTP: a CSO brings an incentive, a driver refuses it."""

import pytest

from domain.model import incentive_events as n
from domain.use_cases.e2_demand_response import RecordTold, record_told
from domain.use_cases.e2_incentive_effects import load_incentives, part_of
from domain.use_cases.shared_path import By
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

PATH = f"/zones/{ZONE}/incentives"
FREE = EVSES[0]
INCENTIVE = {
    "incentive_id": "peak-1",
    "from_at": "2019-10-29T00:00:00Z",
    "until_at": "2019-11-02T00:00:00Z",
    "currency": "EUR",
    "tariff": [{"offset_s": 0, "minor_per_kwh": 45}],
    "co2": [{"offset_s": 0, "g_per_kwh": 380}],
    "maximum_w": 3_000,
    "peak": "Peak hour",
}


@pytest.mark.requirement("E2.Req1")
def test_a_cso_brings_an_incentive_and_its_driver_refuses_it(
    caller_for: CallerFor, served: Served
) -> None:
    cso = caller_for("cso", party="fleet", zones=(ZONE,))
    station = caller_for("station", stations=("s1",))
    session_id = station.done(f"/evses/{FREE}/plugs", {})["session_id"]
    cso.done(PATH, INCENTIVE)
    assert part_of(served.system, session_id).under == {"peak-1"}
    (received,) = load_incentives(served.system, ZONE).received
    assert received == n.IncentiveReceived(
        zone_id=ZONE,
        incentive_id="peak-1",
        from_at=received.from_at,
        until_at=received.until_at,
        source="fleet",
        currency="EUR",
        tariff=((0, 45),),
        co2=((0, 380),),
        maximum_w=3_000,
        peak="Peak hour",
    )
    cso.done(f"/service-sessions/{session_id}/incentive-answer", {"is_accepted": False})
    assert part_of(served.system, session_id).refused == {"peak-1"}
    position = served.system.log.last_position()
    (shown,) = cso.get(PATH, after=position)["items"]
    assert (shown["incentive_id"], shown["source"]) == ("peak-1", "fleet")
    assert (shown["sessions_under"], shown["sessions_refused"]) == (2, 1)
    told = RecordTold(
        zone_id=ZONE, incentive_id="peak-1", evse_id=FREE, how="data", outcome="refused"
    )
    record_told(served.system, told, By(actor="gateway", at=served.clock.now()))
    (shown,) = cso.get(PATH, after=position + 1)["items"]
    assert [each["outcome"] for each in shown["tellings"][FREE]] == ["refused"]
    cso.done(f"{PATH}/peak-1/withdrawal", {"reason": "no peak"})
    again = {"is_accepted": True}
    path = f"/service-sessions/{session_id}/incentive-answer"
    cso.refused(422, "refused", path, again)


def test_an_incentive_is_for_a_zone_within_reach_and_says_something(
    caller_for: CallerFor,
) -> None:
    cso = caller_for("cso", party="fleet", zones=(ZONE,))
    cso.refused(404, "unknown-zone", "/zones/yard/incentives", INCENTIVE)
    nothing = {key: INCENTIVE[key] for key in ("incentive_id", "from_at", "until_at")}
    cso.refused(422, "refused", PATH, nothing)
    cso.refused(404, "unknown-thing", f"{PATH}/peak-9/withdrawal", {"reason": "x"})
    operator = caller_for("operator", zones=("*",))
    operator.refused(403, "forbidden", PATH, INCENTIVE)
