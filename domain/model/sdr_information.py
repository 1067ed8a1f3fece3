"""The information for the SDR of one service session, as its increments give it (S6).

A function of the increments and of what the EVSEs were commissioned as: the same from
scratch as while it grows, and as of any position from the increments up to it. A
correction (7.5) counts from its increment on; the first value stays readable.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from domain.model import incentive_events as n
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.sdr import Increment
from domain.model.sdr_energy import SdrEnergy, energy_of
from domain.model.sdr_settled import with_settled
from domain.model.values import Current, Event, Instant

# Gives what an EVSE was commissioned as when it was bound, at a position of the log.
EvseAt = Callable[[str, int], z.EvseCommissioned | None]

_OPENING = (s.SessionOpened, s.EvseBound)

# What a correction calls the time of a transaction, of whatever kind.
OCCURRED_AT = "occurred_at"


class SdrReference(msgspec.Struct, frozen=True):
    """What a party calls the session."""

    party: str
    kind: str
    reference: str


class SdrPlace(msgspec.Struct, frozen=True, kw_only=True):
    """An EVSE that the session took place at, and what it delivers."""

    evse_id: str
    station_id: str
    zone_id: str
    bound_at: Instant
    released_at: Instant | None = None
    current: Current | None = None
    phases: int | None = None
    voltage_v: int | None = None
    max_w: int | None = None


class SdrPart(msgspec.Struct, frozen=True, kw_only=True):
    """Authorization, reservation, parking, transfer, incentive, other: begin and end.

    ``description`` says what was asked, where or by whom; ``outcome`` how it ended.
    """

    kind: str
    description: str
    begun_at: Instant
    begun_in: int
    ended_at: Instant | None = None
    ended_in: int | None = None
    outcome: str = ""


class SdrCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """A trusted party's correction: the values are JSON, the first one as recorded."""

    sequence: int
    corrected_sequence: int | None
    occurred_at: Instant
    field: str
    first_value: str
    value: str
    by: str
    reason: str


class SdrInformation(msgspec.Struct, frozen=True, kw_only=True):
    """All that billing needs to know of one service session, as far as it is known.

    ``is_final`` once the session closed; increments that came after say so. ``needs``,
    ``v2g``, ``modes``, ``etp_changes`` and ``incidents`` hold the increments that tell
    of them, corrected. Incidents are also transfers that were told late with messages
    missing or registers that do not count.
    """

    session_id: str
    session_ids: tuple[str, ...]
    is_final: bool
    last_sequence: int
    opened_at: Instant | None
    closed_at: Instant | None
    close_reason: str
    parties: tuple[str, ...]
    actors: tuple[str, ...]
    subject_ids: tuple[str, ...]
    references: tuple[SdrReference, ...]
    places: tuple[SdrPlace, ...]
    parts: tuple[SdrPart, ...]
    energy: SdrEnergy
    needs: tuple[Increment, ...]
    v2g: tuple[Increment, ...]
    modes: tuple[Increment, ...]
    etp_changes: tuple[Increment, ...]
    incidents: tuple[Increment, ...]
    corrections: tuple[SdrCorrection, ...]


def information_of(
    session_id: str, increments: Sequence[Increment], evse_at: EvseAt
) -> SdrInformation:
    """Return the information that some first increments of a session give."""
    told, corrections = _corrected(increments)
    told = with_settled(told)
    told.sort(key=lambda each: (each.occurred_at, each.sequence))
    closed = _last(told, s.SessionClosed)
    opened = [each for each in told if isinstance(each.event, s.SessionOpened)]
    references = _references(told)
    session_ids = {getattr(each.event, "session_id", "") for each in told}
    return SdrInformation(
        session_id=session_id,
        session_ids=tuple(sorted(session_ids | {session_id})),
        is_final=closed is not None,
        last_sequence=len(increments),
        opened_at=_opened_at(told),
        closed_at=closed.occurred_at if closed else None,
        close_reason=_field(closed, "reason"),
        parties=_distinct(
            [_field(each, "party") for each in opened]
            + [reference.party for reference in references]
        ),
        actors=_distinct(
            [each.by for each in told]
            + [_field(each, "by") for each in told if each.kind == "authorization"]
        ),
        subject_ids=_distinct(_field(each, "subject_id") for each in told),
        references=references,
        places=_places(told, evse_at),
        parts=_parts(told),
        energy=energy_of(told),
        needs=_only(told, s.NeedsStated),
        v2g=_only(told, s.V2gConsented, s.V2gWithdrawn),
        modes=_only(told, s.TransferModeChanged),
        etp_changes=_only(told, s.TransferPlanChanged),
        incidents=_only(
            told,
            s.SafetyReported,
            s.AuthorizationRefused,
            s.FactKept,
            s.TransferSettled,
        ),
        corrections=tuple(corrections),
    )


