"""Activities: what was asked of stations, how far it came and how it ended."""

import sqlite3
from pathlib import Path

import msgspec

from domain.model import activity_events as y
from domain.model.values import Instant
from domain.ports import Recorded
from projections.file import Reader
from projections.fold import Documents, Fold, Kept


class ActivityStep(msgspec.Struct, array_like=True):
    """A step that was done, and what came of it."""

    step: str
    detail: str
    occurred_at: Instant


class Activity(msgspec.Struct, array_like=True):
    """An activity as it stands.

    ``state`` is ``waiting`` until the station was asked, then ``under way``, at the end
    ``done``, ``refused``, ``failed`` or ``timed out``.
    """

    activity_id: str
    kind: str = ""
    state: str = "waiting"
    station_id: str = ""
    evse_id: str = ""
    session_id: str = ""
    asked_by: str = ""
    asked_at: Instant = 0
    due_at: Instant = 0
    parameters: dict[str, str] = {}
    steps: list[ActivityStep] = []
    ended_at: Instant | None = None
    detail: str = ""
    results: dict[str, str] = {}


class ActivitiesFold(Fold):
    """Writes ``activities.sqlite``."""

    name = "activities"
    schema = 1
    ddl = (
        "CREATE TABLE activity(activity_id TEXT PRIMARY KEY, document BLOB NOT NULL)"
        " WITHOUT ROWID;"
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._activities = Documents(db, "activity", Activity)
        self.handlers = {
            y.ActivityAsked: self._asked,
            y.ActivityProgressed: self._progressed,
            y.ActivityEnded: self._ended,
            y.ActivityTimedOut: self._timed_out,
        }

    def save(self) -> None:
        """Write the activities of this batch."""
        self._activities.save()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._activities.forget()

    def _asked(self, row: Recorded, event: y.ActivityAsked) -> None:
        activity = self._activities.get(event.activity_id).view
        activity.kind, activity.station_id = event.kind, event.station_id
        activity.evse_id, activity.session_id = event.evse_id, event.session_id
        activity.asked_by, activity.asked_at = row.actor, row.occurred_at
        activity.due_at, activity.parameters = event.due_at, dict(event.parameters)

    def _progressed(self, row: Recorded, event: y.ActivityProgressed) -> None:
        activity = self._activities.get(event.activity_id).view
        activity.state = "under way"
        step = ActivityStep(event.step, event.detail, row.occurred_at)
        activity.steps = [*activity.steps, step]

    def _ended(self, row: Recorded, event: y.ActivityEnded) -> None:
        activity = self._activities.get(event.activity_id).view
        activity.state, activity.ended_at = event.outcome, row.occurred_at
        activity.detail, activity.results = event.detail, dict(event.results)

    def _timed_out(self, row: Recorded, event: y.ActivityTimedOut) -> None:
        activity = self._activities.get(event.activity_id).view
        activity.state, activity.ended_at = "timed out", row.occurred_at


class Activities:
    """Queries on ``activities.sqlite``."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, ActivitiesFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[Activity]).decode

    def activity(self, activity_id: str) -> Activity | None:
        """Return one activity."""
        rows = self.reader.rows(
            "SELECT document FROM activity WHERE activity_id = ?", (activity_id,)
        )
        return self._decode(rows[0][0]).view if rows else None
