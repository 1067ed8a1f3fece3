"""The gate: who is asking, by an API key or a token, and how often (7.9.4.2)."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, NoReturn

from starlette.datastructures import Headers
from starlette.types import Scope

from api.errors import Code, Problem
from api.paths import route_name
from api.security.keys import KeyRegister, Parts, parts_of
from api.security.notes import Kind, Origin, SecurityLog
from api.security.oidc import BadToken, Beyond, Expired, Person, Tokens
from api.security.passing_key import not_authenticated
from api.security.principal import Principal
from api.security.rate_limits import RateLimits
from domain.errors import StoreError

_FAULTY = frozenset({Code.FAULTY_MESSAGE, Code.DIGEST_MISMATCH, Code.DIGEST_MISSING})
_GOOD = "has a key or token that is good here"


class Door(NamedTuple):
    """What the gate asks of one tenant."""

    keys: KeyRegister
    security: SecurityLog


class AccessGate:
    """Admits the bearers of keys and tokens; notes all others.

    What names no tenant is noted at the first one, whose server it is.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        limits: RateLimits,
        tokens: Tokens | None = None,
    ) -> None:
        self._doors = doors
        self._first = next(iter(doors.values()))
        self._limits = limits
        self._tokens = tokens

    async def admit(self, scope: Scope) -> Principal:
        """Return who is asking; 401 or 429 otherwise."""
        text = _bearer(scope)
        if not text:
            rule = "is 'Bearer' and a key or token"
            self._fail(scope, self._first, Kind.NO_CREDENTIALS, rule)
        parts = parts_of(text)
        if parts is not None:
            return self._by_key(scope, parts)
        if self._tokens is None or text.count(".") != 2:
            self._fail(scope, self._first, Kind.WRONG_CREDENTIALS, _GOOD)
        try:
            person = await self._person(scope, self._tokens, text)
        except StoreError as error:
            headers = {"Retry-After": "1"}
            raise Problem(
                503, Code.STORE_UNAVAILABLE, str(error), headers=headers
            ) from None
        self._enter(scope, self._doors[person.principal.tenant], person.principal, 0)
        scope["still_holds"] = person.still_holds
        return person.principal

    def answered(self, scope: Scope, status: int) -> None:
        """Note what was forbidden, and messages that were no messages."""
        code = scope.get("problem_code")
        if code == Code.FORBIDDEN:
            self._note(scope, Kind.FORBIDDEN, "")
        elif code in _FAULTY or status == 413:
            self._note(scope, Kind.FAULTY_MESSAGE, code or str(status))

    async def _person(self, scope: Scope, tokens: Tokens, text: str) -> Person:
        try:
            person = tokens.known(text)
            if person is None:
                self._check_address(scope)
                person = await tokens.check(text)
        except Expired:
            rule, kind = "has a token that expired", Kind.EXPIRED_CREDENTIALS
            self._fail(scope, self._first, kind, rule)
        except Beyond as error:
            security = self._doors[error.tenant].security
            security.note(Kind.FORBIDDEN, origin_of(scope), detail=str(error))
            raise Problem(403, Code.FORBIDDEN, f"the token's {error}") from None
        except BadToken as error:
            rule = f"has a token that {error}"
            self._fail(scope, self._first, Kind.WRONG_CREDENTIALS, rule)
        return person

    def _check_address(self, scope: Scope) -> None:
        """Let nobody have signatures checked who only guesses: that costs much."""
        origin = origin_of(scope)
        try:
            self._limits.check_address(origin.address)
        except Problem:
            self._first.security.note(Kind.RATE_LIMITED, origin)
            raise

    def _by_key(self, scope: Scope, parts: Parts) -> Principal:
        door = self._doors.get(parts.tenant)
        if door is None:
            self._fail(scope, self._first, Kind.WRONG_CREDENTIALS, _GOOD)
        held = door.keys.matching(parts.key_id, parts.secret)
        if held is None:
            self._fail(scope, door, Kind.WRONG_CREDENTIALS, _GOOD)
        if held.is_revoked:
            rule, kind = "has a key that was revoked", Kind.REVOKED_CREDENTIALS
            self._fail(scope, door, kind, rule, held.principal)
        if door.keys.is_over(held):
            rule, kind = "has a key that expired", Kind.EXPIRED_CREDENTIALS
            self._fail(scope, door, kind, rule, held.principal)
        self._enter(scope, door, held.principal, held.rate_per_minute)
        scope["still_holds"] = partial(door.keys.is_good, parts.key_id)
        return held.principal

    def _enter(
        self, scope: Scope, door: Door, principal: Principal, rate_per_minute: int
    ) -> None:
        # Put there first: what is refused now is refused to somebody known.
        scope["principal"] = principal
        caller = f"{principal.tenant}/{principal.actor}"
        try:
            self._limits.check_request(caller, rate_per_minute)
        except Problem:
            self._note(scope, Kind.RATE_LIMITED, "")
            raise
        door.security.login(principal.actor, principal.subject_id, origin_of(scope))

    def _note(self, scope: Scope, kind: Kind, detail: str) -> None:
        principal: Principal = scope["principal"]
        self._doors[principal.tenant].security.note(
            kind,
            origin_of(scope),
            actor=principal.actor,
            subject_id=principal.subject_id,
            route=route_name(scope),
            detail=detail,
        )

    def _fail(
        self,
        scope: Scope,
        door: Door,
        kind: Kind,
        rule: str,
        known: Principal | None = None,
    ) -> NoReturn:
        origin = origin_of(scope)
        actor, subject = (known.actor, known.subject_id) if known else ("", "")
        door.security.note(kind, origin, actor=actor, subject_id=subject)
        try:
            self._limits.check_failure(origin.address)
        except Problem:
            door.security.note(Kind.RATE_LIMITED, origin)
            raise
        raise not_authenticated(rule)


def origin_of(scope: Scope) -> Origin:
    """Return where a request came from, as the connection and the caller tell."""
    client = scope.get("client")
    agent = Headers(scope=scope).get("user-agent", "")
    return Origin(client[0] if client else "", agent[:200], scope["path"][:200])


def _bearer(scope: Scope) -> str:
    scheme, _, text = Headers(scope=scope).get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
