"""State of zones, stations and EVSEs: folds of their streams."""

import msgspec

from domain.errors import Refused
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import Event, Instant


class Evse(msgspec.Struct, frozen=True):
    """What decisions about an EVSE need to know.

    ``last_session_id`` is or was its last occupant, plugged at ``plugged_at``; empty
    too when an EV came since that no session could take. It may be ``suspended`` by its
    operator, have a ``safety_issue`` that nobody has assessed as safe again (7.10), or
    both; ``issue_number`` counts the issues reported so far.
    """

    commissioned: z.EvseCommissioned | None = None
    session_id: str = ""
    last_session_id: str = ""
    plugged_at: Instant = 0
    suspended: str = ""
    safety_issue: str = ""
    issue_number: int = 0
    decision_version: int = 0

    @property
    def blocked(self) -> str:
        """Return why nobody may use it; empty when it may be used."""
        return self.safety_issue or self.suspended

    def check_usable(self, evse_id: str) -> z.EvseCommissioned:
        """Return the EVSE's data; refuse one nobody commissioned or that is blocked."""
        if self.commissioned is None:
            raise Refused(f"EVSE {evse_id} was never commissioned")
        if self.blocked:
            raise Refused(f"EVSE {evse_id} is blocked: {self.blocked}")
        return self.commissioned


def evolve_evse(state: Evse, event: Event, at: Instant) -> Evse:
    """Return the EVSE after an event."""
    match event:
        case z.EvseCommissioned():
            return msgspec.structs.replace(state, commissioned=event)
        case z.EvseLimitsChanged() if state.commissioned:
            changed = msgspec.structs.replace(
                state.commissioned,
                max_w=event.max_w,
                floor_w=event.floor_w,
                min_w=event.min_w,
            )
            return msgspec.structs.replace(state, commissioned=changed)
        case z.EvseOccupied():
            return msgspec.structs.replace(
                state,
                session_id=event.session_id,
                last_session_id=event.session_id,
                # When its session was merged, the EV is the same.
                plugged_at=state.plugged_at if state.session_id else at,
            )
        case z.EvseFactKept(what="plugged"):
            return msgspec.structs.replace(state, last_session_id="")
        case z.EvseVacated():
            return msgspec.structs.replace(state, session_id="")
        case z.EvseBlocked(is_safety=True):
            number = state.issue_number + 1
            return msgspec.structs.replace(
                state, safety_issue=event.reason, issue_number=number
            )
        case z.EvseBlocked():
            return msgspec.structs.replace(state, suspended=event.reason)
        case z.EvseAssessed(is_safe=True):
            return msgspec.structs.replace(state, safety_issue="")
        case z.EvseUnblocked():
            return msgspec.structs.replace(state, suspended="", safety_issue="")
        case _:
            return state


class Station(msgspec.Struct, frozen=True):
    """What decisions about a station need to know.

    A station is commissioned when it has EVSEs in a zone and registered when it may
    connect: one without the other, in either order. Retired is for good.
    ``out_of_use`` are EVSEs by their operator's word; empty: the whole station.
    """

    commissioned: z.StationCommissioned | None = None
    registered: t.StationRegistered | None = None
    blocked: str = ""
    retired: str = ""
    out_of_use: frozenset[str] = frozenset()
    decision_version: int = 0


def evolve_station(state: Station, event: Event, at: Instant) -> Station:
    """Return the station after an event."""
    match event:
        case z.StationCommissioned():
            return msgspec.structs.replace(state, commissioned=event)
        case t.StationRegistered():
            return msgspec.structs.replace(state, registered=event)
        case t.StationCredentialChanged() if state.registered:
            return msgspec.structs.replace(
                state,
                registered=msgspec.structs.replace(
                    state.registered,
                    security_profile=event.security_profile,
                    password_digest=event.password_digest,
                    certificate_name=event.certificate_name,
                ),
            )
        case t.StationDeviationsChanged() if state.registered:
            changed = msgspec.structs.replace(
                state.registered, deviations=event.deviations
            )
            return msgspec.structs.replace(state, registered=changed)
        case t.StationBlocked():
            return msgspec.structs.replace(state, blocked=event.reason)
        case t.StationUnblocked():
            return msgspec.structs.replace(state, blocked="")
        case t.StationRetired():
            return msgspec.structs.replace(state, retired=event.reason)
        case t.StationUseChanged():
            others = state.out_of_use - {event.evse_id}
            now = others if event.is_operative else others | {event.evse_id}
            return msgspec.structs.replace(state, out_of_use=now)
        case _:
            return state


class Zone(msgspec.Struct, frozen=True):
    """What decisions about a zone need to know."""

    defined: z.ZoneDefined | None = None
    evse_ids: tuple[str, ...] = ()
    taken_per_stated_permille: int = 1000
    may_stop: bool = False
    may_reset: bool = False
    decision_version: int = 0


def evolve_zone(state: Zone, event: Event, at: Instant) -> Zone:
    """Return the zone after an event."""
    match event:
        case z.ZoneDefined():
            return msgspec.structs.replace(state, defined=event)
        case z.ZoneMembersChanged():
            return msgspec.structs.replace(state, evse_ids=event.evse_ids)
        case z.ZoneLimitsChanged() if state.defined:
            changed = msgspec.structs.replace(
                state.defined, limit_w=event.limit_w, safe_upper_w=event.safe_upper_w
            )
            return msgspec.structs.replace(state, defined=changed)
        case z.ZoneEnforcementChanged():
            return msgspec.structs.replace(
                state, may_stop=event.may_stop, may_reset=event.may_reset
            )
        case z.ZoneLearned():
            return msgspec.structs.replace(
                state, taken_per_stated_permille=event.taken_per_stated_permille
            )
        case _:
            return state
