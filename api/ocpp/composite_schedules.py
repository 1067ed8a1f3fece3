"""What a station says it will allow (GetCompositeSchedule), against what it was told.

More than it was told is not believed to be meant: it is told again. Less is somebody
else's limit, which holds for a while and is then looked at again. (Of an ETP a station
may have been told less than it says: the least until it is told again, rounded down.)
"""

import math
from functools import partial
from typing import Final, NamedTuple, cast

from msgspec import UNSET

from api.ocpp.calls import Answered, Call, NotAnswered, Refusal, Urgency
from api.ocpp.capabilities import Conditions, RateUnit
from api.ocpp.desk import Desk
from api.ocpp.etp import allowed_w
from api.ocpp.facts import record_of_delivery, record_of_station
from api.ocpp.gateway import Gateway
from api.ocpp.peers import EtpOnWire, Peer
from api.ocpp.v16 import datatypes as d16
from api.ocpp.v16 import messages as v16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as v201
from api.ocpp.wire import Wire
from domain.errors import InvalidValue
from domain.model.profile import PowerProfile
from domain.model.station_events import LimitReported, ScheduleCompared
from domain.model.values import MINUTE, SECOND, Instant, instant_of

# The source of a limit that only the composite schedule shows.
SOURCE: Final = "composite-schedule"
# How far ahead a station is asked, how long what is lower holds, and around now no step
# of the ETP is taken for somebody else's doing.
_ASKED_S: Final = 60
_HOLDS: Final = 15 * MINUTE
_AROUND: Final = 15 * SECOND
_TOLERANCE_W: Final = 100
_TOLERANCE_SHARE: Final = 0.02


class _Limit(NamedTuple):
    value: float
    unit: str
    number_phases: int | None


def compare_later(gateway: Gateway, desk: Desk, peer: Peer, number: int) -> None:
    """Ask what the station allows an EVSE, and record where that is another power."""
    slot = f"composite/{number}"
    answered = partial(_answered, number=number)
    action, request = _asked(peer, number)
    call = Call(action, request, answered, Urgency.REPORT, slot)
    gateway.ask(desk, peer, call)


def _asked(peer: Peer, number: int) -> tuple[str, Wire]:
    action, unit = "GetCompositeSchedule", peer.capabilities.unit
    if peer.version == "1.6":
        return action, v16.GetCompositeScheduleRequest(
            connector_id=number, duration=_ASKED_S, charging_rate_unit=unit
        )
    messages = v201 if peer.version == "2.0.1" else v21
    return action, messages.GetCompositeScheduleRequest(
        evse_id=number, duration=_ASKED_S, charging_rate_unit=unit
    )


def _answered(
    gateway: Gateway, desk: Desk, peer: Peer, answered: Answered, *, number: int
) -> None:
    told = peer.etps.get(number)
    if told is None or isinstance(answered, Refusal | NotAnswered):
        return
    station_now = desk.now + (peer.clock_offset or 0)
    limit = _limit_of(answered, station_now)
    if limit is None:
        return
    transaction = peer.transactions.get(number)
    measured_v = None if transaction is None else transaction.measured_v
    wired = _told_limit(peer, told, station_now)
    try:
        allowed = _allowed_w(desk, peer, told, limit, measured_v)
        # It may have been told before the voltage was known.
        at_most = max(allowed, _allowed_w(desk, peer, told, limit, None))
        told_w = _allowed_w(desk, peer, told, wired, measured_v)
    except InvalidValue:
        return  # amperes of a DC EVSE say nothing
    _compare(gateway, desk, peer, told, allowed, at_most, told_w)


def _told_limit(peer: Peer, told: EtpOnWire, station_now: Instant) -> _Limit:
    """Return the least that the station was told for around now."""
    since_s = (station_now - _AROUND - told.begin_at) / SECOND
    until_s = (station_now + _AROUND - told.begin_at) / SECOND
    ends = [*(start_s for start_s, _ in told.periods[1:]), math.inf]
    around = [
        limit
        for (start_s, limit), end_s in zip(told.periods, ends, strict=True)
        if start_s <= until_s and since_s < end_s
    ]
    return _Limit(min(around, default=0.0), peer.capabilities.unit, None)


