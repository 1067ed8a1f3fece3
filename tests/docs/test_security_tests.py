"""docs/security-tests.md: the tests that it names are there, its counts are true."""

import re
from pathlib import Path

from api.app import create_app
from api.openapi import operations
from api.security.passing_key import PassingKey
from api.security.permissions import TABLE
from api.security.principal import Role
from tests.api.conftest import EVERYBODY, KEY
from tests.api.security import test_id_walk
from tests.docs.page import DOCS

PAGE = (DOCS / "security-tests.md").read_text("utf-8")
TESTS = Path(__file__).resolve().parents[1] / "api"


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(?:security/|serving/)?(\w+\*?\.py)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if not [*TESTS.rglob(name)]] == []


def test_the_counts_of_the_page_are_true() -> None:
    document = create_app({}, PassingKey(KEY, EVERYBODY)).openapi()
    methods = [method for _, method, _ in operations(document)]
    asked = len(methods) - len(test_id_walk.ENDLESS)
    for told in (
        f"{len(TABLE)} permissions by {len(Role)} roles",
        f"{len(methods)} operations",
        f"{asked} of {len(methods)}",
        f"{methods.count('post')} commands",
    ):
        assert told in PAGE, told
