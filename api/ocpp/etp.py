"""ETPs on the wire: what of an ETP a station can be told, as its SetChargingProfile.

E1 Info2. Everything is rounded towards less power: limits down, decreases early,
increases late. So a station that follows its own rules never gets more than planned.
"""

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from api.ocpp.capabilities import Capabilities, Conditions, EvseWiring, RateUnit
from api.ocpp.charging_profiles import Draft, Purpose, Request, request
from domain.errors import InvalidValue
from domain.loop.station_state import VOLTAGE_MARGIN
from domain.model.profile import Change, PowerProfile, merged
from domain.model.values import MINUTE, SECOND, Current, Instant

# A clock is known this well: offsets below are none, and steps allow for it.
CLOCK_TOLERANCE: Final = 5 * SECOND
# Beyond, a clock may be set right at any moment: no future steps.
CLOCK_LIMIT: Final = MINUTE
# So much earlier than now a schedule starts; more than the tolerance and a second.
START_MARGIN: Final = 10 * SECOND
# Standing profiles, and any where the clock is unknown, start before every clock.
_BEFORE_ALL_CLOCKS: Final = 0
# IEC 61851: no EV charges with less by the pilot.
PILOT_FLOOR_A: Final = 6
# The schemas of 2.x take no more.
_MOST_PERIODS: Final = 1024
_TRANSACTION_ID_LENGTH: Final = 36
# More a float does not tell apart from its neighbours for certain.
_MOST_DECIMALS: Final = 6


class EtpOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An ETP's power, and the transaction it is for.

    From ``safe_from_at`` on nothing is planned: there the station gets the safe value,
    or the profile's where that is less. An offline station of 2.1 keeps to the ETP for
    ``max_offline_s``.
    """

    profile: PowerProfile
    safe_w: int
    safe_from_at: Instant
    transaction_id: int | str
    schedule_id: int
    max_offline_s: int = 15 * 60


class _Scale(NamedTuple):
    """From W to limits as integers: ``limit * 10**decimals``, of ``unit``."""

    unit: RateUnit
    decimals: int
    phases: int | None
    voltage_v: float
    floor_w: int

    def limit(self, power_w: int) -> int:
        """Return the largest limit that gives no more, 0 below the floor; exact."""
        if power_w < self.floor_w:
            return 0
        if self.unit == "W":
            return power_w * self._per_unit
        volts, per = self.voltage_v.as_integer_ratio()
        limit = power_w * self._per_unit * per // ((self.phases or 1) * volts)
        return limit if limit >= PILOT_FLOOR_A * self._per_unit else 0

    def on_wire(self, periods: tuple[Change, ...]) -> tuple[tuple[int, float], ...]:
        """Return periods with limits as numbers, whole ones written without a point."""
        scale = self._per_unit
        return tuple(
            (start_s, limit / scale if limit % scale else limit // scale)
            for start_s, limit in periods
        )

    @property
    def _per_unit(self) -> int:
        return int(10**self.decimals)


def etp_request(
    order: EtpOrder,
    wiring: EvseWiring,
    conditions: Conditions,
    capabilities: Capabilities,
) -> Request:
    """Return the message that gives a station's EVSE its ETP.

    A station that takes one period only, or whose clock is not to be relied on, gets
    the least that the ETP allows until ``conditions.renew_at``: without the next
    message by then, it goes on with that. Before the profile's start nothing is
    allowed: an ETP that begins later is sent when it begins.

    Raises
    ------
    InvalidValue
        for discharge, for what the version cannot carry, and for a wrong transaction.
    """
    _check_order(order, wiring, capabilities)
    scale = _scale(wiring, conditions, capabilities)
    steps = _steps(order, conditions.sent_at)
    offset = conditions.clock_offset_us
    is_unknown = offset is None or abs(offset) > CLOCK_LIMIT
    used = 0 if offset is None or abs(offset) <= CLOCK_TOLERANCE else offset
    # Whole seconds, in the station's time; a fast clock may be set right meanwhile.
    start_at = conditions.sent_at + min(0, used) - START_MARGIN
    start_at -= start_at % SECOND
    most = min(capabilities.max_periods, _MOST_PERIODS)
    if conditions.renew_at < conditions.sent_at:
        raise InvalidValue("An ETP is sent again after it was sent, not before")
    if is_unknown or most < 2:
        least_w = min(power for at, power in steps if at <= conditions.renew_at)
        periods: tuple[Change, ...] = ((0, scale.limit(least_w)),)
    else:
        limits = [(at + used - start_at, scale.limit(power)) for at, power in steps]
        renewed_s = (conditions.renew_at + used - start_at) / SECOND
        periods = _fewer(_cautious(limits), most, renewed_s)
    return request(
        Draft(
            purpose="TxProfile",
            evse_number=wiring.number,
            schedule_id=order.schedule_id,
            start_at=_BEFORE_ALL_CLOCKS if offset is None else start_at,
            unit=scale.unit,
            periods=scale.on_wire(periods),
            number_phases=scale.phases,
            transaction_id=order.transaction_id,
            max_offline_s=order.max_offline_s,
        ),
        capabilities,
    )


def start_request(
    power_w: int, wiring: EvseWiring, capabilities: Capabilities, schedule_id: int
) -> Request:
    """Return the profile that a transaction is to begin with, before it has an id.

    Its first ETP takes its place.
    """
    return _standing("TxProfile", power_w, wiring, capabilities, schedule_id)


def default_request(
    power_w: int, wiring: EvseWiring, capabilities: Capabilities, schedule_id: int
) -> Request:
    """Return the standing profile of an EVSE: of transactions that have no ETP."""
    if wiring.number < 1:
        raise InvalidValue(f"A default is for an EVSE, not for number {wiring.number}")
    return _standing("TxDefaultProfile", power_w, wiring, capabilities, schedule_id)


def maximum_request(
    power_w: int, wiring: EvseWiring, capabilities: Capabilities, schedule_id: int
) -> Request:
    """Return the profile that no other of the station goes beyond."""
    if wiring.number != 0:
        raise InvalidValue(f"A maximum is the station's, not of EVSE {wiring.number}")
    return _standing(
        "ChargingStationMaxProfile", power_w, wiring, capabilities, schedule_id
    )


def allowed_w(
    limit: float,
    unit: RateUnit,
    number_phases: int | None,
    wiring: EvseWiring,
    conditions: Conditions,
    capabilities: Capabilities,
) -> int:
    """Return what a limit of the station's allows, as we count [W]."""
    if unit == "W":
        return math.ceil(limit)
    same = msgspec.structs.replace(capabilities, unit="A")
    scale = _scale(wiring, conditions, same)
    return math.ceil(limit * (number_phases or scale.phases or 1) * scale.voltage_v)


def _standing(
    purpose: Purpose,
    power_w: int,
    wiring: EvseWiring,
    capabilities: Capabilities,
    schedule_id: int,
) -> Request:
    _check_charges(power_w)
    # For any EV that may come, at any voltage.
    scale = _scale(wiring, Conditions(sent_at=0, renew_at=0), capabilities)
    draft = Draft(
        purpose=purpose,
        evse_number=wiring.number,
        schedule_id=schedule_id,
        start_at=_BEFORE_ALL_CLOCKS,
        unit=scale.unit,
        periods=scale.on_wire(((0, scale.limit(power_w)),)),
        number_phases=scale.phases,
    )
    return request(draft, capabilities)


def _scale(
    wiring: EvseWiring, conditions: Conditions, capabilities: Capabilities
) -> _Scale:
    if wiring.current == Current.DC and capabilities.unit == "A":
        raise InvalidValue("A limit in A says nothing of power on a DC EVSE")
    most_decimals = 1 if capabilities.version == "1.6" else _MOST_DECIMALS
    if not 0 <= capabilities.decimals <= most_decimals:
        raise InvalidValue(f"Limits with {capabilities.decimals} decimals")
    voltage_v = conditions.measured_v
    if voltage_v is None:
        voltage_v = wiring.nominal_v * VOLTAGE_MARGIN
    if not 0 < voltage_v < math.inf:
        raise InvalidValue(f"{voltage_v} V is no voltage to count with")
    return _Scale(
        capabilities.unit,
        capabilities.decimals,
        None
        if wiring.current == Current.DC
        else _phases(wiring, conditions, capabilities),
        voltage_v,
        wiring.floor_w,
    )


