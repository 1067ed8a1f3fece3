"""S2 Authorization with locally presented credentials, and the embedded back office.

Credentials become a subject of the vault; the CSO answers for the subject. Where the
CSO has no back office of its own, the embedded one answers at once from contracts in
the log, in the append of the request: no crash leaves a request without its answer. By
`shared_path`.
"""

import re
from collections.abc import Iterator

import msgspec

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import contract_events as c
from domain.model import ids
from domain.model import session_events as s
from domain.model.values import Event, Instant, Sealed, iso_of
from domain.ports import (
    Answer,
    Append,
    Authorization,
    Batch,
    Claim,
    Clock,
    Log,
    Recorded,
    System,
)
from domain.use_cases.clause_6_2_joining import Reference, check_impersonal
from domain.use_cases.clause_6_2_service_sessions import AddTransaction, added
from domain.use_cases.shared_path import By, record

BACK_OFFICE = "back-office"

# Why the embedded back office refuses.
UNKNOWN = "no contract is known"
NOT_YET = "the contract is not yet valid"
ENDED = "the contract was ended"
EXPIRED = "the contract expired"
_CLAIM = "contract"
# Of OCPP's identifierString, as long as every version takes it.
_GROUP = re.compile(r"[A-Za-z0-9*_=:+|@.-]{1,20}")
_LONGEST_REASON = 500


