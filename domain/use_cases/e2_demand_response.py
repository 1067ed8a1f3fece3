"""E2 Charging with demand response (IEC 63110-1 8.2.4); by `shared_path`.

A CSO or energy manager brings an incentive of a secondary actor: a tariff, CO2, a
maximum power, a peak hour, for a zone and a time. Stations are told by the gateway,
which follows the log; `e2_incentive_effects` says what it is to EVSEs and sessions. The
EV user takes part or refuses, and the last answer binds. (What a CEM makes of its own
incentives comes as a PRE, by E4.)
"""

from collections.abc import Sequence

import msgspec

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import ids
from domain.model import incentive_events as n
from domain.model.profile import POWER_LIMIT_W, Change, check_changes
from domain.model.session import Session
from domain.model.values import DAY, SECOND, Instant, iso_of
from domain.ports import Answer, Append, Batch, System, Timer
from domain.use_cases.clause_6_2_joining import check_impersonal, resolve
from domain.use_cases.e1_smart_charging import check_currency
from domain.use_cases.e2_incentive_effects import (
    announced,
    begun,
    begun_at,
    ended,
    ended_of,
    limited,
    load_incentives,
)
from domain.use_cases.shared_path import By, decision, load_zone, record

# The kind of its timers; their keys are id and which of the two.
INCENTIVE = "incentive"
_BEGIN, _END = "begin", "end"

LONGEST = 7 * DAY
LONGEST_AHEAD = 31 * DAY
PRICE_LIMIT_MINOR = 1_000_000
CO2_LIMIT_G = 10_000
MOST_CHANGES = 7 * 96
_LONGEST_TEXT = 200


class ReceiveIncentive(msgspec.Struct, frozen=True, kw_only=True):
    """An incentive for a zone; its fields are those of `IncentiveReceived`."""

    zone_id: str
    incentive_id: str
    from_at: Instant
    until_at: Instant
    currency: str = ""
    tariff: tuple[Change, ...] = ()
    co2: tuple[Change, ...] = ()
    maximum_w: int | None = None
    peak: str = ""

    def check(self, at: Instant) -> None:
        """Refuse one that is over, that says nothing, or that is out of all range."""
        ids.name_of("incentive id", self.incentive_id)
        name = f"incentive {self.incentive_id}"
        check_impersonal(name, self.peak)
        if not max(at, self.from_at) < self.until_at <= self.from_at + LONGEST:
            raise InvalidValue(
                f"{name}: from {iso_of(self.from_at)} until {iso_of(self.until_at)} is "
                f"over at {iso_of(at)} or longer than {LONGEST // DAY} days"
            )
        if not 0 <= self.from_at <= at + LONGEST_AHEAD or self.from_at % SECOND:
            raise InvalidValue(
                f"{name}: its begin {iso_of(self.from_at)} is not a whole second at "
                f"most {LONGEST_AHEAD // DAY} days ahead"
            )
        if not (self.tariff or self.co2 or self.peak) and self.maximum_w is None:
            raise InvalidValue(f"{name} has no tariff, CO2, maximum power or peak")
        self._check_values(name)

    def _check_values(self, name: str) -> None:
        if bool(self.tariff) != bool(self.currency):
            raise InvalidValue(f"{name}: a tariff has a currency, and nothing else has")
        if self.tariff:
            check_currency(name, self.currency)
        limit = PRICE_LIMIT_MINOR
        self._check_changes(f"{name}: tariff", self.tariff, -limit, limit)
        self._check_changes(f"{name}: CO2", self.co2, 0, CO2_LIMIT_G)
        if self.maximum_w is not None and not 0 <= self.maximum_w <= POWER_LIMIT_W:
            raise InvalidValue(
                f"{name}: a maximum of {self.maximum_w} W is not within 0 and "
                f"{POWER_LIMIT_W} W"
            )
        if len(self.peak) > _LONGEST_TEXT:
            raise InvalidValue(
                f"{name}: a peak signal of {len(self.peak)} characters is longer than "
                f"{_LONGEST_TEXT}"
            )

    def _check_changes(
        self, name: str, changes: Sequence[Change], least: int, most: int
    ) -> None:
        if not changes:
            return
        check_changes(name, changes)
        lasts_s = (self.until_at - self.from_at) / SECOND
        if len(changes) > MOST_CHANGES or changes[-1][0] >= lasts_s:
            raise InvalidValue(
                f"{name}: {len(changes)} changes, the last at {changes[-1][0]} s, are "
                f"more than {MOST_CHANGES} or not before its end at {lasts_s:g} s"
            )
        for offset_s, value in changes:
            if not least <= value <= most:
                raise InvalidValue(
                    f"{name}: {value} at {offset_s} s is not within {least} and {most}"
                )


def receive_incentive(system: System, command: ReceiveIncentive, by: By) -> Answer:
    """Record the incentive and its limits, and its begin where it holds already."""
    stream = ids.incentive_stream(command.zone_id)

    def decide() -> Batch:
        command.check(by.at)
        load_zone(system, command.zone_id)
        state = load_incentives(system, command.zone_id)
        if state.named(command.incentive_id) is not None:
            raise Refused(f"incentive {command.incentive_id} was received before")
        event = n.IncentiveReceived(
            source=by.party_name, **msgspec.structs.asdict(command)
        )
        appends = [decision(stream, state, by.at, event)]
        appends += announced(system, event, by.at) + begun(system, event, by.at)
        timers = [_timer(event, _END)]
        if command.from_at > by.at:
            timers.insert(0, _timer(event, _BEGIN))
        return Batch(appends=tuple(appends), timers=tuple(timers))

    return record(system, by, command, decide)


