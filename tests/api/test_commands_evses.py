"""EVSEs over HTTP: what stations report (E1), suspension and safety (7.10)."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.values import DAY, MINUTE, SECOND, iso_of
from tests.api.caller import Caller
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

FREE, SUSPENDED, TAKEN = EVSES
AT = f"/evses/{FREE}"


@pytest.fixture
def station(caller_for: CallerFor) -> Caller:
    return caller_for("station", stations=("s1",))


@pytest.fixture
def operator(caller_for: CallerFor) -> Caller:
    return caller_for("operator", zones=("*",))


@pytest.fixture
def cso(caller_for: CallerFor) -> Caller:
    return caller_for("cso", party="fleet", zones=(ZONE,))


def events_of(served: Served, session_id: str) -> list[Any]:
    rows = served.system.log.read_stream(f"session-{session_id}")
    return [row.event for row in rows]


@pytest.mark.requirement("7.3.1")
def test_a_station_tells_plug_pause_and_unplug(station: Caller, served: Served) -> None:
    plugged = station.done(f"{AT}/plugs", {"register_wh": 1_000})
    assert (plugged["evse_id"], plugged["zone_id"]) == (FREE, ZONE)
    station.done(f"{AT}/pauses", {"paused": True})
    station.done(f"{AT}/pauses", {"paused": False})
    left = station.done(f"{AT}/unplugs", {"energy_wh": 0, "reason": "driver left"})
    assert left["session_id"] == plugged["session_id"]
    told = events_of(served, plugged["session_id"])
    assert [type(event) for event in told][-5:] == [
        s.TransferStarted,
        s.TransferPaused,
        s.TransferResumed,
        s.TransferEnded,
        s.EvseReleased,
    ]
    evse = station.get(AT, after=left["position"])
    assert evse["state"] == "available"


@pytest.mark.requirement("7.3.1")
def test_nobody_but_the_station_of_an_evse_tells_of_it(
    caller_for: CallerFor, station: Caller
) -> None:
    """What happens at an EVSE comes in by its station's exchange and no other way."""
    for other in (
        caller_for("operator", zones=("*",)),
        caller_for("admin", zones=("*",)),
        caller_for("cso", party="fleet", zones=(ZONE,)),
        caller_for("resource-manager", zones=(ZONE,)),
        caller_for("parking-operator", party="park-co"),
        caller_for("integrator", zones=(ZONE,)),
    ):
        for path in ("plugs", "unplugs", "pauses"):
            other.refused(403, "forbidden", f"{AT}/{path}", {})
    for path in (f"/zones/{ZONE}/pre", f"/zones/{ZONE}/constraints", "/stations"):
        station.refused(403, "forbidden", path, {})


def test_the_evse_of_another_station_is_as_one_that_is_not_there(
    caller_for: CallerFor, operator: Caller, station: Caller
) -> None:
    evse = {"evse_id": "DE*ABC*E7", "current": "AC", "phases": 1, "voltage_v": 230}
    evse |= {"max_w": 3_680, "floor_w": 1_380}
    body = {"station_id": "s7", "zone_id": ZONE, "evses": [evse]}
    operator.done("/stations", body)
    hidden = station.refused(404, "unknown-evse", "/evses/DE*ABC*E7/plugs", {})
    missing = station.refused(404, "unknown-evse", "/evses/DE*ABC*E8/plugs", {})
    assert hidden["detail"].replace("E7", "E8") == missing["detail"]
    caller_for("station", stations=("s7",)).done("/evses/DE*ABC*E7/plugs", {})


def test_a_token_that_comes_with_the_plug_is_not_kept_as_text(
    station: Caller, served: Served
) -> None:
    token = {"kind": "token", "text": "CAFE0042"}
    plugged = station.done(f"{AT}/plugs", {"token": token})
    subject_id = served.system.vault.find_subject("token", "CAFE0042")
    opened = events_of(served, plugged["session_id"])[0]
    assert opened.subject_id == subject_id
    assert not in_store(served, b"CAFE0042")


def test_no_subject_is_kept_for_a_token_at_an_evse_out_of_reach(
    station: Caller, served: Served
) -> None:
    body = {"token": {"kind": "token", "text": "CAFE0042"}}
    station.refused(404, "unknown-evse", "/evses/DE*ABC*E8/plugs", body)
    assert served.system.vault.find_subject("token", "CAFE0042") is None


def test_of_two_plugs_at_once_one_occupies_and_one_contradicts(
    station: Caller, served: Served
) -> None:
    with ThreadPoolExecutor(8) as threads:
        paths = [f"{AT}/plugs"] * 8
        answers = list(threads.map(lambda path: station.done(path, {}), paths))
    (session_id,) = {answer["session_id"] for answer in answers}
    told = events_of(served, session_id)
    assert sum(isinstance(event, s.TransferStarted) for event in told) == 1
    assert sum(isinstance(event, s.FactKept) for event in told) == 7


