"""E1.Info1 Limits of others: an EMS, the grid's operator, the station's own app.

What a station says others limit it to is recorded for its EVSE, or for the whole
station, and the loop plans within it.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import UnsetType

from api.ocpp.composite_schedules import compare_later
from api.ocpp.desk import Desk
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module, taking
from api.ocpp.exchanges.clause_7_3_standing_profiles import clear_foreign
from api.ocpp.facts import record_of_station
from api.ocpp.gateway import Gateway
from api.ocpp.kept import keep
from api.ocpp.others_schedules import Schedule, lowest, power_profile, wires_of
from api.ocpp.peers import OpenTransaction, Peer
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import messages as v201
from domain.model import station_events as t
from domain.model.profile import PowerProfile
from domain.model.values import MINUTE

# Some stations call our own profiles a limit of the CSO: planning within what we said
# before would never let anything rise again.
_OURS: Final = "CSO"
# So long an ETP of ours explains that the rate of charging changed.
_EXPLAINED_FOR: Final = 2 * MINUTE
_BY_OTHERS: Final = "ChargingStationExternalConstraints"


def _limit(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v201.NotifyChargingLimitRequest | v21.NotifyChargingLimitRequest,
) -> None:
    limit = request.charging_limit
    evse_id = _evse_id(peer, request.evse_id)
    if evse_id is None or limit.charging_limit_source == _OURS:
        keep(desk, peer, "NotifyChargingLimit", request)
        return
    schedules = request.charging_schedule
    profile = None
    if not isinstance(schedules, UnsetType):
        profile = _lowest(desk, peer, evse_id, schedules)
    event = t.LimitReported(
        station_id=peer.station_id,
        evse_id=evse_id,
        source=limit.charging_limit_source,
        profile=profile,
        is_grid_critical=limit.is_grid_critical is True,
    )
    record_of_station(desk, peer, event)


def _evse_id(peer: Peer, number: int | UnsetType) -> str | None:
    """Return whose limit it is: empty for the station's, None for nobody's."""
    if isinstance(number, UnsetType) or number == 0:
        return ""
    found = peer.evse_id(number)
    if found is None:
        peer.unreadable["UNKNOWN_EVSE"] += 1
    return found


def _lowest(
    desk: Desk, peer: Peer, evse_id: str, schedules: Sequence[Schedule]
) -> PowerProfile:
    wires = wires_of(peer, evse_id)
    profiles = [power_profile(peer, each, wires, desk.now) for each in schedules]
    return lowest(profiles, desk.now)


def _cleared(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v201.ClearedChargingLimitRequest | v21.ClearedChargingLimitRequest,
) -> None:
    """Record the end of a limit; one of the station also ends those of its EVSEs."""
    source = request.charging_limit_source
    evse_id = _evse_id(peer, request.evse_id)
    if evse_id is None or source == _OURS:
        return
    for each in (evse_id,) if evse_id else ("", *peer.evse_ids):
        event = t.LimitReported(
            station_id=peer.station_id, evse_id=each, source=source, is_over=True
        )
        record_of_station(desk, peer, event)


def _profiles(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v201.ReportChargingProfilesRequest | v21.ReportChargingProfilesRequest,
) -> None:
    """Take profiles that others set for limits; those of a CSO are ours, or go."""
    if request.charging_limit_source == _OURS:
        clear_foreign(gateway, desk, peer, [p.id for p in request.charging_profile])
    evse_id = _evse_id(peer, request.evse_id)
    schedules = [
        schedule
        for profile in request.charging_profile
        if profile.charging_profile_purpose == _BY_OTHERS
        or request.charging_limit_source != _OURS
        for schedule in profile.charging_schedule
    ]
    if evse_id is None or not schedules:
        return
    event = t.LimitReported(
        station_id=peer.station_id,
        evse_id=evse_id,
        source=request.charging_limit_source,
        profile=_lowest(desk, peer, evse_id, schedules),
    )
    record_of_station(desk, peer, event)


def rate_changed(
    gateway: Gateway, desk: Desk, peer: Peer, transaction: OpenTransaction
) -> None:
    """Find out why the rate of charging changed, where nothing of ours explains it."""
    told = peer.etps.get(transaction.evse_number)
    if told is None:
        return
    since = max(told.etp.profile.start_at, transaction.rate_asked_at)
    if desk.now - since >= _EXPLAINED_FOR:
        transaction.rate_asked_at = desk.now
        compare_later(gateway, desk, peer, transaction.evse_number)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "a limit from elsewhere",
            (
                Carrier(
                    V2,
                    "=",
                    (
                        "NotifyChargingLimit",
                        "ClearedChargingLimit",
                        "ReportChargingProfiles",
                    ),
                    "in",
                ),
                Carrier(
                    V2,
                    "~",
                    ("TransactionEvent", "GetCompositeSchedule"),
                    "in",
                    "`ChargingRateChanged` has no value: what the station allows has",
                ),
                Carrier(
                    ("1.6",),
                    "∅",
                    note="seen only in `GetCompositeSchedule` and in measured power",
                ),
            ),
        ),
    ),
    handlers={
        ("2.0.1", "NotifyChargingLimit"): taking(_limit),
        ("2.1", "NotifyChargingLimit"): taking(_limit),
        ("2.0.1", "ClearedChargingLimit"): taking(_cleared),
        ("2.1", "ClearedChargingLimit"): taking(_cleared),
        ("2.0.1", "ReportChargingProfiles"): taking(_profiles),
        ("2.1", "ReportChargingProfiles"): taking(_profiles),
    },
)
