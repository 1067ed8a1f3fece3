"""7.10 Safety issues, assessments and suspension of EVSEs (IEC 63110-1 7.10).

An EVSE can be suspended by its operator and blocked for a safety issue, both at once.
It may be used again when neither holds: an assessment as safe ends the issue and leaves
the suspension, a release ends the suspension and is refused while an issue is open.
`EvseUnblocked` is recorded exactly when nothing speaks against use any more, so whoever
only asks whether the EVSE may be used needs no other event. By `shared_path`.
"""

import msgspec

from domain.errors import Conflict, InvalidValue, Refused
from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.values import Event, Sealed
from domain.ports import Answer, Append, Batch, System
from domain.use_cases.shared_path import By, decision, load_evse, record


def issue_context(evse_id: str) -> str:
    """Return the context under which details of an issue are sealed (ADR 0001)."""
    return f"evse.blocked/{evse_id}"


def assessment_context(evse_id: str) -> str:
    """Return the context under which notes of an assessment are sealed (ADR 0001)."""
    return f"evse.assessed/{evse_id}"


def _check_text(evse_id: str, name: str, text: str) -> None:
    if not 0 < len(text) <= 500:
        raise InvalidValue(
            f"EVSE {evse_id}: {name} of {len(text)} characters is not 1 to 500"
        )


class ReportSafetyIssue(msgspec.Struct, frozen=True, kw_only=True):
    """A station or a person reports a safety issue in an EVSE."""

    evse_id: str
    issue: str
    details: Sealed | None = None


def report_safety_issue(system: System, command: ReportSafetyIssue, by: By) -> Answer:
    """Block the EVSE, and tell the session whose EV is there.

    An issue reported while another is open is recorded too: the last one is the reason
    that is shown, and one assessment as safe ends them all.
    """

    def decide() -> Batch:
        evse_id = command.evse_id
        _check_text(evse_id, "issue", command.issue)
        evse = load_evse(system, evse_id)
        blocked = z.EvseBlocked(
            evse_id=evse_id,
            reason=command.issue,
            details=command.details,
            is_safety=True,
        )
        appends = [decision(ids.evse_stream(evse_id), evse, by.at, blocked)]
        if evse.session_id:
            reported = s.SafetyReported(
                session_id=evse.session_id, evse_id=evse_id, issue=command.issue
            )
            stream = ids.session_stream(evse.session_id)
            appends.append(Append(stream, (reported,), by.at))
        return Batch(appends=tuple(appends))

    return record(system, by, command, decide)


class RecordAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody assessed the safety of an EVSE, up to its issue ``issue_number``."""

    evse_id: str
    issue_number: int
    is_safe: bool
    assessor: str
    notes: Sealed | None = None


def record_assessment(system: System, command: RecordAssessment, by: By) -> Answer:
    """Record the assessment; as safe it unblocks what its operator did not suspend.

    It conflicts when an issue was reported since, of which the assessor cannot know.
    """

    def decide() -> Batch:
        evse_id = command.evse_id
        ids.name_of("assessor", command.assessor)
        evse = load_evse(system, evse_id)
        if not evse.safety_issue:
            raise Refused(
                f"EVSE {evse_id} has no safety issue to assess: report it first"
            )
        if evse.issue_number != command.issue_number:
            raise Conflict(
                f"the last safety issue of EVSE {evse_id} is number "
                f"{evse.issue_number}, {evse.safety_issue}; the assessment is of "
                f"number {command.issue_number}"
            )
        events: list[Event] = [
            z.EvseAssessed(
                evse_id=evse_id,
                is_safe=command.is_safe,
                assessor=command.assessor,
                notes=command.notes,
            )
        ]
        if command.is_safe and not evse.suspended:
            events.append(z.EvseUnblocked(evse_id=evse_id, reason="assessed as safe"))
        stream = ids.evse_stream(evse_id)
        return Batch(appends=(decision(stream, evse, by.at, *events),))

    return record(system, by, command, decide)


class SuspendEvse(msgspec.Struct, frozen=True, kw_only=True):
    """The operator keeps an EVSE from use."""

    evse_id: str
    reason: str


def suspend_evse(system: System, command: SuspendEvse, by: By) -> Answer:
    """Record the suspension; of one that is suspended already the reason changes."""

    def decide() -> Batch:
        _check_text(command.evse_id, "reason", command.reason)
        evse = load_evse(system, command.evse_id)
        blocked = z.EvseBlocked(evse_id=command.evse_id, reason=command.reason)
        stream = ids.evse_stream(command.evse_id)
        return Batch(appends=(decision(stream, evse, by.at, blocked),))

    return record(system, by, command, decide)


class ReleaseEvse(msgspec.Struct, frozen=True, kw_only=True):
    """The operator lets a suspended EVSE be used again."""

    evse_id: str
    reason: str


def release_evse(system: System, command: ReleaseEvse, by: By) -> Answer:
    """Record the release; while a safety issue is open it is refused."""

    def decide() -> Batch:
        evse_id = command.evse_id
        _check_text(evse_id, "reason", command.reason)
        evse = load_evse(system, evse_id)
        if evse.safety_issue:
            raise Refused(
                f"EVSE {evse_id} has a safety issue and needs an assessment: "
                f"{evse.safety_issue}"
            )
        if not evse.suspended:
            raise Refused(f"EVSE {evse_id} is not suspended")
        unblocked = z.EvseUnblocked(evse_id=evse_id, reason=command.reason)
        stream = ids.evse_stream(evse_id)
        return Batch(appends=(decision(stream, evse, by.at, unblocked),))

    return record(system, by, command, decide)
