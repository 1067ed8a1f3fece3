"""Which events of the log a caller reaches, by the stream they stand in (7.9.4.5)."""

import re

from api.security.principal import Principal
from api.security.reach import sees_session
from projections.read_models import ReadModels

_DAY = re.compile(r"-\d{4}-\d{2}(-\d{2})?$")


class EventReach:
    """Tells for the streams of one request whether the caller reaches them."""

    def __init__(self, models: ReadModels, caller: Principal) -> None:
        self._models = models
        self._caller = caller
        self._known: dict[str, bool] = {}

    def reaches(self, stream: str) -> bool:
        """Whether the caller reaches what stands in a stream."""
        if self._caller.reaches_all:
            return True
        known = self._known.get(stream)
        if known is None:
            known = self._known[stream] = self._looked_up(stream)
        return known

    def _looked_up(self, stream: str) -> bool:
        kind, _, name = stream.partition("-")
        match kind:
            case "zone" | "pre":
                return self._caller.reaches_zone(name)
            case "plan":
                return self._caller.reaches_zone(_DAY.sub("", name))
            case "evse":
                evse = self._models.evses.evse(name)
                return evse is not None and self._caller.reaches_station(
                    evse.station_id, evse.zone_id
                )
            case "station":
                return self._reaches_station(name)
            case "connectivity" | "delivery":
                return self._reaches_station(_DAY.sub("", name))
            case "session":
                return self._reaches_session(name)
            case _:
                return False

    def _reaches_station(self, station_id: str) -> bool:
        zone_id = self._models.evses.zone_of_station(station_id)
        return self._caller.reaches_station(station_id, zone_id)

    def _reaches_session(self, session_id: str) -> bool:
        detail = self._models.sessions.session(session_id)
        if detail is None:
            return False
        session = detail.session
        return sees_session(
            self._caller,
            session.zone_id,
            session.station_id,
            frozenset(session.parties),
        )
