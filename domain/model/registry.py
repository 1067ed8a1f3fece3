"""Explicit names and schema versions of all events, and how old states are read.

A name never changes and never depends on a module path. A change of a state raises the
schema version and adds an upcast from the version before: msgpack map to msgpack map.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from domain.errors import UnknownSchema
from domain.model import access_events as a
from domain.model import activity_events as y
from domain.model import contract_events as c
from domain.model import incentive_events as n
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import Event

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


class EventType(NamedTuple):
    """Name and schema version under which a class is stored."""

    name: str
    schema: int
    cls: type[Event]
    upcasts: Mapping[int, Upcast] = {}


def _without_new_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what came with schema 2: its defaults say the same as schema 1."""
    return fields


_TYPES = (
    EventType("log.opened", 1, p.LogOpened),
    EventType("subject.erased", 1, p.SubjectErased),
    EventType("samples.sealed", 1, p.SamplesSealed),
    EventType("readings.taken", 1, p.ReadingsTaken),
    EventType("measures.taken", 1, p.MeasuresTaken),
    EventType("zone.defined", 2, z.ZoneDefined, {1: _without_new_fields}),
    EventType("zone.members", 1, z.ZoneMembersChanged),
    EventType("zone.limits", 1, z.ZoneLimitsChanged),
    EventType("zone.enforcement", 1, z.ZoneEnforcementChanged),
    EventType("zone.defaults_unsafe", 1, z.ZoneDefaultsUnsafe),
    EventType("zone.learned", 1, z.ZoneLearned),
    EventType("station.commissioned", 1, z.StationCommissioned),
    EventType("evse.commissioned", 1, z.EvseCommissioned),
    EventType("evse.limits_changed", 1, z.EvseLimitsChanged),
    EventType("evse.reserved", 1, z.EvseReserved),
    EventType("evse.occupied", 1, z.EvseOccupied),
    EventType("evse.vacated", 1, z.EvseVacated),
    EventType("zone.constraints_sent", 1, z.ConstraintsSent),
    EventType("evse.blocked", 2, z.EvseBlocked, {1: _without_new_fields}),
    EventType("evse.assessed", 1, z.EvseAssessed),
    EventType("evse.unblocked", 1, z.EvseUnblocked),
    EventType("evse.fact_kept", 1, z.EvseFactKept),
    EventType("session.opened", 1, s.SessionOpened),
    EventType("session.reference_bound", 1, s.ReferenceBound),
    EventType("session.evse_bound", 1, s.EvseBound),
    EventType("session.evse_released", 1, s.EvseReleased),
    EventType("session.merged_into", 1, s.MergedInto),
    EventType("session.merged_from", 2, s.MergedFrom, {1: _without_new_fields}),
    EventType("session.closed", 1, s.SessionClosed),
    EventType(
        "authorization.requested",
        2,
        s.AuthorizationRequested,
        {1: _without_new_fields},
    ),
    EventType("authorization.accepted", 1, s.AuthorizationAccepted),
    EventType("authorization.refused", 1, s.AuthorizationRefused),
    EventType("authorization.ended", 1, s.AuthorizationEnded),
    EventType(
        "reservation.made",
        3,
        s.ReservationMade,
        {1: _without_new_fields, 2: _without_new_fields},
    ),
    EventType("reservation.changed", 1, s.ReservationChanged),
    EventType("reservation.answered", 1, s.ReservationAnswered),
    EventType("reservation.matched", 1, s.ReservationMatched),
    EventType("reservation.ended", 1, s.ReservationEnded),
    EventType("parking.started", 1, s.ParkingStarted),
    EventType("parking.ended", 1, s.ParkingEnded),
    EventType("other.started", 1, s.OtherStarted),
    EventType("other.ended", 1, s.OtherEnded),
    EventType("needs.stated", 2, s.NeedsStated, {1: _without_new_fields}),
    EventType("v2g.consented", 1, s.V2gConsented),
    EventType("v2g.withdrawn", 1, s.V2gWithdrawn),
    EventType("safety.reported", 1, s.SafetyReported),
    EventType("sdr.collected", 1, s.SdrCollected),
    EventType("sdr.received", 1, s.SdrReceived),
    EventType("transfer.started", 1, s.TransferStarted),
    EventType("transfer.paused", 1, s.TransferPaused),
    EventType("transfer.resumed", 1, s.TransferResumed),
    EventType("transfer.ended", 1, s.TransferEnded),
    EventType("transfer.mode_changed", 1, s.TransferModeChanged),
    EventType("transfer.plan_changed", 1, s.TransferPlanChanged),
    EventType("transfer.ev_schedule", 1, s.EvScheduleReported),
    EventType("transfer.observed", 1, s.TransferObserved),
    EventType("transfer.interval_metered", 1, s.TransferIntervalMetered),
    EventType("transfer.settled", 1, s.TransferSettled),
    EventType("transaction.corrected", 1, s.TransactionCorrected),
    EventType("fact.kept", 1, s.FactKept),
    EventType("pre.received", 1, p.PreReceived),
    EventType("pre.revoked", 1, p.PreRevoked),
    EventType("pre.fallback_began", 1, p.PreFallbackBegan),
    EventType("plan.made", 2, p.PlanMade, {1: _without_new_fields}),
    EventType("plan.superseded", 1, p.PlanSuperseded),
    EventType("etp.sent", 1, p.EtpSent),
    EventType("etp.accepted", 1, p.EtpAccepted),
    EventType("etp.refused", 1, p.EtpRefused),
    EventType("etp.timed_out", 1, p.EtpTimedOut),
    EventType("etp.confirmed", 1, p.EtpConfirmed),
    EventType("key.issued", 1, a.KeyIssued),
    EventType("key.revoked", 1, a.KeyRevoked),
    EventType("command.audited", 1, a.CommandAudited),
    EventType("security.noted", 1, a.SecurityNoted),
    EventType("security.counted", 1, a.SecurityCounted),
    EventType("contract.registered", 2, c.ContractRegistered, {1: _without_new_fields}),
    EventType("contract.ended", 1, c.ContractEnded),
    EventType("station.registered", 1, t.StationRegistered),
    EventType("station.credential_changed", 1, t.StationCredentialChanged),
    EventType("station.password_offered", 1, t.StationPasswordOffered),
    EventType("station.password_withdrawn", 1, t.StationPasswordWithdrawn),
    EventType("station.reservation_dropped", 1, t.StationReservationDropped),
    EventType("station.deviations_changed", 1, t.StationDeviationsChanged),
    EventType("station.blocked", 1, t.StationBlocked),
    EventType("station.unblocked", 1, t.StationUnblocked),
    EventType("station.retired", 1, t.StationRetired),
    EventType("station.capabilities", 1, t.StationCapabilities),
    EventType("station.evses_told", 1, t.StationEvsesTold),
    EventType("station.use_changed", 1, t.StationUseChanged),
    EventType("station.defaults_installed", 1, t.StationDefaultsInstalled),
    EventType("station.defaults_refused", 1, t.StationDefaultsRefused),
    EventType("station.connected", 1, t.StationConnected),
    EventType("station.disconnected", 1, t.StationDisconnected),
    EventType("station.booted", 1, t.StationBooted),
    EventType("station.status", 1, t.StationStatusReported),
    EventType("station.alert", 1, t.StationAlertReported),
    EventType("station.availability_changed", 1, t.StationAvailabilityChanged),
    EventType("station.messages_counted", 1, t.StationMessagesCounted),
    EventType("station.clock", 1, t.StationClockMeasured),
    EventType("station.message_kept", 1, t.StationMessageKept),
    EventType("station.deviation_tolerated", 1, t.StationDeviationTolerated),
    EventType("limit.reported", 1, t.LimitReported),
    EventType(
        "station_transaction.reported",
        2,
        t.StationTransactionReported,
        {1: _without_new_fields},
    ),
    EventType("station_transaction.bound", 1, t.StationTransactionBound),
    EventType("station_transaction.gap", 1, t.StationTransactionGap),
    EventType("etp.superseded", 1, t.EtpSuperseded),
    EventType("etp.not_followed", 1, t.EtpNotFollowed),
    EventType("etp.followed_again", 1, t.EtpFollowedAgain),
    EventType("etp.settle_learned", 1, t.SettleLearned),
    EventType("etp.schedule_compared", 1, t.ScheduleCompared),
    EventType("incentive.received", 1, n.IncentiveReceived),
    EventType("incentive.withdrawn", 1, n.IncentiveWithdrawn),
    EventType("incentive.told", 1, n.IncentiveTold),
    EventType("incentive.began", 1, n.IncentiveBegan),
    EventType("incentive.ended", 1, n.IncentiveEnded),
    EventType("incentive.answered", 1, n.IncentiveAnswered),
    EventType("activity.asked", 1, y.ActivityAsked),
    EventType("activity.progressed", 1, y.ActivityProgressed),
    EventType("activity.ended", 1, y.ActivityEnded),
    EventType("activity.timed_out", 1, y.ActivityTimedOut),
)

