"""People by tokens of their identity provider, at the socket, its keys on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from api.app import create_app
from api.security.gate import AccessGate, Door
from api.security.oidc import OidcSettings, Tokens, settings_of
from api.security.rate_limits import RateLimits
from domain.errors import InvalidValue
from tests.api.conftest import Served, listening, port_of
from tests.projections.small_site import ZONE

ISSUER, AUDIENCE = "https://login.example", "voltledger"
SIGNERS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65_537, 2_048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
STRANGER = ec.generate_private_key(ec.SECP256R1())


def published() -> str:
    """Return the issuer's public keys as it publishes them."""
    makers: dict[str, Any] = {
        "RS256": RSAAlgorithm,
        "ES256": ECAlgorithm,
        "EdDSA": OKPAlgorithm,
    }
    keys = []
    for name, maker in makers.items():
        key = json.loads(maker.to_jwk(SIGNERS[name].public_key()))
        keys.append(key | {"kid": name, "alg": name, "use": "sig"})
    return json.dumps({"keys": keys})


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "anna@example",
        "iat": now,
        "exp": now + 600,
        "roles": ["operator", "offline_access"],
    } | more
    return {name: value for name, value in told.items() if value is not None}


def token(algorithm: str = "ES256", key: Any = None, kid: str = "", **more: Any) -> str:
    signer = SIGNERS[algorithm] if key is None else key
    headers = {"kid": kid or algorithm}
    return jwt.encode(claims(**more), signer, algorithm, headers=headers)


class Issuer(ThreadingHTTPServer):
    """Publishes the keys and counts how often it is asked."""

    asked = 0
    waits_s = 0.0


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    class Publishing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked += 1
            time.sleep(server.waits_s)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(published().encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = Issuer(("127.0.0.1", 0), Publishing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(issuer: Issuer) -> OidcSettings:
    jwks = f"http://127.0.0.1:{issuer.server_port}/keys"
    return OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks=jwks)


@pytest.fixture
def people(served: Served, settings: OidcSettings) -> Iterator[httpx.Client]:
    yield from clients(served, settings)


def clients(served: Served, settings: OidcSettings) -> Iterator[httpx.Client]:
    tokens = Tokens(settings, {"main": served.system.vault})
    door = Door(served.keys, served.security)
    limits = RateLimits(failures_per_minute=1_000)
    app = create_app(
        served.app.state.tenants, AccessGate({"main": door}, limits, tokens)
    )
    with listening(app) as server:
        address = f"http://127.0.0.1:{port_of(server)}/v1"
        with httpx.Client(base_url=address, timeout=20) as client:
            yield client
    tokens.close()


def ask(client: httpx.Client, text: str, path: str = "/zones") -> httpx.Response:
    return client.get(path, headers={"Authorization": f"Bearer {text}"})


@pytest.mark.requirement("7.9.4.2")
@pytest.mark.parametrize("algorithm", list(SIGNERS))
def test_a_good_token_opens(people: httpx.Client, algorithm: str) -> None:
    assert ask(people, token(algorithm)).status_code == 200


@pytest.mark.requirement("7.9.4.2")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"exp": 1_000}, "expired"),
        ({"exp": None}, "not good"),
        ({"nbf": 99_999_999_999}, "not good"),
        ({"iss": "https://elsewhere.example"}, "not good"),
        ({"aud": "another"}, "not good"),
        ({"sub": None}, "not good"),
        ({"kid": "another"}, "not good"),
        ({"key": STRANGER}, "not good"),
    ],
)
def test_a_token_that_is_not_good_does_not_open(
    people: httpx.Client, more: dict[str, Any], said: str
) -> None:
    answer = ask(people, token(**more))
    assert answer.status_code == 401
    assert said in answer.json()["detail"]


@pytest.mark.requirement("7.9.4.2")
def test_a_token_without_a_signature_or_by_a_shared_secret_does_not_open(
    people: httpx.Client,
) -> None:
    none = jwt.encode(claims(), "", "none", headers={"kid": "ES256"})
    public = SIGNERS["RS256"].public_key().public_numbers().n.to_bytes(256, "big")
    shared = jwt.encode(claims(), public, "HS256", headers={"kid": "RS256"})
    other = jwt.encode(claims(), SIGNERS["RS256"], "PS256", headers={"kid": "RS256"})
    for text in (none, shared, other, "a.b.c", "..", "[" * 9_000 + ".a.b"):
        assert ask(people, text).status_code == 401


