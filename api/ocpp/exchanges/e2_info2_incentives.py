"""E2.Info2 Stations are told of incentives, for each EVSE and, with its ETP, its EV.

All EVSEs of the zone are told, those whose station is away when it is there again. Who
could not be told is recorded. A driver who charges with priority at the station refuses
the incentives, and who stops that takes part again.
"""

from functools import partial
from typing import Final

from api.ocpp.calls import Answered, Call, NotAnswered, Refusal, Urgency
from api.ocpp.desk import Desk, Pace
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module
from api.ocpp.exchanges.e1_info2_etp import tell
from api.ocpp.exchanges.remote_control import BOOTS_WITHIN
from api.ocpp.gateway import Gateway
from api.ocpp.incentive_messages import telling, withdrawing
from api.ocpp.incentive_prices import reads_prices
from api.ocpp.kept import keep
from api.ocpp.peers import Peer, Standing
from api.ocpp.v21 import messages as v21
from domain.errors import Refused
from domain.model import incentive_events as n
from domain.model.site_events import EvseOccupied, EvseVacated
from domain.ports import Recorded
from domain.use_cases.e2_demand_response import (
    AnswerIncentive,
    RecordTold,
    answer_incentive,
    record_told,
)
from domain.use_cases.e2_incentive_effects import (
    BeginStay,
    EndStay,
    Incentives,
    begin_stay,
    end_stay,
    load_incentives,
)
from domain.use_cases.shared_path import By, load_evse, load_session, load_zone

ACCEPTED, REFUSED, NOT_TOLD = "accepted", "refused", "not-told"
# What a station answers that knows nothing of what it was told.
_UNKNOWN: Final = frozenset(
    {
        *("UnknownVendorId", "UnknownMessageId"),
        *("NotSupported", "NotImplemented"),
    }
)


