"""Who asks to be upgraded to a WebSocket, and whether it is who it says.

A station comes to ``/ocpp/IDENTITY``, or ``/ocpp/TENANT/IDENTITY``, and proves itself
as its security profile says: 1 by a password, 2 by a password over TLS, 3 by a client
certificate whose name is the one that was registered. More than the profile asks for
is welcome, less is not.
"""

import base64
import binascii
import ssl
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from picows import WSUpgradeRequest

from api.ocpp.peers import Peer
from api.ocpp.proof import Proof, digests_of, refusal_of
from api.ocpp.violations import Version
from api.security.notes import Kind
from domain.ports import TENANT

if TYPE_CHECKING:
    from api.ocpp.gateway import Gateway

# In the order in which we like them.
PROTOCOLS: Final[dict[str, Version]] = {
    "ocpp2.1": "2.1",
    "ocpp2.0.1": "2.0.1",
    "ocpp1.6": "1.6",
}
CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="stations", charset="UTF-8"'}

Certificate = Mapping[str, Any]


class NotAdmitted(Exception):
    """Why a station is not let in."""

    def __init__(
        self, status: HTTPStatus, kind: Kind, detail: str, tenant: str = TENANT
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.tenant = tenant


class Door(NamedTuple):
    """What is known of a connection below the upgrade; no certificate on plain."""

    is_tls: bool
    certificate: Certificate | None


def admit(
    gateways: Mapping[str, "Gateway"], request: WSUpgradeRequest, door: Door
) -> tuple[str, "Gateway", Peer, Proof]:
    """Return whom a request comes from, and by what it proves that; its tenant first.

    Raises
    ------
    NotAdmitted
        where it is nobody who may come in.
    """
    tenant, identity = _named(request.path)
    gateway = gateways.get(tenant)
    peer = None if gateway is None else gateway.peers.find(identity)
    if gateway is None or peer is None:
        known = tenant if gateway is not None else TENANT
        detail = "no station is registered under this identity"
        raise NotAdmitted(HTTPStatus.NOT_FOUND, Kind.UNKNOWN_STATION, detail, known)
    proof = _proof(peer, request, door)
    refusal = refusal_of(peer.credentials, proof)
    if refusal is not None:
        raise NotAdmitted(HTTPStatus.UNAUTHORIZED, *refusal, tenant)
    return tenant, gateway, peer, proof


def protocol_of(offered: Iterable[str]) -> tuple[str, Version] | None:
    """Return the best of the sub-protocols that are offered, None without any of ours.

    The headers are given as they came: each may list several.
    """
    names = {name.strip() for header in offered for name in header.split(",")}
    return next(((p, v) for p, v in PROTOCOLS.items() if p in names), None)


def _named(target: bytes) -> tuple[str, str]:
    """Return tenant and identity of a request's target; empty where it names none."""
    path = target.partition(b"?")[0].decode("ascii", errors="replace")
    parts = [unquote(part) for part in path.split("/") if part]
    match parts:
        case ["ocpp", identity]:
            return TENANT, identity
        case ["ocpp", tenant, identity]:
            return tenant, identity
    return TENANT, ""


def _proof(peer: Peer, request: WSUpgradeRequest, door: Door) -> Proof:
    headers = request.headers.getall("Authorization", [])
    password = _password(peer.identity, headers)
    return Proof(
        is_tls=door.is_tls,
        names=frozenset(_names(door.certificate)) if door.certificate else None,
        digests=None if password is None else digests_of(password),
    )


def _password(identity: str, headers: list[str]) -> bytes | None:
    """Return the password of basic authentication; it need not be text."""
    if len(headers) != 1:
        return None
    scheme, _, encoded = headers[0].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user = identity.encode() + b":"  # an identity may have colons
    return given.removeprefix(user) if given.startswith(user) else b""


def _names(certificate: Certificate) -> set[str]:
    """Return the common name and the DNS names of a certificate that was verified."""
    subject = certificate.get("subject", ())
    names = {text for rdn in subject for key, text in rdn if key == "commonName"}
    alternative = certificate.get("subjectAltName", ())
    return names | {text for kind, text in alternative if kind == "DNS"}


def door_of(ssl_object: ssl.SSLObject | None) -> Door:
    """Return what a connection's TLS says."""
    if ssl_object is None:
        return Door(False, None)
    return Door(True, ssl_object.getpeercert())
