"""Rebuild the problem of every plan from the ledger alone, and compare digests."""

from collections.abc import Callable, Iterator

import msgspec

from domain.loop.allocation import build
from domain.loop.router import Router
from domain.loop.zone_state import ZoneState
from domain.model.plan_events import PlanMade, PlanSuperseded
from domain.ports import Log, Recorded

_PAGE = 5_000


class ReplayReport(msgspec.Struct, frozen=True):
    """How many plans were checked, and the positions of those that differ."""

    plans: int
    differing: tuple[int, ...]


class _Replay:
    """One zone's fold on its way through the log.

    A problem was made of the ledger up to ``seen_position``; the plan's own row came
    later. So rows wait until the next plan tells which of them it had seen.
    """

    def __init__(self, zone_id: str) -> None:
        self.state = ZoneState(zone_id)
        self.waiting: list[Recorded] = []

    def check(self, row: Recorded) -> bool:
        """Return whether the problem of a plan's row is the one its event names."""
        event = row.event
        assert isinstance(event, PlanMade | PlanSuperseded)
        seen = [r for r in self.waiting if r.position <= event.seen_position]
        for r in seen:
            self.state.apply(r)
        self.waiting = self.waiting[len(seen) :]
        allocation = build(self.state, event.planned_at)
        return allocation.digest() == event.problem_digest


def check(
    log: Log, on_progress: Callable[[float], None] = lambda share: None
) -> ReplayReport:
    """Check every plan of a log, applied or superseded."""
    router = Router()
    zones: dict[str, _Replay] = {}
    plans = 0
    differing: list[int] = []
    last = max(log.last_position(), 1)
    for row in _rows(log):
        zone_id = router.zone_of(row)
        if zone_id is None:
            continue
        replay = zones.setdefault(zone_id, _Replay(zone_id))
        if isinstance(row.event, PlanMade | PlanSuperseded):
            plans += 1
            if not replay.check(row):
                differing.append(row.position)
            on_progress(row.position / last)
        replay.waiting.append(row)
    return ReplayReport(plans, tuple(differing))


def _rows(log: Log) -> Iterator[Recorded]:
    after = 0
    while rows := log.read(after=after, limit=_PAGE):
        yield from rows
        after = rows[-1].position
