"""docs/analysts.md: its blocks run in order on a small site and print what it says."""

import contextlib
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.app import create_app
from api.cli import app
from api.rest.reading import Context
from api.security.passing_key import PassingKey
from domain.model.values import MINUTE
from domain.ports import System
from domain.store.committer import Committer
from domain.store.store import Store
from projections.read_models import ReadModels
from projections.runner import Runner
from tests.api.conftest import EVERYBODY, KEY, listening, port_of
from tests.api.test_history_readings import EIGHT, taken
from tests.docs.page import DOCS, Block, blocks_of, ran
from tests.projections.small_site import EVSES, ZONE, DrawnIds, Site, day

PAGE = DOCS / "analysts.md"


def commanded(block: Block) -> None:
    for line in block.code.splitlines():
        _, *arguments = shlex.split(line)
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output


@pytest.fixture
def address(tmp_path: Path) -> Any:
    """Serve the small site's day, with readings of an hour."""
    site = Site(tmp_path / "store")
    site.tell(day(site))
    site.close()
    ids = DrawnIds("later")
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(
            Store(site.folder, clock=site.clock, ids=ids, master_key=bytes(32))
        )
        assert isinstance(store.log, Committer)
        for minute in range(60):
            at = EIGHT + minute * MINUTE
            row = taken(at, (EVSES[0], 0, 3_000 + minute), (EVSES[1], 0, 2_000))
            store.samples.append(f"samples-{ZONE}", row, at)
        runner = Runner(store.log, tmp_path / "projections", feed=store.log)
        opened.callback(runner.close)
        runner.catch_up()
        models = ReadModels(tmp_path / "projections", runner)
        opened.callback(models.close)
        system = System(store.log, store.samples, store.vault, site.clock, ids)
        context = Context(system, models, dict)
        served = create_app({"main": context}, PassingKey(KEY, EVERYBODY))
        server = opened.enter_context(listening(served))
        yield f"http://127.0.0.1:{port_of(server)}/v1"


def test_the_page_runs_in_order_and_prints_what_it_says(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOLTLEDGER_URL", address)
    monkeypatch.setenv("VOLTLEDGER_KEY", KEY)
    names: dict[str, Any] = {"__name__": "analysts"}
    printed = ""
    met = set()
    for block in blocks_of(PAGE.read_text("utf-8")):
        met.add(block.language)
        if block.language == "python":
            assert printed == "", f"above line {block.line}: what it prints is missing"
            printed = ran(PAGE, block, names)
        elif block.language == "sh":
            commanded(block)
        else:
            assert block.code == printed, f"line {block.line} of the page"
            printed = ""
    names["api"].close()
    assert printed == ""
    assert met == {"python", "sh", "text"}
