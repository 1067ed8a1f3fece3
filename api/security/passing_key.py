"""The one key of a server on a finished store: made at its start, gone at its end.

A store that ``simulate`` made is only read, so no key can be issued in its log.
"""

import hashlib
import hmac

from starlette.datastructures import Headers
from starlette.types import Scope

from api.errors import Code, Problem
from api.security.principal import Principal


def not_authenticated(rule: str) -> Problem:
    """Return the problem of a caller nobody knows."""
    return Problem(
        401,
        Code.NOT_AUTHENTICATED,
        f"header Authorization {rule}",
        headers={"WWW-Authenticate": 'Bearer realm="voltledger"'},
    )


def bearer_of(scope: Scope) -> str:
    """Return the bearer token of a request.

    Raises
    ------
    Problem
        401 when there is none.
    """
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise not_authenticated("is 'Bearer' and a key")
    return token.strip()


class PassingKey:
    """Admits the bearer of one key as one principal."""

    def __init__(self, key: str, principal: Principal) -> None:
        self._digest = hashlib.sha256(key.encode()).digest()
        self._principal = principal

    async def admit(self, scope: Scope) -> Principal:
        """Return the principal for the bearer of the key."""
        digest = hashlib.sha256(bearer_of(scope).encode()).digest()
        if not hmac.compare_digest(digest, self._digest):
            raise not_authenticated("has a key that nobody issued")
        return self._principal

    def answered(self, scope: Scope, status: int) -> None:
        """Do nothing: the store is only read, so nothing can be noted in it."""
