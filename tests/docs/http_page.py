"""Writes docs/http.md and the recorded examples of the OpenAPI document.

``python -m tests.docs.http_page`` serves a small site on this machine, runs each call
of the page as its reader would, and keeps what was answered.
"""

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from api.app import create_app
from api.openapi import Document, Recorded, operations
from api.rest.reading import Context
from api.security.keys import KeyRegister
from api.security.notes import SecurityLog
from api.security.passing_key import PassingKey
from domain.model.values import DAY, HOUR, SECOND
from domain.ports import System
from domain.store.committer import Committer
from domain.store.store import Store
from projections.read_models import ReadModels
from projections.runner import Runner
from tests.api.conftest import BEARER, EVERYBODY, KEY, listening, port_of
from tests.api.test_history_readings import measured, taken
from tests.docs.http_calls import CALLS, Call
from tests.docs.http_text import code_of, page_of
from tests.projections.small_site import (
    DAWN,
    EVSES,
    ZONE,
    DrawnIds,
    SetClock,
    Site,
    day,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "http.md"
EXAMPLES = ROOT / "api" / "rest" / "examples.json"
# 1 June 2026, nine o'clock.
BEGIN = DAWN + 2_407 * DAY + 7 * HOUR
# When the small site's EVSEs were read.
MORNING = DAWN + 8 * HOUR
CALLER = {**BEARER, "User-Agent": "example"}
_PARQUET = b"PAR1"
# Shown of a list in an example.
_SHOWN = 2


class Shop(NamedTuple):
    """A server with a day on a small site behind it."""

    address: str
    document: Document
    clock: SetClock
    runner: Runner
    system: System

    def catch_up(self) -> None:
        """Let what is read next have seen everything."""
        assert self.runner.wait_for(self.system.log.last_position(), 20)


class Made(NamedTuple):
    """A call that was made, and the code that made it."""

    call: Call
    operation: Document
    answer: Any


@contextmanager
def open_shop(folder: Path) -> Iterator[Shop]:
    site = Site(folder / "store")
    site.tell(day(site))
    site.close()
    clock = SetClock(MORNING)
    with ExitStack() as opened:
        store = Store(
            site.folder, clock=clock, ids=DrawnIds("page"), master_key=bytes(32)
        )
        opened.enter_context(store)
        assert isinstance(store.log, Committer)
        store.samples.append(
            f"samples-{ZONE}", taken(MORNING, (EVSES[0], 0, 3_000)), MORNING
        )
        store.samples.append(
            f"measures-{ZONE}",
            measured(MORNING, (EVSES[0], "Voltage/L1-N// V", 231_400)),
            MORNING,
        )
        clock.at = BEGIN
        runner = Runner(store.log, folder / "projections", feed=store.log)
        opened.callback(runner.close)
        runner.start()
        models = opened.enter_context(
            closing(ReadModels(folder / "projections", runner))
        )
        ids = DrawnIds("requests")
        system = System(store.log, store.samples, store.vault, clock, ids)
        security = opened.enter_context(closing(SecurityLog(system)))
        keys = KeyRegister("main", system)
        context = Context(system, models, dict, keys=keys, security=security)
        caller = msgspec.structs.replace(EVERYBODY, party="fleet")
        app = create_app({"main": context}, PassingKey(KEY, caller))
        server = opened.enter_context(listening(app))
        address = f"http://127.0.0.1:{port_of(server)}/v1"
        yield Shop(address, app.openapi(), clock, runner, system)


def make_calls(shop: Shop) -> Iterator[Made]:
    """Make all calls, each by the code that the page shows."""
    known = {
        operation["operationId"]: {**operation, "method": method, "path": path}
        for path, method, operation in operations(shop.document)
    }
    answers: dict[str, Any] = {}
    with httpx.Client(base_url=shop.address, headers=CALLER, timeout=20) as client:
        names: dict[str, Any] = {"client": client, "digest_of": digest_of, "json": json}
        for count, told in enumerate(CALLS):
            call = msgspec.structs.replace(
                told, path=filled(told.path, answers), body=filled(told.body, answers)
            )
            shop.clock.at += SECOND
            shop.catch_up()
            operation = {**known[call.operation], "key": f"example-{count}"}
            client.headers["X-Request-Id"] = operation["key"]
            exec(code_of(call, operation), names)
            answer = names.pop("answer")
            answers[call.operation] = answer
            yield Made(call, operation, answer)


def digest_of(content: bytes) -> str:
    """Return a body's ``Content-Digest``."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return f"sha-256=:{digest}:"


def filled(value: Any, answers: Mapping[str, Any]) -> Any:
    """Return a value with the answers of earlier calls in it."""
    if isinstance(value, dict):
        return {name: filled(found, answers) for name, found in value.items()}
    if not (isinstance(value, str) and value.startswith("$")):
        return value
    operation, *path = value[1:].split(".")
    found = answers[operation]
    for part in path:
        found = found[int(part)] if part.isdigit() else found[part]
    return found


def example_of(made: Made) -> Recorded:
    call = made.call
    return Recorded(call.path, call.query, call.body, shown(made))


def shown(made: Made) -> Any:
    """Return what of an answer is the same each time, and not too long."""
    match made.call.operation:
        case "get_openapi":
            return {"openapi": made.answer["openapi"], "paths": {}}
        case "export_events" | "export_samples":
            assert made.answer.startswith(_PARQUET)
            return f"{_PARQUET.decode()}..."
        case "post_key":
            return {**made.answer, "key": "vl_main...."}  # a scanner's find else
        case "post_station_registration" | "post_station_credentials":
            return {**made.answer, "password": "..."}  # a scanner's find else
        case "get_metrics":
            lines = made.answer.splitlines()
            return "\n".join(line for line in lines if "ledger_last" in line) + "\n"
    return _cut(made.answer)


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cut(found) for name, found in value.items()}
    if isinstance(value, list):
        return [_cut(found) for found in value[:_SHOWN]]
    return value


def written() -> tuple[str, bytes]:
    """Return the page and the examples as they are now."""
    with tempfile.TemporaryDirectory() as folder, open_shop(Path(folder)) as shop:
        made = list(make_calls(shop))
    examples: dict[str, Recorded] = {}
    for one in made:
        examples.setdefault(one.call.operation, example_of(one))
    packed = msgspec.json.format(msgspec.json.encode(examples), indent=1)
    first = {one.call.operation: one for one in reversed(made)}
    calls = [(first[name].call, first[name].operation) for name in examples]
    return page_of(shop.document, calls, examples), packed + b"\n"


def main() -> None:
    page, examples = written()
    PAGE.write_text(page, "utf-8")
    EXAMPLES.write_bytes(examples)


if __name__ == "__main__":
    main()
