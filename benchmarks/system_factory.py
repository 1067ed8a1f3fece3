"""Opening the product's own system by name: benchmarks import neither api nor store."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.simulator.clock import SeededIds, SimulatedClock
from domain.ports import System

DEFAULT = "api.compose:open_simulation"

# Opens the product's own system in a folder; benchmarks know nothing of stores.
OpenSystem = Callable[[Path, SimulatedClock, SeededIds], AbstractContextManager[System]]


def named(path: str) -> Any:
    """Return ``module:name``; benchmarks are not bound to the API and the store."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def system_factory(name: str) -> OpenSystem:
    """Return the function ``module:function`` that opens a system in a folder."""
    factory: OpenSystem = named(name)
    return factory
