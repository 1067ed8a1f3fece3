"""7.3 Commissioning of zones, stations and EVSEs (IEC 63110-1); by `shared_path`."""

import msgspec

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import ids
from domain.model import site_events as z
from domain.model.profile import POWER_LIMIT_W
from domain.model.site import (
    Evse,
    Station,
    Zone,
    evolve_evse,
    evolve_station,
    evolve_zone,
)
from domain.model.values import Current
from domain.ports import Answer, Append, Batch, Claim, System
from domain.use_cases.shared_path import (
    By,
    decision,
    fold,
    load_evse,
    load_zone,
    record,
)


def check_limits(zone_id: str, limit_w: int, safe_upper_w: int) -> None:
    """Refuse a safe envelope that is not within the zone's limit."""
    if not 0 <= safe_upper_w <= limit_w:
        raise InvalidValue(
            f"zone {zone_id}: safe_upper_w {safe_upper_w} W is not within 0 and "
            f"limit_w {limit_w} W"
        )
    if limit_w > POWER_LIMIT_W:
        raise InvalidValue(
            f"zone {zone_id}: limit_w {limit_w} W is beyond {POWER_LIMIT_W} W"
        )


class DefineZone(msgspec.Struct, frozen=True, kw_only=True):
    """Define a charging site zone with its limit and its safe envelope."""

    zone_id: str
    name: str
    limit_w: int
    safe_upper_w: int
    min_plan_gap_s: int = 10
    reaction_time_s: int = 30
    default_energy_wh: int = 5_000
    default_stay_s: int = 7_200
    min_on_s: int = 0
    max_pauses: int = 4

    def check(self) -> None:
        """Refuse limits below 0 and a safe envelope above the limit."""
        ids.name_of("zone id", self.zone_id)
        check_limits(self.zone_id, self.limit_w, self.safe_upper_w)
        for name, value in (
            ("min_plan_gap_s", self.min_plan_gap_s),
            ("reaction_time_s", self.reaction_time_s),
            ("default_energy_wh", self.default_energy_wh),
            ("default_stay_s", self.default_stay_s),
        ):
            if not 0 < value <= POWER_LIMIT_W:
                raise InvalidValue(
                    f"zone {self.zone_id}: {name} {value} is not above 0 and within "
                    f"{POWER_LIMIT_W}"
                )
        if not 0 <= self.min_on_s <= POWER_LIMIT_W:
            raise InvalidValue(
                f"zone {self.zone_id}: min_on_s {self.min_on_s} is not within 0 and "
                f"{POWER_LIMIT_W}"
            )
        if not 0 < self.max_pauses <= z.MOST_PAUSES:
            raise InvalidValue(
                f"zone {self.zone_id}: max_pauses {self.max_pauses} is not within 1 "
                f"and {z.MOST_PAUSES}"
            )


class EvseData(msgspec.Struct, frozen=True, kw_only=True):
    """An EVSE of a station with its limits."""

    evse_id: str
    current: Current
    phases: int
    voltage_v: int
    max_w: int
    floor_w: int
    v2g: bool = False
    min_w: int = 0

    def check(self) -> None:
        """Refuse an id against the grammar and limits that contradict each other."""
        ids.evse_id_of(self.evse_id)
        if self.phases not in (1, 2, 3):
            raise InvalidValue(f"EVSE {self.evse_id}: {self.phases} phases, not 1 to 3")
        if not 0 < self.voltage_v <= 2_000:
            raise InvalidValue(
                f"EVSE {self.evse_id}: voltage_v {self.voltage_v} V is not within 1 "
                "and 2000 V"
            )
        if not 0 < self.max_w <= POWER_LIMIT_W:
            raise InvalidValue(
                f"EVSE {self.evse_id}: max_w {self.max_w} W is not above 0 and within "
                f"{POWER_LIMIT_W} W"
            )
        if not 0 <= self.floor_w <= self.max_w:
            raise InvalidValue(
                f"EVSE {self.evse_id}: floor_w {self.floor_w} W is not within 0 and "
                f"max_w {self.max_w} W"
            )
        if self.min_w < 0 and not self.v2g:
            raise InvalidValue(
                f"EVSE {self.evse_id}: min_w {self.min_w} W is below 0 without V2G"
            )
        if not -POWER_LIMIT_W <= self.min_w <= 0:
            raise InvalidValue(
                f"EVSE {self.evse_id}: min_w {self.min_w} W is not within "
                f"-{POWER_LIMIT_W} and 0 W"
            )


