"""E1.Info1 An EV comes, charges, pauses, leaves: TransactionEvent (2.x).

A station's transaction is a source of facts (7.5). Its start, its end and what changes
in between are recorded; a message that brings readings alone goes to the samples.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET

from api.ocpp import tokens
from api.ocpp.calls import Call
from api.ocpp.clock import measure_clock, our_time
from api.ocpp.desk import Desk
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module
from api.ocpp.exchanges.clause_7_5_gaps import look_later
from api.ocpp.exchanges.e1_info1_limits import rate_changed
from api.ocpp.exchanges.e1_info1_readings import (
    NEWS_FOR,
    hand_over,
    keep_aside,
    points_of,
    read,
    use_phases,
)
from api.ocpp.gateway import Gateway
from api.ocpp.meter_values import Metered
from api.ocpp.open_transactions import (
    began,
    ended,
    is_contiguous,
    recall,
    recall_anew,
    reference_of,
    rests,
    runs,
    seen,
)
from api.ocpp.peers import OpenTransaction, Peer
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import messages as v201
from domain.model.values import Instant, Sealed, instant_of
from domain.use_cases.clause_7_5_station_transactions import (
    CableOut,
    Reported,
    ReportTransaction,
    cable_out,
    report_transaction,
)
from domain.use_cases.shared_path import By

Event = v201.TransactionEventRequest | v21.TransactionEventRequest

_KINDS: Final = {"Started": "started", "Updated": "updated", "Ended": "ended"}
_STATES: Final = {
    "EVConnected": "connected",
    "Charging": "charging",
    "SuspendedEV": "suspended-ev",
    "SuspendedEVSE": "suspended-evse",
    "Idle": "idle",
}
# What triggers a message that has nothing to tell but readings.
_READINGS: Final = frozenset(
    {
        "MeterValuePeriodic",
        "MeterValueClock",
        "RunningCost",
        "SignedDataReceived",
        "Trigger",
    }
)
_LEFT: Final = frozenset({"EVCommunicationLost", "EVDeparted"})
_MOST_PHASES: Final = 3
# Ranges of numbers that are kept before they are told.
_RANGES: Final = 32


def transaction_event_2_0_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v201.TransactionEventRequest
) -> v201.TransactionEventResponse:
    """Take a message of 2.0.1 about a transaction."""
    judged = _take(gateway, desk, peer, request)
    info = UNSET if judged is None else tokens.id_token_info_2_0_1(judged)
    return v201.TransactionEventResponse(id_token_info=info)


def transaction_event_2_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v21.TransactionEventRequest
) -> v21.TransactionEventResponse:
    """Take a message of 2.1 about a transaction."""
    judged = _take(gateway, desk, peer, request)
    info = UNSET if judged is None else tokens.id_token_info_2_1(judged)
    return v21.TransactionEventResponse(id_token_info=info)


def _take(
    gateway: Gateway, desk: Desk, peer: Peer, request: Event
) -> tokens.Judged | None:
    """Take in a message; return what is answered for its token, if it has one."""
    told_at = instant_of(request.timestamp)
    measure_clock(desk, peer, told_at, is_offline=request.offline is True)
    at = min(our_time(peer, told_at), desk.now)
    known = peer.open_transactions.get(request.transaction_info.transaction_id)
    at = _in_order(known, request, at)
    number = _evse_number(peer, request, known)
    evse_id = peer.evse_id(number) or ""
    values = request.meter_value
    found = [] if values is UNSET else read(desk, peer, values, evse_id, known)
    judged = None
    if known is not None and not is_contiguous(known, request.seq_no):
        look_later(gateway, peer)
    if known is not None and _is_plain(desk, peer, request, at, evse_id, known, found):
        seen(known, request.seq_no)
        live: OpenTransaction | None = known
    else:
        reported = _report(desk, peer, request, at, evse_id, known, found)
        judged = _judged(desk, peer, request, evse_id, at, reported)
        told = _told(gateway, peer, request, at, number, known, found, reported)
        live = told if reported.is_news else None
        _stop_refused(gateway, peer, request, reported)
    if live is not None:
        _phases(gateway, peer, request, live, found)
        if request.trigger_reason == "ChargingRateChanged":
            rate_changed(gateway, desk, peer, live)
    if found:
        if evse_id:
            hand_over(gateway, desk, peer, found, evse_id, live)
        keep_aside(desk, peer, "TransactionEvent", request, number, found)
    return judged


def _in_order(known: OpenTransaction | None, request: Event, at: Instant) -> Instant:
    """Return the instant of a message, not before the one that it comes after.

    How far the clock is off may have become known better in between.
    """
    last = None if known is None else known.last_seq_no
    if known is None or last is None or request.offline is True:
        return at
    return max(at, known.reported_at) if request.seq_no > last else at


def _evse_number(peer: Peer, request: Event, known: OpenTransaction | None) -> int:
    """Return the EVSE; a message may leave it to the first one of its transaction."""
    if request.evse is not UNSET:
        number = request.evse.id
    elif known is not None:
        return known.evse_number
    else:
        number = 1 if len(peer.evse_ids) == 1 else 0
    if peer.evse_id(number) is None:
        peer.unreadable["UNKNOWN_EVSE"] += 1
    return number


def _connector(request: Event) -> int:
    """Return the connector of the EVSE; 0 where the message names none."""
    return 0 if request.evse is UNSET else request.evse.connector_id or 0


def _is_plain(
    desk: Desk,
    peer: Peer,
    request: Event,
    at: Instant,
    evse_id: str,
    known: OpenTransaction,
    found: Sequence[Metered],
) -> bool:
    """Whether a message is news and holds nothing but readings."""
    state = request.transaction_info.charging_state
    trigger = request.trigger_reason
    return (
        request.event_type == "Updated"
        and evse_id == known.evse_id
        and _connector(request) in (0, known.connector)
        and peer.transactions.get(known.evse_number) is known
        and (trigger in _READINGS or trigger == known.trigger)
        and (state is UNSET or _STATES[state] == known.state)
        and request.id_token is UNSET
        and request.offline is not True
        and at >= desk.now - NEWS_FOR
        and (known.is_metered or not points_of(found))
        and not _is_reset(known, found)
        and len(known.unreported) < _RANGES
    )


def _report(
    desk: Desk,
    peer: Peer,
    request: Event,
    at: Instant,
    evse_id: str,
    known: OpenTransaction | None,
    found: Sequence[Metered],
) -> Reported:
    info = request.transaction_info
    subject_id, credential = _shown(desk, request, evse_id)
    state, reason = info.charging_state, info.stopped_reason
    command = ReportTransaction(
        station_id=peer.station_id,
        kind=_KINDS[request.event_type],
        evse_id=evse_id,
        connector=_connector(request),
        transaction_id=info.transaction_id,
        seq_no=request.seq_no,
        seen=() if known is None else tuple(known.unreported),
        trigger=request.trigger_reason,
        state="" if state is UNSET else _STATES[state],
        is_offline=request.offline is True,
        is_unplugged=_is_unplugged(request, known),
        points=points_of(found),
        last_wh=_last_wh(request, known, found),
        reason="" if reason is UNSET else reason,
        subject_id=subject_id,
        credential=credential,
        reference=reference_of(
            desk, peer, info.remote_start_id, request.reservation_id
        ),
    )
    by = By(actor=peer.station_id, at=at)
    reported = report_transaction(desk.system, command, by)
    if command.is_unplugged and reported.is_news and command.kind == "updated":
        # The transaction goes on without its EV.
        cable_out(desk.system, CableOut(evse_id=evse_id), by)
        return msgspec.structs.replace(reported, is_news=False)
    return reported


def _last_wh(
    request: Event, known: OpenTransaction | None, found: Sequence[Metered]
) -> int | None:
    """Return the last register read of a transaction that ends now or was reset."""
    if known is None or known.meter.register_milli is None or request.offline is True:
        return None
    if request.event_type != "Ended" and not _is_reset(known, found):
        return None
    return known.meter.register_milli // 1_000


def _is_reset(known: OpenTransaction, found: Sequence[Metered]) -> bool:
    """Whether a register stands lower than it did."""
    last = known.meter.register_milli
    return last is not None and any(
        one.import_milli is not None and one.import_milli < last for one in found
    )


def _shown(desk: Desk, request: Event, evse_id: str) -> tuple[str, Sealed | None]:
    """Return whose token a message brings, and the token, sealed."""
    token, vault = request.id_token, desk.system.vault
    if token is UNSET:
        return "", None
    subject_id = tokens.subject_of(vault, token.id_token, token.type)
    if not subject_id:
        return "", None
    return subject_id, tokens.sealed(vault, subject_id, evse_id, token.id_token)


def _is_unplugged(request: Event, known: OpenTransaction | None) -> bool:
    """Whether with this message the cable is out."""
    info = request.transaction_info
    if request.event_type == "Started":
        return False
    if info.stopped_reason == "EVDisconnected":
        return True
    if request.trigger_reason in _LEFT:
        return info.charging_state in (UNSET, "Idle")
    was = "" if known is None else known.state
    if request.event_type == "Ended" and info.charging_state is UNSET:
        return was == "idle"  # it was never plugged, or left before
    return info.charging_state == "Idle" and (
        request.event_type == "Ended" or was not in ("", "idle")
    )


def _judged(
    desk: Desk,
    peer: Peer,
    request: Event,
    evse_id: str,
    at: Instant,
    reported: Reported,
) -> tokens.Judged | None:
    """Return what is answered for a token; one that ends it is only looked at."""
    token = request.id_token
    if token is UNSET:
        return None
    if token.type in tokens.NOBODY:
        return tokens.Judged("Accepted", "", reported.session_id)
    said, system = reported.authorization, desk.system
    subject_id = tokens.subject_of(system.vault, token.id_token, token.type)
    if said is None and request.event_type == "Ended" and evse_id:
        said = system.cso.answer(subject_id, evse_id, at)
    judged = tokens.judged_of(peer, said, reported.session_id)
    return judged._replace(group_id=system.cso.group_of(subject_id, at))


def _phases(
    gateway: Gateway,
    peer: Peer,
    request: Event,
    live: OpenTransaction,
    found: Sequence[Metered],
) -> None:
    """Take in the phases in use as told, or more of them where currents show more."""
    told = request.number_of_phases_used
    if told is not UNSET and told > 0:
        measured = [one.phases for one in found if one.phases is not None]
        use_phases(gateway, peer, live, max([min(told, _MOST_PHASES), *measured]))


def _stop_refused(
    gateway: Gateway, peer: Peer, request: Event, reported: Reported
) -> None:
    """Stop a transaction that is not authorized, after the answer that says so."""
    refused = reported.authorization is not None and not reported.authorization.accepted
    is_start = request.event_type == "Started" or (
        request.event_type == "Updated" and request.trigger_reason == "Authorized"
    )
    if refused and is_start and reported.is_new and reported.is_news:
        transaction_id = request.transaction_info.transaction_id
        gateway.desk.put(
            partial(_stop, gateway, peer=peer, transaction_id=transaction_id)
        )


def _stop(gateway: Gateway, desk: Desk, peer: Peer, transaction_id: str) -> None:
    messages = v201 if peer.version == "2.0.1" else v21
    call = Call(
        "RequestStopTransaction",
        messages.RequestStopTransactionRequest(transaction_id=transaction_id),
        slot=f"stop/{transaction_id}",
    )
    gateway.ask(desk, peer, call)


def _told(
    gateway: Gateway,
    peer: Peer,
    request: Event,
    at: Instant,
    number: int,
    known: OpenTransaction | None,
    found: Sequence[Metered],
    reported: Reported,
) -> OpenTransaction | None:
    """Take in what was reported; return the transaction while it is open."""
    transaction_id = request.transaction_info.transaction_id
    if known is None and request.event_type != "Started":
        look_later(gateway, peer)
    if request.event_type == "Ended":
        ended(peer, transaction_id)
        return None
    if known is None:
        known = began(peer, transaction_id, number, at)
        known.meter.rank = next((m.rank for m in found if m.import_milli), None)
    known.connector = _connector(request) or known.connector
    known.unreported.clear()
    known.session_id, known.is_metered = reported.session_id, reported.is_metered
    if known.last_seq_no is None or request.seq_no >= known.last_seq_no:
        known.last_seq_no, known.reported_at = request.seq_no, at
        state = request.transaction_info.charging_state
        known.state = known.state if state is UNSET else _STATES[state]
        if request.trigger_reason not in _READINGS:
            known.trigger = request.trigger_reason
    if reported.is_news:
        runs(gateway, peer, known)
    elif known.state == "idle":
        rests(peer, known)
    return known


def _connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    recall(desk.system, peer)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "an EV comes, charges, pauses, leaves",
            (Carrier(V2, "=", ("TransactionEvent",), "in"),),
        ),
    ),
    handlers={
        ("2.0.1", "TransactionEvent"): transaction_event_2_0_1,
        ("2.1", "TransactionEvent"): transaction_event_2_1,
    },
    on_connected=_connected,
    on_undone=recall_anew,
)
