"""7.10 A station's alarm blocks its EVSE; a blocked one is kept from use on the wire.

What is taken for unsafe is here; who may use the EVSE again decides the assessment. As
long as it is blocked (for safety or by its operator), after each boot and reconnection
its transaction is stopped and the station told to keep it from use.
"""

from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any, Final

from api.ocpp.availability import availability_request
from api.ocpp.calls import Answered, Call, Urgency
from api.ocpp.desk import Desk
from api.ocpp.exchange import ALL_VERSIONS, V2, Carrier, InformationExchange, Module
from api.ocpp.facts import record_fact
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer, Standing
from api.ocpp.v16 import messages as m16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as m21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as m201
from api.ocpp.wire import Wire
from domain.model import ids
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import MINUTE
from domain.ports import Recorded
from domain.use_cases.clause_7_10_safety import ReportSafetyIssue, report_safety_issue
from domain.use_cases.shared_path import By, load_evse

# A station that does not take in what it is told is told again after this.
AGAIN_AFTER: Final = 5 * MINUTE

# Error codes of 1.6 that speak of danger, whatever the status, and those that do not
# even where the connector is out of order.
_DANGEROUS: Final = frozenset(
    {
        *("ConnectorLockFailure", "GroundFailure", "HighTemperature"),
        *("OverCurrentFailure", "PowerSwitchFailure"),
    }
)
_HARMLESS: Final = frozenset(
    {
        *("EVCommunicationError", "LocalListConflict", "OverVoltage"),
        *("PowerMeterFailure", "ReaderFailure", "ResetFailure", "UnderVoltage"),
        "WeakSignal",
    }
)
# 0 is danger, 1 a failure of hardware; from 2 on it is software, errors and notices.
_SEVERE: Final = 1
# Components a problem of which endangers nobody.
_HARMLESS_COMPONENTS: Final = frozenset(
    {
        *("AuthCacheCtrlr", "AuthCtrlr", "Clock", "ClockCtrlr", "CommunicationCtrlr"),
        *("Controller", "DataLink", "Display", "DisplayMessageCtrlr", "FiscalMetering"),
        *("LocalController", "Modem", "OCPPCommCtrlr", "PaymentCtrlr", "TokenReader"),
        "WebPaymentsCtrlr",
    }
)
_REASONS: Final = frozenset({"EmergencyStop", "GroundFault", "OvercurrentFault"})
_TRIGGERS: Final = frozenset({"AbnormalCondition"})

_V2: Final[Mapping[str, tuple[ModuleType, ModuleType]]] = {
    "2.0.1": (m201, d201),
    "2.1": (m21, d21),
}


def sign_of_status(status: str, error_code: str = "") -> str:
    """Return what is unsafe about a connector by its status; empty: nothing."""
    if error_code in _DANGEROUS:
        return error_code
    if status == "Faulted" and error_code not in _HARMLESS:
        return error_code if error_code not in ("", "NoError") else status
    return ""


def sign_of_alert(alert: t.StationAlertReported) -> str:
    """Return what is unsafe by an alert; empty: nothing."""
    if alert.is_cleared:
        return ""
    is_severe = alert.severity is not None and alert.severity <= _SEVERE
    is_problem = (
        alert.variable == "Problem"
        and alert.value.lower() == "true"
        and alert.component not in _HARMLESS_COMPONENTS
    )
    named = f"{alert.component} {alert.variable} {alert.value}"[:200]
    return named if is_severe or is_problem else ""


def report_unsafe(desk: Desk, peer: Peer, evse_number: int, issue: str) -> None:
    """Block an EVSE for safety, or all of a station (0), unless it is for this."""
    evse_id = peer.evse_id(evse_number)
    evse_ids = peer.evse_ids if evse_number == 0 else (evse_id,) if evse_id else ()
    by = By(actor=peer.station_id, at=desk.now)
    for each in evse_ids:
        if load_evse(desk.system, each).safety_issue != issue:
            command = ReportSafetyIssue(evse_id=each, issue=issue)
            report_safety_issue(desk.system, command, by)


