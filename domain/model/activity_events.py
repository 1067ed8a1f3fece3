"""Events of long-running work with stations (stream ``activity-<id>``).

An activity is asked for by a command, carried out by the gateway as the log tells it,
and ends once: done, refused by the station, failed, or timed out. So a restart between
the two loses nothing.
"""

from domain.model.values import Event, Instant, Sealed


class ActivityAsked(Event, frozen=True):
    """Something is to be done at a station; ``kind`` says what (``remote-start``, ...).

    ``parameters`` are names and values of that kind. ``credential`` seals the token a
    remote start is for. Without an end by ``due_at`` it has timed out.
    """

    activity_id: str
    kind: str
    station_id: str
    due_at: Instant
    evse_id: str = ""
    session_id: str = ""
    subject_id: str = ""
    credential: Sealed | None = None
    parameters: tuple[tuple[str, str], ...] = ()


class ActivityProgressed(Event, frozen=True):
    """A step of it was done, and what came of it."""

    activity_id: str
    step: str
    detail: str = ""


class ActivityEnded(Event, frozen=True):
    """It is over: ``outcome`` is ``done``, ``refused`` or ``failed``."""

    activity_id: str
    outcome: str
    detail: str = ""


class ActivityTimedOut(Event, frozen=True):
    """Nothing came of it in time."""

    activity_id: str
