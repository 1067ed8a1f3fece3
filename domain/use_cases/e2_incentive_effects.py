"""E2 What an incentive does to EVSEs and service sessions, while it holds.

Its maximum is a limit of each EVSE that is not the station's own, known from the time
that it came, and the loop plans within it. A session at the EVSE is under the
incentive, which its SDR tells with begin and end, unless its EV user refused: then it
is planned as if there were none. By `shared_path`.
"""

from typing import NamedTuple

import msgspec

from domain.model import ids
from domain.model import incentive_events as n
from domain.model.profile import POWER_LIMIT_W, PowerProfile
from domain.model.station_events import LimitReported
from domain.model.values import SECOND, Event, Instant
from domain.ports import Append, Batch, System
from domain.use_cases.clause_6_2_joining import resolve, with_merged
from domain.use_cases.shared_path import By, fold, load_evse, load_zone, record


class Incentives(msgspec.Struct, frozen=True):
    """The incentives of a zone, in the order they came; and whom stations told."""

    received: tuple[n.IncentiveReceived, ...] = ()
    withdrawn: frozenset[str] = frozenset()
    told: frozenset[tuple[str, str]] = frozenset()
    decision_version: int = 0

    def named(self, incentive_id: str) -> n.IncentiveReceived | None:
        """Return an incentive by its id; None for one that never came."""
        found = (each for each in self.received if each.incentive_id == incentive_id)
        return next(found, None)

    def ahead(self, at: Instant) -> list[n.IncentiveReceived]:
        """Return those that hold, or will."""
        return [
            each
            for each in self.received
            if each.until_at > at and each.incentive_id not in self.withdrawn
        ]

    def in_force(self, at: Instant) -> list[n.IncentiveReceived]:
        """Return those that hold at an instant."""
        return [each for each in self.ahead(at) if each.from_at <= at]


def _evolve(state: Incentives, event: Event, at: Instant) -> Incentives:
    match event:
        case n.IncentiveReceived():
            received = (*state.received, event)
            return msgspec.structs.replace(state, received=received)
        case n.IncentiveWithdrawn():
            withdrawn = state.withdrawn | {event.incentive_id}
            return msgspec.structs.replace(state, withdrawn=withdrawn)
        case n.IncentiveTold(outcome="accepted"):
            told = state.told | {(event.incentive_id, event.evse_id)}
            return msgspec.structs.replace(state, told=told)
        case _:
            return state


def load_incentives(system: System, zone_id: str) -> Incentives:
    """Return the incentives of a zone."""
    return fold(system, ids.incentive_stream(zone_id), Incentives(), _evolve)


class Part(NamedTuple):
    """What a session has to do with incentives: which it is under, which it refused."""

    under: frozenset[str]
    refused: frozenset[str]


def part_of(system: System, session_id: str) -> Part:
    """Return a session's part, as it and those merged into it tell."""
    rows = [
        row
        for each in with_merged(system, session_id)
        for row in system.log.read_stream(ids.session_stream(each))
    ]
    under: set[str] = set()
    refused: set[str] = set()
    for row in sorted(rows, key=lambda row: row.position):
        match row.event:
            case n.IncentiveBegan(incentive_id=incentive_id):
                under.add(incentive_id)
            case n.IncentiveEnded(incentive_id=incentive_id):
                under.discard(incentive_id)
            case n.IncentiveAnswered(incentive_id=incentive_id, is_accepted=True):
                refused.discard(incentive_id)
            case n.IncentiveAnswered(incentive_id=incentive_id):
                refused.add(incentive_id)
            case _:
                pass
    return Part(frozenset(under), frozenset(refused))


def announced(
    system: System, incentive: n.IncentiveReceived, at: Instant
) -> list[Append]:
    """Return the limits of all EVSEs of the zone, from now on for its whole time."""
    return [
        append
        for evse_id in load_zone(system, incentive.zone_id).evse_ids
        for append in limited(system, incentive, evse_id, at)
    ]


def begun(system: System, incentive: n.IncentiveReceived, at: Instant) -> list[Append]:
    """Return what the incentive's begin is to the sessions in its zone."""
    return [
        append
        for evse_id in load_zone(system, incentive.zone_id).evse_ids
        for append in begun_at(system, incentive, evse_id, at)
    ]