@pytest.mark.requirement("7.9.4.5")
def test_a_person_may_what_the_roles_say(people: httpx.Client) -> None:
    analyst = token(roles=["analyst"])
    assert ask(people, analyst, "/events").status_code == 200
    assert ask(people, analyst, "/keys").status_code == 403
    assert ask(people, token(roles=[]), "/zones").status_code == 403
    assert ask(people, token(roles=None), "/zones").status_code == 403
    assert ask(people, token(roles="analyst operator"), "/events").status_code == 200


@pytest.mark.requirement("7.9.4.5")
def test_a_role_that_needs_more_than_the_token_says_is_forbidden(
    people: httpx.Client, served: Served
) -> None:
    for roles in (["cso"], ["station"], ["resource-manager"], ["parking-operator"]):
        answer = ask(people, token(roles=roles))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert ask(people, token(roles=["cso"], party="fleet")).status_code == 200
    assert served.security.counts()["forbidden"] == 4


def test_zones_come_from_the_claim_that_is_named(
    served: Served, settings: OidcSettings
) -> None:
    confined = msgspec.structs.replace(settings, zones_claim="site.zones")
    for people in clients(served, confined):
        inside = token(site={"zones": [ZONE]})
        outside = token(site={"zones": ["elsewhere"]})
        assert ask(people, inside, f"/zones/{ZONE}").status_code == 200
        assert ask(people, outside, f"/zones/{ZONE}").status_code == 404
        assert ask(people, token()).status_code == 403


@pytest.mark.requirement("7.9.4.6c")
def test_a_person_stands_in_the_log_by_an_opaque_subject(
    people: httpx.Client, served: Served
) -> None:
    assert ask(people, token()).status_code == 200
    served.security.close()
    rows = served.system.log.read(after=-1, limit=1_000)
    (noted,) = [row.event for row in rows if row.type == "security.noted"]
    subject = served.system.vault.find_subject("oidc", f"{ISSUER}|anna@example")
    assert noted.actor == subject  # type: ignore[union-attr]
    assert all("anna" not in repr(row) for row in rows)


def test_the_issuer_is_asked_once_and_not_for_each_unknown_key(
    people: httpx.Client, issuer: Issuer
) -> None:
    for n in range(20):
        ask(people, token(sub=f"person {n}"))
        ask(people, token(kid=f"unknown {n}"))
    assert issuer.asked == 1


def test_a_slow_issuer_holds_nobody_else_up(
    people: httpx.Client, issuer: Issuer
) -> None:
    issuer.waits_s = 2.0
    waiting = threading.Thread(target=ask, args=(people, token()))
    waiting.start()
    time.sleep(0.2)
    begun = time.monotonic()
    assert people.get("/health").status_code == 200
    assert ask(people, "no token").status_code == 401
    assert time.monotonic() - begun < 1.0
    waiting.join()


def test_an_issuer_that_is_away_opens_nothing(
    served: Served, settings: OidcSettings
) -> None:
    away = msgspec.structs.replace(settings, jwks="http://127.0.0.1:9/keys")
    for people in clients(served, away):
        answer = ask(people, token())
        assert answer.status_code == 401
        assert "cannot be checked" in answer.json()["detail"]


def test_a_feed_ends_when_the_token_does(people: httpx.Client) -> None:
    soon = token(roles=["analyst"], exp=int(time.time()) - 3)
    headers = {"Authorization": f"Bearer {soon}"}
    begun = time.monotonic()
    with people.stream("GET", "/events/feed", headers=headers) as feed:
        assert feed.status_code == 200
        for _ in feed.iter_bytes():
            assert time.monotonic() - begun < 10


def test_keys_may_be_in_a_file(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(published())
    settings = OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks=str(path))
    for people in clients(served, settings):
        assert ask(people, token("EdDSA")).status_code == 200
        assert ask(people, token(kid="another")).status_code == 401


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ISSUER": ISSUER}, "AUDIENCE, JWKS is missing"),
        ({"ISSUER": "a", "AUDIENCE": "b", "JWKS": "c", "X": "y"}, "X is not one"),
        ({"ISSUER": "a", "AUDIENCE": "b", "JWKS": "http://c.example/k"}, "over TLS"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    environment: dict[str, str], said: str
) -> None:
    named = {f"VOLTLEDGER_OIDC_{name}": value for name, value in environment.items()}
    with pytest.raises(InvalidValue, match=said):
        settings_of(named)


def test_a_file_of_keys_that_is_none_is_refused(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text("{}")
    settings = OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks=str(path))
    with pytest.raises(InvalidValue, match="jwks"):
        Tokens(settings, {"main": served.system.vault})
    assert settings_of({"HOME": "/root"}) is None
