"""A commissioned site on a store that is closed after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.ports import System
from tests.use_cases.reported import Station
from tests.use_cases.small_site import ANNA, NINE, Site, opened


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A system without any zone."""
    with opened(tmp_path / "store") as system:
        yield system


@pytest.fixture
def site(system: System) -> Site:
    """One zone, two stations, four EVSEs."""
    return Site(system)


@pytest.fixture
def station(site: Site) -> Station:
    """Station s1, with contracts of two users."""
    station = Station(site)
    station.sign(ANNA)
    station.clock.at = NINE
    return station
