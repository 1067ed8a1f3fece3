"""docs/operators.md: from an empty folder to a site that is planned, as it stands."""

import re
import shutil
from pathlib import Path

import pytest

from api.errors import Code
from tests.docs.page import DOCS, read_through, terminal

PAGE = DOCS / "operators.md"


@pytest.mark.skipif(not shutil.which("curl"), reason="the page needs curl")
def test_the_page_runs_in_order_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(tmp_path / "home") as shell:
        met = read_through(PAGE, shell, monkeypatch)
    assert met == {"sh", "python", "text"}


def test_a_site_takes_ten_calls() -> None:
    page = PAGE.read_text("utf-8")
    calls = page[page.index("1. A key") : page.index("## From Python")]
    assert len(re.findall(r"command \"|curl ", calls)) == 10


def test_the_page_says_of_every_code_what_to_do() -> None:
    page = PAGE.read_text("utf-8")
    table = page[page.index("## What errors mean") :]
    assert [code for code in Code if f"`{code}`" not in table] == []
