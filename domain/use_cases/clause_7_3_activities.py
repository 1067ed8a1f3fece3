"""7.3 Work with stations that takes its time: activities (IEC 63110-1 7.3, 8.3).

A command asks for an activity. The gateway, which follows the log, carries it out and
records how far it came; a timer ends the one that nothing came of. So no restart loses
one, and none is ended twice. By `shared_path`.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import activity_events as y
from domain.model import ids
from domain.model.activity_events import ActivityKind, Outcome
from domain.model.site import Station, evolve_station
from domain.model.values import DAY, HOUR, MINUTE, SECOND, Event, Instant, Sealed
from domain.ports import Answer, Append, Batch, Claim, System, Timer
from domain.use_cases.shared_path import By, decision, fold, load_evse, record

# The kind of its guard row, by station, and of its timer.
ACTIVITY = "activity"

LONGEST = DAY
_SHORTEST = 5 * SECOND

# Steps that the gateway records. What was not sent is sent when the station is there.
SENT, NOT_SENT, ACCEPTED = "sent", "not sent", "accepted"
SCHEDULED, UNANSWERED, AGAIN = "scheduled", "unanswered", "to be sent again"

# In names of variables that hold a station's own secrets.
_SECRETS = ("password", "authorizationkey", "secret", "psk", "privatekey")

# Of what is asked for without an EVSE of ours: the number that the station has for it.
EVSE_NUMBER = "evse_number"

# How long what is asked for may take, unless told.
DUE_AFTER = {
    ActivityKind.REMOTE_START: 5 * MINUTE,
    ActivityKind.REMOTE_STOP: 2 * MINUTE,
    ActivityKind.RESET: 15 * MINUTE,
    ActivityKind.UNLOCK: 2 * MINUTE,
    ActivityKind.TRIGGER: 2 * MINUTE,
    ActivityKind.GET_VARIABLES: 5 * MINUTE,
    ActivityKind.SET_VARIABLES: 5 * MINUTE,
    ActivityKind.DISPLAY_MESSAGE: 5 * MINUTE,
    ActivityKind.ENFORCE: 10 * MINUTE,
    ActivityKind.CLEAR_CACHE: 5 * MINUTE,
    ActivityKind.LOCAL_LIST_VERSION: 5 * MINUTE,
    ActivityKind.LOCAL_LIST: 5 * MINUTE,
    ActivityKind.RESERVE: 5 * MINUTE,
    ActivityKind.CANCEL_RESERVATION: 5 * MINUTE,
    ActivityKind.UPDATE_FIRMWARE: DAY,
    ActivityKind.GET_LOG: HOUR,
    ActivityKind.DATA_TRANSFER: 5 * MINUTE,
    ActivityKind.NETWORK_PROFILE: 5 * MINUTE,
    ActivityKind.COMPOSITE_SCHEDULE: 5 * MINUTE,
    ActivityKind.CLEAR_PROFILE: 5 * MINUTE,
    ActivityKind.CHANGE_PASSWORD: HOUR,
    ActivityKind.CHANGE_AVAILABILITY: DAY,
}


class Activity(msgspec.Struct, frozen=True):
    """What is known of an activity; ``last_step`` is empty before it was sent."""

    asked: y.ActivityAsked | None = None
    last_step: str = ""
    is_over: bool = False
    decision_version: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the station is still to be asked, or to be asked again."""
        return not self.is_over and self.last_step in ("", NOT_SENT, AGAIN)


def evolve(state: Activity, event: Event, at: Instant) -> Activity:
    """Return the activity after an event."""
    match event:
        case y.ActivityAsked():
            return msgspec.structs.replace(state, asked=event)
        case y.ActivityProgressed():
            return msgspec.structs.replace(state, last_step=event.step)
        case y.ActivityEnded() | y.ActivityTimedOut():
            return msgspec.structs.replace(state, is_over=True)
        case _:
            return state


def request_number(activity_id: str) -> int:
    """Return the number that a station knows an activity by: 31 bits, as it takes."""
    drawn = hashlib.sha256(activity_id.encode()).digest()
    return int.from_bytes(drawn[:4], "big") >> 1


def load_activity(system: System, activity_id: str) -> Activity:
    """Return an activity; `Unknown` when nobody asked for it."""
    state = fold(system, ids.activity_stream(activity_id), Activity(), evolve)
    if state.asked is None:
        raise Unknown(f"activity {activity_id!r} was never asked for")
    return state


def open_activities(system: System, station_id: str) -> Sequence[y.ActivityAsked]:
    """Return what is still to be done at a station, by when it is due."""
    owners = [c.owner for c in system.log.claims(ACTIVITY, f"{station_id}/")]
    states = [load_activity(system, owner) for owner in owners]
    asked = [state.asked for state in states if state.asked is not None]
    return sorted(asked, key=lambda each: (each.due_at, each.activity_id))


class AskActivity(msgspec.Struct, frozen=True, kw_only=True):
    """Something is to be done at a station by ``due_after`` from now; 0: as usual."""

    kind: str
    station_id: str
    due_after: Instant = 0
    evse_id: str = ""
    session_id: str = ""
    subject_id: str = ""
    credential: Sealed | None = None
    parameters: tuple[tuple[str, str], ...] = ()


def ask_activity(system: System, command: AskActivity, by: By) -> Answer:
    """Record that it is asked for."""
    return record(system, by, command, lambda: asked(system, command, by))