class CommissionStation(msgspec.Struct, frozen=True, kw_only=True):
    """Commission a station with its EVSEs into a zone."""

    station_id: str
    zone_id: str
    evses: tuple[EvseData, ...]

    def check(self) -> None:
        """Refuse a station without EVSEs or with one named twice."""
        ids.name_of("station id", self.station_id)
        if not self.evses:
            raise InvalidValue(f"station {self.station_id} has no EVSE")
        names = [ids.bare_evse_id(evse.evse_id) for evse in self.evses]
        for evse, name in zip(self.evses, names, strict=True):
            if names.count(name) > 1:
                raise InvalidValue(
                    f"station {self.station_id} names EVSE {evse.evse_id} twice"
                )
        for evse in self.evses:
            evse.check()


def define_zone(system: System, command: DefineZone, by: By) -> Answer:
    """Record the zone; a second definition of the same id is refused."""
    stream = ids.zone_stream(command.zone_id)

    def decide() -> Batch:
        command.check()
        zone = fold(system, stream, Zone(), evolve_zone)
        if zone.defined is not None:
            raise Refused(f"zone {command.zone_id} is defined already")
        event = z.ZoneDefined(**msgspec.structs.asdict(command))
        return Batch(appends=(decision(stream, zone, by.at, event),))

    return record(system, by, command, decide)


def commission_station(system: System, command: CommissionStation, by: By) -> Answer:
    """Record station and EVSEs and make the EVSEs members of the zone."""
    stream = ids.station_stream(command.station_id)

    def decide() -> Batch:
        command.check()
        known = fold(system, stream, Station(), evolve_station)
        if system.log.owner("station", command.station_id) is not None:
            raise Refused(f"station {command.station_id} is commissioned already")
        if known.retired:
            raise Refused(f"station {command.station_id} was retired: {known.retired}")
        zone = load_zone(system, command.zone_id)
        evse_ids = tuple(e.evse_id for e in command.evses)
        station = z.StationCommissioned(
            station_id=command.station_id,
            zone_id=command.zone_id,
            evse_ids=evse_ids,
            is_registered=known.registered is not None,
        )
        members = z.ZoneMembersChanged(
            zone_id=command.zone_id, evse_ids=zone.evse_ids + evse_ids
        )
        return Batch(
            appends=(
                decision(stream, known, by.at, station),
                decision(ids.zone_stream(command.zone_id), zone, by.at, members),
                *(_commission_evse(system, station, e, by) for e in command.evses),
            ),
            claims=(
                Claim("station", command.station_id, command.zone_id),
                *(_claim(evse_id) for evse_id in evse_ids),
            ),
        )

    return record(system, by, command, decide)


def _commission_evse(
    system: System, station: z.StationCommissioned, data: EvseData, by: By
) -> Append:
    stream = ids.evse_stream(data.evse_id)
    evse = fold(system, stream, Evse(), evolve_evse)
    claim = _claim(data.evse_id)
    if system.log.owner(claim.kind, claim.key) is not None:
        # Whose it is may be nothing that concerns who asks.
        raise Refused(f"EVSE {data.evse_id} is commissioned already")
    event = z.EvseCommissioned(
        station_id=station.station_id,
        zone_id=station.zone_id,
        **msgspec.structs.asdict(data),
    )
    return decision(stream, evse, by.at, event)


