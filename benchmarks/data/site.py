"""The site of a simulation: its stations, each with one EVSE, and their limits.

Without a file, the stations are those the sessions name: 208 V, 32 A, one phase, which
is 6,656 W with a floor of 1,248 W. A site file is JSON::

    {
      "stations": [
        {"station_id": "CA-311", "voltage_v": 208, "phases": 1,
         "max_a": 32, "floor_a": 6, "current": "AC"}
      ]
    }

``station_id`` is needed, the rest defaults to the values shown. ``voltage_v`` is the
voltage one phase is charged with, so that power is voltage × current × phases; below
``floor_a`` an EV draws nothing. A DC EVSE has one phase. Unknown keys are refused.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from domain.errors import InvalidValue
from domain.model.ids import evse_id_of, name_of
from domain.model.values import Current

_VOLTAGE_LIMIT_V = 1_500
_CURRENT_LIMIT_A = 1_000.0
_PHASES = {Current.AC: (1, 2, 3), Current.DC: (1,)}


class SiteStation(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A charging station with one EVSE."""

    station_id: str
    voltage_v: int = 208
    phases: int = 1
    max_a: float = 32.0
    floor_a: float = 6.0
    current: Current = Current.AC

    @property
    def evse_id(self) -> str:
        """Return the id of the station's EVSE."""
        return evse_id_of_station(self.station_id)

    @property
    def max_w(self) -> int:
        """Return the most the EVSE delivers [W], rounded down."""
        return int(self.voltage_v * self.phases * self.max_a)

    @property
    def floor_w(self) -> int:
        """Return the least an EV draws when it draws [W], rounded up."""
        return -int(-self.voltage_v * self.phases * self.floor_a // 1)

    def check(self) -> None:
        """Refuse limits that no EVSE has."""
        phases = _PHASES[self.current]
        rules = (
            ("voltage_v", self.voltage_v, 1, _VOLTAGE_LIMIT_V),
            ("phases", self.phases, phases[0], phases[-1]),
            ("max_a", self.max_a, self.floor_a, _CURRENT_LIMIT_A),
            ("floor_a", self.floor_a, 0, _CURRENT_LIMIT_A),
        )
        for name, value, least, most in rules:
            if not least <= value <= most:  # also catches NaN
                raise InvalidValue(f"{name} {value} is not within {least}..{most}")


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stations of a site, in the order of their ids."""

    stations: tuple[SiteStation, ...]


def evse_id_of_station(station_id: str) -> str:
    """Return the EVSE id made of a station's letters and digits: US*ACN*ECA311."""
    letters = "".join(c for c in name_of("station", station_id) if c.isalnum())
    return evse_id_of(f"US*ACN*E{letters.upper()}")


def site_of_stations(station_ids: Iterable[str]) -> Site:
    """Return the site of the stations a sessions file names, with the stated limits."""
    return _site((SiteStation(station_id=s) for s in set(station_ids)), "site")


def read_site(path: Path, station_ids: Iterable[str]) -> Site:
    """Return the site of a JSON file; it has at least the stations of the sessions."""
    try:
        site = msgspec.json.decode(path.read_bytes(), type=Site)
    except OSError as error:
        raise InvalidValue(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path}: is not a site: {error}") from error
    for number, station in enumerate(site.stations):
        try:
            station.check()
        except InvalidValue as error:
            raise InvalidValue(f"{path}: $.stations[{number}].{error}") from error
    missing = set(station_ids) - {s.station_id for s in site.stations}
    if missing:
        raise InvalidValue(
            f"{path}: lacks the stations {', '.join(sorted(missing))}, which the "
            "sessions name"
        )
    return _site(site.stations, str(path))


def _site(stations: Iterable[SiteStation], where: str) -> Site:
    ordered = tuple(sorted(stations, key=lambda s: s.station_id))
    if not ordered:
        raise InvalidValue(f"{where}: has no stations")
    taken: dict[str, str] = {}
    for station in ordered:
        try:
            evse_id = station.evse_id
        except InvalidValue as error:
            raise InvalidValue(f"{where}: {error}") from error
        if evse_id in taken:
            raise InvalidValue(
                f"{where}: stations {taken[evse_id]!r} and {station.station_id!r} "
                f"would both have the EVSE id {evse_id}"
            )
        taken[evse_id] = station.station_id
    return Site(ordered)
