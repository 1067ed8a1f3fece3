"""A station as the schemas describe it: which power do its own rules allow?

Shares no code with the gateway. It reads SetChargingProfile as JSON, keeps profiles by
purpose and stack level, and goes by its own clock, phases and voltage.
"""

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

Json = dict[str, Any]
Watts = Fraction | float  # math.inf: no limit

MAXIMA = ("ChargePointMaxProfile", "ChargingStationMaxProfile")


@dataclass
class Station:
    """One station; all instants asked of it are true ones, its clock is its own."""

    version: str
    unit: str
    max_periods: int
    decimals: int
    max_stack_level: int
    switches_phases: bool
    ev_phases: int
    voltage_v: Fraction
    clock_offset: timedelta
    is_dc: bool = False
    transactions: dict[int, Any] = field(default_factory=dict)
    profiles: dict[tuple[int, str, int], Json] = field(default_factory=dict)
    offline_since: datetime | None = None

    def set_charging_profile(self, payload: bytes) -> str:
        """Take a request; return what is wrong with it, or nothing."""
        message = json.loads(payload, parse_float=Decimal)
        if self.version == "1.6":
            evse, profile = message["connectorId"], message["csChargingProfiles"]
            schedules = [profile["chargingSchedule"]]
            number = profile["chargingProfileId"]
        else:
            evse, profile = message["evseId"], message["chargingProfile"]
            schedules = profile["chargingSchedule"]
            number = profile["id"]
        refusal = self._refusal(evse, profile) or self._unread(schedules)
        if refusal:
            return refusal
        purpose, level = profile["chargingProfilePurpose"], profile["stackLevel"]
        kept = {**profile, "number": number, "schedule": schedules[0]}
        for place, other in self.profiles.items():
            if (place == (evse, purpose, level)) != (other["number"] == number):
                return "another id at this level, or this id elsewhere"
        self.profiles[evse, purpose, level] = kept
        return ""

    def _refusal(self, evse: int, profile: Json) -> str:
        purpose = profile["chargingProfilePurpose"]
        running = self.transactions.get(evse)
        if purpose == "TxProfile" and (evse < 1 or running is None):
            return "no transaction"
        if purpose == "TxProfile" and profile.get("transactionId") != running:
            return "another transaction"
        if purpose != "TxProfile" and "transactionId" in profile:
            return "a transaction where none belongs"
        if purpose in MAXIMA and evse != 0:
            return "a maximum of one EVSE"
        if profile["chargingProfileKind"] != "Absolute":
            return "not absolute"
        if not 0 <= profile["stackLevel"] <= self.max_stack_level:
            return "stack level"
        return ""

    def _unread(self, schedules: list[Json]) -> str:
        if len(schedules) != 1 or "startSchedule" not in schedules[0]:
            return "not one schedule with a start"
        schedule = schedules[0]
        periods = schedule["chargingSchedulePeriod"]
        starts = [period["startPeriod"] for period in periods]
        if schedule["chargingRateUnit"] != self.unit:
            return "unit"
        if not 1 <= len(periods) <= self.max_periods:
            return f"{len(periods)} periods"
        if starts[0] != 0 or sorted(set(starts)) != starts:
            return "starts of periods"
        for period in periods:
            limit = Fraction(period["limit"])
            if limit < 0 or (limit * 10**self.decimals).denominator != 1:
                return f"limit {limit}"
            if self.is_dc and "numberPhases" in period:
                return "phases of DC"
        return ""

    def allowed_w(self, evse: int, at: datetime) -> Watts:
        """Return the most that an EV at this EVSE can draw at a true instant [W]."""
        maxima = [self._in_force(0, purpose, at) for purpose in MAXIMA]
        own = None
        if self.transactions.get(evse) is not None:
            own = self._in_force(evse, "TxProfile", at)
        if own is None:
            own = self._in_force(evse, "TxDefaultProfile", at)
        if own is None:
            own = self._in_force(0, "TxDefaultProfile", at)
        return min(
            (self._power_w(one) for one in (own, *maxima) if one is not None),
            default=math.inf,
        )

    def reboot(self) -> None:
        """Forget the profiles of transactions, as stations do."""
        for place in [place for place in self.profiles if place[1] == "TxProfile"]:
            del self.profiles[place]

    def step_instants(self) -> list[datetime]:
        """Return the true instants at which a profile of its own changes."""
        return [
            clock(profile["schedule"]["startSchedule"])
            + timedelta(seconds=period["startPeriod"])
            - self.clock_offset
            for profile in self.profiles.values()
            for period in profile["schedule"]["chargingSchedulePeriod"]
        ]

    def _in_force(self, evse: int, purpose: str, at: datetime) -> Json | None:
        """Return the period and unit in force, of the highest level that has one."""
        for place in sorted(self.profiles, key=lambda one: -one[2]):
            if place[:2] == (evse, purpose):
                period = self._period(self.profiles[place], at)
                if period is not None:
                    return period
        return None

    def _period(self, profile: Json, at: datetime) -> Json | None:
        now = at + self.clock_offset
        schedule = profile["schedule"]
        since = (now - clock(schedule["startSchedule"])) / timedelta(seconds=1)
        if since < 0 or since >= schedule.get("duration", math.inf):
            return None
        if "validFrom" in profile and now < clock(profile["validFrom"]):
            return None
        if "validTo" in profile and now >= clock(profile["validTo"]):
            return None
        most_s = profile.get("maxOfflineDuration", math.inf)
        if self.offline_since is not None and (
            at - self.offline_since
        ).total_seconds() > (most_s):
            return None
        begun = [
            p for p in schedule["chargingSchedulePeriod"] if p["startPeriod"] <= since
        ]
        return {"unit": schedule["chargingRateUnit"], **begun[-1]}

    def _power_w(self, period: Json) -> Fraction:
        limit = Fraction(period["limit"])
        if self.is_dc:
            return limit
        told = period.get("numberPhases", 3)
        drawn = min(told, self.ev_phases) if self.switches_phases else self.ev_phases
        # In W a station divides by the phases that it is told, whatever the EV has.
        current_a = limit if period["unit"] == "A" else limit / told / self.voltage_v
        return current_a * drawn * self.voltage_v


def clock(text: str) -> datetime:
    """Read an instant of the wire."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
