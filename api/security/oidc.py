"""People by OpenID Connect: JWT bearer tokens of one issuer, checked by PyJWT.

Only signatures by public keys are accepted, so nobody who knows a key of ours can make
a token. Fetching the issuer's keys and checking a signature happen in a thread of their
own: neither holds up the event loop or takes the threads that read the store.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
from jwt import PyJWK, PyJWKClient, PyJWKSet
from jwt.exceptions import PyJWKClientConnectionError

from api.security.keys import check_privileges
from api.security.principal import Principal, Role
from domain.errors import InvalidValue
from domain.model.access_events import ALL
from domain.ports import Vault

_logger = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
_ENVIRONMENT = "VOLTLEDGER_OIDC_"
_LEEWAY_S = 5
_FETCH_TIMEOUT_S = 5
_JWKS_LIFE_S = 300
_MOST_TOKENS = 10_000
_LONGEST_TOKEN = 16_384
# What people may be without being confined to places by a claim.
_UNCONFINED = frozenset(Role) - {
    Role.PARKING_OPERATOR,
    Role.RESOURCE_MANAGER,
    Role.STATION,
}


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens are good, and how their claims are named.

    ``jwks`` is a file or a URL. Without ``tenant_claim`` people belong to the server's
    only tenant; without ``zones_claim`` they reach all of it.
    """

    issuer: str
    audience: str
    jwks: str
    roles_claim: str = "roles"
    tenant_claim: str = ""
    zones_claim: str = ""
    party_claim: str = "party"

    def check(self) -> None:
        """Refuse keys that come over an open line."""
        url = urlsplit(self.jwks)
        local = url.hostname in ("127.0.0.1", "::1", "localhost")
        if url.scheme == "http" and not local:
            raise InvalidValue(f"OIDC: jwks {self.jwks} is not fetched over TLS")


def settings_of(environment: Mapping[str, str]) -> OidcSettings | None:
    """Return the settings in ``VOLTLEDGER_OIDC_*``; None when there are none."""
    given = {
        name.removeprefix(_ENVIRONMENT).lower(): value
        for name, value in environment.items()
        if name.startswith(_ENVIRONMENT) and value
    }
    if not given:
        return None
    known = OidcSettings.__struct_fields__
    unknown = sorted(given.keys() - set(known))
    missing = sorted({"issuer", "audience", "jwks"} - given.keys())
    if unknown or missing:
        raise InvalidValue(
            f"{_ENVIRONMENT}*: {', '.join(map(str.upper, unknown or missing))} "
            f"{'is not one of its names' if unknown else 'is missing'}"
        )
    settings = OidcSettings(**given)
    settings.check()
    return settings


class BadToken(Exception):
    """The token is not good here; the message may be shown to who brought it."""


class Expired(BadToken):
    """The token was good."""


class Beyond(BadToken):
    """The token is genuine, and says what nobody may be; ``tenant`` is known."""

    def __init__(self, message: str, tenant: str) -> None:
        super().__init__(message)
        self.tenant = tenant


class Person(msgspec.Struct, frozen=True):
    """Whose token it is, and until when (seconds since 1970)."""

    principal: Principal
    until_s: float

    def still_holds(self) -> bool:
        """Whether the token is still good."""
        return time.time() < self.until_s


