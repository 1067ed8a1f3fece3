"""E5.Info2 A mandatory ETP that an EVSE does not follow is enforced, rung by rung.

Nothing opens a relay by name. So the limit of 0 is sent again, then the station's
maximum is lowered, then, where its zone allows that, the transaction is stopped, the
EVSE reset and kept from use. Each rung has its time; measured power ends the ladder, or
the EV's leaving. Until then the EVSE counts at what it was seen to draw.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgspec

from api.ocpp.calls import Call, Urgency
from api.ocpp.capabilities import Conditions
from api.ocpp.desk import Desk
from api.ocpp.etp import EtpOrder, etp_request, maximum_request
from api.ocpp.exchange import ALL_VERSIONS, Carrier, InformationExchange, Module
from api.ocpp.exchanges.clause_7_3_standing_profiles import install, station_wiring
from api.ocpp.exchanges.e1_info2_etp import tell
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer
from domain.errors import InvalidValue, Refused
from domain.model import station_events as t
from domain.model.activity_events import ActivityAsked, ActivityKind, Outcome
from domain.model.profile import PowerProfile
from domain.model.site import Zone
from domain.model.site_events import EvseVacated
from domain.model.values import MINUTE, SECOND, Instant
from domain.ports import Recorded
from domain.use_cases.clause_7_3_activities import (
    AskActivity,
    EndActivity,
    ProgressActivity,
    ask_activity,
    end_activity,
    load_activity,
    open_activities,
    progress_activity,
)
from domain.use_cases.clause_7_10_safety import SuspendEvse, suspend_evse
from domain.use_cases.shared_path import By, load_zone

_ACTOR: Final = "gateway"
# Schedules of the ladder: no ETP has so low a number.
_SCHEDULE_ID: Final = 2
REASON: Final = "it did not follow a mandatory ETP"


class _Rung(NamedTuple):
    """A step of the ladder, and how long its effect is awaited."""

    name: str
    climb: Callable[[Gateway, Desk, Peer, str], None]
    awaited: Instant
    is_allowed: Callable[[Zone], bool]


def not_followed(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Begin where an ETP that is mandatory is not followed."""
    event = row.event
    assert isinstance(event, t.EtpNotFollowed)
    peer = gateway.peers.of_evse(event.evse_id)
    if peer is None or _open(desk, peer, event.evse_id) is not None:
        return
    told = peer.etps.get(peer.evse_number(event.evse_id))
    if told is not None and told.etp.mandatory:
        command = AskActivity(
            kind=ActivityKind.ENFORCE,
            station_id=peer.station_id,
            evse_id=event.evse_id,
        )
        ask_activity(desk.system, command, _by(desk))


