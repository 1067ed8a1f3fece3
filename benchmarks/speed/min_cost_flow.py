"""The plain money problem by OR-tools' minimum cost flow, in a process of its own.

``python -m benchmarks.speed.min_cost_flow problem.npz repeats`` prints JSON; OR-tools
and highspy each bring a HiGHS, so one process cannot load both. Energy flows from EVs
over their groups to steps, in whole Wh, at millionths of the price of a kWh.
"""

import importlib
import json
import sys
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

min_cost_flow = importlib.import_module("ortools.graph.python.min_cost_flow")


def solve(
    ev: Ints,
    step: Ints,
    most_wh: Ints,
    needs_wh: Ints,
    price: Ints,
    room_wh: Ints,
    group_of: Ints,
    group_room_wh: Ints,
) -> tuple[int, float, float]:
    """Return the least cost, the seconds it took with arcs, and without.

    ``ev``, ``step``, ``most_wh`` are of the cells; ``group_room_wh`` is (g, T), 0 rows
    for no groups, and ``group_of`` the group of each EV.
    """
    begun = perf_counter()
    n, (n_group, n_step) = needs_wh.size, (len(group_room_wh), room_wh.size)
    first_step, last = n + n_group * n_step, n + n_group * n_step + n_step
    into = first_step + step
    steps = np.arange(n_step)
    tails, heads = [first_step + steps], [np.full(n_step, last)]
    capacities, costs = [room_wh], [price]
    if n_group:
        into = n + group_of[ev] * n_step + step
        tails.append(n + np.arange(n_group * n_step))
        heads.append(first_step + np.tile(steps, n_group))
        capacities.append(group_room_wh.ravel())
        costs.append(np.zeros(n_group * n_step, np.int64))
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate([ev, *tails]).astype(np.int32),
        np.concatenate([into, *heads]).astype(np.int32),
        np.concatenate([most_wh, *capacities]),
        np.concatenate([np.zeros(ev.size, np.int64), *costs]),
    )
    supplies = np.zeros(last + 1, np.int64)
    supplies[:n], supplies[last] = needs_wh, -needs_wh.sum()
    flow.set_nodes_supplies(np.arange(last + 1, dtype=np.int32), supplies)
    built = perf_counter()
    status = flow.solve()
    ended = perf_counter()
    if status != flow.OPTIMAL:
        raise RuntimeError(f"OR-tools ended with {status}")
    flow.flows(np.arange(ev.size, dtype=np.int32))
    return int(flow.optimal_cost()), perf_counter() - begun, ended - built


def main(path: str, repeats: int) -> None:
    """Solve the problem of a file several times and print what came out."""
    with np.load(path) as given:
        arrays = dict(given)
    runs = [solve(**arrays) for _ in range(repeats)]
    cost, total_s, solve_s = zip(*runs, strict=True)
    print(json.dumps({"cost": cost[0], "total_s": total_s, "solve_s": solve_s}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