def _corrected(
    increments: Sequence[Increment],
) -> tuple[list[Increment], list[SdrCorrection]]:
    """Return the increments with the values that count, and what was corrected."""
    told = list(increments)
    index = {each.position: i for i, each in enumerate(told)}
    corrections = []
    for each in increments:
        correction = each.event
        if not isinstance(correction, s.TransactionCorrected):
            continue
        found = index.get(correction.position)
        first = increments[found] if found is not None else None
        if found is not None:
            told[found] = _with_value(told[found], correction.field, correction.value)
        corrections.append(
            SdrCorrection(
                sequence=each.sequence,
                corrected_sequence=first.sequence if first else None,
                occurred_at=each.occurred_at,
                field=correction.field,
                first_value=_json(first, correction.field),
                value=correction.value,
                by=correction.by,
                reason=correction.reason,
            )
        )
    return told, corrections


def _with_value(told: Increment, field: str, text: str) -> Increment:
    """Return it with the value of a correction; as it is where that cannot be."""
    held = _holder(told, field)
    kinds = {each.name: each.type for each in msgspec.structs.fields(type(held))}
    try:
        value = msgspec.json.decode(text, type=kinds[field])
    except (KeyError, msgspec.DecodeError):
        return told
    changed = msgspec.structs.replace(held, **{field: value})
    if isinstance(changed, Increment):
        return changed
    return msgspec.structs.replace(told, event=changed)


def _holder(told: Increment, field: str) -> Increment | Event:
    """Return what has a field: when it happened is not in the event itself."""
    return told if field == OCCURRED_AT else told.event


def _opened_at(told: Iterable[Increment]) -> Instant | None:
    """Return when the session began; a plug may be told late, after it was opened."""
    found = [each for each in told if isinstance(each.event, _OPENING)]
    is_open = any(isinstance(each.event, s.SessionOpened) for each in found)
    return min(each.occurred_at for each in found) if is_open else None


def _only(told: Iterable[Increment], *kinds: type[Event]) -> tuple[Increment, ...]:
    return tuple(each for each in told if isinstance(each.event, kinds))


def _last(told: Sequence[Increment], kind: type[Event]) -> Increment | None:
    return next((each for each in reversed(told) if isinstance(each.event, kind)), None)


def _field(increment: Increment | None, name: str) -> str:
    value = getattr(increment.event, name, None) if increment else None
    return "" if value is None else str(value)


def _json(increment: Increment | None, name: str) -> str:
    value = getattr(_holder(increment, name), name, None) if increment else None
    plain = value if isinstance(value, str | int) else None
    return msgspec.json.encode(plain).decode()


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _references(told: Iterable[Increment]) -> tuple[SdrReference, ...]:
    found = {
        (each.event.party, each.event.kind, each.event.reference)
        for each in told
        if isinstance(each.event, s.ReferenceBound)
    }
    return tuple(SdrReference(*reference) for reference in sorted(found))


def _places(told: Iterable[Increment], evse_at: EvseAt) -> tuple[SdrPlace, ...]:
    places: list[SdrPlace] = []
    taken: dict[str, int] = {}
    for each in told:
        match each.event:
            # A merge binds the EVSE once more to the session that stays.
            case s.EvseBound() as bound if bound.evse_id not in taken:
                taken[bound.evse_id] = len(places)
                places.append(_place(bound, each, evse_at))
            case s.EvseReleased(evse_id=evse_id) if evse_id in taken:
                i = taken.pop(evse_id)
                places[i] = msgspec.structs.replace(
                    places[i], released_at=each.occurred_at
                )
            case _:
                pass
    return tuple(places)


