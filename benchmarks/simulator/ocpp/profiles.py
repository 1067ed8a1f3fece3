"""Charging profiles as a station stores and obeys them, by its own reading of them.

Of each purpose the highest stack level that has a period now holds; a profile of the
transaction replaces the default one, and the station's maximum holds over both. Without
any, an EVSE gives all it can.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.model.values import DAY, SECOND, Instant, instant_of

Json = dict[str, Any]

TX, DEFAULT, MAXIMUM = "TxProfile", "TxDefaultProfile", "maximum"
_MAXIMUMS = (
    "ChargePointMaxProfile",
    "ChargingStationMaxProfile",
    "ChargingStationExternalConstraints",
)
_RECURRING = {"Daily": DAY, "Weekly": 7 * DAY}
NO_LIMIT = math.inf


class Unacceptable(Exception):
    """Why a profile is not stored; its text is the reason's code."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What an EVSE is wired to."""

    voltage_v: float
    phases: int
    is_dc: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile; periods are (start [s], limit, phases)."""

    id: int
    purpose: str
    evse: int
    level: int
    kind: str
    unit: str
    periods: tuple[tuple[int, float, int], ...]
    transaction_id: str | int | None = None
    start_at: Instant | None = None
    duration: Instant | None = None
    from_at: Instant = 0
    until_at: Instant | None = None
    every: Instant = 0
    offline_at_most: Instant | None = None
    raw: Json | None = None

    def begun_at(self, at: Instant, transaction_at: Instant) -> Instant:
        """Return when the schedule that holds at an instant began."""
        if self.kind == "Relative" or self.start_at is None:
            return transaction_at
        if self.every and at > self.start_at:
            return at - (at - self.start_at) % self.every
        return self.start_at

    def limit_w(self, at: Instant, transaction_at: Instant, wiring: Wiring) -> float:
        """Return what it allows [W]; NO_LIMIT where it has no period."""
        begun_at = self.begun_at(at, transaction_at)
        past = at - begun_at
        is_over = self.duration is not None and past >= self.duration
        is_valid = self.from_at <= at and (self.until_at is None or at < self.until_at)
        if past < 0 or is_over or not is_valid:
            return NO_LIMIT
        limit, phases = 0.0, 3
        for start_s, value, of_phases in self.periods:
            if start_s * SECOND > past:
                break
            limit, phases = value, of_phases
        if self.unit == "W":
            return limit
        lines = 1 if wiring.is_dc else min(phases, wiring.phases)
        return limit * wiring.voltage_v * lines

    def changes_after(self, at: Instant, transaction_at: Instant) -> Iterable[Instant]:
        """Return the instants at which it may allow something else."""
        begun_at = self.begun_at(at, transaction_at)
        yield begun_at
        for start_s, _, _ in self.periods:
            yield begun_at + start_s * SECOND
        if self.duration is not None:
            yield begun_at + self.duration
        yield self.from_at
        if self.until_at is not None:
            yield self.until_at
        if self.every:
            yield begun_at + self.every


def instant_of_text(text: str) -> Instant:
    """Return an instant of the wire."""
    return instant_of(datetime.fromisoformat(text))


def profile_of(raw: Json, evse: int) -> Profile:
    """Read a profile of 1.6 (``csChargingProfiles``) or 2.x (``chargingProfile``)."""
    schedule = raw["chargingSchedule"]
    if isinstance(schedule, list):
        schedule = schedule[0]
    purpose = raw["chargingProfilePurpose"]
    start, duration = schedule.get("startSchedule"), schedule.get("duration")
    until, offline_s = raw.get("validTo"), raw.get("maxOfflineDuration")
    return Profile(
        id=raw["id"] if "id" in raw else raw["chargingProfileId"],
        purpose=MAXIMUM if purpose in _MAXIMUMS else purpose,
        evse=evse,
        level=raw["stackLevel"],
        kind=raw["chargingProfileKind"],
        unit=schedule["chargingRateUnit"],
        periods=tuple(
            (p["startPeriod"], p["limit"], p.get("numberPhases", 3))
            for p in schedule["chargingSchedulePeriod"]
        ),
        transaction_id=raw.get("transactionId"),
        start_at=None if start is None else instant_of_text(start),
        duration=None if duration is None else duration * SECOND,
        from_at=instant_of_text(raw["validFrom"]) if "validFrom" in raw else 0,
        until_at=None if until is None else instant_of_text(until),
        every=_RECURRING.get(raw.get("recurrencyKind", ""), 0),
        offline_at_most=None if offline_s is None else offline_s * SECOND,
        raw=raw,
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """What decides which profiles hold: transaction, clock, connection.

    ``offline_since`` is 0 while the station is connected.
    """

    evse: int
    at: Instant
    transaction_id: str | int | None
    transaction_at: Instant
    offline_since: Instant = 0


@dataclass(slots=True)
class ProfileSet:
    """All profiles that a station has stored."""

    unit: tuple[str, ...]
    max_periods: int
    max_level: int
    profiles: list[Profile]

    def put(self, profile: Profile, active: str | int | None) -> None:
        """Store a profile; ``active`` is the transaction of its EVSE, if there is one.

        Raises
        ------
        Unacceptable
            with its reason's code.
        """
        self._check(profile, active)
        if profile.purpose == TX and profile.transaction_id is None:
            profile = replace(profile, transaction_id=active)
        key = _key(profile)
        rivals = [p for p in self.profiles if _key(p) == key and p.id != profile.id]
        if rivals and profile.purpose == TX:
            raise Unacceptable("DuplicateProfile")
        self.profiles = [
            p for p in self.profiles if p.id != profile.id and _key(p) != key
        ]
        self.profiles.append(profile)

    def _check(self, profile: Profile, active: str | int | None) -> None:
        rules = {
            "TxNotFound": profile.purpose == TX
            and (active is None or profile.transaction_id not in (None, active)),
            "InvalidProfile": (profile.purpose == TX and profile.evse == 0)
            or (profile.purpose == MAXIMUM and profile.evse != 0),
            "InvalidStackLevel": profile.level > self.max_level,
            "TooManyPeriods": len(profile.periods) > self.max_periods,
            "UnsupportedRateUnit": profile.unit not in self.unit,
            "NoStartSchedule": profile.kind == "Absolute" and profile.start_at is None,
            "StartScheduleSet": profile.kind == "Relative"
            and profile.start_at is not None,
            "InvalidSchedule": not profile.periods
            or profile.periods[0][0] != 0
            or any(
                a[0] >= b[0]
                for a, b in zip(profile.periods, profile.periods[1:], strict=False)
            ),
        }
        for code, is_broken in rules.items():
            if is_broken:
                raise Unacceptable(code)

    def clear(
        self,
        profile_id: int | None,
        purpose: str | None = None,
        evse: int | None = None,
        level: int | None = None,
    ) -> bool:
        """Forget the profiles that match; whether there was one."""
        wanted = MAXIMUM if purpose in _MAXIMUMS else purpose
        kept = [
            p
            for p in self.profiles
            if (p.id != profile_id if profile_id is not None else False)
            or (wanted is not None and p.purpose != wanted)
            or (evse is not None and p.evse != evse)
            or (level is not None and p.level != level)
        ]
        found = len(kept) < len(self.profiles)
        self.profiles = kept
        return found

    def forget_transactions(self, evse: int | None = None) -> None:
        """Forget the profiles of transactions: one ended, or the station booted."""
        self.profiles = [
            p
            for p in self.profiles
            if p.purpose != TX or (evse is not None and p.evse != evse)
        ]

    def limit_w(self, moment: Moment, wiring: Wiring) -> float:
        """Return what the station allows at an EVSE [W]; NO_LIMIT: no profile says."""
        most_w = self._of(MAXIMUM, moment, wiring)
        of_transaction = NO_LIMIT
        if moment.transaction_id is not None:
            of_transaction = self._of(TX, moment, wiring)
        if of_transaction == NO_LIMIT:
            of_transaction = self._of(DEFAULT, moment, wiring)
        return min(most_w, of_transaction)

    def _of(self, purpose: str, moment: Moment, wiring: Wiring) -> float:
        for profile in self._ranked(purpose, moment):
            limit_w = profile.limit_w(moment.at, moment.transaction_at, wiring)
            if limit_w != NO_LIMIT:
                return limit_w
        return NO_LIMIT

    def _ranked(self, purpose: str, moment: Moment) -> list[Profile]:
        """Return what may hold, the first first."""
        found = [
            p
            for p in self.profiles
            if p.purpose == purpose
            and p.evse in (0, moment.evse)
            and (purpose != TX or p.transaction_id == moment.transaction_id)
            and not _is_too_long_offline(p, moment)
        ]
        return sorted(found, key=lambda p: (-p.level, -p.evse))

    def next_change(self, moment: Moment) -> Instant | None:
        """Return when the limit may next be another by time alone."""
        due = [
            at
            for p in self.profiles
            if p.evse in (0, moment.evse)
            for at in p.changes_after(moment.at, moment.transaction_at)
            if at > moment.at
        ]
        if moment.offline_since:
            due += [
                moment.offline_since + p.offline_at_most
                for p in self.profiles
                if p.offline_at_most is not None
                and moment.offline_since + p.offline_at_most > moment.at
            ]
        return min(due, default=None)


def _key(profile: Profile) -> tuple[str, int, int, str | int | None]:
    of = profile.transaction_id if profile.purpose == TX else None
    return profile.purpose, profile.evse, profile.level, of


def _is_too_long_offline(profile: Profile, moment: Moment) -> bool:
    return (
        profile.offline_at_most is not None
        and moment.offline_since > 0
        and moment.at >= moment.offline_since + profile.offline_at_most
    )
