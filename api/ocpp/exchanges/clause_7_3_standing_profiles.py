"""7.3 Standing profiles: what an EVSE gives when no ETP holds, and at most.

They are installed when a station is accepted and whenever what they say changes, and
live in its flash: so they are not written for less. All defaults of a zone together
stay within its safe envelope; evseId 0 would mean each EVSE, so each gets its own.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from api.ocpp.calls import Answered, Call, NotAnswered, Refusal, Urgency
from api.ocpp.capabilities import EvseWiring
from api.ocpp.charging_profiles import Request, is_ours
from api.ocpp.desk import Desk, Pace
from api.ocpp.etp import default_request, maximum_request
from api.ocpp.exchange import ALL_VERSIONS, V2, Carrier, InformationExchange, Module
from api.ocpp.facts import record_fact
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer, Standing
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as v201
from api.ocpp.wire import Wire
from domain.errors import InvalidValue
from domain.loop.station_state import VOLTAGE_MARGIN
from domain.model import ids
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import SECOND
from domain.ports import Append, Batch, Recorded
from domain.use_cases.shared_path import load_zone

# Of a station that does not say what it can do the weakest is believed after this; one
# that reconnects may boot first.
WAITS: Final = 60 * SECOND
_REASON_LENGTH: Final = 200
# The schedules of standing profiles: no ETP has so low a number.
_SCHEDULE_ID: Final = 1
_ASKED: Final = 1


class _Installing(NamedTuple):
    """Standing profiles on their way, one after the other."""

    number: int
    installed: t.StationDefaultsInstalled
    requests: list[Request]


def accepted(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Install them when the station was accepted and what it can do is known."""
    if peer.told is not None:
        install(gateway, desk, peer)
    else:
        _look_later(gateway, desk, peer)


def connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Install them a while after a connection without a boot, if they are others."""
    _look_later(gateway, desk, peer)


def _look_later(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    look = partial(_look, gateway, station_id=peer.station_id, begun=peer.installing)
    gateway.at(desk.now + WAITS, look, Pace.LATER)


def _look(gateway: Gateway, desk: Desk, station_id: str, begun: int) -> None:
    peer = gateway.peers.by_id[station_id]
    if peer.installing == begun and _is_accepted(peer):
        _install_others(gateway, desk, peer)


def capabilities_told(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Install them again in the form that the station takes."""
    assert isinstance(row.event, t.StationCapabilities)
    peer = gateway.peers.by_id.get(row.event.station_id)
    if peer is not None and _is_accepted(peer):
        install(gateway, desk, peer)


