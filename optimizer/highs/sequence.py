"""The tiers one after the other on one programme, each kept before the next.

First everything is asked for at once: no limit exceeded, every target met. Only when
that is impossible do the tiers before money run.
"""

import numpy as np

from optimizer.checks import Floats, Ints
from optimizer.highs import objectives
from optimizer.highs.cuts import LineCuts
from optimizer.highs.directions import Directions
from optimizer.highs.model import K, Model
from optimizer.highs.programme import INF, Bools, Programme
from optimizer.problem import Shortage

# Less than this is nothing [kWh], and so is a share of unserved energy.
NOTHING = 1e-9
# Integers leave no duals: a tier of theirs is kept by a row, with this much room.
ROOM = 1e-8


class TierSequence:
    """One pass through the tiers; ``best`` is the last point that broke no rule.

    ``gaps`` has for each tier what the polygons of line currents cost at most;
    ``gave_way`` says whether anything had to.
    """

    def __init__(
        self,
        model: Model,
        deadline: float,
        directions: Directions | None = None,
        room: float = ROOM,
    ) -> None:
        self.model, self.room = model, room
        self.programme = Programme(model.lp(), deadline)
        self.directions = directions
        self.cuts = LineCuts(model) if model.problem.phases is not None else None
        self.best: Floats | None = None
        self.gaps: dict[str, float] = {}
        self.gave_way = False
        self.money_dual = np.zeros(self.programme.n_row)
        self._wanted = self.programme.upper.copy()
        if self.cuts is not None:
            self.cuts.begin(self.programme)
        if directions is not None:
            directions.begin(self.programme)

    def run(self, known_impossible: bool = False) -> Floats:
        """Run all tiers; return the point."""
        later = [
            (name, cost)
            for name, cost in (
                ("money", objectives.money(self.model)),
                ("early", objectives.early(self.model)),
            )
            if cost.any()
        ]
        if not known_impossible:
            self._close(self.model.elastic())
            first = later[0] if later else ("early", np.zeros(self.model.n_col))
            self.gave_way = not self.settle(*first, may_be_impossible=True)
        if known_impossible or self.gave_way:
            self.gave_way = True
            self._open(self.model.elastic())
            self.programme.forget_basis()
            self._energy_tiers()
        for k, (name, cost) in enumerate(later):
            if k > 0 or self.gave_way:
                self.settle(name, cost)
            if name == "money" and not self.gave_way and self.directions is None:
                self.money_dual = self.programme.row_dual
            self._keep(cost)
        if self.model.problem.previous_power_w is not None:
            self._nearest(self.model.problem.previous_power_w)
        assert self.best is not None
        return self.best

    def settle(self, name: str, cost: Floats, may_be_impossible: bool = False) -> bool:
        """Minimise until no line and no direction is broken."""
        while self.programme.minimise(cost, may_be_impossible):
            if self.cuts is not None and self.cuts.add_violated(self.programme):
                continue
            if self.directions is not None and self.directions.add(self.programme):
                continue
            self.best = self.programme.point
            if self.cuts is not None and self.directions is None:
                self.gaps[name] = self.cuts.gap(self.programme)
            return True
        return False

    def candidates(self) -> list[Floats]:
        """Return the points to choose a plan from when time was over."""
        found = [x for x in (self.best, self.programme.x) if x is not None]
        return [x for x in found if self.cuts is None or self.cuts.holds(x)]

    def _keep(self, cost: Floats) -> None:
        if self.directions is None:
            self.programme.keep_face()
            return
        used = np.flatnonzero(cost)
        room = self.room * max(1.0, abs(self.programme.objective))
        self.programme.add_rows(
            np.array([-INF]),
            np.array([self.programme.objective + room]),
            np.zeros(1, np.int64),
            used,
            cost[used],
        )

    def _close(self, columns: Ints) -> None:
        """Let columns be no more than they must."""
        least = self.programme.lower[columns]
        self.programme.bound(columns, least, least)

    def _open(self, columns: Ints) -> None:
        least = self.programme.lower[columns]
        self.programme.bound(columns, least, self._wanted[columns])

    def _tier(self, name: str, cost: Floats) -> bool:
        """Settle and keep a tier of columns; return whether it left more than it must.

        What is nothing is closed, so that no later tier sees its rounding.
        """
        columns = np.flatnonzero(cost)
        if not (self._open_columns(columns)).any():
            return False
        self.settle(name, cost)
        least = float(cost[columns] @ self.programme.lower[columns])
        if self.programme.objective <= least + NOTHING:
            self._close(columns)
            return False
        self._keep(cost)
        return True

    def _open_columns(self, columns: Ints) -> Bools:
        out: Bools = self.programme.lower[columns] < self.programme.upper[columns]
        return out

    def _energy_tiers(self) -> None:
        model, problem = self.model, self.model.problem
        if model.holds_idle():
            self._close(np.arange(model.excess.start, model.excess.stop))
        self._tier("violation_wh", objectives.violation(model))
        classes = {
            int(c): (problem.priority == c).astype(np.float64)
            for c in np.unique(problem.priority)
        }
        # One run often does for all classes: no promise is broken.
        short_min = self._tier_of_all(
            "min", objectives.unmet_min(model, sum_of(classes))
        )
        for c, member in classes.items() if short_min else ():
            self._tier(f"unmet_min_wh/{c}", objectives.unmet_min(model, member))
        for c, member in classes.items():
            self._tier(f"unmet_target_wh/{c}", objectives.unmet_target(model, member))
        promised, beyond = objectives.share_denominators(model)
        for name, block, whole in (
            ("short_min", model.left_min, promised),
            ("short_target", model.left_beyond, beyond),
        ):
            for c, member in classes.items():
                evs = np.flatnonzero(member)
                self._policy(f"{name}/{c}", block.start + evs, whole[evs])

    def _tier_of_all(self, name: str, cost: Floats) -> bool:
        """Close columns that can be as little as they must; return whether not."""
        columns = np.flatnonzero(cost)
        if not self._open_columns(columns).any():
            return False
        self.settle(name, cost)
        self.gaps.pop(name, None)
        least = float(cost[columns] @ self.programme.lower[columns])
        if self.programme.objective > least + NOTHING:
            return True
        self._close(columns)
        return False

    def _policy(self, name: str, columns: Ints, whole: Floats) -> None:
        left = self._open_columns(columns)
        columns, whole = columns[left], whole[left]
        if columns.size == 0 or self.programme.point[columns].sum() <= NOTHING:
            return
        if self.model.problem.shortage is Shortage.FINISH_MOST:
            cost = np.zeros(self.model.n_col)
            cost[columns] = 1.0 / whole
            self.settle(name, cost)
            self._keep(cost)
        elif self.directions is None:
            self._level(name, columns, whole)
        else:
            self._greatest_sums(name, columns, whole)

    def _level(self, name: str, columns: Ints, whole: Floats) -> None:
        """Make the greatest share least, then the next one, and so on.

        Shares whose row has a dual are as great in every optimum: they are settled.
        """
        programme = self.programme
        top = programme.add_columns(np.zeros(1), np.array([INF]))
        shares = np.stack([1.0 / whole, np.full(columns.size, -1.0)], axis=1)
        rows = programme.add_rows(
            np.full(columns.size, -INF),
            np.zeros(columns.size),
            np.arange(0, 2 * columns.size, 2),
            np.stack([columns, np.repeat(top, columns.size)], axis=1).ravel(),
            shares.ravel(),
        )
        cost = np.zeros(programme.n_col)
        cost[top] = 1.0
        while rows.size:
            self.settle(name, cost)
            level, x = programme.objective, programme.point
            dual = np.abs(programme.row_dual[rows])
            settled = (
                dual > 0.5 * dual.max(initial=0.0) if level > NOTHING else dual >= 0
            )
            programme.keep_face(but_columns=np.append(top, columns), but_rows=rows)
            done, x_done = columns[settled], x[columns[settled]]
            programme.bound(done, x_done, x_done)
            programme.bound(top, np.zeros(1), np.array([level]))
            free = np.full(done.size, INF)
            programme.bound_rows(rows[settled], -free, free)
            rows, columns = rows[~settled], columns[~settled]

    def _greatest_sums(self, name: str, columns: Ints, whole: Floats) -> None:
        """Minimise the sum of the k greatest shares, k = 1, 2, ...: the same order.

        That sum is the least k a + sum b with b >= share - a, b >= 0 (Ogryczak and
        Śliwiński, 2003). It needs no duals, so it holds with integers too.
        """
        programme, n = self.programme, columns.size
        for k in range(1, n + 1):
            pivot = programme.add_columns(np.array([-INF]), np.array([INF]))
            above = programme.add_columns(np.zeros(n), np.full(n, INF))
            entries = np.stack([columns, np.repeat(pivot, n), above], axis=1)
            ones = np.ones(n)
            programme.add_rows(
                np.full(n, -INF),
                np.zeros(n),
                np.arange(0, 3 * n, 3),
                entries.ravel(),
                np.stack([1.0 / whole, -ones, -ones], axis=1).ravel(),
            )
            cost = np.zeros(programme.n_col)
            cost[pivot], cost[above] = k, 1.0
            self.settle(name, cost)
            self._keep(cost)

    def _nearest(self, previous_w: Floats) -> None:
        """Minimise the distance from the plan in force, cell by cell still open.

        |x - p| = (x - p) + 2 m with m >= p - x, m >= 0; a cell whose bounds are on one
        side of p needs no m.
        """
        model, programme = self.model, self.programme
        shape = previous_w.shape
        key = model.ev * shape[1] + model.step
        lowest, highest = np.zeros(previous_w.size), np.zeros(previous_w.size)
        out, into = model.discharge, model.charge
        lower, upper = np.minimum(programme.lower, 0.0), programme.upper
        if self.directions is None:
            lower = programme.lower
        lowest[key[into]] += lower[into]
        highest[key[into]] += upper[into]
        lowest[key[out]] -= upper[out]
        highest[key[out]] -= lower[out]
        previous = previous_w.ravel() / K
        slope = np.where(previous >= highest, -1.0, 1.0)
        bent = np.flatnonzero((lowest < previous) & (previous < highest))
        if not (highest - lowest > 0).any():
            return
        hours = model.hours[np.arange(previous_w.size) % shape[1]]
        place = np.full(previous_w.size, -1)
        place[bent] = np.arange(bent.size)
        m = programme.add_columns(np.zeros(bent.size), np.full(bent.size, INF))
        cost = np.zeros(programme.n_col)
        cost[: model.n_cell] = model.sign * (slope * hours)[key]
        cost[m] = 2.0 * hours[bent]
        cells = np.flatnonzero(place[key] >= 0)
        row = np.concatenate([place[key[cells]], np.arange(bent.size)])
        column = np.concatenate([cells, m])
        value = np.concatenate([model.sign[cells], np.ones(bent.size)])
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(bent.size))
        if bent.size:
            programme.add_rows(
                previous[bent],
                np.full(bent.size, INF),
                starts,
                column[order],
                value[order],
            )
        self.settle("moved_wh", cost)


def sum_of(classes: dict[int, Floats]) -> Floats:
    """Return the EVs of all classes."""
    total: Floats = np.sum(list(classes.values()), axis=0, dtype=np.float64)
    return total
