"""E1 Info1 A station that came back is asked for the status that it does not tell."""

from functools import partial
from typing import Final

from api.ocpp.calls import Call, Urgency
from api.ocpp.desk import Desk, Pace
from api.ocpp.exchange import ALL_VERSIONS, Carrier, InformationExchange, Module
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer
from api.ocpp.v16 import messages as v16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as v201
from api.ocpp.violations import Version
from api.ocpp.wire import Wire
from domain.model.values import MINUTE, Instant
from domain.use_cases.shared_path import load_evse

# So long a station that came back may take to tell its status by itself.
_TOLD_WITHIN: Final = MINUTE


def _connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Ask in a while for what a station that came back does not tell by itself."""
    known = dict(peer.statuses)
    link = peer.connection
    ask = partial(_ask, gateway=gateway, peer=peer, link=link, known=known)
    gateway.at(desk.now + _TOLD_WITHIN, ask, Pace.LATER)


def _ask(
    desk: Desk,
    gateway: Gateway,
    peer: Peer,
    link: object,
    known: dict[tuple[int, int], tuple[str, str, Instant]],
) -> None:
    """Ask for the status of EVSEs whose EV may have left unseen.

    Where a transaction is open its messages tell.
    """
    if peer.connection is None or peer.connection is not link:
        return
    for number, evse_id in enumerate(peer.evse_ids, 1):
        is_told = any(
            place[0] == number and last != known.get(place)
            for place, last in peer.statuses.items()
        )
        is_occupied = bool(load_evse(desk.system, evse_id).session_id)
        if is_occupied and not is_told and number not in peer.transactions:
            request = _trigger(peer.connection.version, number)
            call = Call("TriggerMessage", request, urgency=Urgency.REPORT)
            gateway.ask(desk, peer, call._replace(slot=f"status-{number}"))


def _trigger(version: Version, number: int) -> Wire:
    match version:
        case "1.6":
            return v16.TriggerMessageRequest(
                requested_message="StatusNotification", connector_id=number
            )
        case "2.0.1":
            return v201.TriggerMessageRequest(
                requested_message="StatusNotification",
                evse=d201.EVSE(id=number, connector_id=1),
            )
        case "2.1":
            return v21.TriggerMessageRequest(
                requested_message="StatusNotification",
                evse=d21.EVSE(id=number, connector_id=1),
            )


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "status of a connector: plugged, free, out of order",
            (
                Carrier(
                    ALL_VERSIONS,
                    "=",
                    ("TriggerMessage",),
                    "out",
                    "of one that came back and does not tell by itself",
                ),
            ),
        ),
    ),
    on_connected=_connected,
)
