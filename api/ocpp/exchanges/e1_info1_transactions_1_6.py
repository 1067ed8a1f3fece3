"""E1.Info1 An EV charges and stops: StartTransaction and StopTransaction (1.6).

The number of a transaction is ours, the position of its first row in the ledger, and a
repeated start gets the number that it had. Whether the EV is plugged, pauses or is
unplugged is told by `StatusNotification`.
"""

from datetime import datetime
from typing import Final

from msgspec import UNSET

from api.ocpp import tokens
from api.ocpp.clock import measure_clock, our_time
from api.ocpp.desk import Desk
from api.ocpp.exchange import Carrier, InformationExchange, Module
from api.ocpp.exchanges.e1_info1_readings import (
    hand_over,
    keep_aside,
    points_of,
    read,
)
from api.ocpp.gateway import Gateway
from api.ocpp.open_transactions import began, ended, reference_of, runs
from api.ocpp.peers import Peer
from api.ocpp.v16 import messages as v16
from api.security.notes import Kind
from domain.model.metering import MeterPoint
from domain.model.station_events import StationTransactionReported
from domain.model.values import Instant, instant_of
from domain.use_cases.clause_7_5_station_transactions import (
    ReportTransaction,
    report_transaction,
)
from domain.use_cases.e1_smart_charging import ENERGY_LIMIT_WH
from domain.use_cases.shared_path import By


def start_transaction_1_6(
    gateway: Gateway, desk: Desk, peer: Peer, request: v16.StartTransactionRequest
) -> v16.StartTransactionResponse:
    """Take a start of 1.6; a repeated one gets the number that it had."""
    at = _heard_at(desk, peer, request.timestamp)
    number, vault = request.connector_id, desk.system.vault
    evse_id = peer.evse_id(number)
    if evse_id is None:
        peer.unreadable["UNKNOWN_EVSE"] += 1
        evse_id = ""
    subject_id = tokens.subject_of(vault, request.id_tag)
    told = (
        f"{number}/{subject_id}/{request.meter_start}/{instant_of(request.timestamp)}"
    )
    command = ReportTransaction(
        station_id=peer.station_id,
        kind="started",
        evse_id=evse_id,
        content_key=told,
        points=_meter(at, request.meter_start),
        subject_id=subject_id,
        credential=tokens.sealed(vault, subject_id, evse_id, request.id_tag),
        reference=reference_of(desk, peer, UNSET, request.reservation_id),
    )
    by = By(actor=peer.station_id, at=at)
    reported = report_transaction(desk.system, command, by)
    if reported.is_new or reported.number in peer.open_transactions:
        known = peer.open_transactions.get(reported.number)
        if known is None:
            known = began(peer, reported.number, number, at)
            for point in command.points:
                known.meter.power(at, 1_000 * (point.import_wh or 0), None)
        known.session_id, known.is_metered = reported.session_id, reported.is_metered
        if reported.is_news:
            runs(gateway, peer, known)
    judged = tokens.judged_of(peer, reported.authorization, reported.session_id)
    judged = judged._replace(group_id=desk.system.cso.group_of(subject_id, at))
    return v16.StartTransactionResponse(
        id_tag_info=tokens.id_tag_info(judged), transaction_id=reported.number
    )


def stop_transaction_1_6(
    gateway: Gateway, desk: Desk, peer: Peer, request: v16.StopTransactionRequest
) -> v16.StopTransactionResponse:
    """Take an end of 1.6; that of a transaction nobody knows is taken all the same."""
    at = _heard_at(desk, peer, request.timestamp)
    known = peer.open_transactions.get(request.transaction_id)
    evse_id = "" if known is None else known.evse_id
    values = request.transaction_data
    found = [] if values is UNSET else read(desk, peer, values, evse_id, known)
    reason = "Local" if request.reason is UNSET else request.reason
    command = ReportTransaction(
        station_id=peer.station_id,
        kind="ended",
        evse_id=evse_id,
        transaction_id=str(request.transaction_id),
        is_unplugged=reason == "EVDisconnected",
        points=(*points_of(found), *_meter(at, request.meter_stop)),
        reason=reason,
        subject_id=_shown(desk, request),
    )
    by = By(actor=peer.station_id, at=at)
    reported = report_transaction(desk.system, command, by)
    if reported.is_new and not reported.session_id:
        _of_nobody(desk, peer, request.transaction_id)
    ended(peer, reported.number)
    if evse_id:
        hand_over(gateway, desk, peer, found, evse_id, None)
    keep_aside(desk, peer, "StopTransaction", request, 0, found)
    return v16.StopTransactionResponse()


def _shown(desk: Desk, request: v16.StopTransactionRequest) -> str:
    """Return whose token ends it; by that its start may be known."""
    if request.id_tag is UNSET:
        return ""
    return tokens.subject_of(desk.system.vault, request.id_tag)


def _of_nobody(desk: Desk, peer: Peer, number: int) -> None:
    """Count the end of a transaction that is not known, and note another station's."""
    peer.unreadable["UNKNOWN_TRANSACTION"] += 1
    log = desk.system.log
    rows = log.read_at([number]) if 0 < number <= log.last_position() else []
    for told in (row.event for row in rows):
        if not isinstance(told, StationTransactionReported) or not peer.connection:
            continue
        if told.station_id != peer.station_id:
            desk.note(
                Kind.FAULTY_MESSAGE,
                peer.connection.origin,
                actor=peer.station_id,
                detail=f"it ends the transaction {number} of another station",
            )


def _heard_at(desk: Desk, peer: Peer, timestamp: datetime) -> Instant:
    told_at = instant_of(timestamp)
    measure_clock(desk, peer, told_at)
    return min(our_time(peer, told_at), desk.now)


def _meter(at: Instant, register_wh: int) -> tuple[MeterPoint, ...]:
    is_register = 0 <= register_wh <= ENERGY_LIMIT_WH
    return (MeterPoint(at, register_wh),) if is_register else ()


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "an EV comes, charges, pauses, leaves",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("StartTransaction", "StopTransaction"),
                    "in",
                    "no state, which `StatusNotification` tells; not numbered",
                ),
            ),
        ),
    ),
    handlers={
        ("1.6", "StartTransaction"): start_transaction_1_6,
        ("1.6", "StopTransaction"): stop_transaction_1_6,
    },
)
