"""API keys: their text, what each role needs, and the register the gate asks.

A key reads ``vl_<tenant>.<key id>.<secret>``; the secret is 256 random bits, and only
its SHA-256 is kept. That digest needs no salt and no slow hash: nobody guesses 256
random bits.
"""

import base64
import hashlib
import hmac
import re
import threading
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from api.security.principal import Principal, Role
from domain.errors import InvalidValue
from domain.model.access_events import ALL
from domain.model.values import Instant
from domain.ports import Clock, Ids, System
from domain.use_cases.clause_7_9_4_5_access import Key, keys_of, load_key

PREFIX = "vl_"
SECRET_BYTES = 32
# Compared with when no key has the id, so that both take the same time.
_NO_DIGEST = bytes(32)
_TENANT = re.compile(r"^[a-z0-9][a-z0-9-]{0,31}$")

_NEED_A_PARTY = frozenset({Role.CSO, Role.PARKING_OPERATOR})
_WHOLE_TENANT = frozenset({Role.ADMIN, Role.AUDITOR})
_NEED_PLACES = frozenset({Role.OPERATOR, Role.ANALYST, Role.INTEGRATOR})


def check_tenant(name: str) -> str:
    """Return a name that can be a tenant's."""
    if not _TENANT.fullmatch(name):
        raise InvalidValue(
            f"tenant {name!r} is not 1 to 32 small letters, digits or '-' beginning "
            "with a letter or digit"
        )
    return name


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles of some names; an unknown one is refused."""
    known = {role.value: role for role in Role}
    found = set()
    for name in names:
        if name not in known:
            raise InvalidValue(f"role {name[:50]!r} is not one of {sorted(known)}")
        found.add(known[name])
    return frozenset(found)


def check_privileges(
    roles: frozenset[Role],
    party: str,
    zones: Iterable[str],
    stations: Iterable[str],
) -> None:
    """Refuse roles with more or less reach than they are there for (7.9.4.5)."""
    reach, stands = frozenset(zones), frozenset(stations)
    for role in sorted(roles & _NEED_A_PARTY):
        _rule(bool(party), role, "needs a party, whose sessions it sees")
    for role in sorted(roles & _WHOLE_TENANT):
        rule = f"is for the whole tenant: its zones are {ALL!r}"
        _rule(reach == {ALL} and not stands, role, rule)
    for role in sorted(roles & _NEED_PLACES):
        _rule(bool(reach or stands), role, "needs zones or stations")
    if Role.PARKING_OPERATOR in roles:
        rule = "has neither zones nor stations: it sees its party's sessions"
        _rule(not reach and not stands, Role.PARKING_OPERATOR, rule)
    if Role.STATION in roles:
        _rule(bool(stands) and not reach, Role.STATION, "has stations and no zones")
    if Role.RESOURCE_MANAGER in roles:
        rule = "has the zones it manages, by name"
        _rule(bool(reach) and ALL not in reach, Role.RESOURCE_MANAGER, rule)


def _rule(kept: bool, role: Role, rule: str) -> None:
    if not kept:
        raise InvalidValue(f"role {role.value!r} {rule}")


class NewKey(NamedTuple):
    """A key just drawn: its text is shown once and kept nowhere."""

    key_id: str
    text: str
    digest: bytes


def draw_key(tenant: str, ids: Ids, key_id: str = "") -> NewKey:
    """Draw the secret of a new key."""
    key_id = key_id or ids.new_id()
    drawn = base64.urlsafe_b64encode(ids.random(SECRET_BYTES)).decode().rstrip("=")
    return NewKey(key_id, f"{PREFIX}{tenant}.{key_id}.{drawn}", digest_of(drawn))


def digest_of(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class Parts(NamedTuple):
    """What a key's text says of itself."""

    tenant: str
    key_id: str
    secret: str


def parts_of(text: str) -> Parts | None:
    """Return the parts of a key's text; None when it is no key."""
    if not text.startswith(PREFIX):
        return None
    parts = text[len(PREFIX) :].split(".")
    return Parts(*parts) if len(parts) == 3 else None


class Held(msgspec.Struct, frozen=True):
    """A key as the gate knows it; ``expires_at`` 0 is never."""

    digest: bytes
    principal: Principal
    is_revoked: bool
    expires_at: Instant
    rate_per_minute: int


class KeyRegister:
    """The keys of one tenant, folded from its log.

    The one process that writes to the store asks `refresh` behind each command about a
    key; so a revocation holds from the moment it is answered.
    """

    def __init__(self, tenant: str, system: System) -> None:
        self.tenant = check_tenant(tenant)
        self._system = system
        self._held: dict[str, Held] = {}
        self._refreshing = threading.Lock()
        for key in keys_of(system.log):
            self._hold(key)

    @property
    def clock(self) -> Clock:
        """The clock by which keys expire."""
        return self._system.clock

    def had_admin(self) -> bool:
        """Whether a key of an administrator was ever issued."""
        return any(Role.ADMIN in held.principal.roles for held in self._held.values())

    def refresh(self, key_id: str) -> None:
        """Take up what was recorded of a key."""
        # Who loaded before a revocation must not store behind who loaded after it.
        with self._refreshing:
            self._hold(load_key(self._system.log, key_id))

    def matching(self, key_id: str, secret: str) -> Held | None:
        """Return the key when the secret is its own, also when it no longer opens."""
        held = self._held.get(key_id)
        digest = _NO_DIGEST if held is None else held.digest
        same = hmac.compare_digest(digest, digest_of(secret))
        return held if same else None

    def is_good(self, key_id: str) -> bool:
        """Whether a key still opens: neither revoked nor expired."""
        held = self._held.get(key_id)
        return held is not None and not held.is_revoked and not self.is_over(held)

    def is_over(self, held: Held) -> bool:
        """Whether a key has expired."""
        return 0 < held.expires_at <= self.clock.now()

    def _hold(self, key: Key) -> None:
        issued = key.issued
        # A role that a later release issued is none that this one knows.
        roles = frozenset(role for role in Role if role.value in issued.roles)
        principal = Principal(
            tenant=self.tenant,
            actor=f"key-{issued.key_id}",
            roles=roles,
            party=issued.party,
            zones=frozenset(issued.zones),
            stations=frozenset(issued.stations),
            subject_id=f"key-{issued.key_id}",
        )
        self._held[issued.key_id] = Held(
            issued.digest,
            principal,
            key.revoked_at is not None,
            issued.expires_at,
            issued.rate_per_minute,
        )
