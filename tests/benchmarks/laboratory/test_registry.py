"""Strategies by name: ours, those of the entry-point group, and those nobody has."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.strategies.protocol import Strategy
from benchmarks.strategies.registry import (
    GROUP,
    OWN,
    known_strategies,
    make_strategy,
)
from domain.errors import InvalidValue

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], None]:
    """Return how to install a distribution that brings strategies."""

    def install(entries: str, source: str) -> None:
        info = tmp_path / "labplugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labplugin\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")
        (tmp_path / "labplugin.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_ours_are_registered_as_anybody_elses_would_be() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    entries = project["entry-points"][GROUP]
    assert list(entries) == list(OWN)
    for name, made in OWN.items():
        assert entries[name] == f"{made.__module__}:{made.__name__}"


@pytest.mark.parametrize("name", OWN)
def test_ours_have_their_name_and_are_new_each_time(name: str) -> None:
    strategy = make_strategy(name)
    assert strategy.name == name
    assert isinstance(strategy, Strategy)
    assert make_strategy(name) is not strategy


def test_a_distribution_brings_a_strategy_by_its_entry_point(
    distribution: Callable[[str, str], None],
) -> None:
    distribution(
        "thrifty = labplugin:Thrifty",
        "class Thrifty:\n    name = 'thrifty'\n    def plan(self, problem): ...\n",
    )
    assert known_strategies()[-1] == "thrifty"
    assert make_strategy("thrifty").name == "thrifty"


def test_nobody_replaces_one_of_ours(
    distribution: Callable[[str, str], None],
) -> None:
    distribution("round-robin = labplugin:Nothing", "")
    assert make_strategy("round-robin").name == "round-robin"
    assert known_strategies().count("round-robin") == 1


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InvalidValue, match=r"'nope' is not known.*round-robin"):
        make_strategy("nope")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nowhere", "ModuleNotFoundError"),
        ("Broken = None", "TypeError"),
        ("class Broken:\n    pass", "which has no method plan"),
        ("class Broken:\n    def __init__(self): 1 / 0", "ZeroDivisionError"),
    ],
)
def test_an_entry_point_that_makes_no_strategy_is_named(
    distribution: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    why: str,
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "labplugin", raising=False)
    distribution("broken = labplugin:Broken", source)
    with pytest.raises(InvalidValue, match=rf"'broken'.*labplugin:Broken.*{why}"):
        make_strategy("broken")
