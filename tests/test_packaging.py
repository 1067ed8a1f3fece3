import importlib
import re
from importlib.metadata import distribution
from pathlib import Path

PACKAGES = ("domain", "optimizer", "projections", "api", "benchmarks")


def test_all_packages_come_from_one_folder() -> None:
    # Their names are common words: another distribution could bring an `api`, too.
    roots = {
        name: Path(str(importlib.import_module(name).__file__)).resolve().parents[1]
        for name in PACKAGES
    }
    assert len(set(roots.values())) == 1, roots


def test_the_distribution_has_the_command() -> None:
    (command,) = distribution("voltledger").entry_points.select(group="console_scripts")
    assert (command.name, command.value) == ("voltledger", "api.cli:main")


def test_every_dependency_is_pinned() -> None:
    root = Path(__file__).resolve().parents[1]
    pins = re.findall(
        r"^([\w.-]+)==[\w.]+$", (root / "constraints.txt").read_text(), re.MULTILINE
    )
    pinned = {plain(name) for name in pins}
    needed = {
        plain(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
        for requirement in distribution("voltledger").requires or []
    }
    assert needed
    assert needed <= pinned


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
