"""S3 Authorization by external means: remote start and stop (IEC 63110-1 8.4.5).

The EV user is known by other means than a credential shown at the station, and somebody
asks for the start at an EVSE. The authorization is recorded in the append that asks the
station, so that neither is there without the other; what the station makes of it is the
activity's. By `shared_path`.
"""

import hashlib

import msgspec

from domain.errors import Occupied, Refused
from domain.model import ids
from domain.model import session_events as s
from domain.model.activity_events import ActivityKind
from domain.model.session import Session
from domain.model.site import Evse
from domain.model.values import Instant, Sealed, iso_of
from domain.ports import Answer, Authorization, Batch, System
from domain.use_cases.clause_6_2_joining import (
    Reference,
    find_open,
    is_of_group,
    reserved_at,
    resolve,
)
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    add_transaction,
    added,
)
from domain.use_cases.clause_7_3_activities import (
    AskActivity,
    asked,
    asked_in_vain,
    open_activities,
)
from domain.use_cases.clause_7_3_availability import check_in_use
from domain.use_cases.s2_back_office import answer_events
from domain.use_cases.shared_path import By, load_evse, record

# Among the activity's parameters: what the token is, and the number of the start.
TOKEN_KIND, NUMBER = "token-kind", "number"
_REMOTE_START = "remote-start"


def remote_start_of(station_id: str, number: int) -> Reference:
    """Return the reference by which a station names a remote start of ours.

    Its session is known by it before the station has told of any transaction.
    """
    return Reference(station_id, _REMOTE_START, str(number))


class StartRemotely(msgspec.Struct, frozen=True, kw_only=True):
    """An EV user who is known by other means is to charge at an EVSE.

    The ``credential`` is what the station is given; ``token_kind`` says what it is.
    """

    evse_id: str
    subject_id: str
    token_kind: str
    credential: Sealed | None = None
    session_id: str = ""
    reference: Reference | None = None
    due_after: Instant = 0


def start_remotely(system: System, command: StartRemotely, by: By) -> Answer:
    """Record the authorization and ask the station, where the EVSE is free for it.

    A CSO whose back office is elsewhere has asked it before. An authorization that is
    refused is a transaction too, and the activity's end.
    """
    transaction = s.AuthorizationRequested(
        session_id="", evse_id=command.evse_id, subject_id=command.subject_id
    )
    adding = AddTransaction(
        transaction=transaction,
        session_id=command.session_id,
        reference=command.reference,
    )

    def decide() -> Batch:
        _check_free(system, command, by.at)
        said = system.cso.answer(command.subject_id, command.evse_id, by.at)
        if said is None:
            said = Authorization(True, by.party_name)
        asking = _asking(system, command)
        number = remote_start_of(
            asking.station_id, int(dict(asking.parameters)[NUMBER])
        )
        bound = s.ReferenceBound(
            session_id="",
            party=number.party,
            kind=number.kind,
            reference=number.text,
        )
        session = added(system, adding, by, bound, *answer_events(said))
        activity = _activity(system, asking, session, said, by)
        return msgspec.structs.replace(
            session,
            appends=session.appends + activity.appends,
            claims=session.claims + activity.claims,
            timers=session.timers + activity.timers,
        )

    return record(system, by, command, decide)


def _asking(system: System, command: StartRemotely) -> AskActivity:
    data = load_evse(system, command.evse_id).check_usable(command.evse_id)
    number = _new_number(system, data.station_id)
    return AskActivity(
        kind=ActivityKind.REMOTE_START,
        station_id=data.station_id,
        due_after=command.due_after,
        evse_id=command.evse_id,
        subject_id=command.subject_id,
        credential=command.credential,
        parameters=((TOKEN_KIND, command.token_kind), (NUMBER, str(number))),
    )


def _new_number(system: System, station_id: str) -> int:
    """Return a number that the station was never given: 31 bits, as it takes them."""
    while True:
        drawn = hashlib.sha256(system.ids.new_id().encode()).digest()
        number = int.from_bytes(drawn[:4], "big") >> 1
        reference = remote_start_of(station_id, number)
        if system.log.owner("reference", reference.key) is None:
            return number