def _limit_of(answer: Wire, station_now: Instant) -> _Limit | None:
    """Return the limit that an answer says for now; None where it says none."""
    if getattr(answer, "status", "") != "Accepted":
        return None
    if isinstance(answer, v16.GetCompositeScheduleResponse):
        if answer.charging_schedule is UNSET:
            return None
        told_at = answer.schedule_start
        begin = station_now if told_at is UNSET else instant_of(told_at)
        return _period(answer.charging_schedule, station_now - begin)
    kinds = v201.GetCompositeScheduleResponse | v21.GetCompositeScheduleResponse
    if not isinstance(answer, kinds) or answer.schedule is UNSET:
        return None
    begin = instant_of(answer.schedule.schedule_start)
    return _period(answer.schedule, station_now - begin)


def _period(
    schedule: d16.ChargingSchedule | d201.CompositeSchedule | d21.CompositeSchedule,
    since: Instant,
) -> _Limit | None:
    periods = schedule.charging_schedule_period
    begun = [p for p in periods if p.start_period * SECOND <= max(since, 0)]
    if not begun or begun[-1].limit is UNSET:
        return None
    phases = begun[-1].number_phases
    return _Limit(
        begun[-1].limit,
        schedule.charging_rate_unit,
        None if phases is UNSET else phases,
    )


def _allowed_w(
    desk: Desk, peer: Peer, told: EtpOnWire, limit: _Limit, measured_v: float | None
) -> int:
    conditions = Conditions(
        sent_at=desk.now,
        renew_at=desk.now,
        phases_in_use=told.phases_in_use,
        measured_v=measured_v,
    )
    return allowed_w(
        limit.value,
        cast(RateUnit, limit.unit),
        limit.number_phases,
        peer.wiring(told.etp.evse_id),
        conditions,
        peer.capabilities,
    )


def _compare(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    told: EtpOnWire,
    allowed: int,
    at_most: int,
    told_w: int,
) -> None:
    now, profile = desk.now, told.etp.profile
    begin = max(now - _AROUND, profile.start_at)
    least = min(profile.power_w(at) for at in (begin, now, now + _AROUND))
    most = profile.max_power_w(begin, now + _AROUND)
    step_w = _step_w(peer, told)
    is_more = allowed > most + max(_TOLERANCE_W, _TOLERANCE_SHARE * most)
    floor_w = peer.evses[told.etp.evse_id].floor_w
    least = min(least, told_w)
    is_less = least >= floor_w + step_w and at_most < least - step_w
    if not is_more and not is_less:
        return
    compared = ScheduleCompared(
        evse_id=told.etp.evse_id,
        number=told.etp.number,
        expected_w=profile.power_w(now),
        allowed_w=allowed,
    )
    record_of_delivery(desk, peer, compared)
    if is_less:
        _limited(gateway, desk, peer, told, allowed)


def _step_w(peer: Peer, told: EtpOnWire) -> float:
    """Return what rounding down may take away, and a tolerance."""
    evse = peer.evses[told.etp.evse_id]
    able = peer.capabilities
    unit_w = 1.1 * evse.voltage_v * max(evse.phases, 1) if able.unit == "A" else 1.0
    step_w: float = unit_w / 10**able.decimals
    return step_w + _TOLERANCE_W + _TOLERANCE_SHARE * evse.max_w


def _limited(
    gateway: Gateway, desk: Desk, peer: Peer, told: EtpOnWire, allowed: int
) -> None:
    """Record somebody else's limit for a while; then what holds is asked again."""
    start_at = desk.now - desk.now % SECOND
    most_w = peer.evses[told.etp.evse_id].max_w
    changes = ((0, allowed), (_HOLDS // SECOND, most_w))
    event = LimitReported(
        station_id=peer.station_id,
        evse_id=told.etp.evse_id,
        source=SOURCE,
        profile=PowerProfile(start_at, changes),
    )
    record_of_station(desk, peer, event)
    again = partial(_again, gateway, station_id=peer.station_id, told=told)
    gateway.at(desk.now + _HOLDS, again)


def _again(gateway: Gateway, desk: Desk, station_id: str, told: EtpOnWire) -> None:
    peer = gateway.peers.by_id[station_id]
    number = peer.evse_number(told.etp.evse_id)
    if number in peer.transactions and number in peer.etps:
        compare_later(gateway, desk, peer, number)
