"""``voltledger serve``: the API of one or several tenants' stores."""

import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from api.app import create_app
from api.commands import serve_stations as stations
from api.commands.terminal import StoreUrl, note, say
from api.compose import BackOffice, Service, open_service, store_folder
from api.listening import LOOPBACK, bound_socket
from api.ocpp.service import StationService
from api.security.admission import Gate
from api.security.first_key import make_first_key
from api.security.gate import AccessGate, Door
from api.security.keys import check_tenant
from api.security.notes import Kind, Origin
from api.security.oidc import OidcSettings, Tokens, settings_of
from api.security.passing_key import PassingKey
from api.security.principal import Principal, Role
from api.security.rate_limits import RateLimits
from api.security.tls import TlsFiles, harden, tls_files
from api.serving.config import uvicorn_config
from api.serving.logs import LogFormat, configure
from api.serving.traces import tracer_of
from domain.errors import InvalidValue
from domain.loop.runner import SWITCH_INTERVAL_S
from domain.model.access_events import ALL
from domain.ports import TENANT

PORT = 8137

Host = Annotated[
    str,
    typer.Option(help="Another than loopback needs TLS, here or at a proxy."),
]
Port = Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)]
Create = Annotated[
    bool, typer.Option("--create", help="Make the stores that are not there.")
]
More = Annotated[
    list[str],
    typer.Option("--tenant", help="A further tenant's store.", metavar="NAME=URL"),
]
Cert = Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")]
CertKey = Annotated[Path | None, typer.Option(help="Its private key, PEM.")]
ClientCa = Annotated[
    Path | None, typer.Option(help="Clients need a certificate of one of these.")
]
Proxy = Annotated[
    str,
    typer.Option(
        help="TLS ends at the proxy of this address; what it says of where requests "
        "come from is believed, and nobody else's word.",
        metavar="ADDRESS[,ADDRESS]",
    ),
]
Office = Annotated[
    BackOffice,
    typer.Option(
        help="embedded: credentials are answered for by the contracts in the store; "
        "external: by a CSO's system, with commands."
    ),
]
Log = Annotated[LogFormat, typer.Option(help="How the log on stderr is written.")]


def serve(
    store: StoreUrl,
    host: Host = LOOPBACK,
    port: Port = PORT,
    create: Create = False,
    tenant: More = [],  # noqa: B006 - typer's own way to say that it may be left out
    tls_cert: Cert = None,
    tls_key: CertKey = None,
    tls_client_ca: ClientCa = None,
    behind_proxy: Proxy = "",
    back_office: Office = BackOffice.EMBEDDED,
    log_format: Log = LogFormat.TEXT,
    ocpp: stations.Served = True,
    ocpp_host: stations.Host = LOOPBACK,
    ocpp_port: stations.Port = stations.PORT,
    ocpp_tls_cert: stations.Cert = None,
    ocpp_tls_key: stations.CertKey = None,
    ocpp_tls_client_ca: stations.ClientCa = None,
    ocpp_trusted_network: stations.Trusted = False,
) -> None:
    """Serve the API of a store, and of further tenants', until Ctrl-C or SIGTERM.

    Stations connect by OCPP 1.6, 2.0.1 or 2.1 over WebSockets, on a port of their own.

    A live store's first start makes the key of its first administrator. A store that
    simulate made is served alone, read and not written: no loop runs on it. People's
    tokens (OpenID Connect) are checked when VOLTLEDGER_OIDC_ISSUER, _AUDIENCE and _JWKS
    are set.
    """
    tls = tls_files(tls_cert, tls_key, tls_client_ca)
    _check_host(host, tls, behind_proxy)
    at = None
    if ocpp:
        files = tls_files(
            ocpp_tls_cert, ocpp_tls_key, ocpp_tls_client_ca, option="--ocpp-tls"
        )
        at = stations.StationsAt(ocpp_host, ocpp_port, files, ocpp_trusted_network)
        at.check()
    urls = _tenants(store, tenant)
    folders = {
        name: store_folder(url, must_exist=not create) for name, url in urls.items()
    }
    oidc = settings_of(os.environ)
    # uvicorn ends what it does, then raises the signal again: so the store is closed.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            _listening(host, port) as listening,
            _opened(folders, back_office, delivers=ocpp) as services,
        ):
            name = f"[{host}]" if ":" in host else host
            scheme = "http" if tls is None else "https"
            address = f"{scheme}://{name}:{listening.getsockname()[1]}"
            with ExitStack() as opened:
                gate, bearer = _gate(services, oidc, opened)
                _announce(services, urls, address, bearer)
                _say_reach(host, tls, behind_proxy)
                connected = opened.enter_context(stations.stations_served(services, at))
                _say_lines(address, bearer)
                configure(log_format)
                _run(services, connected, gate, listening, tls, behind_proxy)
    except KeyboardInterrupt:
        note("stopped")


def _check_host(host: str, tls: TlsFiles | None, behind_proxy: str) -> None:
    if tls is not None and behind_proxy:
        raise InvalidValue(
            "--behind-proxy says that TLS ends there: no --tls-cert here"
        )
    if host not in stations.OWN_HOSTS and tls is None and not behind_proxy:
        raise InvalidValue(
            f"--host {host!r} is reached by others, who could listen: give --tls-cert "
            "and --tls-key, or --behind-proxy where TLS ends at a proxy; without, the "
            "server is bound to loopback"
        )