class Tokens:
    """Checks tokens; one that was good is known until it expires.

    Parameters
    ----------
    settings
        whose tokens are good.
    vaults
        by tenant: people stand in a log by an opaque subject of its vault.
    """

    def __init__(self, settings: OidcSettings, vaults: Mapping[str, Vault]) -> None:
        self._settings = settings
        self._vaults = vaults
        self._keys = _key_source(settings.jwks)
        self._known: OrderedDict[bytes, Person] = OrderedDict()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="oidc")

    def known(self, token: str) -> Person | None:
        """Return who brought a good token before, while it is good."""
        digest = _digest(token)
        person = self._known.get(digest)
        if person is None:
            return None
        if not person.still_holds():
            del self._known[digest]
            raise Expired("expired")
        self._known.move_to_end(digest)
        return person

    async def check(self, token: str) -> Person:
        """Return whose token it is.

        Raises
        ------
        BadToken
            for one that is not good here.
        """
        if len(token) > _LONGEST_TOKEN:
            raise BadToken("is no token")
        loop = asyncio.get_running_loop()
        person = await loop.run_in_executor(self._pool, self._checked, token)
        self._known[_digest(token)] = person
        if len(self._known) > _MOST_TOKENS:
            self._known.popitem(last=False)
        return person

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(cancel_futures=True)

    def _checked(self, token: str) -> Person:
        try:
            claims = jwt.decode(
                token,
                self._keys.key_of(token),
                algorithms=list(ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Expired("expired") from None
        except PyJWKClientConnectionError as error:
            _logger.warning("the issuer's keys are out of reach: %s", error)
            raise BadToken("cannot be checked: the issuer does not answer") from None
        except (jwt.PyJWTError, KeyError, ValueError, RecursionError):
            # Why not is of use to who forges one, and to nobody else.
            raise BadToken("is not good here") from None
        return Person(self._principal(claims), float(claims["exp"]) + _LEEWAY_S)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        tenant = self._tenant(claims)
        roles = frozenset(
            role for role in Role if role in _texts(claims, self._settings.roles_claim)
        )
        party = "".join(_texts(claims, self._settings.party_claim)[:1])
        zones = self._zones(claims, roles)
        try:
            check_privileges(roles, party, zones, ())
        except InvalidValue as error:
            raise Beyond(str(error), tenant) from None
        who = f"{claims['iss']}|{claims['sub']}"
        subject_id = self._vaults[tenant].subject_of("oidc", who)
        return Principal(
            tenant=tenant,
            actor=subject_id,
            roles=roles,
            party=party,
            zones=zones,
            subject_id=subject_id,
        )

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        if self._settings.tenant_claim:
            named = _texts(claims, self._settings.tenant_claim)
        else:
            named = list(self._vaults)
        if len(named) != 1 or named[0] not in self._vaults:
            raise BadToken("names no tenant of this server")
        return named[0]

    def _zones(
        self, claims: Mapping[str, Any], roles: frozenset[Role]
    ) -> frozenset[str]:
        if self._settings.zones_claim:
            return frozenset(_texts(claims, self._settings.zones_claim))
        return frozenset({ALL}) if roles and roles <= _UNCONFINED else frozenset()


class _KeyFile:
    """The issuer's keys from a file, read once."""

    def __init__(self, path: Path) -> None:
        try:
            self._set = PyJWKSet.from_json(path.read_text("utf-8"))
        except (OSError, ValueError, jwt.PyJWTError) as error:
            raise InvalidValue(f"OIDC: jwks {path}: {error}") from None

    def key_of(self, token: str) -> PyJWK:
        """Return the key that a token says it was signed with."""
        return self._set[jwt.get_unverified_header(token).get("kid", "")]


class _KeyUrl:
    """The issuer's keys from where it publishes them, kept for some minutes."""

    def __init__(self, url: str) -> None:
        self._client = PyJWKClient(url, lifespan=_JWKS_LIFE_S, timeout=_FETCH_TIMEOUT_S)

    def key_of(self, token: str) -> PyJWK:
        """Return the key that a token says it was signed with."""
        return self._client.get_signing_key_from_jwt(token)


def _key_source(jwks: str) -> _KeyFile | _KeyUrl:
    is_url = urlsplit(jwks).scheme in ("http", "https")
    return _KeyUrl(jwks) if is_url else _KeyFile(Path(jwks))


def _texts(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return a claim as texts: of a list, or of one text with blanks between."""
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found.split()
    if isinstance(found, list):
        return [text for text in found if isinstance(text, str)]
    return []


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
