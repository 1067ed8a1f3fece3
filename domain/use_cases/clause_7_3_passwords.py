"""7.3 A station's new password, told by its own connection.

The one before holds until the station took the new one. What is on its way opens the
door as well: a station may have taken it though its answer was lost. The password
stands in the log sealed alone, and its key is destroyed when all is over. By
`shared_path`.
"""

import msgspec

from domain.errors import Refused
from domain.model import ids
from domain.model import station_events as t
from domain.model.activity_events import ActivityAsked, ActivityKind, Outcome
from domain.model.site import Station, evolve_station
from domain.model.values import Event, Instant
from domain.ports import Answer, Append, Batch, System
from domain.use_cases.clause_7_3_activities import AskActivity, asked, open_activities
from domain.use_cases.clause_7_3_stations import digest_of, draw_password
from domain.use_cases.shared_path import By, decision, fold, record

# Under which the password is sealed (ADR 0001).
PASSWORD_CONTEXT = "activity.asked/password"


class RotatePassword(msgspec.Struct, frozen=True, kw_only=True):
    """The station is to prove itself by a new password, which it is told."""

    station_id: str
    due_after: Instant = 0


def rotate_password(system: System, command: RotatePassword, by: By) -> Answer:
    """Draw a password and ask the station to take it."""

    def decide() -> Batch:
        stream = ids.station_stream(command.station_id)
        station = fold(system, stream, Station(), evolve_station)
        _check(system, station, command.station_id)
        password = draw_password(system.ids)
        subject_id = f"password-{system.ids.new_id()}"
        sealed = system.vault.seal(subject_id, PASSWORD_CONTEXT, password.encode())
        asking = AskActivity(
            kind=ActivityKind.CHANGE_PASSWORD,
            station_id=command.station_id,
            due_after=command.due_after,
            subject_id=subject_id,
            credential=sealed,
        )
        batch = asked(system, asking, by)
        offered = t.StationPasswordOffered(
            station_id=command.station_id, password_digest=digest_of(password)
        )
        append = decision(stream, station, by.at, offered)
        return msgspec.structs.replace(batch, appends=(*batch.appends, append))

    return record(system, by, command, decide)


def _check(system: System, station: Station, station_id: str) -> None:
    registered = station.registered
    if registered is None:
        raise Refused(f"station {station_id} is not registered: it has no password")
    if registered.security_profile not in (1, 2):
        raise Refused(
            f"station {station_id} has security profile {registered.security_profile}: "
            "only 1 and 2 have a password"
        )
    for activity in open_activities(system, station_id):
        if activity.kind == ActivityKind.CHANGE_PASSWORD:
            raise Refused(
                f"station {station_id} is being told a new password: activity "
                f"{activity.activity_id}"
            )


def settle_password(
    system: System, activity: ActivityAsked, outcome: Outcome, password: str, by: By
) -> None:
    """Record what the station proves itself by now that it answered."""
    stream = ids.station_stream(activity.station_id)
    station = fold(system, stream, Station(), evolve_station)
    registered = station.registered
    if registered is None:
        return
    event: Event = t.StationPasswordWithdrawn(
        station_id=activity.station_id, password_digest=digest_of(password)
    )
    if outcome is Outcome.DONE:
        event = t.StationCredentialChanged(
            station_id=activity.station_id,
            security_profile=registered.security_profile,
            password_digest=digest_of(password),
        )
    append = Append(stream, (event,), by.at)
    system.log.append(Batch(actor=by.actor, appends=(append,)))
