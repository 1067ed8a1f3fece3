"""Transfers that were told late, in the SDR information (7.5, S6).

What `TransferSettled` tells counts as if it had been recorded when it happened, instead
of what was. So the information is that of a station which was never offline.
"""

from collections.abc import Iterator, Sequence

import msgspec

from domain.model import session_events as s
from domain.model.registry import BY_CLASS
from domain.model.sdr import Increment
from domain.model.values import Event, Instant


def with_settled(told: Sequence[Increment]) -> list[Increment]:
    """Return increments with what was told late in place of what that replaces.

    One that has something missing or implausible stays, too.
    """
    replaced = {
        position
        for each in told
        if isinstance(each.event, s.TransferSettled)
        for position in each.event.replaces
    }
    found: list[Increment] = []
    for each in told:
        event = each.event
        if each.position in replaced:
            continue
        if not isinstance(event, s.TransferSettled):
            found.append(each)
            continue
        if event.missing or event.implausible:
            found.append(each)
        found += [_increment(each, at, told) for at, told in _told(event)]
    return found


def _increment(settled: Increment, at: Instant, event: Event) -> Increment:
    name = BY_CLASS[type(event)].name
    return msgspec.structs.replace(
        settled, occurred_at=at, kind=name.partition(".")[0], type=name, event=event
    )


def _told(settled: s.TransferSettled) -> Iterator[tuple[Instant, Event]]:
    """Yield what would have been recorded, with its instant."""
    session_id, evse_id = settled.session_id, settled.evse_id
    if settled.asked_at:
        yield from _authorization(settled)
    if settled.plugged_at:
        yield (
            settled.plugged_at,
            s.EvseBound(
                session_id=session_id,
                evse_id=evse_id,
                station_id=settled.station_id,
                zone_id=settled.zone_id,
            ),
        )
    yield (
        settled.begun_at,
        s.TransferStarted(
            session_id=session_id, evse_id=evse_id, quality=settled.quality
        ),
    )
    total_wh = 0
    for from_at, until_at, energy_wh in settled.intervals:
        total_wh += energy_wh
        metered = s.TransferIntervalMetered(
            session_id=session_id,
            evse_id=evse_id,
            from_at=from_at,
            energy_wh=energy_wh,
            total_wh=total_wh,
            quality=settled.quality,
        )
        yield until_at, metered
    yield (
        settled.ended_at,
        s.TransferEnded(
            session_id=session_id,
            energy_wh=settled.energy_wh,
            reason=settled.reason,
            quality=settled.quality,
        ),
    )
    if settled.unplugged_at:
        released = s.EvseReleased(session_id=session_id, evse_id=evse_id)
        yield settled.unplugged_at, released


def _authorization(settled: s.TransferSettled) -> Iterator[tuple[Instant, Event]]:
    session_id, at = settled.session_id, settled.asked_at
    asked = s.AuthorizationRequested(
        session_id=session_id,
        evse_id=settled.evse_id,
        subject_id=settled.subject_id,
        credential=settled.credential,
        zone_id=settled.zone_id,
        station_id=settled.station_id,
    )
    yield at, asked
    if settled.is_accepted:
        accepted = s.AuthorizationAccepted(
            session_id=session_id, by=settled.answered_by
        )
        yield at, accepted
    elif settled.is_accepted is not None:
        refused = s.AuthorizationRefused(
            session_id=session_id, by=settled.answered_by, reason=settled.refusal
        )
        yield at, refused
