"""A small site, empty or with its day told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.projections.small_site import Site, day


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "store")
    yield site
    site.close()


@pytest.fixture
def told_site(site: Site) -> Site:
    site.tell(day(site))
    return site
