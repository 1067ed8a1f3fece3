"""6.2 Which service session a plug or credential belongs to; by `shared_path`.

They join an open session in this order: reference given; reservation for that EVSE,
station or class within its time; authorization waiting at that EVSE; same subject at
that station; else a new session opens. Credentials presented before an EVSE is chosen
name their station alone and begin with the fourth. At each step a session is passed
over that is closed, that is plugged at another EVSE (nobody charges two cars), or whose
subject is known to be another; a reservation is also for who is of its subject's group.
Plug and credential come in either order: an EV that is
plugged and not authorized yet waits for the authorization at its EVSE.
"""

import re

import msgspec

from domain.errors import InvalidValue, Unknown
from domain.model import ids
from domain.model import session_events as s
from domain.model.session import Session
from domain.model.site import Evse, Station, evolve_station
from domain.model.values import Event, Instant
from domain.ports import System
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from domain.use_cases.shared_path import (
    By,
    fold,
    load_evse,
    load_session,
    load_zone,
)

# Kinds of references that name a person, a contract or a car.
_PERSONAL = frozenset(
    {
        *("contract", "emaid", "email", "evccid", "iban", "idtag", "idtoken"),
        *("licenceplate", "licenseplate", "mac", "name", "pan", "phone", "rfid"),
        *("token", "uid", "vin"),
    }
)
_EMAID = re.compile(
    r"[A-Z]{2}[-*][A-Z0-9]{3}[-*]C[A-Z0-9]{5,8}([-*][A-Z0-9])?", re.IGNORECASE
)
# Forms that name a person, a card or a car; what a back office counts its jobs by
# has none of them: digits alone are no UID, and only a leading "+" makes a number
# one of a telephone.
_FORMS = (
    ("an EMAID", _EMAID),
    ("an address of mail", re.compile(r".*@.*", re.DOTALL)),
    ("a MAC or a UID", re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){3,9}")),
    ("a UID", re.compile(r"(?=.*[A-Fa-f])([0-9A-Fa-f]{8}|[0-9A-Fa-f]{14})")),
    ("a telephone number", re.compile(r"\+[0-9][0-9 ()/.-]{5,20}")),
)


def check_impersonal(what: str, text: str) -> None:
    """Refuse a text that would be kept as it is and has the form of personal data."""
    for form, pattern in _FORMS:
        if pattern.fullmatch(text):
            raise InvalidValue(
                f"{what} has the form of {form}, which is personal data: give the "
                "subject that the vault knows it by"
            )


class Reference(msgspec.Struct, frozen=True):
    """What a party calls a session; unique per party and kind.

    References stand in the log as they are, so none may be personal data: a token or
    EMAID belongs to a subject of the vault.
    """

    party: str
    kind: str
    text: str

    @property
    def key(self) -> str:
        """Return the key of the guard row."""
        return f"{self.party}/{self.kind}/{self.text}"

    def check(self) -> None:
        """Refuse what is no name, what is empty and what is personal data."""
        ids.name_of("party", self.party)
        ids.name_of("kind of reference", self.kind)
        if re.sub(r"[^a-z]", "", self.kind.lower()) in _PERSONAL:
            raise InvalidValue(
                f"kind of reference {self.kind!r} is personal data, which is never "
                "kept as text: give the subject that the vault knows it by"
            )
        if not 0 < len(self.text) <= 255:
            raise InvalidValue(
                f"reference of {len(self.text)} characters is not 1 to 255 characters"
            )
        check_impersonal(f"reference of kind {self.kind!r}", self.text)


class Joined(msgspec.Struct, frozen=True):
    """The session a plug or credential belongs to, and the events that open it."""

    state: Session
    opening: tuple[Event, ...] = ()


def resolve(system: System, session_id: str) -> Session:
    """Return a session by its id, or the one it was merged into."""
    state = load_session(system, session_id)
    while state.merged_into:
        state = load_session(system, state.merged_into)
    return state


def with_merged(system: System, session_id: str) -> list[str]:
    """Return a session's id and those of all that were merged into it."""
    found = [session_id]
    for each in found:
        found += load_session(system, each).merged_from
    return found


def find_by_reference(system: System, reference: Reference) -> Session | None:
    """Return the session of a reference, open or not; None when it is new."""
    owner = system.log.owner("reference", reference.key)
    return resolve(system, owner) if owner else None


def find_open(
    system: System,
    at: Instant,
    *,
    reference: Reference | None = None,
    evse_id: str = "",
    subject_id: str = "",
    station_id: str = "",
) -> Session | None:
    """Return the open session that a plug or credential joins, by the stated order."""
    if reference and (known := find_by_reference(system, reference)):
        joins = known.is_open and not (evse_id and known.evse_id not in ("", evse_id))
        if joins:
            return known
    owners: list[str] = []
    reserved: list[str] = []
    if evse_id:
        evse = load_evse(system, evse_id)
        reserved = _reserved(system, evse, at)
        owners = reserved + _waiting(system, evse_id, evse)
        station_id = evse.commissioned.station_id if evse.commissioned else ""
    if subject_id and station_id:
        place = f"{station_id}/{subject_id}/"
        owners += [claim.owner for claim in system.log.claims("subject-at", place)]
    for owner in owners:
        state = resolve(system, owner)
        expected = state.expected_subject_id
        if (
            state.is_open
            and (not evse_id or state.evse_id in ("", evse_id))
            and (
                not subject_id
                or expected in ("", subject_id)
                or (owner in reserved and is_of_group(system, expected, subject_id, at))
            )
        ):
            return state
    return None