def _claim(evse_id: str) -> Claim:
    return Claim("evse", ids.bare_evse_id(evse_id), evse_id)


class CommissionEvse(msgspec.Struct, frozen=True, kw_only=True):
    """Commission one more EVSE of a station that is there."""

    station_id: str
    evse: EvseData


def commission_evse(system: System, command: CommissionEvse, by: By) -> Answer:
    """Record the EVSE and make it a member of its station's zone."""
    stream = ids.station_stream(command.station_id)

    def decide() -> Batch:
        command.evse.check()
        station = fold(system, stream, Station(), evolve_station)
        if station.commissioned is None:
            raise Unknown(f"station {command.station_id!r} was never commissioned")
        zone_id = station.commissioned.zone_id
        zone = load_zone(system, zone_id)
        added = (command.evse.evse_id,)
        offers = msgspec.structs.replace(
            station.commissioned, evse_ids=station.commissioned.evse_ids + added
        )
        members = z.ZoneMembersChanged(zone_id=zone_id, evse_ids=zone.evse_ids + added)
        return Batch(
            appends=(
                decision(stream, station, by.at, offers),
                decision(ids.zone_stream(zone_id), zone, by.at, members),
                _commission_evse(system, offers, command.evse, by),
            ),
            claims=(_claim(command.evse.evse_id),),
        )

    return record(system, by, command, decide)


class ChangeEvseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Change the power limits of an EVSE."""

    evse_id: str
    max_w: int
    floor_w: int
    min_w: int = 0


def change_evse_limits(system: System, command: ChangeEvseLimits, by: By) -> Answer:
    """Record the EVSE's new limits, which hold to the rules of its commissioning."""

    def decide() -> Batch:
        evse = load_evse(system, command.evse_id)
        assert evse.commissioned is not None  # load_evse refuses one that is not
        limits = msgspec.structs.asdict(command)
        data = msgspec.structs.asdict(evse.commissioned) | limits
        msgspec.convert(data, EvseData).check()
        event = z.EvseLimitsChanged(**limits)
        stream = ids.evse_stream(command.evse_id)
        return Batch(appends=(decision(stream, evse, by.at, event),))

    return record(system, by, command, decide)


class ChangeEnforcement(msgspec.Struct, frozen=True, kw_only=True):
    """Say how far a zone goes with an EVSE that does not follow a mandatory ETP (E5).

    To stop its transaction or to reset it ends a driver's session.
    """

    zone_id: str
    may_stop: bool
    may_reset: bool


def change_enforcement(system: System, command: ChangeEnforcement, by: By) -> Answer:
    """Record how far the zone goes; who may not stop may not reset."""

    def decide() -> Batch:
        if command.may_reset and not command.may_stop:
            raise InvalidValue(
                f"zone {command.zone_id}: a reset stops the transaction, which is not "
                "allowed"
            )
        zone = load_zone(system, command.zone_id)
        event = z.ZoneEnforcementChanged(**msgspec.structs.asdict(command))
        stream = ids.zone_stream(command.zone_id)
        return Batch(appends=(decision(stream, zone, by.at, event),))

    return record(system, by, command, decide)


class ChangeZoneLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Change the zone's own limit and its safe envelope."""

    zone_id: str
    limit_w: int
    safe_upper_w: int


def change_zone_limits(system: System, command: ChangeZoneLimits, by: By) -> Answer:
    """Record the zone's new limits."""

    def decide() -> Batch:
        check_limits(command.zone_id, command.limit_w, command.safe_upper_w)
        zone = load_zone(system, command.zone_id)
        event = z.ZoneLimitsChanged(**msgspec.structs.asdict(command))
        stream = ids.zone_stream(command.zone_id)
        return Batch(appends=(decision(stream, zone, by.at, event),))

    return record(system, by, command, decide)
