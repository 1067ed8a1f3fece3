"""The path every use case shares: load by folding, decide, append, retry a conflict."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, cast

import msgspec

from domain.errors import Conflict, Fenced, InvalidValue, Refused, Unknown
from domain.model import ids, session, site
from domain.model.access_events import CommandAudited
from domain.model.registry import BY_CLASS
from domain.model.values import Event, Instant, Sealed
from domain.ports import Answer, Append, Batch, Recorded, System

_ATTEMPTS = 8

# Most folded states kept in memory (some 1 kB each); beyond, all are folded again.
_FOLDS_KEPT = 50_000


class Folded(Protocol):
    """The state that a stream's events lead to; a msgspec struct."""

    @property
    def decision_version(self) -> int:
        """Return the version of the stream's last decision."""
        ...


State = TypeVar("State", bound=Folded)
Taken = TypeVar("Taken")
Told = TypeVar("Told", bound=msgspec.Struct)


class By(msgspec.Struct, frozen=True):
    """Who says so, when it happened, and under which command id.

    ``actor`` is opaque; ``party`` is whom it acts for, as sessions name their parties,
    the actor itself when left out. ``audited`` is recorded in the command's own append.
    ``is_told``: the actor said when it happened, which is then a part of the request.
    ``expected_version`` is the version of the last decision that the actor saw in the
    stream that the command decides on first; None when that does not matter to it.
    """

    actor: str
    at: Instant
    command_id: str = ""
    correlation_id: str = ""
    party: str = ""
    audited: CommandAudited | None = None
    expected_version: int | None = None
    is_told: bool = False

    @property
    def party_name(self) -> str:
        """Return whom the actor acts for."""
        return self.party or self.actor


def request_of(command: msgspec.Struct, told_at: Instant | None = None) -> bytes:
    """Return the digest by which a repeated command is told from another one.

    What the command is counts as well as its fields. Sealed groups do not, for a repeat
    is sealed anew; whose they are stands beside them.
    """
    kinds = [type(command).__name__]
    command = _unsealed(command)
    for name in command.__struct_fields__:
        value = getattr(command, name)
        if isinstance(value, Event):
            kinds.append(BY_CLASS[type(value)].name)
            command = msgspec.structs.replace(command, **{name: _unsealed(value)})
    asked = (kinds, command) if told_at is None else (kinds, command, told_at)
    return hashlib.sha256(msgspec.msgpack.encode(asked)).digest()


def _unsealed(told: Told) -> Told:
    sealed = {
        name: None
        for name in told.__struct_fields__
        if isinstance(getattr(told, name), Sealed)
    }
    return msgspec.structs.replace(told, **sealed) if sealed else told


def fold(
    system: System,
    stream: str,
    empty: State,
    evolve: Callable[[State, Event, Instant], State],
) -> State:
    """Return the state of a stream, reading only what was added since the last fold."""

    def take(state: State, rows: Sequence[Recorded]) -> State:
        for row in rows:
            state = _after(state, row, evolve)
        return state

    return taken(system, stream, empty, take)


def taken(
    system: System,
    stream: str,
    empty: Taken,
    take: Callable[[Taken, Sequence[Recorded]], Taken],
) -> Taken:
    """Return what a stream comes to, ``take`` given only what was added since."""
    known = system.folds.get(stream, (0, empty))
    version, state = known[0], cast(Taken, known[1])
    rows = system.log.read_stream(stream, after_version=version)
    if rows:
        state = take(state, rows)
        if len(system.folds) >= _FOLDS_KEPT:
            system.folds.clear()
        system.folds[stream] = (rows[-1].version, state)
    return state


def _after(
    state: State, row: Recorded, evolve: Callable[[State, Event, Instant], State]
) -> State:
    if row.event is not None:
        state = evolve(state, row.event, row.occurred_at)
    if state.decision_version != row.decision_version:
        struct = cast(Any, state)
        state = msgspec.structs.replace(struct, decision_version=row.decision_version)
    return state


def load_session(system: System, session_id: str) -> session.Session:
    """Return a session; `Unknown` when it was never opened."""
    state = fold(
        system, ids.session_stream(session_id), session.Session(), session.evolve
    )
    if not state.opened:
        raise Unknown(f"service session {session_id!r} was never opened")
    return state


def load_evse(system: System, evse_id: str) -> site.Evse:
    """Return an EVSE; `Unknown` when nobody commissioned it."""
    state = fold(
        system, ids.evse_stream(ids.evse_id_of(evse_id)), site.Evse(), site.evolve_evse
    )
    if state.commissioned is None:
        raise Unknown(f"EVSE {evse_id} was never commissioned")
    return state


def load_zone(system: System, zone_id: str) -> site.Zone:
    """Return a zone; `Unknown` when nobody defined it."""
    state = fold(system, ids.zone_stream(zone_id), site.Zone(), site.evolve_zone)
    if state.defined is None:
        raise Unknown(f"zone {zone_id!r} was never defined")
    return state


def answered(system: System, by: By, command: msgspec.Struct) -> Answer | None:
    """Return the first answer to a command id; None when it is new.

    Raises
    ------
    RequestMismatch
        when the command id was used for another request.
    """
    return system.log.answered(_asked(by, command)) if by.command_id else None


def _asked(by: By, command: msgspec.Struct) -> Batch:
    told_at = by.at if by.is_told else None
    return Batch(
        actor=by.actor,
        command_id=by.command_id,
        correlation_id=by.correlation_id,
        request=request_of(command, told_at) if by.command_id else b"",
        appends=(),
    )


def record(
    system: System,
    by: By,
    command: msgspec.Struct,
    decide: Callable[[], Batch],
) -> Answer:
    """Append what ``decide`` decides; when another was first, decide again.

    A command id that was answered before gets that answer, before anything is decided:
    what is checked against the present belongs into ``decide``.

    Raises
    ------
    Conflict
        when the actor expected another version, or others were first again and again.
    """
    asked = _asked(by, command)
    if by.command_id and (answer := system.log.answered(asked)) is not None:
        return answer
    for attempt in range(_ATTEMPTS):
        try:
            decided = decide()
            _check_expected(decided, by)
        except (Refused, Conflict):
            # The command itself may have been recorded by another thread meanwhile.
            if by.command_id and (answer := system.log.answered(asked)) is not None:
                return answer
            raise
        batch = msgspec.structs.replace(
            decided,
            appends=decided.appends + _audit(by),
            actor=asked.actor,
            command_id=asked.command_id,
            correlation_id=asked.correlation_id,
            request=asked.request,
        )
        try:
            return system.log.append(batch)
        except Fenced:
            raise
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _check_expected(batch: Batch, by: By) -> None:
    if by.expected_version is None:
        return
    for append in batch.appends:
        if append.expected is not None:
            if append.expected != by.expected_version:
                raise Conflict(
                    f"stream {append.stream!r} was last decided in version "
                    f"{append.expected}, not {by.expected_version}",
                    append.expected,
                )
            return
    raise InvalidValue(
        f"version {by.expected_version} cannot be expected where nothing is decided: "
        "what is recorded here holds whatever was decided since"
    )


def _audit(by: By) -> tuple[Append, ...]:
    if by.audited is None:
        return ()
    return (Append(ids.audit_stream(by.at), (by.audited,), by.at),)


def decision(stream: str, state: Folded, at: Instant, *e: Event) -> Append:
    """Return the append of a decision made on a folded state."""
    return Append(stream, e, at, expected=state.decision_version)
