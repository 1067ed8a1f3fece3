"""A linear programme on HiGHS whose optimal faces are kept, one after the other.

A programme is gathered in blocks of columns and rows and then solved for a sequence of
objectives. What an objective reached is kept by `Programme.keep_face`: by complementary
slackness a point is optimal exactly where every column of nonzero reduced cost stays at
its bound and every row of nonzero dual is tight, whatever optimal dual one takes. So
these bounds are closed. A row "objective <= value" would say the same, but it is dense,
it ties the next tier to the rounding of this one, and it leaves each later basis
degenerate; closed bounds make the programme smaller and keep the basis feasible.
"""

from time import perf_counter

import highspy
import numpy as np
from numpy.typing import NDArray

from optimizer.checks import Floats, Ints
from optimizer.result import PlannerError

Bools = NDArray[np.bool_]
INF = highspy.kHighsInf
TOLERANCE = 1e-9
# Objectives are scaled to a greatest coefficient of 1; a dual beyond this is not 0.
NONZERO_DUAL = 2e-9

_Status = highspy.HighsModelStatus


class OutOfTime(Exception):
    """The deadline came."""


class Gathered:
    """Blocks of columns and rows, before HiGHS has them."""

    def __init__(self) -> None:
        self.n_col = self.n_row = 0
        self._col_bounds: list[tuple[Floats, Floats]] = []
        self._row_bounds: list[tuple[Floats, Floats]] = []
        self._entries: list[tuple[Ints, Ints, Floats]] = []

    def columns(self, lower: Floats, upper: Floats) -> slice:
        """Add a block of columns."""
        self._col_bounds.append((lower, upper))
        self.n_col += lower.size
        return slice(self.n_col - lower.size, self.n_col)

    def rows(self, lower: Floats, upper: Floats) -> slice:
        """Add a block of rows."""
        self._row_bounds.append((lower, upper))
        self.n_row += lower.size
        return slice(self.n_row - lower.size, self.n_row)

    def shift_rows(self, block: slice, by: Floats) -> None:
        """Move both bounds of a block of rows."""
        first = 0
        for k, (lower, upper) in enumerate(self._row_bounds):
            if first == block.start and lower.size == by.size:
                self._row_bounds[k] = lower + by, upper + by
            first += lower.size

    def entries(self, rows: Ints, columns: Ints, values: Floats | float) -> None:
        """Add entries of the matrix; ``values`` may be one for all."""
        if rows.size:
            self._entries.append(
                (rows, columns, np.broadcast_to(values, rows.shape).astype(np.float64))
            )

    def row_bounds(self, block: slice) -> tuple[Floats, Floats]:
        """Return the bounds of rows."""
        lower, upper = _joined(self._row_bounds)
        return lower[block], upper[block]

    def lp(self) -> highspy.HighsLp:
        """Return the programme as HiGHS takes it, with no objective."""
        none: list[tuple[Ints, Ints, Floats]] = [
            (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        ]
        parts = zip(*(self._entries or none), strict=True)
        row, column, value = (np.concatenate(part) for part in parts)
        order = np.argsort(column, kind="stable")
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.n_col, self.n_row
        lp.col_cost_ = np.zeros(self.n_col)
        lp.col_lower_, lp.col_upper_ = _joined(self._col_bounds)
        lp.row_lower_, lp.row_upper_ = _joined(self._row_bounds)
        counts = np.bincount(column, minlength=self.n_col)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        lp.a_matrix_.index_ = row[order].astype(np.int32)
        lp.a_matrix_.value_ = value[order]
        return lp


class Programme:
    """A programme in HiGHS, one thread and one seed: the same calls, the same bits.

    ``x`` (columns) is the last feasible point, None before there is one. ``col_dual``
    and ``row_dual`` are those of the scaled objective times its scale.
    """

    def __init__(self, lp: highspy.HighsLp, deadline: float) -> None:
        self.deadline = deadline
        self.x: Floats | None = None
        self.objective = 0.0
        self.col_dual = self.row_dual = np.empty(0)
        self._scale = 1.0
        self._has_integers = False
        self.lower, self.upper = np.array(lp.col_lower_), np.array(lp.col_upper_)
        self.row_lower, self.row_upper = (
            np.array(lp.row_lower_),
            np.array(lp.row_upper_),
        )
        self.highs = highspy.Highs()
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("random_seed", 0),
            ("primal_feasibility_tolerance", TOLERANCE),
            ("dual_feasibility_tolerance", TOLERANCE),
            ("ipm_optimality_tolerance", TOLERANCE),
            ("mip_feasibility_tolerance", TOLERANCE),
            ("mip_rel_gap", 1e-9),
            ("mip_abs_gap", 1e-8),
        ):
            self._option(option, value)
        self._checked(self.highs.passModel(lp))

    @property
    def n_col(self) -> int:
        """Number of columns."""
        return self.lower.size

    @property
    def n_row(self) -> int:
        """Number of rows."""
        return self.row_lower.size

    @property
    def point(self) -> Floats:
        """The last feasible point."""
        if self.x is None:
            raise PlannerError("no feasible point was found yet")
        return self.x

    def minimise(self, cost: Floats, may_be_impossible: bool = False) -> bool:
        """Solve; return whether there is a feasible point.

        Raises
        ------
        OutOfTime
            at the deadline.
        PlannerError
            when HiGHS can do neither warm, nor cold, nor by another method.
        """
        self._scale = float(np.abs(cost).max(initial=0.0)) or 1.0
        scaled = np.zeros(self.n_col)
        scaled[: cost.size] = cost / self._scale
        columns = np.arange(self.n_col, dtype=np.int32)
        self._checked(self.highs.changeColsCost(self.n_col, columns, scaled))
        status = self._run(may_be_impossible)
        if status != _Status.kOptimal:
            return False
        self._take()
        self.objective = float(cost @ self.point[: cost.size])
        return True

    def bound(self, columns: Ints, lower: Floats, upper: Floats) -> None:
        """Set bounds of columns."""
        self.lower[columns], self.upper[columns] = lower, upper
        indices = columns.astype(np.int32)
        self._checked(
            self.highs.changeColsBounds(
                indices.size, indices, self.lower[columns], self.upper[columns]
            )
        )

    def bound_rows(self, rows: Ints, lower: Floats, upper: Floats) -> None:
        """Set bounds of rows."""
        self.row_lower[rows], self.row_upper[rows] = lower, upper
        bounds = zip(
            rows.tolist(),
            self.row_lower[rows].tolist(),
            self.row_upper[rows].tolist(),
            strict=True,
        )
        for row, low, high in bounds:
            self._checked(self.highs.changeRowBounds(row, low, high))

    def keep_face(
        self, but_columns: Ints | None = None, but_rows: Ints | None = None
    ) -> None:
        """Close bounds and rows so that only optimal points of the last run remain."""
        d, y = self.col_dual / self._scale, self.row_dual / self._scale
        if but_columns is not None:
            d[but_columns] = 0.0
        if but_rows is not None:
            y[but_rows] = 0.0
        open_columns = self.lower < self.upper
        at_lower = np.flatnonzero((d > NONZERO_DUAL) & open_columns)
        at_upper = np.flatnonzero((d < -NONZERO_DUAL) & open_columns)
        self.bound(at_lower, self.lower[at_lower], self.lower[at_lower])
        self.bound(at_upper, self.upper[at_upper], self.upper[at_upper])
        open_rows = self.row_lower < self.row_upper
        at_lower = np.flatnonzero((y > NONZERO_DUAL) & open_rows)
        at_upper = np.flatnonzero((y < -NONZERO_DUAL) & open_rows)
        self.bound_rows(at_lower, self.row_lower[at_lower], self.row_lower[at_lower])
        self.bound_rows(at_upper, self.row_upper[at_upper], self.row_upper[at_upper])

    def add_columns(self, lower: Floats, upper: Floats) -> Ints:
        """Add columns without entries; return their indices."""
        first = self.n_col
        self._checked(
            self.highs.addCols(
                lower.size,
                np.zeros(lower.size),
                lower,
                upper,
                0,
                np.zeros(lower.size, np.int32),
                np.empty(0, np.int32),
                np.empty(0),
            )
        )
        self.lower = np.concatenate([self.lower, lower])
        self.upper = np.concatenate([self.upper, upper])
        if self.x is not None:
            self.x = np.concatenate([self.x, np.zeros(lower.size)])
        return np.arange(first, self.n_col)

    def add_rows(
        self, lower: Floats, upper: Floats, starts: Ints, columns: Ints, values: Floats
    ) -> Ints:
        """Add rows, entries row by row from ``starts``; return their indices."""
        first = self.n_row
        self._checked(
            self.highs.addRows(
                lower.size,
                lower,
                upper,
                columns.size,
                starts.astype(np.int32),
                columns.astype(np.int32),
                values,
            )
        )
        self.row_lower = np.concatenate([self.row_lower, lower])
        self.row_upper = np.concatenate([self.row_upper, upper])
        return np.arange(first, self.n_row)

    def integrality(self, columns: Ints, kind: highspy.HighsVarType) -> None:
        """Make columns integer, semi-continuous and the like."""
        self._has_integers |= columns.size > 0
        self._checked(
            self.highs.changeColsIntegrality(
                columns.size,
                columns.astype(np.int32),
                np.full(columns.size, kind.value, np.uint8),
            )
        )

    def forget_basis(self) -> None:
        """Begin the next run anew."""
        self._checked(self.highs.clearSolver())

    def _run(self, may_be_impossible: bool) -> highspy.HighsModelStatus:
        """Run until HiGHS is sure: warm, cold, by interior points, without presolve.

        With costs scaled and these tolerances the simplex was ahead of interior points
        wherever both were measured, to 5,000 EVs, and 1,000 with V2G.
        """
        ends = {_Status.kOptimal}
        if may_be_impossible:
            ends |= {_Status.kInfeasible, _Status.kUnboundedOrInfeasible}
        for solver, presolve in (
            ("simplex", "choose"),
            ("simplex", "choose"),
            ("ipm", "choose"),
            ("simplex", "off"),
        ):
            # Asked for one method by name, HiGHS may leave integers out.
            self._option("solver", "choose" if self._has_integers else solver)
            self._option("presolve", presolve)
            status = self._run_once()
            if status in ends:
                return status
            self.forget_basis()
        raise PlannerError(f"HiGHS ended with {status}")

    def _run_once(self) -> highspy.HighsModelStatus:
        if self.n_col == 0:
            return _Status.kOptimal
        left_s = self.deadline - perf_counter()
        if left_s <= 0:
            raise OutOfTime
        # HiGHS counts the time of all runs together.
        self._option("time_limit", min(self.highs.getRunTime() + left_s, 1e20))
        self.highs.run()
        status = self.highs.getModelStatus()
        if status == _Status.kTimeLimit:
            feasible = highspy.SolutionStatus.kSolutionStatusFeasible
            if self.highs.getInfo().primal_solution_status == feasible.value:
                self._take()
            raise OutOfTime
        return status

    def _take(self) -> None:
        solution = self.highs.getSolution()
        self.x = np.array(solution.col_value, np.float64)
        self.col_dual = np.array(solution.col_dual, np.float64) * self._scale
        self.row_dual = np.array(solution.row_dual, np.float64) * self._scale

    def _option(self, name: str, value: str | bool | float) -> None:
        self._checked(self.highs.setOptionValue(name, value))

    @staticmethod
    def _checked(status: highspy.HighsStatus) -> None:
        if status == highspy.HighsStatus.kError:
            raise PlannerError("HiGHS refused a call; the programme is malformed")


def _joined(bounds: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    none = np.empty(0)
    return (
        np.concatenate([none, *(low for low, _ in bounds)]),
        np.concatenate([none, *(high for _, high in bounds)]),
    )
