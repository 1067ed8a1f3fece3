"""E3: a plan's event says what more PRE would be worth, and has a certificate."""

import pytest

from domain.model.plan_events import PlanMade
from tests.loop.world import FLOOR_W, world


@pytest.mark.parametrize(("upper_w", "worth"), [(FLOOR_W + 500, 1_000), (20_000, 0)])
def test_more_pre_is_worth_what_it_would_serve(upper_w: int, worth: int) -> None:
    """Two EVs that both need more than the PRE holds, or far less than it does."""
    with world(minutes=20) as zone:
        zone.pre(0, (7_200, upper_w))
        zone.visit(0, 1, 1_000, 1_500)
        zone.visit(1, 2, 1_000, 1_500)
        zone.run()
        plans = [r.event for r in zone.rows() if isinstance(r.event, PlanMade)]
    crowded = [p for p in plans if p.status == "best_effort"]
    assert bool(crowded) == (worth > 0)
    for plan in crowded or plans:
        assert plan.pre_worth[0] == (0, worth)
        assert plan.pre_price == ((0, 0),)  # no tariff yet
    assert all(plan.is_certified for plan in plans)
