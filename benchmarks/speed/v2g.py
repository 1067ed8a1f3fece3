"""How fast V2G with losses is planned, beside HiGHS on the same linear programme.

``python -m benchmarks.speed.v2g`` plans random sites of 96 quarter hours: distinct
prices, losses, every EV's battery known, and the same with a power range envelope that
cannot be met. HiGHS gets the programme directly, in its best form, with its interior
point method; both optima are compared. Times are medians of the whole call.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import highspy
import msgspec
import numpy as np

from optimizer import Problem
from optimizer.tiers import measures_of, money
from optimizer.v2g import V2g

N_STEP = 96
EFFICIENCY = 0.92


class Row(msgspec.Struct, frozen=True):
    """What was measured at one size."""

    n_evse: int
    case: str
    median_ms: float
    least_ms: float
    money: float
    highs_ms: float | None = None
    highs_money: float | None = None


def site(n_evse: int, seed: int = 1, pre_share: float = 2.0) -> Problem:
    """Return a random site; ``pre_share`` of its mean need is the PRE's upper limit."""
    dice = np.random.default_rng(seed)
    arrival = dice.integers(0, N_STEP - 8, n_evse)
    departure = np.minimum(arrival + dice.integers(8, N_STEP, n_evse), N_STEP)
    most_w = dice.choice([7_400.0, 11_000.0, 22_000.0], n_evse)
    capacity = dice.uniform(40_000.0, 90_000.0, n_evse)
    stored = capacity * dice.uniform(0.1, 0.6, n_evse)
    reach = 0.8 * most_w * (departure - arrival) * 0.25 * EFFICIENCY
    asked = np.minimum(dice.uniform(5_000.0, 40_000.0, n_evse), capacity - stored)
    target = np.minimum(asked, reach)
    mean_w = (target / EFFICIENCY).sum() / (N_STEP * 0.25)
    return Problem(
        step_s=np.array(900.0),
        power_min_w=-most_w,
        power_max_w=most_w,
        arrival_step=arrival,
        departure_step=departure,
        energy_target_wh=target,
        energy_max_wh=target,
        stored_wh=stored,
        capacity_wh=capacity,
        charge_efficiency=np.array(EFFICIENCY),
        discharge_efficiency=np.array(EFFICIENCY),
        pre_lower_w=np.full(N_STEP, -mean_w),
        pre_upper_w=np.full(N_STEP, mean_w * pre_share),
        buy_per_kwh=dice.uniform(0.05, 0.5, N_STEP),
    )


def highs_money(problem: Problem) -> tuple[float, float]:
    """Return HiGHS's optimal money where every need can be met, and its time [s]."""
    began = time.perf_counter()
    p, hours = problem, problem.hours[0] / 1e3
    ev, step = np.nonzero(p.available())
    n_cell = ev.size
    cells = np.arange(n_cell)
    later = np.flatnonzero(ev[1:] == ev[:-1]) + 1
    last = np.flatnonzero(np.append(ev[1:] != ev[:-1], True))
    assert p.stored_wh is not None
    assert p.capacity_wh is not None
    first = np.setdiff1d(cells, later)
    lower = np.zeros(3 * n_cell)
    upper = np.concatenate(
        [
            p.power_max_w[ev, step] * hours,
            -p.power_min_w[ev, step] * hours,
            p.capacity_wh[ev] / 1e3,
        ]
    )
    wanted = (p.stored_wh + p.energy_target_wh)[ev[last]] / 1e3
    lower[2 * n_cell + last] = upper[2 * n_cell + last] = wanted
    cost = np.concatenate(
        [p.price_per_kwh[step], -p.price_per_kwh[step], np.zeros(n_cell)]
    )
    rows = [step, step, N_STEP + cells, N_STEP + cells, N_STEP + cells, N_STEP + later]
    columns = [cells, n_cell + cells, cells, n_cell + cells, 2 * n_cell + cells]
    columns.append(2 * n_cell + later - 1)
    ones = np.ones(n_cell)
    values = [ones, -ones, EFFICIENCY * ones, -ones / EFFICIENCY, -ones]
    values.append(np.ones(later.size))
    begun = np.zeros(n_cell)
    begun[first] = -p.stored_wh[ev[first]] / 1e3
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = 3 * n_cell, N_STEP + n_cell
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
    lp.row_lower_ = np.concatenate([p.pre_lower_w * hours, begun])
    lp.row_upper_ = np.concatenate([p.pre_upper_w * hours, begun])
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.argsort(column, kind="stable")
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.searchsorted(column[order], np.arange(3 * n_cell + 1))
    lp.a_matrix_.index_ = row[order]
    lp.a_matrix_.value_ = np.concatenate(values)[order]
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("solver", "ipm")
    highs.setOptionValue("threads", 1)
    highs.passModel(lp)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS ended with {highs.getModelStatus()}")
    return highs.getObjectiveValue(), time.perf_counter() - began


def measured(n_evse: int, case: str, pre_share: float, runs: int) -> Row:
    """Return how long planning takes, the building of the problem included."""
    solver = V2g()
    solver.solve(site(min(n_evse, 200), pre_share=pre_share))

    def run() -> float:
        problem = site(n_evse, pre_share=pre_share)
        power_w = solver.solve(problem).power_w
        return money(problem, measures_of(problem, power_w))

    times, value = timed(run, runs)
    if solver.fell_back:
        case = f"{case} (HiGHS: {solver.fell_back})"
    return Row(n_evse, case, statistics.median(times), min(times), value)


def timed(run: Callable[[], float], runs: int) -> tuple[list[float], float]:
    """Return the times [ms] of several runs and what the last one returned."""
    times, value = [], 0.0
    for _ in range(runs):
        began = time.perf_counter()
        value = run()
        times.append((time.perf_counter() - began) * 1e3)
    return times, value


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evs", type=int, nargs="+", default=[200, 1_000, 5_000])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--highs-up-to", type=int, default=1_000)
    options = parser.parse_args(arguments)
    for n_evse in options.evs:
        row = measured(n_evse, "ample", 2.0, options.runs)
        if n_evse <= options.highs_up_to:
            value, highs_s = highs_money(site(n_evse))
            row = msgspec.structs.replace(
                row, highs_ms=highs_s * 1e3, highs_money=value
            )
        show(row)
        show(measured(n_evse, "impossible PRE", 0.5, options.runs))


def show(row: Row) -> None:
    """Print a row."""
    line = f"{row.n_evse:6d}  {row.case:16s} {row.median_ms:8.1f} ms"
    line += f" (least {row.least_ms:.1f})  money {row.money:.6f}"
    if row.highs_ms is not None and row.highs_money is not None:
        gap = (row.money - row.highs_money) / max(1.0, abs(row.highs_money))
        line += (
            f"  HiGHS IPM {row.highs_ms:.0f} ms: {row.highs_ms / row.median_ms:.0f}x"
        )
        line += f", difference {gap:.1e}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
