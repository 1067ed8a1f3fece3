"""The stations of a site: a third on each version, some count in A and some in W."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.data.site import SiteStation
from benchmarks.simulator.ocpp.behaviour import FAITHFUL, Behaviour
from benchmarks.simulator.ocpp.evse import Count, VirtualEvse
from benchmarks.simulator.ocpp.profiles import ProfileSet, Wiring
from benchmarks.simulator.ocpp.station import Station
from benchmarks.simulator.ocpp.v2 import Station2
from benchmarks.simulator.ocpp.v16 import Station16
from benchmarks.simulator.ocpp.world import Wire, World
from domain.model.values import Current

VERSIONS = ("1.6", "2.0.1", "2.1")
MAX_LEVEL = 10
# (unit, periods of a schedule): small schedules in A for some, large ones in W.
_SCHEDULES = (("W", 24), ("A", 6), ("A,W", 96), ("A", 1))


@dataclass(frozen=True, slots=True)
class Site:
    """What the stations of a site have in common."""

    world: World
    count: Count
    behaviours: Mapping[str, Behaviour]
    open_wire: Callable[[str, int, str], Wire]


def version_of(index: int) -> str:
    """Return what the n-th station speaks."""
    return VERSIONS[index % len(VERSIONS)]


def build(site: Site, data: SiteStation, index: int, rank: int) -> Station:
    """Return the n-th station of a site, switched off."""
    version = version_of(index)
    unit, periods = _SCHEDULES[index // len(VERSIONS) % len(_SCHEDULES)]
    behaviour = site.behaviours.get(data.station_id, FAITHFUL)
    evse = VirtualEvse(
        number=1,
        wiring=Wiring(data.voltage_v, data.phases, data.current is Current.DC),
        max_w=data.max_w,
        floor_w=data.floor_w,
        count=site.count,
        behaviour=behaviour,
        advanced_to=site.world.now(),
    )
    given = (
        data.station_id,
        rank,
        site.world,
        site.open_wire(data.station_id, rank, version),
        (evse,),
        ProfileSet(tuple(unit.split(",")), periods, MAX_LEVEL, []),
        behaviour,
    )
    if version == "1.6":
        old = Station16(*given)
        old.prepare()
        return old
    station = Station2(*given)
    station.prepare(version)
    return station
