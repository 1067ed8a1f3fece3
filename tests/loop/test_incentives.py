"""E2 and E1: EVs are planned within an incentive's maximum; a refusal ends that."""

from domain.model.values import SECOND
from domain.use_cases.e2_demand_response import (
    AnswerIncentive,
    ReceiveIncentive,
    answer_incentive,
    receive_incentive,
)
from domain.use_cases.shared_path import By
from tests.loop.world import START, ZONE, World, world

BEGIN, REFUSED, END = (START + s * SECOND for s in (900, 1_200, 1_800))
MAXIMUM_W, PRE_W = 2_000, 9_000


def told_w(zone: World, evse: int, at: int) -> int:
    """Return what an EVSE was told to give at an instant [W]."""
    stored = [p for stored_at, p in zone.evses[evse].stored if stored_at <= at]
    return stored[-1].power_w(at)


def receive(zone: World, by: By) -> None:
    command = ReceiveIncentive(
        zone_id=ZONE,
        incentive_id="peak",
        from_at=BEGIN,
        until_at=END,
        maximum_w=MAXIMUM_W,
    )
    receive_incentive(zone.system, command, by)


def refuse(zone: World, by: By) -> None:
    command = AnswerIncentive(session_id=zone.session(0), is_accepted=False)
    answer_incentive(zone.system, command, by)


def test_an_incentives_maximum_is_planned_and_a_refusal_ends_it() -> None:
    with world(2, 50) as zone:
        zone.pre(0, (7_200, PRE_W))
        zone.visit(0, 1, 2_900, 20_000)
        zone.visit(1, 2, 2_900, 20_000)
        at = START + 600 * SECOND
        zone.at(at, lambda: receive(zone, By(actor="cso", at=at)))
        zone.at(REFUSED, lambda: refuse(zone, By(actor="ev-user", at=REFUSED)))
        zone.run()
    settled = 120 * SECOND
    assert told_w(zone, 0, BEGIN - 60 * SECOND) > MAXIMUM_W
    for evse in (0, 1):
        assert told_w(zone, evse, BEGIN + settled) <= MAXIMUM_W
    assert told_w(zone, 0, REFUSED + settled) > MAXIMUM_W
    assert told_w(zone, 1, REFUSED + settled) <= MAXIMUM_W
    assert told_w(zone, 1, END + settled) > MAXIMUM_W
