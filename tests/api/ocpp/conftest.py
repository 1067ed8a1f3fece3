"""One server for all tests that attack one: it must survive them all."""

from collections.abc import Iterator

import pytest

from tests.api.ocpp.attacked import Site, open_site


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve a store that is new, and in the end intact."""
    with open_site(tmp_path_factory.mktemp("attacked")) as site:
        yield site
