"""7.3 Stations that may connect: registered, with credentials; blocked, retired.

A registered station is known at the gateway. It is commissioned, by
`clause_7_3_commissioning`, when it has EVSEs in a zone; until then it may connect and
is told to wait. By `shared_path`.

Passwords are ours to draw: their text is no part of a command, so that a repeated one
is known by the rest, and only a SHA-256 is kept.
"""

import hashlib
import re
from collections.abc import Callable

import msgspec

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import ids
from domain.model import station_events as t
from domain.model.deviations import deviations_of
from domain.model.site import Station, evolve_station
from domain.model.values import Event
from domain.ports import Answer, Batch, Claim, Ids, System
from domain.use_cases.shared_path import By, decision, fold, record

IDENTITY = "identity"
# 160 bits, as 40 hexadecimal digits: the most that any version's stations take.
_PASSWORD_BYTES = 20
_LONGEST_TEXT = 200
# Of OCPP's identifierString, what every version takes.
_IDENTITY = re.compile(r"[A-Za-z0-9*_=:+|@.-]{1,48}")


def draw_password(drawn: Ids) -> str:
    """Return a new password."""
    return drawn.random(_PASSWORD_BYTES).hex()


def digest_of(password: str) -> bytes:
    """Return what is kept of a password; it has 160 random bits, so no salt is due."""
    return hashlib.sha256(password.encode()).digest()


class _OfStation(msgspec.Struct, frozen=True, kw_only=True):
    station_id: str


class RegisterStation(_OfStation, frozen=True, kw_only=True):
    """Let a station connect under an identity, with its credentials."""

    identity: str
    security_profile: int
    certificate_name: str = ""
    via: str = ""
    deviations: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse an identity against the grammar."""
        ids.name_of("station id", self.station_id)
        if not _IDENTITY.fullmatch(self.identity):
            raise InvalidValue(
                f"identity {self.identity[:50]!r} is not 1 to 48 letters, digits or "
                "any of *-_=:+|@."
            )
        if self.via:
            ids.name_of("local controller", self.via)


def register_station(
    system: System, command: RegisterStation, by: By, *, password_digest: bytes = b""
) -> Answer:
    """Record the station; an identity belongs to one station for good."""

    def decide(station: Station) -> t.StationRegistered:
        command.check()
        _check_credentials(command, password_digest)
        if station.registered is not None:
            raise Refused(f"station {command.station_id} is registered already")
        if system.log.owner(IDENTITY, command.identity) is not None:
            raise Refused(f"identity {command.identity!r} is registered already")
        told = msgspec.structs.asdict(command)
        told["deviations"] = deviations_of(command.deviations)
        return t.StationRegistered(password_digest=password_digest, **told)

    claim = Claim(IDENTITY, command.identity, command.station_id)
    return _decided(system, command, by, decide, (claim,))


class ChangeCredentials(_OfStation, frozen=True, kw_only=True):
    """Give a station new credentials, also of another security profile."""

    security_profile: int
    certificate_name: str = ""


def change_credentials(
    system: System, command: ChangeCredentials, by: By, *, password_digest: bytes = b""
) -> Answer:
    """Record the credentials; from then on those before prove nothing."""

    def decide(station: Station) -> t.StationCredentialChanged:
        _registered(station, command.station_id)
        _check_credentials(command, password_digest)
        return t.StationCredentialChanged(
            password_digest=password_digest, **msgspec.structs.asdict(command)
        )

    return _decided(system, command, by, decide)


class TolerateDeviations(_OfStation, frozen=True, kw_only=True):
    """Say which deviations of a station are tolerated: these, and no others."""

    deviations: tuple[str, ...]


def tolerate_deviations(system: System, command: TolerateDeviations, by: By) -> Answer:
    """Record the deviations that are tolerated from now on."""

    def decide(station: Station) -> t.StationDeviationsChanged:
        _registered(station, command.station_id)
        return t.StationDeviationsChanged(
            station_id=command.station_id, deviations=deviations_of(command.deviations)
        )

    return _decided(system, command, by, decide)


class BlockStation(_OfStation, frozen=True, kw_only=True):
    """Reject a station when it boots, until it is unblocked."""

    reason: str


def block_station(system: System, command: BlockStation, by: By) -> Answer:
    """Record the block; of a station that is blocked it is refused."""

    def decide(station: Station) -> t.StationBlocked:
        _registered(station, command.station_id)
        _check_reason(command)
        if station.blocked:
            raise Refused(f"station {command.station_id} is blocked already")
        return t.StationBlocked(**msgspec.structs.asdict(command))

    return _decided(system, command, by, decide)


class UnblockStation(_OfStation, frozen=True, kw_only=True):
    """Accept a blocked station again."""

    reason: str


def unblock_station(system: System, command: UnblockStation, by: By) -> Answer:
    """Record that the block ended."""

    def decide(station: Station) -> t.StationUnblocked:
        _registered(station, command.station_id)
        _check_reason(command)
        if not station.blocked:
            raise Refused(f"station {command.station_id} is not blocked")
        return t.StationUnblocked(**msgspec.structs.asdict(command))

    return _decided(system, command, by, decide)


class RetireStation(_OfStation, frozen=True, kw_only=True):
    """Take a station out of service for good."""

    reason: str


def retire_station(system: System, command: RetireStation, by: By) -> Answer:
    """Record the end of the station; its identity is given to no other."""

    def decide(station: Station) -> t.StationRetired:
        _registered(station, command.station_id)
        _check_reason(command)
        return t.StationRetired(**msgspec.structs.asdict(command))

    return _decided(system, command, by, decide)


def _decided(
    system: System,
    command: _OfStation,
    by: By,
    decide: Callable[[Station], Event],
    claims: tuple[Claim, ...] = (),
) -> Answer:
    stream = ids.station_stream(command.station_id)

    def whole() -> Batch:
        station = fold(system, stream, Station(), evolve_station)
        if station.retired:
            raise Refused(
                f"station {command.station_id} was retired: {station.retired}"
            )
        event = decide(station)
        append = decision(stream, station, by.at, event)
        return Batch(appends=(append,), claims=claims)

    return record(system, by, command, whole)


def _registered(station: Station, station_id: str) -> None:
    if station.registered is None:
        raise Unknown(f"station {station_id!r} was never registered")


def _check_reason(command: BlockStation | UnblockStation | RetireStation) -> None:
    if not 0 < len(command.reason.strip()) <= _LONGEST_TEXT:
        raise InvalidValue(
            f"station {command.station_id}: the reason has not 1 to {_LONGEST_TEXT} "
            "characters"
        )


def _check_credentials(
    command: RegisterStation | ChangeCredentials, password_digest: bytes
) -> None:
    """Refuse credentials that are not those of their security profile."""
    has = (bool(password_digest), bool(command.certificate_name))
    needs = {1: (True, False), 2: (True, False), 3: (False, True)}
    if needs.get(command.security_profile) != has:
        raise InvalidValue(
            f"station {command.station_id}: security profile "
            f"{command.security_profile} is not 1 or 2 with a password, or 3 with a "
            "certificate's name"
        )
    if len(command.certificate_name) > _LONGEST_TEXT:
        raise InvalidValue(
            f"station {command.station_id}: its certificate's name is longer than "
            f"{_LONGEST_TEXT} characters"
        )
