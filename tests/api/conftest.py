"""The small site's day behind the reading API, on a store that threads may read."""

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Scope

from api.app import create_app
from api.compose import SystemIds
from api.listening import loopback_socket
from api.rest.reading import Context
from api.security.gate import AccessGate, Door
from api.security.keys import KeyRegister, check_privileges, draw_key
from api.security.notes import SecurityLog
from api.security.passing_key import PassingKey
from api.security.principal import Principal, Role
from api.security.rate_limits import RateLimits
from api.serving.config import uvicorn_config
from domain.model.access_events import ALL
from domain.ports import Append, Batch, System
from domain.store.committer import Committer
from domain.store.store import Store
from domain.use_cases.clause_7_9_4_5_access import IssueKey, issue_key
from domain.use_cases.shared_path import By
from projections.read_models import ReadModels
from projections.runner import Runner
from tests.api.caller import Caller
from tests.projections.small_site import DrawnIds, SetClock, Site, Told, day

KEY = "a key of these tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
EVERYBODY = Principal(
    tenant="main",
    actor="tester",
    roles=frozenset(Role),
    zones=frozenset({ALL}),
    subject_id="tester",
)

Get = Callable[..., "httpx.Response"]
KeyFor = Callable[..., dict[str, str]]
CallerFor = Callable[..., Caller]


class EitherGate:
    """Admits everybody by `KEY`, which leaves no row in the log, and issued keys."""

    def __init__(self, issued: AccessGate) -> None:
        self.issued = issued
        self.passing = PassingKey(KEY, EVERYBODY)

    async def admit(self, scope: Scope) -> Principal:
        """Return who is asking."""
        given = dict(scope["headers"]).get(b"authorization")
        is_ours = given == BEARER["Authorization"].encode()
        return await (self.passing if is_ours else self.issued).admit(scope)

    def answered(self, scope: Scope, status: int) -> None:
        """Let the gate of issued keys note what its callers did."""
        if scope["principal"] is not EVERYBODY:
            self.issued.answered(scope, status)


class Served(NamedTuple):
    """An application and what it reads from."""

    app: FastAPI
    system: System
    runner: Runner
    clock: SetClock
    keys: KeyRegister
    security: SecurityLog

    def tell(self, *told: Told) -> int:
        """Record events; return the last position."""
        for stream, at, event in told:
            self.clock.at = max(self.clock.at, at)
            self.system.log.append(Batch(appends=(Append(stream, (event,), at),)))
        return self.system.log.last_position()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    site = Site(tmp_path / "store")
    site.tell(day(site))
    clock = site.clock
    site.close()
    store = Store(site.folder, clock=clock, ids=DrawnIds("later"), master_key=bytes(32))
    assert isinstance(store.log, Committer)
    runner = Runner(store.log, tmp_path / "projections", feed=store.log)
    runner.start()
    assert runner.wait_for(store.log.last_position())
    models = ReadModels(tmp_path / "projections", runner)
    system = System(store.log, store.samples, store.vault, clock, DrawnIds())
    door = Door(KeyRegister("main", system), SecurityLog(system))
    context = Context(
        system,
        models,
        lambda: {"plans": 3, "plan_ms_p50": 4.5},
        heartbeat_s=0.2,
        keys=door.keys,
        security=door.security,
    )
    gate = EitherGate(AccessGate({"main": door}, RateLimits()))
    app = create_app({"main": context}, gate)
    yield Served(app, system, runner, clock, *door)
    door.security.close()
    models.close()
    runner.close()
    store.close()


def issued_key(served: Served, roles: Iterable[str], **more: Any) -> dict[str, str]:
    """Issue a key as an administrator would; return the headers of its holder."""
    command = IssueKey(label="of a test", roles=tuple(roles), **more)
    check_privileges(
        frozenset(map(Role, roles)), command.party, command.zones, command.stations
    )
    new = draw_key("main", SystemIds())
    by = By(actor="tester", at=served.clock.now())
    issue_key(served.system, command, by, key_id=new.key_id, digest=new.digest)
    served.keys.refresh(new.key_id)
    return {"Authorization": f"Bearer {new.text}"}


@pytest.fixture
def key_for(served: Served) -> KeyFor:
    """Return how to get a key: ``key_for("cso", party="fleet")``."""

    def issue(*roles: str, **more: Any) -> dict[str, str]:
        return issued_key(served, roles, **more)

    return issue


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(served.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test/v1", headers=BEARER
    ) as client:
        yield client


@contextmanager
def listening(
    app: ASGIApp, *, stall_s: float = 30.0, head_within_s: float = 10.0
) -> Iterator[uvicorn.Server]:
    """Serve an application on a real socket of this machine."""
    config = uvicorn_config(app, timeout_graceful_shutdown=1)
    config.head_within_s = head_within_s
    server = uvicorn.Server(config)
    sockets = [loopback_socket(0, stall_s=stall_s)]
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    yield server
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    sockets[0].close()


def port_of(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@pytest.fixture
def address(served: Served) -> Iterator[str]:
    with listening(served.app) as server:
        yield f"http://127.0.0.1:{port_of(server)}/v1"


@pytest.fixture
def caller_for(address: str, key_for: KeyFor) -> Iterator[CallerFor]:
    """Return how to get a caller at the socket: as `key_for`."""
    with httpx.Client(base_url=address, timeout=20) as client:

        def caller(*roles: str, **more: Any) -> Caller:
            return Caller(client, key_for(*roles, **more))

        yield caller