def test_a_plug_and_its_repeats_at_once_are_done_once(
    station: Caller, served: Served
) -> None:
    with ThreadPoolExecutor(8) as threads:
        paths = [f"{AT}/plugs"] * 24
        answers = list(threads.map(lambda p: station.done(p, {}, key="one"), paths))
    assert len({answer["position"] for answer in answers}) == 1
    told = events_of(served, answers[0]["session_id"])
    assert not any(isinstance(event, s.FactKept) for event in told)


def test_what_happened_before_is_told_with_its_time(
    station: Caller, served: Served
) -> None:
    at = served.clock.now() - 10 * MINUTE
    plugged = station.done(f"{AT}/plugs", {"occurred_at": iso_of(at)})
    rows = served.system.log.read_stream(f"session-{plugged['session_id']}")
    assert {row.occurred_at for row in rows} == {at}


@pytest.mark.parametrize("ahead", [6 * SECOND, -31 * DAY - SECOND])
def test_what_happened_at_an_odd_time_is_refused(
    station: Caller, served: Served, ahead: int
) -> None:
    body = {"occurred_at": iso_of(served.clock.now() + ahead)}
    problem = station.refused(422, "invalid-parameter", f"{AT}/plugs", body)
    assert problem["errors"][0]["where"] == "body.occurred_at"


def test_a_repeat_is_answered_whatever_has_changed_since(
    station: Caller, served: Served
) -> None:
    """The instant is too long ago by now and the EVSE occupied; it was all answered."""
    body = {"occurred_at": iso_of(served.clock.now())}
    first = station.done(f"{AT}/plugs", body, key="p")
    served.clock.at += 40 * DAY
    assert station.done(f"{AT}/plugs", body, key="p") == {**first, "repeated": True}
    other = station.post(f"{AT}/plugs", {}, key="p")
    assert other.json()["code"] == "idempotency-key-reused"


def test_an_evse_is_suspended_and_released(operator: Caller, station: Caller) -> None:
    operator.done(f"{AT}/suspension", {"reason": "painting"})
    asked = {"evse_id": FREE, "token": {"kind": "token", "text": "CAFE0042"}}
    problem = station.refused(422, "refused", "/authorizations", asked)
    assert "painting" in problem["detail"]
    released = operator.done(f"{AT}/release", {"reason": "painted"})
    assert operator.get(AT, after=released["position"])["state"] == "available"
    station.done(f"{AT}/plugs", {})
    operator.refused(422, "refused", f"{AT}/release", {"reason": "again"})
    operator.refused(404, "unknown-thing", "/evses/DE*ABC*E8/release", {"reason": "x"})
    station.refused(403, "forbidden", f"{AT}/suspension", {"reason": "x"})


@pytest.mark.requirement("7.10.1")
def test_an_unsafe_evse_is_kept_from_users_until_it_is_assessed_as_safe(
    station: Caller, operator: Caller, cso: Caller, served: Served
) -> None:
    station.done(f"{AT}/safety-issues", {"issue": "residual-current"})
    now = served.clock.now()
    booking = {
        "evse_id": FREE,
        "from_at": iso_of(now),
        "until_at": iso_of(now + 60 * MINUTE),
    }

    def kept_from_users() -> None:
        token = {"kind": "token", "text": "CAFE0042"}
        body = {"evse_id": FREE, "token": token}
        station.refused(422, "refused", "/authorizations", body)
        cso.refused(422, "refused", "/reservations", booking)
        problem = operator.refused(422, "refused", f"{AT}/release", {"reason": "ok"})
        assert "assessment" in problem["detail"]

    kept_from_users()
    operator.done(f"{AT}/assessments", {"issue_number": 1, "is_safe": False})
    kept_from_users()
    station.refused(
        403, "forbidden", f"{AT}/assessments", {"issue_number": 1, "is_safe": True}
    )
    kept_from_users()
    done = operator.done(f"{AT}/assessments", {"issue_number": 1, "is_safe": True})
    assert operator.get(AT, after=done["position"])["state"] == "available"
    cso.done("/reservations", booking)
    station.done(f"{AT}/plugs", {})


def test_an_assessment_names_the_issue_it_is_of(
    station: Caller, operator: Caller
) -> None:
    operator.done(f"{AT}/safety-issues", {"issue": "cable"})
    told = station.done(f"{AT}/safety-issues", {"issue": "residual-current"})
    found = {"is_safe": True, "notes": "cable replaced"}
    operator.refused(422, "invalid-parameter", f"{AT}/assessments", found)
    seen = {**found, "issue_number": 1}
    problem = operator.refused(409, "conflict", f"{AT}/assessments", seen)
    assert "number 2, residual-current" in problem["detail"]
    shown = operator.get(AT, after=told["position"])
    assert (shown["state"], shown["issue_number"]) == ("blocked", 2)
    operator.done(f"{AT}/assessments", {**found, "issue_number": 2})


