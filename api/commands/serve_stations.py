"""Where ``serve`` lets stations connect: its options, and the service itself."""

import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from api.commands.terminal import say
from api.compose import Service
from api.listening import LOOPBACK, bound_socket
from api.ocpp.service import StationService, Tenant
from api.security.notes import Kind, Origin
from api.security.tls import TlsFiles, harden
from domain.errors import InvalidValue

PORT = 8180
# Most files of the process, where the system's limit allows as many.
_FILES = 65_536
OWN_HOSTS = frozenset({LOOPBACK, "localhost", "::1"})

Served = Annotated[
    bool, typer.Option("--ocpp/--no-ocpp", help="Whether stations can connect.")
]
Host = Annotated[
    str,
    typer.Option(
        help="Where stations connect; another than loopback needs TLS, or "
        "--ocpp-trusted-network."
    ),
]
Port = Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)]
Cert = Annotated[Path | None, typer.Option(help="As --tls-cert, for stations.")]
CertKey = Annotated[Path | None, typer.Option(help="As --tls-key, for stations.")]
ClientCa = Annotated[
    Path | None,
    typer.Option(
        help="Stations of security profile 3 need a certificate of one of these."
    ),
]
Trusted = Annotated[
    bool,
    typer.Option(
        "--ocpp-trusted-network",
        help="Without TLS on a network of your own: security profile 1 only.",
    ),
]


class StationsAt(NamedTuple):
    """Where stations connect."""

    host: str
    port: int
    tls: TlsFiles | None
    is_trusted: bool

    def check(self) -> None:
        """Refuse a host that others reach, who could listen."""
        if self.host not in OWN_HOSTS and self.tls is None and not self.is_trusted:
            raise InvalidValue(
                f"--ocpp-host {self.host!r} is reached by others, who could listen: "
                "give --ocpp-tls-cert and --ocpp-tls-key, or --ocpp-trusted-network "
                "where nobody else is on that network"
            )


@contextmanager
def stations_served(
    services: Mapping[str, Service], at: StationsAt | None
) -> Iterator[StationService | None]:
    """Let stations of live stores connect; nobody's without a place."""
    tenants = {
        name: Tenant(service.system, service.loops.take_readings, service.security)
        for name, service in services.items()
        if service.loops is not None
    }
    if at is None or not tenants:
        yield None
        return
    raise_file_limit()
    context = None if at.tls is None else _context(at.tls, tenants)
    try:
        sock = bound_socket(at.host, at.port)
    except OSError as error:
        where = f"--ocpp-host {at.host} --ocpp-port {at.port}"
        raise InvalidValue(f"{where}: {error.strerror}") from error
    with sock:
        service = StationService(tenants, sock, context)
        service.start()
        try:
            _announce(at, sock.getsockname()[1], list(tenants))
            yield service
        finally:
            service.close()


def raise_file_limit() -> None:
    """Let thousands of stations connect: each is a file, of which 1,024 are usual."""
    if sys.platform == "win32":  # pragma: no cover
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _context(tls: TlsFiles, tenants: Mapping[str, Tenant]) -> ssl.SSLContext:
    context = tls.station_context()
    security = next(iter(tenants.values())).security
    if security is not None:
        harden(
            context,
            partial(security.note, Kind.EXPIRED_CERTIFICATE, Origin()),
            partial(security.note, Kind.WRONG_CREDENTIALS, Origin()),
        )
    return context


def _announce(at: StationsAt, port: int, tenants: list[str]) -> None:
    scheme = "ws" if at.tls is None else "wss"
    host = f"[{at.host}]" if ":" in at.host else at.host
    say(f"stations connect to {scheme}://{host}:{port}/ocpp/IDENTITY")
    for name in tenants[1:]:
        say(f"  those of tenant {name} to /ocpp/{name}/IDENTITY")
    if at.tls is None and at.host not in OWN_HOSTS:
        say("  without TLS: let nobody else be on that network")
