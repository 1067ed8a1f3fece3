"""A caller of the API at a real socket: commands under keys of their own."""

import base64
import hashlib
import itertools
import json
from typing import Any

import httpx

_DRAWN = itertools.count(1)


class Caller:
    """Who holds a key, and the commands given with it."""

    def __init__(self, client: httpx.Client, headers: dict[str, str]) -> None:
        self.client = client
        self.headers = headers

    def post(
        self, path: str, body: Any = None, key: str = "", **headers: str
    ) -> httpx.Response:
        """Give a command; under a new key unless told."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {
            **self.headers,
            "Idempotency-Key": key or f"command-{next(_DRAWN)}",
            "Content-Type": "application/json",
            **more,
        }
        content = b"" if body is None else as_sent(body)
        return self.client.post(path, content=content, headers=given)

    def done(self, path: str, body: Any = None, key: str = "", **headers: str) -> Any:
        """Give a command that is done; return the answer."""
        answer = self.post(path, body, key, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(
        self, status: int, code: str, path: str, body: Any = None, **headers: str
    ) -> Any:
        """Give a command that is refused so; return the problem."""
        answer = self.post(path, body, **headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (
            answer.text
        )
        return answer.json()

    def get(self, path: str, **parameters: Any) -> Any:
        """Return what a route shows."""
        answer = self.client.get(path, params=parameters, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


def as_sent(body: Any) -> bytes:
    """Return the bytes of a body as `Caller` sends them."""
    return json.dumps(body).encode()


def digest_of(body: Any) -> str:
    """Return the ``Content-Digest`` of a body as `Caller` sends it."""
    digest = hashlib.sha256(as_sent(body)).digest()
    return f"sha-256=:{base64.b64encode(digest).decode()}:"
