"""7.5 Messages of a transaction that did not come: the station is asked for them.

A station may hold messages for days. So it is asked whether it does, again and again,
and what it does not hold is lost and recorded as such.
"""

from functools import partial
from typing import Final

from api.ocpp.calls import Answered, Call, Urgency
from api.ocpp.desk import Desk, Pace
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import messages as v201
from domain.model.values import MINUTE, SECOND
from domain.use_cases.clause_7_5_station_transactions import (
    CloseGap,
    close_gap,
    missing_messages,
)
from domain.use_cases.shared_path import By

# When a gap has been there for 5 minutes, and a little.
_LOOK_AFTER: Final = 5 * MINUTE + SECOND


def look_later(gateway: Gateway, peer: Peer) -> None:
    """Look into what is missing when it should have come."""
    peer.looks_until = gateway.desk.desk.now + _LOOK_AFTER
    if not peer.is_looked_into:
        peer.is_looked_into = True
        look = partial(_look, gateway, station_id=peer.station_id)
        gateway.at(peer.looks_until, look, Pace.LATER)


def _look(gateway: Gateway, desk: Desk, station_id: str) -> None:
    peer = gateway.peers.by_id[station_id]
    peer.is_looked_into = peer.looks_until > desk.now
    if peer.is_looked_into:  # something was found missing since
        look = partial(_look, gateway, station_id=station_id)
        gateway.at(peer.looks_until, look, Pace.LATER)
    missing = missing_messages(desk.system, peer.station_id, desk.now)
    if peer.connection is None or peer.version == "1.6":
        return
    for transaction_id in missing:
        _ask(gateway, desk, peer, transaction_id)


def _ask(gateway: Gateway, desk: Desk, peer: Peer, transaction_id: str) -> None:
    messages = v201 if peer.version == "2.0.1" else v21
    call = Call(
        "GetTransactionStatus",
        messages.GetTransactionStatusRequest(transaction_id=transaction_id),
        on_answer=partial(_answered, transaction_id=transaction_id),
        urgency=Urgency.REPORT,
        slot=f"gap/{transaction_id}",
    )
    gateway.ask(desk, peer, call)


def _answered(
    gateway: Gateway, desk: Desk, peer: Peer, answered: Answered, transaction_id: str
) -> None:
    match answered:
        case (
            v201.GetTransactionStatusResponse(messages_in_queue=False)
            | v21.GetTransactionStatusResponse(messages_in_queue=False)
        ):
            command = CloseGap(
                station_id=peer.station_id, transaction_id=transaction_id
            )
            close_gap(desk.system, command, By(actor=peer.station_id, at=desk.now))
        case _:
            look_later(gateway, peer)


def _connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    if peer.version != "1.6":
        look_later(gateway, peer)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.5",
            "facts that did not come",
            (
                Carrier(V2, "=", ("GetTransactionStatus",), "out"),
                Carrier(
                    ("1.6",),
                    "∅",
                    note="nothing is numbered: what did not come is not missed",
                ),
            ),
        ),
    ),
    on_connected=_connected,
)
