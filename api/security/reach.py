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

# They are told of the sessions of their party, wherever these are.
_BY_PARTY_ONLY = frozenset({Role.PARKING_OPERATOR})


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
    if not _sees(system, caller, state):
        raise unknown("session", session_id)


def check_reference(system: System, caller: Principal, reference: Reference) -> None:
    """Answer a reference to a session out of reach as unknown."""
    if caller.reaches_all:
        return
    state = find_by_reference(system, reference)
    if state is not None and not _sees(system, caller, state):
        raise unknown("reference", reference.key)


def _sees(system: System, caller: Principal, state: Session) -> bool:
    if sees_session(caller, state.zone_id, state.station_id, state.parties):
        return True
    if state.zone_id:
        return False
    # Credentials were presented before any plug: who is there answers for them.
    for evse_id, _ in state.presented:
        data = load_evse(system, evse_id).commissioned
        if data and sees_session(caller, data.zone_id, data.station_id, frozenset()):
            return True
    return False


def scope_of(caller: Principal, party: str = "") -> Scope | None:
    """Return what lists of sessions show the caller; None for all there are.

    Asked for the sessions of a party that is not its own, it is shown none.
    """
    if caller.reaches_all:
        return None
    if party not in ("", caller.party):
        return Scope()
    if caller.roles <= _BY_PARTY_ONLY:
        return Scope(party=caller.party)
    return Scope(caller.zones, caller.stations, caller.party)


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
