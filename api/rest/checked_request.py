"""Bodies as they must be: JSON in UTF-8, not too deep, no NaN, what its digest says."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec
from fastapi import Request

from api.errors import Broken, Code, Problem

# Deeper than any command; what is nested deeper is an attack or a mistake.
_DEEPEST = 32


class CheckedRequest(Request):
    """A request whose body is checked before anything is made of it."""

    async def json(self) -> Any:
        """Return the body's value.

        Raises
        ------
        Problem
            400 for a body that is no JSON of ours, or that was changed on its way.
        """
        body = await self.body()
        check_digest(self.headers.get("content-digest"), body)
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise faulty(f"is JSON in UTF-8: {error}") from None
        if _depth(value) > _DEEPEST:
            raise faulty(f"is nested at most {_DEEPEST} deep")
        return value


def check_digest(header: str | None, body: bytes) -> None:
    """Refuse a body that is not what its ``Content-Digest`` says (RFC 9530)."""
    if header is None:
        return
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name != "sha-256":
            continue
        try:
            told = base64.b64decode(value.strip(":"), validate=True)
        except binascii.Error:
            break
        if hmac.compare_digest(told, hashlib.sha256(body).digest()):
            return
        break
    rule = "is sha-256=:base64 of the body's SHA-256:"
    raise Problem(
        400,
        Code.DIGEST_MISMATCH,
        f"header Content-Digest {header[:100]!r} {rule}",
        [Broken("header.content-digest", header[:100], rule)],
    )


def faulty(rule: str) -> Problem:
    """Return the problem of a body that cannot be read."""
    shown = rule[:200]
    return Problem(
        400, Code.FAULTY_MESSAGE, f"the body {shown}", [Broken("body", "", shown)]
    )


def _depth(value: Any) -> int:
    """Return how deep a value is nested, looking no deeper than needed."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        inner: list[Any] = []
        for found in level:
            if isinstance(found, dict):
                inner += found.values()
            elif isinstance(found, list):
                inner += found
        level = inner
        depth += 1
    return depth
