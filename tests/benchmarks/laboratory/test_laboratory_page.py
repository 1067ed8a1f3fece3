"""docs/laboratory.md: its strategy runs and keeps what the page says of it."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.laboratory.study import all_strategies
from benchmarks.strategies.protocol import Strategy
from tests.benchmarks.laboratory.cases import fleet, run, site_for

PAGE = Path(__file__).resolve().parents[3] / "docs" / "laboratory.md"


def test_the_strategy_on_the_page_is_one_and_keeps_the_pre() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(blocks[0], names)
    thrifty = names["Thrifty"]()
    assert isinstance(thrifty, Strategy)
    cars = fleet()
    found = run(thrifty, cars, site_for(cars, 20))
    assert 0 < found.measured[1].max() <= 20_000
    assert found.energy_wh.sum() > 0
    assert np.isfinite(found.energy_wh).all()


def test_the_page_names_every_strategy() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in all_strategies() if f"`{name}`" not in page] == []
