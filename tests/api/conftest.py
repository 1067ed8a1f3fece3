"""The small site's day behind the reading API, on a store that threads may read."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.listening import loopback_socket
from api.rest.reading import Context
from api.security.passing_key import PassingKey
from api.security.principal import Principal, Role
from domain.model.access_events import ALL
from domain.ports import Append, Batch, System
from domain.store.committer import Committer
from domain.store.store import Store
from projections.read_models import ReadModels
from projections.runner import Runner
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


class Served(NamedTuple):
    """An application and what it reads from."""

    app: FastAPI
    system: System
    runner: Runner
    clock: SetClock

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
    context = Context(
        system, models, lambda: {"plans": 3, "plan_ms_p50": 4.5}, heartbeat_s=0.2
    )
    app = create_app({"main": context}, PassingKey(KEY, EVERYBODY))
    yield Served(app, system, runner, clock)
    models.close()
    runner.close()
    store.close()


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
def listening(app: FastAPI, *, stall_s: float = 30.0) -> Iterator[uvicorn.Server]:
    """Serve an application on a real socket of this machine."""
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
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