def is_of_group(system: System, one: str, other: str, at: Instant) -> bool:
    """Whether two subjects are of one group: they may do for each other."""
    group_id = system.cso.group_of(one, at) if one and other else ""
    return bool(group_id) and group_id == system.cso.group_of(other, at)


def find_past(
    system: System,
    at: Instant,
    *,
    reference: Reference | None,
    evse_id: str,
    subject_id: str,
) -> Session | None:
    """Return the open session that a plug joins which nobody told of in its time.

    Not one that is plugged now, and of the same subject's only one that had not been
    idle for so long then that it would have closed.
    """
    known = find_by_reference(system, reference) if reference else None
    if known is not None and known.is_open and not known.evse_id:
        return known
    evse = load_evse(system, evse_id)
    owners = [(owner, True) for owner in _reserved(system, evse, at)]
    if subject_id and evse.commissioned:
        place = f"{evse.commissioned.station_id}/{subject_id}/"
        claims = system.log.claims("subject-at", place)
        owners += [(claim.owner, False) for claim in claims]
    for owner, is_reserved in owners:
        state = resolve(system, owner)
        is_near = is_reserved or 0 <= at - state.active_at <= CLOSE_AFTER
        is_free = state.is_open and not state.evse_id
        expected = state.expected_subject_id
        is_theirs = expected in ("", subject_id) or (
            is_reserved and is_of_group(system, expected, subject_id, at)
        )
        if is_free and is_near and is_theirs:
            return state
    return None


def _reserved(system: System, evse: Evse, at: Instant) -> list[str]:
    """Return who has a reservation for the EVSE, its station or class at ``at``."""
    data = evse.commissioned
    if data is None:
        return []
    owners = []
    for place in (
        f"evse/{data.evse_id}/",
        f"station/{data.station_id}/",
        f"class/{data.zone_id}/{data.current.value}/",
    ):
        owners += reserved_at(system, place, at)
    return owners


def reserved_at(system: System, place: str, at: Instant) -> list[str]:
    """Return who has a reservation for a place, as ``evse/<id>/``, at an instant."""
    owners = []
    for claim in system.log.claims("reservation", place):
        from_at, until_at, _ = claim.key[len(place) :].split("/")
        if int(from_at) <= at < int(until_at):
            owners.append(claim.owner)
    return owners


def _waiting(system: System, evse_id: str, evse: Evse) -> list[str]:
    """Return whose authorization waits at the EVSE: for its plug, or plugged for it."""
    owners = [system.log.owner("waiting", evse_id)]
    if evse.session_id and not resolve(system, evse.session_id).authorized:
        owners.append(evse.session_id)
    return [owner for owner in owners if owner]


def join_or_open(
    system: System,
    by: By,
    *,
    reference: Reference | None = None,
    evse_id: str = "",
    subject_id: str = "",
    station_id: str = "",
) -> Joined:
    """Return the session to add to, with the events that open it when it is new."""
    known = find_open(
        system,
        by.at,
        reference=reference,
        evse_id=evse_id,
        subject_id=subject_id,
        station_id=station_id,
    )
    return Joined(known) if known is not None else opened(system, by, subject_id)


def opened(system: System, by: By, subject_id: str) -> Joined:
    """Return a new session, with the event that opens it."""
    session_id = system.ids.new_id()
    event = s.SessionOpened(
        session_id=session_id, party=by.party_name, subject_id=subject_id
    )
    return Joined(Session(session_id=session_id), (event,))


def binding(
    system: System, session_id: str, reference: Reference | None
) -> tuple[Event, ...]:
    """Return the event that binds a reference nobody has yet to a session."""
    if reference is None or system.log.owner("reference", reference.key):
        return ()
    return (
        s.ReferenceBound(
            session_id=session_id,
            party=reference.party,
            kind=reference.kind,
            reference=reference.text,
        ),
    )


def check_place(system: System, event: s.ReservationMade) -> None:
    """Refuse a reservation for other than one EVSE, station or class that exists."""
    given = [x for x in (event.evse_id, event.station_id, event.evse_class) if x]
    if len(given) != 1:
        raise InvalidValue(
            f"reservation names {len(given)} of EVSE, station and class, not one"
        )
    if event.evse_id:
        evse = load_evse(system, event.evse_id)
        if not _is_asked(system, event, evse):
            evse.check_usable(event.evse_id)
    elif event.station_id:
        if system.log.owner("station", event.station_id) is None:
            raise Unknown(f"station {event.station_id!r} was never commissioned")
    else:
        _check_class(system, event.evse_class)


def _is_asked(system: System, event: s.ReservationMade, evse: Evse) -> bool:
    """Whether its station itself says if it keeps the place, and else why not."""
    if event.credential is None or evse.commissioned is None:
        return False
    stream = ids.station_stream(evse.commissioned.station_id)
    return fold(system, stream, Station(), evolve_station).registered is not None


def zone_of_place(system: System, event: s.ReservationMade) -> str:
    """Return the zone of the EVSE, station or class that is reserved."""
    if event.evse_id:
        data = load_evse(system, event.evse_id).commissioned
        return data.zone_id if data else ""
    if event.station_id:
        return system.log.owner("station", event.station_id) or ""
    return event.evse_class.rpartition("/")[0]


def _check_class(system: System, evse_class: str) -> None:
    zone_id, _, current = evse_class.rpartition("/")
    if current not in ("AC", "DC"):
        raise InvalidValue(f"class {evse_class!r} is not '<zone>/AC' or '<zone>/DC'")
    load_zone(system, zone_id)
