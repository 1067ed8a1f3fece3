"""``voltledger serve``: the reading API on a store, for this machine only."""

import logging
import secrets
import signal
import socket
import sys
from typing import Annotated

import typer
import uvicorn

from api.app import create_app
from api.commands.terminal import StoreUrl, note, say
from api.compose import Service, open_service, store_folder
from api.listening import loopback_socket
from api.security.admission import Gate
from api.security.passing_key import PassingKey
from api.security.principal import Principal, Role
from domain.errors import InvalidValue
from domain.loop.runner import SWITCH_INTERVAL_S
from domain.model.access_events import ALL
from domain.ports import TENANT

LOOPBACK = ("127.0.0.1", "localhost")
PORT = 8137
# What is being answered may end; a feed would go on for ever.
_GRACE_S = 2

Host = Annotated[str, typer.Option(help="Only 127.0.0.1, for now.")]
Port = Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)]
Create = Annotated[
    bool, typer.Option("--create", help="Make the store when there is none.")
]


def serve(
    store: StoreUrl, host: Host = LOOPBACK[0], port: Port = PORT, create: Create = False
) -> None:
    """Serve the reading API of a store until Ctrl-C or SIGTERM.

    Without roles yet, it listens on this machine's loopback only. A store that
    simulate made is read, not written: no loop runs on it.
    """
    if host not in LOOPBACK:
        raise InvalidValue(
            f"--host {host!r} is not {LOOPBACK[0]}: the API has no roles yet, so it is "
            "bound to loopback and nobody elsewhere can reach it"
        )
    folder = store_folder(store, must_exist=not create)
    # uvicorn ends what it does, then raises the signal again: so the store is closed.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _listening(port) as listening, open_service(folder) as service:
            address = f"http://{LOOPBACK[0]}:{listening.getsockname()[1]}"
            key = secrets.token_urlsafe(32)
            _announce(service, store, address, key)
            _run(service, listening, _gate(key))
    except KeyboardInterrupt:
        note("stopped")


def _listening(port: int) -> socket.socket:
    try:
        return loopback_socket(port)
    except OSError as error:
        raise InvalidValue(f"--port {port}: {error.strerror}") from error


def _gate(key: str) -> Gate:
    principal = Principal(
        tenant=TENANT,
        actor="passing-key",
        roles=frozenset({Role.ANALYST, Role.OPERATOR}),
        zones=frozenset({ALL}),
    )
    return PassingKey(key, principal)


def _announce(service: Service, store: str, address: str, key: str) -> None:
    if service.key.created:
        note(
            f"a new master key was made: {service.key.path}. Keep a copy: without it "
            "nobody reads this store's personal data again"
        )
    if service.is_simulated:
        note(f"{store} was made by simulate: it is only read, no loop runs on it")
    say(f"voltledger serves {store} at {address}")
    say("bound to loopback: only this machine reaches it")
    say("try:")
    curl = f"curl -s -H 'Authorization: Bearer {key}'"
    say(f"  {curl} {address}/v1/zones")
    say(f"  {curl} {address}/v1/key-figures")
    say(f"  {curl} '{address}/v1/events?type=plan.made&limit=3'")


def _run(service: Service, listening: socket.socket, gate: Gate) -> None:
    app = create_app({TENANT: service.context()}, gate)
    config = uvicorn.Config(
        app,
        log_level=logging.WARNING,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
    )
    uvicorn.Server(config).run([listening])
