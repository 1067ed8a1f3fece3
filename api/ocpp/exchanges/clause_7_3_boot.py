"""7.3 A station boots, is heard of, and is sent away: BootNotification, Heartbeat.

A boot in mid-transaction is normal: its transactions stay open. What a station is
served before it is accepted is `api.ocpp.admission`.
"""

from functools import partial
from typing import Final

from msgspec import UNSET

from api.ocpp.calls import Call
from api.ocpp.clock import forget_clock
from api.ocpp.codec import response_to
from api.ocpp.desk import Desk, Pace
from api.ocpp.exchange import ALL_VERSIONS, Carrier, InformationExchange, Module
from api.ocpp.facts import record_of_station
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer, Standing
from api.ocpp.v16 import messages as v16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as v201
from api.ocpp.wire import Wire
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import datetime_of
from domain.ports import Recorded

HEARTBEAT_S: Final = 300
# A station that is not accepted asks again after so long.
PENDING_S: Final = 30
REJECTED_S: Final = 3_600
INTERVAL_S: Final = {
    Standing.ACCEPTED: HEARTBEAT_S,
    Standing.PENDING: PENDING_S,
    Standing.REJECTED: REJECTED_S,
}


def boot_1_6(
    gateway: Gateway, desk: Desk, peer: Peer, request: v16.BootNotificationRequest
) -> v16.BootNotificationResponse:
    """Answer a boot of 1.6."""
    event = t.StationBooted(
        station_id=peer.station_id,
        status=peer.standing.value,
        vendor=request.charge_point_vendor,
        model=request.charge_point_model,
        firmware=request.firmware_version or "",
        serial_number=request.charge_point_serial_number or "",
    )
    _booted(gateway, desk, peer, event)
    return v16.BootNotificationResponse(
        status=peer.standing.value,
        current_time=datetime_of(desk.now),
        interval=INTERVAL_S[peer.standing],
    )


def boot_2_0_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v201.BootNotificationRequest
) -> v201.BootNotificationResponse:
    """Answer a boot of 2.0.1."""
    _booted(gateway, desk, peer, _event_2(peer, request))
    why = _why_not(peer)
    return v201.BootNotificationResponse(
        status=peer.standing.value,
        current_time=datetime_of(desk.now),
        interval=INTERVAL_S[peer.standing],
        status_info=d201.StatusInfo(reason_code=why) if why else UNSET,
    )


def boot_2_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v21.BootNotificationRequest
) -> v21.BootNotificationResponse:
    """Answer a boot of 2.1."""
    _booted(gateway, desk, peer, _event_2(peer, request))
    why = _why_not(peer)
    return v21.BootNotificationResponse(
        status=peer.standing.value,
        current_time=datetime_of(desk.now),
        interval=INTERVAL_S[peer.standing],
        status_info=d21.StatusInfo(reason_code=why) if why else UNSET,
    )


def _event_2(
    peer: Peer, request: v201.BootNotificationRequest | v21.BootNotificationRequest
) -> t.StationBooted:
    station = request.charging_station
    return t.StationBooted(
        station_id=peer.station_id,
        status=peer.standing.value,
        reason=request.reason,
        vendor=station.vendor_name,
        model=station.model,
        firmware=station.firmware_version or "",
        serial_number=station.serial_number or "",
    )


def _why_not(peer: Peer) -> str:
    if peer.standing is Standing.PENDING:
        return "NotCommissioned"
    return "" if peer.standing is Standing.ACCEPTED else "NotInService"


def _booted(gateway: Gateway, desk: Desk, peer: Peer, event: t.StationBooted) -> None:
    """Take in a boot; what follows an acceptance comes after our answer.

    Who waits asks again and again; that is no boot, and recorded once.
    """
    is_accepted = peer.standing is Standing.ACCEPTED
    if is_accepted or event != peer.booted:
        record_of_station(desk, peer, event)
    peer.booted = event
    forget_clock(peer)
    if is_accepted:
        gateway.desk.put(partial(gateway.accepted, peer=peer), Pace.LATER)


def heartbeat(gateway: Gateway, desk: Desk, peer: Peer, request: Wire) -> Wire:
    """Tell the time; that the station was heard of is known already."""
    return response_to(request, current_time=datetime_of(desk.now))


def boot_again(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Have a station that waited to be accepted boot again at once."""
    assert isinstance(row.event, z.StationCommissioned | t.StationUnblocked)
    peer = gateway.peers.by_id.get(row.event.station_id)
    if peer is None or peer.connection is None or peer.booted is None:
        return
    waited = peer.booted.status != Standing.ACCEPTED.value
    if waited and peer.standing is Standing.ACCEPTED:
        request = _TRIGGERS[peer.connection.version]
        gateway.ask(desk, peer, Call("TriggerMessage", request))


def credentials_changed(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End the connection of a station that would not be let in by it now."""
    event = row.event
    assert isinstance(event, t.StationCredentialChanged | t.StationPasswordWithdrawn)
    peer = gateway.peers.by_id.get(event.station_id)
    if peer is not None:
        gateway.end_unproven(desk, peer)


_TRIGGERS: Final[dict[str, Wire]] = {
    "1.6": v16.TriggerMessageRequest(requested_message="BootNotification"),
    "2.0.1": v201.TriggerMessageRequest(requested_message="BootNotification"),
    "2.1": v21.TriggerMessageRequest(requested_message="BootNotification"),
}

MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.3",
            "a station boots, and is accepted when it was commissioned",
            (
                Carrier(ALL_VERSIONS, "=", ("BootNotification",), "in"),
                Carrier(
                    ALL_VERSIONS,
                    "=",
                    ("TriggerMessage",),
                    "out",
                    "one that waited boots at once when it is commissioned",
                ),
            ),
        ),
        InformationExchange(
            "7.3",
            "a station is heard of",
            (Carrier(ALL_VERSIONS, "=", ("Heartbeat",), "in"),),
        ),
    ),
    handlers={
        ("1.6", "BootNotification"): boot_1_6,
        ("2.0.1", "BootNotification"): boot_2_0_1,
        ("2.1", "BootNotification"): boot_2_1,
        ("1.6", "Heartbeat"): heartbeat,
        ("2.0.1", "Heartbeat"): heartbeat,
        ("2.1", "Heartbeat"): heartbeat,
    },
    followers={
        z.StationCommissioned: boot_again,
        t.StationUnblocked: boot_again,
        t.StationCredentialChanged: credentials_changed,
        t.StationPasswordWithdrawn: credentials_changed,
    },
)