def zone_changed(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Install those that the zone's limits make others; of members some may follow."""
    event = row.event
    assert isinstance(event, z.ZoneLimitsChanged | z.ZoneMembersChanged)
    if isinstance(event, z.ZoneLimitsChanged):
        _look_at_zone(gateway, desk, event.zone_id)
        return
    looks = gateway.peers.zone_looks
    looks[event.zone_id] = count = looks.get(event.zone_id, 0) + 1
    last = partial(_look_if_last, gateway, zone_id=event.zone_id, count=count)
    gateway.at(desk.now + WAITS, last)


def _look_if_last(gateway: Gateway, desk: Desk, zone_id: str, count: int) -> None:
    if gateway.peers.zone_looks.get(zone_id) == count:
        _look_at_zone(gateway, desk, zone_id)


def _look_at_zone(gateway: Gateway, desk: Desk, zone_id: str) -> None:
    for peer in gateway.peers.by_id.values():
        if peer.zone_id == zone_id and _is_accepted(peer):
            _install_others(gateway, desk, peer)
    _check_zone(gateway, desk, zone_id)


def _is_accepted(peer: Peer) -> bool:
    return peer.connection is not None and peer.standing is Standing.ACCEPTED


def _install_others(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    if peer.defaults is None or peer.defaults.default_w != default_w_of(desk, peer):
        install(gateway, desk, peer)


def default_w_of(desk: Desk, peer: Peer) -> int:
    """Return the default of each of a station's EVSEs [W].

    Its share of the zone's safe envelope; nothing where no EV charges with so little.
    """
    zone = load_zone(desk.system, peer.zone_id)
    assert zone.defined is not None  # load_zone refuses a zone that was never defined
    share_w = zone.defined.safe_upper_w // max(len(zone.evse_ids), 1)
    floor_w = max((evse.floor_w for evse in peer.evses.values()), default=0)
    return share_w if share_w >= floor_w else 0


def install(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Send the standing profiles of a station, one after the other."""
    if peer.told is not None and not peer.told.has_smart_charging:
        return  # it counts at its maximum
    default_w = default_w_of(desk, peer)
    maximum_w = sum(peer.evses[evse_id].max_w for evse_id in peer.evse_ids)
    known_w = None if peer.defaults is None else peer.defaults.maximum_w
    peer.installing += 1
    try:
        requests = [_default(peer, evse_id, default_w) for evse_id in peer.evse_ids]
        if maximum_w != known_w:
            requests.append(_maximum(peer, maximum_w))
    except InvalidValue as error:
        _refused(desk, peer, str(error))
        return
    installed = t.StationDefaultsInstalled(
        station_id=peer.station_id, default_w=default_w, maximum_w=known_w
    )
    if peer.defaults is not None and default_w > peer.defaults.default_w:
        # One EVSE after the other stores it: from now on some may give so much.
        record_fact(desk, peer, ids.station_stream(peer.station_id), installed)
    _go_on(gateway, desk, peer, _Installing(peer.installing, installed, requests))
    _find_foreign(gateway, desk, peer)


def _default(peer: Peer, evse_id: str, default_w: int) -> Request:
    most_w = peer.evses[evse_id].max_w
    return default_request(
        min(default_w, most_w), peer.wiring(evse_id), peer.capabilities, _SCHEDULE_ID
    )


def _maximum(peer: Peer, maximum_w: int) -> Request:
    """Return the station's maximum; in amperes it is that of the nominal voltage.

    Counted with the highest one it would shave what ETPs by the measured one allow.
    """
    if peer.capabilities.unit == "A":
        maximum_w = math.ceil(maximum_w * VOLTAGE_MARGIN)
    return maximum_request(maximum_w, station_wiring(peer), peer.capabilities, 1)


def station_wiring(peer: Peer) -> EvseWiring:
    """Return what the whole station is wired to, as that of its EVSEs."""
    first = peer.wiring(peer.evse_ids[0])
    return msgspec.structs.replace(first, number=0, floor_w=0)


def _go_on(gateway: Gateway, desk: Desk, peer: Peer, going: _Installing) -> None:
    if not going.requests:
        record_fact(desk, peer, ids.station_stream(peer.station_id), going.installed)
        peer.defaults = going.installed
        if going.installed.default_w > default_w_of(desk, peer):
            _check_zone(gateway, desk, peer.zone_id)  # the zone changed meanwhile
        return
    request = going.requests.pop(0)
    answered = partial(_answered, going=going, request=request)
    gateway.ask(desk, peer, Call("SetChargingProfile", request, answered))


def _answered(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    answered: Answered,
    *,
    going: _Installing,
    request: Request,
) -> None:
    """Go on with the next one; a maximum may be refused, a default may not."""
    if going.number != peer.installing:
        return
    if isinstance(answered, NotAnswered):
        again = partial(_again, gateway, station_id=peer.station_id, going=going)
        gateway.at(desk.now + WAITS, again)
        return
    is_stored = getattr(answered, "status", "") == "Accepted"
    is_maximum = _evse_number(request) == 0
    if is_maximum and is_stored:
        maximum_w = sum(peer.evses[evse_id].max_w for evse_id in peer.evse_ids)
        installed = msgspec.structs.replace(going.installed, maximum_w=maximum_w)
        going = going._replace(installed=installed)
    elif not is_stored and not is_maximum:
        _refused(desk, peer, _reason(answered))
        return
    _go_on(gateway, desk, peer, going)


def _again(gateway: Gateway, desk: Desk, station_id: str, going: _Installing) -> None:
    """Begin anew: the station did not answer; if it was away, it has by now."""
    peer = gateway.peers.by_id[station_id]
    if peer.installing == going.number and _is_accepted(peer):
        install(gateway, desk, peer)


def _evse_number(request: Request) -> int:
    number = getattr(request, "connector_id", None)
    return int(getattr(request, "evse_id", 0) if number is None else number)


def _reason(answered: Refusal | Wire) -> str:
    if isinstance(answered, Refusal):
        return f"{answered.code}: {answered.description}"
    info = getattr(answered, "status_info", UNSET)
    status = str(getattr(answered, "status", ""))
    return status if info is UNSET else f"{status}: {info.reason_code}"


def _refused(desk: Desk, peer: Peer, reason: str) -> None:
    event = t.StationDefaultsRefused(
        station_id=peer.station_id, reason=reason[:_REASON_LENGTH]
    )
    record_fact(desk, peer, ids.station_stream(peer.station_id), event)
    peer.defaults = None


def _find_foreign(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Ask for all profiles the station has; `clear_foreign` is told of those."""
    request: Wire
    match peer.version:
        case "2.0.1":
            request = v201.GetChargingProfilesRequest(
                request_id=_ASKED, charging_profile=d201.ChargingProfileCriterion()
            )
        case "2.1":
            request = v21.GetChargingProfilesRequest(
                request_id=_ASKED, charging_profile=d21.ChargingProfileCriterion()
            )
        case _:
            return
    call = Call("GetChargingProfiles", request, urgency=Urgency.REPORT)
    gateway.ask(desk, peer, call)


def clear_foreign(
    gateway: Gateway, desk: Desk, peer: Peer, profile_ids: Sequence[int]
) -> None:
    """Clear profiles of a CSO that are not ours: of one before us, or of nobody."""
    for number in profile_ids:
        if is_ours(number, len(peer.evse_ids)):
            continue
        kind = v201 if peer.version == "2.0.1" else v21
        request = kind.ClearChargingProfileRequest(charging_profile_id=number)
        slot = f"clear/{number}"
        gateway.ask(desk, peer, Call("ClearChargingProfile", request, slot=slot))


def _check_zone(gateway: Gateway, desk: Desk, zone_id: str) -> None:
    """Record that defaults of a zone add up to more than its safe envelope."""
    zone = load_zone(desk.system, zone_id)
    assert zone.defined is not None
    safe_w = zone.defined.safe_upper_w
    defaults_w = sum(
        min(peer.defaults.default_w, evse.max_w)
        for peer in gateway.peers.by_id.values()
        if peer.zone_id == zone_id and peer.defaults is not None
        for evse in peer.evses.values()
    )
    before = gateway.peers.unsafe_defaults.pop(zone_id, None)
    if defaults_w <= safe_w:
        return
    gateway.peers.unsafe_defaults[zone_id] = (defaults_w, safe_w)
    if before == (defaults_w, safe_w):
        return
    event = z.ZoneDefaultsUnsafe(
        zone_id=zone_id, defaults_w=defaults_w, safe_upper_w=safe_w
    )
    append = Append(ids.zone_stream(zone_id), (event,), desk.now)
    desk.system.log.append(Batch(actor="gateway", appends=(append,)))


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.3",
            "what an EVSE gives without an ETP, and a station at most",
            (
                Carrier(ALL_VERSIONS, "=", ("SetChargingProfile",), "out"),
                Carrier(
                    V2, "=", ("GetChargingProfiles", "ClearChargingProfile"), "out"
                ),
                Carrier(
                    ("1.6",),
                    "∅",
                    note="profiles of others are seen in the composite schedule only",
                ),
            ),
        ),
    ),
    followers={
        t.StationCapabilities: capabilities_told,
        z.ZoneLimitsChanged: zone_changed,
        z.ZoneMembersChanged: zone_changed,
    },
    on_connected=connected,
    on_accepted=accepted,
)
