"""6.2 Commands that come again, and several at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from domain.errors import DomainError, Refused, RequestMismatch
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.values import DAY, HOUR, Event, Sealed
from domain.ports import Answer, Batch
from domain.store.ledger import Ledger
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    CloseSession,
    add_transaction,
    close_session,
)
from tests.use_cases.small_site import (
    ANNA,
    BEN,
    E1,
    E2,
    NINE,
    PARKED,
    UNPARKED,
    WASH,
    Site,
    by,
    opened,
    requested,
    ticket,
)


def test_a_repeated_command_gets_the_first_answer(site: Site) -> None:
    command = AddTransaction(transaction=PARKED)
    first = add_transaction(site.system, command, by(command_id="c1"))
    before = site.log.last_position()
    again = add_transaction(site.system, command, by(NINE + HOUR, command_id="c1"))
    assert again == Answer(first.first, first.count, repeated=True)
    assert site.log.last_position() == before


@pytest.mark.parametrize(
    "other",
    [
        AddTransaction(transaction=UNPARKED),
        AddTransaction(transaction=s.AuthorizationEnded(session_id="")),
        AddTransaction(transaction=s.ParkingStarted(session_id="", place="P2")),
        AddTransaction(transaction=s.ParkingStarted(session_id=""), session_id="x"),
    ],
)
def test_a_command_id_for_another_request_is_refused(
    site: Site, other: AddTransaction
) -> None:
    """Also when both have the same fields and differ in what they are."""
    first = AddTransaction(transaction=s.ParkingStarted(session_id=""))
    add_transaction(site.system, first, by(command_id="c1"))
    before = site.log.last_position()
    with pytest.raises(RequestMismatch, match="'c1' of 'cso'"):
        add_transaction(site.system, other, by(command_id="c1"))
    close = CloseSession(session_id="", reason="")
    with pytest.raises(RequestMismatch):
        close_session(site.system, close, by(command_id="c1"))
    assert site.log.last_position() == before


def test_a_repeat_whose_credential_was_sealed_again_is_a_repeat(site: Site) -> None:
    def presented() -> AddTransaction:
        sealed: Sealed = site.system.vault.seal(ANNA, "authorization", b"DE-8AA-C1")
        event = msgspec.structs.replace(requested(E1), credential=sealed)
        return AddTransaction(transaction=event)

    first, second = presented(), presented()
    assert first != second
    add_transaction(site.system, first, by(command_id="c1"))
    assert add_transaction(site.system, second, by(command_id="c1")).repeated


def test_other_actors_have_command_ids_of_their_own(site: Site) -> None:
    command = AddTransaction(transaction=PARKED)
    add_transaction(site.system, command, by(actor="a", command_id="c1"))
    answer = add_transaction(site.system, command, by(actor="b", command_id="c1"))
    assert not answer.repeated


def test_a_command_that_was_too_late_decides_again(site: Site) -> None:
    """Given another decision between loading and appending."""
    session_id = site.add(PARKED)
    log = InterruptedLog(site.log, lambda: site.add(WASH, session_id))
    site.with_log(log).close(session_id)
    last = ["other.started", "session.closed", "sdr.collected"]
    assert site.types(session_id)[-3:] == last


def test_a_closing_timer_that_was_too_late_closes_nothing(site: Site) -> None:
    """Given an EV plugged again between loading and closing."""
    session_id = site.plug(E1, subject_id=ANNA)
    site.unplug(E1, NINE + HOUR)
    at = NINE + HOUR + CLOSE_AFTER
    log = InterruptedLog(site.log, lambda: site.plug(E2, at, subject_id=ANNA))
    site.with_log(log).run_timers(at)
    assert site.session(session_id).evse_id == E2
    assert site.session(session_id).is_open


def test_two_merges_at_once_make_no_circle(site: Site) -> None:
    """Given A merged into B between loading and merging B into A."""
    a, b = site.add(PARKED), site.add(WASH)
    log = InterruptedLog(site.log, lambda: site.merge(a, b))
    with pytest.raises(Refused, match=f"{a} was merged into {b}"):
        site.with_log(log).merge(b, a)
    assert site.session(a).session_id == b


def test_nobody_merges_into_a_session_that_closes(site: Site) -> None:
    a, b = site.add(PARKED), site.add(WASH)
    log = InterruptedLog(site.log, lambda: site.close(b))
    with pytest.raises(Refused, match=f"{b} is closed"):
        site.with_log(log).merge(a, b)
    assert site.session(a).is_open


def test_two_parties_with_one_new_reference_meet_in_one_session(site: Site) -> None:
    log = InterruptedLog(site.log, lambda: site.plug(E1, reference=ticket()))
    met = site.with_log(log).add(PARKED, reference=ticket())
    assert met == site.log.owner("occupant", E1)
    assert site.session(met).parking == 1


def test_a_credential_presented_at_the_same_instant_takes_over(site: Site) -> None:
    log = InterruptedLog(site.log, lambda: site.present(E1, BEN))
    anna = site.with_log(log).present(E1, ANNA)
    assert site.log.owner("waiting", E1) == anna


def test_sessions_opened_by_many_threads_end_as_they_should(tmp_path: Path) -> None:
    """Given threads that plug, unplug, close and run timers at once."""
    with opened(tmp_path, threaded=True) as system:
        site = Site(system)

        def drive(thread: int) -> None:
            for turn in range(6):
                at = NINE + turn * HOUR
                for act in (
                    lambda at=at: site.plug(E1, at),
                    lambda at=at: site.present(E2, f"{thread:032x}", at),
                    lambda at=at: site.run_timers(at),
                    lambda at=at: site.unplug(E1, at),
                ):
                    refused(act)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(drive, range(4)))
        if site.log.owner("occupant", E1):
            site.unplug(E1, NINE + 10 * HOUR)
        site.run_timers(NINE + DAY)
        assert site.guards() == {}
        assert site.timers() == []
        evse: list[type[Event]] = [
            type(row.event)
            for row in site.log.read_stream(f"evse-{E1}")
            if isinstance(row.event, z.EvseOccupied | z.EvseVacated)
        ]
        assert evse == [z.EvseOccupied, z.EvseVacated] * (len(evse) // 2)


def refused(act: Callable[[], object]) -> bool:
    try:
        act()
    except DomainError:
        return True
    return False


class InterruptedLog:
    """A log in which somebody else is first, once, before the first append."""

    def __init__(self, log: object, interrupt: Callable[[], object]) -> None:
        self._log = log
        self._interrupt: Callable[[], object] | None = interrupt

    def append(self, batch: Batch) -> Answer:
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            interrupt()
        assert isinstance(self._log, Ledger)
        return self._log.append(batch)

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)
