"""7.3 Stations that may connect: registered, with credentials; blocked, retired.

A registered station is known at the gateway. It is commissioned, by
`clause_7_3_commissioning`, when it has EVSEs in a zone; until then it may connect and
is told to wait. By `shared_path`.
"""

import hashlib
import re

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model import station_events as t
from domain.model.site import Station, evolve_station
from domain.ports import Answer, Batch, Claim, System
from domain.use_cases.shared_path import By, decision, fold, record

IDENTITY = "identity"
# Of OCPP's identifierString, what every version takes.
_IDENTITY = re.compile(r"[A-Za-z0-9*_=:+|@.-]{1,48}")


def digest_of(password: str) -> bytes:
    """Return what is kept of a password; it has 128 random bits, so no salt is due."""
    return hashlib.sha256(password.encode()).digest()


class RegisterStation(msgspec.Struct, frozen=True, kw_only=True):
    """Let a station connect under an identity, with its credentials."""

    station_id: str
    identity: str
    security_profile: int
    password_digest: bytes = b""
    certificate_name: str = ""
    via: str = ""
    deviations: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse an identity against the grammar and credentials that do not fit."""
        ids.name_of("station id", self.station_id)
        if not _IDENTITY.fullmatch(self.identity):
            raise InvalidValue(
                f"identity {self.identity!r} is not 1 to 48 letters, digits or any of "
                "*-_=:+|@."
            )
        has = (bool(self.password_digest), bool(self.certificate_name))
        needs = {1: (True, False), 2: (True, False), 3: (False, True)}
        if needs.get(self.security_profile) != has:
            raise InvalidValue(
                f"station {self.station_id}: security profile {self.security_profile} "
                "is not 1 or 2 with a password, or 3 with a certificate's name"
            )


def register_station(system: System, command: RegisterStation, by: By) -> Answer:
    """Record the station; an identity belongs to one station for good."""
    stream = ids.station_stream(command.station_id)

    def decide() -> Batch:
        command.check()
        if system.log.owner(IDENTITY, command.identity) is not None:
            raise Refused(f"identity {command.identity!r} is registered already")
        station = fold(system, stream, Station(), evolve_station)
        event = t.StationRegistered(**msgspec.structs.asdict(command))
        return Batch(
            appends=(decision(stream, station, by.at, event),),
            claims=(Claim(IDENTITY, command.identity, command.station_id),),
        )

    return record(system, by, command, decide)
