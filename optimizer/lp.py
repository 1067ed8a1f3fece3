"""The planner: one warm linear programme on HiGHS, then rounding to 0 or the floor.

Energy x[i, k] goes to EV i in block k, u[i] of it within the target and v[i] beyond::

    maximise    sum_i (class_i + order_i) u[i] + beyond_i v[i]
                - EARLY sum k x[., k] + NEAR sum x[i, k] where the plan in force is > 0
    subject to  sum_i x[i, k] <= PRE energy of k           every block: hard
                sum_k x[i, k]  = u[i] + v[i]               every EV
                0 <= x[i, k]  <= energy EV i can take in k
                0 <= u[i] <= target[i],  0 <= v[i] <= energy_max[i] - target[i]

A block is one step for the next two hours and four steps after that: what is further
away is planned again many times before it is due, and rounding keeps every single step
within the PRE.

The weights, per Wh: a punctual EV 100, an overdue one 40; the order of service in a
shortage adds up to 20, most to the EV that is expected to take least, in classes of
0.5 kWh; energy beyond the target 2, offered again 1; each block later costs 0.01, being
in the plan in force is worth 0.004 in the blocks of one step. So target comes before
order, order before early, early before near.

Columns and rows belong to slots, and an EV keeps its slot between calls (`row_key`), so
that the matrix is constant and the simplex goes on from its last basis: the dual one
where only the PRE changed, else the primal one.
"""

from dataclasses import replace
from time import perf_counter

import highspy
import numpy as np
from numpy.typing import NDArray

from optimizer.kernels.rounding import NONE_WH, round_steps
from optimizer.problem import Problem
from optimizer.result import PlannerError, Result

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASS_WEIGHT = np.array([100.0, 40.0, 0.0])
BEYOND_WEIGHT = np.array([2.0, 2.0, 1.0])
ORDER_WEIGHT = 20.0
EARLY_WEIGHT = 0.01
NEAR_WEIGHT = 0.004
# Blocks of one step, and the steps of a block after them.
SINGLE_STEPS = 8
BLOCK_STEPS = 4
ORDER_CLASS_WH = 500.0
ORDER_HALVED_WH = 10_000.0
# In the order of service an EV expected to take 1 kWh more comes this much later [h].
ORDER_H_PER_WH = 0.24 / 1_000
# Drivers leave late: nobody is expected to leave sooner than this [h].
LEAST_STAY_H = 3.0
_OFFERED = CLASS_WEIGHT.size - 1
_BLOCKS_MULTIPLE = 8
_LEAST_SLOTS = 8
_DUAL, _PRIMAL = 1, 4


