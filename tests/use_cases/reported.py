"""A station that reports its transactions, and a loop that meters what is news."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from domain.loop.observer import Observer, Reading
from domain.loop.router import Router
from domain.loop.zone_state import ZoneState
from domain.model import contract_events as c
from domain.model.metering import MeterPoint
from domain.model.sdr_information import SdrInformation, information_of
from domain.model.values import Event, Instant
from domain.ports import Append, Batch, Claim, System
from domain.use_cases.clause_7_5_station_transactions import (
    Reported,
    ReportTransaction,
    report_transaction,
)
from domain.use_cases.s2_back_office import EmbeddedBackOffice
from domain.use_cases.s6_sdr_information import increments_of
from domain.use_cases.shared_path import By, load_evse
from tests.use_cases.small_site import ANNA, E1, NINE, ZONE, Site


class Message(NamedTuple):
    """A message of a station of 2.x; ``wh`` is its import register at its instant."""

    at: Instant
    seq_no: int
    kind: str
    wh: int | None
    state: str = ""
    subject_id: str = ""
    is_plain: bool = False


class Loop:
    """The part of a zone's loop that meters: follows the log, takes readings."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._router = Router()
        self.state = ZoneState(ZONE)
        self._observer = Observer(30_000_000)
        self._seen = 0
        self.woken: list[Event] = []

    def follow(self) -> None:
        while rows := self._system.log.read(after=self._seen, limit=1_000):
            self._seen = rows[-1].position
            for row in rows:
                if self._router.zone_of(row) == ZONE:
                    self.state.apply(row)
                    assert row.event is not None
                    self.woken.append(row.event)

    def take(self, reading: Reading) -> None:
        self.follow()
        slot = self.state.slots[reading.evse_id]
        if slot.ev is None:
            return
        facts = tuple(self._observer.take(slot, slot.ev, reading))
        if facts:
            stream = f"session-{slot.ev.session_id}"
            append = Append(stream, facts, reading.at)
            self._system.log.append(Batch(appends=(append,), actor="loop"))
            self.follow()


class Station:
    """Station s1, as the gateway hears it; readings of what is news go to the loop."""

    def __init__(self, site: Site) -> None:
        clock: Any = site.system.clock
        cso = EmbeddedBackOffice(site.log, clock)
        self.site = site
        self.clock = clock
        self.system = msgspec.structs.replace(site.system, cso=cso, folds={})
        self.loop = Loop(self.system)
        self._passed: dict[str, list[int]] = {}
        self._may_pass: set[str] = set()

    def restart(self) -> None:
        """Begin anew with what is in the log; what passed by is taken for seen."""
        self.system = msgspec.structs.replace(self.system, folds={})
        self.loop = Loop(self.system)
        self.loop.follow()

    def sign(self, subject_id: str) -> None:
        """Let a subject charge, under a contract of the embedded back office."""
        contract_id = f"c-{subject_id[:4]}"
        event = c.ContractRegistered(
            contract_id=contract_id, subject_id=subject_id, valid_from_at=0
        )
        claim = Claim("contract", f"{subject_id}/{contract_id}", contract_id)
        append = Append(f"contract-{contract_id}", (event,), 0)
        self.site.log.append(Batch(appends=(append,), claims=(claim,)))

    def report(self, at: Instant, **fields: Any) -> Reported:
        """Report a message, at its instant or, where it is late, at any after it."""
        self.clock.at = max(self.clock.at, at)
        wh = fields.pop("wh", None)
        if "points" not in fields and wh is not None:
            fields["points"] = (MeterPoint(at, wh),)
        command = ReportTransaction(**{"station_id": "s1", **fields})
        reported = report_transaction(self.system, command, By("s1", at))
        self.loop.follow()
        if reported.is_news:
            for point in command.points:
                self.read(point)
        return reported

    def read(self, point: MeterPoint) -> None:
        """Hand a reading to the loop."""
        if point.import_wh is not None:
            self.loop.take(Reading(E1, point.at, 3_000, point.import_wh))

    def send(self, one: Message, *, is_offline: bool = False) -> Reported | None:
        """Send a message of transaction t1; plain readings that are news pass by."""
        if one.is_plain and not is_offline and "t1" in self._may_pass:
            self.clock.at = max(self.clock.at, one.at)
            assert one.wh is not None
            self.read(MeterPoint(one.at, one.wh))
            self._passed.setdefault("t1", []).append(one.seq_no)
            return None
        passed = self._passed.pop("t1", [])
        reported = self.report(
            one.at,
            kind=one.kind,
            transaction_id="t1",
            evse_id=E1 if one.kind == "started" else "",
            seq_no=one.seq_no,
            seen=tuple((n, n) for n in passed),
            trigger="" if one.kind == "updated" else one.kind,
            state=one.state,
            is_offline=is_offline,
            is_unplugged=one.kind == "ended",
            wh=one.wh,
            subject_id=one.subject_id,
        )
        if not reported.is_new:  # nothing was recorded: told again with the next one
            self._passed["t1"] = passed
        if reported.is_news and reported.is_metered and one.kind != "ended":
            self._may_pass.add("t1")
        elif one.kind == "ended":
            self._may_pass.discard("t1")
        return reported

    def information(self, session_id: str) -> SdrInformation:
        """Return the SDR information of a session."""
        known = increments_of(self.system, session_id)
        evse = load_evse(self.system, E1).commissioned
        return information_of(session_id, known, lambda *_: evse)

    def sessions(self) -> list[str]:
        """Return all sessions that there are."""
        rows = self.site.rows()
        return [
            row.stream.removeprefix("session-")
            for row in rows
            if row.type == "session.opened"
        ]


def day(at: Instant, steps: Sequence[tuple[int, int]], first_wh: int) -> list[Message]:
    """Return the messages of a transaction: steps of (seconds, Wh gained)."""
    wh = first_wh
    messages = [Message(at, 3, "started", wh, "charging", ANNA)]
    for i, (seconds, gained) in enumerate(steps):
        at, wh = at + seconds * 1_000_000, wh + gained
        is_last = i == len(steps) - 1
        state = "" if i % 3 else ("suspended-ev" if i % 2 else "charging")
        kind = "ended" if is_last else "updated"
        plain = kind == "updated" and not state
        messages.append(Message(at, 4 + i, kind, wh, state, is_plain=plain))
    return messages


def start(
    station: Station, at: Instant = NINE, wh: int | None = 100, **more: Any
) -> Reported:
    """Report the start of a transaction of 2.x."""
    fields = {"transaction_id": "t1", "seq_no": 0, "evse_id": E1, "trigger": "plug"}
    return station.report(at, kind="started", wh=wh, **{**fields, **more})


def update(
    station: Station, at: Instant, seq_no: int, wh: int | None, **more: Any
) -> Reported:
    fields = {"transaction_id": "t1", "seq_no": seq_no}
    return station.report(at, kind="updated", wh=wh, **{**fields, **more})


def end(
    station: Station, at: Instant, seq_no: int, wh: int | None, **more: Any
) -> Reported:
    fields = {"transaction_id": "t1", "seq_no": seq_no, "reason": "unplugged"}
    fields = {**fields, "is_unplugged": True, **more}
    return station.report(at, kind="ended", wh=wh, **fields)


def events(station: Station, *kinds: type[Event]) -> list[Any]:
    """Return all events of some kinds, in order."""
    return [r.event for r in station.site.rows() if isinstance(r.event, kinds)]


def occupant(station: Station, evse_id: str = E1) -> str:
    return load_evse(station.system, evse_id).session_id


def energy(station: Station, session_id: str) -> int:
    return station.information(session_id).energy.to_ev_wh