BY_CLASS: Mapping[type[Event], EventType] = {t.cls: t for t in _TYPES}
BY_NAME: Mapping[str, EventType] = {t.name: t for t in _TYPES}

_encode = msgspec.msgpack.Encoder().encode
_DECODE = {t.name: msgspec.msgpack.Decoder(t.cls).decode for t in _TYPES}


def encode(event: Event) -> bytes:
    """Return the state bytes of an event."""
    return _encode(event)


def decode(name: str, schema: int, state: bytes) -> Event:
    """Return the event of a stored state, upcast to the present schema.

    Raises
    ------
    UnknownSchema
        for a name or schema version this release does not know.
    """
    known = BY_NAME.get(name)
    if known is None:
        raise UnknownSchema(f"event type {name!r} is not one this release knows")
    if schema == known.schema:
        return _DECODE[name](state)
    return _decode_upcast(known, schema, state)


def _decode_upcast(known: EventType, schema: int, state: bytes) -> Event:
    fields: dict[str, Any] = msgspec.msgpack.decode(state, type=dict[str, Any])
    for version in range(schema, known.schema):
        upcast = known.upcasts.get(version)
        if upcast is None:
            break
        fields = upcast(fields)
    else:
        if schema < known.schema:
            return msgspec.convert(fields, known.cls)
    raise UnknownSchema(
        f"event type {known.name!r} has schema version {schema}; this release reads "
        f"{known.schema} and what it can upcast"
    )
