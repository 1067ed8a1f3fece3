"""Print the kernels that a loop's plans are the first to call in this process.

``python compiled_kernels.py``: what `serve` compiles at its start comes first.
"""

import pkgutil
from importlib import import_module

from numba.core.dispatcher import Dispatcher

import optimizer.kernels
from api.compose import compile_planner
from tests.loop.world import world


def compiled() -> set[str]:
    modules = pkgutil.iter_modules(optimizer.kernels.__path__)
    return {
        f"{module.name}.{name}"
        for module in modules
        for name, kernel in vars(
            import_module(f"optimizer.kernels.{module.name}")
        ).items()
        if isinstance(kernel, Dispatcher) and kernel.signatures
    }


def main() -> None:
    compile_planner()
    before = compiled()
    with world(4, 20) as zone:
        zone.pre(0, (300, 5_000), (200, 26_000), (200, 0), (300, 2_000), (7_200, 9_000))
        for i in range(4):
            zone.visit(i, 30 + 60 * i, 600 + 100 * i, 2_000, lag_s=5)
        zone.run()
        print(zone.loop.metrics.plans, "plans", *sorted(compiled() - before))


if __name__ == "__main__":
    main()
