"""What a caller reaches: zones, stations, EVSEs and sessions (7.9.4.5).

What is out of reach is answered exactly as what does not exist, so that nobody learns
by walking through ids what others have.
"""

from api.errors import unknown
from api.security.principal import Principal, Role
from domain.errors import Unknown
from domain.model.session import Session
from domain.ports import System
from domain.use_cases.clause_6_2_joining import Reference, find_by_reference, resolve
from domain.use_cases.shared_path import load_evse
from projections.scope import Scope
from projections.session_queries import ALL_SESSIONS, SessionFilter

# They are told of the sessions of their party, wherever these are.
_BY_PARTY_ONLY = frozenset({Role.PARKING_OPERATOR})

# How the actors of keys without a party are called: such a key claims no session.
_KEY = "key-"


def check_zone(caller: Principal, zone_id: str) -> None:
    """Answer a zone out of reach as unknown."""
    if not caller.reaches_zone(zone_id):
        raise unknown("zone", zone_id)


def check_station(system: System, caller: Principal, station_id: str) -> None:
    """Answer a station out of reach as unknown."""
    if caller.reaches_all or station_id in caller.stations:
        return
    zone_id = system.log.owner("station", station_id)
    if zone_id is None or not caller.reaches_zone(zone_id):
        raise unknown("station", station_id)


def check_evse(system: System, caller: Principal, evse_id: str) -> None:
    """Answer an EVSE out of reach as unknown."""
    if caller.reaches_all:
        return
    try:
        data = load_evse(system, evse_id).commissioned
    except Unknown:
        data = None
    if data is None or not caller.reaches_station(data.station_id, data.zone_id):
        raise unknown("evse", evse_id)


def check_session(system: System, caller: Principal, session_id: str) -> None:
    """Answer a session out of reach as unknown."""
    if caller.reaches_all:
        return
    try:
        state = resolve(system, session_id)
    except Unknown:
        raise unknown("session", session_id) from None
    if not _sees(caller, state):
        raise unknown("session", session_id)


def check_commanded(system: System, caller: Principal, session_id: str) -> None:
    """Answer a session that is not the caller's to command as unknown.

    A CSO reads what happens at its places, but commands only what it takes part in or
    what no party has claimed yet.
    """
    check_session(system, caller, session_id)
    if Role.CSO not in caller.roles or caller.is_staff:
        return
    claimants = _claimants(resolve(system, session_id))
    if claimants and (caller.party or caller.actor) not in claimants:
        raise unknown("session", session_id)


def _claimants(state: Session) -> frozenset[str]:
    """Return who opened, named or answered for a session.

    The station where it is only reports what happens there, and claims nothing.
    """
    places = {state.station_id, state.expected_station_id}
    named = (state.parties | state.accepted_by) - places
    return frozenset(name for name in named if name and not name.startswith(_KEY))


def check_reference(system: System, caller: Principal, reference: Reference) -> None:
    """Answer a reference to a session out of reach as unknown."""
    if caller.reaches_all:
        return
    state = find_by_reference(system, reference)
    if state is not None and not _sees(caller, state):
        raise unknown("reference", reference.key)


def _sees(caller: Principal, state: Session) -> bool:
    # Before any plug: who has the place where the session is expected sees it.
    zone_id = state.zone_id or state.expected_zone_id
    station_id = state.station_id or state.expected_station_id
    return sees_session(caller, zone_id, station_id, state.parties)


def scope_of(caller: Principal, wanted: SessionFilter = ALL_SESSIONS) -> Scope | None:
    """Return what lists of sessions show the caller; None for all there are.

    Asked for the sessions of a party that is not its own, it is shown none; nor by
    place one who is not told of places: what a filter finds tells as well.
    """
    if caller.reaches_all:
        return None
    if wanted.party not in ("", caller.party):
        return Scope()
    if not caller.roles <= _BY_PARTY_ONLY:
        return Scope(caller.zones, caller.stations, caller.party)
    if wanted.zone_id or wanted.station_id or wanted.evse_id:
        return Scope()
    return Scope(party=caller.party)


def places_of(caller: Principal) -> Scope | None:
    """Return the places that lists show the caller; None for all there are."""
    if caller.reaches_all:
        return None
    return Scope(caller.zones, caller.stations)


def sees_session(
    caller: Principal, zone_id: str, station_id: str, parties: frozenset[str]
) -> bool:
    """Whether a session is within reach: by its place, or by the caller's party."""
    if caller.reaches_all or (caller.party and caller.party in parties):
        return True
    if caller.roles <= _BY_PARTY_ONLY or not zone_id:
        return False
    return caller.reaches_station(station_id, zone_id)
