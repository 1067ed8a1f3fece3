"""Which events of the log a caller reaches, by the stream they stand in (7.9.4.5)."""

import re

from api.errors import Problem
from api.security.principal import Principal
from api.security.reach import check_evse, check_session, check_station, check_zone
from domain.ports import System

_DAY = re.compile(r"-\d{4}-\d{2}(-\d{2})?$")


class EventReach:
    """Tells for streams, one after the other, whether a caller reaches them.

    Asks the log itself: a session that began just now is known. What was out of reach
    may come into it, so only what is within is remembered.
    """

    def __init__(self, system: System, caller: Principal) -> None:
        self._system = system
        self._caller = caller
        self._within: set[str] = set()

    def reaches(self, stream: str) -> bool:
        """Whether the caller reaches what stands in a stream."""
        if self._caller.reaches_all or stream in self._within:
            return True
        try:
            is_known = self._check(stream)
        except Problem:
            return False
        if is_known:
            self._within.add(stream)
        return is_known

    def _check(self, stream: str) -> bool:
        """Answer a stream out of reach as unknown; False for one of no known kind."""
        kind, _, name = stream.partition("-")
        match kind:
            case "zone" | "pre":
                check_zone(self._caller, name)
            case "plan":
                check_zone(self._caller, _DAY.sub("", name))
            case "evse":
                check_evse(self._system, self._caller, name)
            case "station":
                check_station(self._system, self._caller, name)
            case "connectivity" | "delivery":
                check_station(self._system, self._caller, _DAY.sub("", name))
            case "session":
                check_session(self._system, self._caller, name)
            case _:
                return False
        return True
