"""Who is asking: roles, party and reach of an authenticated caller (7.9.4.5)."""

import enum

import msgspec

from domain.model.access_events import ALL


class Role(enum.StrEnum):
    """What a caller is there for; what each may do stands in `permissions`."""

    ADMIN = "admin"
    OPERATOR = "operator"
    ANALYST = "analyst"
    INTEGRATOR = "integrator"
    CSO = "cso"
    PARKING_OPERATOR = "parking-operator"
    RESOURCE_MANAGER = "resource-manager"
    STATION = "station"
    AUDITOR = "auditor"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller.

    ``actor`` is opaque and stands in the log. ``party`` is whom it acts for: sessions
    name their parties. ``zones`` and ``stations`` are what it reaches; `ALL` in
    ``zones`` is everything of its tenant. ``subject_id`` is whose key seals where it
    came from.
    """

    tenant: str
    actor: str
    roles: frozenset[Role]
    party: str = ""
    zones: frozenset[str] = frozenset()
    stations: frozenset[str] = frozenset()
    subject_id: str = ""

    @property
    def reaches_all(self) -> bool:
        """Whether it reaches everything of its tenant."""
        return ALL in self.zones

    @property
    def is_staff(self) -> bool:
        """Whether it runs the site, and so commands for all parties there."""
        return not self.roles.isdisjoint((Role.ADMIN, Role.OPERATOR))

    def reaches_zone(self, zone_id: str) -> bool:
        """Whether a zone is within its reach."""
        return self.reaches_all or zone_id in self.zones

    def reaches_station(self, station_id: str, zone_id: str) -> bool:
        """Whether a station is, by itself or by its zone."""
        return station_id in self.stations or self.reaches_zone(zone_id)