def _place(bound: s.EvseBound, told: Increment, evse_at: EvseAt) -> SdrPlace:
    data = evse_at(bound.evse_id, told.position)
    place = SdrPlace(
        evse_id=bound.evse_id,
        station_id=bound.station_id,
        zone_id=bound.zone_id,
        bound_at=told.occurred_at,
    )
    if data is None:
        return place
    return msgspec.structs.replace(
        place,
        current=data.current,
        phases=data.phases,
        voltage_v=data.voltage_v,
        max_w=data.max_w,
    )


# By kind: what begins a part, what ends it, and which field tells one from another.
_BEGIN: dict[type[Event], tuple[str, ...]] = {
    s.AuthorizationRequested: ("evse_id",),
    s.ReservationMade: ("evse_id", "station_id", "evse_class"),
    s.ParkingStarted: ("place",),
    s.TransferStarted: ("evse_id",),
    s.OtherStarted: ("service",),
    n.IncentiveBegan: ("incentive_id",),
}
_END: dict[type[Event], str] = {
    s.AuthorizationRefused: "reason",
    s.AuthorizationEnded: "",
    s.ReservationEnded: "reason",
    s.ParkingEnded: "",
    s.TransferEnded: "reason",
    s.OtherEnded: "",
    n.IncentiveEnded: "reason",
}
# Of these kinds several parts run at once, told apart by this field.
_NAMED: dict[str, str] = {"other": "service", "incentive": "incentive_id"}


def _parts(told: Sequence[Increment]) -> tuple[SdrPart, ...]:
    parts: list[SdrPart] = []
    sessions = {each.sequence: _field(each, "session_id") for each in told}
    for each in told:
        # Whatever a register says: the EV was plugged and unplugged.
        if type(each.event) in _BEGIN:
            parts.append(_begun(each))
        elif isinstance(each.event, s.SessionClosed):
            _end(parts, _open(parts), each, "session closed")
        elif type(each.event) in _END:
            candidates = _candidates(parts, sessions, each)
            # An answer is to the last request; of several parkings the first one ends.
            is_answer = each.kind == "authorization"
            ended = candidates[-1:] if is_answer else candidates[:1]
            _end(parts, ended, each, _field(each, _END[type(each.event)]))
        elif isinstance(each.event, s.AuthorizationAccepted):
            for i in _candidates(parts, sessions, each)[-1:]:
                outcome = f"accepted by {each.event.by}"
                parts[i] = msgspec.structs.replace(parts[i], outcome=outcome)
    return tuple(parts)


def _begun(told: Increment) -> SdrPart:
    names = _BEGIN[type(told.event)]
    description = next((text for name in names if (text := _field(told, name))), "")
    return SdrPart(
        kind=told.kind,
        description=description,
        begun_at=told.occurred_at,
        begun_in=told.sequence,
    )


def _end(
    parts: list[SdrPart], ended: Iterable[int], told: Increment, outcome: str
) -> None:
    for i in ended:
        parts[i] = msgspec.structs.replace(
            parts[i],
            ended_at=told.occurred_at,
            ended_in=told.sequence,
            outcome=parts[i].outcome or outcome,
        )


def _candidates(
    parts: Sequence[SdrPart], sessions: dict[int, str], told: Increment
) -> list[int]:
    """Return the open parts that an increment may tell of: of its own session, if any.

    What began in a session that was merged ends in the one that stays.
    """
    name = _field(told, _NAMED[told.kind]) if told.kind in _NAMED else ""
    found = [
        i
        for i in _open(parts)
        if parts[i].kind == told.kind and name in ("", parts[i].description)
    ]
    own = [i for i in found if sessions[parts[i].begun_in] == sessions[told.sequence]]
    return own or found


def _open(parts: Sequence[SdrPart]) -> list[int]:
    return [i for i, part in enumerate(parts) if part.ended_at is None]
