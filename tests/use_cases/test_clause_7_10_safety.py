"""7.10 Safety issues, assessments and suspension of EVSEs."""

from collections.abc import Callable

import pytest

from domain.errors import Conflict, InvalidValue, Refused, Unknown
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.site import Evse
from domain.model.values import MINUTE, Event
from domain.ports import Answer
from domain.use_cases.clause_7_10_safety import (
    RecordAssessment,
    ReleaseEvse,
    ReportSafetyIssue,
    SuspendEvse,
    issue_context,
    record_assessment,
    release_evse,
    report_safety_issue,
    suspend_evse,
)
from domain.use_cases.shared_path import load_evse
from tests.use_cases.small_site import E1, NINE, Site, by


def report(site: Site, issue: str = "smoke", evse_id: str = E1) -> Answer:
    command = ReportSafetyIssue(evse_id=evse_id, issue=issue)
    return report_safety_issue(site.system, command, by(actor="s1"))


def assess(
    site: Site, is_safe: bool, assessor: str = "inspector-7", number: int = 0
) -> Answer:
    """Assess the issue of a number, the last one unless told."""
    command = RecordAssessment(
        evse_id=E1,
        issue_number=number or evse(site).issue_number,
        is_safe=is_safe,
        assessor=assessor,
    )
    return record_assessment(site.system, command, by())


def suspend(site: Site, reason: str = "painting") -> Answer:
    return suspend_evse(site.system, SuspendEvse(evse_id=E1, reason=reason), by())


def release(site: Site, reason: str = "dry", evse_id: str = E1) -> Answer:
    return release_evse(site.system, ReleaseEvse(evse_id=evse_id, reason=reason), by())


def evse(site: Site) -> Evse:
    return load_evse(site.system, E1)


def last(site: Site) -> Event | None:
    return site.log.read_stream(f"evse-{E1}")[-1].event


@pytest.mark.requirement("7.10.1")
def test_a_safety_issue_keeps_users_away_until_the_evse_is_assessed_as_safe(
    site: Site,
) -> None:
    report(site)
    reserve = s.ReservationMade(
        session_id="", from_at=NINE, until_at=NINE + MINUTE, evse_id=E1
    )
    refused = pytest.raises(Refused, match=r"EVSE US\*CAL\*E1 is blocked: smoke")
    with refused:
        site.present(E1)
    with refused:
        site.add(reserve)
    assess(site, is_safe=False)
    assert evse(site).blocked == "smoke"
    assess(site, is_safe=True)
    assert last(site) == z.EvseUnblocked(evse_id=E1, reason="assessed as safe")
    site.plug(E1)


@pytest.mark.requirement("7.10.2")
def test_a_safety_issue_in_a_session_is_told_to_that_session(site: Site) -> None:
    session_id = site.plug(E1)
    answer = report(site)
    rows = site.rows(after=answer.first - 1)
    assert [row.event for row in rows] == [
        z.EvseBlocked(evse_id=E1, reason="smoke", is_safety=True),
        s.SafetyReported(session_id=session_id, evse_id=E1, issue="smoke"),
    ]
    assert [row.is_decision for row in rows] == [True, False]
    assert site.session(session_id).is_open


def test_after_a_merge_the_session_that_stays_is_told(site: Site) -> None:
    gone, kept = site.plug(E1), site.add(s.ParkingStarted(session_id=""))
    site.merge(gone, kept)
    report(site)
    assert site.types(kept)[-1] == "safety.reported"


def test_where_nobody_is_plugged_only_the_evse_is_blocked(site: Site) -> None:
    assert report(site).count == 1


def test_the_last_of_several_issues_is_shown_and_one_assessment_ends_them(
    site: Site,
) -> None:
    report(site, "smoke")
    report(site, "fire")
    assert evse(site).blocked == "fire"
    assess(site, is_safe=True)
    assert evse(site).blocked == ""


@pytest.mark.requirement("7.10.1")
@pytest.mark.parametrize("is_safe", [True, False])
def test_an_assessment_ends_no_issue_that_came_after_it(
    site: Site, is_safe: bool
) -> None:
    """Given an issue reported while the one before was looked at."""
    report(site, "cable")
    seen = evse(site).issue_number
    report(site, "residual-current")
    suspend(site)
    for number in (seen, seen + 2):
        with pytest.raises(Conflict, match="is number 2, residual-current; the"):
            assess(site, is_safe, number=number)
    assert evse(site).safety_issue == "residual-current"
    assess(site, is_safe, number=2)


def test_an_operator_releases_what_it_suspended(site: Site) -> None:
    suspend(site)
    suspend(site, "painting, second coat")
    with pytest.raises(Refused, match="is blocked: painting, second coat"):
        site.present(E1)
    release(site)
    assert evse(site).blocked == ""
    site.plug(E1)


@pytest.mark.requirement("7.10.1")
@pytest.mark.parametrize("order", [(report, suspend), (suspend, report)])
def test_suspension_and_safety_are_ended_each_on_its_own(
    site: Site, order: tuple[Callable[[Site], Answer], ...]
) -> None:
    for block in order:
        block(site)
    assert evse(site).blocked == "smoke"
    with pytest.raises(Refused, match="needs an assessment: smoke"):
        release(site)
    assess(site, is_safe=True)
    assert evse(site).blocked == "painting"
    assert isinstance(last(site), z.EvseAssessed)
    with pytest.raises(Refused, match="is blocked: painting"):
        site.present(E1)
    release(site)
    site.plug(E1)


def test_details_are_sealed(site: Site) -> None:
    vault = site.system.vault
    person = vault.subject_of("token", "04AA")
    details = vault.seal(person, issue_context(E1), b"Anna burnt her hand")
    command = ReportSafetyIssue(evse_id=E1, issue="hot plug", details=details)
    report_safety_issue(site.system, command, by())
    blocked = last(site)
    assert isinstance(blocked, z.EvseBlocked)
    assert blocked.details is not None
    assert vault.open(blocked.details, issue_context(E1)) == b"Anna burnt her hand"


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (lambda site: report(site, ""), InvalidValue, "issue of 0 characters"),
        (lambda site: report(site, "x" * 501), InvalidValue, "issue of 501 char"),
        (lambda site: report(site, evse_id="US*CAL*E9"), Unknown, "never comm"),
        (lambda site: suspend(site, ""), InvalidValue, "reason of 0 characters"),
        (lambda site: release(site, ""), InvalidValue, "reason of 0 characters"),
        (release, Refused, "is not suspended"),
        (lambda site: assess(site, True), Refused, "no safety issue to assess"),
        (lambda site: assess(site, True, "A. Smith"), InvalidValue, "assessor 'A. S"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    site: Site, act: Callable[[Site], Answer], error: type[Refused], says: str
) -> None:
    before = site.log.last_position()
    with pytest.raises(error, match=says):
        act(site)
    assert site.log.last_position() == before
