"""Events of long-running work with stations (stream ``activity-<id>``).

An activity is asked for by a command, carried out by the gateway as the log tells it,
and ends once: done, refused by the station, failed, or timed out. So a restart between
the two loses nothing.
"""

import enum

from domain.model.values import Event, Instant, Sealed


class ActivityKind(enum.StrEnum):
    """What can be asked of a station as an activity."""

    REMOTE_START = "remote-start"
    REMOTE_STOP = "remote-stop"
    RESET = "reset"
    UNLOCK = "unlock"
    TRIGGER = "trigger"
    GET_VARIABLES = "get-variables"
    SET_VARIABLES = "set-variables"
    DISPLAY_MESSAGE = "display-message"
    ENFORCE = "enforce"
    CLEAR_CACHE = "clear-cache"
    LOCAL_LIST_VERSION = "local-list-version"
    LOCAL_LIST = "local-list"
    RESERVE = "reserve"
    CANCEL_RESERVATION = "cancel-reservation"
    UPDATE_FIRMWARE = "update-firmware"
    GET_LOG = "get-log"
    DATA_TRANSFER = "data-transfer"
    NETWORK_PROFILE = "network-profile"
    COMPOSITE_SCHEDULE = "composite-schedule"
    CLEAR_PROFILE = "clear-profile"
    CHANGE_PASSWORD = "change-password"
    CHANGE_AVAILABILITY = "change-availability"


class Outcome(enum.StrEnum):
    """How an activity ended, when it did not time out."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class ActivityAsked(Event, frozen=True):
    """Something is to be done at a station; ``kind`` says what (``remote-start``, ...).

    ``parameters`` are names and values of that kind. ``credential`` seals what the
    station is given and nobody else: a token, a password. Without an end by ``due_at``
    it has timed out.
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
    station_id: str
    step: str
    detail: str = ""


class ActivityEnded(Event, frozen=True):
    """It is over: ``outcome`` is ``done``, ``refused`` or ``failed``.

    ``results`` are names and values that the station answered with.
    """

    activity_id: str
    station_id: str
    outcome: str
    detail: str = ""
    results: tuple[tuple[str, str], ...] = ()


class ActivityTimedOut(Event, frozen=True):
    """Nothing came of it in time."""

    activity_id: str
    station_id: str