class Planner:
    """Keeps the programme and its basis between calls."""

    def __init__(self) -> None:
        """Begin with no programme."""
        self._highs: highspy.Highs | None = None
        self._n_slot = 0
        self._n_block = 0
        self._slot_of: dict[int, int] = {}
        self._first_step_s = 0.0
        self._columns: tuple[Floats, Floats] | None = None

    def plan(self, problem: Problem) -> Result:
        """Return the plan of a problem, from the last one's basis."""
        begun = perf_counter()
        if problem.n_evse == 0:
            return Result.of_power(problem, np.zeros((0, problem.n_step)))
        power = rounded(problem, self._linear_w(problem))
        result = Result.of_power(problem, power)
        return replace(result, timing={"total": perf_counter() - begun})

    def _linear_w(self, problem: Problem) -> Floats:
        """Return the power of the linear plan, (n, T) [W]."""
        starts = block_starts(problem.n_step)
        hours = problem.step_s / 3600
        can_wh = np.where(problem.available(), problem.power_max_w * hours, 0.0)
        most_wh = np.add.reduceat(can_wh, starts, axis=1)
        room_wh = np.add.reduceat(problem.pre_upper_w * hours, starts)
        energy = self._solve(problem, most_wh, room_wh)
        share = np.divide(energy, most_wh, out=np.zeros_like(energy), where=most_wh > 0)
        lengths = np.diff([*starts, problem.n_step])
        return np.repeat(share, lengths, axis=1) * can_wh / hours

    def _solve(self, problem: Problem, most_wh: Floats, room_wh: Floats) -> Floats:
        """Return the energy of each EV in each block, (n, K) [Wh]."""
        slots = self._slots(problem)
        n_block = room_wh.size
        highs = self._programme(n_block)
        if problem.step_s[0] > self._first_step_s:
            highs.clearSolver()  # a quarter hour passed: blocks mean other hours
        self._first_step_s = float(problem.step_s[0])
        cost, upper = self._cost_and_upper(problem, slots, most_wh)
        last = self._columns
        only_room = last is not None and np.array_equal(last[0], cost)
        columns = np.arange(cost.size, dtype=np.int32)
        if not only_room:
            highs.changeColsCost(cost.size, columns, cost)
        highs.changeColsBounds(cost.size, columns, np.zeros(cost.size), upper)
        self._columns = cost, upper
        room = np.zeros(self._n_block)
        room[:n_block] = room_wh
        for block, most in enumerate(room):
            highs.changeRowBounds(block, -highspy.kHighsInf, most)
        _run(highs, _DUAL if only_room else _PRIMAL)
        n_x = self._n_slot * self._n_block
        values: Floats = np.array(highs.getSolution().col_value)[:n_x]
        energy = values.reshape(self._n_slot, self._n_block)
        clipped: Floats = np.clip(energy[slots, :n_block], 0.0, most_wh)
        return clipped

    def _slots(self, problem: Problem) -> Ints:
        """Return the slot of each EV; who was here before keeps its own."""
        keys = [int(key) for key in problem.row_key]
        known = set(keys)
        self._slot_of = {k: s for k, s in self._slot_of.items() if k in known}
        taken = set(self._slot_of.values())
        free = (s for s in range(len(keys) + len(taken)) if s not in taken)
        for key in keys:
            if key not in self._slot_of:
                self._slot_of[key] = next(free)
        needed = 1 + max(self._slot_of.values())
        if needed > self._n_slot:
            self._n_slot = max(_LEAST_SLOTS, needed + needed // 4)
            self._highs = None
        return np.array([self._slot_of[key] for key in keys], np.int64)

    def _cost_and_upper(
        self, problem: Problem, slots: Ints, most_wh: Floats
    ) -> tuple[Floats, Floats]:
        """Return cost and upper bound of every column."""
        n_slot, n_block = self._n_slot, self._n_block
        n_x = n_slot * n_block
        upper = np.zeros(n_x + 2 * n_slot)
        cost = np.zeros(n_x + 2 * n_slot)
        upper[:n_x].reshape(n_slot, n_block)[slots, : most_wh.shape[1]] = most_wh
        x_cost = cost[:n_x].reshape(n_slot, n_block)
        x_cost[:] = EARLY_WEIGHT * np.arange(n_block)
        if problem.previous_power_w is not None:
            near = problem.previous_power_w[:, :SINGLE_STEPS] > 0
            x_cost[slots, : near.shape[1]] -= NEAR_WEIGHT * near
        classes = np.floor(problem.energy_expected_wh / ORDER_CLASS_WH)
        order = ORDER_WEIGHT / (1 + classes * ORDER_CLASS_WH / ORDER_HALVED_WH)
        cost[n_x + slots] = -(CLASS_WEIGHT[problem.priority] + order)
        cost[n_x + n_slot + slots] = -BEYOND_WEIGHT[problem.priority]
        upper[n_x + slots] = problem.energy_target_wh
        upper[n_x + n_slot + slots] = problem.energy_max_wh - problem.energy_target_wh
        return cost, upper

    def _programme(self, n_block: int) -> highspy.Highs:
        """Return the programme, made anew when it is too small."""
        if n_block > self._n_block:
            self._n_block = -(-n_block // _BLOCKS_MULTIPLE) * _BLOCKS_MULTIPLE
            self._highs = None
        if self._highs is None:
            self._highs = _programme(self._n_slot, self._n_block)
            self._columns = None
        return self._highs


def block_starts(n_step: int) -> Ints:
    """Return the first step of each block."""
    single = np.arange(min(SINGLE_STEPS, n_step))
    return np.concatenate([single, np.arange(SINGLE_STEPS, n_step, BLOCK_STEPS)])


def rounded(problem: Problem, linear_w: Floats) -> Floats:
    """Return the plan to issue, whole watts, for a linear plan (n, T) [W]."""
    hours = problem.step_s / 3600
    meets_all = (linear_w @ hours >= problem.energy_target_wh - NONE_WH).all()
    power = np.zeros((problem.n_evse, problem.n_step))
    round_steps(
        linear_w,
        bool(meets_all),
        np.floor(np.where(problem.available(), problem.power_max_w, 0.0)),
        problem.power_floor_w,
        problem.energy_target_wh.copy(),
        problem.energy_max_wh.copy(),
        np.floor(problem.pre_upper_w),
        hours,
        service_order(problem),
        power,
    )
    return power


def service_order(problem: Problem) -> Ints:
    """Return the EVs in their order of service, those offered again last.

    By laxity, the hours an EV could wait and still take what it is expected to take,
    plus hours for that energy: who stays can be served when the shortage is over, who
    needs the whole stay cannot, and many small needs go before one large. An overdue
    EV counts like one that leaves within `LEAST_STAY_H`, and after it among equals.
    """
    expected_wh = problem.energy_expected_wh
    until_h = np.concatenate([[0.0], np.cumsum(problem.step_s)]) / 3600
    stay_h = np.maximum(until_h[problem.departure_step], LEAST_STAY_H)
    most_w = problem.power_max_w.max(axis=1)
    takes_h = np.divide(
        expected_wh, most_w, out=np.zeros_like(expected_wh), where=most_w > 0
    )
    lateness_h = stay_h - takes_h + ORDER_H_PER_WH * expected_wh
    is_offered = problem.priority == _OFFERED
    return np.lexsort((expected_wh, problem.priority, lateness_h, is_offered))


def _run(highs: highspy.Highs, warm_strategy: int) -> None:
    """Solve; warm where there is a basis, once more cold where that goes wrong."""
    if highs.getBasis().valid:
        highs.setOptionValue("simplex_strategy", warm_strategy)
        highs.run()
        if highs.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            return
        highs.clearSolver()
    highs.setOptionValue("simplex_strategy", _DUAL)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise PlannerError(f"HiGHS ended with {highs.getModelStatus()}")


def _programme(n_slot: int, n_block: int) -> highspy.Highs:
    """Return the programme with its constant matrix and empty bounds."""
    n_x = n_slot * n_block
    n_column, n_row = n_x + 2 * n_slot, n_block + n_slot
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = n_column, n_row
    lp.col_cost_ = np.zeros(n_column)
    lp.col_lower_ = np.zeros(n_column)
    lp.col_upper_ = np.zeros(n_column)
    lp.row_lower_ = np.concatenate(
        [np.full(n_block, -highspy.kHighsInf), np.zeros(n_slot)]
    )
    lp.row_upper_ = np.zeros(n_row)
    block = np.tile(np.arange(n_block), n_slot)
    slot = np.repeat(np.arange(n_slot), n_block) + n_block
    own = n_block + np.arange(n_slot)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.concatenate(
        [np.arange(0, 2 * n_x, 2), 2 * n_x + np.arange(2 * n_slot + 1)]
    ).astype(np.int32)
    lp.a_matrix_.index_ = np.concatenate(
        [np.stack([block, slot], axis=1).ravel(), own, own]
    ).astype(np.int32)
    lp.a_matrix_.value_ = np.concatenate([np.ones(2 * n_x), -np.ones(2 * n_slot)])
    highs = highspy.Highs()
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("presolve", "off"),
        ("solver", "simplex"),
        ("random_seed", 0),
    ):
        highs.setOptionValue(option, value)
    highs.passModel(lp)
    return highs


def plan(problem: Problem) -> Result:
    """Return one plan, cold."""
    return Planner().plan(problem)
