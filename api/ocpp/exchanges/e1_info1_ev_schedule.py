"""E1.Info1 What an EV intends to draw: NotifyEVChargingSchedule (ISO 15118).

It is a forecast. One that goes beyond the ETP is answered by telling the ETP once more,
which makes the EV negotiate again; whatever it says then, ours holds.
"""

from typing import Final

from msgspec import UnsetType

from api.ocpp.clock import our_time
from api.ocpp.desk import Desk
from api.ocpp.exchange import Carrier, InformationExchange, Module
from api.ocpp.facts import record_fact
from api.ocpp.gateway import Gateway
from api.ocpp.kept import keep
from api.ocpp.others_schedules import power_profile, wires_of
from api.ocpp.peers import Peer
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import messages as v201
from domain.loop.observer import METER_TOLERANCE_W
from domain.model import ids
from domain.model.profile import PowerProfile
from domain.model.session_events import EvScheduleReported
from domain.model.values import SECOND, Instant, instant_of
from domain.use_cases.clause_6_2_joining import resolve
from domain.use_cases.shared_path import load_evse

Request = v201.NotifyEVChargingScheduleRequest | v21.NotifyEVChargingScheduleRequest


def schedule_2_0_1(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v201.NotifyEVChargingScheduleRequest,
) -> v201.NotifyEVChargingScheduleResponse:
    """Take in what an EV at a station of 2.0.1 intends."""
    is_taken = _take(gateway, desk, peer, request, None)
    return v201.NotifyEVChargingScheduleResponse(
        status="Accepted" if is_taken else "Rejected"
    )


def schedule_2_1(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v21.NotifyEVChargingScheduleRequest,
) -> v21.NotifyEVChargingScheduleResponse:
    """Take in what an EV at a station of 2.1 intends, and which schedule it picked."""
    selected = request.selected_charging_schedule_id
    selected_id = None if isinstance(selected, UnsetType) else selected
    is_taken = _take(gateway, desk, peer, request, selected_id)
    return v21.NotifyEVChargingScheduleResponse(
        status="Accepted" if is_taken else "Rejected"
    )


def _take(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: Request,
    selected_id: int | None,
) -> bool:
    """Record a forecast; whether there is a session that it is of."""
    evse_id = peer.evse_id(request.evse_id)
    session_id = "" if evse_id is None else load_evse(desk.system, evse_id).session_id
    if evse_id is None or not session_id:
        keep(desk, peer, "NotifyEVChargingSchedule", request)
        return False
    profile = power_profile(
        peer,
        request.charging_schedule,
        wires_of(peer, evse_id),
        desk.now,
        start_at=our_time(peer, instant_of(request.time_base)),
        beyond_w=0,
    )
    is_above = _is_above(desk, peer, request.evse_id, profile)
    session_id = resolve(desk.system, session_id).session_id
    event = EvScheduleReported(
        session_id=session_id,
        evse_id=evse_id,
        profile=profile,
        is_above=is_above,
        selected_schedule_id=selected_id,
    )
    record_fact(desk, peer, ids.session_stream(session_id), event)
    if is_above:
        _tell_again(gateway, peer, request.evse_id)
    return True


def _is_above(desk: Desk, peer: Peer, number: int, profile: PowerProfile) -> bool:
    """Whether an EV intends to draw more than its ETP, anywhere ahead."""
    told = peer.etps.get(number)
    if told is None:
        return False
    etp = told.etp.profile
    at: set[Instant] = {desk.now}
    for each in (profile, etp):
        at |= {each.start_at + offset_s * SECOND for offset_s, _ in each.changes}
    return any(
        profile.power_w(each) > etp.power_w(each) + METER_TOLERANCE_W
        for each in at
        if each >= desk.now
    )


def _tell_again(gateway: Gateway, peer: Peer, number: int) -> None:
    """Have the ETP told once more; an EV that insists is not asked again."""
    told, transaction = peer.etps.get(number), peer.transactions.get(number)
    if told is None or transaction is None:
        return
    if transaction.told_again == told.etp.number:
        return
    transaction.told_again = told.etp.number
    told.transaction_id = None
    gateway.transaction_began(peer, number)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "what an EV intends to draw",
            (
                Carrier(("2.1",), "=", ("NotifyEVChargingSchedule",), "in"),
                Carrier(
                    ("2.0.1",),
                    "~",
                    ("NotifyEVChargingSchedule",),
                    "in",
                    "not which schedule it picked",
                ),
                Carrier(("1.6",), "∅", note="measured power"),
            ),
        ),
    ),
    handlers={
        ("2.0.1", "NotifyEVChargingSchedule"): schedule_2_0_1,
        ("2.1", "NotifyEVChargingSchedule"): schedule_2_1,
    },
)