def test_what_is_said_of_an_issue_is_sealed_and_its_code_is_not(
    station: Caller, operator: Caller, served: Served
) -> None:
    issue = {"issue": "smoke", "details": "Mr Jones saw it"}
    first = station.done(f"{AT}/safety-issues", issue, key="i")
    again = station.done(f"{AT}/safety-issues", issue, key="i")
    assert again == {**first, "repeated": True}
    body = {"issue_number": 1, "is_safe": True, "notes": "Mrs Smith measured"}
    operator.done(f"{AT}/assessments", body)
    assert in_store(served, b"smoke")
    assert not in_store(served, b"Jones")
    assert not in_store(served, b"Smith")
    rows = served.system.log.read_stream(f"evse-{FREE}")
    blocked = next(r.event for r in rows if r.type == "evse.blocked")
    assert isinstance(blocked, z.EvseBlocked)
    assert blocked.details is not None
    assert blocked.reason == "smoke"
    details = served.system.vault.open(blocked.details, f"evse.blocked/{FREE}")
    assert details == b"Mr Jones saw it"
    assessed = next(r.event for r in rows if r.type == "evse.assessed")
    assert isinstance(assessed, z.EvseAssessed)
    assert assessed.notes is not None
    notes = served.system.vault.open(assessed.notes, f"evse.assessed/{FREE}")
    assert notes == b"Mrs Smith measured"


@pytest.mark.parametrize("details", ["", "Mrs Smith saw it"])
def test_a_key_again_with_another_sealed_text_is_refused(
    station: Caller, details: str
) -> None:
    path, issue = f"{AT}/safety-issues", {"issue": "smoke"}
    station.done(path, {**issue, "details": "Mr Jones saw it"}, key="i")
    answer = station.post(path, {**issue, "details": details}, key="i")
    assert answer.json()["code"] == "idempotency-key-reused"


def test_an_issue_is_a_code_and_no_sentence(station: Caller) -> None:
    body = {"issue": "Mr Jones burnt his hand"}
    problem = station.refused(422, "invalid-parameter", f"{AT}/safety-issues", body)
    assert problem["errors"][0]["where"] == "body.issue"


def test_nothing_is_sealed_for_an_evse_that_is_not_there(
    operator: Caller, served: Served
) -> None:
    body = {"issue": "smoke", "details": "Mr Jones saw it"}
    operator.refused(404, "unknown-thing", "/evses/DE*ABC*E8/safety-issues", body)
    vault = served.system.vault
    with pytest.raises(Exception, match="no key of subject"):
        vault.destroy("evse-DE*ABC*E8")


@pytest.mark.requirement("7.10.2")
def test_a_safety_issue_in_a_session_is_told_to_its_cso(
    station: Caller, cso: Caller
) -> None:
    session_id = station.done(f"{AT}/plugs", {})["session_id"]
    told = station.done(f"{AT}/safety-issues", {"issue": "overheating"})
    assert told["session_id"] == session_id
    shown = cso.get(f"/service-sessions/{session_id}", after=told["position"])
    (issue,) = shown["safety_issues"]
    assert issue["event"]["issue"] == "overheating"
    assert issue["event"]["evse_id"] == FREE


def test_what_comes_of_an_ev_at_a_blocked_evse_is_recorded_and_no_ones(
    station: Caller, served: Served
) -> None:
    plugged = station.done(f"{AT}/plugs", {"register_wh": 1})
    station.done(f"{AT}/unplugs", {"energy_wh": 0})
    station.done(f"{AT}/safety-issues", {"issue": "fire"})
    session = f"session-{plugged['session_id']}"
    known = served.system.log.read_stream(session)
    for path, body in (("plugs", {"register_wh": 2}), ("unplugs", {"energy_wh": 3})):
        answer = station.done(f"{AT}/{path}", body)
        assert (answer["evse_id"], answer["session_id"]) == (FREE, None)
    assert served.system.log.read_stream(session) == known
    facts = served.system.log.read_stream(f"evse-{FREE}")[-2:]
    assert [row.type for row in facts] == ["evse.fact_kept"] * 2


def in_store(served: Served, text: bytes) -> bool:
    """Whether a text is anywhere in the bytes of ledger and vault."""
    folder = served.system.log._path.parent  # type: ignore[attr-defined]
    files = itertools.chain(folder.glob("*.sqlite"), folder.glob("*-wal"))
    return any(text in path.read_bytes() for path in files)
