"""Opening the product's own system by name: benchmarks import neither api nor store."""

import importlib

from benchmarks.simulator.day import OpenSystem

DEFAULT = "api.compose:open_simulation"


def system_factory(name: str) -> OpenSystem:
    """Return the function ``module:function`` that opens a system in a folder."""
    module, _, function = name.partition(":")
    factory: OpenSystem = getattr(importlib.import_module(module), function)
    return factory