class AskAuthorization(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials were presented at an EVSE, or for a session (S2 Info1).

    Where no EVSE is chosen yet, ``station_id`` says at which station they were.
    """

    evse_id: str
    subject_id: str
    credential: Sealed | None = None
    session_id: str = ""
    reference: Reference | None = None
    station_id: str = ""


def authorize(system: System, command: AskAuthorization, by: By) -> Answer:
    """Record the request, and with it the CSO's answer when it has one at once."""
    asked = s.AuthorizationRequested(
        session_id="",
        evse_id=command.evse_id,
        subject_id=command.subject_id,
        credential=command.credential,
        station_id=command.station_id,
    )
    adding = AddTransaction(
        transaction=asked, session_id=command.session_id, reference=command.reference
    )

    def decide() -> Batch:
        said = system.cso.answer(command.subject_id, command.evse_id, by.at)
        return added(system, adding, by, *answer_events(said))

    return record(system, by, command, decide)


def answer_events(said: Authorization | None) -> tuple[Event, ...]:
    """Return what an answer adds to a session; nothing where it is still to come."""
    if said is None:
        return ()
    if said.accepted:
        return (s.AuthorizationAccepted(session_id="", by=said.by),)
    return (s.AuthorizationRefused(session_id="", by=said.by, reason=said.reason),)


class RegisterContract(msgspec.Struct, frozen=True, kw_only=True):
    """An EV user may charge from ``valid_from_at`` on; ``valid_until_at`` 0: no end."""

    contract_id: str
    subject_id: str
    valid_from_at: Instant
    valid_until_at: Instant = 0
    v2g: bool = False
    group_id: str = ""
    holder: Sealed | None = None


def holder_context(contract_id: str) -> str:
    """Return the context under which a contract's holder is sealed (ADR 0001)."""
    return f"contract.registered/{contract_id}"


def register_contract(system: System, command: RegisterContract, by: By) -> Answer:
    """Record a contract of the embedded back office."""

    def decide() -> Batch:
        _check(command)
        if _rows(system.log, command.contract_id):
            raise Refused(f"contract {command.contract_id} was registered before")
        event = c.ContractRegistered(**msgspec.structs.asdict(command))
        key = f"{command.subject_id}/{command.contract_id}"
        append = _append(command.contract_id, event, by, expected=0)
        # Never released: that a contract ended is a reason of the back office.
        claim = Claim(_CLAIM, key, command.contract_id)
        return Batch(appends=(append,), claims=(claim,))

    return record(system, by, command, decide)


def _check(command: RegisterContract) -> None:
    ids.name_of("contract id", command.contract_id)
    check_impersonal("contract id", command.contract_id)
    ids.name_of("subject id", command.subject_id)
    if command.group_id:
        check_impersonal("group id", command.group_id)
        if not _GROUP.fullmatch(command.group_id):
            raise InvalidValue(
                f"group id {command.group_id[:40]!r} is not 1 to 20 letters, digits or "
                "any of *-_=:+|@., as all stations take it"
            )
    if command.valid_until_at and command.valid_until_at <= command.valid_from_at:
        raise InvalidValue(
            f"contract {command.contract_id} is valid until "
            f"{iso_of(command.valid_until_at)}, which is not after its beginning "
            f"{iso_of(command.valid_from_at)}"
        )


class EndContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract no longer holds."""

    contract_id: str
    reason: str


def end_contract(system: System, command: EndContract, by: By) -> Answer:
    """Record the end of a contract, from now on."""

    def decide() -> Batch:
        if not 0 < len(command.reason) <= _LONGEST_REASON:
            raise InvalidValue(
                f"contract: a reason of {len(command.reason)} characters is not 1 to "
                f"{_LONGEST_REASON}"
            )
        rows = _rows(system.log, command.contract_id)
        if not rows:
            raise Unknown(f"contract {command.contract_id!r} was never registered")
        if any(isinstance(row.event, c.ContractEnded) for row in rows):
            raise Refused(f"contract {command.contract_id} was ended before")
        event = c.ContractEnded(contract_id=command.contract_id, reason=command.reason)
        expected = rows[-1].decision_version
        append = _append(command.contract_id, event, by, expected=expected)
        return Batch(appends=(append,))

    return record(system, by, command, decide)


def _append(contract_id: str, event: Event, by: By, *, expected: int) -> Append:
    return Append(ids.contract_stream(contract_id), (event,), by.at, expected)


def _rows(log: Log, contract_id: str) -> list[Recorded]:
    return list(log.read_stream(ids.contract_stream(contract_id)))


class EmbeddedBackOffice:
    """A `Cso` that knows the contracts in the log, and no secondary actors."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    def answer(self, subject_id: str, evse_id: str, at: Instant) -> Authorization:
        """Accept a subject with a contract that is valid at an instant, and still is.

        What is told late is accepted of nobody whose contract has ended since. Else the
        reason is that of the contract which began last.
        """
        now = max(at, self._clock.now())
        reason = UNKNOWN
        for contract_id, registered, rows in self._contracts(subject_id):
            invalid = why_invalid(registered, rows, at) or why_invalid(
                registered, rows, now
            )
            if not invalid:
                return Authorization(True, f"{BACK_OFFICE}/{contract_id}")
            reason = invalid
        return Authorization(False, BACK_OFFICE, reason)

    def group_of(self, subject_id: str, at: Instant) -> str:
        """Return the group of a subject's contract that is valid at an instant."""
        for _, registered, rows in self._contracts(subject_id):
            if registered.group_id and not why_invalid(registered, rows, at):
                return registered.group_id
        return ""

    def _contracts(
        self, subject_id: str
    ) -> Iterator[tuple[str, c.ContractRegistered, list[Recorded]]]:
        """Yield a subject's contracts by when they begin."""
        found = []
        # Of an empty subject, every claim's key would begin with "/" and none does.
        for claim in self._log.claims(_CLAIM, f"{subject_id}/"):
            rows = _rows(self._log, claim.owner)
            if rows and isinstance(rows[0].event, c.ContractRegistered):
                found.append((claim.owner, rows[0].event, rows))
        yield from sorted(found, key=lambda each: each[1].valid_from_at)


def why_invalid(
    registered: c.ContractRegistered, rows: list[Recorded], at: Instant
) -> str:
    """Return why a contract does not hold at an instant; empty when it does."""
    if at < registered.valid_from_at:
        return NOT_YET
    if any(isinstance(r.event, c.ContractEnded) and r.occurred_at <= at for r in rows):
        return ENDED
    if registered.valid_until_at and at >= registered.valid_until_at:
        return EXPIRED
    return ""
