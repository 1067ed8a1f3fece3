"""7.9.4.5 Access control: API keys, issued and revoked (IEC 63110-1); by `shared_path`.

What a key opens is checked here as far as the domain knows it: zones and stations that
exist, names by their grammar. What each role needs is in `api.security.keys`, beside
the roles themselves, because tokens of people are held to the same rules.
"""

import sys
from itertools import islice

import msgspec

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import ids
from domain.model.access_events import ALL, KeyIssued, KeyRevoked
from domain.model.values import Event, Instant, iso_of
from domain.ports import Answer, Append, Batch, Claim, Log, System
from domain.use_cases.shared_path import By, load_zone, record

KEY_CLAIM = "access-key"
DIGEST_BYTES = 32
LONGEST_TEXT = 200
MOST_PER_MINUTE = 1_000_000


class Key(msgspec.Struct, frozen=True):
    """An API key as its stream tells; a revoked one stays readable."""

    issued: KeyIssued
    issued_at: Instant
    revoked_at: Instant | None = None
    revoked_reason: str = ""
    decision_version: int = 0


class IssueKey(msgspec.Struct, frozen=True, kw_only=True):
    """Issue an API key: for whom, what it reaches, how long and how often."""

    label: str
    roles: tuple[str, ...]
    party: str = ""
    zones: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    expires_at: Instant = 0
    rate_per_minute: int = 0

    def check(self) -> None:
        """Refuse what no key can be."""
        if not 0 < len(self.label.strip()) <= LONGEST_TEXT:
            raise InvalidValue(
                f"the label {self.label[:LONGEST_TEXT]!r} of a key has not 1 to "
                f"{LONGEST_TEXT} characters"
            )
        if not self.roles:
            raise InvalidValue(f"key {self.label!r} has no role")
        if self.party:
            ids.name_of("party", self.party)
        if not 0 <= self.rate_per_minute <= MOST_PER_MINUTE:
            raise InvalidValue(
                f"key {self.label!r}: rate_per_minute {self.rate_per_minute} is not "
                f"within 0 and {MOST_PER_MINUTE}"
            )


def issue_key(
    system: System, command: IssueKey, by: By, *, key_id: str, digest: bytes
) -> Answer:
    """Record a key; one that expired, or for places nobody knows, is refused.

    ``key_id`` and the secret behind ``digest`` were drawn for it: they are no part of
    what was asked, so a repeated command is known by the rest.
    """
    command.check()
    ids.name_of("key id", key_id)
    if len(digest) != DIGEST_BYTES:
        raise InvalidValue(f"key {key_id}: its digest is no SHA-256")

    def decide() -> Batch:
        _check_present(system, command, by.at)
        event = KeyIssued(
            key_id=key_id, digest=digest, **msgspec.structs.asdict(command)
        )
        append = Append(ids.access_stream(key_id), (event,), by.at, expected=0)
        return Batch(appends=(append,), claims=(Claim(KEY_CLAIM, key_id, key_id),))

    return record(system, by, command, decide)


def _check_present(system: System, command: IssueKey, at: Instant) -> None:
    if command.expires_at and command.expires_at <= at:
        raise InvalidValue(
            f"key {command.label!r} would have expired at "
            f"{iso_of(command.expires_at)}, before {iso_of(at)}"
        )
    _check_places(system, command)


def _check_places(system: System, command: IssueKey) -> None:
    for zone_id in command.zones:
        if zone_id != ALL:
            load_zone(system, zone_id)
    for station_id in command.stations:
        if system.log.owner("station", station_id) is None:
            raise Unknown(f"station {station_id!r} was never commissioned")


class RevokeKey(msgspec.Struct, frozen=True, kw_only=True):
    """Revoke an API key, for good."""

    key_id: str
    reason: str


def revoke_key(system: System, command: RevokeKey, by: By) -> Answer:
    """Record the revocation; of a key unknown or revoked before it is refused."""
    if not 0 < len(command.reason.strip()) <= LONGEST_TEXT:
        raise InvalidValue(
            f"key {command.key_id}: the reason of a revocation has not 1 to "
            f"{LONGEST_TEXT} characters"
        )

    def decide() -> Batch:
        key = load_key(system.log, command.key_id)
        if key.revoked_at is not None:
            raise Refused(
                f"key {command.key_id} was revoked at {iso_of(key.revoked_at)}"
            )
        event = KeyRevoked(key_id=command.key_id, reason=command.reason)
        stream = ids.access_stream(command.key_id)
        append = Append(stream, (event,), by.at, expected=key.decision_version)
        return Batch(appends=(append,))

    return record(system, by, command, decide)


def load_key(log: Log, key_id: str) -> Key:
    """Return a key; `Unknown` when it was never issued."""
    key: Key | None = None
    for row in log.read_stream(ids.access_stream(key_id)):
        if row.event is not None:
            key = _evolve(key, row.event, row.occurred_at)
        if key is not None:
            key = msgspec.structs.replace(key, decision_version=row.decision_version)
    if key is None:
        raise Unknown(f"key {key_id!r} was never issued")
    return key


def _evolve(key: Key | None, event: Event, at: Instant) -> Key | None:
    match event:
        case KeyIssued():
            return Key(event, at)
        case KeyRevoked() if key is not None:
            return msgspec.structs.replace(
                key, revoked_at=at, revoked_reason=event.reason
            )
        case _:
            return key


def keys_of(log: Log, *, behind: str = "", limit: int = sys.maxsize) -> list[Key]:
    """Return keys ever issued, by id, those behind an id."""
    known = (claim.key for claim in log.claims(KEY_CLAIM))
    wanted = islice((key_id for key_id in known if key_id > behind), limit)
    return [load_key(log, key_id) for key_id in wanted]
