"""docs/integrators.md: its code runs in order and prints what the page says."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import optimizer
from api.cli import app
from tests.docs.page import DOCS, Block, blocks_of, ran

PAGE = DOCS / "integrators.md"


def run_bench(block: Block) -> None:
    _, *arguments = shlex.split(block.code.replace("\\\n", " "))
    result = CliRunner().invoke(app, [*arguments, "--processes", "1"])
    assert result.exit_code == 0, result.output


def install_strategy(folder: Path, code: str, entry_points: str) -> None:
    """Put a strategy where a distribution of that name would have put it."""
    (folder / "fifth.py").write_text(code, "utf-8")
    info = folder / "fifth-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fifth\n", "utf-8")
    table = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", entry_points)
    (info / "entry_points.txt").write_text(table.replace('"', ""), "utf-8")


def test_the_page_runs_in_order_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {"__name__": "integrators"}
    printed, python = "", ""
    met = set()
    for block in blocks_of(PAGE.read_text("utf-8")):
        met.add(block.language)
        if block.language == "python":
            python, printed = block.code, ran(PAGE, block, names)
        elif block.language == "text":
            assert block.code == printed, f"line {block.line} of the page"
        elif block.language == "toml":
            install_strategy(tmp_path, python, block.code)
        elif block.language == "sh":
            run_bench(block)
    assert met == {"python", "text", "toml", "sh"}


def test_the_page_names_everything_that_the_optimizer_exports() -> None:
    page = PAGE.read_text("utf-8")
    names = optimizer.__all__
    assert [n for n in names if not re.search(rf"\b{n}\b", page)] == []


def test_the_page_names_every_field_of_problem_and_result() -> None:
    page = PAGE.read_text("utf-8")
    fields = [*optimizer.Problem.__dataclass_fields__]
    fields += [*optimizer.Result.__dataclass_fields__]
    assert [name for name in fields if f"`{name}`" not in page] == []
