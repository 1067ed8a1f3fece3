"""7.5 Correction of a recorded transaction by a trusted party (IEC 63110-1 7.5).

A correction is one more event: the transaction stays as it was recorded, and the last
correction of a field is what counts for it. Who is trusted, and that the message is
whole, is the API's to say. By `shared_path`.
"""

from typing import Any

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model import session_events as s
from domain.model.registry import BY_CLASS
from domain.model.sdr_information import OCCURRED_AT
from domain.model.session import Session
from domain.model.values import Event, Instant, iso_of
from domain.ports import Answer, Batch, Recorded, System
from domain.use_cases.clause_6_2_joining import check_impersonal, resolve
from domain.use_cases.clause_6_2_service_sessions import TRANSACTIONS
from domain.use_cases.e1_smart_charging import ENERGY_LIMIT_WH
from domain.use_cases.shared_path import By, decision, record

CORRECTABLE: frozenset[type[Event]] = frozenset(
    {
        *TRANSACTIONS,
        s.TransferStarted,
        s.TransferPaused,
        s.TransferResumed,
        s.TransferEnded,
        s.TransferSettled,
        s.TransferModeChanged,
        s.TransferIntervalMetered,
    }
)

# What nobody corrects, besides ids: who said it, and fields of other types than these.
_WHO = ("by",)
_PLAIN = (int, str)

# The last instant of the year 9999, beyond which no calendar of ours goes.
_LAST_INSTANT = 253_402_300_799_999_999
_LONGEST_TEXT = 500


class CorrectTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the transaction at a position of the log should have been another.

    ``field`` may be ``occurred_at`` too, when it happened. ``value`` is JSON text of
    the field's type: ``6000``, ``"row B"``, instants as the log has them.
    """

    session_id: str
    position: int
    field: str
    value: str
    reason: str


def correct_transaction(system: System, command: CorrectTransaction, by: By) -> Answer:
    """Record the correction, of a closed session too."""

    def decide() -> Batch:
        if not 0 < len(command.reason) <= _LONGEST_TEXT:
            raise InvalidValue(
                f"correction: a reason of {len(command.reason)} characters is not 1 to "
                f"{_LONGEST_TEXT}"
            )
        state = resolve(system, command.session_id)
        event = _transaction(system, state, command.position)
        corrected = s.TransactionCorrected(
            session_id=state.session_id,
            position=command.position,
            field=command.field,
            value=_value(event, command.field, command.value, by.at),
            by=by.party_name,
            reason=command.reason,
        )
        stream = ids.session_stream(state.session_id)
        return Batch(appends=(decision(stream, state, by.at, corrected),))

    return record(system, by, command, decide)


def _transaction(system: System, state: Session, position: int) -> Event:
    """Return the transaction of a session, or of one merged into it, at a position."""
    row = _row(system, position)
    if row is None or not _belongs(system, row, state):
        raise Refused(
            f"service session {state.session_id} has no transaction at position "
            f"{position}"
        )
    if row.event is None:
        raise Refused(f"the transaction at position {position} was dropped")
    if isinstance(row.event, s.TransactionCorrected):
        raise Refused(
            f"position {position} is a correction: correct the transaction at "
            f"{row.event.position} again"
        )
    if type(row.event) not in CORRECTABLE:
        raise Refused(f"position {position} is {row.type}, which is no transaction")
    return row.event


def _row(system: System, position: int) -> Recorded | None:
    if not 0 < position <= system.log.last_position():
        return None
    return system.log.read(after=position - 1, limit=1)[0]


def _belongs(system: System, row: Recorded, state: Session) -> bool:
    kind, _, session_id = row.stream.partition("-")
    return kind == "session" and resolve(system, session_id) == state


def _value(event: Event, field: str, text: str, now: Instant) -> str:
    """Return the JSON of a field's new value; refuse what the field cannot be."""
    name = BY_CLASS[type(event)].name
    fields = {
        each.name: each.type
        for each in msgspec.structs.fields(type(event))
        if not each.name.endswith("_id")
        and each.name not in _WHO
        and each.type in _PLAIN
    } | {OCCURRED_AT: Instant}
    if field not in fields:
        raise InvalidValue(f"{name} has no field {field!r} that can be corrected")
    try:
        value = msgspec.json.decode(text, type=fields[field])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise InvalidValue(f"{name}.{field} cannot be {text[:100]}: {error}") from error
    _check_range(f"{name}.{field}", field, value)
    if field == OCCURRED_AT and value > now:
        raise InvalidValue(f"{name}.{field}: {iso_of(value)} has not come yet")
    return msgspec.json.encode(value).decode()


def _check_range(where: str, field: str, value: Any) -> None:
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            raise InvalidValue(f"{where}: more than {_LONGEST_TEXT} characters")
        check_impersonal(where, value)
    if field.endswith("_at") and not 0 <= value <= _LAST_INSTANT:
        raise InvalidValue(
            f"{where}: {value} µs is not between the years 1970 and 9999"
        )
    if field.endswith("_wh") and not abs(value) <= ENERGY_LIMIT_WH:
        raise InvalidValue(f"{where}: {value} Wh is beyond ±{ENERGY_LIMIT_WH} Wh")
