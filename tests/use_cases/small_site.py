"""A small site on a real store, and a pen to command it: given, when, then."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from domain.model import session_events as s
from domain.model.session import Session
from domain.model.values import HOUR, MINUTE, Current, Event, Instant
from domain.ports import Answer, Recorded, System
from domain.store.store import Store
from domain.use_cases.clause_6_2_joining import Reference, resolve
from domain.use_cases.clause_6_2_merging import MergeSessions, merge_sessions
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    CloseSession,
    add_transaction,
    close_session,
    run_due_timers,
)
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    DefineZone,
    EvseData,
    commission_station,
    define_zone,
)
from domain.use_cases.e1_smart_charging import PlugEv, UnplugEv, plug_ev, unplug_ev
from domain.use_cases.shared_path import By
from tests.store.fakes import MONDAY, FakeClock, SeededIds

ZONE = "garage"
E1, E2 = "US*CAL*E1", "US*CAL*E2"  # station s1, AC
E3 = "US*CAL*E3"  # station s2, AC
E4 = "US*CAL*E4"  # station s2, DC
NINE = MONDAY + 9 * HOUR

ANNA, BEN = "a" * 32, "b" * 32
ACCEPTED = s.AuthorizationAccepted(session_id="", by="emsp")
PARKED = s.ParkingStarted(session_id="", place="P1")
UNPARKED = s.ParkingEnded(session_id="")
WASH = s.OtherStarted(session_id="", service="washing")
WASHED = s.OtherEnded(session_id="", service="washing")


def by(at: Instant = NINE, actor: str = "cso", command_id: str = "") -> By:
    return By(actor=actor, at=at, command_id=command_id)


def evse_data(evse_id: str, current: Current = Current.AC) -> EvseData:
    return EvseData(
        evse_id=evse_id,
        current=current,
        phases=1,
        voltage_v=208,
        max_w=6_656,
        floor_w=1_248,
    )


class Site:
    """A zone with two stations and four EVSEs."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.log = system.log
        zone = DefineZone(
            zone_id=ZONE, name="Garage", limit_w=30_000, safe_upper_w=6_000
        )
        define_zone(system, zone, by(MONDAY))
        for station_id, evses in (
            ("s1", (evse_data(E1), evse_data(E2))),
            ("s2", (evse_data(E3), evse_data(E4, Current.DC))),
        ):
            station = CommissionStation(
                station_id=station_id, zone_id=ZONE, evses=evses
            )
            commission_station(system, station, by(MONDAY))

    def with_log(self, log: Any) -> "Site":
        """Return the same site, seen through another log."""
        other = object.__new__(Site)
        other.system = msgspec.structs.replace(self.system, log=log)
        other.log = self.log
        return other

    def add(
        self,
        transaction: Event,
        session_id: str = "",
        *,
        at: Instant = NINE,
        reference: Reference | None = None,
        command_id: str = "",
    ) -> str:
        """Add a transaction; return its session's id."""
        command = AddTransaction(
            transaction=transaction, session_id=session_id, reference=reference
        )
        answer = add_transaction(self.system, command, by(at, command_id=command_id))
        return self.session_of(answer)

    def plug(
        self,
        evse_id: str,
        at: Instant = NINE,
        *,
        reference: Reference | None = None,
        subject_id: str = "",
    ) -> str:
        """Plug an EV; return its session's id."""
        command = PlugEv(evse_id=evse_id, reference=reference, subject_id=subject_id)
        return self.session_of(plug_ev(self.system, command, by(at, "s1")))

    def unplug(self, evse_id: str, at: Instant = NINE + HOUR) -> Answer:
        command = UnplugEv(evse_id=evse_id, energy_wh=0)
        return unplug_ev(self.system, command, by(at, "s1"))

    def present(self, evse_id: str, subject_id: str = ANNA, at: Instant = NINE) -> str:
        """Present credentials at an EVSE; return their session's id."""
        return self.add(requested(evse_id, subject_id), at=at)

    def reserve(
        self,
        *,
        evse_id: str = "",
        station_id: str = "",
        evse_class: str = "",
        session_id: str = "",
        minutes: int = 60,
        at: Instant = MONDAY,
        reference: Reference | None = None,
    ) -> str:
        """Reserve from nine o'clock on; return the reservation's session."""
        made = s.ReservationMade(
            session_id="",
            from_at=NINE,
            until_at=NINE + minutes * MINUTE,
            evse_id=evse_id,
            station_id=station_id,
            evse_class=evse_class,
        )
        return self.add(made, session_id, at=at, reference=reference)

    def merge(self, session_id: str, into: str, at: Instant = NINE) -> Answer:
        command = MergeSessions(session_id=session_id, into_session_id=into)
        return merge_sessions(self.system, command, by(at))

    def close(self, session_id: str, at: Instant = NINE) -> Answer:
        command = CloseSession(
            session_id=session_id, reason="user gone", is_by_staff=True
        )
        return close_session(self.system, command, by(at))

    def run_timers(self, at: Instant) -> int:
        return run_due_timers(self.system, at)

    def session(self, session_id: str) -> Session:
        return resolve(self.system, session_id)

    def rows(self, after: int = 0) -> Sequence[Recorded]:
        return self.log.read(after=after, limit=10_000)

    def events(self, session_id: str) -> list[Event]:
        """Return all events of a session."""
        rows = self.log.read_stream(f"session-{session_id}")
        return [row.event for row in rows if row.event is not None]

    def types(self, session_id: str) -> list[str]:
        return [r.type for r in self.log.read_stream(f"session-{session_id}")]

    def session_of(self, answer: Answer) -> str:
        """Return the session that the first session row of an answer belongs to."""
        for row in self.rows(after=answer.first - 1)[: answer.count]:
            if row.stream.startswith("session-"):
                return row.stream.removeprefix("session-")
        raise AssertionError("nothing was recorded of a session")

    def guards(self) -> dict[str, list[str]]:
        """Return the keys of all guard rows of sessions, by kind."""
        kinds = ("occupant", "waiting", "reservation", "subject-at", "reference")
        found = {k: [c.key for c in self.log.claims(k)] for k in kinds}
        return {kind: keys for kind, keys in found.items() if keys}

    def timers(self) -> list[tuple[str, Instant]]:
        """Return kind and due instant of all timers."""
        return [(t.kind, t.due_at) for t in self.log.due_timers(NINE * 2)]


def requested(evse_id: str, subject_id: str = ANNA) -> s.AuthorizationRequested:
    return s.AuthorizationRequested(
        session_id="", evse_id=evse_id, subject_id=subject_id
    )


def ticket(text: str = "ticket 1") -> Reference:
    return Reference("parkco", "ticket", text)


@contextmanager
def opened(folder: Path, *, threaded: bool = False) -> Iterator[System]:
    """Open a system on a store in a folder."""
    clock, ids = FakeClock(), SeededIds()
    with Store(
        folder,
        clock=clock,
        ids=ids,
        master_key=bytes(32),
        log_id="node-1",
        threaded=threaded,
    ) as store:
        yield System(store.log, store.samples, store.vault, clock, ids)