def asked(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Climb the first rung."""
    assert isinstance(row.event, ActivityAsked)
    if row.event.kind == ActivityKind.ENFORCE:
        _climb(gateway, desk, row.event, after="")


def connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Go on with what was begun: the next rung, where it is time."""
    for activity in open_activities(desk.system, peer.station_id):
        if activity.kind == ActivityKind.ENFORCE:
            last_step = load_activity(desk.system, activity.activity_id).last_step
            _climb_later(gateway, desk, activity, last_step, MINUTE)


def followed(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End the ladder: the EVSE draws no more than it may."""
    assert isinstance(row.event, t.EtpFollowedAgain)
    _end(gateway, desk, row.event.evse_id, "it follows")


def vacated(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End the ladder: the EV has left."""
    assert isinstance(row.event, EvseVacated)
    _end(gateway, desk, row.event.evse_id, "the EV has left")


def _end(gateway: Gateway, desk: Desk, evse_id: str, detail: str) -> None:
    peer = gateway.peers.of_evse(evse_id)
    activity = None if peer is None else _open(desk, peer, evse_id)
    if peer is None or activity is None:
        return
    last_step = load_activity(desk.system, activity.activity_id).last_step
    command = EndActivity(
        activity_id=activity.activity_id, outcome=Outcome.DONE, detail=detail
    )
    end_activity(desk.system, command, _by(desk))
    if last_step != _RUNGS[0].name and peer.defaults is not None:
        # The maximum is another one now than was installed.
        peer.defaults = msgspec.structs.replace(peer.defaults, maximum_w=None)
        install(gateway, desk, peer)
    tell(gateway, desk, peer, peer.evse_number(evse_id))


def _open(desk: Desk, peer: Peer, evse_id: str) -> ActivityAsked | None:
    for activity in open_activities(desk.system, peer.station_id):
        if activity.kind == ActivityKind.ENFORCE and activity.evse_id == evse_id:
            return activity
    return None


def _climb_later(
    gateway: Gateway, desk: Desk, activity: ActivityAsked, after: str, wait: Instant
) -> None:
    climb = partial(_climb, gateway, activity=activity, after=after)
    gateway.at(desk.now + wait, climb)


def _climb(gateway: Gateway, desk: Desk, activity: ActivityAsked, after: str) -> None:
    """Climb the next rung that the zone allows; after the last one operators see it."""
    state = load_activity(desk.system, activity.activity_id)
    peer = gateway.peers.by_id[activity.station_id]
    if state.is_over or state.last_step != after or peer.connection is None:
        return
    zone = load_zone(desk.system, peer.zone_id)
    names = [rung.name for rung in _RUNGS]
    done = names.index(state.last_step) + 1 if state.last_step in names else 0
    rung = next((r for r in _RUNGS[done:] if r.is_allowed(zone)), None)
    if rung is None:
        return
    detail = ""
    try:
        rung.climb(gateway, desk, peer, activity.evse_id)
    except (InvalidValue, Refused) as error:
        detail = str(error)
    command = ProgressActivity(
        activity_id=activity.activity_id, step=rung.name, detail=detail
    )
    progress_activity(desk.system, command, _by(desk))
    awaited = SECOND if detail else rung.awaited
    _climb_later(gateway, desk, activity, rung.name, awaited)


def _limit(gateway: Gateway, desk: Desk, peer: Peer, evse_id: str) -> None:
    """Send the limit of 0 again."""
    number = peer.evse_number(evse_id)
    transaction = peer.transactions.get(number)
    if transaction is None:
        raise InvalidValue("the station has no transaction at the EVSE")
    order = EtpOrder(
        profile=PowerProfile(desk.now - desk.now % SECOND, ((0, 0),)),
        safe_w=0,
        safe_from_at=desk.now,
        transaction_id=transaction.transaction_id,
        schedule_id=_SCHEDULE_ID,
    )
    conditions = Conditions(sent_at=desk.now, renew_at=desk.now)
    request = etp_request(order, peer.wiring(evse_id), conditions, peer.capabilities)
    _ask(gateway, desk, peer, Call("SetChargingProfile", request))


def _lower_maximum(gateway: Gateway, desk: Desk, peer: Peer, evse_id: str) -> None:
    """Leave the station no more than its other EVSEs are to have."""
    others_w = sum(
        _may_take_w(desk, peer, other) for other in peer.evse_ids if other != evse_id
    )
    request = maximum_request(
        others_w, station_wiring(peer), peer.capabilities, _SCHEDULE_ID
    )
    _ask(gateway, desk, peer, Call("SetChargingProfile", request))


def _may_take_w(desk: Desk, peer: Peer, evse_id: str) -> int:
    told = peer.etps.get(peer.evse_number(evse_id))
    if told is not None:
        return told.etp.profile.power_w(desk.now)
    return 0 if peer.defaults is None else peer.defaults.default_w


def _stop(gateway: Gateway, desk: Desk, peer: Peer, evse_id: str) -> None:
    _activity(desk, peer, ActivityKind.REMOTE_STOP, evse_id)


def _reset(gateway: Gateway, desk: Desk, peer: Peer, evse_id: str) -> None:
    of_evse = "" if peer.version == "1.6" else evse_id
    _activity(desk, peer, ActivityKind.RESET, of_evse)


def _keep_from_use(gateway: Gateway, desk: Desk, peer: Peer, evse_id: str) -> None:
    """Suspend the EVSE, so that nothing starts again before somebody looked."""
    command = SuspendEvse(evse_id=evse_id, reason=REASON)
    suspend_evse(desk.system, command, _by(desk))


def _activity(desk: Desk, peer: Peer, kind: ActivityKind, evse_id: str) -> None:
    command = AskActivity(kind=kind, station_id=peer.station_id, evse_id=evse_id)
    ask_activity(desk.system, command, _by(desk))


def _ask(gateway: Gateway, desk: Desk, peer: Peer, call: Call) -> None:
    gateway.ask(desk, peer, call._replace(urgency=Urgency.DECREASE))


def _by(desk: Desk) -> By:
    return By(actor=_ACTOR, at=desk.now)


_RUNGS: Final = (
    _Rung("limit 0", _limit, 30 * SECOND, lambda zone: True),
    _Rung("maximum lowered", _lower_maximum, 30 * SECOND, lambda zone: True),
    _Rung("stop asked", _stop, MINUTE, lambda zone: zone.may_stop),
    _Rung("reset asked", _reset, MINUTE, lambda zone: zone.may_reset),
    _Rung("kept from use", _keep_from_use, MINUTE, lambda zone: zone.may_stop),
)

MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E5.Info2",
            "a mandatory ETP is enforced",
            (
                Carrier(
                    ALL_VERSIONS,
                    "~",
                    ("SetChargingProfile",),
                    "out",
                    "by limit 0 and a lower maximum, then by stop and reset; measured "
                    "power ends it",
                ),
            ),
        ),
    ),
    followers={
        t.EtpNotFollowed: not_followed,
        t.EtpFollowedAgain: followed,
        EvseVacated: vacated,
        ActivityAsked: asked,
    },
    on_connected=connected,
)