def reported(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Block the EVSE of a transaction that ended, or changed, for want of safety."""
    event = row.event
    assert isinstance(event, t.StationTransactionReported)
    peer = gateway.peers.by_id.get(event.station_id)
    issue = _sign_of_transaction(event.reason, event.trigger)
    if issue and peer is not None and event.evse_id in peer.evse_ids:
        report_unsafe(desk, peer, peer.evse_number(event.evse_id), issue)


def undone(gateway: Gateway, desk: Desk, peer: Peer, request: Wire) -> None:
    """Block the EVSE of a transaction all the same whose message came to nothing."""
    number, issue = 0, ""
    transaction_id: int | str = ""
    match request:
        case m16.StopTransactionRequest():
            issue = _sign_of_transaction(request.reason or "", "")
            transaction_id = request.transaction_id
        case m201.TransactionEventRequest() | m21.TransactionEventRequest():
            info = request.transaction_info
            issue = _sign_of_transaction(
                info.stopped_reason or "", request.trigger_reason
            )
            transaction_id = info.transaction_id
            number = request.evse.id if request.evse else 0
    known = peer.open_transactions.get(transaction_id)
    if not number and known is not None:
        number = known.evse_number
    if issue and number:
        report_unsafe(desk, peer, number, issue)


def _sign_of_transaction(reason: str, trigger: str) -> str:
    if reason in _REASONS:
        return reason
    return trigger if trigger in _TRIGGERS else ""


def keep_from_use(gateway: Gateway, desk: Desk, peer: Peer, evse_id: str) -> None:
    """Tell a station what holds of an EVSE: it is blocked, or it no longer is."""
    if load_evse(desk.system, evse_id).blocked:
        _stop(gateway, desk, peer, peer.evse_number(evse_id))
        _tell(gateway, desk, peer, evse_id, is_operative=False)
    elif evse_id in peer.inoperative and evse_id not in peer.out_of_use:
        _tell(gateway, desk, peer, evse_id, is_operative=True)


def _all(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    if peer.standing is Standing.ACCEPTED:
        for evse_id in peer.evse_ids:
            keep_from_use(gateway, desk, peer, evse_id)


def _began(gateway: Gateway, desk: Desk, peer: Peer, evse_number: int) -> None:
    evse_id = peer.evse_id(evse_number)
    if evse_id is not None and load_evse(desk.system, evse_id).blocked:
        _stop(gateway, desk, peer, evse_number)


def _changed(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    assert isinstance(row.event, z.EvseBlocked | z.EvseUnblocked)
    peer = gateway.peers.of_evse(row.event.evse_id)
    if peer is not None and peer.connection is not None:
        keep_from_use(gateway, desk, peer, row.event.evse_id)


def _stop(gateway: Gateway, desk: Desk, peer: Peer, evse_number: int) -> None:
    transaction = peer.transactions.get(evse_number)
    if transaction is None or peer.connection is None:
        return
    call = Call(
        "RequestStopTransaction",
        _stop_request(peer.connection.version, transaction.transaction_id),
        urgency=Urgency.DECREASE,
        slot=f"stop-{evse_number}",
    )
    if peer.connection.version == "1.6":
        call = call._replace(action="RemoteStopTransaction")
    gateway.ask(desk, peer, call)


def _stop_request(version: str, transaction_id: int | str) -> Wire:
    if version == "1.6":
        return m16.RemoteStopTransactionRequest(transaction_id=int(transaction_id))
    messages: Any = _V2[version][0]
    request: Wire = messages.RequestStopTransactionRequest(
        transaction_id=str(transaction_id)
    )
    return request


def _tell(
    gateway: Gateway, desk: Desk, peer: Peer, evse_id: str, *, is_operative: bool
) -> None:
    if peer.connection is None:
        return
    number = peer.evse_number(evse_id)
    call = Call(
        "ChangeAvailability",
        availability_request(peer.connection.version, number, is_operative),
        on_answer=partial(_told, evse_id=evse_id, is_operative=is_operative),
        urgency=Urgency.DECREASE,
        slot=f"availability-{number}",
    )
    gateway.ask(desk, peer, call)


def _told(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    answered: Answered,
    *,
    evse_id: str,
    is_operative: bool,
) -> None:
    """Record that the station took it in; else tell it again in a while."""
    status = getattr(answered, "status", "")
    if status in ("Accepted", "Scheduled"):
        if (evse_id not in peer.inoperative) != is_operative:
            _record(desk, peer, evse_id, is_operative)
        return
    if peer.connection is not None and evse_id not in peer.unheeded:
        peer.unheeded.add(evse_id)
        again = partial(_again, gateway=gateway, peer=peer, evse_id=evse_id)
        gateway.at(desk.now + AGAIN_AFTER, again)


def _again(desk: Desk, gateway: Gateway, peer: Peer, evse_id: str) -> None:
    peer.unheeded.discard(evse_id)
    if peer.connection is not None and evse_id in peer.evse_ids:
        keep_from_use(gateway, desk, peer, evse_id)


def _record(desk: Desk, peer: Peer, evse_id: str, is_operative: bool) -> None:
    event = t.StationAvailabilityChanged(
        station_id=peer.station_id, evse_id=evse_id, is_operative=is_operative
    )
    record_fact(desk, peer, ids.station_stream(peer.station_id), event)
    # The row comes back to the peer later; what is told next depends on it now.
    if is_operative:
        peer.inoperative.discard(evse_id)
    else:
        peer.inoperative.add(evse_id)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.10",
            "an EVSE is unsafe",
            (
                Carrier(
                    V2,
                    "=",
                    ("NotifyEvent", "StatusNotification", "TransactionEvent"),
                    "in",
                    "Alerting of severity 0 or 1 or of a Problem; Faulted; "
                    "`stoppedReason` GroundFault, OvercurrentFault, EmergencyStop; "
                    "`triggerReason` AbnormalCondition",
                ),
                Carrier(
                    ("1.6",),
                    "~",
                    ("StatusNotification", "StopTransaction"),
                    "in",
                    "`errorCode` and Faulted; `reason` EmergencyStop",
                ),
            ),
        ),
        InformationExchange(
            "7.10",
            "an EVSE is blocked, until it was assessed as safe",
            (
                Carrier(
                    V2, "=", ("RequestStopTransaction", "ChangeAvailability"), "out"
                ),
                Carrier(
                    ("1.6",),
                    "=",
                    ("RemoteStopTransaction", "ChangeAvailability"),
                    "out",
                ),
                Carrier(
                    ALL_VERSIONS,
                    "=",
                    ("ChangeAvailability",),
                    "out",
                    "repeated after each boot and reconnection",
                ),
            ),
        ),
    ),
    followers={
        z.EvseBlocked: _changed,
        z.EvseUnblocked: _changed,
        t.StationTransactionReported: reported,
    },
    on_connected=_all,
    on_accepted=_all,
    on_transaction=_began,
    on_undone=undone,
)
