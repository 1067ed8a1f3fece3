"""E1.Info2 A station is told its energy transfer plans (ETP), as charging profiles.

What the loop recorded as sent goes to its station when the EVSE has a transaction,
until then it waits. The answer is a fact; none is the loop's to notice. A station that
takes one period only is told again at each step, and of a fall a minute ahead: so there
is time to tell it twice. After a reconnection, what the station says it allows is
compared with what it was told.
"""

from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET

from api.ocpp.calls import Answered, Call, NotAnswered, Refusal, Urgency
from api.ocpp.capabilities import Capabilities, Conditions
from api.ocpp.charging_profiles import Request, begin_of, periods_of
from api.ocpp.composite_schedules import compare_later
from api.ocpp.desk import Desk
from api.ocpp.etp import CLOCK_LIMIT, EtpOrder, etp_request
from api.ocpp.exchange import ALL_VERSIONS, V2, Carrier, InformationExchange, Module
from api.ocpp.facts import record_of_delivery
from api.ocpp.gateway import Gateway
from api.ocpp.incentive_prices import priced
from api.ocpp.open_decreases import (
    ask_at_resume,
    ask_reading_later,
    watch_decrease,
)
from api.ocpp.peers import EtpOnWire, OpenTransaction, Peer, Standing
from api.ocpp.wire import Wire
from domain.errors import InvalidValue
from domain.loop.observer import STEPS_TOLD_WITHIN
from domain.model.plan_events import EtpAccepted, EtpRefused, EtpSent
from domain.model.profile import PowerProfile
from domain.model.site_events import EvseVacated
from domain.model.station_events import (
    EtpSuperseded,
    ScheduleCompared,
    StationTransactionReported,
)
from domain.model.values import DAY, MINUTE, SECOND, Instant
from domain.ports import Recorded

# A station that takes fewer periods than its ETP has is told again within this time.
RENEWED_WITHIN: Final = 15 * MINUTE
# What one that takes a single period was told is of no longer ago than this, whatever
# has kept the next message back.
_TOLD_SINCE: Final = 5 * MINUTE
_REASON_LENGTH: Final = 200