def begun_at(
    system: System,
    incentive: n.IncentiveReceived,
    evse_id: str,
    at: Instant,
    *,
    is_accepted: bool = False,
) -> list[Append]:
    """Return what it is to the session whose EV is at an EVSE.

    ``is_accepted``: the session takes part, whatever it answered before.
    """
    session_id = load_evse(system, evse_id).session_id
    if not session_id or incentive.from_at > at:
        return []
    session_id = resolve(system, session_id).session_id
    part = part_of(system, session_id)
    is_refused = incentive.incentive_id in part.refused and not is_accepted
    if is_refused or incentive.incentive_id in part.under:
        return []
    began = n.IncentiveBegan(
        session_id=session_id,
        zone_id=incentive.zone_id,
        evse_id=evse_id,
        incentive_id=incentive.incentive_id,
    )
    return [Append(ids.session_stream(session_id), (began,), at)]


def ended(
    system: System, incentive: n.IncentiveReceived, reason: str, at: Instant
) -> list[Append]:
    """Return what the incentive's end is to the EVSEs of its zone."""
    appends: list[Append] = []
    for evse_id in load_zone(system, incentive.zone_id).evse_ids:
        appends += limited(system, incentive, evse_id, at, is_over=True)
        if session_id := load_evse(system, evse_id).session_id:
            session_id = resolve(system, session_id).session_id
            appends += ended_of(system, incentive, session_id, evse_id, reason, at)
    return appends


def ended_of(
    system: System,
    incentive: n.IncentiveReceived,
    session_id: str,
    evse_id: str,
    reason: str,
    at: Instant,
) -> list[Append]:
    """Return the end for one session; nothing where it is not under the incentive."""
    if incentive.incentive_id not in part_of(system, session_id).under:
        return []
    event = n.IncentiveEnded(
        session_id=session_id,
        zone_id=incentive.zone_id,
        evse_id=evse_id,
        incentive_id=incentive.incentive_id,
        reason=reason,
    )
    return [Append(ids.session_stream(session_id), (event,), at)]


def limited(
    system: System,
    incentive: n.IncentiveReceived,
    evse_id: str,
    at: Instant,
    *,
    is_over: bool = False,
) -> list[Append]:
    """Return the limit of an EVSE by the incentive's maximum, or its end."""
    data = load_evse(system, evse_id).commissioned
    if incentive.maximum_w is None or data is None:
        return []
    event = LimitReported(
        station_id=data.station_id,
        evse_id=evse_id,
        source=f"incentive/{incentive.incentive_id}",
        profile=None if is_over else _limit(incentive, incentive.maximum_w, at),
        is_over=is_over,
    )
    stream = ids.connectivity_stream(data.station_id, at)
    return [Append(stream, (event,), at)]


def _limit(incentive: n.IncentiveReceived, maximum_w: int, at: Instant) -> PowerProfile:
    """Return the limit over time: none before the incentive begins, nor after it."""
    start_at = at - at % SECOND
    begins_s = max(0, (incentive.from_at - start_at) // SECOND)
    ends_s = -(-(incentive.until_at - start_at) // SECOND)
    free = (0, POWER_LIMIT_W)
    changes = ((begins_s, maximum_w), (ends_s, POWER_LIMIT_W))
    return PowerProfile(start_at, changes if begins_s == 0 else (free, *changes))


class BeginStay(msgspec.Struct, frozen=True, kw_only=True):
    """An EV was plugged, with its session, while incentives may hold."""

    evse_id: str


def begin_stay(system: System, command: BeginStay, by: By) -> None:
    """Put the session that came under the incentives that hold."""
    data = load_evse(system, command.evse_id).commissioned
    if data is None:
        return
    holding = load_incentives(system, data.zone_id).in_force(by.at)
    if not holding:
        return

    def decide() -> Batch:
        appends = [
            append
            for incentive in holding
            for append in begun_at(system, incentive, command.evse_id, by.at)
        ]
        return Batch(appends=tuple(appends))

    record(system, by, command, decide)


class EndStay(msgspec.Struct, frozen=True, kw_only=True):
    """The EV of a session left its EVSE."""

    evse_id: str
    session_id: str


def end_stay(system: System, command: EndStay, by: By) -> None:
    """End what the session was under; who comes next is limited again."""
    data = load_evse(system, command.evse_id).commissioned
    if data is None:
        return
    session_id = resolve(system, command.session_id).session_id
    ahead = load_incentives(system, data.zone_id).ahead(by.at)
    if not ahead:
        return

    def decide() -> Batch:
        part = part_of(system, session_id)
        appends: list[Append] = []
        for incentive in ahead:
            evse_id = command.evse_id
            appends += ended_of(
                system, incentive, session_id, evse_id, "the EV left", by.at
            )
            if incentive.incentive_id in part.refused:
                appends += limited(system, incentive, evse_id, by.at)
        return Batch(appends=tuple(appends))

    record(system, by, command, decide)
