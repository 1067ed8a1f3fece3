"""Who may do what: the one table of least privilege (IEC 63110-1 7.9.4.5).

A role may do what its rows say and nothing else; what of it a caller reaches (zones,
stations, sessions of its party) is `principal` and `reach`. Every route names its
permission; `tests/api/security/test_permissions.py` tries each cell.
"""

import enum
from collections.abc import Mapping

from api.security.principal import Principal, Role

_A, _O, _N, _I = Role.ADMIN, Role.OPERATOR, Role.ANALYST, Role.INTEGRATOR
_C, _P, _R, _S = Role.CSO, Role.PARKING_OPERATOR, Role.RESOURCE_MANAGER, Role.STATION
_U = Role.AUDITOR


class Permission(enum.StrEnum):
    """What can be done; ``noun.verb``."""

    ZONES_READ = "zones.read"
    ENVELOPES_READ = "envelopes.read"
    EVSES_READ = "evses.read"
    STATIONS_READ = "stations.read"
    INCENTIVES_READ = "incentives.read"
    ACTIVITIES_READ = "activities.read"
    SESSIONS_READ = "sessions.read"
    PLANS_READ = "plans.read"
    FIGURES_READ = "figures.read"
    EVENTS_READ = "events.read"
    READINGS_READ = "readings.read"
    EXPORTS_READ = "exports.read"
    SDR_READ = "sdr.read"
    CONTRACTS_READ = "contracts.read"
    OPERATION_READ = "operation.read"
    KEYS_READ = "keys.read"
    SECURITY_READ = "security.read"
    API_READ = "api.read"
    ZONES_COMMISSION = "zones.commission"
    STATIONS_KEEP = "stations.keep"
    STATIONS_OPERATE = "stations.operate"
    REMOTE_START = "remote.start"
    CONSTRAINTS_SEND = "constraints.send"
    PRE_SET = "pre.set"
    INCENTIVES_SEND = "incentives.send"
    EVSE_REPORT = "evse.report"
    EVSE_SUSPEND = "evse.suspend"
    SAFETY_REPORT = "safety.report"
    SAFETY_ASSESS = "safety.assess"
    RESERVATION_MAKE = "reservation.make"
    PARKING_REPORT = "parking.report"
    OTHER_REPORT = "other.report"
    AUTHORIZATION_ASK = "authorization.ask"
    AUTHORIZATION_ANSWER = "authorization.answer"
    NEEDS_STATE = "needs.state"
    V2G_CONSENT = "v2g.consent"
    REFERENCE_BIND = "reference.bind"
    SESSION_CLOSE = "session.close"
    SESSION_CORRECT = "session.correct"
    SDR_RECEIVE = "sdr.receive"
    CONTRACTS_KEEP = "contracts.keep"
    KEYS_KEEP = "keys.keep"


_STAFF = frozenset({_A, _O, _N})
_ALL_ROLES = frozenset(Role)

TABLE: Mapping[Permission, frozenset[Role]] = {
    Permission.ZONES_READ: _STAFF | {_I, _C, _R},
    Permission.ENVELOPES_READ: _STAFF | {_I, _R},
    Permission.EVSES_READ: _STAFF | {_C, _S},
    Permission.STATIONS_READ: _STAFF,
    Permission.INCENTIVES_READ: _STAFF | {_C, _R},
    Permission.ACTIVITIES_READ: _STAFF | {_C},
    Permission.SESSIONS_READ: _STAFF | {_C, _P},
    Permission.PLANS_READ: _STAFF | {_I},
    Permission.FIGURES_READ: _STAFF | {_I},
    Permission.EVENTS_READ: _STAFF,
    Permission.READINGS_READ: _STAFF | {_R},
    Permission.EXPORTS_READ: frozenset({_A, _N}),
    Permission.SDR_READ: frozenset({_A, _O, _C}),
    Permission.CONTRACTS_READ: frozenset({_A, _O}),
    Permission.OPERATION_READ: frozenset({_A, _O, _I}),
    Permission.KEYS_READ: frozenset({_A, _U}),
    Permission.SECURITY_READ: frozenset({_U}),
    Permission.API_READ: _ALL_ROLES,
    Permission.ZONES_COMMISSION: frozenset({_A, _O}),
    Permission.STATIONS_KEEP: frozenset({_A, _O}),
    Permission.STATIONS_OPERATE: frozenset({_A, _O}),
    Permission.REMOTE_START: frozenset({_O, _C}),
    Permission.CONSTRAINTS_SEND: frozenset({_A, _O}),
    Permission.PRE_SET: frozenset({_R}),
    Permission.INCENTIVES_SEND: frozenset({_C, _R}),
    Permission.EVSE_REPORT: frozenset({_S}),
    Permission.EVSE_SUSPEND: frozenset({_A, _O}),
    Permission.SAFETY_REPORT: frozenset({_A, _O, _S}),
    Permission.SAFETY_ASSESS: frozenset({_A, _O}),
    Permission.RESERVATION_MAKE: frozenset({_C}),
    Permission.PARKING_REPORT: frozenset({_P}),
    Permission.OTHER_REPORT: frozenset({_C, _P}),
    Permission.AUTHORIZATION_ASK: frozenset({_S, _C}),
    Permission.AUTHORIZATION_ANSWER: frozenset({_C}),
    Permission.NEEDS_STATE: frozenset({_O, _C}),
    Permission.V2G_CONSENT: frozenset({_O, _C}),
    Permission.REFERENCE_BIND: frozenset({_O, _C}),
    Permission.SESSION_CLOSE: frozenset({_A, _O, _C}),
    Permission.SESSION_CORRECT: frozenset({_A, _C}),
    Permission.SDR_RECEIVE: frozenset({_C}),
    Permission.CONTRACTS_KEEP: frozenset({_A, _O}),
    Permission.KEYS_KEEP: frozenset({_A}),
}


def may(caller: Principal, permission: Permission) -> bool:
    """Whether one of the caller's roles has a permission."""
    return not caller.roles.isdisjoint(TABLE[permission])
