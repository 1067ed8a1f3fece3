"""What a station proves itself by, and whether that is what it is to prove."""

import hashlib
import hmac
from typing import NamedTuple

from api.ocpp.peers import Credentials
from api.security.notes import Kind


class Proof(NamedTuple):
    """What was seen of a station when it connected; of its password only digests.

    ``names`` are those of its certificate, None without one. ``digests`` are None where
    no password came: a key that was set in hexadecimal digits is sent as the bytes that
    they stand for by some stations (1.6, security edition 2), and as the digits by
    others.
    """

    is_tls: bool
    names: frozenset[str] | None = None
    digests: tuple[bytes, ...] | None = None


def digests_of(password: bytes) -> tuple[bytes, ...]:
    """Return what a password may have been registered as."""
    as_digits = password.hex().encode()
    return tuple(hashlib.sha256(each).digest() for each in (password, as_digits))


def refusal_of(
    credentials: Credentials | None, proof: Proof
) -> tuple[Kind, str] | None:
    """Return why a station is not who it says, by its security profile; None: it is."""
    if credentials is None:
        return Kind.WRONG_CREDENTIALS, "the station has no credentials"
    profile = credentials.security_profile
    if profile > 1 and not proof.is_tls:
        return Kind.WRONG_CREDENTIALS, f"security profile {profile} without TLS"
    if profile == 3:
        if proof.names is None:
            return Kind.NO_CREDENTIALS, "no client certificate"
        if credentials.certificate_name not in proof.names:
            return Kind.WRONG_CREDENTIALS, "another's client certificate"
        return None
    if proof.digests is None:
        return Kind.NO_CREDENTIALS, "no password"
    # Its own password, or one that it is being told.
    known = (credentials.password_digest, *credentials.offered)
    is_known = [hmac.compare_digest(a, b) for a in proof.digests for b in known]
    return None if any(is_known) else (Kind.WRONG_CREDENTIALS, "wrong password")
