"""A decrease or a resume that a station took: its readings show what comes of it."""

from functools import partial
from itertools import pairwise
from typing import Final

from api.ocpp.calls import Call, Urgency
from api.ocpp.desk import Desk
from api.ocpp.exchanges.clause_7_3_capabilities import EVERY_S, report_every
from api.ocpp.gateway import Gateway
from api.ocpp.peers import EtpOnWire, Peer
from api.ocpp.v16 import messages as v16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as v201
from api.ocpp.wire import Wire
from domain.loop.station_state import SETTLE
from domain.model.values import MINUTE, SECOND

# How often, and for how long, a station reports after a decrease.
FAST_EVERY_S: Final = 10
FAST_FOR: Final = MINUTE


def watch_decrease(gateway: Gateway, desk: Desk, peer: Peer, number: int) -> None:
    """Have the station report more often for a while, and ask once for a reading."""
    _report_fast(gateway, desk, peer)
    ask_reading_later(gateway, desk, peer, number)


def ask_reading_later(gateway: Gateway, desk: Desk, peer: Peer, number: int) -> None:
    """Ask once for a reading, when the EV has had time to follow."""
    evse_id = peer.evse_ids[number - 1]
    ask = partial(_ask_reading, gateway, station_id=peer.station_id, number=number)
    gateway.at(desk.now + SETTLE[peer.evses[evse_id].current], ask)


def ask_at_resume(gateway: Gateway, desk: Desk, peer: Peer, told: EtpOnWire) -> None:
    """Ask for a reading after the ETP's next step from 0: some resume without limit."""
    profile = told.etp.profile
    rises = (
        profile.start_at + offset_s * SECOND
        for (_, before_w), (offset_s, power_w) in pairwise(profile.changes)
        if power_w > before_w == 0
    )
    at = next((at for at in rises if at > desk.now), None)
    if at is not None:
        resumed = partial(_resumed, gateway, station_id=peer.station_id, told=told)
        told.call_off = gateway.at(at, resumed)


def _resumed(gateway: Gateway, desk: Desk, station_id: str, told: EtpOnWire) -> None:
    peer = gateway.peers.by_id[station_id]
    number = peer.evse_number(told.etp.evse_id)
    if peer.etps.get(number) is told:
        ask_reading_later(gateway, desk, peer, number)
        ask_at_resume(gateway, desk, peer, told)


def _report_fast(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Have the station report more often while a decrease is open."""
    peer.reports_fast_until = desk.now + FAST_FOR
    report_every(gateway, desk, peer, FAST_EVERY_S)
    slow_down = partial(_slow_down, gateway, station_id=peer.station_id)
    gateway.at(peer.reports_fast_until, slow_down)


def _slow_down(gateway: Gateway, desk: Desk, station_id: str) -> None:
    peer = gateway.peers.by_id[station_id]
    if peer.reports_fast_until <= desk.now:
        report_every(gateway, desk, peer, EVERY_S)


def _ask_reading(gateway: Gateway, desk: Desk, station_id: str, number: int) -> None:
    """Ask once for a reading: somebody may wait to see the decrease followed."""
    peer = gateway.peers.by_id[station_id]
    if peer.version is None or number not in peer.transactions:
        return
    request: Wire
    match peer.version:
        case "1.6":
            request = v16.TriggerMessageRequest(
                requested_message="MeterValues", connector_id=number
            )
        case "2.0.1":
            request = v201.TriggerMessageRequest(
                requested_message="MeterValues", evse=d201.EVSE(id=number)
            )
        case "2.1":
            request = v21.TriggerMessageRequest(
                requested_message="MeterValues", evse=d21.EVSE(id=number)
            )
    slot = f"reading/{number}"
    call = Call("TriggerMessage", request, urgency=Urgency.REPORT, slot=slot)
    gateway.ask(desk, peer, call)
