"""A day over real sockets that was run for a test, with its log still open."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from api.commands.conducted import open_conducted_gateway
from api.compose import open_simulation
from benchmarks.simulator.clock import SeededIds, SimulatedClock
from benchmarks.simulator.day import OURS, DayRequest, span_of
from benchmarks.simulator.memory_day import policy_of
from benchmarks.simulator.ocpp.day import Trouble, WiredDay
from benchmarks.simulator.ocpp.site import WiredSite
from domain.model import session_events as s
from domain.model.sdr_information import SdrInformation, information_of
from domain.model.site_events import EvseCommissioned
from domain.model.values import Event
from domain.ports import Recorded, System
from domain.use_cases.s6_sdr_information import increments_of
from optimizer import Planner

EventT = TypeVar("EventT", bound=Event)


class Ran(NamedTuple):
    """A day that was run, with its log still open."""

    system: System
    site: WiredSite
    request: DayRequest
    trouble: Trouble

    def told_wh(self) -> dict[str, int]:
        """Return what each meter counted."""
        places = self.site.places.items()
        return {evse_id: place.evse.told_register_wh for evse_id, place in places}

    def information(self) -> dict[str, SdrInformation]:
        """Return the SDR information of each session."""
        evses: dict[str, EvseCommissioned] = {}
        opened: list[str] = []
        for row in self.rows():
            if isinstance(row.event, EvseCommissioned):
                evses[row.event.evse_id] = row.event
            elif isinstance(row.event, s.SessionOpened):
                opened.append(row.event.session_id)
        return {
            session_id: information_of(
                session_id,
                increments_of(self.system, session_id),
                lambda evse_id, position: evses.get(evse_id),
            )
            for session_id in opened
        }

    def events(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of a kind."""
        return [row.event for row in self.rows() if isinstance(row.event, kind)]

    def rows(self) -> list[Recorded]:
        """Return the whole ledger."""
        return list(self.system.log.read(after=0, limit=1_000_000))


@contextmanager
def ran(
    folder: Path, asked: DayRequest, trouble: Trouble | None = None
) -> Iterator[Ran]:
    """Run a day over sockets."""
    folder.mkdir(exist_ok=True)
    clock = SimulatedClock(span_of(asked).start_at)
    trouble = trouble or Trouble()
    with open_simulation(folder / "store", clock, SeededIds(1)) as system:
        day = WiredDay(system, clock, asked, trouble)
        strategist = Planner().plan, policy_of(OURS)
        site = asyncio.run(day.run(strategist, open_conducted_gateway))
        yield Ran(system, site, asked, trouble)