def received(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Tell all EVSEs of the zone, and the EVs there."""
    incentive = row.event
    assert isinstance(incentive, n.IncentiveReceived)
    zone_id = incentive.zone_id
    ordinal = _ordinal(load_incentives(desk.system, zone_id), incentive)
    for evse_id in load_zone(desk.system, zone_id).evse_ids:
        peer = gateway.peers.of_evse(evse_id)
        if peer is None:
            _record(desk, incentive, evse_id, NOT_TOLD, "no station is registered")
        elif not _is_there(peer):
            _record(desk, incentive, evse_id, NOT_TOLD, "its station is not there")
        else:
            _tell(gateway, desk, peer, incentive, ordinal, evse_id)
            _tell_prices(gateway, desk, peer, evse_id)


def withdrawn(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Take it back where it was told."""
    event = row.event
    assert isinstance(event, n.IncentiveWithdrawn)
    state = load_incentives(desk.system, event.zone_id)
    incentive = state.named(event.incentive_id)
    assert incentive is not None  # none is withdrawn that never came
    for evse_id in load_zone(desk.system, event.zone_id).evse_ids:
        peer = gateway.peers.of_evse(evse_id)
        if peer is None or peer.version is None:
            continue
        number = peer.evse_number(evse_id)
        if (event.incentive_id, evse_id) in state.told:
            ordinal = _ordinal(state, incentive)
            told = withdrawing(peer.version, incentive, ordinal, number)
            slot = _slot(ordinal, number)
            gateway.ask(desk, peer, Call(*told, urgency=Urgency.REPORT, slot=slot))
        _tell_prices(gateway, desk, peer, evse_id)


def answered(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Tell the EV its ETP without the prices that are refused, or with them again."""
    assert isinstance(row.event, n.IncentiveAnswered)
    evse_id = load_session(desk.system, row.event.session_id).evse_id
    peer = gateway.peers.of_evse(evse_id)
    if peer is not None:
        _tell_prices(gateway, desk, peer, evse_id)


def _tell_prices(gateway: Gateway, desk: Desk, peer: Peer, evse_id: str) -> None:
    """Tell the EV its ETP again, which carries the prices that hold now."""
    number = peer.evse_number(evse_id)
    if reads_prices(peer, number):
        tell(gateway, desk, peer, number)


def occupied(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Put who came under the incentives that hold."""
    assert isinstance(row.event, EvseOccupied)
    by = By(actor="gateway", at=row.occurred_at)
    begin_stay(desk.system, BeginStay(evse_id=row.event.evse_id), by)


def vacated(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End what the session that left was under."""
    event = row.event
    assert isinstance(event, EvseVacated)
    stay = EndStay(evse_id=event.evse_id, session_id=event.session_id)
    end_stay(desk.system, stay, By(actor="gateway", at=row.occurred_at))


def connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Tell what was missed, a while after the station connected: it may boot first."""
    work = partial(_catch_up, gateway, station_id=peer.station_id)
    gateway.at(desk.now + BOOTS_WITHIN, work, Pace.LATER)


def accepted(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Tell what was missed."""
    _catch_up(gateway, desk, peer.station_id)


def _catch_up(gateway: Gateway, desk: Desk, station_id: str) -> None:
    peer = gateway.peers.by_id[station_id]
    if not peer.zone_id or not _is_there(peer):
        return
    state = load_incentives(desk.system, peer.zone_id)
    for incentive in state.ahead(desk.now):
        for evse_id in peer.evse_ids:
            if (incentive.incentive_id, evse_id) not in state.told:
                ordinal = _ordinal(state, incentive)
                _tell(gateway, desk, peer, incentive, ordinal, evse_id)


def _is_there(peer: Peer) -> bool:
    return peer.connection is not None and peer.standing is Standing.ACCEPTED


def _ordinal(state: Incentives, incentive: n.IncentiveReceived) -> int:
    names = [each.incentive_id for each in state.received]
    return names.index(incentive.incentive_id) + 1


def _slot(ordinal: int, number: int) -> str:
    return f"incentive/{ordinal}/{number}"


def _tell(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    incentive: n.IncentiveReceived,
    ordinal: int,
    evse_id: str,
) -> None:
    assert peer.version is not None  # it is connected
    number = peer.evse_number(evse_id)
    action, request = telling(peer.version, incentive, ordinal, number)
    on_answer = partial(_told, incentive=incentive, evse_id=evse_id)
    call = Call(action, request, on_answer, Urgency.REPORT, _slot(ordinal, number))
    gateway.ask(desk, peer, call)


def _told(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    answered: Answered,
    *,
    incentive: n.IncentiveReceived,
    evse_id: str,
) -> None:
    match answered:
        case NotAnswered.SUPERSEDED:
            return  # it is told another way
        case NotAnswered():
            outcome, detail = NOT_TOLD, answered.value
        case Refusal():
            outcome = NOT_TOLD if answered.code in _UNKNOWN else REFUSED
            detail = f"{answered.code}: {answered.description}"
        case _:
            detail = str(getattr(answered, "status", ""))
            outcome = NOT_TOLD if detail in _UNKNOWN else REFUSED
            outcome = ACCEPTED if detail == "Accepted" else outcome
    how = "data" if peer.version == "1.6" else "display"
    _record(desk, incentive, evse_id, outcome, detail, how)


def _record(
    desk: Desk,
    incentive: n.IncentiveReceived,
    evse_id: str,
    outcome: str,
    detail: str,
    how: str = "",
) -> None:
    command = RecordTold(
        zone_id=incentive.zone_id,
        incentive_id=incentive.incentive_id,
        evse_id=evse_id,
        how=how,
        outcome=outcome,
        session_id=load_evse(desk.system, evse_id).session_id,
        detail=detail[:200],
    )
    record_told(desk.system, command, By(actor="gateway", at=desk.now))


def priority_2_1(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v21.NotifyPriorityChargingRequest,
) -> v21.NotifyPriorityChargingResponse:
    """Take priority charging for a refusal of the incentives, its end for consent."""
    transaction = peer.open_transactions.get(request.transaction_id)
    session_id = "" if transaction is None else transaction.session_id
    command = AnswerIncentive(
        session_id=session_id, is_accepted=not request.activated, is_by="station"
    )
    try:
        by = By(actor=peer.station_id, at=desk.now)
        answer_incentive(desk.system, command, by)
    except Refused:  # there is no such session, or nothing to refuse
        keep(desk, peer, "NotifyPriorityCharging", request)
    return v21.NotifyPriorityChargingResponse()


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E2.Info2",
            "an incentive: tariff, CO2, maximum power, peak signal",
            (
                Carrier(
                    V2,
                    "~",
                    ("SetDisplayMessage", "ClearDisplayMessage"),
                    "out",
                    "to the users at each EVSE, as text",
                ),
                Carrier(
                    V2,
                    "~",
                    ("SetChargingProfile",),
                    "out",
                    "tariff and CO2 as the ETP's `salesTariff`, prices as shares of "
                    "the dearest one; to EVs that told their needs",
                ),
                Carrier(
                    ("1.6",),
                    "∅",
                    ("DataTransfer",),
                    "out",
                    "`vendorId` voltledger; where the station knows it not: not told",
                ),
            ),
        ),
        InformationExchange(
            "E2.Info2",
            "its maximum power",
            (
                Carrier(
                    ("1.6", *V2),
                    "=",
                    ("SetChargingProfile",),
                    "out",
                    "a limit of the plan; the ETP carries what comes of it",
                ),
            ),
        ),
        InformationExchange(
            "E2",
            "the EV user takes part, or refuses",
            (
                Carrier(("2.1",), "~", ("NotifyPriorityCharging",), "in"),
                Carrier(("1.6", "2.0.1"), "∅", note="by `/v1`"),
            ),
        ),
    ),
    handlers={("2.1", "NotifyPriorityCharging"): priority_2_1},
    followers={
        n.IncentiveReceived: received,
        n.IncentiveWithdrawn: withdrawn,
        n.IncentiveAnswered: answered,
        EvseOccupied: occupied,
        EvseVacated: vacated,
    },
    on_connected=connected,
    on_accepted=accepted,
)