def _tenants(store: str, more: list[str]) -> dict[str, str]:
    urls = {TENANT: store}
    for given in more:
        name, equals, url = given.partition("=")
        if not equals or check_tenant(name) in urls:
            raise InvalidValue(
                f"--tenant {given!r} is not NAME=sqlite:///FOLDER with a new name"
            )
        urls[name] = url
    return urls


def _listening(host: str, port: int) -> socket.socket:
    try:
        return bound_socket(host, port)
    except OSError as error:
        raise InvalidValue(f"--host {host} --port {port}: {error.strerror}") from error


@contextmanager
def _opened(
    folders: Mapping[str, Path], back_office: BackOffice, delivers: bool
) -> Iterator[dict[str, Service]]:
    with ExitStack() as opened:
        services = {
            name: opened.enter_context(
                open_service(
                    folder, tenant=name, back_office=back_office, delivers=delivers
                )
            )
            for name, folder in folders.items()
        }
        if len(services) > 1 and any(s.is_simulated for s in services.values()):
            raise InvalidValue("--tenant: a store that simulate made is served alone")
        yield services


def _gate(
    services: Mapping[str, Service], oidc: OidcSettings | None, opened: ExitStack
) -> tuple[Gate, str]:
    """Return the gate, and what a shell puts behind ``Bearer`` to come in."""
    doors = {
        name: Door(service.keys, service.security)
        for name, service in services.items()
        if service.keys is not None and service.security is not None
    }
    if not doors:
        key = secrets.token_urlsafe(32)
        return _passing(key), key
    bearer = "$VOLTLEDGER_KEY"
    for name, service in services.items():
        folder = service.key.path.parent
        path = make_first_key(service.system, doors[name].keys, folder)
        if path is not None:
            note(
                f"tenant {name} has no administrator yet: a key for one is in {path}. "
                "Keep it where keys are kept and delete the file"
            )
            bearer = f"$(cat '{path}')"
    tokens = None
    if oidc is not None:
        vaults = {name: service.system.vault for name, service in services.items()}
        tokens = Tokens(oidc, vaults)
        opened.callback(tokens.close)
    return AccessGate(doors, RateLimits(), tokens), bearer


def _passing(key: str) -> Gate:
    principal = Principal(
        tenant=TENANT,
        actor="passing-key",
        roles=frozenset({Role.ANALYST, Role.OPERATOR}),
        zones=frozenset({ALL}),
    )
    return PassingKey(key, principal)


def _announce(
    services: Mapping[str, Service],
    urls: Mapping[str, str],
    address: str,
    bearer: str,
) -> None:
    for name, service in services.items():
        if service.key.created:
            note(
                f"a new master key was made: {service.key.path}. Keep a copy: without "
                "it nobody reads this store's personal data again"
            )
        if service.is_simulated:
            note(f"{urls[name]} was made by simulate: it is only read, no loop runs")
        tenant = f" as tenant {name}" if len(services) > 1 else ""
        say(f"voltledger serves {urls[name]}{tenant} at {address}")


def _say_reach(host: str, tls: TlsFiles | None, behind_proxy: str) -> None:
    if behind_proxy:
        say(f"TLS ends at the proxy {behind_proxy}: let nobody else reach this port")
    elif host in stations.OWN_HOSTS:
        say("bound to loopback: only this machine reaches it")
    elif tls is not None and tls.client_ca is not None:
        say("over TLS, to clients with a certificate")
    else:
        say("over TLS")


def _say_lines(address: str, bearer: str) -> None:
    say("try:")
    curl = f'curl -s -H "Authorization: Bearer {bearer}"'
    say(f"  {curl} {address}/v1/zones")
    say(f"  {curl} {address}/v1/key-figures")
    say(f"  {curl} '{address}/v1/events?type=plan.made&limit=3'")


def _run(
    services: Mapping[str, Service],
    connected: StationService | None,
    gate: Gate,
    listening: socket.socket,
    tls: TlsFiles | None,
    behind_proxy: str,
) -> None:
    contexts = {
        name: service.context(
            dict if connected is None else partial(connected.metrics, name)
        )
        for name, service in services.items()
    }
    app = create_app(contexts, gate, tracer_of(os.environ))
    settings = {} if tls is None else tls.settings()
    if behind_proxy:
        settings |= {"proxy_headers": True, "forwarded_allow_ips": behind_proxy}
    config = uvicorn_config(app, **settings)
    config.load()
    if config.ssl is not None:
        first = next(iter(services.values())).security
        noted = (
            partial(first.note, Kind.EXPIRED_CERTIFICATE, Origin()) if first else None
        )
        harden(config.ssl, noted or (lambda: None))
    _spare_collections()
    uvicorn.Server(config).run([listening])


def _spare_collections() -> None:
    """Let the collector leave alone what lives as long as the server does.

    It would else look through all of it again and again, each time for as long as many
    requests take. A request makes hardly any cycles, so it may come less often, too.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
