"""A server on one store, stopped and started again, its clock set by hand."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from api.app import create_app
from api.rest.reading import Context
from api.security.gate import AccessGate, Door
from api.security.keys import KeyRegister, draw_key
from api.security.notes import SecurityLog
from api.security.rate_limits import RateLimits
from domain.model.values import Instant
from domain.ports import System
from domain.store.committer import Committer
from domain.store.store import Store
from domain.use_cases.clause_6_2_service_sessions import run_due_timers
from domain.use_cases.clause_7_9_4_5_access import IssueKey, issue_key
from domain.use_cases.shared_path import By
from projections.read_models import ReadModels
from projections.runner import Runner
from tests.api.conftest import listening, port_of
from tests.projections.small_site import DrawnIds, SetClock


class Client:
    """One party's program: it knows the address and its key, and nothing else."""

    def __init__(self, name: str, clock: SetClock) -> None:
        self._name = name
        self._clock = clock
        self._sent = 0
        self.key = ""
        self.address = ""

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Give a command; return what it was answered, which must be good."""
        answer = self.try_post(path, **body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def try_post(self, path: str, **body: Any) -> httpx.Response:
        """Give a command; return its answer, good or not."""
        self._sent += 1
        key = {"Idempotency-Key": f"{self._name}-{self._sent}"}
        url = f"{self.address}{path}"
        return httpx.post(url, json=body, headers={**self._headers, **key})

    def get(self, path: str, **query: Any) -> Any:
        """Read; return what is told."""
        answer = self.try_get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def try_get(self, path: str, **query: Any) -> httpx.Response:
        """Read; return the answer, good or not."""
        url = f"{self.address}{path}"
        return httpx.get(url, params=query, headers=self._headers)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


class Restarting:
    """A store and its clients; each `running` is a process's life."""

    def __init__(self, folder: Path, at: Instant) -> None:
        self.folder = folder
        self.clock = SetClock(at)
        self.ids = DrawnIds("restarting")
        self.clients: list[Client] = []
        self.system: System

    def client(self, name: str, *roles: str, **reach: Any) -> Client:
        """Return a client with a key of its own."""
        new = draw_key("main", self.ids)
        command = IssueKey(label=name, roles=roles, **reach)
        by = By(actor="admin", at=self.clock.at)
        issue_key(self.system, command, by, key_id=new.key_id, digest=new.digest)
        self.keys.refresh(new.key_id)
        found = Client(name, self.clock)
        found.key, found.address = new.text, self.address
        self.clients.append(found)
        return found

    def set_clock(self, at: Instant) -> None:
        """Let the time be ``at``, and all timers that are due by then run."""
        run_due_timers(self.system, at)
        self.clock.at = at

    @contextmanager
    def running(self) -> Iterator[None]:
        """Open the store and serve it until the block ends."""
        with ExitStack() as opened:
            store = Store(
                self.folder / "store",
                clock=self.clock,
                ids=self.ids,
                master_key=bytes(32),
            )
            opened.enter_context(store)
            assert isinstance(store.log, Committer)
            parts = (store.log, store.samples, store.vault, self.clock, self.ids)
            self.system = System(*parts)
            runner = Runner(store.log, self.folder / "projections", feed=store.log)
            opened.callback(runner.close)
            runner.start()
            models = ReadModels(self.folder / "projections", runner)
            opened.callback(models.close)
            self.keys = KeyRegister("main", self.system)
            security = SecurityLog(self.system)
            opened.callback(security.close)
            gate = AccessGate({"main": Door(self.keys, security)}, RateLimits())
            context = Context(
                self.system, models, dict, keys=self.keys, security=security
            )
            app = create_app({"main": context}, gate)
            server = opened.enter_context(listening(app))
            self.address = f"http://127.0.0.1:{port_of(server)}/v1"
            for client in self.clients:
                client.address = self.address
            yield