def asked(system: System, command: AskActivity, by: By) -> Batch:
    """Return the batch that asks for an activity, under a new id."""
    event = _asked(system, command, by)
    stream = ids.activity_stream(event.activity_id)
    return Batch(
        appends=(decision(stream, Activity(), by.at, event),),
        claims=(_claim(event),),
        timers=(_timer(event),),
    )


def asked_in_vain(system: System, command: AskActivity, reason: str, by: By) -> Batch:
    """Return the batch of an activity that is refused before the station hears of it.

    So who asked finds the reason where it would find any other end.
    """
    event = _asked(system, command, by)
    ended = y.ActivityEnded(
        activity_id=event.activity_id,
        station_id=event.station_id,
        outcome=Outcome.REFUSED.value,
        detail=reason,
    )
    stream = ids.activity_stream(event.activity_id)
    return Batch(appends=(decision(stream, Activity(), by.at, event, ended),))


def _asked(system: System, command: AskActivity, by: By) -> y.ActivityAsked:
    _check_station(system, command.station_id)
    if command.evse_id:
        _check_evse(system, command)
    if command.kind in (ActivityKind.GET_VARIABLES, ActivityKind.SET_VARIABLES):
        _check_no_secret(command)
    fields = msgspec.structs.asdict(command)
    del fields["due_after"]
    return y.ActivityAsked(
        activity_id=system.ids.new_id(), due_at=by.at + _due_after(command), **fields
    )


def _check_station(system: System, station_id: str) -> None:
    station = fold(system, ids.station_stream(station_id), Station(), evolve_station)
    if not station.decision_version:
        raise Unknown(f"station {station_id!r} was never commissioned nor registered")
    if station.registered is None:
        raise Refused(f"station {station_id} is not registered: it cannot connect")
    if station.retired:
        raise Refused(f"station {station_id} was retired: {station.retired}")


def _check_evse(system: System, command: AskActivity) -> None:
    data = load_evse(system, command.evse_id).commissioned
    if data is None or data.station_id != command.station_id:
        raise Unknown(
            f"EVSE {command.evse_id} is none of station {command.station_id!r}"
        )


def _check_no_secret(command: AskActivity) -> None:
    """Refuse what would stand in the log in the clear."""
    for name, _ in command.parameters:
        if is_secret(name):
            raise Refused(
                f"variable {name} is a credential: a station gets new ones by the "
                "command for its credentials"
            )


def is_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret of its station's."""
    return any(word in name.lower() for word in _SECRETS)


def _due_after(command: AskActivity) -> Instant:
    if not command.due_after:
        return DUE_AFTER[ActivityKind(command.kind)]
    if not _SHORTEST <= command.due_after <= LONGEST:
        raise InvalidValue(
            f"{command.kind}: due after {command.due_after / SECOND:g} s is not "
            f"{_SHORTEST // SECOND} s to {LONGEST // SECOND} s"
        )
    return command.due_after


def _claim(event: y.ActivityAsked) -> Claim:
    key = f"{event.station_id}/{event.activity_id}"
    return Claim(ACTIVITY, key, event.activity_id)


def _timer(event: y.ActivityAsked) -> Timer:
    return Timer(event.due_at, ids.activity_stream(event.activity_id), ACTIVITY)


class ProgressActivity(msgspec.Struct, frozen=True, kw_only=True):
    """A step of it was done."""

    activity_id: str
    step: str
    detail: str = ""


def progress_activity(system: System, command: ProgressActivity, by: By) -> Answer:
    """Record the step, a fact; of what is over nothing is recorded."""

    def decide() -> Batch:
        state = load_activity(system, command.activity_id)
        if state.is_over:
            return Batch(appends=())
        event = y.ActivityProgressed(
            activity_id=command.activity_id,
            station_id=_of(state).station_id,
            step=command.step,
            detail=command.detail,
        )
        stream = ids.activity_stream(command.activity_id)
        return Batch(appends=(Append(stream, (event,), by.at),))

    return record(system, by, command, decide)


class EndActivity(msgspec.Struct, frozen=True, kw_only=True):
    """It is over, and how."""

    activity_id: str
    outcome: Outcome
    detail: str = ""
    results: tuple[tuple[str, str], ...] = ()


def end_activity(system: System, command: EndActivity, by: By) -> Answer:
    """Record the end; of what is over already nothing is recorded."""

    def decide() -> Batch:
        state = load_activity(system, command.activity_id)
        event = y.ActivityEnded(
            activity_id=command.activity_id,
            station_id=_of(state).station_id,
            outcome=command.outcome.value,
            detail=command.detail,
            results=command.results,
        )
        return _over(state, event, by)

    return record(system, by, command, decide)


def time_out(system: System, timer: Timer) -> None:
    """End the activity of a timer that is due, unless it is over."""
    by = By(actor="timer", at=timer.due_at)

    def decide() -> Batch:
        state = load_activity(system, timer.stream.removeprefix("activity-"))
        if state.is_over:
            return Batch(appends=(), timers_done=(timer,))
        event = _of(state)
        timed_out = y.ActivityTimedOut(
            activity_id=event.activity_id, station_id=event.station_id
        )
        return _over(state, timed_out, by)

    record(system, by, timer, decide)


def _over(
    state: Activity, event: y.ActivityEnded | y.ActivityTimedOut, by: By
) -> Batch:
    if state.is_over:
        return Batch(appends=())
    stream = ids.activity_stream(event.activity_id)
    return Batch(
        appends=(decision(stream, state, by.at, event),),
        releases=(_claim(_of(state)),),
        timers_done=(_timer(_of(state)),),
    )


def _of(state: Activity) -> y.ActivityAsked:
    assert state.asked is not None  # load_activity refuses what nobody asked for
    return state.asked