def _activity(
    system: System, asking: AskActivity, session: Batch, said: Authorization, by: By
) -> Batch:
    session_id = session.appends[0].stream.removeprefix(ids.session_stream(""))
    asking = msgspec.structs.replace(asking, session_id=session_id)
    if said.accepted:
        return asked(system, asking, by)
    return asked_in_vain(system, asking, said.reason, by)


def _check_free(system: System, command: StartRemotely, at: Instant) -> None:
    """Refuse an EVSE that is out of use, taken, being started, kept for another."""
    evse = load_evse(system, command.evse_id)
    station_id = evse.check_usable(command.evse_id).station_id
    check_in_use(system, station_id, command.evse_id)
    for each in open_activities(system, station_id):
        if (each.kind, each.evse_id) == (ActivityKind.REMOTE_START, command.evse_id):
            raise Occupied(
                f"EVSE {command.evse_id} is being started: activity "
                f"{each.activity_id} is due by {iso_of(each.due_at)}"
            )
    joined = _joined(system, command, at)
    if evse.session_id:
        _check_occupant(system, command.evse_id, evse, joined)
    for owner in reserved_at(system, f"evse/{command.evse_id}/", at):
        _check_reservation(system, resolve(system, owner), command, joined, at)


def _joined(system: System, command: StartRemotely, at: Instant) -> Session | None:
    if command.session_id:
        return resolve(system, command.session_id)
    return find_open(
        system,
        at,
        reference=command.reference,
        evse_id=command.evse_id,
        subject_id=command.subject_id,
    )


def _check_occupant(
    system: System, evse_id: str, evse: Evse, joined: Session | None
) -> None:
    occupant = resolve(system, evse.session_id)
    if joined is None or joined.session_id != occupant.session_id:
        raise Occupied(
            f"EVSE {evse_id} is occupied since {iso_of(evse.plugged_at)} by an EV that "
            "is another's: a remote start needs a free EVSE or the own EV there"
        )


def _check_reservation(
    system: System,
    holder: Session,
    command: StartRemotely,
    joined: Session | None,
    at: Instant,
) -> None:
    """Who names the session, is its EV user or of one group, has the reservation."""
    expected, subject_id = holder.expected_subject_id, command.subject_id
    is_theirs = (
        joined is not None
        and joined.session_id == holder.session_id
        and (
            bool(command.session_id or command.reference)
            or expected == subject_id
            or is_of_group(system, expected, subject_id, at)
        )
    )
    if not is_theirs and holder.reservation is not None:
        raise Refused(
            f"EVSE {command.evse_id} is reserved for another until "
            f"{iso_of(holder.reservation.until_at)}"
        )


class GiveUpStart(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing came of a remote start."""

    evse_id: str
    session_id: str


def give_up_start(system: System, command: GiveUpStart, by: By) -> None:
    """End the authorization that waits at the EVSE: it is not for who comes next."""
    state = resolve(system, command.session_id)
    if state.is_open and state.authorized and state.waiting_at == command.evse_id:
        ended = AddTransaction(
            transaction=s.AuthorizationEnded(session_id=""), session_id=state.session_id
        )
        add_transaction(system, ended, by)


class StopRemotely(msgspec.Struct, frozen=True, kw_only=True):
    """The energy transfer of a session is to end; the EV stays plugged."""

    session_id: str
    due_after: Instant = 0


def stop_remotely(system: System, command: StopRemotely, by: By) -> Answer:
    """Ask the station at which the session is plugged."""

    def decide() -> Batch:
        state = resolve(system, command.session_id)
        state.check_open()
        if not state.evse_id:
            raise Refused(f"service session {state.session_id} is plugged at no EVSE")
        asking = AskActivity(
            kind=ActivityKind.REMOTE_STOP,
            station_id=state.station_id,
            due_after=command.due_after,
            evse_id=state.evse_id,
            session_id=state.session_id,
        )
        return asked(system, asking, by)

    return record(system, by, command, decide)
