"""Which events a zone's loop wakes on: for a plan, or for ETPs that wait."""

from domain.loop.zone_state import ZoneState
from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import Event

# Events after which an ETP that waits may go out: at once, or within a second. (An
# acceptance frees nothing: what it replaces counts until it is confirmed.) After some
# an ETP that was lost is sent again.
FREEING = (
    p.PlanMade,
    p.PreReceived,
    p.PreRevoked,
    z.ZoneLimitsChanged,
    t.StationConnected,
    t.StationBooted,
    t.ScheduleCompared,
)
FREEING_PACED = (
    p.EtpConfirmed,
    p.EtpRefused,
    z.EvseVacated,
    s.TransferEnded,
    t.EtpSuperseded,
    t.EtpFollowedAgain,
    t.StationDefaultsInstalled,
)

# Events that no plan may wait for, and those that ask for one at the zone's pace.
URGENT = (
    z.EvseOccupied,
    z.EvseVacated,
    z.EvseBlocked,
    z.EvseUnblocked,
    s.TransferStarted,
    t.StationTransactionBound,
)
RELEVANT = (
    s.NeedsStated,
    s.TransferEnded,
    s.TransferObserved,
    s.TransferPaused,
    s.TransferResumed,
    p.PreReceived,
    p.PreRevoked,
    p.EtpRefused,
    p.EtpTimedOut,
    p.EtpAccepted,
    z.ZoneLimitsChanged,
    z.EvseLimitsChanged,
    z.ZoneLearned,
    t.StationConnected,
    t.StationDisconnected,
    t.StationBooted,
    t.StationDefaultsInstalled,
    t.StationDefaultsRefused,
    t.StationCapabilities,
    t.LimitReported,
    t.EtpNotFollowed,
    t.EtpFollowedAgain,
)


def is_mandatory_pre(event: Event | None) -> bool:
    """Whether the grid demands something, which pre-empts a plan under way (E5)."""
    return isinstance(event, p.PreReceived) and event.mandatory


def is_urgent(event: Event | None) -> bool:
    """Whether no plan may wait for the zone's pace after it."""
    return isinstance(event, URGENT) or is_mandatory_pre(event)


def is_news(state: ZoneState, event: Event | None) -> bool:
    """Whether an event that comes to a state asks for a plan."""
    return isinstance(event, RELEVANT) and not _is_known(state, event)


def _is_known(state: ZoneState, event: Event) -> bool:
    """Whether an event says what is known: of a station's silence, of our pauses."""
    match event:
        case s.TransferPaused():
            return event.by == "evse"
        case s.TransferResumed():
            found = state.ev_of(event.session_id)
            return found is not None and not found[1].suspended_at
        case p.EtpAccepted() | p.EtpTimedOut():
            slot = state.slots.get(event.evse_id)
            was_silent = slot is not None and slot.delivery.is_unanswered
            return was_silent is isinstance(event, p.EtpTimedOut)
    return False
