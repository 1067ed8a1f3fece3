"""7.3 A station boots and is heard of: BootNotification and Heartbeat."""

from typing import Final

from api.ocpp.desk import Desk
from api.ocpp.exchange import ALL_VERSIONS, Carrier, InformationExchange, Module
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer, Standing
from api.ocpp.v16 import messages as v16
from domain.model import ids
from domain.model import station_events as t
from domain.model.values import datetime_of
from domain.ports import Append, Batch

HEARTBEAT_S: Final = 300
# A station that is not accepted asks again after so long.
PENDING_S: Final = 30
REJECTED_S: Final = 3_600


def _interval_s(standing: Standing) -> int:
    return {
        Standing.ACCEPTED: HEARTBEAT_S,
        Standing.PENDING: PENDING_S,
        Standing.REJECTED: REJECTED_S,
    }[standing]


def _booted(gateway: Gateway, desk: Desk, peer: Peer, event: t.StationBooted) -> None:
    stream = ids.connectivity_stream(peer.station_id, desk.now)
    append = Append(stream, (event,), desk.now)
    desk.system.log.append(Batch(actor=peer.station_id, appends=(append,)))
    peer.booted = event
    if peer.standing is Standing.ACCEPTED:
        gateway.accepted(desk, peer)


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
        interval=_interval_s(peer.standing),
    )


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.3",
            "a station boots",
            (Carrier(ALL_VERSIONS, "=", ("BootNotification",), "in"),),
        ),
    ),
    handlers={("1.6", "BootNotification"): boot_1_6},
)
