"""S3 Remote start and stop: the gate, the authorization, the activity."""

from typing import Any

import msgspec
import pytest

from domain.errors import Occupied, Refused
from domain.model import activity_events as y
from domain.model import session_events as s
from domain.model.activity_events import Outcome
from domain.model.values import DAY, Event
from domain.ports import Answer, System
from domain.use_cases.clause_6_2_joining import find_by_reference
from domain.use_cases.clause_7_10_safety import SuspendEvse, suspend_evse
from domain.use_cases.s2_back_office import (
    EmbeddedBackOffice,
    RegisterContract,
    register_contract,
)
from domain.use_cases.s3_remote_start import (
    StartRemotely,
    StopRemotely,
    remote_start_of,
    start_remotely,
    stop_remotely,
)
from tests.use_cases.small_site import ANNA, BEN, E1, E2, NINE, Site, by, ticket
from tests.use_cases.test_clause_7_3_activities import end, opened, register


@pytest.fixture(autouse=True)
def registered(site: Site) -> None:
    register(site)


def start(site: Site, system: System | None = None, **changes: Any) -> Answer:
    values: dict[str, Any] = {"evse_id": E1, "subject_id": ANNA, "token_kind": "rfid"}
    command = StartRemotely(**(values | changes))
    return start_remotely(system or site.system, command, by())


def events_of(site: Site, answer: Answer) -> list[Event | None]:
    rows = site.rows(after=answer.first - 1)[: answer.count]
    return [row.event for row in rows]


def asked_in(site: Site, answer: Answer) -> y.ActivityAsked:
    (found,) = [e for e in events_of(site, answer) if isinstance(e, y.ActivityAsked)]
    return found


def test_a_remote_start_is_authorized_in_the_append_that_asks_the_station(
    site: Site,
) -> None:
    answer = start(site)
    assert [type(event) for event in events_of(site, answer)] == [
        s.SessionOpened,
        s.AuthorizationRequested,
        s.ReferenceBound,
        s.AuthorizationAccepted,
        y.ActivityAsked,
    ]
    asked = asked_in(site, answer)
    assert (asked.station_id, asked.evse_id) == ("s1", E1)
    parameters = dict(asked.parameters)
    assert parameters["token-kind"] == "rfid"
    named = remote_start_of("s1", int(parameters["number"]))
    found = find_by_reference(site.system, named)
    assert found is not None
    assert found.session_id == asked.session_id
    # The EV that is plugged then is that session's.
    assert site.plug(E1) == asked.session_id == site.session_of(answer)


def test_the_ev_that_is_plugged_and_not_authorized_yet_may_be_started(
    site: Site,
) -> None:
    plugged = site.plug(E1)
    asked = asked_in(site, start(site))
    assert asked.session_id == plugged
    assert site.session(plugged).authorized
    with pytest.raises(Occupied, match="is being started"):
        start(site, subject_id=BEN)
    end(site, asked.activity_id, Outcome.FAILED)
    # Once more, by whom it was started for.
    assert asked_in(site, start(site)).session_id == plugged


def test_an_evse_with_the_ev_of_another_is_not_started(site: Site) -> None:
    site.plug(E1, subject_id=BEN)
    with pytest.raises(Occupied, match=r"US\*CAL\*E1 is occupied since"):
        start(site)
    assert opened(site) == []


def test_a_blocked_evse_is_not_started(site: Site) -> None:
    suspend_evse(site.system, SuspendEvse(evse_id=E1, reason="painting"), by())
    with pytest.raises(Refused, match="is blocked: painting"):
        start(site)


def test_an_evse_is_kept_for_who_reserved_it(site: Site) -> None:
    reserved = site.reserve(evse_id=E1, reference=ticket())
    with pytest.raises(Refused, match="is reserved for another until"):
        start(site)
    answer = start(site, reference=ticket())
    assert site.session_of(answer) == reserved
    end(site, asked_in(site, answer).activity_id)
    assert site.session_of(start(site, session_id=reserved)) == reserved
    start(site, evse_id=E2)


@pytest.mark.requirement("S3.Req4")
def test_a_refused_authorization_is_recorded_and_ends_the_activity(site: Site) -> None:
    office = EmbeddedBackOffice(site.log, site.system.clock)
    embedded = msgspec.structs.replace(site.system, cso=office)
    events = events_of(site, start(site, embedded))
    refused = events[-3]
    assert isinstance(refused, s.AuthorizationRefused)
    assert refused.reason == "no contract is known"
    assert isinstance(events[-1], y.ActivityEnded)
    assert (events[-1].outcome, events[-1].detail) == ("refused", refused.reason)
    assert opened(site) == []
    contract = RegisterContract(
        contract_id="c-1", subject_id=ANNA, valid_from_at=NINE - DAY
    )
    register_contract(embedded, contract, by())
    asked_in(site, start(site, embedded))
    assert len(opened(site)) == 1


def test_a_session_is_stopped_where_it_is_plugged(site: Site) -> None:
    session_id = site.session_of(start(site))
    stop = StopRemotely(session_id=session_id)
    with pytest.raises(Refused, match="is plugged at no EVSE"):
        stop_remotely(site.system, stop, by())
    site.plug(E1)
    asked = asked_in(site, stop_remotely(site.system, stop, by()))
    assert (asked.kind, asked.evse_id) == ("remote-stop", E1)
    assert asked.session_id == session_id
