"""Charging schedules that are not ours as power over time: limits, what EVs intend."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from api.ocpp.clock import our_time
from api.ocpp.peers import Peer
from api.ocpp.v21 import datatypes as v21
from api.ocpp.v201 import datatypes as v201
from domain.model.profile import POWER_LIMIT_W, PowerProfile, merged
from domain.model.values import SECOND, Instant, instant_of

Schedule = v201.ChargingSchedule | v21.ChargingSchedule
Period = v201.ChargingSchedulePeriod | v21.ChargingSchedulePeriod

# What OCPP counts with where a period does not say how many phases it means.
_ALL_PHASES = 3


class Wires(NamedTuple):
    """What amperes are counted with."""

    phases: int
    voltage_v: int


def wires_of(peer: Peer, evse_id: str) -> Wires:
    """Return what an EVSE is wired to; of the station, the most phases, least V."""
    evses = [peer.evses[evse_id]] if evse_id else list(peer.evses.values())
    return Wires(
        max((evse.phases for evse in evses), default=_ALL_PHASES),
        min((evse.voltage_v for evse in evses), default=230),
    )


def power_profile(
    peer: Peer,
    schedule: Schedule,
    wires: Wires,
    now: Instant,
    *,
    start_at: Instant | None = None,
    beyond_w: int = POWER_LIMIT_W,
) -> PowerProfile:
    """Return a schedule as power from now on, rounded down.

    Without a start of its own it starts at ``start_at``, else now. Where it says
    nothing, before and after it, is ``beyond_w``.
    """
    if isinstance(schedule.start_schedule, UnsetType):
        start_at = now if start_at is None else start_at
    else:
        start_at = our_time(peer, instant_of(schedule.start_schedule))
    steps: dict[Instant, int] = {}
    for period in schedule.charging_schedule_period:
        at = start_at + max(0, period.start_period) * SECOND
        power_w = _power_w(period, schedule.charging_rate_unit, wires, beyond_w)
        steps[at] = min(power_w, steps.get(at, POWER_LIMIT_W))
    if not isinstance(schedule.duration, UnsetType):
        end_at = start_at + max(0, schedule.duration) * SECOND
        steps = {at: power_w for at, power_w in steps.items() if at < end_at}
        steps[end_at] = beyond_w
    return _from(now, steps, beyond_w)


def lowest(profiles: Sequence[PowerProfile], now: Instant) -> PowerProfile:
    """Return the lowest of some profiles at each instant from now on."""
    at = {now}
    for profile in profiles:
        begin = profile.start_at
        at |= {begin + offset_s * SECOND for offset_s, _ in profile.changes}
    steps = {each: min(p.power_w(each) for p in profiles) for each in at if each >= now}
    return _from(now, steps, 0)


def _from(now: Instant, steps: dict[Instant, int], before_w: int) -> PowerProfile:
    """Return the profile of steps from an instant on, in whole seconds.

    What begins within a second has it all if it is lower, none of it if it is higher.
    """
    changes: dict[int, int] = {}
    last_w = before_w
    for at, power_w in sorted(steps.items()):
        offset, rest = divmod(at - now, SECOND)
        if power_w > last_w and rest:
            offset += 1
        offset = max(0, offset)
        changes.pop(offset + 1, None)
        changes[offset] = power_w
        last_w = power_w
    changes.setdefault(0, before_w)
    return PowerProfile(now, merged(sorted(changes.items())))


def _power_w(period: Period, unit: str, wires: Wires, beyond_w: int) -> int:
    limits = [period.limit]
    if isinstance(period, v21.ChargingSchedulePeriod):
        limits += [period.limit_l2, period.limit_l3]
    told = [limit for limit in limits if not isinstance(limit, UnsetType)]
    if not told:
        return beyond_w
    power_w = sum(told)
    if unit == "A":
        per_phase = len(told) > 1
        number = period.number_phases
        phases = min(_ALL_PHASES if number is UNSET else number, wires.phases)
        power_w *= wires.voltage_v * (1 if per_phase else max(1, phases))
    return int(max(-POWER_LIMIT_W, min(power_w, POWER_LIMIT_W)) // 1)
