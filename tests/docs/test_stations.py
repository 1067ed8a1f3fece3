"""docs/stations.md: stations connect as it says, and its tables are the code's."""

import shutil
from pathlib import Path

import pytest

from domain.model.deviations import EXPLAINED
from projections.station_documents import STANDINGS
from tests.docs.page import DOCS, read_through, terminal

PAGE = DOCS / "stations.md"


@pytest.mark.skipif(not shutil.which("curl"), reason="the page needs curl")
def test_the_page_runs_in_order_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(tmp_path / "home") as shell:
        met = read_through(PAGE, shell, monkeypatch)
    assert met == {"sh", "python", "text"}


def test_the_page_explains_every_deviation_and_standing() -> None:
    page = PAGE.read_text("utf-8")
    for deviation, meaning in EXPLAINED.items():
        assert f"| `{deviation}` | {meaning} |" in page
    for standing in STANDINGS:
        assert f"| `{standing}` |" in page
