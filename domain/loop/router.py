"""Which zone a row of the ledger concerns, and a zone's state from its own streams."""

from collections.abc import Iterable

from domain.loop.station_state import OF_CONNECTIVITY
from domain.loop.zone_state import ZoneState
from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import DAY, Instant, utc_day_of
from domain.ports import Log, Recorded, RowFilter

_DAY_SUFFIX = len("-2000-01-01")
_MONTH_SUFFIX = len("-2000-01")
# Of what stations told of themselves so many months are read again, and no more.
_MONTHS_READ = 13
_MOST_ROWS = 100_000


class Router:
    """Knows the zone of every stream, from the rows it has seen."""

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self._zone_of: dict[str, str] = {}

    def zone_of(self, row: Recorded) -> str | None:
        """Return the zone a row concerns; learn new stations, EVSEs and sessions."""
        stream, event = row.stream, row.event
        kind, _, rest = stream.partition("-")
        if kind in ("zone", "pre"):
            return rest
        if kind == "plan":
            return rest[:-_DAY_SUFFIX]
        if kind == "delivery":
            return self._zone_of.get(f"station-{rest[:-_DAY_SUFFIX]}")
        if kind == "connectivity":
            return self._zone_of.get(f"station-{rest[:-_MONTH_SUFFIX]}")
        if isinstance(event, t.StationTransactionBound):
            station = f"station-{event.station_id}"
            return None if event.is_settled else self._zone_of.get(station)
        if isinstance(event, z.StationCommissioned | z.EvseCommissioned | s.EvseBound):
            self._zone_of[stream] = event.zone_id
        elif isinstance(event, s.EvseReleased | s.MergedInto):
            return self._zone_of.pop(stream, None)
        return self._zone_of.get(stream)


def restore(log: Log, zone_id: str, now: Instant) -> tuple[int, list[Recorded]]:
    """Return a position, and the rows up to it that a zone's state at ``now`` needs.

    They are the zone's own streams, its stations' and EVSEs', its open sessions' and
    transactions', what its stations told of themselves in a year, and the plans and
    deliveries of today and the two days before: no ETP reaches further than the horizon
    of one day. Of a station that fell silent before, and may still go by one of then,
    they are also those of then. Rows appended while this reads are left to whoever
    follows the log.
    """
    upto = log.last_position()
    rows: list[Recorded] = []
    evse_ids: tuple[str, ...] = ()
    for row in log.read_stream(ids.zone_stream(zone_id)):
        rows.append(row)
        if isinstance(row.event, z.ZoneMembersChanged):
            evse_ids = row.event.evse_ids
    rows += log.read_stream(ids.pre_stream(zone_id))
    stations = [c.key for c in log.claims("station") if c.owner == zone_id]
    days = (now - 2 * DAY, now - DAY, now)
    streams = [ids.plan_stream(zone_id, day) for day in days]
    for station_id in stations:
        rows += log.read_stream(ids.station_stream(station_id))
        told = _connectivity_rows(log, station_id, now, upto)
        rows += told
        silent_at = _silent_at(told)
        of_then = () if silent_at is None else (silent_at - DAY, silent_at)
        streams += [ids.delivery_stream(station_id, day) for day in (*of_then, *days)]
    for evse_id in evse_ids:
        rows += log.read_stream(ids.evse_stream(evse_id))
        if session_id := log.owner("occupant", evse_id):
            rows += _session_rows(log, session_id)
        if transaction := log.owner("live-transaction", evse_id):
            rows += log.read_stream(transaction)
    for stream in dict.fromkeys(streams):
        rows += log.read_stream(stream)
    rows = [row for row in rows if row.position <= upto]
    return upto, sorted(rows, key=lambda row: row.position)


def _connectivity_rows(
    log: Log, station_id: str, now: Instant, upto: int
) -> list[Recorded]:
    """Return what a station's connections and limits were, in the months before."""
    rows: list[Recorded] = []
    at = now
    for _ in range(_MONTHS_READ):
        stream = ids.connectivity_stream(station_id, at)
        wanted = RowFilter(stream, OF_CONNECTIVITY)
        rows += log.find(wanted, after=0, until=upto, limit=_MOST_ROWS)
        first_of_month = int(utc_day_of(at)[8:]) - 1
        at -= (first_of_month + 1) * DAY
    return rows


def _silent_at(told: list[Recorded]) -> Instant | None:
    """Return when a station fell silent; None when it did not, or came back."""
    kinds = t.StationConnected | t.StationDisconnected
    links = [row for row in told if isinstance(row.event, kinds)]
    last = max(links, key=lambda row: row.position, default=None)
    is_silent = last is not None and isinstance(last.event, t.StationDisconnected)
    return last.occurred_at if last is not None and is_silent else None


def _session_rows(log: Log, session_id: str) -> list[Recorded]:
    """Return the rows of a session and of those that were merged into it."""
    rows = list(log.read_stream(ids.session_stream(session_id)))
    for row in rows:  # grows by those of each session that is met
        if isinstance(row.event, s.MergedFrom):
            rows += log.read_stream(ids.session_stream(row.event.from_session_id))
    return rows


def state_of(zone_id: str, rows: Iterable[Recorded], upto: int = 0) -> ZoneState:
    """Return the fold of a zone's rows; ``upto`` is how far the log was read."""
    router = Router()
    state = ZoneState(zone_id)
    for row in rows:
        if router.zone_of(row) == zone_id:
            state.apply(row)
    state.position = max(state.position, upto)
    return state
