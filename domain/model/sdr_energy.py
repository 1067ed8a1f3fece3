"""Energy of one service session, by its meterings and the ends of its transfers (S6).

Sessions that were merged may have charged at the same time at different EVSEs, so each
transfer is counted on its own.
"""

from collections.abc import Iterable, Sequence

import msgspec

from domain.model import session_events as s
from domain.model.sdr import Increment
from domain.model.session import USABLE
from domain.model.values import Instant


class SdrInterval(msgspec.Struct, frozen=True, kw_only=True):
    """Energy from one metering to the next, by what the registers say."""

    evse_id: str
    from_at: Instant
    until_at: Instant
    to_ev_wh: int
    from_ev_wh: int
    sequence: int


class SdrEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """Active energy in all and by interval; reactive energy is not measured: null.

    A transfer that ended counts as its end says, what no interval has by its sign.
    """

    to_ev_wh: int = 0
    from_ev_wh: int = 0
    reactive_to_ev_varh: int | None = None
    reactive_from_ev_varh: int | None = None
    intervals: tuple[SdrInterval, ...] = ()


class _Transfer(msgspec.Struct):
    """A transfer so far; ``is_settled``: it counts as its end says."""

    session_id: str
    evse_id: str
    has_started: bool = False
    metered_wh: int = 0
    has_ended: bool = False
    is_settled: bool = False


def energy_of(told: Iterable[Increment]) -> SdrEnergy:
    """Return the energy that increments give, in the order of what happened."""
    transfers: list[_Transfer] = []
    intervals: list[SdrInterval] = []
    to_ev_wh = from_ev_wh = 0
    for each in told:
        counted_wh = 0
        match each.event:
            case s.TransferStarted() as started:
                # The register may say nothing usable: the EV was plugged all the same.
                _start(transfers, started)
            case s.TransferIntervalMetered() as metered if metered.quality in USABLE:
                intervals.append(_interval(metered, each))
                counted_wh = _metered(transfers, metered)
            case s.TransferEnded() as ended:
                counted_wh = _ended(transfers, ended)
            case _:
                pass
        to_ev_wh += max(counted_wh, 0)
        from_ev_wh += max(-counted_wh, 0)
    return SdrEnergy(
        to_ev_wh=to_ev_wh, from_ev_wh=from_ev_wh, intervals=tuple(intervals)
    )


def _start(transfers: list[_Transfer], event: s.TransferStarted) -> None:
    running = [each for each in transfers if not each.has_ended]
    there = [each for each in running if each.evse_id == event.evse_id]
    if there and not there[-1].has_started:
        # Its time was corrected to one after the first metering.
        there[-1].has_started = True
        return
    transfers.append(_Transfer(event.session_id, event.evse_id, has_started=True))


def _metered(transfers: list[_Transfer], event: s.TransferIntervalMetered) -> int:
    """Return the energy that a metering adds."""
    there = [each for each in transfers if each.evse_id == event.evse_id]
    if not there:
        there = [_Transfer(event.session_id, event.evse_id)]
        transfers += there
    if there[-1].is_settled:
        # A meter's word after the end is in the end's own figure already.
        return 0
    there[-1].metered_wh += event.energy_wh
    return event.energy_wh


def _ended(transfers: Sequence[_Transfer], event: s.TransferEnded) -> int:
    """Return the energy that an end adds: all of it where no start is known."""
    is_usable = event.quality in USABLE
    running = [each for each in transfers if not each.has_ended]
    own = [each for each in running if each.session_id == event.session_id]
    metered_wh = 0
    # What began in a session that was merged ends in the one that stays.
    for transfer in (own or running)[-1:]:
        transfer.has_ended = True
        transfer.is_settled = is_usable
        metered_wh = transfer.metered_wh
    return event.energy_wh - metered_wh if is_usable else 0


def _interval(event: s.TransferIntervalMetered, told: Increment) -> SdrInterval:
    return SdrInterval(
        evse_id=event.evse_id,
        from_at=event.from_at,
        until_at=told.occurred_at,
        to_ev_wh=max(event.energy_wh, 0),
        from_ev_wh=max(-event.energy_wh, 0),
        sequence=told.sequence,
    )