def _timer(incentive: n.IncentiveReceived, which: str) -> Timer:
    return Timer(
        incentive.from_at if which == _BEGIN else incentive.until_at,
        ids.incentive_stream(incentive.zone_id),
        INCENTIVE,
        f"{incentive.incentive_id}/{which}",
    )


def run_timer(system: System, timer: Timer) -> None:
    """Record what an incentive's begin or end is to EVSEs and sessions."""
    by = By(actor="timer", at=timer.due_at)
    zone_id = timer.stream.removeprefix(ids.incentive_stream(""))
    incentive_id, _, which = timer.key.rpartition("/")

    def decide() -> Batch:
        state = load_incentives(system, zone_id)
        incentive = state.named(incentive_id)
        if incentive is None or incentive_id in state.withdrawn:
            return Batch(appends=(), timers_done=(timer,))
        if which == _BEGIN:
            appends = begun(system, incentive, by.at)
        else:
            appends = ended(system, incentive, "over", by.at)
        return Batch(appends=tuple(appends), timers_done=(timer,))

    record(system, by, timer, decide)


class WithdrawIncentive(msgspec.Struct, frozen=True, kw_only=True):
    """Who brought an incentive takes it back."""

    zone_id: str
    incentive_id: str
    reason: str


def withdraw_incentive(system: System, command: WithdrawIncentive, by: By) -> Answer:
    """Record the withdrawal and what ends by it."""

    def decide() -> Batch:
        state = load_incentives(system, command.zone_id)
        incentive = _of_zone(state.ahead(by.at), command.incentive_id)[0]
        event = n.IncentiveWithdrawn(**msgspec.structs.asdict(command))
        stream = ids.incentive_stream(command.zone_id)
        appends = [decision(stream, state, by.at, event)]
        appends += ended(system, incentive, "withdrawn", by.at)
        timers = (_timer(incentive, _BEGIN), _timer(incentive, _END))
        return Batch(appends=tuple(appends), timers_done=timers)

    return record(system, by, command, decide)


class AnswerIncentive(msgspec.Struct, frozen=True, kw_only=True):
    """The EV user of a session takes part in an incentive, or refuses (E2).

    Without an incentive's id it is the answer to all that hold, or will. ``is_by`` is
    ``ev-user`` or, of what was said at the station, ``station``.
    """

    session_id: str
    is_accepted: bool
    incentive_id: str = ""
    is_by: str = "ev-user"


def answer_incentive(system: System, command: AnswerIncentive, by: By) -> Answer:
    """Record the answer, and at once what follows from it."""

    def decide() -> Batch:
        state = resolve(system, command.session_id)
        state.check_open()
        zone_id = state.zone_id or state.expected_zone_id
        ahead = load_incentives(system, zone_id).ahead(by.at)
        stream = ids.session_stream(state.session_id)
        found = _of_zone(ahead, command.incentive_id)
        answers = [
            n.IncentiveAnswered(
                session_id=state.session_id,
                zone_id=zone_id,
                incentive_id=each.incentive_id,
                is_accepted=command.is_accepted,
                by=command.is_by,
            )
            for each in found
        ]
        appends = [decision(stream, state, by.at, *answers)]
        for incentive in found if state.evse_id else ():
            appends += _followed(system, command, incentive, state, by.at)
        return Batch(appends=tuple(appends))

    return record(system, by, command, decide)


def _followed(
    system: System,
    command: AnswerIncentive,
    incentive: n.IncentiveReceived,
    state: Session,
    at: Instant,
) -> list[Append]:
    """Return what an answer changes for a session whose EV is plugged."""
    evse_id = state.evse_id
    if not command.is_accepted:
        over = limited(system, incentive, evse_id, at, is_over=True)
        reason = f"refused by {command.is_by}"
        return over + ended_of(system, incentive, state.session_id, evse_id, reason, at)
    again = limited(system, incentive, evse_id, at)
    return again + begun_at(system, incentive, evse_id, at, is_accepted=True)


def _of_zone(
    ahead: Sequence[n.IncentiveReceived], incentive_id: str
) -> Sequence[n.IncentiveReceived]:
    found = [each for each in ahead if incentive_id in ("", each.incentive_id)]
    if not found and incentive_id:
        raise Unknown(f"incentive {incentive_id!r} does not hold here, nor will it")
    if not found:
        raise Refused("no incentive holds here, nor will one")
    return found


class RecordTold(msgspec.Struct, frozen=True, kw_only=True):
    """What came of telling an EVSE's station of an incentive."""

    zone_id: str
    incentive_id: str
    evse_id: str
    how: str
    outcome: str
    session_id: str = ""
    detail: str = ""


def record_told(system: System, command: RecordTold, by: By) -> Answer:
    """Record a fact of E2 Info2."""

    def decide() -> Batch:
        event = n.IncentiveTold(**msgspec.structs.asdict(command))
        stream = ids.incentive_stream(command.zone_id)
        return Batch(appends=(Append(stream, (event,), by.at),))

    return record(system, by, command, decide)