def etp_sent(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Take an ETP of the loop to its station, in the place of an older one."""
    etp = row.event
    assert isinstance(etp, EtpSent)
    peer = gateway.peers.of_evse(etp.evse_id)
    if peer is None:
        return  # nobody registered its station: it is told by other ways
    number = peer.evse_number(etp.evse_id)
    before = peer.etps.get(number)
    told = EtpOnWire(etp)
    if before is not None:
        if before.etp.number > etp.number:
            return
        _forget(before)
        if before.transaction_id is None and before.etp.number < etp.number:
            _superseded(desk, peer, before.etp, etp.number)
        told.periods, told.begin_at = before.periods, before.begin_at
        is_again = before.etp.number == etp.number and not before.is_accepted
        told.before = before.before if is_again else before
    peer.etps[number] = told
    tell(gateway, desk, peer, number)


def evse_vacated(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Forget the ETP of an EV that has left."""
    assert isinstance(row.event, EvseVacated)
    peer = gateway.peers.of_evse(row.event.evse_id)
    if peer is not None:
        told = peer.etps.pop(peer.evse_number(row.event.evse_id), None)
        if told is not None:
            _forget(told)


def transaction_ended(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Forget the ETP of a transaction that ended: the next one gets its own."""
    event = row.event
    assert isinstance(event, StationTransactionReported)
    peer = gateway.peers.of_evse(event.evse_id)
    if peer is None or event.kind != "ended":
        return
    number = peer.evse_number(event.evse_id)
    told = peer.etps.get(number)
    if told is not None and told.transaction_id is not None:
        running = peer.transactions.get(number)
        if running is None or running.transaction_id != told.transaction_id:
            _forget(peer.etps.pop(number))


def connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Have what the station allows compared, after it was told its ETPs again."""
    peer.compared_next = set(range(1, len(peer.evse_ids) + 1))


def transaction_began(
    gateway: Gateway, desk: Desk, peer: Peer, evse_number: int
) -> None:
    """Tell the ETP that waits; and again where phases or transaction are others.

    So too when the voltage is known: what was counted for the highest one may have come
    to nothing at the floor of the EVSE.
    """
    told = peer.etps.get(evse_number)
    transaction = peer.transactions.get(evse_number)
    if told is None or transaction is None:
        return
    if told.transaction_id not in (None, transaction.transaction_id):
        _forget(peer.etps.pop(evse_number))
        return  # what it was for has ended: the loop plans anew
    told_for = (told.transaction_id, told.phases_in_use)
    is_measured = transaction.measured_v is not None and peer.capabilities.unit == "A"
    if (
        told_for != (transaction.transaction_id, transaction.phases_in_use)
        or is_measured > told.is_voltage_known
    ):
        tell(gateway, desk, peer, evse_number)


def tell(
    gateway: Gateway, desk: Desk, peer: Peer, number: int, *, is_renewal: bool = False
) -> None:
    """Send the newest ETP of an EVSE, if its station can take it now."""
    told = peer.etps.get(number)
    transaction = peer.transactions.get(number)
    is_there = peer.connection is not None and peer.standing is Standing.ACCEPTED
    if told is None or transaction is None or not is_there:
        return
    if peer.told is not None and not peer.told.has_smart_charging:
        _refused(desk, peer, told.etp, "the station has no smart charging")
        return
    try:
        request, conditions = _message(desk, peer, told.etp, transaction)
    except InvalidValue as error:
        _refused(desk, peer, told.etp, str(error))
        return
    before, periods = told.periods, periods_of(request)
    if is_renewal and periods == before and len(before) == 1:
        _renew_later(gateway, desk, peer, number, conditions)
        return  # it says the same, and has no end
    is_decrease = told.etp.mandatory or not before or periods[0][1] < before[0][1]
    told.transaction_id = transaction.transaction_id
    told.phases_in_use = transaction.phases_in_use
    told.is_voltage_known = transaction.measured_v is not None
    answered = partial(
        _answered,
        number=number,
        told=told,
        periods=periods,
        begin_at=begin_of(request),
        conditions=conditions,
    )
    call = Call(
        "SetChargingProfile",
        request,
        answered,
        Urgency.DECREASE if is_decrease else Urgency.INCREASE,
        f"etp/{number}",
    )
    gateway.ask(desk, peer, priced(desk, peer, call, transaction, tell))


def _message(
    desk: Desk, peer: Peer, etp: EtpSent, transaction: OpenTransaction
) -> tuple[Request, Conditions]:
    """Return the message of an ETP, and what it was made for."""
    profile, now = etp.profile, desk.now
    order = EtpOrder(
        profile=profile,
        safe_w=0 if peer.defaults is None else peer.defaults.default_w,
        safe_from_at=_planned_until(profile),
        transaction_id=transaction.transaction_id,
        schedule_id=etp.number,
    )
    able = _able(peer, transaction)
    conditions = Conditions(
        sent_at=now,
        renew_at=_renew_at(peer, able, now),
        clock_offset_us=peer.clock_offset,
        phases_in_use=transaction.phases_in_use,
        measured_v=transaction.measured_v,
    )
    return etp_request(order, peer.wiring(etp.evse_id), conditions, able), conditions


def _renew_at(peer: Peer, able: Capabilities, now: Instant) -> Instant:
    """Return until when a message is to do, if it does not say all."""
    keeps_steps = able.max_periods > 1 and _knows_time(peer.clock_offset)
    return now + (RENEWED_WITHIN if keeps_steps else STEPS_TOLD_WITHIN)


def _planned_until(profile: PowerProfile) -> Instant:
    return profile.start_at + max(profile.changes[-1][0] * SECOND, DAY)


def _next_step(profile: PowerProfile, since: Instant) -> Instant | None:
    """Return when a station of a single period is to be told something else next."""
    steps = [profile.start_at + offset_s * SECOND for offset_s, _ in profile.changes]
    steps.append(_planned_until(profile))
    due = [at for step in steps for at in (step - STEPS_TOLD_WITHIN, step)]
    return min((at for at in due if at > since), default=None)


def _knows_time(offset: Instant | None) -> bool:
    return offset is not None and abs(offset) <= CLOCK_LIMIT


def _able(peer: Peer, transaction: OpenTransaction) -> Capabilities:
    """Return what station and EV together can do with a schedule."""
    able = peer.capabilities
    most = able.max_periods
    if transaction.max_periods is not None:
        most = max(1, min(most, transaction.max_periods))
    return msgspec.structs.replace(able, max_periods=most)


def _answered(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    answered: Answered,
    *,
    number: int,
    told: EtpOnWire,
    periods: tuple[tuple[int, float], ...],
    begin_at: Instant,
    conditions: Conditions,
) -> None:
    newest = peer.etps.get(number)
    match answered:
        case Refusal():
            _refused(desk, peer, told.etp, f"{answered.code}: {answered.description}")
            _goes_on(desk, peer, told)
        case NotAnswered.SUPERSEDED:
            if newest is not None and newest.etp.number > told.etp.number:
                _superseded(desk, peer, told.etp, newest.etp.number)
        case NotAnswered.NOT_CONNECTED:
            told.transaction_id = None  # it never left, and waits
        case NotAnswered():
            _goes_on(desk, peer, told)
        case _ if _status(answered) != "Accepted":
            _refused(desk, peer, told.etp, _reason(answered))
            _goes_on(desk, peer, told)
        case _:
            if not told.is_accepted:  # else it was told again for a step, or phases
                event = EtpAccepted(evse_id=told.etp.evse_id, number=told.etp.number)
                record_of_delivery(desk, peer, event)
            told.is_accepted, told.before = True, None
            before, told.periods, told.begin_at = told.periods, periods, begin_at
            if newest is told:
                _accepted(gateway, desk, peer, number, before, conditions)


def _accepted(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    number: int,
    before: tuple[tuple[int, float], ...],
    conditions: Conditions,
) -> None:
    """Begin what is due after a station took its ETP."""
    told = peer.etps[number]
    if before and told.periods[0][1] < before[0][1]:
        watch_decrease(gateway, desk, peer, number)
    elif before and not before[0][1] and told.periods[0][1]:
        ask_reading_later(gateway, desk, peer, number)  # some resume without limit
    _renew_later(gateway, desk, peer, number, conditions)
    if number in peer.compared_next:
        peer.compared_next.discard(number)
        compare_later(gateway, desk, peer, number)


def _renew_later(
    gateway: Gateway, desk: Desk, peer: Peer, number: int, conditions: Conditions
) -> None:
    """See to it that a station which was told only a part is told the rest in time."""
    told = peer.etps[number]
    transaction = peer.transactions.get(number)
    able = peer.capabilities if transaction is None else _able(peer, transaction)
    keeps_steps = able.max_periods > 1 and _knows_time(conditions.clock_offset_us)
    renew_at: Instant | None = conditions.renew_at
    if not keeps_steps:
        renew_at = _next_step(told.etp.profile, conditions.sent_at)
    elif len(told.periods) < able.max_periods:
        renew_at = None  # it has all
    _forget(told)
    if renew_at is not None:
        renew = partial(_renew, gateway, station_id=peer.station_id, told=told)
        told.call_off = gateway.at(renew_at, renew)
    else:
        ask_at_resume(gateway, desk, peer, told)


def _renew(gateway: Gateway, desk: Desk, station_id: str, told: EtpOnWire) -> None:
    peer = gateway.peers.by_id[station_id]
    number = peer.evse_number(told.etp.evse_id)
    if peer.etps.get(number) is told:
        tell(gateway, desk, peer, number, is_renewal=True)


def _forget(told: EtpOnWire) -> None:
    if told.call_off is not None:
        told.call_off()
        told.call_off = None


def _goes_on(desk: Desk, peer: Peer, told: EtpOnWire) -> None:
    """Take in that a station may go on with the one period it was told before.

    Nobody tells it the further steps of that ETP any more; that a new one may not be
    stored is the loop's to notice.
    """
    older: EtpOnWire | None = told
    while older is not None and not older.is_accepted:
        older = older.before
    told.before = None
    if older is None or len(older.periods) != 1:
        return
    now, profile = desk.now, older.etp.profile
    steps = (profile.start_at + offset_s * SECOND for offset_s, _ in profile.changes)
    expected_w = min(profile.power_w(at) for at in (now, *steps) if at >= now)
    allowed_w = profile.max_power_w(now - _TOLD_SINCE, now)
    if allowed_w > expected_w:
        event = ScheduleCompared(
            evse_id=older.etp.evse_id,
            number=older.etp.number,
            expected_w=expected_w,
            allowed_w=allowed_w,
        )
        record_of_delivery(desk, peer, event)


def _status(answer: Wire) -> str:
    return str(getattr(answer, "status", ""))


def _reason(answer: Wire) -> str:
    info = getattr(answer, "status_info", UNSET)
    status = _status(answer)
    return status if info is UNSET else f"{status}: {info.reason_code}"


def _refused(desk: Desk, peer: Peer, etp: EtpSent, reason: str) -> None:
    reason = reason[:_REASON_LENGTH]
    event = EtpRefused(evse_id=etp.evse_id, number=etp.number, reason=reason)
    record_of_delivery(desk, peer, event)


def _superseded(desk: Desk, peer: Peer, etp: EtpSent, by_number: int) -> None:
    event = EtpSuperseded(evse_id=etp.evse_id, number=etp.number, by_number=by_number)
    record_of_delivery(desk, peer, event)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info2",
            "a station is told what its EV may draw (ETP)",
            (
                Carrier(("2.1",), "=", ("SetChargingProfile",), "out"),
                Carrier(
                    ("2.0.1",),
                    "=",
                    ("SetChargingProfile",),
                    "out",
                    "nothing says how long it holds offline",
                ),
                Carrier(("1.6",), "=", ("SetChargingProfile",), "out", "in tenths"),
                Carrier(
                    ALL_VERSIONS,
                    "~",
                    ("GetCompositeSchedule", "TriggerMessage"),
                    "out",
                    "what of it holds: accepted is stored, readings decide",
                ),
                Carrier(
                    V2,
                    "∅",
                    note="a station without smart charging is planned at its maximum",
                ),
            ),
        ),
    ),
    followers={
        EtpSent: etp_sent,
        EvseVacated: evse_vacated,
        StationTransactionReported: transaction_ended,
    },
    on_connected=connected,
    on_transaction=transaction_began,
)
