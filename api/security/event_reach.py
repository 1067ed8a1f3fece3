"""Which rows of the log a caller reaches, by where their streams stand (7.9.4.5)."""

import re
import time
from typing import NamedTuple

from api.security.principal import Principal
from api.security.reach import sees_session
from domain.errors import Unknown
from domain.ports import Recorded, System
from domain.use_cases.clause_6_2_joining import resolve
from domain.use_cases.shared_path import load_evse

_DAY = re.compile(r"-\d{4}-\d{2}(-\d{2})?$")

# A session moves, also by the rows of the one that it was merged into.
_SESSION_HELD_S = 1.0
_MOST_SESSIONS = 10_000


class Place(NamedTuple):
    """Where a stream stands; of a session also whose it is."""

    zone_id: str
    station_id: str = ""
    parties: frozenset[str] = frozenset()


class _Held(NamedTuple):
    """Where a session stood at the position up to which the log was read."""

    place: Place
    position: int
    until_s: float


class StreamPlaces:
    """Tells where the streams of a log's rows stand.

    Asks the log itself: a session that began just now is known. EVSEs and stations
    stay where they are; where a session stands is asked anew for rows behind the last
    answer, and after a second.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._stays: dict[tuple[str, str], Place] = {}
        self._sessions: dict[str, _Held] = {}

    def of(self, row: Recorded) -> Place | None:
        """Return where the stream of a row stands; None when that is nowhere."""
        kind, _, name = row.stream.partition("-")
        match kind:
            case "zone" | "pre" | "incentive":
                return Place(name)
            case "plan":
                return Place(_DAY.sub("", name))
            case "evse" | "station":
                return self._staying(kind, name)
            case "connectivity" | "delivery":
                return self._staying("station", _DAY.sub("", name))
            case "transaction" | "activity":
                return self._staying("station", getattr(row.event, "station_id", ""))
            case "session":
                return self._session(row, name)
        return None

    def _staying(self, kind: str, name: str) -> Place | None:
        place = self._stays.get((kind, name))
        if place is None:
            place = self._evse(name) if kind == "evse" else self._station(name)
            if place is not None:
                self._stays[kind, name] = place
        return place

    def _evse(self, evse_id: str) -> Place | None:
        try:
            data = load_evse(self._system, evse_id).commissioned
        except Unknown:
            return None
        return None if data is None else Place(data.zone_id, data.station_id)

    def _station(self, station_id: str) -> Place | None:
        zone_id = self._system.log.owner("station", station_id)
        return None if zone_id is None else Place(zone_id, station_id)

    def _session(self, row: Recorded, session_id: str) -> Place | None:
        now_s = time.monotonic()
        held = self._sessions.get(session_id)
        if held and row.position <= held.position and now_s < held.until_s:
            return held.place
        position = self._system.log.last_position()
        try:
            state = resolve(self._system, session_id)
        except Unknown:
            return None
        # Before any plug it stands where it is expected.
        place = Place(
            state.zone_id or state.expected_zone_id,
            state.station_id or state.expected_station_id,
            state.parties,
        )
        if len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.clear()
        self._sessions[session_id] = _Held(place, position, now_s + _SESSION_HELD_S)
        return place


def reaches(caller: Principal, place: Place | None) -> bool:
    """Whether a caller reaches what stands at a place."""
    return caller.reaches_all or (place is not None and sees_session(caller, *place))