def _phases(
    wiring: EvseWiring, conditions: Conditions, capabilities: Capabilities
) -> int:
    """Return how many phases the EV's current flows on, at most."""
    phases = conditions.phases_in_use or wiring.phases
    if conditions.switched_phases is not None:
        if not capabilities.can_switch_phases:
            raise InvalidValue("The station does not switch phases in a transaction")
        phases = conditions.switched_phases
    if not 1 <= phases <= wiring.phases:
        raise InvalidValue(f"{phases} phases on an EVSE with {wiring.phases}")
    return phases


def _check_order(
    order: EtpOrder, wiring: EvseWiring, capabilities: Capabilities
) -> None:
    for power_w in (order.safe_w, *(power for _, power in order.profile.changes)):
        _check_charges(power_w)
    if wiring.number < 1:
        raise InvalidValue(f"An ETP is for an EVSE, not for number {wiring.number}")
    transaction_id = order.transaction_id
    is_of_version = (
        type(transaction_id) is int
        if capabilities.version == "1.6"
        else isinstance(transaction_id, str)
        and 0 < len(transaction_id) <= _TRANSACTION_ID_LENGTH
    )
    if not is_of_version:
        raise InvalidValue(
            f"{transaction_id!r} is no transaction of OCPP {capabilities.version}"
        )


def _check_charges(power_w: int) -> None:
    if power_w < 0:
        raise InvalidValue(f"{power_w} W: discharge is not carried to stations yet")


def _steps(order: EtpOrder, sent_at: Instant) -> list[tuple[Instant, int]]:
    """Return what is allowed from ``sent_at`` on: (instant, W), the safe value last."""
    profile, safe_at = order.profile, max(sent_at, order.safe_from_at)
    points = {profile.start_at + offset_s * SECOND for offset_s, _ in profile.changes}
    points |= {sent_at, safe_at}
    planned = [(at, profile.power_w(at)) for at in sorted(points) if at >= sent_at]
    return [
        (at, power_w if at < safe_at else min(power_w, order.safe_w))
        for at, power_w in planned
    ]


def _cautious(steps: list[tuple[int, int]]) -> tuple[Change, ...]:
    """Return steps [µs] as periods [s] that are right by every clock of the tolerance.

    Each limit is in force from the tolerance before its step to the tolerance after
    the next one; where several are, the least of them counts.
    """
    limits = [limit for _, limit in steps]
    froms = [0, *((at - CLOCK_TOLERANCE) // SECOND for at, _ in steps[1:])]
    untils = [-(-(at + CLOCK_TOLERANCE) // SECOND) for at, _ in steps[1:]]
    return merged(
        (at_s, min(limits[bisect_right(untils, at_s) : bisect_right(froms, at_s)]))
        for at_s in sorted({*froms, *untils})
    )


def _fewer(
    periods: tuple[Change, ...], most: int, renewed_s: float
) -> tuple[Change, ...]:
    """Return at most so many periods; two that become one get the lower limit.

    Which two: those that lose the least charge before the renewal, then after it.
    """
    while len(periods) > most:
        ends = [*(start for start, _ in periods[1:]), math.inf]
        losses = []
        for at, ((start, here), (middle, there)) in enumerate(pairwise(periods)):
            since, until = (start, middle) if here > there else (middle, ends[at + 1])
            lost = abs(here - there)
            before = lost * max(0, min(until, renewed_s) - since)
            losses.append((before, lost * (until - since)))
        at = losses.index(min(losses))
        lower = (periods[at][0], min(periods[at][1], periods[at + 1][1]))
        periods = merged((*periods[:at], lower, *periods[at + 2 :]))
    return periods
