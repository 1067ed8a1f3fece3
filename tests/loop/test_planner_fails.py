"""A planner that finds no plan: the one in force holds, and another attempt comes."""

from domain.model.plan_events import PlanMade, PlanSuperseded
from domain.model.values import SECOND
from optimizer import Planner, PlannerError, Problem, Result
from tests.loop.world import GAP, MAX_W, PLANNING, START, WIRE, world


class Moody:
    """A planner that fails at some calls."""

    def __init__(self, *fails: int) -> None:
        self.planner, self.calls, self.fails = Planner(), 0, fails

    def plan(self, problem: Problem) -> Result:
        self.calls += 1
        if self.calls in self.fails:
            raise PlannerError("HiGHS ended with kUnknown")
        return self.planner.plan(problem)


def test_a_failed_plan_is_superseded_and_tried_again_at_the_zones_pace() -> None:
    moody = Moody(3, 4, 5)  # the PRE is 1, the first car 2
    with world(2, 5, plan=moody.plan) as zone:
        zone.pre(0, (7_200, 20_000))
        zone.visit(0, 5, 3_000, 20_000)
        zone.visit(1, 60, 3_000, 20_000)
        zone.run()
        rows = zone.rows()
        failed = [r for r in rows if isinstance(r.event, PlanSuperseded)]
        assert {
            r.event.reason for r in failed if isinstance(r.event, PlanSuperseded)
        } == {"no plan: HiGHS ended with kUnknown"}
        at = [r.occurred_at - START for r in failed]
        assert at == [60 * SECOND, 60 * SECOND + GAP, 60 * SECOND + 2 * GAP]
        after = next(
            r
            for r in rows
            if isinstance(r.event, PlanMade) and r.position > failed[-1].position
        )
        assert after.occurred_at == START + 60 * SECOND + 3 * GAP + PLANNING
        assert zone.loop.metrics.planner_errors == 3
        assert zone.loop.metrics.superseded == 3
        first, second = zone.evses
        assert first.profile.power_w(zone.clock.at) == MAX_W
        assert after.occurred_at < second.stored[0][0] <= after.occurred_at + WIRE
