"""7.3 An operator lets a station, or one EVSE of it, be used, or keeps it from use.

The station keeps that over reboots, by its protocol; it is not the block of an EVSE
(7.10), which stands in the log and ends charging. What somebody is charging on goes out
of use afterwards. By `shared_path`.
"""

import msgspec

from domain.errors import Refused
from domain.model import ids
from domain.model.activity_events import ActivityKind
from domain.model.site import Station, evolve_station
from domain.model.values import Instant
from domain.ports import Answer, Batch, System
from domain.use_cases.clause_7_3_activities import AskActivity, asked
from domain.use_cases.shared_path import By, fold, load_evse, record

# Among the activity's parameters, and its values.
OPERATIVE, YES, NO = "operative", "yes", "no"


class ChangeAvailability(msgspec.Struct, frozen=True, kw_only=True):
    """A station, or one EVSE of it, is to be of use or not."""

    station_id: str
    is_operative: bool
    evse_id: str = ""
    due_after: Instant = 0


def change_availability(system: System, command: ChangeAvailability, by: By) -> Answer:
    """Ask the station; what is blocked is not put to use by this."""

    def decide() -> Batch:
        asking = AskActivity(
            kind=ActivityKind.CHANGE_AVAILABILITY,
            station_id=command.station_id,
            due_after=command.due_after,
            evse_id=command.evse_id,
            parameters=((OPERATIVE, YES if command.is_operative else NO),),
        )
        batch = asked(system, asking, by)  # which refuses what is none of ours
        if command.is_operative and command.evse_id:
            load_evse(system, command.evse_id).check_usable(command.evse_id)
        return batch

    return record(system, by, command, decide)


def check_in_use(system: System, station_id: str, evse_id: str) -> None:
    """Refuse an EVSE that its operator took out of use, alone or with its station."""
    stream = ids.station_stream(station_id)
    station = fold(system, stream, Station(), evolve_station)
    for each, name in ((evse_id, f"EVSE {evse_id}"), ("", f"station {station_id}")):
        if each in station.out_of_use:
            raise Refused(f"{name} was taken out of use by its operator")
