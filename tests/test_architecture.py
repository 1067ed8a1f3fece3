"""The index of use cases is held to the code, so that it cannot rot."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / "docs" / "use_cases.md"
COLUMNS = ("id", "module", "test", "route", "state")


class UseCase(NamedTuple):
    id: str
    module: str
    test: str
    route: str
    state: str


def cells_of(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().strip("`") for cell in line.strip().strip("|").split("|"))


def rows_of(text: str) -> list[UseCase]:
    table = [cells_of(line) for line in text.splitlines() if line.startswith("|")]
    assert table[0] == COLUMNS
    return [UseCase(*cells) for cells in table[2:]]


def complaints_about(case: UseCase, root: Path) -> list[str]:
    if case.state == "open":
        return []
    if case.state != "built":
        return [f"state {case.state!r} is not built or open"]
    word = re.compile(rf"\b{re.escape(case.id)}\b")
    said = []
    module, test = root / case.module, root / case.test
    if not module.is_file():
        said.append(f"{case.module} is not there")
    elif not module.read_text("utf-8").startswith(f'"""{case.id} '):
        said.append(f"{case.module} does not open with its id")
    if not test.is_file():
        said.append(f"{case.test} is not there")
    elif not word.search(test.read_text("utf-8")):
        said.append(f"{case.test} does not name {case.id}")
    if case.route != "-" and not is_tagged(root / "api", case.route):
        said.append(f"no route in api/ has the tag {case.route!r}")
    return said


def is_tagged(folder: Path, tag: str) -> bool:
    return any(f'"{tag}"' in path.read_text("utf-8") for path in folder.rglob("*.py"))


USE_CASES = rows_of(INDEX.read_text("utf-8"))


@pytest.mark.parametrize("case", USE_CASES, ids=[case.id for case in USE_CASES])
def test_a_use_case_has_what_the_index_says(case: UseCase) -> None:
    assert complaints_about(case, ROOT) == []


def test_no_use_case_stands_in_the_index_twice() -> None:
    ids = [case.id for case in USE_CASES]
    assert sorted(set(ids)) == sorted(ids)


def test_no_requirement_is_said_to_be_unproved_that_a_test_names() -> None:
    _, _, unproved = INDEX.read_text("utf-8").partition("\n## Requirements of these")
    said = re.findall(r"\*\*([\w.]+)\*\*", unproved)
    assert said
    tests = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
    proved = {i for text in tests for i in re.findall(r'requirement\("(.+?)"\)', text)}
    assert proved.isdisjoint(said)


def id_of(module: str) -> str:
    """Return the use case or clause that a module's name begins with."""
    if clause := re.match(r"clause_(\d+(?:_\d+)*)_[a-z]", module):
        return clause[1].replace("_", ".")
    if use_case := re.match(r"([a-z]+\d+)_[a-z]", module):
        return use_case[1].upper()
    return ""


def test_every_module_of_a_use_case_is_in_the_index() -> None:
    """A clause may have several modules; its row names the one with the commands."""
    folder = ROOT / "domain" / "use_cases"
    known = {case.id for case in USE_CASES}
    for path in folder.glob("*.py"):
        if path.name in ("__init__.py", "shared_path.py"):
            continue
        case_id = id_of(path.name)
        assert case_id in known, f"{path.name} is in no row of docs/use_cases.md"
        assert path.read_text("utf-8").startswith(f'"""{case_id} '), path.name
    named = {case.module for case in USE_CASES} - {"-"}
    assert all((ROOT / module).is_file() for module in named)
    assert all(id_of(Path(c.module).name) == c.id for c in USE_CASES if c.module != "-")


def test_ids_are_read_from_names_of_modules() -> None:
    names = ("e12_a.py", "clause_6_2_a.py", "clause_7_9_4_6_a.py", "sessions.py")
    assert [id_of(name) for name in names] == ["E12", "6.2", "7.9.4.6", ""]


def test_the_check_sees_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "m.py").write_text('"""E10 Something."""\n')
    (tmp_path / "t.py").write_text("# E10\n")
    missing = UseCase("E1", "none.py", "none.py", "E1", "built")
    assert len(complaints_about(missing, tmp_path)) == 3
    other = UseCase("E1", "m.py", "t.py", "-", "built")
    assert len(complaints_about(other, tmp_path)) == 2
    assert (
        complaints_about(UseCase("E10", "m.py", "t.py", "-", "built"), tmp_path) == []
    )
    assert complaints_about(UseCase("E1", "-", "-", "-", "soon"), tmp_path)


def test_no_module_has_a_name_that_says_nothing() -> None:
    packages = ("domain", "optimizer", "projections", "api", "benchmarks")
    found = [
        path
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"utils?|helpers?|manager|common", path.stem)
    ]
    assert found == []


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
